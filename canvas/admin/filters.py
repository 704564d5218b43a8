"""Filters of the mirrored tables' lists."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from canvas.lookup import rows_of
from canvas.models import Instance


class InstanceFilter(DropdownFilter):  # type: ignore[misc]  # the theme has no types
    """Rows of one Canvas site."""

    title = "instance"
    parameter_name = "instance"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return every site."""
        return [(str(key), name) for key, name in Instance.objects.order_by("name").values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the chosen site."""
        chosen = str(self.value() or "")
        return queryset.filter(rows_of(int(chosen))) if chosen.isdecimal() else queryset


class StateFilter(DropdownFilter):  # type: ignore[misc]
    """Rows in one state. The states are declared: asking a large table for them would read all of it."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the states of the list's declaration."""
        return [(state, state.replace("_", " ")) for state in model_admin.listing.states]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows in that state."""
        return queryset.filter(workflow_state=self.value()) if self.value() else queryset


class DeletedFilter(DropdownFilter):  # type: ignore[misc]
    """Rows that Canvas has, or no longer has."""

    title = "in Canvas"
    parameter_name = "in_canvas"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the two."""
        return [("yes", "still there"), ("no", "deleted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the ones or the others."""
        there = {"yes": True, "no": False}.get(str(self.value()))
        return queryset if there is None else queryset.filter(deleted_at__isnull=there)
