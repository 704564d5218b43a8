"""The spool: where a run's log stands on this host's disk until storage has it, whatever is killed meanwhile.

A log longer than its limit keeps its beginning and its end. The end is written into segments beside the
beginning; two of them stay, so that a kill costs no line of them either.

    <uuid>.log             the beginning; its lock is held by who writes or stores the log
    <uuid>.tail.<number>   a segment of the end, named after its first line
    <uuid>.findings.csv    all findings
"""

from __future__ import annotations

import fcntl
import gzip
import io
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from django.conf import settings

HEAD_SHARE, SEGMENT_SHARE = 2, 4
"""Of the limit, a half is for the beginning and a quarter for each of the two segments of the end."""

QUARANTINE = "without_a_run"
BEING_MADE_SECONDS = 3600
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Spooled:
    """What the spool of a run comes to, as text."""

    text: bytes
    left_out: int

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return self.text.count(b"\n")

    def compressed(self) -> bytes:
        """Return the text as gzip, the same bytes for the same text."""
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
            file.write(self.text)
        return packed.getvalue()


@dataclass(frozen=True, slots=True)
class Spool:
    """The files of one run."""

    run: UUID

    @property
    def head(self) -> Path:
        """Where the log begins."""
        return settings.PARSE_SPOOL_DIR / f"{self.run}.log"

    @property
    def findings(self) -> Path:
        """Where all findings are."""
        return settings.PARSE_SPOOL_DIR / f"{self.run}.findings.csv"

    def tail(self, number: int) -> Path:
        """Where the segment is whose first line has this number, counted from 0."""
        return settings.PARSE_SPOOL_DIR / f"{self.run}.tail.{number}"

    def tails(self) -> list[tuple[int, Path]]:
        """Return the segments of the end with the numbers of their first lines, in order."""
        found = settings.PARSE_SPOOL_DIR.glob(f"{self.run}.tail.*")
        return sorted((int(path.suffix[1:]), path) for path in found if path.suffix[1:].isdecimal())

    def files(self) -> list[Path]:
        """Return what there is; the beginning last, so that what a kill leaves is still found by it."""
        return [*(path for _, path in self.tails()), self.findings, self.head]

    def exists(self) -> bool:
        """Whether there is a log of this run on this host."""
        return self.head.exists()

    def create(self) -> int:
        """Make the spool and return the open, locked file of its beginning; OSError where that fails.

        It gets its name when it is locked: the sweeper never finds one that nobody seems to hold.
        """
        _make_private(settings.PARSE_SPOOL_DIR)
        new = settings.PARSE_SPOOL_DIR / f".{uuid4()}.new"
        descriptor = os.open(new, _APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.link(new, self.head)
        except BaseException:
            os.close(descriptor)
            raise
        finally:
            new.unlink()
        return descriptor

    def create_tail(self, number: int) -> int:
        """Make a segment of the end and return its open file; OSError where that fails."""
        return os.open(self.tail(number), _APPEND, 0o600)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the spool for the body; False where somebody else does, or where it is gone."""
        try:
            descriptor = os.open(self.head, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield os.fstat(descriptor).st_nlink > 0
        except BlockingIOError:
            yield False
        finally:
            os.close(descriptor)

    def read(self, closing: bytes = b"") -> Spooled:
        """Return the log as it stands, with lines that go after its last one; OSError where it is gone."""
        parts = [_whole_lines(self.head)]
        position, left_out = parts[0].count(b"\n"), 0
        for number, path in self.tails()[-2:]:
            with suppress(FileNotFoundError):  # a newer segment took its place just now
                text = _whole_lines(path)
                if (gap := number - position) > 0:
                    left_out += gap
                    parts.append(_gap(gap))
                parts.append(text)
                position = number + text.count(b"\n")
        return Spooled(b"".join([*parts, closing]), left_out)

    def delete(self) -> None:
        """Remove all of it."""
        for path in self.files():
            path.unlink(missing_ok=True)

    def quarantine(self) -> Path:
        """Put a spool aside whose run is in no table, and return where."""
        folder: Path = settings.PARSE_SPOOL_DIR / QUARANTINE
        _make_private(folder)
        for path in self.files():
            with suppress(FileNotFoundError):
                path.rename(folder / path.name)
        return folder


def logs_put_aside() -> int:
    """Return how many logs of runs that are in no table lie on this host."""
    return sum(1 for _ in (settings.PARSE_SPOOL_DIR / QUARANTINE).glob("*.log"))


def tidy() -> None:
    """Remove what a kill has left of spools that were just being made; they are empty."""
    for path in settings.PARSE_SPOOL_DIR.glob(".*.new"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > BEING_MADE_SECONDS:
                path.unlink()


def spools() -> list[Spool]:
    """Return the spools on this host, those in quarantine not."""
    found = []
    for path in sorted(settings.PARSE_SPOOL_DIR.glob("*.log")):
        with suppress(ValueError):  # somebody else's file
            found.append(Spool(UUID(path.stem)))
    return found


class SpoolWriter:
    """Appends lines to a spool, at once and each as a whole; OSError where that fails."""

    def __init__(self, spool: Spool, limit: int) -> None:
        """Make the spool; `limit` in bytes is what the log may have in all."""
        self._spool = spool
        self._head = self._file = spool.create()
        self._room = limit // HEAD_SHARE
        self._segment = limit // SEGMENT_SHARE
        self._lines = 0

    def write(self, line: bytes) -> None:
        """Append a line; what fits only in part is taken back."""
        if len(line) > self._room:
            self._begin_segment()
        written = os.write(self._file, line)
        if written < len(line):
            self._write_rest(line[written:], written)
        self._room -= len(line)
        self._lines += line.count(b"\n")

    def _write_rest(self, rest: bytes, written: int) -> None:
        """Write what did not fit at once, or take back all of it."""
        size = os.fstat(self._file).st_size - written
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, size)
            raise

    def close(self) -> None:
        """Write to the disk what the system still holds, and let go of the lock."""
        for file in {self._file, self._head}:
            with suppress(OSError):
                os.fsync(file)
            os.close(file)

    def _begin_segment(self) -> None:
        file = self._spool.create_tail(self._lines)
        if self._file != self._head:
            os.close(self._file)
        self._file, self._room = file, self._segment
        for _, path in self._spool.tails()[:-2]:
            path.unlink(missing_ok=True)


def open_private(path: Path) -> BinaryIO:
    """Make a file that only we may read, and return it open for writing."""
    return os.fdopen(os.open(path, _APPEND, 0o600), "wb")


def _make_private(folder: Path) -> None:
    """Make a folder that is ours alone; PermissionError where somebody else made it first."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(1, "the folder belongs to somebody else")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)


def _whole_lines(path: Path) -> bytes:
    text = path.read_bytes()
    return text if text.endswith(b"\n") or not text else text + b"\n"


def _gap(lines: int) -> bytes:
    return f"    ... {lines:,} lines were left out here, to keep the log within its limit ...\n".encode()
