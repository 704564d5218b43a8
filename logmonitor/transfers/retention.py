"""How long lines are kept: those of whole days go by age, in small pieces; the figures of days stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from logmonitor.models import BadLine, LogLine, LogSource, Segment

LINES_PER_BATCH = 5_000
"""A year of lines is millions, and others write meanwhile."""

MARGIN = timedelta(days=2)
"""Instants this much before a day are of earlier days in every time zone."""


@dataclass(frozen=True, slots=True)
class LineRetention:
    """The lines of transfer logs, and bytes that are none: each log says how long they are kept."""

    name: str = "transfer_lines"
    what: str = "lines of transfer logs, kept as long as each log says"
    days: int | None = None

    def count_old(self, days: int | None = None) -> int:
        """Return how many lines are older than so many days, or than their log keeps them.

        Raises ValueError for less than one day.
        """
        return sum(old_lines(source, first) for source, first in _cuts(days))

    def delete_old(self, days: int | None = None) -> int:
        """Delete those lines and return how many they were. Raises as `count_old`."""
        return sum(delete_lines_before(source, first) for source, first in _cuts(days))


RETENTIONS = (LineRetention(),)


def _cuts(days: int | None) -> Iterator[tuple[LogSource, date]]:
    """Yield the sources whose lines go by age, each with the first day whose lines are kept."""
    if days is not None and days < 1:
        raise ValueError(f"Nothing can be kept for {days} days: give a whole number, at least 1.")
    for source in LogSource.objects.order_by("name"):
        kept = source.keep_lines_days if days is None else days
        if kept is not None and (first := first_day_kept(source, kept)) is not None:
            yield source, first


def first_day_kept(source: LogSource, days: int, now: datetime | None = None) -> date | None:
    """Return the first of so many days until today, where the source is; None before there were days."""
    today = (now or timezone.now()).astimezone(ZoneInfo(source.time_zone)).date()
    try:
        return today - timedelta(days=days)
    except OverflowError:  # longer than there are days: for ever
        return None


def old_lines(source: LogSource, first: date) -> int:
    """Return how many lines of a source, and bytes that are none, are of days before `first`."""
    return LogLine.objects.filter(_before(source, first)).count() + _old_bad_lines(source, first).count()


def delete_lines_before(source: LogSource, first: date) -> int:
    """Delete the lines of a source's days before `first`, batch by batch, and return how many.

    First it is written down that these days are no longer whole: whoever compares their figures with
    their lines leaves them alone, wherever a kill stops this. The next call goes on.
    """
    _mark(source, first)
    deleted = 0
    for segment in Segment.objects.filter(source=source).order_by("pk").values_list("pk", flat=True):
        while count := _delete_batch(segment, source, first):
            deleted += count
    while keys := list(_old_bad_lines(source, first).values_list("pk", flat=True)[:LINES_PER_BATCH]):
        deleted += BadLine.objects.filter(pk__in=keys).delete()[0]
    return deleted


def _mark(source: LogSource, first: date) -> None:
    earlier = Q(lines_kept_from=None) | Q(lines_kept_from__lt=first)
    marked = LogSource.objects.filter(earlier, pk=source.pk)
    if LogLine.objects.filter(_before(source, first)).exists():
        marked.update(lines_kept_from=first)


def _delete_batch(segment: int, source: LogSource, first: date) -> int:
    """Delete the first lines of a segment as far as they are old; keys are in the order of the file.

    Ends where a batch has none: a file is written in time, but for hours that come twice.
    """
    keys = LogLine.objects.filter(pk__gte=segment << 41, pk__lt=(segment + 1) << 41).order_by("pk")
    batch = list(keys.values_list("pk", flat=True)[:LINES_PER_BATCH])
    if not batch:
        return 0
    old = LogLine.objects.filter(_before(source, first), pk__gte=batch[0], pk__lte=batch[-1])
    with transaction.atomic():
        return old.delete()[0]


def _old_bad_lines(source: LogSource, first: date) -> QuerySet[BadLine]:
    """Return the bytes that are no line and were found before a day: they tell of people as lines do."""
    midnight = datetime.combine(first, time.min, ZoneInfo(source.time_zone))
    return BadLine.objects.filter(segment__source=source, seen__lt=midnight)


def _before(source: LogSource, first: date) -> Q:
    """Return which lines are of days before one; by instants too, which the index knows."""
    end = datetime.combine(first, time.min, UTC) + MARGIN
    return Q(source=source, at__lt=end, day__lt=first)
