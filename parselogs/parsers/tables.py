"""The words in which a kind of CSV file is declared: columns, keys, references, rules between columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from parselogs.parsers.findings import Code


class Kind(StrEnum):
    """What a column's cells hold."""

    TEXT = "text"
    ID = "id"
    CHOICE = "one of a list"
    ROLE = "role"
    NUMBER = "whole number"
    BOOLEAN = "true or false"
    DATE = "date"
    EMAIL = "e-mail address"


class Need(StrEnum):
    """What must be there of a column."""

    NOTHING = "no"
    COLUMN = "column"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `refers` names the id space in which its values should be, such as `users.user_id`."""

    name: str
    kind: Kind = Kind.TEXT
    need: Need = Need.NOTHING
    allowed: tuple[str, ...] = ()
    """The choices, or for any other kind what is allowed besides it."""
    refers: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """Columns that together name a row: each value once in its id space, which files of one archive share.

    A primary key that repeats is a warning, because Canvas takes both rows; a claim, such as a login, can
    have one owner only, and its second row is rejected. Rows that delete claim nothing.
    """

    columns: tuple[str, ...]
    space: str
    claim: bool = False
    fold: bool = False
    """Whether upper and lower case are the same."""
    repeats: bool = False
    """Whether rows may share a value: the key is there for others to refer to."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule between columns of a row: `code` is found where it is broken.

    `only_one_date`: both of two columns are filled, or none. Any other code: at least one is filled.
    """

    code: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of file. It is recognised by a header that has all columns of one set in `marks`."""

    name: str
    family: str
    marks: tuple[frozenset[str], ...]
    columns: tuple[Column, ...]
    not_marks: frozenset[str] = frozenset()
    """With any of these columns it is another kind."""
    keys: tuple[Key, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()
    """Of each group one column must be there, and filled in every row."""
    rules: tuple[Rule, ...] = ()
    parent: tuple[str, str] | None = None
    """(id, id of its parent): parents must come first."""
    together: tuple[tuple[str, str], str] | None = None
    """Two columns and the space of pairs in which they must be found together, where the first is known."""
    deleted: frozenset[str] = frozenset({"deleted"})
    """Statuses that delete the row's object."""
    version: str = "1"
    codes: Mapping[str, Code] = field(default_factory=dict)
    """What codes of its own mean, which its rules may find."""

    def recognises(self, header: Collection[str]) -> bool:
        """Say whether a header (lower case) is of this kind."""
        names = set(header)
        return any(mark <= names for mark in self.marks) and not self.not_marks & names

    def missing(self, header: Collection[str]) -> list[str]:
        """Return the required columns that a header lacks; alternatives are joined by ` or `."""
        names = set(header)
        lacking = [
            column.name for column in self.columns if column.need != Need.NOTHING and column.name not in names
        ]
        return lacking + [" or ".join(group) for group in self.one_of if names.isdisjoint(group)]


def marks(*sets: str) -> tuple[frozenset[str], ...]:
    """Return sets of column names, each given as names with spaces between."""
    return tuple(frozenset(names.split()) for names in sets)


def texts(names: str) -> tuple[Column, ...]:
    """Return optional columns of text, given as names with spaces between."""
    return tuple(Column(name) for name in names.split())


def dates(*names: str, allowed: tuple[str, ...] = ()) -> tuple[Column, ...]:
    """Return optional columns of dates."""
    return tuple(Column(name, Kind.DATE, allowed=allowed) for name in names)


def flags(names: str) -> tuple[Column, ...]:
    """Return optional columns of true or false, given as names with spaces between."""
    return tuple(Column(name, Kind.BOOLEAN) for name in names.split())


def required(name: str, kind: Kind = Kind.ID, refers: str = "") -> Column:
    """Return a column that must be filled in every row."""
    return Column(name, kind, Need.VALUE, refers=refers)


def status(*allowed: str) -> Column:
    """Return the column `status`, which must be one of these words."""
    return Column("status", Kind.CHOICE, Need.VALUE, allowed)


def choice(name: str, *allowed: str) -> Column:
    """Return an optional column with one of these words."""
    return Column(name, Kind.CHOICE, allowed=allowed)


def reference(name: str, space: str) -> Column:
    """Return an optional id that is declared in another file."""
    return Column(name, Kind.ID, refers=space)


def primary(table: str, *columns: str) -> Key:
    """Return the key that names the rows of a table."""
    return Key(columns, f"{table}.{'+'.join(columns)}")


def listed(table: str, *columns: str) -> Key:
    """Return a key that rows may share, for others to refer to."""
    return Key(columns, f"{table}.{'+'.join(columns)}", repeats=True)
