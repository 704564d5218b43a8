"""How fast transfers were: histograms that add up over days, any percentile within five percent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import ceil, floor, log2

BUCKETS_PER_DOUBLING = 8
"""Each bucket reaches 9 % further than the one before: a speed is known to within 4.5 % of itself.

Coarser than the histograms of syncs, because there is one for each day, protocol and direction, and all of
them are read for a chart of years.
"""

Buckets = Mapping[str, int]
"""Number of a bucket, as JSON writes it, to how many transfers are in it."""


def bucket_of(size_bytes: int, elapsed_ms: int) -> int:
    """Return the bucket of a transfer of at least one byte and one millisecond."""
    return floor(BUCKETS_PER_DOUBLING * log2(size_bytes * 1000 / elapsed_ms))


def percentile(buckets: Buckets, share: float) -> float | None:
    """Return the bytes per second that `share` (0 to 1) of all do not exceed; None without any."""
    wanted = max(ceil(share * sum(buckets.values())), 1)
    seen = 0
    for number in sorted(map(int, buckets)):
        seen += buckets[str(number)]
        if seen >= wanted:
            return float(2 ** ((number + 0.5) / BUCKETS_PER_DOUBLING))
    return None


def merged(parts: Iterable[Buckets]) -> Counter[str]:
    """Return all buckets added up."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total
