"""Failed logins: how many on which day, from which addresses and under which names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Min, Sum

from logmonitor.models import FailedLogins, LogLine
from logmonitor.models.rollups import ALL_PROTOCOLS
from logmonitor.transfers.asked import Asked
from logmonitor.transfers.kept_lines import asked_lines
from logmonitor.transfers.rollup import DAY, MONTH

SHOWN = 50


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed logins of one address, or under one name: how many, of how many of the other, first and last."""

    name: str
    failures: int
    others: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Attempts:
    """The failed logins of some days whose lines are still kept, and those that came most often."""

    total: int
    addresses: int
    usernames: int
    by_address: tuple[Failures, ...]
    by_username: tuple[Failures, ...]


def failed_logins(asked: Asked) -> Attempts:
    """Return the failed logins of the days asked for whose lines are still kept."""
    lines = asked_lines(asked).filter(kind=LogLine.Kind.LOGIN_FAILED)
    if asked.query.protocol is not None:
        lines = lines.filter(protocol=asked.query.protocol)
    if asked.query.user is not None:
        lines = lines.filter(username=asked.query.user)
    count = lines.order_by().aggregate(
        total=Count("pk"),
        addresses=Count("address", distinct=True),
        usernames=Count("username", distinct=True),
    )
    return Attempts(
        **count,
        by_address=_most(lines, "address", "username"),
        by_username=_most(lines, "username", "address"),
    )


def failures_per_day(asked: Asked) -> list[tuple[date, int]]:
    """Return how many logins failed on each day asked for, whether their lines are kept or not.

    Of all user names: those of the lines that are gone are gone too.
    """
    rows = FailedLogins.objects.filter(
        grain=DAY, start__gte=asked.first, start__lte=asked.last, **asked.rows
    ).order_by()
    known: Mapping[date, int] = dict(rows.values_list("start").annotate(Sum("failures")))
    days = (asked.first + timedelta(days=offset) for offset in range(asked.days))
    return [(day, int(known.get(day, 0))) for day in days]


def login_protocols() -> list[str]:
    """Return the protocols under which logins failed: SFTPGo says SSH here, not SFTP."""
    months = FailedLogins.objects.filter(grain=MONTH).exclude(protocol=ALL_PROTOCOLS)
    return sorted(months.order_by().values_list("protocol", flat=True).distinct())


def _most(lines: Any, by: str, other: str) -> tuple[Failures, ...]:
    grouped = (
        lines.order_by()
        .values_list(by)
        .annotate(failures=Count("pk"), others=Count(other, distinct=True), first=Min("at"), last=Max("at"))
        .order_by("-failures", by)
    )
    return tuple(Failures(*row) for row in grouped[:SHOWN])
