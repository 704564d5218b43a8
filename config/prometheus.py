"""`/metrics`: what syncs did and how things stand, for Prometheus; computed from the database when asked.

Off unless `PROMETHEUS_TOKEN` is set. Counters are sums of the daily aggregates, which stay when runs are
deleted, so they never go back; a run counts when it has ended, a dry run never. Names and units follow
https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from kombu.exceptions import OperationalError
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from canvas.freshness import freshness
from canvas.models import Connection
from canvas.overview import latest_completed
from syncmetrics.figures import COSTS, ENDS, MEASURED
from syncmetrics.jobs import OPEN
from syncmetrics.models import Incident, JobRun, SyncDay, SyncRun
from syncmetrics.runs import ACTIVE

QUEUES = ("celery",)
PATIENCE_SECONDS = 1
FRESHNESS_SECONDS = 60
"""How long freshness is kept: it is the one figure that costs more than a moment."""


@dataclass(frozen=True, slots=True)
class Cost:
    """A counter per connection: its name, what it says, its column of a day, and the unit of that."""

    name: str
    what: str
    column: str
    unit: float = 1


MS = 0.001
COUNTERS = (
    Cost("easel_canvas_requests", "Requests to Canvas, repeated ones too.", "api_calls_made"),
    Cost("easel_canvas_requests_failed", "Requests without a usable answer.", "api_calls_failed"),
    Cost("easel_canvas_requests_retried", "Requests that were repeats.", "api_retries"),
    Cost("easel_canvas_rate_limited", "Requests that Canvas refused for its limit.", "api_rate_limit_hits"),
    Cost("easel_canvas_request_seconds", "Time that requests took.", "total_api_duration_ms", MS),
    Cost("easel_canvas_wait_seconds", "Time that requests waited for their turn.", "api_wait_ms", MS),
    Cost("easel_database_seconds", "Time that the database was at work for syncs.", "db_duration_ms", MS),
    Cost("easel_rows_written", "Rows of the copy that were new or changed.", "db_rows_written"),
    Cost("easel_grades_processed", "Submissions with a grade that were listed.", "grades_processed"),
)
OF_DAYS = (*ENDS, "duration_ms", *COSTS)


class EaselCollector(Collector):
    """Reads everything at once when Prometheus asks; several processes share nothing but the database."""

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        last = latest_completed("sync_end_time")
        connections = list(Connection.objects.annotate(last_sync_at=last).order_by("pk"))
        names = _Names(connections)
        yield from _of_days(names)
        yield from _of_connections(connections)
        yield from _active_runs(names)
        yield _by("easel_jobs", "Background jobs that have not ended.", "state", OPEN, _open_jobs())
        yield from _incidents()
        yield from _freshness()
        yield from _queue()


class _Names:
    """The labels of connections, by key; a run may be of none, or of one that was deleted.

    No connection has a name with brackets, so that no two labels are the same: Prometheus would refuse both.
    """

    def __init__(self, connections: Iterable[Connection]) -> None:
        self._names = {connection.pk: connection.name for connection in connections}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names.values())

    def __getitem__(self, key: int | None) -> str:
        return self._names.get(key, f"(deleted {key})") if key else "(none)"


def _of_days(names: _Names) -> Iterator[Metric]:
    """Yield what all runs that ever ended came to."""
    sums = {name: Sum(name) for name in OF_DAYS}
    rows: list[Any] = list(SyncDay.objects.order_by().values("connection_key").annotate(**sums))
    runs = CounterMetricFamily("easel_sync_runs", "Syncs that ended.", labels=["connection", "status"])
    durations = SummaryMetricFamily(
        "easel_sync_duration_seconds",
        "How long the completed and the partial syncs took.",
        labels=["connection"],
    )
    for row in rows:
        name = names[row["connection_key"]]
        for status in ENDS:
            runs.add_metric([name, status], row[status])
        measured = sum(row[status] for status in MEASURED)
        durations.add_metric([name], count_value=measured, sum_value=row["duration_ms"] * MS)
    yield runs
    yield durations
    for cost in COUNTERS:
        family = CounterMetricFamily(cost.name, cost.what, labels=["connection"])
        for row in rows:
            family.add_metric([names[row["connection_key"]]], row[cost.column] * cost.unit)
        yield family


def _of_connections(connections: Iterable[Any]) -> Iterator[Metric]:
    last = GaugeMetricFamily(
        "easel_sync_last_success_timestamp_seconds",
        "When the last completed sync of everything ended.",
        labels=["connection"],
    )
    end = GaugeMetricFamily(
        "easel_token_expiry_timestamp_seconds", "When the token ends, where known.", labels=["connection"]
    )
    for connection in connections:
        _add_moment(last, connection.name, connection.last_sync_at)
        _add_moment(end, connection.name, connection.token_expires_at)
    yield last
    yield end


def _add_moment(family: GaugeMetricFamily, name: str, moment: datetime | None) -> None:
    if moment:
        family.add_metric([name], moment.timestamp())


def _active_runs(names: _Names) -> Iterator[Metric]:
    active = SyncRun.objects.filter(sync_status__in=ACTIVE).order_by()
    found = list(active.values_list("sync_status", "connection_key").annotate(Count("pk")))
    families = {
        SyncRun.Status.IN_PROGRESS: ("easel_syncs_running", "Syncs at work."),
        SyncRun.Status.QUEUED: ("easel_syncs_queued", "Syncs that wait for a worker."),
    }
    for wanted, (name, what) in families.items():
        family = GaugeMetricFamily(name, what, labels=["connection"])
        counts = Counter(dict.fromkeys(names, 0))
        for status, key, number in found:
            counts[names[key]] += number if status == wanted else 0
        for label, number in sorted(counts.items()):
            family.add_metric([label], number)
        yield family


def _open_jobs() -> dict[str, int]:
    open_jobs = JobRun.objects.filter(state__in=OPEN).order_by()
    return dict(open_jobs.values_list("state").annotate(Count("pk")))


def _incidents() -> Iterator[Metric]:
    kinds = [value for value, _ in Incident._meta.get_field("kind").flatchoices]
    open_ones = Incident.objects.filter(ended_at=None).order_by()
    found = dict(open_ones.values_list("kind").annotate(Count("pk")))
    yield _by("easel_incidents_open", "Incidents that have not ended.", "kind", kinds, found)


def _by(name: str, what: str, label: str, values: Iterable[str], found: dict[str, int]) -> Metric:
    """Return a gauge with every value of a label, so that what is none is 0 and not absent."""
    family = GaugeMetricFamily(name, what, labels=[label])
    for value in values:
        family.add_metric([str(value)], found.get(value, 0))
    return family


def _freshness() -> Iterator[Metric]:
    age = GaugeMetricFamily(
        "easel_data_age_seconds",
        "Age of the oldest part of the copy that is needed.",
        labels=["instance", "resource"],
    )
    promised = GaugeMetricFamily(
        "easel_data_promised_age_seconds", "How old it may be.", labels=["instance", "resource"]
    )
    for instance, resource, hours, hours_promised in (
        cache.get_or_set("prometheus_freshness", _ages, FRESHNESS_SECONDS) or ()
    ):
        if hours is not None:
            age.add_metric([instance, resource], hours * 3600)
        if hours_promised is not None:
            promised.add_metric([instance, resource], hours_promised * 3600)
    yield age
    yield promised


def _ages() -> list[tuple[str, str, float | None, int | None]]:
    return [(one.instance.name, one.resource, one.age_hours, one.promised_hours) for one in freshness()]


def _queue() -> Iterator[Metric]:
    """Yield whether Redis answers and how many messages wait; nothing of the latter where it does not."""
    answers = GaugeMetricFamily("easel_broker_up", "Whether the queue of background work answers.")
    depth = GaugeMetricFamily("easel_queue_depth", "Messages that wait for a worker.", labels=["queue"])
    try:
        with current_app.connection_for_read() as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE_SECONDS)
            queues: Any = broker.default_channel  # Redis's, the one broker Easel knows
            for queue in QUEUES:
                depth.add_metric([queue], queues.client.llen(queue))
        answers.add_metric([], 1)
    except (OperationalError, OSError, RedisError):
        answers.add_metric([], 0)
    yield answers
    yield depth


@csrf_exempt  # it is only read, and a scraper that posts is told so
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer Prometheus in the form it asks for: 404 while switched off, 401 without the token."""
    if not settings.PROMETHEUS_TOKEN:
        return _say(404, "Metrics are off: set PROMETHEUS_TOKEN to switch them on.")
    if not _by_token(request):
        refused = _say(401, "Send PROMETHEUS_TOKEN as `Authorization: Bearer ...`.")
        refused["WWW-Authenticate"] = 'Bearer realm="metrics"'
        return refused
    if request.method not in ("GET", "HEAD"):
        refused = _say(405, "This address is only read: use GET.")
        refused["Allow"] = "GET, HEAD"
        return refused
    registry = CollectorRegistry(auto_describe=False)
    registry.register(EaselCollector())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    try:
        return HttpResponse(encode(registry), content_type=content_type)
    except DatabaseError:
        return _say(503, "The database does not answer.")


def _say(status: int, text: str) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")


def _by_token(request: HttpRequest) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    known = secrets.compare_digest(given.strip().encode(), settings.PROMETHEUS_TOKEN.encode())
    return scheme.lower() == "bearer" and known
