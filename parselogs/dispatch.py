"""The one handler of all runs' logs: hands a record to the log of the run that is at work in its context."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Protocol


class Sink(Protocol):
    """What takes records."""

    def take(self, record: logging.LogRecord) -> None:
        """Keep a record; must not raise."""


RUN_ONLY = "parselogs.run"
"""The logger whose lines go to the run's log and nowhere else."""

current_sink: ContextVar[Sink | None] = ContextVar("parse_run_log", default=None)


class RunLogHandler(logging.Handler):
    """Routes each record to its own run, whatever else runs in this process; no run, no line.

    There is one of it, for good: a handler added for each run would get the lines of all others.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on. The lock that `logging` holds meanwhile is what makes the sinks thread-safe."""
        sink = current_sink.get()
        if sink is not None:
            sink.take(record)
