"""The handler behind the loggers `canvas.sync.*`: lines into files, and never in the way of a sync."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from logmonitor.lines import line_of
from logmonitor.live import LiveLog
from logmonitor.locking import FileBusy
from logmonitor.rotated import tidy_rotated

SILENCE_SECONDS = 60.0
"""Where another process stands still with the file, a line waits for it once in this time."""

SAY_AGAIN_SECONDS = 3600.0

log = logging.getLogger(__name__)
_said: dict[Path, float] = {}


class LogFileHandler(logging.Handler):
    """Appends records to one of the logs. Makes nothing before the first line.

    What keeps it from writing is said once an hour and folder, by the logger of this module; lines are
    dropped meanwhile.
    """

    def __init__(self, folder: str | os.PathLike[str], log: str, rotate_bytes: int, keep: int) -> None:
        """Write `log`.log in a folder; rotate beyond `rotate_bytes`, keep so many rotated files."""
        super().__init__()
        self._folder, self._log, self._keep = Path(folder), log, keep
        self._live = LiveLog(self._folder / f"{log}.log", rotate_bytes)
        self._silent_until = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. Catches OSError only: a worker's time limit is an exception that comes anywhere."""
        if time.monotonic() < self._silent_until:
            return
        try:
            rotated = self._live.append(line_of(record))
        except OSError as error:
            self._silent_until = time.monotonic() + SILENCE_SECONDS if isinstance(error, FileBusy) else 0.0
            say_once(self._folder, f"{self._live.path} cannot be written", error)
        else:
            if rotated:
                self._tidy_beside()

    def _tidy_beside(self) -> None:
        """Compress what was rotated in a thread of its own: the sync goes on, and its end waits for it."""
        with suppress(RuntimeError):  # at the end of the process no thread starts; the clean-up does it then
            threading.Thread(target=self._tidy, name="compress-log").start()

    def _tidy(self) -> None:
        try:
            tidy_rotated(self._folder, self._log, self._keep)
        except OSError as error:
            say_once(self._folder, f"Rotated files in {self._folder} cannot be compressed", error)


def say_once(folder: Path, what: str, error: OSError) -> None:
    """Warn that logs cannot be kept, unless that was said a short while ago."""
    now = time.monotonic()
    if now - _said.get(folder, -SAY_AGAIN_SECONDS) >= SAY_AGAIN_SECONDS:
        _said[folder] = now
        log.warning("%s (%s): syncs go on, without the lines of their logs.", what, error.strerror or error)
