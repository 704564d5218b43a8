"""The JSON endpoints of syncs: runs, one run, a summary, and what a dashboard needs at a glance."""

from __future__ import annotations

from collections.abc import Collection
from types import GenericAlias
from typing import Annotated, Any, Literal

from django.db.models import QuerySet
from msgspec import Meta, Struct, defstruct

from syncmetrics import summaries
from syncmetrics.endpoints import BadParameter, Endpoint, NotThere, Viewer, read_moment
from syncmetrics.models import SyncRun
from syncmetrics.serializer import ENTITIES

RECENT = 10
MOST_RUNS = 100
KEY = 2**63 - 1

# --- the answers' forms ---------------------------------------------------------------------------

Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, description="UTC, ISO 8601.")]


class Counts(Struct):
    """What was done to the records of one entity; `processed` are the live ones that were listed."""

    processed: int
    created: int
    updated: int
    unchanged: int
    deleted: int
    rejected: int


class Steps(Struct):
    """How many steps a run has, and how they stand."""

    total: int
    completed: int
    failed: int


class ApiMetrics(Struct):
    """A run's requests to Canvas."""

    calls_made: int
    calls_failed: int
    total_duration_ms: float
    wait_ms: float
    rate_limit_hits: int
    retries: int


class DatabaseMetrics(Struct):
    """A run's work in the database."""

    operations: int
    duration_ms: float
    rows_written: int


class RunFields(Struct):
    """What a run has beside its counts."""

    id: int
    sync_task_id: str
    user_id: int | None
    sync_type: str
    queued_at: Moment | None
    sync_start_time: Moment
    sync_end_time: Moment | None
    total_duration_seconds: float | None
    sync_status: Literal["queued", "in_progress", "completed", "failed", "partial", "cancelled", "lost"]
    error_message: str | None
    error_class: str
    connection: str
    mode: Literal["full", "incremental"]
    genre: str
    trigger: Literal["command", "console", "schedule", "code"]
    dry_run: bool
    resumed_from: int | None
    grades_processed: int
    steps: Steps
    api_metrics: ApiMetrics
    database: DatabaseMetrics


Run = defstruct(
    "Run",
    [(entity, Counts) for entity in ENTITIES],
    bases=(RunFields,),
    namespace={"__doc__": "One sync. Further entities have counts of the same form where they were counted."},
)
Runs = GenericAlias(list, Run)


class SummaryFields(Struct):
    """What a summary has beside its totals per entity."""

    days: int
    since: Moment
    until: Moment
    user_id: int | None
    total_syncs: int
    completed_syncs: int
    partial_syncs: int
    failed_syncs: int
    cancelled_syncs: int
    lost_syncs: int
    in_progress_syncs: int
    success_rate: float
    unique_users: int
    total_grades_processed: int
    total_duration_seconds: float
    average_duration_seconds: float | None
    median_duration_seconds: float | None
    p95_duration_seconds: float | None
    total_api_calls: int
    total_api_calls_failed: int
    total_api_duration_ms: int
    average_api_call_ms: float | None
    total_rate_limit_hits: int
    total_db_operations: int
    total_db_duration_ms: int
    total_db_rows_written: int


Summary = defstruct(
    "Summary",
    [(f"total_{entity}_processed", int) for entity in ENTITIES],
    bases=(SummaryFields,),
    namespace={"__doc__": "How the syncs of some days went; dry runs are left out."},
)
RunPage = defstruct(
    "RunPage",
    [("syncs", Runs), ("next", str | None)],
    namespace={"__doc__": "Runs, the newest first; `next` is the address of those before them."},
)
Dashboard = defstruct(
    "Dashboard",
    [("summary", Summary), ("recent_syncs", Runs)],
    namespace={"__doc__": f"A summary, and the last {RECENT} syncs."},
)

# --- the parameters -------------------------------------------------------------------------------

MOMENT = "a moment such as 2026-11-22T02:15:00Z, or a date such as 2026-11-22; UTC unless it says otherwise."
STATES = ", ".join(SyncRun.Status.values)

State = Literal["queued", "in_progress", "completed", "failed", "partial", "cancelled", "lost"]
UserKey = Annotated[int, Meta(ge=1, le=KEY, description="the number of a person of this console.")]
RunKey = Annotated[int, Meta(ge=1, le=KEY, description="the number of a run. Runs made before it.")]
ConnectionName = Annotated[str, Meta(description="the name or the number of a connection.")]
Days = Annotated[
    int,
    Meta(ge=1, le=summaries.MOST_DAYS, description=f"a number of days from 1 to {summaries.MOST_DAYS}."),
]


