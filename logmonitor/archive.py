"""Archives of rotated files: one tar.gz a clean-up, whole before its sources go, finished after any kill.

`….part` is being written; `….pending` is whole and on disk, and its sources may still be there; under its
final name it is all there is. Each member says which file it was made of, so that exactly that one goes.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from logmonitor.files import ARCHIVE_FOLDER, LogFile, new_stamp
from logmonitor.live import BLOCK_BYTES
from logmonitor.locking import FileBusy, locked, sync_folder

PATIENCE_SECONDS = 1.0
SOURCE, IDENTITY = "EASEL.source", "EASEL.identity"
DAMAGED = (OSError, EOFError, zlib.error)
"""What reading a gzip stream raises that was cut short or is none."""


class NoArchiveFolder(OSError):
    """The folder of the archives leads elsewhere."""


def archive(folder: Path, files: Sequence[LogFile]) -> int:
    """Put rotated files into a new archive and remove them; return how many.

    One that is being compressed at this moment is left for the next time. Raises OSError, after which
    every file is still there.
    """
    archives = _archive_folder(folder)
    target = archives / f"canvas_sync-{new_stamp()}.tar.gz"
    part, pending = (target.with_name(f"{target.name}.{word}") for word in ("part", "pending"))
    with ExitStack() as held:
        sources = [(file, source) for file in files if (source := _held(held, file)) is not None]
        if not sources:
            return 0
        try:
            _write(part, sources)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        os.rename(part, pending)
        sync_folder(archives)
        finish(folder, pending)
    return len(sources)


def finish(folder: Path, pending: Path) -> None:
    """Remove the sources of an archive that is whole, as far as they are still there, and name it."""
    for name, identity in _sources_of(pending):
        source = folder / Path(name).name
        if _identity(source) == identity:
            source.unlink()
    sync_folder(folder)
    os.rename(pending, pending.with_suffix(""))
    sync_folder(pending.parent)


def _sources_of(pending: Path) -> list[tuple[str, str]]:
    """Return name and identity of the files an archive was made of; of a damaged one, none."""
    with suppress(tarfile.TarError, *DAMAGED), tarfile.open(pending) as packed:
        headers = [member.pax_headers for member in packed]
        return [
            (header[SOURCE], header[IDENTITY]) for header in headers if header.keys() >= {SOURCE, IDENTITY}
        ]
    return []


def _archive_folder(folder: Path) -> Path:
    archives = folder / ARCHIVE_FOLDER
    if archives.is_symlink():
        raise NoArchiveFolder(f"{archives} is a symbolic link: put a folder in its place")
    archives.mkdir(exist_ok=True)
    return archives


def _held(held: ExitStack, file: LogFile) -> BinaryIO | None:
    """Open a file for as long as the archive is made; None where another process is at it."""
    with suppress(FileBusy, FileNotFoundError):
        descriptor = held.enter_context(locked(file.path, os.O_RDONLY, PATIENCE_SECONDS))
        return held.enter_context(open(descriptor, "rb", closefd=False))
    return None


def _write(part: Path, sources: Sequence[tuple[LogFile, BinaryIO]]) -> None:
    with open(part, "wb") as target:
        with tarfile.open(fileobj=target, mode="w:gz", compresslevel=6, format=tarfile.PAX_FORMAT) as packed:
            for file, source in sources:
                _add(packed, file, source)
        target.flush()
        os.fsync(target.fileno())


def _add(packed: tarfile.TarFile, file: LogFile, source: BinaryIO) -> None:
    """Add a file as the text it holds; one that cannot be unpacked goes in as it is."""
    size = _unpacked_size(source) if file.is_compressed else None
    name = file.path.stem if size is not None else file.path.name
    member = tarfile.TarInfo(name)
    status = os.fstat(source.fileno())
    member.size = status.st_size if size is None else size
    member.mtime, member.mode = int(status.st_mtime), 0o640
    member.pax_headers = {SOURCE: file.path.name, IDENTITY: _identity(file.path) or ""}
    source.seek(0)
    packed.addfile(member, source if size is None else gzip.GzipFile(fileobj=source))


def _unpacked_size(source: BinaryIO) -> int | None:
    size = 0
    try:
        with gzip.GzipFile(fileobj=source) as plain:
            while block := plain.read(BLOCK_BYTES):
                size += len(block)
    except DAMAGED:
        return None
    return size


def _identity(path: Path) -> str | None:
    """Return what tells a file from any other that has or had its name."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
