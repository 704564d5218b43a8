"""What the five logs of a sync say: every event with its log and its fields.

The writer (`syncmetrics.events`), the analyser (`logmonitor.analysis`) and docs/logs.md read this table.
No field holds a token, a person's name, an address or a body of Canvas's: ids, numbers and fixed words do.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

LOGGER_PREFIX = "canvas.sync."
"""Names of the loggers begin so, and end with the log's: `canvas.sync.errors`."""

LOGS: Mapping[str, str] = {
    "operations": "What was done: syncs, their courses and other steps, tests of connections.",
    "api_calls": "Every HTTP request, the repeated ones too.",
    "database": "Every batch written.",
    "errors": "Everything that went wrong.",
    "progress": "How far a sync has come.",
}

COMMON: Mapping[str, str] = {
    "ts": "When, UTC, to the millisecond.",
    "level": "DEBUG, INFO, WARNING or ERROR.",
    "event": "Which event of this table.",
    "run": "Number of the run; null outside of one.",
    "connection": "Name of the connection.",
    "user": "Number of the console's user for whom the sync runs; null when for nobody.",
}
"""The fields every line begins with."""


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of line: the log it is in, what it says, its own fields and what they mean."""

    log: str
    what: str
    fields: Mapping[str, str]
    level: int = logging.INFO


_STEP = {
    "step": "Key of the step, such as course:1007 or users; empty where it is the run that failed.",
    "course": "Canvas's id of the course, as its URLs have it; null where the step is of no course.",
}
_DURATION = {"duration_ms": "How long it took, in milliseconds."}

EVENTS: Mapping[str, Event] = {
    "sync_started": Event(
        "operations",
        "A run begins.",
        {
            "mode": "full or incremental.",
            "sync_type": "all, course or user.",
            "trigger": "command, console, schedule or code.",
            "dry_run": "Whether nothing is written.",
            "resumed_from": "Number of the run it goes on with; null otherwise.",
        },
    ),
    "courses_planned": Event("operations", "The courses are known.", {"courses": "How many will be synced."}),
    "course_synced": Event(
        "operations",
        "A course was read to its end, or failed.",
        _STEP
        | {
            "state": "completed or failed.",
            "seconds": "From its first request to its end.",
            "records": "Records read, by entity.",
        },
    ),
    "step_synced": Event(
        "operations",
        "What is read of the whole account was read to its end, or failed.",
        {
            "step": _STEP["step"],
            "state": "completed or failed.",
            "seconds": "From its first request to its end.",
            "records": "Records read, by entity.",
        },
    ),
    "sync_ended": Event(
        "operations",
        "A run ends, as its row says.",
        {
            "status": "completed, partial, failed, cancelled or lost.",
            "seconds": "From start to end.",
            "courses": "Courses processed.",
            "assignments": "Assignments processed.",
            "submissions": "Submissions processed.",
            "requests": "HTTP requests made.",
            "rows_written": "Rows written to the database.",
        },
    ),
    "connection_tested": Event(
        "operations",
        "Canvas was asked whether a token works.",
        {"state": "ok, rejected, or the class of the error."} | _DURATION,
    ),
    "request": Event(
        "api_calls",
        "One HTTP attempt.",
        {
            "method": "GET.",
            "path": "Path without the API's prefix and without the query.",
            "status": "HTTP status; null when no answer came.",
            "duration_ms": "From sending to the last byte, in milliseconds.",
            "bytes": "Bytes received, compressed.",
            "paginated": "Whether it asked for a further page of a listing.",
            "throttled": "Whether Canvas refused for too many requests.",
            "retried": "Whether it will be made again.",
            "failed": "Whether it gave no usable answer.",
            "waited_ms": "How long it was held back before it was sent, in milliseconds: others had been"
            " refused, or it had failed before.",
        },
    ),
    "bulk_upsert": Event(
        "database",
        "One batch of one entity was compared and written.",
        {
            "entity": "Such as submissions.",
            "rows": "Rows in the batch.",
            "created": "New rows.",
            "updated": "Changed rows.",
            "unchanged": "Rows that were the same and were not written.",
            "deleted": "Rows that Canvas lists as deleted, and that were not marked so yet.",
            "statements": "SQL statements.",
        }
        | _DURATION,
    ),
    "mark_deleted": Event(
        "database",
        "Rows were marked deleted, after Canvas confirmed it.",
        {"entity": "Such as submissions.", "rows": "Rows marked."} | _DURATION,
    ),
    "flush": Event(
        "database",
        "One transaction was committed: batches, steps, counts.",
        {"rows": "Rows in its batches.", "steps": "Steps that ended in it."} | _DURATION,
    ),
    "error": Event(
        "errors",
        "A step failed, or the run did.",
        _STEP
        | {
            "error_class": "Class of the error.",
            "message": "What it says, redacted, in one line.",
        },
        logging.ERROR,
    ),
    "record_rejected": Event(
        "errors",
        "A record of Canvas's could not be stored.",
        {"entity": "Such as submissions.", "record_id": "Its id.", "message": "Why not."},
        logging.WARNING,
    ),
    "progress": Event(
        "progress",
        "How far a run has come, each time a course ends and at every heartbeat.",
        {
            "courses_done": "Courses read to their end.",
            "courses": "Courses planned.",
            "percent": "Of the courses; null before they are known.",
            "rows": "Rows processed.",
            "requests": "HTTP requests made.",
            "seconds": "Since the run began.",
        },
    ),
}