class RunQuery(Struct):
    """Which runs are asked for: of a connection, in some states, for a user, started since and until."""

    connection: ConnectionName | None = None
    status: Annotated[list[State], Meta(description=f"one or more of {STATES}, with commas.")] | None = None
    user: UserKey | None = None
    since: Annotated[str, Meta(description=f"{MOMENT} Runs that started then or later.")] | None = None
    until: Annotated[str, Meta(description=f"{MOMENT} Runs that started before.")] | None = None
    before: RunKey | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_RUNS, description=f"a number from 1 to {MOST_RUNS}.")] = 25


class SummaryQuery(Struct):
    """What is summed up: so many days, for a user, of a connection."""

    days: Days = 7
    user: UserKey | None = None
    connection: ConnectionName | None = None


class NoQuery(Struct):
    """Nothing can be chosen."""


# --- the answers ----------------------------------------------------------------------------------


def list_syncs(viewer: Viewer, query: RunQuery) -> dict[str, Any]:
    """Return a page of runs, the newest first, and the address of the next page."""
    found = _matching(viewer, query).order_by("-pk").prefetch_related("counts")
    runs = list(found[: query.limit + 1])
    page = runs[: query.limit]
    more = viewer.address(before=page[-1].pk) if len(runs) > query.limit else None
    return {"syncs": SyncRun.to_dicts(page), "next": more}


def _matching(viewer: Viewer, query: RunQuery) -> QuerySet[SyncRun]:
    wanted = {
        "connection_key": _connection_key(viewer, query.connection),
        "sync_status__in": query.status,
        "user_id": query.user,
        "sync_start_time__gte": read_moment("since", query.since, MOMENT),
        "sync_start_time__lt": read_moment("until", query.until, MOMENT),
        "pk__lt": query.before,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    return viewer.limit(SyncRun.objects.filter(**given))


def _connection_key(viewer: Viewer, name: str | None) -> int | None:
    """Return the key of the connection of a name; a number may be that of one that was deleted since."""
    if name is None:
        return None
    connections = viewer.connections()
    if name in connections:
        return connections[name]
    number = int(name) if name.isascii() and name.isdecimal() and len(name) <= 18 else 0
    if number in connections.values() or (number and not viewer.limited):
        return number
    raise BadParameter.value("connection", name, "the name or the number of a connection that you may see.")


def show_sync(viewer: Viewer, query: NoQuery, pk: int) -> dict[str, Any]:
    """Return one run."""
    run: SyncRun | None = viewer.limit(SyncRun.objects.filter(pk=pk)).first()
    if run is None:
        raise NotThere(f"There is no run {pk} that you may see.")
    return run.to_dict()


def summarise(viewer: Viewer, query: SummaryQuery) -> dict[str, Any]:
    """Return how the syncs of the last days went."""
    key = _connection_key(viewer, query.connection)
    keys: Collection[int] | None = None if key is None else [key]
    if keys is None and viewer.limited:
        keys = viewer.connections().values()
    return summaries.summary(days=query.days, user_id=query.user, connection_keys=keys)


def show_dashboard(viewer: Viewer, query: SummaryQuery) -> dict[str, Any]:
    """Return a summary and the last runs it is about, whenever those were."""
    runs = _matching(viewer, RunQuery(connection=query.connection, user=query.user))
    recent = runs.order_by("-sync_start_time", "-pk").prefetch_related("counts")[:RECENT]
    return {"summary": summarise(viewer, query), "recent_syncs": SyncRun.to_dicts(recent)}


ENDPOINTS = (
    Endpoint("syncs/", "list_syncs", "Runs, the newest first.", RunQuery, RunPage, list_syncs),
    Endpoint(
        "syncs/<int:pk>/",
        "show_sync",
        "One run.",
        NoQuery,
        Run,
        show_sync,
        parts={"pk": "The number of the run."},
    ),
    Endpoint(
        "syncs/summary/",
        "summarise_syncs",
        "How the syncs of the last days went.",
        SummaryQuery,
        Summary,
        summarise,
    ),
    Endpoint(
        "canvas/sync/metrics/",
        "show_sync_metrics",
        f"A summary and the last {RECENT} runs, for a dashboard.",
        SummaryQuery,
        Dashboard,
        show_dashboard,
    ),
)
