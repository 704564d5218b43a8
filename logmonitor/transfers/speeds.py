"""How fast transfers were: histograms that add up over days, any percentile within five percent."""

from __future__ import annotations

from math import floor, log2

from syncmetrics.histogram import Buckets, bucket_at

BUCKETS_PER_DOUBLING = 8
"""Each bucket reaches 9 % further than the one before: a speed is known to within 4.5 % of itself.

Coarser than the histograms of syncs, because there is one for each day, protocol and direction, and all of
them are read for a chart of years.
"""


def bucket_of(size_bytes: int, elapsed_ms: int) -> int:
    """Return the bucket of a transfer of at least one byte and one millisecond."""
    return floor(BUCKETS_PER_DOUBLING * log2(size_bytes * 1000 / elapsed_ms))


def percentile(buckets: Buckets, share: float) -> float | None:
    """Return the bytes per second that `share` (0 to 1) of all do not exceed; None without any."""
    number = bucket_at(buckets, share)
    return None if number is None else float(2 ** ((number + 0.5) / BUCKETS_PER_DOUBLING))
