"""Which files in a folder belong to a log, and their bytes: plain or compressed, and how content is known.

A content is known by its first bytes and by those before the place that was reached. Names change when
logs are rotated, inodes and sizes come back: none of them says which content a file has.
"""

from __future__ import annotations

import gzip
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

HEAD_BYTES = 4096
ANCHOR_BYTES = 1024
READ_BYTES = 1 << 20
LONGEST_NAME = 1000
DEEPEST = 8
"""Sub-folders below this many levels are not looked into."""

_UNREAD = re.compile(r"(?:\.(?:part|tmp|swp|lock|bz2|xz|zst|zip)|~)$", re.IGNORECASE)
_BROKEN = (EOFError, gzip.BadGzipFile, zlib.error)


class Unfinished(Exception):
    """A compressed file does not end as such files do: it is being written, or was cut."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a log as it was when looked at; `name` is its path below the source's folder."""

    path: Path
    name: str
    live: bool
    device: int
    inode: int
    size: int
    mtime_ns: int

    @property
    def packed(self) -> bool:
        """Whether it is compressed."""
        return self.name.endswith(".gz")

    @property
    def subfolder(self) -> str:
        """Where it is below the source's folder."""
        return self.name.rpartition("/")[0]


@dataclass(slots=True)
class Scan:
    """The files of a source, in the order in which they were written, and why others cannot be seen."""

    files: list[Found] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def scan(folder: Path, live_name: str) -> Scan:
    """Return the log's files in a folder and those below it; raises OSError when it cannot be listed.

    A log is the live file, and what has its name with something after or before its ending:
    `sftpgo.log`, `sftpgo-2026-11-21T23-52-10.751.log.gz`, `sftpgo.log.1`. A compressed file is left out
    while the plain one is there too.
    """
    found = Scan()
    wanted = _names(live_name)
    for place, names in _folders(folder, found.problems):
        chosen = {name for name in names if wanted(name)}
        for name in sorted(chosen):
            if name.endswith(".gz") and name[:-3] in chosen:
                continue
            if (file := _found(folder, place / name, name == live_name, found.problems)) is not None:
                found.files.append(file)
    found.files.sort(key=lambda file: (file.live, file.mtime_ns, file.name))
    return found


def _names(live_name: str) -> Callable[[str], bool]:
    stem, ending = os.path.splitext(live_name)
    rotated = rf"{re.escape(stem)}[-._].+{re.escape(ending)}(?:\.gz)?"
    pattern = re.compile(rf"{re.escape(live_name)}(?:[-._].+)?|{rotated}", re.DOTALL)
    return lambda name: bool(pattern.fullmatch(name)) and not _UNREAD.search(name)


def _folders(top: Path, problems: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder with the names of what is in it but folders; raises OSError for the top one."""
    waiting = [(top, 0)]
    while waiting:
        place, depth = waiting.pop()
        try:
            entries = list(os.scandir(place))
        except OSError as error:
            if place == top:
                raise
            problems.append(f"{place.relative_to(top)}: {error.strerror}")
            continue
        folders = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        if depth < DEEPEST:
            waiting.extend((place / name, depth + 1) for name in folders)
        yield place, [entry.name for entry in entries if entry.name not in folders]


def _found(top: Path, path: Path, live: bool, problems: list[str]) -> Found | None:
    """Return a regular file; one that went away meanwhile was not there."""
    name = str(path.relative_to(top))
    try:
        name.encode()
        status = path.stat()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeEncodeError) as error:
        problems.append(f"{name!a}: {getattr(error, 'strerror', 'a name that is no text')}")
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    if len(name) > LONGEST_NAME:
        problems.append(f"{name[:100]}…: its name is too long")
        return None
    return found_from(path, name, live, status)


def found_from(path: Path, name: str, live: bool, status: os.stat_result) -> Found:
    """Return a file as its status says."""
    return Found(path, name, live, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class Content(Protocol):
    """The bytes of a file, unpacked."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Return so many bytes from there, fewer only at the end; raises OSError and `Unfinished`."""

    def close(self) -> None:
        """Give the file back."""


class Plain:
    """A plain file, held open: it stays readable when its name goes."""

    def __init__(self, path: Path) -> None:
        """Open it; raises OSError."""
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.size = 0
        self.refresh()

    def refresh(self) -> os.stat_result:
        """Look how long it is now."""
        status = os.fstat(self.descriptor)
        self.size = status.st_size
        return status

    def read(self, offset: int, length: int) -> bytes:
        """Return so many bytes from there, fewer only at the end."""
        data = os.pread(self.descriptor, length, offset)
        while 0 < len(data) < length and (
            more := os.pread(self.descriptor, length - len(data), offset + len(data))
        ):
            data += more
        return data

    def skip_hole(self, offset: int) -> int:
        """Return where the next bytes are that were written, `offset` or later."""
        try:
            return os.lseek(self.descriptor, offset, os.SEEK_DATA)
        except OSError:
            return offset

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)


