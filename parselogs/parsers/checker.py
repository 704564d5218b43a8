"""The rows of one file against its checks, its keys and what it refers to; some thousand rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from parselogs.parsers.batch import Batch, Listing
from parselogs.parsers.checks import Cells, Check, blank, stripped
from parselogs.parsers.findings import Code, Finding, Severity, meaning_of
from parselogs.parsers.hashes import Hashes
from parselogs.parsers.limits import Limits
from parselogs.parsers.records import Row
from parselogs.parsers.tables import Key

HEADER_ROW = 1


@dataclass(slots=True)
class Context:
    """What a parser is given beside the header: the file, its batch, and where findings go."""

    file: str
    batch: Batch
    limits: Limits
    send: Callable[[Finding], None]
    self_contained: bool = False
    """Whether an archive is said to hold everything its rows refer to."""
    codes: Mapping[str, Code] = field(default_factory=dict)
    """Codes that the parser declares beside those of `parselogs.parsers.findings.CODES`."""

    def find(self, code: str, row: int | None = None, column: str | None = None, **detail: str | int) -> None:
        """Send one finding."""
        self.send(Finding(code, self.file, row, column, detail, self.codes.get(code)))

    def rejects(self, code: str) -> bool:
        """Tell whether a row is rejected for a code."""
        return meaning_of(code, self.codes.get(code)).severity == Severity.ROW


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of a chunk or a file that are not blank; rejected ones are among those read."""

    read: int = 0
    rejected: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.read + other.read, self.rejected + other.rejected)


@dataclass(slots=True)
class BoundKey:
    """A key of a file whose header is known: where its columns are, and the list it is kept in."""

    key: Key
    positions: tuple[int, ...]
    listing: Listing
    start: int

    @property
    def column(self) -> str:
        """The names of the columns that are there."""
        return ", ".join(self.key.columns)


@dataclass(slots=True)
class BoundReference:
    """A column that refers to another file's ids, with the hashes of its cells."""

    position: int
    column: str
    space: str
    known: Hashes
    cells: Hashes = field(default_factory=Hashes)

    @property
    def kind(self) -> str:
        """The kind of file that lists the ids."""
        return self.space.partition(".")[0]


@dataclass(slots=True)
class Parents:
    """Ids of parents that were not seen before their children; they may come later, or never."""

    positions: tuple[int, int]
    seen: set[int]
    waiting: Hashes = field(default_factory=Hashes)


@dataclass(slots=True)
class Plan:
    """What is to be checked in the rows of one file."""

    width: int
    lead: int
    """Position of a column that no row leaves blank: rows that do are looked at, whether all is blank."""
    checks: list[Check]
    keys: list[BoundKey] = field(default_factory=list)
    references: list[BoundReference] = field(default_factory=list)
    together: tuple[BoundReference, int] | None = None
    """A reference to pairs: its position is that of the first, the number that of the second."""
    parents: Parents | None = None
    status: int | None = None
    deleted: frozenset[str] = frozenset()

    @property
    def read(self) -> set[int]:
        """Positions of the columns whose cells are compared, and therefore stripped."""
        positions = {self.lead}
        positions.update(*(check.positions for check in self.checks if check.stripped))
        positions.update(*(key.positions for key in self.keys))
        positions.update(reference.position for reference in self.references)
        if self.together:
            positions.update((self.together[0].position, self.together[1]))
        return positions | set(self.parents.positions if self.parents else ())


