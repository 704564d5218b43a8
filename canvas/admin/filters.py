"""Filters of the mirrored tables' lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter

from canvas.access import limit
from canvas.lookup import rows_of
from canvas.models import Instance


class InstanceFilter(DropdownFilter):  # type: ignore[misc]  # the theme has no types
    """Rows of one Canvas site."""

    title = "instance"
    parameter_name = "instance"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the sites that the person may see."""
        allowed = limit(Instance.objects.order_by("name"), request.user)
        return [(str(key), name) for key, name in allowed.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the chosen site."""
        chosen = str(self.value() or "")
        return queryset.filter(rows_of(int(chosen))) if chosen.isdecimal() else queryset


class ParentFilter(AutocompleteSelectFilter):  # type: ignore[misc]
    """Rows of one parent, which is named only to those who may see it, whatever the address says."""

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """Return the form with the parents that the person may see."""
        for choice in super().choices(changelist):
            field = choice["form"].fields[self.lookup_kwarg]
            field.queryset = limit(field.queryset.all(), self.request.user)
            yield choice


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
