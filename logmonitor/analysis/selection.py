"""Which lines count: a span of time, runs, users, courses; and how a person writes the first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from easel.events import EVENTS

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_RELATIVE = re.compile(r"([0-9]{1,6})([smhdw])")

COURSE_LOGS = frozenset(event.log for event in EVENTS.values() if "course" in event.fields) | {"api_calls"}
"""The logs whose lines tell a course; those of requests tell it in the path."""


def moment(text: str, now: datetime, *, end: bool = False) -> datetime:
    """Return the moment that `2h`, `7d`, `2026-11-22` or `2026-11-22T08:30` stands for; UTC unless it says.

    A day stands for its beginning, with `end` for its end. Raises ValueError.
    """
    if relative := _RELATIVE.fullmatch(text):
        try:
            return now - timedelta(**{UNITS[relative[2]]: int(relative[1])})
        except OverflowError:
            raise ValueError("further back than there are dates") from None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        parsed = datetime.fromisoformat(text)
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return datetime.combine(day, time.max if end else time.min, UTC)


@dataclass(frozen=True, slots=True)
class Selection:
    """The lines asked for; everything by default. `since` and `until` are both included."""

    since: datetime | None = None
    until: datetime | None = None
    runs: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    courses: frozenset[str] = frozenset()

    def tells(self, log: str) -> bool:
        """Say whether lines of a log can be selected at all: with courses, only where lines tell one."""
        return not self.courses or log in COURSE_LOGS

    def pick(self, log: str, records: Sequence[Any]) -> Sequence[Any]:
        """Return the records asked for."""
        if self.since:
            records = [record for record in records if record.ts >= self.since]
        if self.until:
            records = [record for record in records if record.ts <= self.until]
        if self.runs:
            records = [record for record in records if str(record.run) in self.runs]
        if self.users:
            records = [record for record in records if str(record.user) in self.users]
        if self.courses:
            records = [record for record in records if self._is_of_course(log, record)]
        return records

    def _is_of_course(self, log: str, record: Any) -> bool:
        if log == "api_calls":
            path = f"/{record.path.partition('?')[0]}/"
            return any(f"/courses/{course}/" in path for course in self.courses)
        return log in COURSE_LOGS and str(record.course) in self.courses
