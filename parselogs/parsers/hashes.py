"""Ids of files of any size, eight bytes each: which of them repeat, which are in no other list.

Each id is kept as its 64-bit hash in a packed array with one place per record, 0 where there is none.
Python's hash of text is keyed anew in every process, so nobody can choose ids that collide; by chance, two
of ten million do in one of 400,000 files. Questions are answered part by part, each a set of bounded size,
because a set of all would take ten times the memory of the array.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import chain, compress
from struct import pack

PART = 1 << 18
MOST_PARTS = 16


class Hashes:
    """The hashes of one list of ids, in the order of their records."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values = array("q")

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> int:
        return self._values[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._values)

    def extend(self, hashes: Iterable[int]) -> None:
        """Add one hash per record, 0 for a record without an id."""
        values = list(hashes)
        self._values.frombytes(pack(f"{len(values)}q", *values))  # `extend` takes three times as long

    def clear(self, index: int) -> None:
        """Take back the id of one record."""
        self._values[index] = 0

    def repeats(self, since: int = 0) -> Iterator[tuple[int, int]]:
        """Yield (place, first place) of each id met before; only places from `since` on are told."""
        for part in _parts(len(self)):
            repeated = self._repeated(part)
            if not repeated:
                continue
            first: dict[int, int] = {}
            for place, value in compress(enumerate(self._values), self._mask(part)):
                if value in repeated and first.setdefault(value, place) != place and place >= since:
                    yield place, first[value]

    def absent(self, known: Iterable[Hashes]) -> Iterator[int]:
        """Yield the places whose ids are in none of the `known` lists."""
        lists = list(known)
        for part in _parts(sum(map(len, lists))):
            there = set(chain.from_iterable(each._of(part) for each in lists))
            there.add(0)
            for place, value in compress(enumerate(self._values), self._mask(part)):
                if value not in there:
                    yield place

    def _repeated(self, part: bytes) -> set[int]:
        """Return the ids of a part that are there more than once."""
        seen, repeated = set(self._of(part)), set[int]()
        blank = self._values.count(0) if part[0] else 0
        size = len(self) if all(part) else self._mask(part).count(1)
        if len(seen) == size - max(blank - 1, 0):
            return repeated
        seen.clear()
        for value in self._of(part):
            (repeated if value in seen else seen).add(value)
        return repeated - {0}

    def _of(self, part: bytes) -> Iterator[int]:
        return iter(self._values) if all(part) else compress(self._values, self._mask(part))

    def _mask(self, part: bytes) -> bytes:
        """Return a byte for each place, 1 where its id belongs to the part."""
        return memoryview(self._values).cast("B")[:: self._values.itemsize].tobytes().translate(part)


def _parts(size: int) -> Iterator[bytes]:
    """Yield parts, so many that each is near PART ids, but at most MOST_PARTS.

    A part is told by one byte of the hash: a table of which of its 256 values belong to it.
    """
    parts = 1
    while parts < MOST_PARTS and parts * PART < size:
        parts *= 2
    for wanted in range(parts):
        yield bytes(byte % parts == wanted for byte in range(256))
