"""How long lines are kept: those of whole days go by age, in small pieces; the figures of days stay."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from logmonitor.models import LogLine, LogSource, Segment

LINES_PER_BATCH = 5_000
"""A year of lines is millions, and others write meanwhile."""

MARGIN = timedelta(days=2)
"""Instants this much before a day are of earlier days in every time zone."""


def first_day_kept(source: LogSource, now: datetime | None = None) -> date | None:
    """Return the first day whose lines are kept by their age; None where all are."""
    if source.keep_lines_days is None:
        return None
    today = (now or timezone.now()).astimezone(ZoneInfo(source.time_zone)).date()
    try:
        return today - timedelta(days=source.keep_lines_days)
    except OverflowError:  # longer than there are days: for ever
        return None


def old_lines(source: LogSource, first: date) -> int:
    """Return how many lines of a source are of days before `first`."""
    return LogLine.objects.filter(_before(source, first)).count()


def delete_old_lines() -> dict[str, int]:
    """Delete the lines of every source that are older than it keeps them; return how many, by source."""
    deleted = {}
    for source in LogSource.objects.order_by("name"):
        if (first := first_day_kept(source)) is not None:
            deleted[source.name] = delete_lines_before(source, first)
    return deleted


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


def _before(source: LogSource, first: date) -> Q:
    """Return which lines are of days before one; by instants too, which the index knows."""
    end = datetime.combine(first, time.min, UTC) + MARGIN
    return Q(source=source, at__lt=end, day__lt=first)
