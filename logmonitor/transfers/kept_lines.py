"""Reads the lines that are still kept: by days of a source, by session; never a whole table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time

from django.db.models import Q, QuerySet

from logmonitor.models import LogLine, LogSource
from logmonitor.transfers.asked import Asked

CHUNK_LINES = 2_000


def sources_of(asked: Asked) -> list[LogSource]:
    """Return the sources asked for."""
    return [asked.source] if asked.source else list(LogSource.objects.order_by("name"))


def of_days(sources: Iterable[LogSource], first: date, last: date) -> Q:
    """Return which lines are of local days of some sources.

    By instants too, a day wider: the index knows sources and instants, and no zone is further off.
    """
    begin, end = _midnight(first, -1), _midnight(last, 2)
    keys = [source.pk for source in sources]
    return Q(source__in=keys, at__gte=begin, at__lt=end, day__gte=first, day__lte=last)


def _midnight(day: date, days: int) -> datetime:
    """Return the beginning of a UTC day so many days away, as far as there are days."""
    ordinal = min(max(day.toordinal() + days, date.min.toordinal()), date.max.toordinal())
    return datetime.combine(date.fromordinal(ordinal), time.min, UTC)


def asked_lines(asked: Asked) -> QuerySet[LogLine]:
    """Return the lines, of every kind, of the days and sources asked for."""
    return LogLine.objects.filter(of_days(sources_of(asked), asked.first, asked.last))


def transfers(asked: Asked, source: LogSource) -> QuerySet[LogLine]:
    """Return the transfers of a source that are asked for and whose lines are still kept."""
    query = asked.query
    wanted = {
        "protocol": query.protocol,
        "outcome": query.outcome,
        "username": query.user,
        "sender": query.direction and query.direction.capitalize(),
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    days = of_days([source], asked.first, asked.last)
    found = LogLine.objects.filter(days, kind=LogLine.Kind.TRANSFER, **given)
    if query.empty_dav == "hide":
        found = found.exclude(
            protocol="DAV", sender="Download", size_bytes=0, outcome=LogLine.Outcome.SUCCEEDED
        )
    return found


def in_chunks(lines: QuerySet[LogLine]) -> Iterator[LogLine]:
    """Yield lines in the order of their time: each chunk a short statement, no cursor open for minutes."""
    lines = lines.order_by("at", "pk")
    chunk = list(lines[:CHUNK_LINES])
    while chunk:
        yield from chunk
        last = chunk[-1]
        after = Q(at__gt=last.at) | Q(at=last.at, pk__gt=last.pk)
        chunk = list(lines.filter(after, at__gte=last.at)[:CHUNK_LINES])
