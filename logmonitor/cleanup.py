"""The clean-up of the logs: short live logs, old files into archives, old archives away.

Whatever line a kill comes at, no line is lost or doubled in what is left, and the next clean-up ends what
this one began.
"""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from logmonitor import archive
from logmonitor.files import (
    LogFile,
    archives,
    cut_files,
    live_files,
    part_files,
    pending_archives,
    rotated_files,
    superseded_files,
)
from logmonitor.live import BLOCK_BYTES, LiveLog, finish_cut, lines_before_last
from logmonitor.locking import FileBusy, locked

DAY_SECONDS = 86_400
ABANDONED_SECONDS = 3_600
"""A compression at work writes into its file; one that has stood still for so long is dead."""


class CleanUpActive(Exception):
    """Another clean-up is at work in this folder."""


class WrongLimit(ValueError):
    """A limit makes no sense; the message says what to give."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept: lines of a live log, days until a rotated file is archived, days an archive stays."""

    max_log_lines: int = 10_000
    archive_age_days: int = 7
    delete_age_days: int = 30

    def __post_init__(self) -> None:
        """Raise WrongLimit for what is no whole number above zero."""
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise WrongLimit(f"{name} is {value!r}: give a whole number, at least 1.")


@dataclass(slots=True)
class Cleaned:
    """What a clean-up did, or would do: rotated files archived, live logs shortened and by how many lines
    in all (which are in an archive now), archives deleted.
    """

    archived_files: int = 0
    cleaned_up_files: int = 0
    total_lines_removed: int = 0
    deleted_archives: int = 0


def clean_logs(folder: Path, limits: Limits | None = None, *, dry_run: bool = False) -> Cleaned:
    """Clean up one folder of logs; files of other names in it, and symbolic links, are not touched.

    Syncs may write meanwhile. Raises CleanUpActive, and OSError when a file or the disk stands in the
    way: what was not done yet is then left for the next time.
    """
    limits, folder = limits or Limits(), folder.resolve()
    if not folder.is_dir():
        return Cleaned()  # nothing was logged yet
    if dry_run:
        return _forecast(folder, limits)
    with _alone(folder):
        _finish_what_a_kill_left(folder)
        return _clean(folder, limits)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with locked(folder, os.O_RDONLY | os.O_DIRECTORY, patience=0):
            yield
    except FileBusy:
        raise CleanUpActive(f"Another clean-up is at work in {folder}: wait until it is done.") from None


def _clean(folder: Path, limits: Limits) -> Cleaned:
    done = Cleaned()
    old = _old_rotated(folder, limits)
    heads = []
    for file in live_files(folder):
        with suppress(FileNotFoundError):  # rotated just now
            live = LiveLog(file.path, rotate_bytes=0)
            if cut := live.cut(limits.max_log_lines):
                done.cleaned_up_files += 1
                done.total_lines_removed += cut.lines
                heads.append(cut.path)
    cut_away = [file for file in rotated_files(folder) if file.path in heads]
    archived = archive.archive(folder, [*old, *cut_away])
    done.archived_files = max(0, archived - len(cut_away))
    for file in _old_archives(folder, limits):
        file.path.unlink(missing_ok=True)
        done.deleted_archives += 1
    return done


def _forecast(folder: Path, limits: Limits) -> Cleaned:
    """Say what a clean-up would do now."""
    surplus = [lines_before_last(file.path, limits.max_log_lines) for file in live_files(folder)]
    return Cleaned(
        archived_files=len(_old_rotated(folder, limits)),
        cleaned_up_files=sum(lines > 0 for lines in surplus),
        total_lines_removed=sum(surplus),
        deleted_archives=len(_old_archives(folder, limits)),
    )


def _old_rotated(folder: Path, limits: Limits) -> list[LogFile]:
    return [file for file in rotated_files(folder) if _age(file) > limits.archive_age_days * DAY_SECONDS]


def _old_archives(folder: Path, limits: Limits) -> list[LogFile]:
    return [file for file in archives(folder) if _age(file) > limits.delete_age_days * DAY_SECONDS]


def _age(file: LogFile) -> float:
    return time.time() - file.modified


# --- after a kill ---------------------------------------------------------------------------------


def _finish_what_a_kill_left(folder: Path) -> None:
    for file, start in cut_files(folder):
        finish_cut(file.path, start)
    for file in pending_archives(folder):
        archive.finish(folder, file.path)
    for file in superseded_files(folder):
        _remove_superseded(file.path)
    for file in part_files(folder):
        compressing = bool(file.log) and file.path.name.endswith(".gz.part")  # at work beside us, perhaps
        if not compressing or _age(file) > ABANDONED_SECONDS:
            file.path.unlink(missing_ok=True)


def _remove_superseded(path: Path) -> None:
    """Remove a plain file whose compressed form holds the very same."""
    with suppress(FileBusy, FileNotFoundError), locked(path, os.O_RDONLY, patience=0) as descriptor:
        with open(descriptor, "rb", closefd=False) as plain, gzip.open(f"{path}.gz") as packed:
            same = _same(plain, packed)
        if same:
            path.unlink()


def _same(plain: IO[bytes], packed: gzip.GzipFile) -> bool:
    try:
        while block := plain.read(BLOCK_BYTES):
            if packed.read(len(block)) != block:
                return False
        return not packed.read(1)
    except archive.DAMAGED:
        return False
