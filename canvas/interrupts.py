"""Ctrl-C, SIGTERM and a task's time limit held back while a transaction is open, and delivered after it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""The last is how Celery's workers tell a task that its time is up."""


@contextmanager
def held_back() -> Iterator[None]:
    """Let signals wait until the body is done; then they act as they would have.

    A KeyboardInterrupt between two lines of Django's `atomic` leaves the connection in a transaction
    that nobody ends, and then not even the run's end can be written. Python interrupts the main thread
    only, so in any other this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, frame: arrived.append(number)) for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in dict.fromkeys(arrived):
            signal.raise_signal(late)
