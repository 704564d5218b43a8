"""The report of an analysis as one JSON object; docs/analyze-logs.md describes every key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from easel.events import LOGS
from logmonitor.analysis.durations import RELATIVE_ERROR, middle, percentile
from logmonitor.analysis.engine import Analysis
from logmonitor.analysis.selection import Selection
from logmonitor.analysis.tallies import (
    FLAGS,
    RequestsTally,
    RunProgress,
    RunTally,
    WritesTally,
)
from logmonitor.analysis.wording import shown

SCHEMA = "easel.analyze_logs"
VERSION = 1
"""Grows when a key changes its meaning or goes; keys may be added without."""

STALL_SECONDS = 300.0
"""A run that gets on by no course, row or request for so long is said to have stalled."""
SUMMED = ("courses", "assignments", "submissions")
"""What the courses of a run add up to, before its end says it."""
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def report(analysis: Analysis, folder: str, selection: Selection, top: int, now: datetime) -> dict[str, Any]:
    """Return the report; lists that could be long have `top` entries at most."""
    sections = {}
    for log, (section, write) in _SECTIONS.items():
        told = selection.tells(log)
        sections[section] = write(analysis, top) if told else None
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "generated_at": _time(now),
        "log_dir": folder,
        "selection": {
            "since": _time(selection.since),
            "until": _time(selection.until),
            "runs": sorted(selection.runs),
            "users": sorted(selection.users),
            "courses": sorted(selection.courses),
        },
        "percentile_error": RELATIVE_ERROR,
        "input": _input(analysis, top),
        **sections,
    }


def _input(analysis: Analysis, top: int) -> dict[str, Any]:
    problems = Counter[str]()
    for (_, kind), number in analysis.problems.items():
        problems[kind] += number
    worst = sorted(analysis.problems.items(), key=lambda item: (-item[1], item[0]))
    return {
        "files": analysis.files,
        "bytes": analysis.bytes_read,
        "lines": sum(counted.lines for counted in analysis.counts.values()),
        "problems": dict(sorted(problems.items())),
        "problems_by_file": [
            {"file": shown(name), "kind": kind, "count": number} for (name, kind), number in worst[:top]
        ],
        "counted_once": [shown(name) for name in analysis.duplicates[:top]],
        "duplicates": len(analysis.duplicates),
    }


def _lines(analysis: Analysis, log: str) -> dict[str, Any]:
    counted = analysis.counts[log]
    return {"lines": counted.lines, "first": _time(counted.first), "last": _time(counted.last)}


def _operations(analysis: Analysis, top: int) -> dict[str, Any]:
    tally = analysis.tallies.operations
    runs = list(tally.runs.values())
    return _lines(analysis, "operations") | {
        "syncs_started": tally.events["sync_started"],
        "syncs_ended": _counts(tally.ends),
        "connections_tested": tally.events["connection_tested"],
        "connection_tests": _counts(tally.tests, top),
        **{name: sum(run.total(name) for run in runs) for name in SUMMED},
        "courses_failed": sum(run.courses_failed for run in runs),
        "elapsed_seconds": _round(sum(_elapsed(analysis, run) for run in runs)),
        "runs": [_run(analysis, run) for run in _latest(runs, top)],
        "slowest_courses": [
            {"course": shown(course), "run": run or None, "seconds": seconds, "state": shown(state)}
            for seconds, course, run, state in tally.slowest[:top]
        ],
    }


def _latest(runs: Iterable[RunTally], top: int) -> list[RunTally]:
    known = [run for run in runs if run.run is not None]
    return sorted(known, key=lambda run: run.run or 0, reverse=True)[:top]


def _elapsed(analysis: Analysis, run: RunTally) -> float:
    """Return the seconds a run took: what its end says, else its latest progress."""
    progress = analysis.tallies.progress
    if run.ended is None and run.run in progress.runs:
        return max(run.seconds, progress.runs[run.run].latest.seconds)
    return run.seconds


def _run(analysis: Analysis, run: RunTally) -> dict[str, Any]:
    return {
        "run": run.run,
        "connection": shown(run.connection),
        "mode": shown(run.mode),
        "sync_type": shown(run.sync_type),
        "trigger": shown(run.trigger),
        "started": _time(run.started),
        "ended": _time(run.ended),
        "status": run.status and shown(run.status),
        "seconds": _round(_elapsed(analysis, run)),
        **{name: run.total(name) if run.totals or name in SUMMED else None for name in RunTally.TOTALS},
        "courses_failed": run.courses_failed,
    }


def _api(analysis: Analysis, top: int) -> dict[str, Any]:
    tally = analysis.tallies.api_calls
    buckets = tally.endpoints()
    endpoints = [_endpoint(name, found, tally.longest) for name, found in buckets.items()]
    endpoints.sort(key=lambda each: (-each["mean_ms"], each["endpoint"]))
    named = dict(zip(FLAGS, ("rate_limit_hits", "retries", "failures"), strict=True))
    return _lines(analysis, "api_calls") | {
        "calls": tally.methods.total(),
        "by_method": _counts(tally.methods, top),
        "by_status": _counts(Counter({_status(key): n for key, n in tally.statuses.items()})),
        "paginated_requests": tally.paginated,
        **{name: tally.flags[flag] for flag, name in named.items()},
        "waited_ms": _round(tally.waited),
        "duration": _duration(tally, buckets),
        "slowest_endpoints": endpoints[:top],
        "endpoints": len(endpoints),
    }


def _status(status: int | None) -> str:
    return "none" if status is None else str(status)


def _duration(tally: RequestsTally, endpoints: Mapping[str, Counter[int]]) -> dict[str, Any]:
    buckets = sum(endpoints.values(), Counter[int]())
    calls = buckets.total()
    shares = {f"{name}_ms": percentile(buckets, share) for name, share in SHARES.items()}
    return {
        "total_ms": _round(tally.total),
        "mean_ms": _round(tally.total / calls) if calls else None,
        **{
            name: None if value is None else _round(min(value, tally.longest))
            for name, value in shares.items()
        },
        "max_ms": _round(tally.longest) if calls else None,
    }


def _endpoint(name: str, buckets: Counter[int], longest: float) -> dict[str, Any]:
    calls = buckets.total()
    total = sum(middle(bucket) * number for bucket, number in buckets.items())
    p95 = percentile(buckets, SHARES["p95"]) or 0.0
    return {
        "endpoint": shown(name),
        "calls": calls,
        "total_ms": _round(total),
        "mean_ms": _round(total / calls),
        "p95_ms": _round(min(p95, longest)),
        "max_ms": _round(min(middle(max(buckets)), longest)),
    }


def _database(analysis: Analysis, top: int) -> dict[str, Any]:
    tally = analysis.tallies.database
    # A transaction's rows and time are those of its batches once more.
    batches = [sums for key, sums in tally.operations.items() if key[0] != "flush"]

    def sum_of(name: str) -> int:
        return sum(sums[name] for sums in batches)

    ordered = sorted(tally.operations.items(), key=lambda item: (-item[1]["duration_ms"], item[0]))
    return _lines(analysis, "database") | {
        "operations": sum(sums["operations"] for sums in tally.operations.values()),
        "batches": _sum(tally, "bulk_upsert", "operations"),
        "transactions": _sum(tally, "flush", "operations"),
        **{name: sum_of(name) for name in ("rows", "created", "updated")},
        "unchanged": _sum(tally, "bulk_upsert", "unchanged"),
        "deleted": _sum(tally, "bulk_upsert", "deleted") + _sum(tally, "mark_deleted", "rows"),
        "statements": sum_of("statements"),
        "duration_ms": _round(max(_sum(tally, "flush", "duration_ms"), sum_of("duration_ms"))),
        "by_operation": _by(tally, 0, top),
        "by_entity": _by(tally, 1, top),
        "by_operation_and_entity": [
            {"operation": operation, "entity": shown(entity) or None} | _sums(sums)
            for (operation, entity), sums in ordered[:top]
        ],
    }


def _sum(tally: WritesTally, operation: str, name: str) -> int:
    return sum(sums[name] for key, sums in tally.operations.items() if key[0] == operation)


def _by(tally: WritesTally, place: int, top: int) -> dict[str, dict[str, Any]]:
    """Return the sums by operation or, where there is one, by entity; those that took longest first."""
    found: dict[str, Counter[str]] = {}
    for key, sums in tally.operations.items():
        if key[place]:
            found.setdefault(shown(key[place]), Counter()).update(sums)
    ordered = sorted(found.items(), key=lambda item: (-item[1]["duration_ms"], item[0]))
    return {name: _sums(sums) for name, sums in ordered[:top]}


def _sums(sums: Counter[str]) -> dict[str, Any]:
    names = ("operations", "rows", "created", "updated", "unchanged", "deleted", "statements")
    return {name: sums[name] for name in names} | {"duration_ms": _round(sums["duration_ms"])}


def _errors(analysis: Analysis, top: int) -> dict[str, Any]:
    tally = analysis.tallies.errors
    return _lines(analysis, "errors") | {
        "errors": tally.events["error"],
        "rejected_records": tally.events["record_rejected"],
        "by_user": _counts(tally.users, top),
        "by_course": _counts(tally.courses, top),
        "by_class": _counts(tally.classes, top),
        "by_message": _counts(tally.messages, top),
        "rejected_by_entity": _counts(tally.entities, top),
        "recent": [
            {
                "ts": _time(record.ts),
                "event": record.event,
                "run": record.run,
                "connection": shown(record.connection),
                "user": record.user,
                "step": shown(record.step) or None,
                "course": record.course,
                "error_class": shown(record.error_class) or None,
                "entity": shown(record.entity) or None,
                "record_id": record.record_id,
                "message": shown(record.message),
            }
            for record in tally.latest[:top]
        ],
    }


def _progress(analysis: Analysis, top: int) -> dict[str, Any]:
    tally = analysis.tallies.progress
    operations = analysis.tallies.operations
    runs = sorted(tally.runs.items(), key=lambda item: item[0] or 0, reverse=True)
    stalled = [run for run, progress in runs if progress.whole().longest_stall()[0] >= STALL_SECONDS]
    return _lines(analysis, "progress") | {
        "runs": len(runs),
        "stalled_runs": len(stalled),
        "stall_seconds": STALL_SECONDS,
        "by_run": [_progress_of(run, found, operations.runs.get(run)) for run, found in runs[:top]],
    }


def _progress_of(run: int | None, progress: RunProgress, operations: RunTally | None) -> dict[str, Any]:
    latest = progress.latest
    stall, until = progress.whole().longest_stall()
    return {
        "run": run,
        "connection": shown(latest.connection),
        "lines": progress.lines,
        "percent": latest.percent,
        "courses_done": latest.courses_done,
        "courses": latest.courses,
        "rows": latest.rows,
        "requests": latest.requests,
        "seconds": _round(latest.seconds),
        "last": _time(latest.ts),
        "status": shown(operations.status) if operations and operations.status else None,
        "longest_stall_seconds": _round(stall),
        "stalled_from_second": _round(until - stall),
    }


_SECTIONS: Mapping[str, tuple[str, Callable[[Analysis, int], dict[str, Any]]]] = {
    "operations": ("operations", _operations),
    "api_calls": ("api", _api),
    "database": ("database", _database),
    "errors": ("errors", _errors),
    "progress": ("progress", _progress),
}
"""Each log with the name of its section and what writes it."""
assert _SECTIONS.keys() == LOGS.keys()


def _counts(counter: Counter[str], top: int | None = None) -> dict[str, int]:
    """Return what was counted, the most frequent first."""
    found = Counter[str]()
    for key, number in counter.items():
        found[shown(key)] += number
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:top])


def _time(value: datetime | None) -> str | None:
    if value is None:
        return None
    try:
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:  # the year 1 or 9999 somewhere east or west
        return value.isoformat(timespec="milliseconds")


def _round(value: float | None) -> float | None:
    return round(value, 3) if value is not None and isfinite(value) else None
