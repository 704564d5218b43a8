"""Processes that write logs, for tests: `python -m tests.logmonitor.writers FOLDER NUMBER LINES BYTES`."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

from logmonitor.handler import LogFileHandler
from tests.installation import ROOT

KEEP = 100_000


def write(folder: str, number: int, lines: int, rotate_bytes: int) -> None:
    """Write numbered lines into operations.log, as a sync does."""
    logger = logging.Logger("writer")
    logger.addHandler(LogFileHandler(folder, "operations", rotate_bytes, KEEP))
    for line in range(lines):
        fields = {"run": number, "connection": "main", "user": None, "number": line, "filler": "x" * 100}
        logger.info("sync_started", extra={"fields": fields})


def start(folder: Path, number: int, lines: int, rotate_bytes: int) -> subprocess.Popen[bytes]:
    """Start one such process."""
    arguments = map(str, (folder, number, lines, rotate_bytes))
    return subprocess.Popen([sys.executable, "-m", "tests.logmonitor.writers", *arguments], cwd=ROOT)


if __name__ == "__main__":
    write(sys.argv[1], *map(int, sys.argv[2:]))
