"""A parser for tests: takes its time, and writes a log line for each row."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from parselogs.parsers.checker import Counts

log = logging.getLogger("parselogs.marks")


class Marks:
    """Reads files with the columns `mark` and `milliseconds`."""

    name, kind, version, delimiters, mark_expected = "Marks", "marks", "1", ",", False

    def recognises(self, header: Sequence[str]) -> bool:
        """Whether it is such a file."""
        return "mark" in header

    def begin(self, header: Sequence[str], context: Any) -> MarksChecker:
        """Take any header."""
        return MarksChecker()


class MarksChecker:
    """Logs and sleeps."""

    def check(self, first_row: int, rows: list[Any], *_: Any) -> Counts:
        """Log each row's mark."""
        for mark, milliseconds in rows:
            log.info("mark %s", mark)
            time.sleep(float(milliseconds) / 1000)
        return Counts(len(rows), 0)

    def finish(self) -> int:
        """Find nothing more."""
        return 0


PARSER = Marks()
