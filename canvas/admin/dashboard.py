"""The dashboard: how syncs went over time, how fresh the copy is, what is at work now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES

from canvas.access import limit
from canvas.admin.limited import LimitedAdmin
from canvas.freshness import Freshness, freshness
from canvas.models import Connection, Instance
from syncmetrics.dashboard import (
    CHARTS,
    CONNECTION_HEADERS,
    QUICK_DAYS,
    History,
    Span,
    at_work,
    connection_row,
    parse_span,
    read_history,
    tiles,
)
from syncmetrics.display import (
    BAD,
    GOOD,
    NOTHING,
    PLAIN,
    ReadOnlyAdmin,
    badge,
    duration,
    link,
    moment,
    number,
)
from syncmetrics.models import SyncDay, SyncRun

PAGE = "admin:syncmetrics_syncday_changelist"
FRESHNESS_HEADERS = ("records", "age", "promised", "state", "oldest read", "note")
MODES = {"full": "Full", "incremental": "Incremental"}


class Asked:
    """What the page's address asks for, in so far as the person may see it; `problems` says what was not."""

    def __init__(self, query: Mapping[str, str], names: Mapping[int, str], today: date) -> None:
        self.problems: list[str] = []
        self.span = Span.until(today)
        try:
            self.span = parse_span(query, today)
        except ValueError as problem:
            self.problems.append(f"{problem} The last {self.span.days} days are shown.")
        self.mode = query.get("mode", "") if query.get("mode", "") in MODES else ""
        key = query.get("connection", "")
        self.connection = next((known for known in names if str(known) == key), None)
        if key and self.connection is None:
            self.problems.append("There is no such connection. All that you may see are shown.")

    def narrow(self, days: QuerySet[SyncDay]) -> QuerySet[SyncDay]:
        """Return those of the days that are asked for, of whatever dates."""
        wanted: dict[str, Any] = {"connection_key": self.connection, "mode": self.mode}
        return days.filter(**{name: value for name, value in wanted.items() if value not in (None, "")})


@admin.register(SyncDay)
class DashboardAdmin(LimitedAdmin, ReadOnlyAdmin):
    """The dashboard stands where the list of days would: rows of sums say little, charts of them much."""

    def get_urls(self) -> list[URLPattern]:
        """Answer two addresses only: the page, and what it asks every few seconds."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.dashboard), name="syncmetrics_syncday_changelist"),
            path("running.json", wrap(self.running), name="syncmetrics_syncday_running"),
        ]

    def dashboard(self, request: HttpRequest) -> HttpResponse:
        """Show the dashboard, for the days and the connection that the address asks for."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        names = self._names(request)
        asked = Asked(request.GET, names, timezone.now().date())
        history = read_history(asked.narrow(self.get_queryset(request)), asked.span)
        context = {
            **self.admin_site.each_context(request),
            "title": "Dashboard",
            "asked": asked,
            "connections": names,
            "modes": MODES,
            "quick_days": QUICK_DAYS,
            "input_classes": " ".join(INPUT_CLASSES),
            "select_classes": " ".join(SELECT_CLASSES),
            "tiles": tiles(history.total),
            "charts": [chart.draw(history) for chart in CHARTS],
            "by_connection": _by_connection(history, names),
            "freshness": self._freshness(request, asked),
            **self._running(request),
        }
        return render(request, "admin/syncmetrics/dashboard.html", context)

    def running(self, request: HttpRequest) -> JsonResponse:
        """Return the runs at work that the person may see."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return JsonResponse({"runs": self._running(request)["running"]})

    def _names(self, request: HttpRequest) -> dict[int, str]:
        if not request.user.has_perm("canvas.view_connection"):
            return {}
        found = limit(Connection.objects.order_by("name"), request.user)
        return dict(found.values_list("pk", "name"))

    def _running(self, request: HttpRequest) -> dict[str, Any]:
        if not request.user.has_perm("syncmetrics.view_syncrun"):
            return {"running": []}
        return {"running": at_work(limit(SyncRun.objects.all(), request.user), _page_of_run)}

    def _freshness(self, request: HttpRequest, asked: Asked) -> list[dict[str, Any]]:
        if not request.user.has_perm("canvas.view_instance"):
            return []
        instances = limit(Instance.objects.order_by("name"), request.user)
        if asked.connection is not None:
            instances = instances.filter(connections=asked.connection)
        return [
            {
                "instance": instance,
                "headers": FRESHNESS_HEADERS,
                "rows": [_freshness_cells(found) for found in freshness([instance])],
            }
            for instance in instances
        ]


def _page_of_run(run: SyncRun) -> str:
    return reverse("admin:syncmetrics_syncrun_change", args=[run.pk])


def _by_connection(history: History, names: Mapping[int, str]) -> dict[str, Any]:
    rows = [
        connection_row(_connection(key, names), figures)
        for key, figures in sorted(history.connections.items(), key=lambda item: names.get(item[0], "~"))
        if figures.ended
    ]
    return {"headers": CONNECTION_HEADERS, "rows": rows}


def _connection(key: int, names: Mapping[int, str]) -> Any:
    if key in names:
        return link(reverse("admin:canvas_connection_change", args=[key]), names[key])
    return f"connection {key}, no longer there" if key else "no connection"


def _freshness_cells(found: Freshness) -> list[Any]:
    return [
        found.resource.replace("_", " "),
        NOTHING if found.age_hours is None else duration(found.age_hours * 3600),
        "nothing" if found.promised_hours is None else f"{number(found.promised_hours)} h",
        freshness_badge(found),
        moment(found.oldest),
        freshness_note(found),
    ]


def freshness_badge(found: Freshness) -> Any:
    """Return whether a promise is kept, as colour and word."""
    if found.promised_hours is None:
        return badge("nothing promised", PLAIN)
    return badge("older than promised", BAD) if found.broken else badge("as promised", GOOD)


def freshness_note(found: Freshness) -> str:
    """Return what has never been read, and what may not be."""
    notes = []
    if found.unread:
        notes.append(f"{number(found.unread)} of {number(found.scopes)} never read")
    if found.refused:
        notes.append(f"closed to our token in {number(found.refused)} courses")
    return ", ".join(notes) or NOTHING
