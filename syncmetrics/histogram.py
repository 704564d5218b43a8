"""A small histogram of durations that can be added up over days: any percentile within one percent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import ceil, log

GROWTH = 1.02
"""Each bucket reaches 2 % further than the one before.

A duration is thus known to within 1 % of itself, and so is every percentile, whatever was added up. The
scheme is that of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees", VLDB 2019). Only buckets that hold something are kept.
"""

Buckets = Mapping[str, int]
"""Number of a bucket, as JSON writes it, to how many durations are in it."""


def bucket_of(milliseconds: float) -> str:
    """Return the bucket of a duration; everything up to a millisecond shares one."""
    return str(ceil(log(max(milliseconds, 1.0), GROWTH)))


def percentile(buckets: Buckets, share: float) -> float | None:
    """Return the duration in milliseconds that `share` (0 to 1) of all do not exceed; None without any.

    The nearest rank: a duration that was measured, known to within 1 %.
    """
    number = bucket_at(buckets, share)
    return None if number is None else 2 * GROWTH**number / (GROWTH + 1)


def bucket_at(buckets: Buckets, share: float) -> int | None:
    """Return the bucket up to which `share` (0 to 1) of all are, by the nearest rank; None without any."""
    wanted = max(ceil(share * sum(buckets.values())), 1)
    seen = 0
    for number in sorted(map(int, buckets)):
        seen += buckets[str(number)]
        if seen >= wanted:
            return number
    return None


def merged(parts: Iterable[Buckets]) -> Counter[str]:
    """Return all buckets added up."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total
