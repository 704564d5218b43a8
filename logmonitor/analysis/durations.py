"""Durations in logarithmic buckets that can be added up: any percentile within 0.4 percent."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping
from math import ceil
from struct import pack, unpack

BUCKET_BITS = 16
"""A bucket is the upper half of a duration as a 32 bit float: its power of two and seven bits beyond.

So there are 128 buckets from one power of two to the next, each at most 1/128 wide, and the middle of one is
at most 1/256 off. Python makes them of a whole list at once, which is why they are cheap.
"""
RELATIVE_ERROR = 1 / 256

# The upper half comes second where the lower byte comes first.
_UPPER = 1 if sys.byteorder == "little" else 0


def buckets_of(durations: Iterable[float]) -> list[int]:
    """Return the bucket of each duration, which is not negative and below 3e38."""
    return memoryview(array("f", durations)).cast("B").cast("H")[_UPPER::2].tolist()


def middle(bucket: int) -> float:
    """Return the duration that stands for all of a bucket."""
    low, high = (unpack("f", pack("I", number << BUCKET_BITS))[0] for number in (bucket, bucket + 1))
    return float(low + high) / 2 if bucket else 0.0


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """Return the duration that `share` (0 to 1) of all do not exceed, by nearest rank; None without any."""
    wanted = max(ceil(share * sum(buckets.values())), 1)
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted:
            return middle(bucket)
    return None
