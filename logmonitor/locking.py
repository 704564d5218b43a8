"""Locks on files (flock), waited for a bounded time: nobody stands still for a process that does."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FIRST_PAUSE_SECONDS = 0.0001
LONGEST_PAUSE_SECONDS = 0.005
O_ONLY_THIS = os.O_NOFOLLOW | os.O_NONBLOCK
"""No symbolic link, and no pipe that waits for somebody."""


class FileBusy(OSError):
    """Another process held a file for longer than we wait."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"another process holds {path.name}")


@contextmanager
def locked(path: Path, flags: int, patience: float) -> Iterator[int]:
    """Open a file, lock it against all others that do the same, and give its descriptor.

    The file is the one that has this name when the lock is taken: it may be renamed while we wait, so
    each try opens it anew. A symbolic link is refused. Raises `FileBusy` after `patience` seconds, and
    OSError as `os.open` does.
    """
    deadline, pause = time.monotonic() + patience, FIRST_PAUSE_SECONDS
    while True:
        descriptor = os.open(path, flags | O_ONLY_THIS, 0o640)
        # Twice, because a worker's time limit is an exception that may come between any two lines: should
        # it come while one `finally` begins, the other still closes the file, and so unlocks it.
        try:
            try:
                if _try_lock(descriptor) and _has_name(descriptor, path):
                    yield descriptor
                    return
            finally:
                # Said, not left to closing: a child forked meanwhile would keep the lock with its copy.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)
        if time.monotonic() > deadline:
            raise FileBusy(path)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_name(descriptor: int, path: Path) -> bool:
    try:
        named = os.lstat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk, as fsync has a file's bytes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
