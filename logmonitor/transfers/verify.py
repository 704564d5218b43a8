"""Compares the figures of days with the lines that are still kept, and mends them."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from operator import add
from typing import Any, TypeVar

from django.db import connection, transaction
from django.db.models import QuerySet

from logmonitor.models import LogLine, LogSource
from logmonitor.models.rollups import ALL_PROTOCOLS
from logmonitor.transfers.kept_lines import of_days
from logmonitor.transfers.rollup import (
    COUNTED,
    DAY,
    EVERYBODY,
    FAILURES,
    MONTH,
    MOST,
    NUMBERS,
    SPEEDS,
    TABLES,
    USERS,
    Adder,
    Counted,
    Sums,
    Table,
    store,
)

Key = tuple[Any, ...]
Values = dict[str, Any]
"""The numbers of a row that are not zero, and its speeds, by column."""


class FiguresDiffer(Exception):
    """Some figures are not what their lines come to; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not what it should be; `columns` are those that differ: (name, stored, right)."""

    source: str
    row: str
    columns: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared: days with their lines, months with their days; and what differs."""

    days: int
    months: int
    differences: tuple[Difference, ...]


def compare(*, rebuild: bool = False) -> Comparison:
    """Compare every day whose lines are all kept with its lines, every month with its days.

    With `rebuild`, make what differs what it should be. Days of which lines were deleted are never
    touched: their figures are all there is of them.
    """
    days = months = 0
    found: list[Difference] = []
    for source in LogSource.objects.order_by("name"):
        for day in _kept_days(source):
            days += 1
            found += _settle(source, DAY, day, _right_of_day, rebuild=rebuild)
        for month in _months(source):
            months += 1
            found += _settle(source, MONTH, month, _right_of_month, rebuild=rebuild)
    return Comparison(days, months, tuple(found))


Right = Callable[[LogSource, date], Sums]


def _settle(
    source: LogSource, grain: str, start: date, right: Right, *, rebuild: bool
) -> Sequence[Difference]:
    """Compare, and where something differs look again while nobody adds: a batch may have come between."""
    if not _differences(source, grain, start, right):
        return ()
    with transaction.atomic():
        _keep_others_from_adding()
        found = _differences(source, grain, start, right)
        if found and rebuild:
            _rebuild(source, grain, start, right(source, start))
    return found


def _keep_others_from_adding() -> None:
    # Who adds has written to one of these tables, or will: all its lines are there to be read then, or none.
    # In the order in which they are written. SQLite's transactions keep all other writers away by themselves.
    if connection.vendor == "postgresql":
        names = ", ".join(table.model._meta.db_table for table in (USERS, FAILURES))
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")


# --- what is to be compared -----------------------------------------------------------------------


def _kept_days(source: LogSource) -> list[date]:
    """Return the days with lines or figures whose lines are all kept."""
    first = source.lines_kept_from
    days = {*_starts(source, grain=DAY), *_days_of_lines(source)}
    return sorted(day for day in days if first is None or day >= first)


def _starts(source: LogSource, **narrowed: str) -> set[date]:
    """Return the days and months that figures of a source are of."""
    found: set[date] = set()
    for table in TABLES:
        rows = table.model._default_manager.filter(source=source, **narrowed).order_by()
        found.update(rows.values_list("start", flat=True).distinct())
    return found


def _days_of_lines(source: LogSource) -> Iterator[date]:
    """Yield the days of a source's lines, from one to the next by the index."""
    lines = LogLine.objects.filter(source=source).order_by("at").values_list("day", flat=True)
    day = lines.first()
    while day is not None and day < date.max - timedelta(days=3):
        yield day
        # Local midnight comes up to 14 hours before that of UTC.
        after = datetime.combine(day, time.min, UTC) + timedelta(hours=10)
        day = lines.filter(at__gte=after, day__gt=day).first()


def _months(source: LogSource) -> list[date]:
    return sorted({start.replace(day=1) for start in _starts(source)})


# --- what it should be ----------------------------------------------------------------------------


def _right_of_day(source: LogSource, day: date) -> Sums:
    """Return what the lines of a day come to."""
    lines = LogLine.objects.filter(of_days([source], day, day), kind__in=COUNTED).order_by()
    rows = lines.values_list(*Counted._fields).iterator(chunk_size=5_000)
    adder = Adder()
    adder.add_counted(Counted(key, str(at), *rest) for key, at, *rest in rows)
    sums = adder.sums()
    return Sums(
        _of_days(sums.users), _of_days(sums.everybody), _of_days(sums.speeds), _of_days(sums.failures)
    )