class Packed:
    """A file compressed by gzip; read forwards, and from its beginning to its end before anything is said.

    What was read last is kept: going back by a byte means unpacking all that is before it anew, and who
    follows a log looks back a little at every step.
    """

    def __init__(self, path: Path) -> None:
        """Open it and unpack it once; raises OSError, and `Unfinished` when it has no end."""
        self._path = path
        self._kept, self._kept_from = b"", 0
        self._file = gzip.open(path)  # noqa: SIM115 - closed by `close`
        self.size = 0
        try:
            while block := self._file.read(READ_BYTES):
                self.size += len(block)
        except _BROKEN as error:
            self._file.close()
            raise Unfinished(f"{path.name} is not a whole gzip file") from error
        except BaseException:
            self._file.close()
            raise

    def read(self, offset: int, length: int) -> bytes:
        """Return so many bytes from there, fewer only at the end."""
        place = offset - self._kept_from
        known = self._kept[place : place + length] if 0 <= place <= len(self._kept) else b""
        if len(known) == length:
            return known
        try:
            self._file.seek(offset + len(known))
            self._kept, self._kept_from = known + self._file.read(length - len(known)), offset
        except _BROKEN as error:
            raise Unfinished(f"{self._path.name} is not a whole gzip file") from error
        return self._kept

    def skip_hole(self, offset: int) -> int:
        """Return where to look next: nothing is known of holes."""
        return offset

    def close(self) -> None:
        """Close it."""
        self._file.close()


def packed_mark(file: Found) -> str:
    """Return what tells a compressed file from a later one of its name."""
    return f"{file.size}-{file.mtime_ns}"


def packed_head(path: Path) -> bytes:
    """Return the first bytes of a compressed file, as `heads` wants them, unpacked no further."""
    try:
        with gzip.open(path) as file:
            return file.read(HEAD_BYTES)
    except _BROKEN as error:
        raise Unfinished(f"{path.name} is not a whole gzip file") from error


def digest(data: bytes) -> bytes:
    """Return the hash of some bytes."""
    return blake2b(data, digest_size=16).digest()


def zeros_before(content: Plain | Packed) -> int:
    """Return how many zeros a file begins with: what is left where somebody else emptied it."""
    if content.read(0, 1) != b"\0":
        return 0
    offset = 0
    while block := content.read(offset := content.skip_hole(offset), READ_BYTES):
        if rest := block.lstrip(b"\0"):
            return offset + len(block) - len(rest)
        offset += len(block)
    return offset


def head_length(known: int) -> int:
    """Return of how many of the first `known` bytes the hash is kept: a power of two."""
    return 1 << (min(known, HEAD_BYTES).bit_length() - 1)


def heads(first: bytes) -> dict[bytes, int]:
    """Return the hashes by which a file that begins so may be known, each with its number of bytes."""
    lengths = (1 << power for power in range(len(first[:HEAD_BYTES]).bit_length()))
    return {digest(first[:length]): length for length in lengths}
