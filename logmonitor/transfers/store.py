"""Writes what was read: rows, sums and the place that was reached, in one transaction.

The SQL is here because these are the hot statements: the ORM takes ten times as long for a row.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from django.db import DataError, InterfaceError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import F

from logmonitor.models import BadLine, LogLine, Segment
from logmonitor.transfers import rollup
from logmonitor.transfers.decoder import LineDecoder
from logmonitor.transfers.lines import LONGEST_RAW, Bad, Decoded, Line, Row, mask_raw

TABLE = LogLine._meta.db_table
COLUMNS = ", ".join(str(field.column) for field in LogLine._meta.concrete_fields)
PIECE_BYTES = 1 << 18
"""The server works on a piece of so many bytes while the next one is decoded."""

_NULL = "\x01"  # texts hold no control characters
_REFUSED = (DataError, InterfaceError, OverflowError, UnicodeEncodeError)


class Moved(Exception):
    """Another process has read on in this segment, or it is gone."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a segment stands once some bytes are stored."""

    offset: int
    head_len: int
    head: bytes
    anchor: bytes
    anchor_len: int
    seen_bytes: int
    path: str


@dataclass(slots=True)
class Stored:
    """What a batch came to: rows, the first and the last of them, their sums, and what is no line."""

    rows: int = 0
    first: Row | None = None
    last: Row | None = None
    sums: rollup.Adder = field(default_factory=rollup.Adder)
    bad: list[Bad] = field(default_factory=list)
    hole_bytes: int = 0

    def add(self, decoded: Decoded) -> None:
        """Add a piece of the batch."""
        if decoded.lines:
            self.rows += len(decoded.lines)
            self.first, self.last = self.first or decoded.lines[0], decoded.lines[-1]
            self.sums.add(decoded.lines)
        self.bad += decoded.bad
        self.hole_bytes += decoded.hole_bytes


def store(segment: Segment, decoder: LineDecoder, data: bytes, reached: Reached, flags: int = 0) -> Stored:
    """Store the lines in `data`, which begins at the segment's offset; raises `Moved`.

    All is stored and the offset moved, or nothing. A row that the database refuses becomes a bad line.
    The segment is brought up to date.
    """
    before = decoder.state
    try:
        with _without_collector():
            return _store(segment, decoder, data, reached, flags, _insert)
    except _REFUSED:
        decoder.state = before
    except BaseException:
        decoder.state = before
        raise
    return _store(segment, decoder, data, reached, flags, _insert_one_by_one)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Leave out the search for circles: a batch makes tens of thousands of tuples, and none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def skip(segment: Segment, reached: Reached, hole_bytes: int = 0, bad: Bad | None = None) -> None:
    """Move over bytes that hold no line; raises `Moved`."""
    stored = Stored(bad=[bad] if bad else [], hole_bytes=hole_bytes)
    with transaction.atomic():
        _claim(segment)
        _keep_bad(segment.pk, stored.bad)
        changes = _changes(segment, stored, reached)
        Segment.objects.filter(pk=segment.pk).update(**changes)
    _bring_up_to_date(segment, changes)


Pieces = Iterable[tuple[int, bytes]]
Insert = Callable[[LineDecoder, Stored, Pieces, int], None]


def _store(
    segment: Segment, decoder: LineDecoder, data: bytes, reached: Reached, flags: int, insert: Insert
) -> Stored:
    stored = Stored()
    with transaction.atomic():
        _claim(segment)
        insert(decoder, stored, _pieces(data, segment.offset), flags)
        with connection.cursor() as cursor:
            rollup.store(cursor, stored.sums.sums())
        _keep_bad(segment.pk, stored.bad)
        changes = _changes(segment, stored, reached)
        stamp, fold = decoder.state
        changes |= {"last_stamp": stamp[:40], "fold": fold}
        Segment.objects.filter(pk=segment.pk).update(**changes)
    _bring_up_to_date(segment, changes)
    return stored


def _claim(segment: Segment) -> None:
    """Keep others out until the transaction ends; raises `Moved` when they were here before."""
    row = Segment.objects.select_for_update().filter(pk=segment.pk).values_list("offset", flat=True).first()
    if row != segment.offset:
        raise Moved


