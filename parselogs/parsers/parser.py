"""What a parser is, and the one that a declared table makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from parselogs.parsers import checks
from parselogs.parsers.checker import (
    HEADER_ROW,
    BoundKey,
    BoundReference,
    Context,
    Counts,
    Parents,
    Plan,
    RowChecker,
)
from parselogs.parsers.checks import Check
from parselogs.parsers.findings import Code
from parselogs.parsers.records import Row
from parselogs.parsers.tables import Column, Key, Need, Rule, Table


class Checker(Protocol):
    """What checks the rows of one file."""

    def check(self, first_row: int, rows: list[Row], texts: Sequence[str]) -> Counts:
        """Check rows that follow each other, the first of which has the number `first_row`.

        Rows may be blank or of another width than the header. Blank ones are not counted. Two rows are the
        same if their texts are.
        """

    def finish(self) -> int:
        """Check what needs all rows; return how many rows are rejected only now."""


class Parser(Protocol):
    """One kind of CSV file: recognised by its header, checked row by row."""

    @property
    def name(self) -> str:
        """The parser's own name."""

    @property
    def kind(self) -> str:
        """What kind of file it reads; files of an archive are read in the order of the registry."""

    @property
    def version(self) -> str:
        """Changes whenever the same file might get other findings."""

    @property
    def delimiters(self) -> str:
        """The column separators that are right for this kind of file; others are told, and read."""

    @property
    def mark_expected(self) -> bool:
        """Whether a byte order mark is usual and not worth a word."""

    # `codes: Mapping[str, Code]` may be there too: see `codes_of`. A protocol has no optional members.

    def recognises(self, header: Sequence[str]) -> bool:
        """Say whether a header, stripped and in lower case, is of this kind."""

    def begin(self, header: Sequence[str], context: Context) -> Checker | None:
        """Judge the header; return what checks the rows, or None where they cannot be checked."""


def codes_of(parser: Parser) -> Mapping[str, Code]:
    """Return what codes of a parser's own mean, as its `codes` declare; most have none."""
    return getattr(parser, "codes", {})


class TableParser:
    """Checks files as a table declares them."""

    delimiters = ","
    mark_expected = False

    def __init__(self, table: Table) -> None:
        self.table = table
        self.name, self.kind, self.version = table.family, table.name, table.version
        self.codes = table.codes

    def recognises(self, header: Sequence[str]) -> bool:
        """Say whether the table's columns are there."""
        return self.table.recognises(header)

    def begin(self, header: Sequence[str], context: Context) -> Checker | None:
        """Judge the header; return what checks the rows, or None where required columns are missing."""
        known = {column.name: column for column in self.table.columns}
        usable = True
        for name in known:
            if header.count(name) > 1:
                context.find("duplicate_column", HEADER_ROW, name)
                usable = False
        if missing := self.table.missing(header):
            context.find("missing_column", HEADER_ROW, None, columns=", ".join(missing))
            usable = False
        for position, name in enumerate(header):
            if name and name not in known:
                context.find("unknown_column", HEADER_ROW, None, position=position + 1)
            elif name and known[name].secret:
                context.find("secret_column", HEADER_ROW, name)
        return self._checker(header, context) if usable else None

    def _checker(self, header: Sequence[str], context: Context) -> RowChecker:
        table, batch = self.table, context.batch
        at = {name: position for position, name in enumerate(header) if name}
        columns = [column for column in table.columns if column.name in at]
        file = batch.begin_file(context.file)
        references = [bound for column in columns if (bound := _reference(column, at, context))]
        together = _together(table, at, context)
        batch.kinds.setdefault(table.name, context.file)
        plan = Plan(
            width=len(header),
            lead=next(at[column.name] for column in columns if column.need == Need.VALUE),
            checks=[
                check
                for each in (
                    *(checks.of_column(column, at[column.name]) for column in columns),
                    *(_one_of(group, at) for group in table.one_of),
                    *(_rule(rule, at, context) for rule in table.rules),
                )
                for check in each
            ],
            keys=[key for each in table.keys if (key := _key(each, at, context, file))],
            references=references,
            together=together,
            parents=_parents(table, at, context),
            status=at.get("status"),
            deleted=table.deleted,
        )
        return RowChecker(plan, context, file)


def _one_of(group: tuple[str, ...], at: dict[str, int]) -> list[Check]:
    there = tuple(at[name] for name in group if name in at)
    detail: dict[str, str | int] = {"columns": ", ".join(group)}
    return [Check("missing_one_of", there, checks.all_blank, None, detail, stripped=False)]


def _rule(rule: Rule, at: dict[str, int], context: Context) -> list[Check]:
    """Return the check of a rule; with none of its columns there it is broken once, in the header."""
    there = tuple(at[name] for name in rule.columns if name in at)
    names = ", ".join(rule.columns)
    if rule.code == "only_one_date":
        faults = checks.half_filled if len(there) == 2 else checks.filled
        return [Check(rule.code, there, faults, None, {"columns": names})] if there else []
    if not there:
        context.find(rule.code, HEADER_ROW, None, columns=names)
        return []
    return [Check(rule.code, there, checks.all_blank, None, {"columns": names}, stripped=False)]


def _key(key: Key, at: dict[str, int], context: Context, file: int) -> BoundKey | None:
    """Return a key with its columns found; optional ones may be missing, but not the first."""
    if key.columns[0] not in at and (key.claim or key.repeats or len(key.columns) == 1):
        return None
    names = [name for name in key.columns if name in at]
    if key.repeats and len(names) < len(key.columns):
        return None
    listing = context.batch.listing(key.space)
    bound = Key(tuple(names), key.space, key.claim, key.fold, key.repeats)
    return BoundKey(bound, tuple(at[name] for name in names), listing, listing.begin(file))


def _reference(column: Column, at: dict[str, int], context: Context) -> BoundReference | None:
    """Return the reference where a file read before lists what it refers to."""
    known = context.batch.listed(column.refers) if column.refers else None
    if known is None or column.refers.partition(".")[0] not in context.batch.kinds:
        return None
    return BoundReference(at[column.name], column.name, column.refers, known)


def _together(table: Table, at: dict[str, int], context: Context) -> tuple[BoundReference, int] | None:
    if table.together is None:
        return None
    (first, second), space = table.together
    known = context.batch.listed(space)
    if (
        known is None
        or not {first, second} <= at.keys()
        or space.partition(".")[0] not in context.batch.kinds
    ):
        return None
    return BoundReference(at[first], second, space, known), at[second]


def _parents(table: Table, at: dict[str, int], context: Context) -> Parents | None:
    if table.parent is None:
        return None
    own, above = table.parent
    return Parents((at[own], at[above]), set(context.batch.listing(f"{table.name}.{own}").hashes))
