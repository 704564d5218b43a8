"""What the transfers of some days come to: user by user, day by day, in all, and how fast they were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, reduce
from itertools import product
from operator import or_
from typing import Any

from django.db import connection
from django.db.models import Count, Func, Max, Min, Q, Sum

from logmonitor.models import AllTransfers, UserTransfers
from logmonitor.models.rollups import ALL_PROTOCOLS
from logmonitor.transfers.asked import Asked
from logmonitor.transfers.rollup import DAY, DIRECTIONS, MONTH, NUMBERS, SPEEDS, Numbers
from logmonitor.transfers.speeds import percentile
from logmonitor.transfers.unusual import WEEKS, Verdict, unusual_days
from syncmetrics.histogram import merged

PERCENTILES = {"p50": 0.5, "p95": 0.95}

_PLACE = {name: place for place, name in enumerate(NUMBERS)}
NOTHING: Numbers = [0] * len(NUMBERS)


@dataclass(frozen=True, slots=True)
class Moved:
    """How many transfers, and their bytes; and the same of those that averages count."""

    transfers: int
    bytes: int
    averaged: int
    averaged_bytes: int

    @property
    def average_bytes(self) -> int | None:
        """The bytes of one transfer on average; None where there is none to count."""
        return (self.averaged_bytes + self.averaged // 2) // self.averaged if self.averaged else None


@dataclass(frozen=True, slots=True)
class Part:
    """What was uploaded, what was downloaded, and both together, by one user or on one day."""

    upload: Moved
    download: Moved
    both: Moved


def add_parts(parts: Iterable[Part]) -> Part:
    """Return some parts in one."""
    whole = list(parts)
    return Part(
        _together([part.upload for part in whole]),
        _together([part.download for part in whole]),
        _together([part.both for part in whole]),
    )


def _together(moved: Sequence[Moved]) -> Moved:
    return Moved(
        sum(one.transfers for one in moved),
        sum(one.bytes for one in moved),
        sum(one.averaged for one in moved),
        sum(one.averaged_bytes for one in moved),
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """What is asked for: `users` in the order asked for, `days` with those of nothing, `speeds` in bytes/s.

    `speeds` by direction and percentile, None where nothing was measured; `unusual` by
    day and name (`unusual_name`).
    """

    total: Part
    users: Sequence[tuple[str, Part]]
    days: Sequence[tuple[date, Part]]
    speeds: Mapping[str, Mapping[str, float | None]]
    unusual: Mapping[date, Mapping[str, Verdict]]

    @property
    def active_users(self) -> int:
        """How many users moved anything."""
        return len(self.users)


def read_figures(asked: Asked) -> Figures:
    """Read what is asked for: a few statements, however many transfers there were."""
    users = _read_users(asked)
    days = _read_days(asked)
    parts = {day: part_of(numbers, asked) for day, numbers in days.items()}
    nothing = part_of(NOTHING, asked)
    shown = [asked.first + timedelta(days=offset) for offset in range(asked.days)]
    total = _added(days[day] for day in shown if day in days)
    everyone = ((name, part_of(numbers, asked)) for name, numbers in users.items())
    return Figures(
        total=part_of(total, asked),
        users=ordered(((name, part) for name, part in everyone if part.both.transfers), asked.query.sort),
        days=[(day, parts.get(day, nothing)) for day in shown],
        speeds=_read_speeds(asked),
        unusual=_unusual(asked, parts),
    )


SORTS: Mapping[str, Callable[[Part], int]] = {
    "bytes": lambda part: part.both.bytes,
    "transfers": lambda part: part.both.transfers,
    "average": lambda part: part.both.average_bytes or 0,
    "username": lambda part: 0,
}


def ordered(users: Iterable[tuple[str, Part]], sort: str) -> list[tuple[str, Part]]:
    """Return users with the most first; those alike by name."""
    return sorted(users, key=lambda user: (-SORTS[sort](user[1]), user[0]))


def part_of(numbers: Numbers, asked: Asked) -> Part:
    """Return what numbers come to, as far as they are asked for."""
    counted, averaged, listed = asked.outcomes, asked.averaged, asked.query.empty_dav == "show"
    return Part(
        *(
            Moved(
                *_count(numbers, _places(ways, counted, listed)),
                *_count(numbers, _places(ways, averaged, listed)),
            )
            for ways in _ways_of_parts(asked.ways)
        )
    )


@cache
def _ways_of_parts(ways: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return which directions make up each field of a `Part`, of those asked for."""
    return (*(tuple(way for way in ways if way == one) for one in DIRECTIONS), ways)


