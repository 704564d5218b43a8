"""Checks of whole columns at once: each takes some thousand cells and returns the places that are wrong.

A clean column costs a set comparison or two, without a Python step per cell; only what fails is looked at
cell by cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from operator import contains

from parselogs.parsers.tables import Column, Kind, Need

Cells = Sequence[str]
Places = Iterable[int]

BOOLEANS = ("true", "false", "t", "f", "yes", "no", "y", "n", "on", "off", "1", "0")
REMEMBERED = 4096
REMEMBERED_LENGTH = 64

_DATE = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d{1,9})?)?\s?(?:Z|UTC|[+-]\d{2}:?\d{2})?)?",
    re.ASCII | re.IGNORECASE,
)
_EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+")
_NUMBER = re.compile(r"\d{1,19}(?:~\d{1,19})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a file: what it says, and the function that finds the rows at fault."""

    code: str
    positions: tuple[int, ...]
    faults: Callable[..., Places]
    """Takes the cells of each position; returns the places of rows at fault, ascending."""
    column: str | None = None
    detail: dict[str, str | int] = field(default_factory=dict)
    stripped: bool = True
    """Whether it is given cells without spaces around them."""


def stripped(cells: Cells) -> Cells:
    """Return the cells without spaces around them."""
    # Most columns that are checked hold no space at all, which is told faster than each cell is stripped.
    text = "".join(cells)
    return cells if not text or text.split(None, 1) == [text] else list(map(str.strip, cells))


def blank(cells: Cells) -> Places:
    """Return the places of blank cells."""
    return [at for at, cell in enumerate(cells) if not cell] if "" in cells else ()


def filled(cells: Cells) -> Places:
    """Return the places of cells that are not blank."""
    return [at for at, cell in enumerate(cells) if cell] if any(cells) else ()


def all_blank(*columns: Cells) -> Places:
    """Return the places where all of the columns, which need not be stripped, are blank."""
    if any(all(map(str.strip, cells)) for cells in columns):
        return ()
    return blank([cell.strip() for cell in map("".join, zip(*columns, strict=True))])


def half_filled(first: Cells, second: Cells) -> Places:
    """Return the places where one of two columns is filled and the other is not."""
    if not any(first) and not any(second):
        return ()
    pairs = enumerate(zip(first, second, strict=True))
    return [at for at, (one, other) in pairs if bool(one) != bool(other)]


class Distinct:
    """Finds cells that `valid` refuses, asking once for each value and remembering those it has passed."""

    def __init__(self, valid: Callable[[str], bool], known: Iterable[str] = ()) -> None:
        self._valid = valid
        self._known = {"", *known}

    def __call__(self, cells: Cells) -> Places:
        """Return the places of cells that are not blank and not valid."""
        if self._known.issuperset(cells):
            return ()
        wrong = {cell for cell in set(cells) - self._known if not self._passes(cell)}
        return [at for at, cell in enumerate(cells) if cell in wrong] if wrong else ()

    def _passes(self, cell: str) -> bool:
        value = cell.strip()
        if value and not self._valid(value):
            return False
        if len(self._known) < REMEMBERED and len(cell) <= REMEMBERED_LENGTH:
            self._known.add(cell)
        return True


def choice(allowed: Iterable[str]) -> Distinct:
    """Return a check for one of the `allowed` words, in any case."""
    words = {word.lower() for word in allowed}
    return Distinct(lambda value: value.lower() in words, allowed)


def date(allowed: Iterable[str]) -> Distinct:
    """Return a check for a date, or one of the `allowed` words."""
    words = frozenset(allowed)
    return Distinct(lambda value: value in words or is_date(value))


def is_date(value: str) -> bool:
    """Say whether `value` is a date as Canvas takes them: ISO 8601, leading zeros and zone may be missing."""
    found = _DATE.fullmatch(value)
    if found is None:
        return False
    try:
        datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def emails(cells: Cells) -> Places:
    """Return the places of cells that are neither blank nor an e-mail address."""
    text, filled = "\n".join(cells), len(cells) - cells.count("")
    one_each = sum(map(contains, cells, repeat("@"))) == filled == text.count("@")
    if one_each and text.count("\n") == len(cells) - 1 and not _is_doubtful(text):
        return ()
    return [at for at, cell in enumerate(cells) if (value := cell.strip()) and not _EMAIL.fullmatch(value)]


def _is_doubtful(text: str) -> bool:
    """Say whether one of the addresses, a line each and with one @ each, may still be wrong."""
    if not text.isascii() or any(mark in text for mark in ' ,;<>"\t\v\f\r\x1c\x1d\x1e\x1f'):
        return True
    return "\n@" in text or "@\n" in text or text.startswith("@") or text.endswith("@")


def numbers(cells: Cells) -> Places:
    """Return the places of cells that are neither blank nor a whole number (or `shard~number`)."""
    if all(map(str.isdecimal, cells)) and "".join(cells).isascii():
        return ()
    return [at for at, cell in enumerate(cells) if cell and not _NUMBER.fullmatch(cell)]


def of_column(column: Column, position: int) -> list[Check]:
    """Return the checks that a declared column asks for."""
    checks = []
    if column.need == Need.VALUE:
        checks.append(Check("missing_value", (position,), blank, column.name))
    if column.kind in _BY_KIND:
        code, make = _BY_KIND[column.kind]
        detail: dict[str, str | int] = {"allowed": ", ".join(column.allowed)} if column.allowed else {}
        # All but numbers look at a cell's spaces themselves, and only where the quick way does not do.
        checks.append(
            Check(code, (position,), make(column), column.name, detail, stripped=column.kind == Kind.NUMBER)
        )
    return checks


_BY_KIND: dict[Kind, tuple[str, Callable[[Column], Callable[[Cells], Places]]]] = {
    Kind.CHOICE: ("value_not_allowed", lambda column: choice(column.allowed)),
    Kind.ROLE: ("custom_role", lambda column: choice(column.allowed)),
    Kind.BOOLEAN: ("bad_boolean", lambda _: choice(BOOLEANS)),
    Kind.DATE: ("bad_date", lambda column: date(column.allowed)),
    Kind.EMAIL: ("bad_email", lambda _: emails),
    Kind.NUMBER: ("not_a_number", lambda _: numbers),
}
