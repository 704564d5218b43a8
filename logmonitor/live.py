"""The live logs: appended to, rotated and cut by several processes, with no line lost and none torn.

One write a line, at the end of the file, under a lock on the file itself (docs/adr/0012-own-log-handler.md).
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from logmonitor.files import new_stamp
from logmonitor.locking import locked, sync_folder

PATIENCE_SECONDS = 2.0
BLOCK_BYTES = 1024 * 1024
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT


@dataclass(frozen=True, slots=True)
class Cut:
    """What a live log was shortened by: the rotated file it is in now, and its number of lines."""

    path: Path
    lines: int


@dataclass(frozen=True, slots=True)
class LiveLog:
    """One live log; it holds no open file, so that threads, forks and renames are no concern."""

    path: Path
    rotate_bytes: int

    def append(self, line: bytes, *, patience: float = PATIENCE_SECONDS) -> bool:
        """Write one line, rotating first when the file is full; return whether it was rotated.

        Makes file and folder where they are missing. Raises OSError when nothing was written: disk full,
        not writable, or held by another process for longer than `patience` seconds.
        """
        try:
            written, rotated = self._append(line, patience), False
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            written, rotated = self._append(line, patience), False
        while not written:
            written, rotated = self._append(line, patience), True
        return rotated

    def _append(self, line: bytes, patience: float) -> bool:
        """Write one line; or rotate, where the file is full and lets itself be renamed, and return False."""
        with locked(self.path, _APPEND, patience) as descriptor:
            size = os.fstat(descriptor).st_size
            if size and size + len(line) > self.rotate_bytes and self._rotate():
                return False
            _write(descriptor, size, line)
            return True

    def _rotate(self) -> bool:
        # A folder that is not writable grows a larger log rather than none.
        with suppress(OSError):
            os.rename(self.path, free_name(self.path))
            return True
        return False

    def cut(self, keep_lines: int) -> Cut | None:
        """Keep the last lines and return where those before went; None if there are none.

        Raises OSError as `append` does; the log is then as it was.
        """
        with locked(self.path, os.O_RDONLY, PATIENCE_SECONDS) as descriptor:
            start = _start_of_last(descriptor, keep_lines)
            if not start:
                return None
            rotated = free_name(self.path)
            half_way = rotated.with_name(f"{rotated.name}.cut{start}")
            tail = self.path.with_name(f"{self.path.name}.part")
            _copy_rest(descriptor, start, tail)
            # From here on a kill leaves two names of one file, or the tail and a file to be shortened.
            os.link(self.path, half_way)
            os.replace(tail, self.path)
            lines = _count_lines(descriptor, start)
        finish_cut(half_way, start)
        return Cut(rotated, lines)


def lines_before_last(path: Path, keep_lines: int) -> int:
    """Return how many lines a cut would take away."""
    with open(path, "rb") as file:
        return _count_lines(file.fileno(), _start_of_last(file.fileno(), keep_lines))


def count_lines(path: Path) -> int:
    """Return how many lines a file has."""
    with open(path, "rb") as file:
        return _count_lines(file.fileno(), os.fstat(file.fileno()).st_size)


def finish_cut(half_way: Path, start: int) -> None:
    """End a cut that was begun: shorten what was the log to what came before the tail, and name it.

    Where the cut had not happened yet, the file still has its other name, and nothing is lost with this.
    """
    if os.lstat(half_way).st_nlink > 1:
        half_way.unlink()
        return
    os.truncate(half_way, start)
    os.rename(half_way, half_way.with_suffix(""))
    sync_folder(half_way.parent)


def free_name(path: Path) -> Path:
    """Return a name for a rotated file that no file has, compressed or not."""
    while True:
        rotated = path.with_name(f"{path.name}.{new_stamp()}")
        if not any(os.path.lexists(f"{rotated}{ending}") for ending in ("", ".gz")):
            return rotated


def _write(descriptor: int, size: int, line: bytes) -> None:
    """Write a line whole or not at all, on a line of its own whatever a kill left before it."""
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    if os.write(descriptor, line) < len(line):
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _start_of_last(descriptor: int, lines: int) -> int:
    """Return where the last so many lines begin; a last one without its end counts as a line."""
    position = end = os.fstat(descriptor).st_size
    while position:
        start = max(0, position - BLOCK_BYTES)
        block = os.pread(descriptor, position - start, start)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            if start + at + 1 < end:  # the end of the last line begins no other
                lines -= 1
                if not lines:
                    return start + at + 1
        position = start
    return 0


def _count_lines(descriptor: int, end: int) -> int:
    """Return the number of lines up to a position at which one begins."""
    position = lines = 0
    while position < end:
        block = os.pread(descriptor, min(BLOCK_BYTES, end - position), position)
        position, lines = position + len(block), lines + block.count(b"\n")
    return lines


def _copy_rest(descriptor: int, start: int, target: Path) -> None:
    """Copy a file from a position to its end into a new file, and have that on disk."""
    target.unlink(missing_ok=True)
    copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with open(copy, "wb") as file:
        while block := os.pread(descriptor, BLOCK_BYTES, start):
            file.write(block)
            start += len(block)
        file.flush()
        os.fsync(copy)
