"""The log of one run: takes the lines of its context, writes them into the spool, counts what it cannot."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import wraps
from typing import ParamSpec, TypeVar
from uuid import UUID

from django.conf import settings

from parselogs.dispatch import current_sink
from parselogs.errors import describe
from parselogs.lines import known_secrets, line_of
from parselogs.spool import Spool, SpoolWriter

P = ParamSpec("P")
T = TypeVar("T")

ROOT = logging.getLogger("parselogs")
_levels: Counter[int] = Counter()
_levels_lock = threading.Lock()


class RunLog:
    """The sink of one run. Never raises for a line: from the first failure on, lines are only counted."""

    def __init__(self, run: UUID, level: int) -> None:
        """Begin the spool of a run; lines below `level` are not kept."""
        self.spool = Spool(run)
        self.level = level
        self.levels: Counter[str] = Counter()
        self.dropped = 0
        self.error = ""
        self._secrets = known_secrets()
        self._writer: SpoolWriter | None = None
        try:
            self._writer = SpoolWriter(self.spool, int(settings.PARSE_LOG_MEGABYTES * 1_000_000))
        except OSError as error:
            self.error = describe(error)

    @property
    def has_spool(self) -> bool:
        """Whether there is anything to store."""
        return self._writer is not None

    def take(self, record: logging.LogRecord) -> None:
        """Keep a record. The handler's lock is held: one thread at a time."""
        if record.levelno < self.level:
            return
        self.levels[record.levelname] += 1
        if self.error or self._writer is None:
            self.dropped += 1
            return
        try:
            self._writer.write(line_of(record, self._secrets).encode())
        except OSError as error:
            self.error = describe(error)
            self.dropped += 1

    def close(self) -> None:
        """Let go of the spool's files."""
        if self._writer:
            self._writer.close()


@contextmanager
def run_log(run: UUID, level: str = "INFO") -> Iterator[RunLog]:
    """Give every line of the body to the log of a run, and to no other, until the body ends."""
    number = logging.getLevelNamesMapping()[level]
    log = RunLog(run, number)
    token = current_sink.set(log)
    try:
        with _logged_from(number):
            yield log
    finally:
        current_sink.reset(token)
        log.close()


def in_this_run(function: Callable[P, T]) -> Callable[P, T]:
    """Return `function` so that a thread pool's threads, too, write into the log of the run at work here.

    New threads know no context: without this, their lines reach no run's log. asyncio's tasks and
    `asyncio.to_thread` need nothing.
    """
    context = copy_context()

    @wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> T:
        return context.copy().run(function, *args, **kwargs)

    return carried


@contextmanager
def _logged_from(level: int) -> Iterator[None]:
    """Let records of this level be made while a run wants them; without one, they cost next to nothing."""
    _set_level(level, +1)
    try:
        yield
    finally:
        _set_level(level, -1)


def _set_level(level: int, change: int) -> None:
    with _levels_lock:
        _levels[level] += change
        ROOT.setLevel(min([logging.INFO, *(+_levels)]))
