"""Which files in the folder of the logs are ours, by name: live, rotated, archived, and on their way.

| name | what it is |
|---|---|
| `operations.log` | the live log |
| `operations.log.20261122-081530-123456` | a rotated one, with when that was (UTC); `.gz` once compressed |
| `archive/canvas_sync-20261122-020000-123456.tar.gz` | whole files that the clean-up put away |
| `….part`, `….pending`, `….cut123` | on their way to one of these; only the clean-up looks at them |

Nothing else in the folder is ours, and no symbolic link is.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from easel.events import LOGS

ARCHIVE_FOLDER = "archive"
_LOG = f"(?P<log>{'|'.join(LOGS)})"
_LIVE = re.compile(rf"{_LOG}\.log")
_ROTATED = re.compile(rf"{_LOG}\.log\.(?P<stamp>[0-9][0-9-]*)(?P<gz>\.gz)?")
_CUT = re.compile(rf"{_LOG}\.log\.(?P<stamp>[0-9-]+)\.cut(?P<bytes>[0-9]+)")
_PART = re.compile(rf"{_LOG}\.log(?:\.[0-9-]+(?:\.gz)?)?\.part")
_ARCHIVE = re.compile(r"canvas_sync-[0-9-]+\.tar\.gz")
_PENDING = re.compile(r"canvas_sync-[0-9-]+\.tar\.gz\.pending")
_ARCHIVE_PART = re.compile(r"canvas_sync-[0-9-]+\.tar\.gz\.part")


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of ours as it was when looked at: bytes, and when it was last written (POSIX seconds)."""

    path: Path
    log: str
    stamp: str
    size: int
    modified: float

    @property
    def is_compressed(self) -> bool:
        """Whether it is one gzip stream."""
        return self.path.suffix == ".gz"


def new_stamp() -> str:
    """Return the present moment as it stands in names; sorts as time does."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"


def live_files(folder: Path) -> list[LogFile]:
    """Return the live logs that are there, in the order of `LOGS`."""
    order = list(LOGS)
    return sorted(_found(folder, _LIVE), key=lambda file: order.index(file.log))


def rotated_files(folder: Path, log: str | None = None) -> list[LogFile]:
    """Return the rotated files, the oldest first; one that is there compressed too shows once, compressed."""
    found: dict[tuple[str, str], LogFile] = {}
    for file in _found(folder, _ROTATED):
        if log in (None, file.log) and (file.is_compressed or (file.log, file.stamp) not in found):
            found[file.log, file.stamp] = file
    return sorted(found.values(), key=lambda file: (file.modified, file.path.name))


def superseded_files(folder: Path) -> list[LogFile]:
    """Return rotated files whose compressed form is there whole: a kill came before they were removed."""
    shown = {file.path for file in rotated_files(folder)}
    return [file for file in _found(folder, _ROTATED) if file.path not in shown]


def cut_files(folder: Path) -> list[tuple[LogFile, int]]:
    """Return logs that were being cut when a kill came, each with the bytes that belong to it."""
    return [(file, int(str(file.path).rpartition(".cut")[2])) for file in _found(folder, _CUT)]


def part_files(folder: Path) -> list[LogFile]:
    """Return files that were never finished, of the folder and of its archive."""
    return [*_found(folder, _PART), *_found(folder / ARCHIVE_FOLDER, _ARCHIVE_PART)]


def archives(folder: Path) -> list[LogFile]:
    """Return the archives, the oldest first."""
    return sorted(_found(folder / ARCHIVE_FOLDER, _ARCHIVE), key=lambda file: (file.modified, file.path.name))


def pending_archives(folder: Path) -> list[LogFile]:
    """Return archives that are written, and whose sources may still be there."""
    return _found(folder / ARCHIVE_FOLDER, _PENDING)


def _found(folder: Path, pattern: re.Pattern[str]) -> list[LogFile]:
    return sorted(_scan(folder, pattern), key=lambda file: file.path.name)


def _scan(folder: Path, pattern: re.Pattern[str]) -> Iterator[LogFile]:
    """Yield the regular files of matching names; a file that goes away meanwhile was not there."""
    if folder.name == ARCHIVE_FOLDER and folder.is_symlink():
        return  # it leads out of our folder
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        match = pattern.fullmatch(entry.name)
        if match and (status := _status(entry)) and stat.S_ISREG(status.st_mode):
            named = {"log": "", "stamp": "", **match.groupdict()}
            path = folder / entry.name
            yield LogFile(path, named["log"], named["stamp"], status.st_size, status.st_mtime)


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
