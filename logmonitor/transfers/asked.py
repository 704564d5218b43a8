"""What a page or a call asks for: which days, whose transfers, which of them; and why it cannot be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db.models import Max, Min
from django.utils import timezone
from msgspec import Meta, Struct, to_builtins
from msgspec.structs import replace

from logmonitor.models import AllTransfers, LogSource
from logmonitor.models.rollups import ALL_PROTOCOLS
from logmonitor.transfers.rollup import DAY, DIRECTIONS, OUTCOMES
from syncmetrics.endpoints import BadParameter

MOST_DAYS = 3_660
"""Ten years: more would be too many points to see anything."""

TOP = 20
MOST_USERS = 1_000
EARLIEST = date(2000, 1, 1)
DATE = "a day such as 2026-01-31."
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class TransferQuery(Struct):
    """Which transfers are asked for; all of them where nothing is given."""

    start_date: (
        Annotated[str, Meta(description=f"{DATE} The first day; if not given, the first of all.")] | None
    ) = None
    end_date: (
        Annotated[str, Meta(description=f"{DATE} The last day; if not given, the last of all.")] | None
    ) = None
    source: Annotated[str, Meta(description="the name of a transfer log.")] | None = None
    protocol: Annotated[str, Meta(description="a protocol as the log calls it, such as SFTP.")] | None = None
    direction: Annotated[Literal["upload", "download"], Meta(description="upload or download.")] | None = None
    outcome: (
        Annotated[
            Literal["succeeded", "partial", "failed"], Meta(description="succeeded, partial or failed.")
        ]
        | None
    ) = None
    user: Annotated[str, Meta(description="a user name, exactly as the log has it.")] | None = None
    averages: Annotated[
        Literal["succeeded", "all"],
        Meta(description="succeeded or all: which transfers averages count, where no outcome is asked for."),
    ] = "succeeded"
    empty_dav: Annotated[
        Literal["show", "hide"],
        Meta(description="show or hide: downloads of no byte over WebDAV, which are folders listed."),
    ] = "show"
    sort: Annotated[
        Literal["bytes", "transfers", "average", "username"],
        Meta(description="bytes, transfers, average or username: the order of the users."),
    ] = "bytes"
    top: Annotated[
        int,
        Meta(ge=1, le=MOST_USERS, description=f"a number from 1 to {MOST_USERS}; more users are `others`."),
    ] = TOP


def address_of(query: TransferQuery) -> str:
    """Return a query as it stands in an address, without what is as if it were not given."""
    usual = to_builtins(TransferQuery())
    return urlencode({name: value for name, value in to_builtins(query).items() if value != usual[name]})


@dataclass(frozen=True, slots=True)
class History:
    """The first and the last day with a transfer; None where there is none."""

    first: date | None
    last: date | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, made whole: days from `first` to `last`, both included, and the filters."""

    query: TransferQuery
    first: date
    last: date
    today: date
    history: History
    source: LogSource | None

    @property
    def days(self) -> int:
        """How many days there are."""
        return (self.last - self.first).days + 1

    @property
    def protocol(self) -> str:
        """The protocol of the rows that are read."""
        return ALL_PROTOCOLS if self.query.protocol is None else self.query.protocol

    @property
    def ways(self) -> tuple[str, ...]:
        """The directions of the transfers that are counted."""
        return DIRECTIONS if self.query.direction is None else (self.query.direction,)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes of the transfers that are counted."""
        return OUTCOMES if self.query.outcome is None else (self.query.outcome,)

    @property
    def averaged(self) -> tuple[str, ...]:
        """The outcomes of the transfers that averages count."""
        if self.query.outcome is None and self.query.averages == "succeeded":
            return ("succeeded",)
        return self.outcomes

    @property
    def rows(self) -> Mapping[str, object]:
        """The filters of every row that is read."""
        return {"protocol": self.protocol} | ({"source": self.source} if self.source else {})


def make_whole(query: TransferQuery) -> Asked:
    """Return what a query asks for, its days those of the whole history where it does not say.

    Raises BadParameter, whose text is a sentence, for days and sources that there are not.
    """
    query = replace(query, user=_storable(query.user), protocol=_storable(query.protocol))
    source = _source(query.source)
    history = _history(source)
    today = _today(source)
    first, last = _date("start_date", query.start_date), _date("end_date", query.end_date)
    if first and last and first > last:
        raise BadParameter(
            f"`start_date` {first} is after `end_date` {last}: choose them the other way round."
        )
    # A clock that was wrong once must not hide all the rest behind years of nothing.
    tomorrow = today + timedelta(days=1)
    end = last or max(min(history.last or today, tomorrow), first or EARLIEST)
    oldest = max(EARLIEST, min(end, tomorrow) - timedelta(days=MOST_DAYS - 1))
    start = first or min(max(history.first or end, oldest), end)
    if (end - start).days >= MOST_DAYS:
        raise BadParameter(f"From {start} to {end} is too long: choose at most {MOST_DAYS:,} days.")
    return Asked(query, start, end, today, history, source)


def _storable(text: str | None) -> str | None:
    # Databases refuse the character; lines hold its picture instead.
    return None if text is None else text.replace("\0", "\N{SYMBOL FOR NULL}")


def _date(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        found = date.fromisoformat(text)
    except ValueError:
        raise BadParameter.value(name, text, DATE) from None
    if not EARLIEST <= found < date(9000, 1, 1):
        raise BadParameter.value(name, text, f"{DATE} Choose days since {EARLIEST}.")
    return found


def _source(name: str | None) -> LogSource | None:
    if name is None:
        return None
    # Databases refuse what no name can hold.
    source = None if "\0" in name else LogSource.objects.filter(name=name).first()
    if source is None:
        known = ", ".join(LogSource.objects.order_by("name").values_list("name", flat=True)[:20])
        what = f"the name of a transfer log: {known or 'there is none yet'}."
        raise BadParameter.value("source", name, what)
    return source


def _history(source: LogSource | None) -> History:
    days = AllTransfers.objects.filter(grain=DAY, protocol=ALL_PROTOCOLS)
    found = (days.filter(source=source) if source else days).aggregate(first=Min("start"), last=Max("start"))
    return History(found["first"], found["last"])


def _today(source: LogSource | None) -> date:
    now = timezone.now()
    return now.astimezone(ZoneInfo(source.time_zone)).date() if source else now.date()
