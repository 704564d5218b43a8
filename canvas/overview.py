"""Is everything fine? Each connection's token, last syncs and rows, and what needs a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import BigIntegerField, OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.timesince import timesince

from canvas.freshness import Freshness
from canvas.lookup import rows_of
from canvas.models import Connection, Instance
from canvas.resources import RESOURCES, Resource
from syncmetrics.models import SyncCount, SyncRun

EXPIRES_SOON = timedelta(days=14)
EXACT_ROWS = 100_000
"""Tables are counted exactly up to here; above, the home page would wait for the count."""

PROMISES_NAMED = 3

_ENDS_THAT_ALARM = {
    SyncRun.Status.FAILED: "failed",
    SyncRun.Status.LOST: "was lost: its process ended without a word",
    SyncRun.Status.PARTIAL: "is partial: some of it could not be read",
    SyncRun.Status.CANCELLED: "was cancelled",
}
_GRAVE_ENDS = frozenset({SyncRun.Status.FAILED, SyncRun.Status.LOST})


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that needs a person; `grave` when the copy is or will be wrong without one."""

    text: str
    subject: Connection | SyncRun | Instance
    grave: bool = False


@dataclass(frozen=True, slots=True)
class Overview:
    """A connection and its latest runs; dry runs are left out."""

    connection: Connection
    last_run: SyncRun | None
    last_full: SyncRun | None
    last_incremental: SyncRun | None

    def problems(self, now: datetime) -> list[Problem]:
        """Return what needs a person, the token first: without it nothing else helps."""
        never = [Problem("No full sync has completed yet", self.connection)] if not self.last_full else []
        return [*_token_problems(self.connection, now), *_run_problems(self, now), *never]


@dataclass(frozen=True, slots=True)
class RowCount:
    """How many live rows of a resource an instance has; `exact` says whether they were counted."""

    resource: Resource
    number: int
    exact: bool


def overviews(of: QuerySet[Connection] | None = None) -> list[Overview]:
    """Return connections, all or those given, with their latest runs, in two queries."""
    connections = list(
        (Connection.objects.all() if of is None else of)
        .select_related("instance", "owner")
        .annotate(
            last_run=_latest("pk"),
            last_full=latest_completed("pk", mode=SyncRun.Mode.FULL),
            last_incremental=latest_completed("pk", mode=SyncRun.Mode.INCREMENTAL),
        )
        .order_by("instance__name", "name")
    )
    names = ("last_run", "last_full", "last_incremental")
    runs = SyncRun.objects.in_bulk({getattr(each, name) for each in connections for name in names} - {None})
    return [Overview(each, *(runs.get(getattr(each, name)) for name in names)) for each in connections]


def latest_completed(column: str, **conditions: str) -> Subquery:
    """Return, to annotate connections with, a column of their latest completed sync of everything."""
    return _latest(column, sync_status=SyncRun.Status.COMPLETED, sync_type="all", **conditions)


def _latest(column: str, **conditions: str) -> Subquery:
    runs = SyncRun.objects.filter(connection_key=OuterRef("pk"), dry_run=False, **conditions)
    return Subquery(runs.order_by("-sync_start_time", "-pk").values(column)[:1])


class _Number(Subquery):
    """How many rows a query finds."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) found)"
    output_field = BigIntegerField()
    empty_result_set_value = 0  # of a site that has no keys yet


def row_counts(instance: Instance) -> list[RowCount]:
    """Return how many live rows there are of each resource, in one statement for all of them.

    Above `EXACT_ROWS`, the number that the last completed full sync listed.
    """
    of_instance = rows_of(instance.pk)
    live = {
        name: resource.model._default_manager.filter(of_instance, deleted_at=None).order_by()
        for name, resource in RESOURCES.items()
    }
    numbers = [_Number(rows.values("pk")[: EXACT_ROWS + 1]) for rows in live.values()]
    found: tuple[int, ...] = Instance.objects.filter(pk=instance.pk).values_list(*numbers).get()
    counts = dict(zip(live, found, strict=True))
    listed = _last_listed(instance) if max(counts.values()) > EXACT_ROWS else {}
    return [
        RowCount(RESOURCES[name], count, exact=True)
        if count <= EXACT_ROWS
        else RowCount(RESOURCES[name], max(EXACT_ROWS, listed.get(name, 0)), exact=False)
        for name, count in counts.items()
    ]


def _last_listed(instance: Instance) -> dict[str, int]:
    run = (
        SyncRun.objects.filter(
            instance_key=instance.pk,
            sync_status=SyncRun.Status.COMPLETED,
            sync_type="all",
            mode=SyncRun.Mode.FULL,
            dry_run=False,
        )
        .order_by("-sync_start_time")
        .first()
    )
    return dict(SyncCount.objects.filter(run=run).values_list("entity", "processed")) if run else {}


def _token_problems(connection: Connection, now: datetime) -> Iterator[Problem]:
    if connection.state != Connection.State.OK:
        said = f": {connection.state_message}" if connection.state_message else ""
        yield Problem(f"{connection.get_state_display().capitalize()}{said}", connection, grave=True)
    expires = connection.token_expires_at
    if expires and expires <= now:
        yield Problem(f"The token expired {timesince(expires, now, depth=1)} ago", connection, grave=True)
    elif expires and expires <= now + EXPIRES_SOON:
        yield Problem(f"The token expires in {timesince(now, expires, depth=1)}", connection)


def _run_problems(overview: Overview, now: datetime) -> Iterator[Problem]:
    run = overview.last_run
    if run is None:
        return
    silence = now - run.heartbeat_at
    if run.sync_status in _ENDS_THAT_ALARM:
        text = f"The last sync {_ENDS_THAT_ALARM[SyncRun.Status(run.sync_status)]}"
        yield Problem(text, run, grave=run.sync_status in _GRAVE_ENDS)
    elif run.sync_end_time is None and silence > timedelta(seconds=settings.SYNC_LEASE_SECONDS):
        yield Problem(
            f"The sync at work has been silent for {timesince(run.heartbeat_at, now, depth=1)}", run
        )


def check_promises(found: Iterable[Freshness]) -> list[Problem]:
    """Return a problem for each instance that is older than was promised, naming what is oldest."""
    broken: dict[Instance, list[Freshness]] = {}
    for each in found:
        if each.broken:
            broken.setdefault(each.instance, []).append(each)
    return [Problem(_broken(promises), instance, grave=True) for instance, promises in broken.items()]


def _broken(promises: list[Freshness]) -> str:
    oldest = sorted(promises, key=lambda each: -(each.age_hours or 0))
    named = [
        f"{each.resource.replace('_', ' ')} ({each.age_hours:,.0f} h, promised {each.promised_hours:,} h)"
        for each in oldest[:PROMISES_NAMED]
    ]
    more = len(oldest) - len(named)
    return f"Older than promised: {', '.join(named)}{f' and {more} more' if more else ''}"


def check_all(found: list[Overview]) -> list[Problem]:
    """Return the problems of all connections, grave ones first."""
    now = timezone.now()
    problems = [problem for overview in found for problem in overview.problems(now)]
    return sorted(problems, key=lambda problem: not problem.grave)
