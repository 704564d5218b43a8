"""The sandbox's time: a fixed past in which its data was made, and the clock of now.

Generated rows carry seconds after `ORIGIN`, so the same seed gives the same Canvas on every day. All of them
lie before `END`; whatever an edit does carries the clock's time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

DAY = 86_400
ORIGIN = datetime(2026, 1, 12, tzinfo=UTC)
LENGTH_DAYS = 150
# Days before ORIGIN for which stamps can be made too (accounts, users, earlier terms).
_PAST_DAYS = 1_200
_DATES = [
    (ORIGIN + timedelta(days=day)).strftime("%Y-%m-%d") for day in range(-_PAST_DAYS, LENGTH_DAYS + 400)
]


def stamp(seconds: int) -> str:
    """ISO-8601 text of a moment given in seconds after ORIGIN."""
    day, rest = divmod(seconds, DAY)
    return f"{_DATES[day + _PAST_DAYS]}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"


END = stamp(LENGTH_DAYS * DAY)


class Clock:
    """The time as this Canvas believes it to be: the machine's plus an offset."""

    def __init__(self, offset_seconds: float = 0) -> None:
        self.offset_seconds = offset_seconds
        self._texts = (0, "", "")

    def _now(self) -> tuple[int, str, str]:
        """The second it is and its two texts, made once a second."""
        second = int(time.time() + self.offset_seconds)
        texts = self._texts
        if texts[0] != second:
            moment = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            texts = self._texts = (second, moment, formatdate(second, usegmt=True))
        return texts

    def stamp(self) -> str:
        """Now, as Canvas writes it into rows."""
        return self._now()[1]

    def http_date(self) -> str:
        """Now, as the Date header says it."""
        return self._now()[2]
