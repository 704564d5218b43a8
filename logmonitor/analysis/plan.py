"""What is to be read: every log file once, even where it is there plain, compressed and archived."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from logmonitor.analysis.archive import DamagedArchive, Stream
from logmonitor.analysis.sources import (
    DAMAGED_GZIP,
    HEAD_BYTES,
    READ_BYTES,
    Source,
    Stretch,
    TooLarge,
    log_files,
    unpacked,
)

STRETCH_BYTES = 16 << 20
MOST_ALIKE = 10
"""With so many others that begin with the same line is a file compared: comparing reads both."""
UNREADABLE = (EOFError, OSError, DamagedArchive, TooLarge, *DAMAGED_GZIP)


@dataclass(frozen=True, slots=True)
class Copy:
    """One log file: in the folder, or the member at a place of an archive."""

    name: str
    log: str
    source: Source
    place: int | None
    head: bytes
    """Its first line, or how that begins."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read, the largest first, and which files are not, because others hold all that they do."""

    stretches: Sequence[Stretch]
    duplicates: Sequence[str]


def plan(sources: Sequence[Source]) -> Plan:
    """Decide what to read.

    A file that is being compressed, or archived and not yet removed, is there twice; the further copy may be
    a beginning only. Files of one log that begin with the same line are therefore compared byte by byte, and
    one that is the beginning of another is passed over.
    """
    copies = [copy for source in sources for copy in _copies(source)]
    dropped = {(copy.source.identity, copy.place): copy.name for copy in _repeated(copies)}
    stretches: list[Stretch] = []
    for source in sources:
        if (source.identity, None) not in dropped:
            places = (place for identity, place in dropped if identity == source.identity)
            stretches += _stretches(source, frozenset(place for place in places if place is not None))
    stretches.sort(key=lambda stretch: stretch.end - stretch.start, reverse=True)
    return Plan(stretches, sorted(dropped.values()))


def _copies(source: Source) -> Iterator[Copy]:
    if source.log:
        yield Copy(source.name, source.log, source, None, _head(unpacked(source)))
        return
    try:
        for place, log, name, stream in log_files(source, _nobody_hears):
            yield Copy(name, log, source, place, _head(stream))
    except UNREADABLE:
        return  # it is told when it is read


def _nobody_hears(kind: str, number: int) -> None:
    """Leave problems to the reading itself."""


def _head(stream: Stream) -> bytes:
    head = b""
    with suppress(*UNREADABLE):
        while len(head) < HEAD_BYTES and b"\n" not in head and (more := stream.read(HEAD_BYTES - len(head))):
            head += more
    return head.partition(b"\n")[0]


def _repeated(copies: Sequence[Copy]) -> Iterator[Copy]:
    alike = defaultdict[tuple[str, bytes], list[Copy]](list)
    for copy in copies:
        if copy.head:
            alike[copy.log, copy.head].append(copy)
    for group in alike.values():
        kept: list[Copy] = []
        for copy in group:
            yield from _settle(copy, kept)


def _settle(copy: Copy, kept: list[Copy]) -> Iterator[Copy]:
    """Keep a copy, or the one it repeats; give the other."""
    for index, other in enumerate(kept[:MOST_ALIKE]):
        shorter = _beginning(copy, other)
        if shorter is copy:
            yield copy
            return
        if shorter is other:
            kept[index] = copy
            yield other
            return
    kept.append(copy)


def _beginning(one: Copy, other: Copy) -> Copy | None:
    """Return which of two is the beginning of the other; the first where they are the same; else None."""
    ours, theirs = _Contents(one), _Contents(other)
    while True:
        size = min(ours.ahead(), theirs.ahead())
        if not size:
            return other if ours.ahead() else one
        if ours.take(size) != theirs.take(size):
            return None


class _Contents:
    """The bytes of a copy, taken in pieces of any size; they end where they cannot be read."""

    def __init__(self, copy: Copy) -> None:
        self._stream = _open(copy)
        self._ready = b""

    def ahead(self) -> int:
        """Return how many bytes are ready; 0 at the end only."""
        if not self._ready:
            try:
                self._ready = self._stream.read(READ_BYTES)
            except UNREADABLE:
                self._ready = b""
        return len(self._ready)

    def take(self, size: int) -> bytes:
        """Return that many of the bytes that are ready."""
        taken, self._ready = self._ready[:size], self._ready[size:]
        return taken


def _open(copy: Copy) -> Stream:
    if copy.place is None:
        return unpacked(copy.source)
    return next(found[3] for found in log_files(copy.source, _nobody_hears) if found[0] == copy.place)


def _stretches(source: Source, passed_over: frozenset[int]) -> Iterator[Stretch]:
    """Cut a plain file into parts of whole lines, so that several processes share it."""
    if source.whole:
        yield Stretch(source, 0, source.size, passed_over)
        return
    start = 0
    while start < source.size:
        end = _line_end(source, start + STRETCH_BYTES)
        yield Stretch(source, start, end)
        start = end


def _line_end(source: Source, at: int) -> int:
    """Return where the line ends that `at` is in."""
    while at < source.size:
        found = os.pread(source.file, READ_BYTES, at - 1).find(b"\n")
        if found >= 0:
            return at + found
        at += READ_BYTES
    return source.size
