"""Adds transfers and failed logins to their days and months, in the transaction that stores their lines."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add as add_up
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from django.db import connection

from logmonitor.models.rollups import ALL_PROTOCOLS, AllTransfers, FailedLogins, Period, UserTransfers
from logmonitor.transfers.lines import Line, Row
from logmonitor.transfers.speeds import bucket_of

DIRECTIONS = ("upload", "download")
OUTCOMES = ("succeeded", "partial", "failed")
CELLS = tuple((direction, outcome) for direction in DIRECTIONS for outcome in OUTCOMES)
NUMBERS = (
    *(name for cell in CELLS for name in ("_".join(cell), f"{'_'.join(cell)}_bytes")),
    "empty_dav_downloads",
)
"""The columns that add up: of each direction and outcome transfers and their bytes, then the odd one out."""

SPEEDS = ("upload_speeds", "download_speeds")
MOST = 2**63 - 1
DAY, MONTH = Period.Grain.DAY.value, Period.Grain.MONTH.value
TRANSFER, LOGIN_FAILED = "transfer", "login_failed"
COUNTED = (TRANSFER, LOGIN_FAILED)
"""The kinds of lines that are added up."""

DAV = "DAV"

SUCCEEDED, EMPTY = "succeeded", "empty"
_PLACES = {
    (sender, outcome): 2 * CELLS.index((sender.lower(), outcome))
    for sender in ("Upload", "Download")
    for outcome in OUTCOMES
} | {("Download", EMPTY): NUMBERS.index("empty_dav_downloads")}
"""Where the number of transfers stands among `NUMBERS`, by sender and outcome; their bytes follow."""

_MEASURED = {"Upload": 0, "Download": 1}
"""The place of a sender's speeds among `SPEEDS`."""

Numbers = list[int]
"""One number for each of `NUMBERS`."""


class Counted(NamedTuple):
    """What is read of a line: `Line` has these fields too. `day` is ISO 8601."""

    source_id: int
    day: str
    kind: str
    sender: str
    username: str
    protocol: str
    outcome: str
    size_bytes: int | None
    elapsed_ms: int | None


@dataclass(slots=True)
class Sums:
    """What some lines come to.

    `users` by (grain, protocol, start, source, username); `everybody` and `failures` by the same without the
    user; `speeds` by the keys of `everybody`, uploads first.
    """

    users: dict[tuple[Any, ...], Numbers] = field(default_factory=dict)
    everybody: dict[tuple[Any, ...], Numbers] = field(default_factory=dict)
    speeds: dict[tuple[Any, ...], tuple[dict[int, int], dict[int, int]]] = field(default_factory=dict)
    failures: dict[tuple[Any, ...], int] = field(default_factory=dict)


def add(cursor: Any, lines: Iterable[Row]) -> None:
    """Add the transfers and failed logins among some lines to their days and months.

    Belongs in the transaction that stores the lines: each line is added once.
    """
    store(cursor, sum_up(lines))


def store(cursor: Any, sums: Sums) -> None:
    """Add sums to the rows that are there.

    One statement per table, rows in the order of their keys, so that two writers cannot wait for each other.
    """
    everybody = [
        (*key, *numbers, *map(json.dumps, sums.speeds[key])) for key, numbers in sums.everybody.items()
    ]
    _upsert(cursor, USERS, [(*key, *numbers) for key, numbers in sums.users.items()])
    _upsert(cursor, EVERYBODY, everybody)
    _upsert(cursor, FAILURES, [(*key, number) for key, number in sums.failures.items()])


def sum_up(lines: Iterable[Row]) -> Sums:
    """Add up the transfers and failed logins among some lines."""
    adder = Adder()
    adder.add(lines)
    return adder.sums()


