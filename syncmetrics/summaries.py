"""Summaries: how the syncs of the last days went, for all, for one user, for some connections."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from syncmetrics.daily import counted_runs, day_of, start_of
from syncmetrics.figures import ENDS, MERGED, Figures
from syncmetrics.models import SyncDay, SyncRun, SyncUserDay
from syncmetrics.serializer import ENTITIES

MOST_DAYS = 3660

USERS = """
WITH RECURSIVE users(id) AS (
    SELECT MIN(user_id) FROM syncmetrics_syncuserday
    UNION ALL
    SELECT (SELECT MIN(user_id) FROM syncmetrics_syncuserday WHERE user_id > users.id)
    FROM users WHERE users.id IS NOT NULL
)
SELECT id FROM users WHERE EXISTS (
    SELECT 1 FROM syncmetrics_syncuserday days WHERE days.user_id = users.id AND days.day >= %s{narrowed}
)
"""
"""The users of some days, found by leaping from one to the next in the index of users and days.

A plain DISTINCT reads every row of those days: 300,000 in a month of 20 connections with 500 users each.
"""


def summary(
    days: int = 7, *, user_id: int | None = None, connection_keys: Iterable[int] | None = None
) -> dict[str, Any]:
    """Return how the syncs went that started within the last `days` times 24 hours, as plain JSON values.

    With `user_id` the runs for that user of the console only, with `connection_keys` those of these
    connections only (0: of none). Dry runs are left out altogether. `total_syncs` are all others, those at
    work included; `success_rate` is the share of completed ones among those that have ended, in percent,
    and 0 when none has: partial, failed, cancelled and lost runs count as not completed. Durations are
    those of completed and partial runs, percentiles to within 1 %, null without any. Raises ValueError
    for impossible `days`.
    """
    if not 1 <= days <= MOST_DAYS:
        raise ValueError(f"Summaries cover 1 to {MOST_DAYS:,} days, not {days:,}.")
    until = timezone.now()
    since = until - timedelta(days=days)
    keys = None if connection_keys is None else frozenset(connection_keys)
    figures = _figures(since, user_id, keys)
    users = _users(since, user_id, keys)
    at_work = _runs(SyncRun.objects.filter(sync_status=SyncRun.Status.IN_PROGRESS), since, user_id, keys)
    users |= set(at_work.values_list("user_id", flat=True))
    in_progress = len(at_work)
    return {
        "days": days,
        "since": _utc(since),
        "until": _utc(until),
        "user_id": user_id,
        "total_syncs": figures.ended + in_progress,
        **{f"{state}_syncs": figures.numbers[state] for state in ENDS},
        "in_progress_syncs": in_progress,
        "success_rate": round(figures.success_rate or 0.0, 2),
        "unique_users": len(users - {None}),
        **{f"total_{entity}_processed": figures.counted(entity) for entity in ENTITIES},
        "total_grades_processed": figures.numbers["grades_processed"],
        "total_duration_seconds": figures.numbers["duration_ms"] / 1000,
        "average_duration_seconds": _rounded(figures.mean_seconds),
        "median_duration_seconds": _rounded(figures.seconds(0.5)),
        "p95_duration_seconds": _rounded(figures.seconds(0.95)),
        "total_api_calls": figures.numbers["api_calls_made"],
        "total_api_calls_failed": figures.numbers["api_calls_failed"],
        "total_api_duration_ms": figures.numbers["total_api_duration_ms"],
        "average_api_call_ms": _rounded(figures.per_call("total_api_duration_ms")),
        "total_rate_limit_hits": figures.numbers["api_rate_limit_hits"],
        "total_db_operations": figures.numbers["db_operations"],
        "total_db_duration_ms": figures.numbers["db_duration_ms"],
        "total_db_rows_written": figures.numbers["db_rows_written"],
    }


def _figures(since: datetime, user_id: int | None, keys: Collection[int] | None) -> Figures:
    """Add up the first day, of which only a part counts, from its runs, and the others from their rows."""
    runs = _runs(counted_runs(), since, user_id, keys)
    edge = runs.filter(sync_start_time__lt=_first_midnight(since)).prefetch_related("counts")
    figures = Figures.of_runs(edge.iterator(chunk_size=500))
    rows = SyncDay.objects.all() if user_id is None else SyncUserDay.objects.filter(user_id=user_id)
    for columns in _of_connections(rows.filter(day__gte=day_of(_first_midnight(since))), keys).values(
        *MERGED
    ):
        figures.add(columns)
    return figures


def _users(since: datetime, user_id: int | None, keys: Collection[int] | None) -> set[int | None]:
    midnight = _first_midnight(since)
    runs = _runs(counted_runs(), since, user_id, keys).filter(sync_start_time__lt=midnight)
    found = set(runs.order_by().values_list("user_id", flat=True).distinct())
    if user_id is None:
        return found | _users_since(day_of(midnight), keys)
    rows = _of_connections(SyncUserDay.objects.filter(user_id=user_id, day__gte=day_of(midnight)), keys)
    return found | ({user_id} if rows.exists() else set())


def _users_since(day: date, keys: Collection[int] | None) -> set[int]:
    if keys is not None and not keys:
        return set()
    wanted = list(keys or ())
    narrowed = f" AND days.connection_key IN ({', '.join(['%s'] * len(wanted))})" if wanted else ""
    with connection.cursor() as cursor:
        cursor.execute(USERS.format(narrowed=narrowed), [day.isoformat(), *wanted])
        return {user for (user,) in cursor.fetchall()}


def _first_midnight(since: datetime) -> datetime:
    midnight = start_of(day_of(since))
    return midnight if midnight == since else midnight + timedelta(days=1)


def _runs(
    runs: QuerySet[SyncRun], since: datetime, user_id: int | None, keys: Collection[int] | None
) -> QuerySet[SyncRun]:
    runs = _of_connections(runs.filter(sync_start_time__gte=since, dry_run=False), keys)
    return runs if user_id is None else runs.filter(user_id=user_id)


def _of_connections(rows: QuerySet[Any], keys: Collection[int] | None) -> QuerySet[Any]:
    if keys is None:
        return rows
    wanted = Q(connection_key__in=keys)
    # A run of no connection has no key; its day has 0.
    return rows.filter(wanted | Q(connection_key=None) if 0 in keys else wanted)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _utc(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
