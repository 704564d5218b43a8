"""The home page: is everything fine, what does each connection hold, and what ran last."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from canvas.access import limit
from canvas.admin.connections import token_badge, token_end
from canvas.models import Connection, Instance
from canvas.overview import Overview, Problem, RowCount, check_all, overviews, row_counts
from syncmetrics.admin import rows_processed, run_link, short_error
from syncmetrics.display import BAD, CARE, NOTHING, ago, badge, duration, number, run_badge
from syncmetrics.models import SyncRun

RECENT_RUNS = 10
RUN_HEADERS = ["Run", "State", "Connection", "Mode", "Started", "Took", "Rows", "Requests", "Error"]


def fill_home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the person may see to the home page's context."""
    context["title"] = "Home"
    may = request.user.has_perm
    if may("canvas.view_connection") and may("syncmetrics.view_syncrun"):
        found = overviews(limit(Connection.objects.all(), request.user))
        context |= {
            "instances": [
                _instance(request, instance, list(group))
                for instance, group in groupby(found, key=lambda overview: overview.connection.instance)
            ],
            "problems": [_problem(problem) for problem in check_all(found)],
            "recent_runs": {"headers": RUN_HEADERS, "rows": _recent_runs(request)},
        }
    return context


def _problem(problem: Problem) -> dict[str, Any]:
    subject = problem.subject
    page = "syncmetrics_syncrun" if isinstance(subject, SyncRun) else "canvas_connection"
    name = subject.connection_name if isinstance(subject, SyncRun) else subject.name
    return {
        "badge": badge(name, BAD if problem.grave else CARE),
        "text": problem.text,
        "url": reverse(f"admin:{page}_change", args=[subject.pk]),
    }


def _instance(request: HttpRequest, instance: Instance, found: list[Overview]) -> dict[str, Any]:
    may = request.user.has_perm
    return {
        "instance": instance,
        "connections": [_connection(overview) for overview in found],
        "rows": [
            _row_count(instance, count)
            for count in row_counts(instance)
            if may(f"canvas.view_{count.resource.model._meta.model_name}")
        ],
    }


def _connection(overview: Overview) -> dict[str, Any]:
    connection = overview.connection
    return {
        "connection": connection,
        "url": reverse("admin:canvas_connection_change", args=[connection.pk]),
        "facts": [
            ("Token", token_badge(connection), _end_in_words(connection)),
            ("Last sync", *_last_run(overview.last_run)),
            ("Last full sync", *_completed(overview.last_full)),
            ("Last incremental sync", *_completed(overview.last_incremental)),
        ],
    }


def _end_in_words(connection: Connection) -> Any:
    if connection.token_expires_at:
        ended = connection.token_expires_at <= timezone.now()
        return format_html("{} {}", "expired" if ended else "expires", token_end(connection))
    return {"never": "never expires", "unknown": "expiry unknown"}.get(connection.token_expiry, "")


def _last_run(run: SyncRun | None) -> tuple[Any, Any]:
    return (run_badge(run), run_link(run)) if run else (NOTHING, "not synced yet")


def _completed(run: SyncRun | None) -> tuple[Any, Any]:
    return (ago(run.sync_end_time), run_link(run)) if run else (NOTHING, "none completed yet")


def _row_count(instance: Instance, count: RowCount) -> dict[str, Any]:
    meta = count.resource.model._meta
    url = reverse(f"admin:canvas_{meta.model_name}_changelist")
    return {
        "label": meta.verbose_name_plural,
        "number": number(count.number) if count.exact else f"over {number(count.number)}",
        "url": f"{url}?instance={instance.pk}&in_canvas=yes",
    }


def _recent_runs(request: HttpRequest) -> list[list[Any]]:
    runs = limit(SyncRun.objects.all(), request.user).prefetch_related("counts")
    return [
        [
            run_link(run),
            run_badge(run),
            run.connection_name,
            run.get_mode_display(),
            ago(run.sync_start_time),
            duration(run.total_duration_seconds),
            number(rows_processed(run)),
            number(run.api_calls_made),
            short_error(run),
        ]
        for run in runs.order_by("-sync_start_time", "-pk")[:RECENT_RUNS]
    ]
