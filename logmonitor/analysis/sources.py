"""The files of a log folder: found, opened once each, told apart, and read as blocks of whole lines."""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import resource
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from easel.events import LOGS
from logmonitor.analysis.archive import DamagedArchive, Stream, members
from logmonitor.analysis.lines import MAX_LINE_BYTES

ARCHIVE = "archive"
READ_BYTES = 1 << 17
HEAD_BYTES = 1024
MOST_MEMBERS = 1_000
"""An archive of more files is read no further: the clean-up puts a few into each."""
ROUNDS = 10
BOMB_RATIO = 200
BOMB_BYTES = 256 << 20
"""A compressed file that unpacks to more than both, absolutely and by its size, is read no further."""

SPARE_FILES = 64
"""How many files this process may still open beside the logs: pipes to its copies, a report."""

_LOG = re.compile(rf"({'|'.join(LOGS)})\.log(?:[.\-_].*)?", re.DOTALL)
_TAR = re.compile(r".*\.(?:tar|tar\.gz|tgz)(?:\.pending)?", re.DOTALL)
_UNFINISHED = ".part"
# A log that is being cut, and how many bytes of it are not in the new one, too (logmonitor.live).
_CUT = re.compile(r".*\.cut([0-9]{1,18})", re.DOTALL)
_GZIP_MAGIC = b"\x1f\x8b"
DAMAGED_GZIP = (gzip.BadGzipFile, zlib.error)

Identity = tuple[int, int]
"""What a file is on disk, whatever it is called: device and inode."""
Wrong = Callable[[str, int], None]
Problems = Counter[tuple[str, str]]
"""How often which file had which kind of problem: what a block's lines had, and what the files had."""


class FolderError(Exception):
    """There is nothing to analyse; the message says what to do."""


class TooLarge(Exception):
    """A compressed file unpacks to more than logs do."""


