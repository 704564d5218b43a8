"""One session from its login to its last line, although ids come again after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.fields import BooleanField

from logmonitor.models import LogLine

WINDOW = timedelta(days=1)
"""So far around a line its session is looked for."""

SILENCE = timedelta(hours=1)
"""A session without a line for longer is over: SFTPGo closes idle ones after 15 minutes by default."""

MOST_LINES = 2_000


@dataclass(frozen=True, slots=True)
class Session:
    """The lines of one session in their order; `cut` says that there are more before or after them."""

    lines: Sequence[LogLine]
    cut: bool

    @property
    def begins(self) -> datetime:
        """When it began, as far as is known."""
        return min(map(begin_of, self.lines))

    @property
    def ends(self) -> datetime:
        """When its last line was written."""
        return self.lines[-1].at


def begin_of(line: LogLine) -> datetime:
    """Return when what a line tells of began: a transfer's line is written at its end."""
    try:
        return line.at - timedelta(milliseconds=line.elapsed_ms or 0)
    except OverflowError:
        return line.at


def session_of(line: LogLine) -> Session:
    """Return the session that a line belongs to; the line alone where it has no session's id."""
    if not line.connection_id:
        return Session([line], cut=False)
    before = list(_with_id(line).filter(at__lte=line.at).order_by("-at", "-pk")[: MOST_LINES // 2])[::-1]
    after = list(_with_id(line).filter(at__gt=line.at).order_by("at", "pk")[: MOST_LINES // 2])
    lines = [*before, *after]
    place = next((place for place, one in enumerate(lines) if one.pk == line.pk), None)
    if place is None:  # more lines than that within one millisecond
        return Session([line], cut=True)
    first, last = _bounds(lines, place)
    cut = (first == 0 and len(before) == MOST_LINES // 2) or (
        last == len(lines) and len(after) == MOST_LINES // 2
    )
    return Session(lines[first:last], cut)


def _bounds(lines: Sequence[LogLine], place: int) -> tuple[int, int]:
    starts = _starts(lines)
    return max(at for at in starts if at <= place), min(at for at in [*starts, len(lines)] if at > place)


def _starts(lines: Sequence[LogLine]) -> list[int]:
    """Return where sessions begin: after a long silence, or with a login when there was one already."""
    starts, logged_in = [0], lines[0].kind == LogLine.Kind.LOGIN
    for at in range(1, len(lines)):
        login = lines[at].kind == LogLine.Kind.LOGIN
        if (login and logged_in) or begin_of(lines[at]) - lines[at - 1].at > SILENCE:
            starts.append(at)
            logged_in = login
        logged_in = logged_in or login
    return starts


def _with_id(line: LogLine) -> QuerySet[LogLine]:
    # SQLite uses the index of sessions only where its condition stands in so many words.
    has_session = RawSQL("NOT (connection_id = '')", (), output_field=BooleanField())
    return LogLine.objects.filter(
        has_session,
        connection_id=line.connection_id,
        source=line.source_id,
        at__gte=line.at - WINDOW,
        at__lte=line.at + WINDOW,
    )
