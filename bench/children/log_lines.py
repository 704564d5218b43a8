"""Log lines for the analyser's benchmark: a seeded mix of all events, as busy syncs write them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from easel.events import EVENTS, LOGS

BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
WEIGHTS = {"api_calls": 60, "database": 20, "operations": 8, "progress": 10, "errors": 2}
"""Lines of each log among a hundred."""
LINES_PER_RUN = 10_000
LISTINGS = ("enrollments", "assignment_groups", "students/submissions", "sections", "modules", "groups")
ENTITIES = ("submissions", "enrollments", "assignments", "assignment_groups", "sections", "users")

Fields = dict[str, Any]


def write(folder: Path, lines: int, weights: dict[str, int] | None = None) -> None:
    """Write so many lines into the five logs of a folder."""
    weights = weights or WEIGHTS
    folder.mkdir(parents=True, exist_ok=True)
    for log in LOGS:
        share = lines * weights[log] // sum(weights.values())
        with open(folder / f"{log}.log", "w", encoding="utf-8") as file:
            file.writelines(_lines(log, share))


def _lines(log: str, number: int) -> Iterator[str]:
    chance, moment = random.Random(f"lines {log}"), BEGIN
    for index in range(number):
        moment += timedelta(milliseconds=chance.randrange(1, 200))
        event, fields = _MAKERS[log](chance, index)
        run = index // LINES_PER_RUN + 1
        common = {
            "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": "INFO",
            "event": event,
            "run": run,
            "connection": "main",
            "user": chance.choice((None, 3, 4)),
        }
        if fields.keys() != EVENTS[event].fields.keys():
            raise AssertionError(f"{event} is declared otherwise")
        yield json.dumps(common | fields, separators=(",", ":")) + "\n"


def _request(chance: random.Random, index: int) -> tuple[str, Fields]:
    failed = chance.random() < 0.01
    return "request", {
        "method": "GET",
        "path": f"courses/{chance.randrange(1000, 3000)}/{chance.choice(LISTINGS)}",
        "status": chance.choice((429, 500, None)) if failed else 200,
        "duration_ms": round(chance.lognormvariate(4.5, 0.8), 1),
        "bytes": chance.randrange(200, 100_000),
        "paginated": chance.random() < 0.4,
        "throttled": failed and chance.random() < 0.5,
        "retried": failed,
        "failed": failed,
        "waited_ms": 0.0 if chance.random() < 0.95 else round(chance.random() * 1000, 1),
    }


def _write(chance: random.Random, index: int) -> tuple[str, Fields]:
    duration = {"duration_ms": round(chance.lognormvariate(3, 1), 1)}
    if index % 5 == 4:
        return "flush", {"rows": chance.randrange(10_000), "steps": chance.randrange(5)} | duration
    rows = [chance.randrange(3_000) for _ in range(3)]
    counts = dict(zip(("created", "updated", "unchanged"), rows, strict=True))
    return "bulk_upsert", {
        "entity": chance.choice(ENTITIES),
        "rows": sum(rows),
        **counts,
        "deleted": 0,
        "statements": 2,
        **duration,
    }


def _operation(chance: random.Random, index: int) -> tuple[str, Fields]:
    at = index % LINES_PER_RUN
    if at == 0:
        return "sync_started", {
            "mode": "full",
            "sync_type": "all",
            "trigger": "schedule",
            "dry_run": False,
            "resumed_from": None,
        }
    if at == LINES_PER_RUN - 1:
        names = ("courses", "assignments", "submissions", "requests", "rows_written")
        totals = {name: chance.randrange(100_000) for name in names}
        return "sync_ended", {"status": "completed", "seconds": 1234.5} | totals
    course = chance.randrange(1000, 3000)
    return "course_synced", {
        "step": f"course:{course}",
        "course": str(course),
        "state": "completed",
        "seconds": round(chance.lognormvariate(1, 1), 3),
        "records": {entity: chance.randrange(500) for entity in ENTITIES[:5]},
    }


def _progress(chance: random.Random, index: int) -> tuple[str, Fields]:
    at = index % LINES_PER_RUN
    return "progress", {
        "courses_done": at,
        "courses": LINES_PER_RUN,
        "percent": round(100 * at / LINES_PER_RUN, 1),
        "rows": at * 120,
        "requests": at * 9,
        "seconds": round(at * 0.31, 3),
    }


def _error(chance: random.Random, index: int) -> tuple[str, Fields]:
    course = chance.randrange(1000, 3000)
    if index % 2:
        return "record_rejected", {
            "entity": chance.choice(ENTITIES),
            "record_id": str(chance.randrange(10**6)),
            "message": "due_at is no date.",
        }
    return "error", {
        "step": f"course:{course}",
        "course": str(course),
        "error_class": "Unavailable",
        "message": f"Canvas answers 502 for courses/{course}/enrollments: try later.",
    }


_MAKERS: dict[str, Callable[[random.Random, int], tuple[str, Fields]]] = {
    "operations": _operation,
    "api_calls": _request,
    "database": _write,
    "errors": _error,
    "progress": _progress,
}
