"""The home page: is everything fine, what does each connection hold, and what ran last."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from canvas.access import limit
from canvas.admin.alerts import alert_problems
from canvas.admin.connections import token_badge, token_end
from canvas.freshness import Freshness, freshness
from canvas.models import Connection, Instance
from canvas.overview import (
    Overview,
    Problem,
    RowCount,
    check_all,
    check_promises,
    overviews,
    row_counts,
)
from syncmetrics.admin.runs import rows_processed, run_link, short_error
from syncmetrics.display import BAD, CARE, GOOD, NOTHING, PLAIN, ago, badge, duration, number, run_badge
from syncmetrics.models import SyncRun

RECENT_RUNS = 10
RUN_HEADERS = ["Run", "State", "Connection", "Mode", "Started", "Took", "Rows", "Requests", "Error"]


def fill_home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the person may see to the home page's context."""
    context["title"] = "Home"
    may = request.user.has_perm
    if may("canvas.view_connection") and may("syncmetrics.view_syncrun"):
        found = overviews(limit(Connection.objects.all(), request.user))
        groups = groupby(found, key=lambda overview: overview.connection.instance)
        by_instance = {instance: list(group) for instance, group in groups}
        fresh = freshness(by_instance)
        problems = sorted([*check_all(found), *check_promises(fresh)], key=lambda problem: not problem.grave)
        context |= {
            "instances": [
                {**_instance(request, instance, group), "freshness": _freshness(instance, fresh)}
                for instance, group in by_instance.items()
            ],
            "problems": [*map(_problem, problems), *alert_problems(request)],
            "recent_runs": {"headers": RUN_HEADERS, "rows": _recent_runs(request)},
        }
    return context


def _problem(problem: Problem) -> dict[str, Any]:
    subject = problem.subject
    if isinstance(subject, Instance):
        return {"badge": badge(subject.name, BAD), "text": problem.text, "url": _freshness_page()}
    page = "syncmetrics_syncrun" if isinstance(subject, SyncRun) else "canvas_connection"
    name = subject.connection_name if isinstance(subject, SyncRun) else subject.name
    return {
        "badge": badge(name, BAD if problem.grave else CARE),
        "text": problem.text,
        "url": reverse(f"admin:{page}_change", args=[subject.pk]),
    }


def _freshness_page() -> str:
    return reverse("admin:syncmetrics_syncday_changelist") + "#freshness"


def _freshness(instance: Instance, found: list[Freshness]) -> dict[str, Any]:
    """Return in a word whether promises are kept, and the age of what is oldest among what was promised."""
    promised = [each for each in found if each.instance == instance and each.promised_hours is not None]
    broken = sum(each.broken for each in promised)
    ages = [each.age_hours for each in promised if each.age_hours is not None]
    if not promised:
        state = badge("nothing promised", PLAIN)
    elif broken:
        state = badge(f"{broken} older than promised", BAD)
    else:
        state = badge("as promised", GOOD)
    oldest = duration(max(ages) * 3600) if ages else None
    return {"state": state, "oldest": oldest, "url": _freshness_page()}


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
