"""How much there is of the logs on this host: sizes, numbers, the oldest and the newest."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from easel.events import LOGS
from logmonitor.files import LogFile, archives, live_files, rotated_files
from logmonitor.lines import timestamp
from logmonitor.live import count_lines
from syncmetrics.process import host_identity, host_name

MEGABYTE = 1_000_000


def log_status(folder: Path) -> dict[str, Any]:
    """Return what is in a folder of logs on this host; times are those of the last write, UTC.

    `logs` has the same for each log: megabytes and lines of the live file, its rotated files, last write.
    """
    live, rotated, archived = live_files(folder), rotated_files(folder), archives(folder)
    everything = [*live, *rotated, *archived]
    return {
        "host": host_name(host_identity()),
        "folder": str(folder),
        "total_log_size_mb": _megabytes([*live, *rotated]),
        "total_archive_size_mb": _megabytes(archived),
        "log_files": len(live),
        "rotated_files": len(rotated),
        "archives": len(archived),
        "oldest": min((timestamp(file.modified) for file in everything), default=None),
        "newest": max((timestamp(file.modified) for file in everything), default=None),
        "logs": {log: _of_log(log, live, rotated) for log in LOGS},
    }


def _of_log(log: str, live: Iterable[LogFile], rotated: Iterable[LogFile]) -> dict[str, Any]:
    own = [file for file in live if file.log == log]
    older = [file for file in rotated if file.log == log]
    return {
        "size_mb": _megabytes(own),
        "lines": sum(count_lines(file.path) for file in own),
        "rotated_files": len(older),
        "rotated_size_mb": _megabytes(older),
        "last_written": max((timestamp(file.modified) for file in [*own, *older]), default=None),
    }


def _megabytes(files: Iterable[LogFile]) -> float:
    return round(sum(file.size for file in files) / MEGABYTE, 6)
