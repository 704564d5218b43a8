"""The last lines of a log, of one run or of all, as the console shows them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from logmonitor.archive import DAMAGED
from logmonitor.files import LogFile, live_files, rotated_files
from syncmetrics.models import SyncRun

MAX_FILE_BYTES = 64 * 1024 * 1024
CLOCK_SECONDS = 60
"""A file last written so long before a run began holds nothing of it, whatever the clocks."""


@dataclass(slots=True)
class Tail:
    """Lines, the oldest first, as JSON objects; `more` when there are older ones in these files."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    more: bool = False


def lines_of_run(run: SyncRun | None, log: str, limit: int, *, folder: Path) -> Tail:
    """Return the last `limit` lines of a run in one log on this host; of no run: of the whole log.

    Live and rotated files are looked through, archives are not. What is no line of ours is left out.
    """
    since = run.sync_start_time.timestamp() - CLOCK_SECONDS if run else 0.0
    found = Tail()
    for line in _backwards(folder, log, since, _pattern(run)):
        if run is None or line.get("run") == run.pk:
            if len(found.lines) == limit:
                found.more = True
                break
            found.lines.append(line)
    found.lines.reverse()
    return found


def _pattern(run: SyncRun | None) -> re.Pattern[bytes]:
    # Most lines are of other runs: they are told apart before they are decoded.
    return re.compile(rb'"run": ?%d[,}]' % run.pk if run else rb"{")


def _backwards(folder: Path, log: str, since: float, wanted: re.Pattern[bytes]) -> Iterator[dict[str, Any]]:
    live = [file for file in live_files(folder) if file.log == log]
    for file in [*live, *reversed(rotated_files(folder, log))]:
        if file.modified < since:
            return
        for line in reversed(_read(file).split(b"\n")):
            if wanted.search(line) and (decoded := _decoded(line)) is not None:
                yield decoded


def _read(file: LogFile) -> bytes:
    try:
        with gzip.open(file.path) if file.is_compressed else open(file.path, "rb") as stream:
            return stream.read(MAX_FILE_BYTES)
    except DAMAGED:
        return b""


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        decoded = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return decoded if isinstance(decoded, dict) and isinstance(decoded.get("ts"), str) else None