@dataclass(frozen=True, slots=True)
class Source:
    """One open file: a log, plain or compressed, or an archive of them."""

    name: str
    log: str | None
    file: int
    size: int
    compressed: bool
    identity: Identity

    @property
    def whole(self) -> bool:
        """Whether it has to be read from its beginning to its end, by one process."""
        return self.compressed or self.log is None


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one process reads at a time: whole lines of a plain file, or all of a compressed one."""

    source: Source
    start: int
    end: int
    passed_over: frozenset[int] = frozenset()
    """Members of an archive, by their place, that are counted elsewhere."""


@dataclass(slots=True)
class Reach:
    """Part of an open file, with a place of its own: many may read one file side by side."""

    file: int
    at: int
    end: int

    def read(self, size: int = READ_BYTES, /) -> bytes:
        """Return up to `size` bytes; none beyond the end, however the file grows."""
        data = os.pread(self.file, min(size, self.end - self.at), self.at)
        self.at += len(data)
        return data


@dataclass(slots=True)
class Peeked:
    """A stream of which the first bytes were looked at."""

    begin: bytes
    stream: Stream

    def read(self, size: int = READ_BYTES, /) -> bytes:
        """Return up to `size` bytes."""
        if not self.begin:
            return self.stream.read(size)
        begin, self.begin = self.begin[:size], self.begin[size:]
        return begin + self.stream.read(size - len(begin)) if len(begin) < size else begin


@dataclass(slots=True)
class Room:
    """How many bytes a file may still unpack to, all that is compressed in an archive together."""

    left: int

    @classmethod
    def of(cls, source: Source) -> Room:
        """Return what a file of its size may unpack to."""
        return cls(max(BOMB_BYTES, BOMB_RATIO * source.size))


@dataclass(slots=True)
class Bounded:
    """Unpacked bytes, counted: TooLarge when they are more than logs pack into so little."""

    stream: gzip.GzipFile
    room: Room

    def read(self, size: int, /) -> bytes:
        """Return some bytes; unlike `GzipFile.read`, what stands before damage is returned, too."""
        if self.room.left < 0:
            raise TooLarge
        data = self.stream.read1(size)
        self.room.left -= len(data)
        if self.room.left < 0:
            raise TooLarge
        return data


class Folder:
    """The log folder, opened; a context manager.

    Nothing outside is read: symbolic links are not followed, archives are streamed. Files are opened before
    any is read and known by what they are on disk, so that one that is renamed meanwhile is read once.
    """

    def __init__(self, path: Path) -> None:
        """Open every file. Raises FolderError."""
        self.path = path
        self.problems: Problems = Counter()
        self._known: dict[Identity, Source] = {}
        self._stack = ExitStack()
        self._most_files = _raise_file_limit()
        try:
            self._folder = self._open_folder(str(path), None)
            for _ in range(ROUNDS):  # until a look brings nothing new: files are renamed while we look
                if not self._look():
                    break
        except BaseException:
            self._stack.close()
            raise

    @property
    def sources(self) -> list[Source]:
        """The open files."""
        return list(self._known.values())

    def was_cut(self) -> bool:
        """Say whether a file has become shorter since: what was cut off is in a file not known here."""
        return any(os.fstat(source.file).st_size < source.size for source in self.sources)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open_folder(self, name: str, within: int | None) -> int:
        follow = os.O_NOFOLLOW if within is not None else 0
        try:
            folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | follow, dir_fd=within)
        except FileNotFoundError:
            raise FolderError(f"There is no folder {name}: say with --log-dir where the logs are.") from None
        except NotADirectoryError:
            raise FolderError(f"{name} is no folder: say with --log-dir where the logs are.") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise FolderError(f"The folder {name} cannot be read ({reason}).") from None
        self._stack.callback(os.close, folder)
        return folder

    def _look(self) -> bool:
        known = set(self._known.values())
        names = self._names(self._folder, "")
        if ARCHIVE in names:
            self._look_into_archive()
        for name in names:
            self._open(self._folder, name, name)
        return set(self._known.values()) != known

    def _look_into_archive(self) -> None:
        with ExitStack() as stack:
            try:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                folder = os.open(ARCHIVE, flags, dir_fd=self._folder)
            except OSError:
                self.problems[ARCHIVE, "unreadable"] = 1
                return
            stack.callback(os.close, folder)
            for name in self._names(folder, f"{ARCHIVE}/"):
                self._open(folder, name, f"{ARCHIVE}/{name}")

    def _names(self, folder: int, prefix: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except OSError as error:
            raise FolderError(f"The folder {self.path / prefix} cannot be read ({error.strerror}).") from None

    def _open(self, folder: int, name: str, shown: str) -> None:
        log = log_of(name)
        if log is None and not _TAR.fullmatch(name):
            return
        try:
            # O_NONBLOCK: opening a named pipe must not wait for a writer.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.open(name, flags, dir_fd=folder)
        except FileNotFoundError:
            return  # renamed since; the next look finds it
        except OSError as error:
            if error.errno == errno.EMFILE:
                raise self._too_many() from None
            self.problems[shown, "unreadable"] = 1
            return
        if file >= self._most_files - SPARE_FILES:
            os.close(file)
            raise self._too_many()
        if not self._keep(Source(shown, log, file, *_about(file)), _CUT.fullmatch(name)):
            os.close(file)

    def _too_many(self) -> FolderError:
        return FolderError(
            f"There are more logs in {self.path} than a process may open here ({self._most_files:,}): raise"
            " `ulimit -n`, or move some of them into a folder of their own."
        )

    def _keep(self, source: Source, cut: re.Match[str] | None) -> bool:
        """Take up an open file, unless it is one already; say whether it was."""
        status = os.fstat(source.file)
        if not stat.S_ISREG(status.st_mode):
            self.problems[source.name, "unreadable"] = 1
            return False
        if cut and status.st_nlink > 1:
            return False  # not cut yet: it is the live log, and opened by that name
        known = self._known.get(source.identity)
        if cut:
            source = replace(known or source, size=min(source.size, int(cut[1])))
        if cut or known is None:
            self._known[source.identity] = source
        if known is None:
            self._stack.callback(os.close, source.file)
        return known is None


def _about(file: int) -> tuple[int, bool, Identity]:
    """Return size, whether it is compressed, and what the file is on disk."""
    status = os.fstat(file)
    compressed = stat.S_ISREG(status.st_mode) and os.pread(file, 2, 0) == _GZIP_MAGIC
    return status.st_size, compressed, (status.st_dev, status.st_ino)


def log_of(name: str) -> str | None:
    """Return the log that a file of this name belongs to, rotated or not; None for any other."""
    match = _LOG.fullmatch(name)
    return None if match is None or _TAR.fullmatch(name) or name.endswith(_UNFINISHED) else match[1]


def _raise_file_limit() -> float:
    """Allow this process as many open files as it may have, and return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return inf if hard == resource.RLIM_INFINITY else hard