Value = TypeVar("Value")


def _of_days(rows: dict[Key, Value]) -> dict[Key, Value]:
    return {key: value for key, value in rows.items() if key[0] == DAY}


def _right_of_month(source: LogSource, month: date) -> Sums:
    """Return what the days of a month come to."""
    sums = Sums()
    for row in _rows(USERS, source, DAY, month, _last_of(month)):
        _add_numbers(sums.users, (*_key_of_month(row, month), row.username), row)
    for row in _rows(EVERYBODY, source, DAY, month, _last_of(month)):
        key = _key_of_month(row, month)
        _add_numbers(sums.everybody, key, row)
        for known, name in zip(sums.speeds.setdefault(key, ({}, {})), SPEEDS, strict=True):
            for bucket, count in getattr(row, name).items():
                known[int(bucket)] = known.get(int(bucket), 0) + count
    for row in _rows(FAILURES, source, DAY, month, _last_of(month)):
        key = _key_of_month(row, month)
        sums.failures[key] = sums.failures.get(key, 0) + row.failures
    return sums


def _key_of_month(row: Any, month: date) -> Key:
    return (MONTH, row.protocol, str(month), row.source_id)


def _last_of(month: date) -> date:
    return month.replace(day=monthrange(month.year, month.month)[1])


def _add_numbers(sums: dict[Key, list[int]], key: Key, row: Any) -> None:
    numbers = [getattr(row, name) for name in NUMBERS]
    sums[key] = list(map(add, sums[key], numbers)) if key in sums else numbers


# --- comparing and mending ------------------------------------------------------------------------


def _rows(table: Table, source: LogSource, grain: str, first: date, last: date) -> QuerySet[Any]:
    return table.model._default_manager.filter(source=source, grain=grain, start__gte=first, start__lte=last)


def _differences(source: LogSource, grain: str, start: date, right: Right) -> list[Difference]:
    wanted = _flat(right(source, start))
    stored = {
        (table, *_key(row, table.key)): _values(row, table)
        for table in TABLES
        for row in _rows(table, source, grain, start, start)
    }
    return [
        Difference(source.name, _in_words(key), columns)
        for key in sorted(stored.keys() | wanted.keys(), key=_in_words)
        if (columns := tuple(_unlike(key[0], stored.get(key, {}), wanted.get(key, {}))))
    ]


def _key(row: Any, names: Sequence[str]) -> Key:
    return tuple(str(row.start) if name == "start" else getattr(row, name) for name in names)


def _values(row: Any, table: Table) -> Values:
    """Return what a row holds, without what is zero."""
    values = {name: getattr(row, name) for name in table.numbers}
    for name in table.speeds:
        values[name] = {int(bucket): count for bucket, count in getattr(row, name).items()}
    return {name: value for name, value in values.items() if value}


def _flat(sums: Sums) -> dict[Key, Values]:
    """Return sums as rows hold them, by table and key."""
    found: dict[Key, Values] = {}
    for table, part in ((USERS, sums.users), (EVERYBODY, sums.everybody)):
        for key, numbers in part.items():
            found[table, *key] = {
                name: min(number, MOST) for name, number in zip(NUMBERS, numbers, strict=True) if number
            }
    for key, speeds in sums.speeds.items():
        found[EVERYBODY, *key] |= {
            name: buckets for name, buckets in zip(SPEEDS, speeds, strict=True) if buckets
        }
    return found | {(FAILURES, *key): {"failures": number} for key, number in sums.failures.items()}


def _unlike(table: Table, stored: Values, right: Values) -> Iterator[tuple[str, Any, Any]]:
    for name in (*table.numbers, *table.speeds):
        if stored.get(name) != right.get(name):
            yield name, stored.get(name, 0), right.get(name, 0)


def _in_words(key: Key) -> str:
    table, grain, protocol, start, _, *username = key
    of = "all protocols" if protocol == ALL_PROTOCOLS else protocol or "no protocol"
    whose = f"user {username[0]!r}" if username else "all users" if table == EVERYBODY else "failed logins"
    return f"{grain} {start}, {of}, {whose}"


def _rebuild(source: LogSource, grain: str, start: date, right: Sums) -> None:
    for table in TABLES:
        _rows(table, source, grain, start, start).delete()
    with connection.cursor() as cursor:
        store(cursor, right)
