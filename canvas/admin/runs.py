"""The page of runs with what can be done about them; `syncmetrics`, whose page it is, knows no Canvas."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from canvas.access import limit
from canvas.admin.actions import RUN_ACTIONS
from canvas.admin.exports import ExportPages
from canvas.admin.limited import LimitedAdmin
from canvas.admin.paging import CappedChangeList, CappedPaginator
from canvas.models import Connection
from syncmetrics.actions import ActingAdmin
from syncmetrics.admin.runs import RunAdmin
from syncmetrics.models import SyncRun

admin.site.unregister(SyncRun)


class ConnectionFilter(DropdownFilter):  # type: ignore[misc]  # the theme has no types
    """Runs of one connection, whatever it was called when they ran."""

    title = "connection"
    parameter_name = "connection"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the connections that the person may see."""
        allowed = limit(Connection.objects.order_by("name"), request.user)
        return [(str(key), name) for key, name in allowed.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncRun]) -> QuerySet[SyncRun]:
        """Keep the runs of the chosen connection."""
        chosen = str(self.value() or "")
        if not (chosen.isascii() and chosen.isdecimal() and len(chosen) < 19):
            return queryset
        return queryset.filter(connection_key=int(chosen))


@admin.register(SyncRun)
class CanvasRunAdmin(LimitedAdmin, ExportPages, ActingAdmin, RunAdmin):
    """Runs, to be resumed and cancelled."""

    console_actions = RUN_ACTIONS
    list_filter = (ConnectionFilter, *RunAdmin.list_filter)
    paginator = CappedPaginator
    change_form_outer_before_template = "admin/syncmetrics/run_before.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CappedChangeList]:
        """Count as far as anybody pages."""
        return CappedChangeList
