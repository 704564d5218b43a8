"""Ctrl-C, SIGTERM and a task's time limit: what they do within a body, and what they did again after it.

Python delivers signals to the main thread only; in any other thread these contexts change nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

ASK_TO_END = (signal.SIGTERM, signal.SIGINT)
HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""The last is how Celery's workers tell a task that its time is up."""


@contextmanager
def handled(numbers: Iterable[int], handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Let a handler take these signals within the body."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def terminable(*others: int) -> Iterator[None]:
    """Let SIGTERM, and others, do what Ctrl-C does: raise KeyboardInterrupt."""
    with handled((signal.SIGTERM, *others), signal.default_int_handler):
        yield


@contextmanager
def asked_to_end() -> Iterator[list[int]]:
    """Collect SIGTERM and Ctrl-C instead of acting on them; yields the list they are appended to."""
    arrived: list[int] = []
    with handled(ASK_TO_END, lambda number, frame: arrived.append(number)):
        yield arrived


@contextmanager
def held_back() -> Iterator[None]:
    """Let signals wait until the body is done; then they act as they would have.

    A KeyboardInterrupt between two lines of Django's `atomic` leaves the connection in a transaction
    that nobody ends, and then not even the run's end can be written.
    """
    arrived: list[int] = []
    try:
        with handled(HELD_BACK, lambda number, frame: arrived.append(number)):
            yield
    finally:
        for late in dict.fromkeys(arrived):
            signal.raise_signal(late)