Places = tuple[tuple[int, ...], tuple[int, ...]]


@cache  # there may be ten thousand users
def _places(ways: tuple[str, ...], outcomes: tuple[str, ...], listed: bool) -> Places:
    """Return which of `NUMBERS` count transfers, and which their bytes; `listed`: folders listed too."""
    found = [_PLACE[f"{way}_{outcome}"] for way in ways for outcome in outcomes]
    odd = [_PLACE["empty_dav_downloads"]] if listed and "download" in ways and "succeeded" in outcomes else []
    return (*found, *odd), tuple(place + 1 for place in found)


def _count(numbers: Numbers, places: Places) -> tuple[int, int]:
    transfers, sizes = places
    return sum([numbers[place] for place in transfers]), sum([numbers[place] for place in sizes])


def _added(rows: Iterable[Sequence[int]]) -> Numbers:
    return [sum(column) for column in zip(NOTHING, *rows, strict=True)]


# --- reading --------------------------------------------------------------------------------------


def pieces(asked: Asked) -> Iterator[tuple[str, date, date]]:
    """Yield (grain, from, to) of rows that make up the days asked for: of whole months where there are such.

    A month is whole too when nothing was ever moved in the rest of it.
    """
    begin, end = _month_from(asked), _month_until(asked)
    if begin > end:
        yield DAY, asked.first, asked.last
        return
    if asked.first < begin:
        yield DAY, asked.first, begin - timedelta(days=1)
    yield MONTH, begin, end
    after = _next_month(end)
    if after <= asked.last:
        yield DAY, after, asked.last


def _month_from(asked: Asked) -> date:
    month = asked.first.replace(day=1)
    nothing_before = asked.history.first is None or asked.first <= asked.history.first
    return month if month == asked.first or nothing_before else _next_month(month)


def _month_until(asked: Asked) -> date:
    month = asked.last.replace(day=1)
    nothing_after = asked.history.last is None or asked.last >= asked.history.last
    whole = _next_month(month) == asked.last + timedelta(days=1)
    return month if whole or nothing_after else (month - timedelta(days=1)).replace(day=1)


def _next_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def _within(asked: Asked) -> Q:
    """Return which rows make up what is asked for, of whichever user."""
    parts = (Q(grain=grain, start__gte=first, start__lte=last) for grain, first, last in pieces(asked))
    return reduce(or_, parts) & Q(**asked.rows)


def _read_users(asked: Asked) -> dict[str, Numbers]:
    rows = UserTransfers.objects.filter(_within(asked), **_of_user(asked)).order_by()
    sums = rows.values_list("username").annotate(**_sums())
    return {username: _exact(columns) for username, *columns in sums}


@dataclass(frozen=True, slots=True)
class Visits:
    """On which days a user moved anything: the first, the last, and how many."""

    first: date
    last: date
    days: int