class Adder:
    """Adds up the transfers and failed logins among lines, a few lines at a time."""

    def __init__(self) -> None:
        self._groups: dict[tuple[Any, ...], Numbers] = {}
        self._speeds: dict[tuple[Any, ...], Counter[int]] = defaultdict(Counter)
        self._failures: Counter[tuple[Any, ...]] = Counter()

    def add(self, lines: Iterable[Row]) -> None:
        """Add lines."""
        self.add_counted(map(_counted_of, [line for line in lines if line[_KIND] in COUNTED]))

    def add_counted(self, lines: Iterable[Counted]) -> None:
        """Add lines of which only so much is known."""
        groups, speeds = self._groups, self._speeds
        for source, day, kind, sender, username, protocol, outcome, number, elapsed in lines:
            size, sort = number or 0, outcome
            if kind != TRANSFER or sender not in _MEASURED:
                if kind == LOGIN_FAILED:
                    self._failures[DAY, _own(protocol), day, source] += 1
                continue
            if outcome == SUCCEEDED:
                # Only of these: what broke off may have stood still before.
                if size and elapsed:
                    speeds[protocol, day, source, sender][bucket_of(size, elapsed)] += 1
                elif not size and protocol == DAV and sender == "Download":
                    sort = EMPTY
            key = (protocol, day, source, username, sender, sort)
            group = groups.get(key)
            if group is None:
                groups[key] = [1, size]
            else:
                group[0] += 1
                group[1] += size

    def sums(self) -> Sums:
        """Return what the lines so far come to."""
        sums = _folded(self._groups, self._speeds)
        sums.failures = _with_months(_with_all_protocols(self._failures, add_up), add_up)
        return sums


_KIND = Line._fields.index("kind")
_counted_of: Callable[[Row], Counted] = itemgetter(*map(Line._fields.index, Counted._fields))


def _folded(
    groups: Mapping[tuple[Any, ...], Numbers], speeds: Mapping[tuple[Any, ...], Counter[int]]
) -> Sums:
    """Return the rows that groups of one protocol, day, source, user, sender and outcome belong to."""
    own: dict[tuple[Any, ...], Numbers] = {}
    for (protocol, day, source, username, sender, outcome), (transfers, size) in groups.items():
        place = _PLACES.get((sender, outcome))
        if place is None:
            continue
        key = (DAY, _own(protocol), day, source, username)
        numbers = own.get(key) or own.setdefault(key, [0] * len(NUMBERS))
        numbers[place] += transfers
        if outcome != EMPTY:
            numbers[place + 1] += size
    counted: dict[tuple[Any, ...], Counter[int]] = {}
    for (protocol, day, source, sender), buckets in speeds.items():
        _merge_into(counted, (DAY, _own(protocol), day, source, _MEASURED[sender]), buckets, Counter.__add__)
    sums = Sums(_with_months(_with_all_protocols(own, _added), _added))
    for key, numbers in sums.users.items():
        _merge_into(sums.everybody, key[:4], numbers, _added)
    sums.speeds = {row: ({}, {}) for row in sums.everybody}
    for key, buckets in _with_months(_with_all_protocols(counted, Counter.__add__), Counter.__add__).items():
        sums.speeds[key[:4]][key[4]].update(buckets)
    return sums


def _own(protocol: str) -> str:
    # A log may call a protocol what it likes, but not what stands for all of them.
    return "?" if protocol == ALL_PROTOCOLS else protocol


Value = TypeVar("Value")
Rows = dict[tuple[Any, ...], Value]
Adding = Callable[[Value, Value], Value]


def _with_all_protocols(rows: Rows[Value], adding: Adding[Value]) -> Rows[Value]:
    """Return rows by (grain, protocol, start, …) and those of all protocols together."""
    found = dict(rows)
    for (grain, _, *rest), value in rows.items():
        _merge_into(found, (grain, ALL_PROTOCOLS, *rest), value, adding)
    return found


def _with_months(rows: Rows[Value], adding: Adding[Value]) -> Rows[Value]:
    """Return rows of days by (grain, protocol, start, …) and those of their months."""
    found = dict(rows)
    for (_, protocol, day, *rest), value in rows.items():
        _merge_into(found, (MONTH, protocol, f"{day[:8]}01", *rest), value, adding)
    return found


