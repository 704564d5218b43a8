"""The lines of the five logs as typed records, and what is wrong with lines that are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

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

Name = TypeVar("Name", bound=str)


class Line(Struct, Generic[Name], gc=False):
    """What every line begins with, as far as it is needed; `Name` is which events it may be of.

    Fields stand in the order they are written in, here and below: each is looked for behind the last one.
    """

    ts: Moment
    event: Name
    run: Run = None
    user: int | str | None = None


OperationName = Literal[
    "sync_started", "courses_planned", "course_synced", "step_synced", "sync_ended", "connection_tested"
]


class Operation(Line[OperationName], gc=False, kw_only=True):
    """A line of operations.log."""

    connection: Word = ""
    mode: Word = ""
    sync_type: Word = ""
    trigger: Word = ""
    course: Key = None
    state: Word = ""
    status: Word = ""
    seconds: Number = 0.0
    records: dict[str, Count] | None = None
    courses: Count = 0
    assignments: Count = 0
    submissions: Count = 0
    requests: Count = 0
    rows_written: Count = 0


class Request(Line[Literal["request"]], gc=False, kw_only=True):
    """A line of api_calls.log; most lines are these, and each bound costs time, so few are checked here."""

    method: Annotated[str, Meta(max_length=16)]
    path: str
    status: int | None
    duration_ms: Number
    paginated: bool = False
    throttled: bool = False
    retried: bool = False
    failed: bool = False
    waited_ms: float = 0.0


class Write(Line[Literal["bulk_upsert", "mark_deleted", "flush"]], gc=False, kw_only=True):
    """A line of database.log."""

    entity: Word = ""
    rows: Count = 0
    created: Count = 0
    updated: Count = 0
    unchanged: Count = 0
    deleted: Count = 0
    statements: Count = 0
    duration_ms: Number


class Problem(Line[Literal["error", "record_rejected"]], gc=False, kw_only=True):
    """A line of errors.log."""

    connection: Word = ""
    step: Word = ""
    course: Key = None
    error_class: Word = ""
    entity: Word = ""
    record_id: Key = None
    message: Text


class Progress(Line[Literal["progress"]], gc=False, kw_only=True):
    """A line of progress.log."""

    connection: Word = ""
    courses_done: Count = 0
    courses: Count | None = None
    percent: Annotated[float, Meta(ge=0, le=100)] | None = None
    rows: Count = 0
    requests: Count = 0
    seconds: Number


class AnyEvent(Struct):
    """Whatever calls itself an event."""

    event: str


RECORDS: Mapping[str, type[Line[Any]]] = {
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