def read_visits(asked: Asked) -> dict[str, Visits]:
    """Return by user on which of the days asked for anything asked for was moved."""
    transfers, _ = _places(asked.ways, asked.outcomes, asked.query.empty_dav == "show")
    any_of_them = reduce(or_, (Q(**{f"{NUMBERS[place]}__gt": 0}) for place in transfers))
    rows = UserTransfers.objects.filter(
        any_of_them, grain=DAY, start__gte=asked.first, start__lte=asked.last, **asked.rows, **_of_user(asked)
    )
    days = rows.order_by().values_list("username")
    found = days.annotate(Min("start"), Max("start"), Count("start", distinct=True))
    return {username: Visits(*visits) for username, *visits in found}


def _of_user(asked: Asked) -> dict[str, str]:
    return {} if asked.query.user is None else {"username": asked.query.user}


def _sums() -> dict[str, Any]:
    """Return the sums of all numbers. SQLite refuses one beyond 64 bits: it adds halves."""
    if connection.vendor != "sqlite":
        return {f"sum_{name}": Sum(name) for name in NUMBERS}
    sums: dict[str, Any] = {}
    for name in NUMBERS:
        if name.endswith("_bytes"):
            sums[f"high_{name}"] = Sum(Func(name, template="(%(expressions)s >> 32)"))
            sums[f"sum_{name}"] = Sum(Func(name, template="(%(expressions)s & 4294967295)"))
        else:
            sums[f"sum_{name}"] = Sum(name)
    return sums


def _exact(columns: Sequence[Any]) -> Numbers:
    if len(columns) == len(NUMBERS):
        return [int(value) for value in columns]
    values = iter(columns)
    return [
        (int(next(values)) << 32) + int(next(values)) if name.endswith("_bytes") else int(next(values))
        for name in NUMBERS
    ]


def _read_days(asked: Asked) -> dict[date, Numbers]:
    """Return what was moved on each day of those asked for, and of those before that tell what is usual."""
    table = AllTransfers if asked.query.user is None else UserTransfers
    before = asked.first - timedelta(weeks=WEEKS)
    rows = table._default_manager.filter(
        grain=DAY, start__gte=before, start__lte=asked.last, **asked.rows, **_of_user(asked)
    )
    found: dict[date, Numbers] = defaultdict(lambda: list(NOTHING))
    for day, *numbers in rows.order_by().values_list("start", *NUMBERS):
        found[day] = _added([found[day], numbers]) if day in found else numbers
    return found


def _read_speeds(asked: Asked) -> dict[str, dict[str, float | None]]:
    """Return percentiles of the speed of transfers that succeeded; of one user nobody kept them."""
    known = asked.query.user is None and "succeeded" in asked.outcomes
    rows = AllTransfers.objects.filter(_within(asked)).order_by().values_list(*SPEEDS)
    found = list(rows) if known else []
    speeds = {}
    for place, way in enumerate(DIRECTIONS):
        buckets = merged(row[place] for row in found) if way in asked.ways else {}
        speeds[way] = {name: percentile(buckets, share) for name, share in PERCENTILES.items()}
    return speeds


def unusual_name(way: str, measure: str) -> str:
    """Return what an unusual measure of a direction is called: `uploads`, `upload_bytes` and so on."""
    return f"{way}s" if measure == "transfers" else f"{way}_{measure}"


def _unusual(asked: Asked, parts: Mapping[date, Part]) -> dict[date, dict[str, Verdict]]:
    found: dict[date, dict[str, Verdict]] = defaultdict(dict)
    if asked.history.first is None:
        return found
    for way, measure in product(DIRECTIONS, ("transfers", "bytes")):
        volume = {day: getattr(getattr(part, way), measure) for day, part in parts.items()}
        judged = unusual_days(volume, asked.first, asked.last, since=asked.history.first, today=asked.today)
        for day, verdict in judged.items():
            found[day][unusual_name(way, measure)] = verdict
    return found


def protocols() -> list[str]:
    """Return the protocols that any transfer had."""
    months = AllTransfers.objects.filter(grain=MONTH).exclude(protocol=ALL_PROTOCOLS)
    return sorted(months.order_by().values_list("protocol", flat=True).distinct())