def _pieces(data: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines in pieces, without the end of the last one, each with its offset."""
    start = 0
    while start < len(data):
        end = (
            len(data)
            if start + PIECE_BYTES >= len(data)
            else data.rfind(b"\n", start, start + PIECE_BYTES) + 1
        )
        end = end or data.find(b"\n", start) + 1 or len(data)
        piece = data[start:end]
        yield offset + start, piece[:-1] if piece.endswith(b"\n") else piece
        start = end


def insert_lines(cursor: CursorWrapper, blocks: Iterable[Sequence[Row]]) -> None:
    """Insert rows as fast as the database takes them."""
    _BACKENDS[connection.vendor](cursor, blocks)


def _insert(decoder: LineDecoder, stored: Stored, pieces: Pieces, flags: int) -> None:
    with connection.cursor() as cursor:
        insert_lines(cursor, _decoded(decoder, stored, pieces, flags))


def _decoded(decoder: LineDecoder, stored: Stored, pieces: Pieces, flags: int) -> Iterator[Sequence[Row]]:
    for offset, piece in pieces:
        decoded = Decoded()
        decoder.decode(piece, offset, decoded, flags)
        yield decoded.lines
        stored.add(decoded)  # while the server works on them


def _insert_one_by_one(decoder: LineDecoder, stored: Stored, pieces: Pieces, flags: int) -> None:
    """Insert halves of what was refused, down to the row that is: it becomes a bad line."""
    for offset, piece in pieces:
        decoded = Decoded()
        decoder.decode(piece, offset, decoded, flags)
        refused = {line[0] for line in _refused(decoded.lines)}
        decoded.lines = [line for line in decoded.lines if line[0] not in refused]
        for key in sorted(refused):
            start = (key >> 1 & (1 << 40) - 1) - offset
            raw = mask_raw(piece[start:].partition(b"\n")[0])[:LONGEST_RAW]
            decoded.bad.append(Bad(start + offset, len(raw), raw, "the database refuses it"))
        stored.add(decoded)


def _refused(lines: Sequence[Row]) -> Iterator[Row]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            insert_lines(cursor, [lines])
    except _REFUSED:
        if len(lines) == 1:
            yield lines[0]
            return
        half = len(lines) // 2
        yield from _refused(lines[:half])
        yield from _refused(lines[half:])


def _copy(cursor: CursorWrapper, blocks: Iterable[Sequence[Row]]) -> None:
    # Our instants carry no offset.
    cursor.execute("SET LOCAL TIME ZONE 'UTC'")
    statement = f"COPY {TABLE} ({COLUMNS}) FROM STDIN (NULL '{_NULL}')"
    with connection.wrap_database_errors, cursor.cursor.copy(statement) as copy:
        for lines in blocks:
            copy.write(_text(lines))


def _text(lines: Sequence[Row]) -> str:
    """Return rows as COPY wants them. Texts hold no control characters, so only backslashes need care."""
    rows: list[str] = []
    # fmt: off
    for (key, source, at, day, kind, sender, level, name, address, protocol, outcome,
         size, elapsed, path, target, session, message, flags) in lines:
        rows.append(
            f"{key}\t{source}\t{at}\t{day}\t{kind}\t{sender}\t{level}\t{name}\t{address}\t{protocol}\t"
            f"{outcome}\t{_NULL if size is None else size}\t{_NULL if elapsed is None else elapsed}\t{path}\t"
            f"{target}\t{session}\t{message}\t{flags}\n"
        )
    # fmt: on
    return "".join(rows).replace("\\", "\\\\")


def _execute_many(cursor: CursorWrapper, blocks: Iterable[Sequence[Row]]) -> None:
    marks = ", ".join("?" * len(Line._fields))
    statement = f"INSERT INTO {TABLE} ({COLUMNS}) VALUES ({marks})"  # noqa: S608 - names of ours
    with connection.wrap_database_errors:
        for lines in blocks:
            connection.connection.executemany(statement, lines)


class _Backend(Protocol):
    def __call__(self, cursor: CursorWrapper, blocks: Iterable[Sequence[Row]], /) -> None: ...


_BACKENDS: Mapping[str, _Backend] = {"postgresql": _copy, "sqlite": _execute_many}


def _keep_bad(segment: int, bad: Sequence[Bad]) -> None:
    BadLine.objects.bulk_create(
        [
            BadLine(segment_id=segment, offset=one.offset, length=one.length, raw=one.raw, reason=one.reason)
            for one in bad
        ],
        batch_size=100,
    )


def _changes(segment: Segment, stored: Stored, reached: Reached) -> dict[str, Any]:
    changes: dict[str, Any] = {name: getattr(reached, name) for name in Reached.__slots__}
    changes |= {
        "lines": F("lines") + stored.rows,
        "bad_lines": F("bad_lines") + len(stored.bad),
        "hole_bytes": F("hole_bytes") + stored.hole_bytes,
    }
    if stored.first and stored.last:
        changes["last_at"] = _instant(stored.last)
        if segment.first_at is None:
            changes["first_at"] = _instant(stored.first)
    return changes


def _bring_up_to_date(segment: Segment, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if not hasattr(value, "resolve_expression"):
            setattr(segment, name, value)


def _instant(row: Row) -> datetime:
    return datetime.fromisoformat(Line._make(row).at).replace(tzinfo=UTC)