def _merge_into(rows: Rows[Value], key: tuple[Any, ...], value: Value, adding: Adding[Value]) -> None:
    # Never in place: one value may stand in several rows.
    known = rows.get(key)
    rows[key] = value if known is None else adding(known, value)


def _added(one: Numbers, other: Numbers) -> Numbers:
    return list(map(add_up, one, other))


# --- the statements -------------------------------------------------------------------------------

KEY = ("grain", "protocol", "start", "source_id")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of sums: its key, the numbers that add up, and the histograms that do."""

    model: type[Period]
    key: tuple[str, ...]
    numbers: tuple[str, ...]
    speeds: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, in the order of rows."""
        return (*self.key, *self.numbers, *self.speeds)


USERS = Table(UserTransfers, (*KEY, "username"), NUMBERS)
EVERYBODY = Table(AllTransfers, KEY, NUMBERS, SPEEDS)
FAILURES = Table(FailedLogins, KEY, ("failures",))
TABLES = (USERS, EVERYBODY, FAILURES)

_TYPES = {"start": "date"} | dict.fromkeys(("source_id", "failures", *NUMBERS), "bigint")
_MERGED = {
    "postgresql": "COALESCE((SELECT jsonb_object_agg(key, number) FROM"
    " (SELECT key, SUM(value::bigint) AS number FROM (SELECT * FROM jsonb_each_text(kept.{0})"
    " UNION ALL SELECT * FROM jsonb_each_text(excluded.{0})) AS parts GROUP BY key) AS summed), '{{}}')",
    "sqlite": "(SELECT json_group_object(key, number) FROM"
    " (SELECT key, SUM(value) AS number FROM (SELECT key, value FROM json_each(kept.{0})"
    " UNION ALL SELECT key, value FROM json_each(excluded.{0})) GROUP BY key))",
}


def _upsert(cursor: Any, table: Table, rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    columns = table.columns
    places = [columns.index(name) for name in table.numbers if name.endswith("_bytes")]
    rows = sorted(_bounded(row, places) for row in rows)
    sql = statement(table)
    if connection.vendor == "postgresql":
        cursor.execute(
            sql, [_array(name, values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)]
        )
    else:
        cursor.executemany(sql, rows)


def _array(column: str, values: Sequence[Any]) -> Any:
    # Written here, numbers cost a tenth of what the driver takes for them.
    return f"{{{','.join(map(str, values))}}}" if _TYPES.get(column) == "bigint" else list(values)


def _bounded(row: tuple[Any, ...], places: Sequence[int]) -> tuple[Any, ...]:
    if max((row[place] for place in places), default=0) <= MOST:
        return row
    return tuple(min(value, MOST) if place in places else value for place, value in enumerate(row))


def statement(table: Table) -> str:
    """Return the SQL that adds rows to those there, with parameters as the database's driver takes them."""
    name, changed = table.model._meta.db_table, [_merge(column) for column in (*table.numbers, *table.speeds)]
    return (
        f"INSERT INTO {name} AS kept ({', '.join(table.columns)}) {_values(table.columns)}"
        f" ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {', '.join(changed)}"
    )


def _values(columns: Sequence[str]) -> str:
    if connection.vendor == "postgresql":
        typed = (f"%s::{_TYPES.get(name, 'jsonb' if name in SPEEDS else 'text')}[]" for name in columns)
        return f"SELECT * FROM unnest({', '.join(typed)})"  # noqa: S608 - our own names of columns
    return f"VALUES ({', '.join(['%s'] * len(columns))})"


def _merge(column: str) -> str:
    if column in SPEEDS:
        return f"{column} = {_MERGED[connection.vendor].format(column)}"
    added = f"kept.{column} + excluded.{column}"
    if column.endswith("_bytes"):
        # A sum that does not fit would stop the log from being read at this line, for ever.
        added = f"CASE WHEN kept.{column} > {MOST} - excluded.{column} THEN {MOST} ELSE {added} END"
    return f"{column} = {added}"
