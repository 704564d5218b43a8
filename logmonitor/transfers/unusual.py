"""Days on which much more or much less was moved than is usual for that weekday."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from math import log1p
from statistics import median
from typing import Literal

WEEKS = 12
"""A day is held against the same weekdays of so many weeks before."""

FEWEST = 4
"""With fewer of them nobody knows what is usual."""

SPREADS = 5
"""So many spreads above or below the median is unusual."""

MAD_TO_SIGMA = 1.4826
"""What makes a median absolute deviation a standard deviation, for normally distributed values."""

LEAST_SPREAD = 0.25
"""Where all Mondays are alike, one that is a little different is not news: it takes 3.5 times as much."""

Verdict = Literal["high", "low"]


def judge(value: int, before: Sequence[int]) -> Verdict | None:
    """Return whether a value is unusual beside those before it; None where it is not, or there are too few.

    Their logarithms are compared, because what is moved in a day differs by factors.
    Median and median absolute deviation, because one unusual day among those before must not hide another
    (Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993).
    """
    if len(before) < FEWEST:
        return None
    known = [log1p(one) for one in before]
    middle = median(known)
    spread = max(MAD_TO_SIGMA * median(abs(one - middle) for one in known), LEAST_SPREAD)
    distance = log1p(value) - middle
    if abs(distance) <= SPREADS * spread:
        return None
    return "high" if distance > 0 else "low"


def unusual_days(
    volume: Mapping[date, int], first: date, last: date, *, since: date, today: date
) -> dict[date, Verdict]:
    """Return the unusual days of a range. `volume` has what was moved on days; none was on other days.

    Days before `since` are not known, so nothing is held against them. A day that is not over cannot have
    had too little.
    """
    found: dict[date, Verdict] = {}
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        weekdays = (day - timedelta(weeks=weeks) for weeks in range(1, WEEKS + 1))
        verdict = judge(volume.get(day, 0), [volume.get(one, 0) for one in weekdays if one >= since])
        if verdict and (verdict == "high" or day < today):
            found[day] = verdict
    return found
