"""Canvas's throttle: one leaky bucket per token (canvas_contract.md, part 2)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

HIGH_WATER_MARK = 600.0
MAXIMUM = 800.0
OUTFLOW_PER_SECOND = 10.0
UP_FRONT_COST = 50.0


class Bucket:
    """What one token has used: every request in flight holds 50 units, its real cost stays and leaks away.

    In Canvas the units held leak too, so that a twelfth request may slip in just after eleven others; here
    only what was really used leaks, and eleven are the most whatever the timing. A client that keeps within
    this bucket keeps within Canvas's.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._used = 0.0
        self._held = 0.0
        self._at = clock()
        self._lock = threading.Lock()

    def _leak(self) -> None:
        now = self._clock()
        self._used = max(0.0, self._used - (now - self._at) * OUTFLOW_PER_SECOND)
        self._at = now

    def reserve(self) -> bool:
        """Take 50 units for a request that begins; False (nothing taken) when that reaches the mark."""
        with self._lock:
            self._leak()
            if self._used + self._held + UP_FRONT_COST >= HIGH_WATER_MARK:
                return False
            self._held += UP_FRONT_COST
            return True

    def settle(self, cost: float) -> float:
        """Give the 50 units back, keep `cost`; returns what remains under the mark."""
        with self._lock:
            self._leak()
            self._held -= UP_FRONT_COST
            self._used = min(MAXIMUM, self._used + cost)
            return HIGH_WATER_MARK - self._used - self._held

    @property
    def remaining(self) -> float:
        """What remains under the mark now."""
        with self._lock:
            self._leak()
            return HIGH_WATER_MARK - self._used - self._held

    def reservation(self, cost: float) -> Reservation:
        """A request that was let in, to be settled once."""
        return Reservation(self, cost)


class Reservation:
    """The 50 units of one request in flight; settles when it is over, or before, to tell what remains."""

    def __init__(self, bucket: Bucket, cost: float) -> None:
        self._bucket = bucket
        self._remaining: float | None = None
        self.cost = cost

    def settle(self) -> float:
        """What remains under the mark with this request over."""
        if self._remaining is None:
            self._remaining = self._bucket.settle(self.cost)
        return self._remaining

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()


class Throttle:
    """The buckets of all tokens."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def bucket(self, identifier: str) -> Bucket:
        """The bucket of one client, made when it is first seen."""
        return self._buckets.setdefault(identifier, Bucket(self._clock))