class RowChecker:
    """Checks the rows of one file, then, at its end, what needs all of them."""

    def __init__(self, plan: Plan, context: Context, file: int) -> None:
        self._plan, self._context, self._file = plan, context, file
        self._numbers = context.batch.numbers[file]
        self._positions = plan.read
        self._records = 0
        self._deleted = self._read = 0

    def check(self, first_row: int, rows: list[Row], texts: Sequence[str]) -> Counts:
        """Check rows that follow each other, from the number `first_row` on; blank ones are not counted."""
        numbers: Sequence[int] = range(first_row, first_row + len(rows))
        unusable: set[int] = set()
        columns = self._columns(rows) if set(map(len, rows)) == {self._plan.width} else None
        if columns is None or "" in columns[self._plan.lead]:
            filled = [at for at, row in enumerate(rows) if row and any(map(str.strip, row))]
            if not filled:
                return Counts()
            numbers, texts = [numbers[at] for at in filled], [texts[at] for at in filled]
            rows = self._aligned(numbers, [rows[at] for at in filled], unusable)
            columns = self._columns(rows)
        rejected = unusable | self._find_faults(numbers, columns, unusable)
        self._keep(columns, texts, rejected)
        self._numbers.add(self._records, numbers)
        self._records += len(rows)
        self._read += len(rows)
        return Counts(len(rows), len(rejected))

    def finish(self) -> int:
        """Compare all rows with each other and with other files; return how many more are rejected."""
        late = bytearray(self._records)
        for bound in self._plan.keys:
            if not bound.key.repeats:
                self._find_repeats(bound, late)
        if self._plan.parents:
            self._find_late_parents(self._plan.parents, late)
        unknown = self._find_absent(late)
        if self._plan.together:
            self._find_wrong_pairs(*self._plan.together, unknown, late)
        self._judge_deletions()
        self._forget(late)
        return late.count(1)

    # One chunk

    def _columns(self, rows: list[Row]) -> list[Cells]:
        columns: list[Cells] = list(zip(*rows, strict=True))
        for position in self._positions:
            columns[position] = stripped(columns[position])
        return columns

    def _find_faults(self, numbers: Sequence[int], columns: list[Cells], unusable: set[int]) -> set[int]:
        """Tell what is wrong in the rows that can be used; return those that are rejected for it."""
        rejected = set()
        for check in self._plan.checks:
            faults = check.faults(*(columns[position] for position in check.positions))
            at_fault = [at for at in faults if at not in unusable]
            for at in at_fault:
                self._find(check.code, numbers[at], check.column, check.detail)
            if at_fault and self._context.rejects(check.code):
                rejected.update(at_fault)
        return rejected

    def _aligned(self, numbers: Sequence[int], rows: list[Row], unusable: set[int]) -> list[Row]:
        """Return the rows in the header's width; those that cannot be are blank then, and unusable."""
        width, result = self._plan.width, []
        for at, row in enumerate(rows):
            if len(row) == width:
                result.append(row)
            elif self._fits(numbers[at], row):
                result.append([*row[:width], *[""] * (width - len(row))])
            else:
                result.append([""] * width)
                unusable.add(at)
        return result

    def _fits(self, row_number: int, row: Row) -> bool:
        """Say whether a row of another width can be used, and tell of it."""
        width = self._plan.width
        if len(row) < width:
            code = "too_few_cells"
        else:
            code = "too_many_cells" if any(map(str.strip, row[width:])) else "blank_cells_added"
        self._find(code, row_number, None, {"cells": len(row), "columns": width})
        return code != "too_many_cells"

    def _keep(self, columns: list[Cells], texts: Sequence[str], unusable: set[int]) -> None:
        """Keep the hashes of keys and references, but not those of rows that cannot be used."""
        deleted = self._deleted_places(columns, unusable)
        for bound in self._plan.keys:
            hashes = bound.listing.hashes
            start = len(hashes)
            hashes.extend(_key_hashes(bound.key, [columns[position] for position in bound.positions]))
            for at in (unusable | deleted) if bound.key.claim else unusable:
                hashes.clear(start + at)
            if not (bound.key.claim or bound.key.repeats):
                bound.listing.rows.extend(map(hash, texts))
        for reference in self._plan.references:
            self._keep_reference(reference, map(hash, columns[reference.position]), unusable)
        if self._plan.together:
            reference, second = self._plan.together
            pair = (columns[reference.position], columns[second])
            halves = set(blank(pair[0])) | set(blank(pair[1]))
            self._keep_reference(reference, map(hash, zip(*pair, strict=True)), unusable | halves)
        if self._plan.parents:
            self._keep_parents(self._plan.parents, columns, unusable)

    def _keep_reference(self, reference: BoundReference, hashes: Iterable[int], unusable: set[int]) -> None:
        start = len(reference.cells)
        reference.cells.extend(hashes)
        for at in unusable:
            reference.cells.clear(start + at)

    def _keep_parents(self, parents: Parents, columns: list[Cells], unusable: set[int]) -> None:
        ids, above = (map(hash, columns[position]) for position in parents.positions)
        for at, (own, parent) in enumerate(zip(ids, above, strict=True)):
            usable = at not in unusable
            parents.waiting.extend((parent if usable and parent not in parents.seen else 0,))
            if usable:
                parents.seen.add(own)

    def _deleted_places(self, columns: list[Cells], unusable: set[int]) -> set[int]:
        """Return and count the rows that delete something."""
        if self._plan.status is None:
            return set()
        cells = columns[self._plan.status]
        words = {cell for cell in set(cells) if cell.strip().lower() in self._plan.deleted}
        places = {at for at, cell in enumerate(cells) if cell in words} - unusable if words else set[int]()
        self._deleted += len(places)
        return places

    # The end of the file

    def _find_repeats(self, bound: BoundKey, late: bytearray) -> None:
        listing, files = bound.listing, self._context.batch.files
        for place, first in listing.hashes.repeats(bound.start):
            record = place - bound.start
            first_file, first_record = listing.find(first)
            first_row = self._context.batch.numbers[first_file].row(first_record)
            detail: dict[str, str | int] = {"first_row": first_row, "first_file": files[first_file]}
            if bound.key.claim:
                if self._same_owner(record, first_file, first_record):
                    continue
                late[record] = 1
                code = "value_claimed"
            else:
                same = listing.rows[place] == listing.rows[first]
                code = "repeated_row" if same else "conflicting_row"
            self._find(code, self._numbers.row(record), bound.column, detail)

    def _same_owner(self, record: int, first_file: int, first_record: int) -> bool:
        """Say whether two rows have the same primary key: then that has been told, or both are one object."""
        owners = self._plan.keys[0].listing
        own = owners.at(self._file, record)
        return own != 0 and own == owners.at(first_file, first_record)

    def _find_late_parents(self, parents: Parents, late: bytearray) -> None:
        listing = self._plan.keys[0].listing
        absent = bytearray(self._records)
        for record in parents.waiting.absent([listing.hashes]):
            absent[record] = 1
            self._refer(record, "parent_account_id", "accounts", late)
        for record in range(self._records):
            if parents.waiting[record] and not absent[record]:
                late[record] = 1
                self._find("parent_later", self._numbers.row(record), "parent_account_id", {})

    def _find_absent(self, late: bytearray) -> dict[int, bytearray]:
        """Tell of ids that no file of the archive lists; return them by position, a byte per record."""
        flags = {}
        for reference in self._plan.references:
            absent = flags[reference.position] = bytearray(self._records)
            for record in reference.cells.absent([reference.known]):
                absent[record] = 1
                self._refer(record, reference.column, reference.kind, late)
        return flags

    def _refer(self, record: int, column: str, kind: str, late: bytearray) -> None:
        code = "reference_absent"
        if self._context.self_contained:
            code, late[record] = "reference_missing", 1
        self._find(code, self._numbers.row(record), column, {"kind": kind})

    def _find_wrong_pairs(
        self, pairs: BoundReference, second: int, unknown: dict[int, bytearray], late: bytearray
    ) -> None:
        strangers = unknown.get(pairs.position, bytearray(self._records))
        for record in pairs.cells.absent([pairs.known]):
            if not strangers[record]:
                late[record] = 1
                self._find("section_of_other_course", self._numbers.row(record), pairs.column, {})

    def _forget(self, late: bytearray) -> None:
        """Take back the ids of rows that were rejected at last: later files cannot refer to them."""
        record = late.find(1)
        while record >= 0:
            for bound in self._plan.keys:
                bound.listing.hashes.clear(bound.start + record)
            record = late.find(1, record + 1)

    def _judge_deletions(self) -> None:
        limits, rows, deleted = self._context.limits, self._read, self._deleted
        if rows >= limits.deletions_min_rows and deleted * 100 > rows * limits.deletions_percent:
            detail: dict[str, str | int] = {
                "percent": deleted * 100 // rows,
                "deleted": deleted,
                "rows": rows,
            }
            self._find("many_deletions", None, None, detail)

    def _find(self, code: str, row: int | None, column: str | None, detail: dict[str, str | int]) -> None:
        context = self._context
        context.send(Finding(code, context.file, row, column, detail, context.codes.get(code)))


def _key_hashes(key: Key, columns: Sequence[Cells]) -> Iterable[int]:
    """Return the hashes of a key's values, 0 for blank ones; blank columns make no difference to a claim."""
    if key.fold and not "".join(columns[0]).islower():
        columns = [list(map(str.lower, cells)) for cells in columns]
    filled = [cells for cells in columns[1:] if any(cells)] if key.claim else columns[1:]
    if not filled:
        return map(hash, columns[0])
    rows = zip(columns[0], *filled, strict=True)
    if not key.claim:
        return map(hash, rows)
    return (hash(row if any(row[1:]) else row[0]) if row[0] else 0 for row in rows)