# --- reading -----------------------------------------------------------------------------------------


def whole_lines_end(source: Source, start: int) -> int:
    """Return where the last whole line of a plain file ends; `start` when none ends after it."""
    at = source.size
    while at > start:
        begin = max(start, at - READ_BYTES)
        found = os.pread(source.file, at - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        at = begin
    return start


def unpacked(source: Source, start: int = 0, end: int | None = None) -> Stream:
    """Return the bytes of a file as a stream; of a compressed one those it was made of."""
    raw = Reach(source.file, start, source.size if end is None else end)
    return _gunzip(raw, Room.of(source)) if source.compressed else raw


def _gunzip(raw: Any, room: Room) -> Bounded:
    return Bounded(gzip.GzipFile(fileobj=raw, mode="rb"), room)


def log_files(source: Source, wrong: Wrong) -> Iterator[tuple[int, str, str, Stream]]:
    """Give place, log, name and bytes of each log file in an archive, in their order."""
    room = Room.of(source)
    for place, member in enumerate(members(unpacked(source))):
        if place >= MOST_MEMBERS:
            raise TooLarge
        folders, _, name = member.name.rpartition("/")
        log = log_of(name)
        if log is None or ".." in folders.split("/") or member.name.startswith("/"):
            wrong("foreign_member", 1)
            continue
        yield place, log, f"{source.name}: {name}", _unpacked_member(member, room)


def _unpacked_member(member: Stream, room: Room) -> Stream:
    begin = member.read(len(_GZIP_MAGIC))
    raw = Peeked(begin, member)
    return _gunzip(raw, room) if begin == _GZIP_MAGIC else raw


def blocks(stream: Stream, wrong: Wrong) -> Iterator[tuple[list[bytes], int]]:
    """Give the lines of a stream, many at a time, and their bytes; `wrong(kind, 1)` hears of what is lost.

    A line of more than MAX_LINE_BYTES is left out, never held. What stands before damage is given.
    """
    carry, too_long = b"", False
    for chunk in _chunks(stream, wrong):
        lines, size = io.BytesIO(chunk).readlines(), len(carry) + len(chunk)
        if too_long or len(carry) + len(lines[0]) > MAX_LINE_BYTES:
            if not too_long:
                wrong("too_long", 1)
            size -= len(carry) + len(lines[0])
            carry, too_long = b"", not lines.pop(0).endswith(b"\n")
        if carry and lines:
            lines[0] = carry + lines[0]
            carry = b""
        if lines and not lines[-1].endswith(b"\n"):
            carry = lines.pop()
        if lines:
            yield lines, size - len(carry)
    if carry:
        yield [carry], len(carry)


def _chunks(stream: Stream, wrong: Wrong) -> Iterator[bytes]:
    try:
        while chunk := stream.read(READ_BYTES):
            yield chunk
    except EOFError:
        wrong("truncated", 1)
    except DAMAGED_GZIP:
        wrong("damaged_file", 1)
    except DamagedArchive:
        wrong("truncated", 1)
    except TooLarge:
        wrong("bomb", 1)
    except OSError:
        wrong("unreadable", 1)


def each_log(stretch: Stretch, wrong: Wrong) -> Iterator[tuple[str, str, Stream]]:
    """Give log, name and bytes of each log file in what one process reads at a time."""
    source = stretch.source
    if source.log:
        yield source.log, source.name, unpacked(source, stretch.start, stretch.end)
        return
    try:
        for place, log, name, stream in log_files(source, wrong):
            if place not in stretch.passed_over:
                yield log, name, stream
    except EOFError:
        wrong("truncated", 1)
    except (DamagedArchive, *DAMAGED_GZIP):
        wrong("damaged_file", 1)
    except TooLarge:
        wrong("bomb", 1)
    except OSError:
        wrong("unreadable", 1)
