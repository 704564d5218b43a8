"""Failed logins: from which addresses and under which names they came."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min

from logmonitor.models import LogLine
from logmonitor.transfers.asked import Asked
from logmonitor.transfers.kept_lines import asked_lines

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
class FailedLogins:
    """The failed logins of some days: in all, and those addresses and names that had most."""

    total: int
    addresses: int
    usernames: int
    by_address: tuple[Failures, ...]
    by_username: tuple[Failures, ...]


def failed_logins(asked: Asked) -> FailedLogins:
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
    return FailedLogins(
        **count,
        by_address=_most(lines, "address", "username"),
        by_username=_most(lines, "username", "address"),
    )


def _most(lines: Any, by: str, other: str) -> tuple[Failures, ...]:
    grouped = (
        lines.order_by()
        .values_list(by)
        .annotate(failures=Count("pk"), others=Count(other, distinct=True), first=Min("at"), last=Max("at"))
        .order_by("-failures", by)
    )
    return tuple(Failures(*row) for row in grouped[:SHOWN])
