"""Canvas's gradebook export: a student a row, an assignment a column, scores in the user's own notation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from parselogs.parsers import checks
from parselogs.parsers.checker import HEADER_ROW, BoundKey, Context, Counts, Plan, RowChecker
from parselogs.parsers.checks import Cells, Check, Distinct, Places
from parselogs.parsers.parser import Checker
from parselogs.parsers.records import Row
from parselogs.parsers.tables import primary

FAMILY = "gradebook"
POINTS = "points possible"
PREAMBLE_ROWS = 2
"""Rows that may stand between header and students: posting policies, then the points possible."""
MARKS = (frozenset({"student", "id", "section"}), frozenset({"lastname", "firstname", "id", "section"}))
WORDS = frozenset({"ex", "n/a", "-", "complete", "incomplete", "pass", "fail"})

_ASSIGNMENT = re.compile(r"\((\d{1,19})\)$", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,15}(?:[.,]\d{1,15})?|-?[.,]\d{1,15}", re.ASCII)
_GRADE = re.compile(r"[A-Za-z][+\-\u2212*]?|-?\d{1,15}(?:[.,]\d{1,15})?\s?%", re.ASCII)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One column of scores. Its title may say anything and is not shown, so the id stands for it."""

    position: int
    id: str

    @property
    def column(self) -> str:
        """How findings name the column."""
        return f"assignment {self.id}"


class GradebookParser:
    """Reads gradebook exports; separators, decimal commas and byte order marks are the user's settings."""

    name = kind = FAMILY
    version = "1"
    delimiters = ",;"
    mark_expected = True

    def recognises(self, header: Sequence[str]) -> bool:
        """Say whether the columns that begin every export are there."""
        names = {name.replace(" ", "") for name in header}
        return any(mark <= names for mark in MARKS)

    def begin(self, header: Sequence[str], context: Context) -> Checker | None:
        """Judge the header; return what checks the rows, or None where a column stands there twice."""
        found = ((at, _ASSIGNMENT.search(name)) for at, name in enumerate(header))
        assignments = [Assignment(at, match[1]) for at, match in found if match]
        ids = [assignment.id for assignment in assignments]
        repeated = sorted({id_ for id_ in ids if ids.count(id_) > 1}) if len(set(ids)) < len(ids) else []
        for id_ in repeated:
            context.find("duplicate_column", HEADER_ROW, f"assignment {id_}")
        if header.count("id") > 1:
            context.find("duplicate_column", HEADER_ROW, "ID")
        elif not repeated:
            if not assignments:
                context.find("no_assignments", HEADER_ROW)
            return _Checker(header, assignments, context)
        return None


class _Checker:
    """Takes the rows before the students apart, then checks the students' rows; only those are counted."""

    def __init__(self, header: Sequence[str], assignments: list[Assignment], context: Context) -> None:
        self._header, self._assignments, self._context = header, assignments, context
        self._id = header.index("id")
        self._preamble = 0
        self._students: RowChecker | None = None

    def check(self, first_row: int, rows: list[Row], texts: Sequence[str]) -> Counts:
        """Check rows that follow each other."""
        before = 0
        while self._students is None and before < len(rows):
            row = rows[before]
            if self._is_preamble(row):
                before += 1
                self._preamble += 1
                if row and row[0].strip().lower().startswith(POINTS):
                    self._students = self._begin(row, first_row + before - 1)
            else:
                self._context.find("no_points_row")
                self._students = self._begin([], first_row + before)
        if self._students is None:
            return Counts()
        return self._students.check(first_row + before, rows[before:], texts[before:])

    def finish(self) -> int:
        """Compare the students with each other."""
        if self._students:
            return self._students.finish()
        self._context.find("no_points_row")
        return 0

    def _is_preamble(self, row: Row) -> bool:
        """Say whether a row stands before the students: it names the points, or nobody."""
        if self._preamble >= PREAMBLE_ROWS and not row:
            return True
        first = row[0].strip().lower() if row else ""
        nobody = not first and (self._id >= len(row) or not row[self._id].strip())
        return first.startswith(POINTS) or (nobody and self._preamble < PREAMBLE_ROWS)

    def _begin(self, points: Row, points_row: int) -> RowChecker:
        """Return what checks the students; without a row of points, none is too high."""
        batch = self._context.batch
        file = batch.begin_file(self._context.file)
        listing = batch.listing(f"{FAMILY} {file}.id")
        key = BoundKey(primary(FAMILY, "ID"), (self._id,), listing, listing.begin(file))
        identity = [
            Check("missing_value", (self._id,), checks.blank, "ID"),
            Check("not_a_number", (self._id,), checks.numbers, "ID"),
        ]
        scores = [check for each in self._assignments for check in self._scores(each, points, points_row)]
        return RowChecker(Plan(len(self._header), self._id, identity + scores, [key]), self._context, file)

    def _scores(self, assignment: Assignment, points: Row, points_row: int) -> list[Check]:
        found = [Check("score_not_a_number", (assignment.position,), Distinct(is_score), assignment.column)]
        cell = points[assignment.position].strip() if assignment.position < len(points) else ""
        most = number(cell)
        if most is not None:
            found.append(Check("score_above_points", (assignment.position,), _Above(most), assignment.column))
        elif cell and not cell.startswith("("):
            self._context.find("points_not_a_number", points_row, assignment.column)
        return found


class _Above:
    """Finds scores above the points possible; without points, every score is extra credit."""

    def __init__(self, most: float) -> None:
        self._distinct = Distinct(lambda value: (number(value) or 0.0) <= most)

    def __call__(self, cells: Cells) -> Places:
        return self._distinct(cells)


def number(text: str) -> float | None:
    """Return a number with a decimal point or comma; None where it is none."""
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def is_score(value: str) -> bool:
    """Say whether a cell is a score: a number, a percentage, a letter, or a word Canvas writes."""
    return bool(_NUMBER.fullmatch(value) or _GRADE.fullmatch(value)) or value.lower() in WORDS
