"""How many requests of one token are in flight: bounded, halved when Canvas refuses, recovered slowly.

Canvas reserves 50 units per request in flight, refuses at 600 and leaks 10 units a second, so an idle
token admits 11; more is refused and slower (canvas-lms, app/middleware/request_throttle.rb). Its
`X-Rate-Limit-Remaining` includes our own reservations, so no decision here is based on it.
"""

from __future__ import annotations

import random as _random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from canvas.errors import Interrupted

FIRST_PAUSE_SECONDS = 1.0
LONGEST_BACK_OFF_SECONDS = 60.0  # a full bucket leaks empty in this time
LONGEST_PAUSE_SECONDS = 300.0  # whatever Retry-After says
RECOVERY_SECONDS = 5.0  # the bucket frees one more reservation of 50 in this time
MAX_DOUBLINGS = 6


class Throttle:
    """The state of one token, shared by all threads that use it.

    An *epoch* ends when Canvas refuses a request; refusals of requests begun before that are the same
    event and change nothing more.
    """

    def __init__(
        self,
        limit: int = 10,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        """Bound the token to `limit` requests in flight; the rest is replaceable for tests."""
        if limit < 1:
            raise ValueError("a throttle admits at least one request in flight")
        self._cap = self._limit = limit
        self._clock, self._random = clock, random
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._changed = threading.Condition()
        self._in_flight = self._epoch = self._hits = self._setbacks = self._refusals_in_a_row = 0
        self._resume_at = self._last_step = float("-inf")
        self._remaining: float | None = None

    @property
    def limit(self) -> int:
        """Requests in flight admitted now."""
        return self._limit

    @property
    def holds_back(self) -> bool:
        """Whether requests wait because Canvas refused some: there is a pause, or fewer are admitted."""
        return self._limit < self._cap or self._clock() < self._resume_at

    @property
    def hits(self) -> int:
        """How often Canvas refused a request so far."""
        return self._hits

    @property
    def in_flight(self) -> int:
        """Requests in flight now."""
        return self._in_flight

    @property
    def remaining(self) -> float | None:
        """The last `X-Rate-Limit-Remaining`, for people to see; nothing is decided by it."""
        return self._remaining

    @contextmanager
    def slot(self) -> Iterator[int]:
        """Wait for a place, hold it for one request, and give the epoch the request began in.

        Raises `Interrupted` when the throttle is closed.
        """
        epoch = self._enter()
        try:
            yield epoch
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify()

    def wait(self, seconds: float) -> None:
        """Sleep without holding a place; raises `Interrupted` as soon as the throttle is closed."""
        self._sleep(seconds)
        self._check_open()

    def throttled(self, retry_after: float | None = None, epoch: int | None = None) -> None:
        """Take note that Canvas refused: half the limit and a pause for everyone, once per epoch.

        `epoch` is what `slot()` gave; without it a refusal during the pause counts as the same event.
        `retry_after` (seconds) lengthens the pause.
        """
        with self._changed:
            self._hits += 1
            now = self._clock()
            known = epoch < self._epoch if epoch is not None else now < self._resume_at
            back_off = 0.0 if known else self._step_down(now)
            pause = max(back_off, min(retry_after or 0.0, LONGEST_PAUSE_SECONDS))
            self._resume_at = max(self._resume_at, now + pause)

    def succeeded(self, remaining: float | None = None) -> None:
        """Take note of an answer: after a quiet while the limit grows by one, up to its cap."""
        if remaining is not None:
            self._remaining = remaining
        if self._limit == self._cap:
            return
        with self._changed:
            now = self._clock()
            patience = RECOVERY_SECONDS * 2.0 ** min(self._setbacks - 1, MAX_DOUBLINGS)
            if now < self._resume_at or self._limit == self._cap:
                return
            self._refusals_in_a_row = 0
            if now - self._last_step >= patience:
                self._step_up(now)

    def close(self) -> None:
        """End all waiting, now and later, with `Interrupted`."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()

    def _enter(self) -> int:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_place)
                self._check_open()
                pause = self._resume_at - self._clock()
                if pause <= 0:
                    self._in_flight += 1
                    return self._epoch
            self.wait(pause)

    def _has_place(self) -> bool:
        return self._closed.is_set() or self._in_flight < self._limit

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Interrupted("The requests to Canvas were cancelled.")

    def _step_down(self, now: float) -> float:
        """Begin a new epoch and give its back-off in seconds, with jitter."""
        self._epoch += 1
        self._setbacks += 1
        self._limit = max(1, self._limit // 2)
        self._last_step = now
        doublings = min(self._refusals_in_a_row, MAX_DOUBLINGS)
        self._refusals_in_a_row += 1
        back_off = min(FIRST_PAUSE_SECONDS * 2.0**doublings, LONGEST_BACK_OFF_SECONDS)
        return back_off * (0.5 + self._random() / 2)

    def _step_up(self, now: float) -> None:
        self._limit += 1
        self._last_step = now
        if self._limit == self._cap:
            self._setbacks = 0
        self._changed.notify()
