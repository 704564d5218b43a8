"""The class that every page of the console stands on: nobody sees rows of sites they are not allowed."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from canvas.access import allowed_instances, has_instance, limit


class LimitedAdmin(ModelAdmin):  # type: ignore[misc]  # the theme has no types
    """Pages that hold to the sites a person is limited to; mixed in before the page's other classes.

    Lists, search, autocompletes, pages, actions and exports all start from `get_queryset`. Tables whose
    rows belong to no site are closed to a limited person, unless `open_to_limited` says that its own
    `get_queryset` narrows them.
    """

    open_to_limited = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that the person may see."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return limit(rows, request.user) if has_instance(self.model) else rows

    def _is_closed(self, request: HttpRequest) -> bool:
        if self.open_to_limited or has_instance(self.model):
            return False
        return allowed_instances(request.user) is not None

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Tell whether the table shows among the others."""
        return not self._is_closed(request) and super().has_module_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the person may look."""
        return not self._is_closed(request) and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Tell whether the person may add."""
        return not self._is_closed(request) and super().has_add_permission(request, *args)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the person may change."""
        return not self._is_closed(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the person may delete."""
        return not self._is_closed(request) and super().has_delete_permission(request, obj)
