"""The analyser against the truth: syncs of a failing sandbox, its own request log, the database's rows."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from canvas.models import Connection
from canvas.sync import SyncOptions, sync
from easel.events import LOGS
from easel.paths import endpoint
from logmonitor.handler import LogFileHandler
from syncmetrics.events import LOGGER_PREFIX
from syncmetrics.models import SyncRun
from tests.canvas.conftest import EventfulSandbox, canvas, connection, quick, small_pages  # noqa: F401
from tests.logmonitor.log_folder import analysed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Path]:
    """Return a folder into which the five logs are written, rotated often."""
    handlers = {log: LogFileHandler(tmp_path, log, 20_000, 1000) for log in LOGS}
    for log, handler in handlers.items():
        logging.getLogger(LOGGER_PREFIX + log).addHandler(handler)
    yield tmp_path
    for log, handler in handlers.items():
        logging.getLogger(LOGGER_PREFIX + log).removeHandler(handler)


FAULTS = [
    {"kind": "500", "count": 3, "path": "/enrollments"},
    {"kind": "throttle429", "count": 2, "path": "/sections"},
    {"kind": "throttle403", "count": 1, "path": "/users"},
    {"kind": "reset", "count": 1, "path": "/terms"},
    {"kind": "not_found", "path": "courses/101/assignment_groups"},
]


@pytest.mark.usefixtures("small_pages")
def test_counts_are_those_of_canvas_and_of_the_database(
    logs: Path,
    connection: Connection,  # noqa: F811
    canvas: EventfulSandbox,  # noqa: F811
) -> None:
    canvas.set_faults(FAULTS)
    runs = [sync(connection, SyncOptions(mode="full")) for _ in range(2)]
    assert [run.sync_status for run in runs] == [SyncRun.Status.PARTIAL] * 2

    everything = analysed(logs, top=100)  # what was asked when the connection was made, too
    assert everything["input"]["problems"] == {}
    assert everything["input"]["files"] > len(LOGS)
    assert_requests(everything["api"], canvas.requests())

    found = analysed(logs, top=100, runs=frozenset(str(run.pk) for run in runs))
    totals = {name: sum(getattr(run, name) for run in runs) for name in COUNTED}
    assert {name: found["api"][key] for name, key in COUNTED.items()} == totals
    assert_rows(found, runs)
    assert_listings(found["api"], runs)


COUNTED = {
    "api_calls_made": "calls",
    "api_calls_failed": "failures",
    "api_retries": "retries",
    "api_rate_limit_hits": "rate_limit_hits",
}


def assert_requests(api: dict[str, Any], truth: list[dict[str, Any]]) -> None:
    """See that Canvas counted the same requests."""
    assert api["calls"] == len(truth)
    assert api["by_method"] == Counter(one["method"] for one in truth)
    statuses = Counter("none" if one["status"] is None else str(one["status"]) for one in truth)
    assert api["by_status"] == statuses
    paths = Counter(endpoint(one["path"]) for one in truth)
    assert {one["endpoint"]: one["calls"] for one in api["slowest_endpoints"]} == paths
    assert api["paginated_requests"] > 0


def assert_listings(api: dict[str, Any], runs: list[SyncRun]) -> None:
    """See that the runs keep of each listing what the log has."""
    kept = Counter[str]()
    for run in runs:
        run.refresh_from_db()
        kept.update({name: listing["requests"] for name, listing in run.listings.items()})
        assert sum(listing["failed"] for listing in run.listings.values()) == run.api_calls_failed
        took = sum(listing["duration_ms"] for listing in run.listings.values())
        assert took == pytest.approx(run.total_api_duration_ms, rel=0.01)
    assert {one["endpoint"]: one["calls"] for one in api["slowest_endpoints"]} == kept


def assert_rows(found: dict[str, Any], runs: list[SyncRun]) -> None:
    """See that the database's rows say the same of runs, entities, steps and errors."""
    by_entity = found["database"]["by_entity"]
    counts = Counter[tuple[str, str]]()
    for run in runs:
        for count in run.counts.all():
            for name in ("created", "updated", "unchanged"):
                counts[count.entity, name] += getattr(count, name)
    names = ("created", "updated", "unchanged")
    told = {(entity, name): sums[name] for entity, sums in by_entity.items() for name in names}
    assert Counter(told) == counts  # where one says 0, the other may say nothing
    operations = found["operations"]
    assert operations["syncs_started"] == len(runs)
    assert operations["assignments"] == sum(run.assignments_processed for run in runs)
    assert operations["submissions"] == sum(run.submissions_processed for run in runs)
    assert operations["courses"] == sum(run.courses_processed for run in runs)
    assert operations["courses_failed"] == sum(
        run.steps.filter(key__startswith="course:", state="failed").count() for run in runs
    )
    assert operations["elapsed_seconds"] == pytest.approx(
        sum(run.total_duration_seconds or 0 for run in runs), abs=0.01
    )
    failed = sum(run.steps.filter(state="failed").count() for run in runs)
    assert found["errors"]["errors"] == failed > 0
    assert {one["run"]: one["requests"] for one in found["progress"]["by_run"]} == {
        run.pk: run.api_calls_made for run in runs
    }
