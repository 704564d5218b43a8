"""Writes what was read: rows, sums and the place that was reached, in one transaction.

The SQL is here because these are the hot statements: the ORM takes ten times as long for a row.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from django.db import DataError, InterfaceError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import F

from logmonitor.models import BadLine, LogLine, Segment
from logmonitor.transfers import rollup
from logmonitor.transfers.decoder import LineDecoder
from logmonitor.transfers.lines import LONGEST_RAW, Bad, Decoded, Line, mask_raw

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


def store(segment: Segment, decoder: LineDecoder, data: bytes, reached: Reached, flags: int = 0) -> Decoded:
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
    decoded = Decoded(bad=[bad] if bad else [], hole_bytes=hole_bytes)
    with transaction.atomic():
        _claim(segment)
        _keep_bad(segment.pk, decoded.bad)
        changes = _changes(segment, decoded, reached)
        Segment.objects.filter(pk=segment.pk).update(**changes)
    _bring_up_to_date(segment, changes)


Insert = Callable[[LineDecoder, Decoded, Iterable[tuple[int, bytes]], int], None]


def _store(
    segment: Segment, decoder: LineDecoder, data: bytes, reached: Reached, flags: int, insert: Insert
) -> Decoded:
    decoded = Decoded()
    with transaction.atomic():
        _claim(segment)
        insert(decoder, decoded, _pieces(data, segment.offset), flags)
        with connection.cursor() as cursor:
            rollup.add(cursor, decoded.lines)
        _keep_bad(segment.pk, decoded.bad)
        changes = _changes(segment, decoded, reached)
        stamp, fold = decoder.state
        changes |= {"last_stamp": stamp[:40], "fold": fold}
        Segment.objects.filter(pk=segment.pk).update(**changes)
    _bring_up_to_date(segment, changes)
    return decoded


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


def insert_lines(cursor: CursorWrapper, blocks: Iterable[Sequence[Line]]) -> None:
    """Insert rows as fast as the database takes them."""
    _BACKENDS[connection.vendor](cursor, blocks)


def _insert(decoder: LineDecoder, decoded: Decoded, pieces: Iterable[tuple[int, bytes]], flags: int) -> None:
    with connection.cursor() as cursor:
        insert_lines(cursor, _decoded(decoder, decoded, pieces, flags))


def _decoded(
    decoder: LineDecoder, decoded: Decoded, pieces: Iterable[tuple[int, bytes]], flags: int
) -> Iterator[Sequence[Line]]:
    for offset, piece in pieces:
        known = len(decoded.lines)
        decoder.decode(piece, offset, decoded, flags)
        yield decoded.lines[known:]


def _insert_one_by_one(
    decoder: LineDecoder, decoded: Decoded, pieces: Iterable[tuple[int, bytes]], flags: int
) -> None:
    """Insert halves of what was refused, down to the row that is: it becomes a bad line."""
    for offset, piece in pieces:
        known = len(decoded.lines)
        decoder.decode(piece, offset, decoded, flags)
        lines = decoded.lines[known:]
        refused = list(_refused(lines))
        decoded.lines[known:] = [line for line in lines if line not in refused]
        for line in refused:
            start = (line.id >> 1 & (1 << 40) - 1) - offset
            raw = mask_raw(piece[start:].partition(b"\n")[0])[:LONGEST_RAW]
            decoded.bad.append(Bad(start + offset, len(raw), raw, "the database refuses it"))


def _refused(lines: Sequence[Line]) -> Iterator[Line]:
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


def _copy(cursor: CursorWrapper, blocks: Iterable[Sequence[Line]]) -> None:
    # Our instants carry no offset.
    cursor.execute("SET LOCAL TIME ZONE 'UTC'")
    statement = f"COPY {TABLE} ({COLUMNS}) FROM STDIN (NULL '{_NULL}')"
    with connection.wrap_database_errors, cursor.cursor.copy(statement) as copy:
        for lines in blocks:
            copy.write(_text(lines))


def _text(lines: Sequence[Line]) -> str:
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


def _execute_many(cursor: CursorWrapper, blocks: Iterable[Sequence[Line]]) -> None:
    marks = ", ".join("?" * len(Line._fields))
    statement = f"INSERT INTO {TABLE} ({COLUMNS}) VALUES ({marks})"  # noqa: S608 - names of ours
    with connection.wrap_database_errors:
        for lines in blocks:
            connection.connection.executemany(statement, lines)


class _Backend(Protocol):
    def __call__(self, cursor: CursorWrapper, blocks: Iterable[Sequence[Line]], /) -> None: ...


_BACKENDS: Mapping[str, _Backend] = {"postgresql": _copy, "sqlite": _execute_many}


def _keep_bad(segment: int, bad: Sequence[Bad]) -> None:
    BadLine.objects.bulk_create(
        [
            BadLine(segment_id=segment, offset=one.offset, length=one.length, raw=one.raw, reason=one.reason)
            for one in bad
        ],
        batch_size=100,
    )


def _changes(segment: Segment, decoded: Decoded, reached: Reached) -> dict[str, Any]:
    changes: dict[str, Any] = {name: getattr(reached, name) for name in Reached.__slots__}
    changes |= {
        "lines": F("lines") + len(decoded.lines),
        "bad_lines": F("bad_lines") + len(decoded.bad),
        "hole_bytes": F("hole_bytes") + decoded.hole_bytes,
    }
    if decoded.lines:
        changes["last_at"] = instant(decoded.lines[-1].at)
        if segment.first_at is None:
            changes["first_at"] = instant(decoded.lines[0].at)
    return changes


def _bring_up_to_date(segment: Segment, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if not hasattr(value, "resolve_expression"):
            setattr(segment, name, value)


def instant(text: str) -> datetime:
    """Return the instant of a line's `at`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
