"""The lines of the five logs as typed records, and what is wrong with lines that are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from easel.events import EVENTS

MAX_LINE_BYTES = 1 << 20
"""A longer line is not read: no event of ours comes near."""

# Bounds keep hostile values out of sums and of memory; whoever breaks them is counted as `wrong_type`.
Moment = Annotated[datetime, Meta(tz=True)]
Count = Annotated[int, Meta(ge=0, le=1 << 53)]
Number = Annotated[float, Meta(ge=0, le=1e12)]
Key = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | Annotated[str, Meta(max_length=200)] | None
Run = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] | None
Word = Annotated[str, Meta(max_length=200)]
Text = Annotated[str, Meta(max_length=4_000)]


class Line(Struct, gc=False):
    """What every line begins with, as far as it is needed."""

    ts: Moment
    run: Run = None
    user: int | str | None = None


class Operation(Line, gc=False, kw_only=True):
    """A line of operations.log."""

    event: Literal[
        "sync_started", "courses_planned", "course_synced", "step_synced", "sync_ended", "connection_tested"
    ]
    connection: Word = ""
    mode: Word = ""
    sync_type: Word = ""
    trigger: Word = ""
    course: Key = None
    state: Word = ""
    status: Word = ""
    seconds: Number = 0.0
    records: dict[Word, Count] | None = None
    courses: Count = 0
    assignments: Count = 0
    submissions: Count = 0
    requests: Count = 0
    rows_written: Count = 0


class Request(Line, gc=False, kw_only=True):
    """A line of api_calls.log; most lines are these, and each bound costs time, so few are checked here."""

    event: Literal["request"]
    method: Annotated[str, Meta(max_length=16)]
    path: str
    status: int | None
    duration_ms: Number
    waited_ms: float = 0.0
    paginated: bool = False
    throttled: bool = False
    retried: bool = False
    failed: bool = False


class Write(Line, gc=False, kw_only=True):
    """A line of database.log."""

    event: Literal["bulk_upsert", "mark_deleted", "flush"]
    duration_ms: Number
    entity: Word = ""
    rows: Count = 0
    created: Count = 0
    updated: Count = 0
    unchanged: Count = 0
    deleted: Count = 0
    statements: Count = 0


class Problem(Line, gc=False, kw_only=True):
    """A line of errors.log."""

    event: Literal["error", "record_rejected"]
    message: Text
    connection: Word = ""
    error_class: Word = ""
    step: Word = ""
    course: Key = None
    entity: Word = ""
    record_id: Key = None


class Progress(Line, gc=False, kw_only=True):
    """A line of progress.log."""

    event: Literal["progress"]
    seconds: Number
    connection: Word = ""
    courses_done: Count = 0
    courses: Count | None = None
    percent: Annotated[float, Meta(ge=0, le=100)] | None = None
    rows: Count = 0
    requests: Count = 0


class AnyEvent(Struct):
    """Whatever calls itself an event."""

    event: str


RECORDS: Mapping[str, type[Line]] = {
    "operations": Operation,
    "api_calls": Request,
    "database": Write,
    "errors": Problem,
    "progress": Progress,
}
"""Each log with what its lines are read as."""

_DECODERS = {log: msgspec.json.Decoder(record) for log, record in RECORDS.items()}
# An event of ours that does not decode is broken; any other JSON is somebody else's.
_EVENT = msgspec.json.Decoder(AnyEvent)

# RecursionError: arrays within arrays; ValueError: bytes that are no UTF-8.
_BAD = (msgspec.MsgspecError, ValueError, RecursionError)


def decode_lines(log: str, lines: Sequence[bytes], wrong: Callable[[str, int], None]) -> Sequence[Any]:
    """Return the records of lines of one log; `wrong(kind, lines)` hears of lines that are none.

    Kinds: `half_written` (cut off), `damaged` (no JSON), `foreign` (JSON, but no event of this log) and
    `wrong_type` (an event of this log with a field missing or not as declared). Blank lines are nothing.
    """
    # Msgspec's own `decode_lines` also takes two records in one line, and one over two lines.
    try:
        return list(map(_DECODERS[log].decode, lines))
    except _BAD:
        return list(_decode_singly(log, lines, wrong))


def _decode_singly(log: str, lines: Sequence[bytes], wrong: Callable[[str, int], None]) -> Iterator[Any]:
    decode = _DECODERS[log].decode
    for line in map(bytes.strip, lines):
        try:
            yield decode(line)
        except _BAD as error:
            if line:
                wrong(_kind(log, line, error), 1)


def _kind(log: str, line: bytes, error: Exception) -> str:
    if not isinstance(error, msgspec.ValidationError):
        return "half_written" if "truncated" in str(error) and line.startswith(b"{") else "damaged"
    try:
        event = _EVENT.decode(line)
    except _BAD as again:
        return "foreign" if isinstance(again, msgspec.ValidationError) else "damaged"
    declared = EVENTS.get(event.event)
    return "wrong_type" if declared and declared.log == log else "foreign"
