"""What the files of one upload know of each other: the ids each lists, and where."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from parselogs.parsers.hashes import Hashes

FIRST_ROW = 2
"""Rows are counted from 1, the header."""


class Numbers:
    """The row numbers of a file's records, which are its rows without the blank ones, counted from 0."""

    def __init__(self) -> None:
        self._records, self._shifts = array("q"), array("q")

    def add(self, record: int, rows: Sequence[int]) -> None:
        """Note the rows of the next records; only where they are shifted anew is something kept."""
        shifted = [0] if isinstance(rows, range) else range(len(rows))
        for at in shifted:
            shift = rows[at] - record - at
            if not self._shifts or self._shifts[-1] != shift:
                self._records.append(record + at)
                self._shifts.append(shift)

    def row(self, record: int) -> int:
        """Return the row of a record."""
        return record + self._shifts[bisect_right(self._records, record) - 1]


class Listing:
    """The ids of one space, over all files that list them, one place per record."""

    def __init__(self) -> None:
        self.hashes = Hashes()
        self.rows = Hashes()
        """Hashes of the whole rows, where somebody asks whether two rows are the same."""
        self._starts: list[int] = []
        self._files: list[int] = []

    def begin(self, file: int) -> int:
        """Let a file begin; return the place of its first record."""
        self._starts.append(len(self.hashes))
        self._files.append(file)
        return self._starts[-1]

    def find(self, place: int) -> tuple[int, int]:
        """Return (file, record) of a place."""
        index = bisect_right(self._starts, place) - 1
        return self._files[index], place - self._starts[index]

    def at(self, file: int, record: int) -> int:
        """Return the hash of a file's record; 0 where the file lists nothing."""
        if file not in self._files:
            return 0
        return self.hashes[self._starts[self._files.index(file)] + record]

    def extend(self, hashes: Iterable[int]) -> None:
        """Add one hash per record."""
        self.hashes.extend(hashes)


class Batch:
    """The files of one upload, in the order they are read."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.numbers: list[Numbers] = []
        self.kinds: dict[str, str] = {}
        """First file of each kind."""
        self._listings: dict[str, Listing] = {}

    def begin_file(self, name: str) -> int:
        """Let a file begin; return its number."""
        self.files.append(name)
        self.numbers.append(Numbers())
        return len(self.files) - 1

    def listing(self, space: str) -> Listing:
        """Return the listing of an id space, made when first asked for."""
        return self._listings.setdefault(space, Listing())

    def listed(self, space: str) -> Hashes | None:
        """Return the ids of a space; None where no file lists them."""
        listing = self._listings.get(space)
        return listing.hashes if listing else None
