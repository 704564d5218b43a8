"""What is to be read: every log file once, even where it is there plain, compressed and archived."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b

from logmonitor.analysis.archive import DamagedArchive, Stream
from logmonitor.analysis.sources import (
    DAMAGED_GZIP,
    HEAD_BYTES,
    READ_BYTES,
    Identity,
    Source,
    Stretch,
    TooLarge,
    log_files,
    unpacked,
)

STRETCH_BYTES = 16 << 20
MOST_LENGTHS = 100
"""Of so many lengths may files be that begin with the same line; of more, only the same are found."""
Key = tuple[Identity, int | None]
"""A log file: what it stands in on disk, and the place in that archive."""
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
    a beginning only. Files of one log that begin with the same line are therefore compared by what they hold,
    and one that is the beginning of another is passed over. That reads each twice, however many there are.
    """
    copies = [copy for source in sources for copy in _copies(source)]
    dropped: defaultdict[Identity, set[int | None]] = defaultdict(set)
    names = []
    for copy in _repeated(copies):
        dropped[copy.source.identity].add(copy.place)
        names.append(copy.name)
    stretches: list[Stretch] = []
    for source in sources:
        places = dropped.get(source.identity, set())
        if None not in places:
            stretches += _stretches(source, frozenset(place for place in places if place is not None))
    stretches.sort(key=lambda stretch: stretch.end - stretch.start, reverse=True)
    return Plan(stretches, sorted(names))


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
    """Give the copies that others hold all of."""
    alike = defaultdict[tuple[str, bytes], list[Copy]](list)
    for copy in copies:
        if copy.head:
            alike[copy.log, copy.head].append(copy)
    groups = [group for group in alike.values() if len(group) > 1]
    lengths = _lengths([copy for group in groups for copy in group])
    cuts: dict[Key, list[int]] = {}
    for group in groups:
        different = sorted({lengths[_key(copy)] for copy in group})
        for copy in group:
            length = lengths[_key(copy)]
            cuts[_key(copy)] = [cut for cut in different[:MOST_LENGTHS] if cut < length] + [length]
    digests = _digests(cuts, {copy.source.identity: copy.source for group in groups for copy in group})
    for group in groups:
        yield from _held_by_others(group, digests)


def _held_by_others(group: Sequence[Copy], digests: Mapping[Key, Sequence[bytes]]) -> Iterator[Copy]:
    """Give the copies that are the beginning of a longer one, or the same as one before."""
    known = [(copy, digests[_key(copy)]) for copy in group if _key(copy) in digests]
    beginnings = {digest for _, found in known for digest in found[:-1]}
    seen: set[bytes] = set()
    for copy, (*_, whole) in known:
        if whole in beginnings or whole in seen:
            yield copy
        seen.add(whole)


def _key(copy: Copy) -> Key:
    return copy.source.identity, copy.place


def _lengths(copies: Sequence[Copy]) -> dict[Key, int]:
    """Return how many bytes of each copy can be read."""
    found = dict.fromkeys(map(_key, copies), 0)
    for source in {copy.source.identity: copy.source for copy in copies}.values():
        for key, data in _contents(source, found):
            found[key] += len(data)
    return found


def _digests(cuts: Mapping[Key, list[int]], sources: Mapping[Identity, Source]) -> dict[Key, list[bytes]]:
    """Return for each copy a digest of what stands before each of its cuts, which are in order.

    A copy that has become shorter since its cuts were made is left out.
    """
    found: dict[Key, list[bytes]] = {key: [] for key in cuts}
    at: Key | None = None
    digest, done = blake2b(), 0
    for source in sources.values():
        for key, data in _contents(source, cuts):
            if key != at:
                digest, done, at = blake2b(), 0, key
            start, known = done, found[key]
            for cut in cuts[key][len(known) :]:
                if cut > start + len(data):
                    break
                digest.update(data[done - start : cut - start])
                done = cut
                known.append(digest.digest())
            digest.update(data[done - start :])
            done = start + len(data)
    return {key: known for key, known in found.items() if len(known) == len(cuts[key])}


def _contents(source: Source, wanted: Collection[Key]) -> Iterator[tuple[Key, bytes]]:
    """Give the bytes of the wanted log files in a source, piece by piece, as far as they can be read."""
    if source.log:
        yield from (((source.identity, None), data) for data in _pieces(unpacked(source)))
        return
    with suppress(*UNREADABLE):
        for place, _, _, stream in log_files(source, _nobody_hears):
            if (source.identity, place) in wanted:
                yield from (((source.identity, place), data) for data in _pieces(stream))


def _pieces(stream: Stream) -> Iterator[bytes]:
    with suppress(*UNREADABLE):
        while data := stream.read(READ_BYTES):
            yield data


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
