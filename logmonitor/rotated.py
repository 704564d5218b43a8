"""Rotated files: compressed once they are full, and only so many kept. Safe beside others doing the same."""

from __future__ import annotations

import gzip
import os
import shutil
from contextlib import suppress
from pathlib import Path

from logmonitor.files import LogFile, rotated_files
from logmonitor.live import BLOCK_BYTES
from logmonitor.locking import FileBusy, locked, sync_folder

PATIENCE_SECONDS = 1.0


def tidy_rotated(folder: Path, log: str, keep: int) -> None:
    """Compress the rotated files of a log and delete the oldest beyond `keep`. Raises OSError."""
    for file in rotated_files(folder, log)[: -keep or None]:
        file.path.unlink(missing_ok=True)
    for file in rotated_files(folder, log):
        if not file.is_compressed:
            compress(file)


def compress(file: LogFile) -> None:
    """Put a gzip file of the same age in the place of a rotated one; leave it where another is at it.

    The compressed file is on disk whole before the plain one goes. Raises OSError, leaving the plain one.
    """
    compressed = Path(f"{file.path}.gz")
    part = Path(f"{compressed}.part")
    with suppress(FileBusy, FileNotFoundError), locked(file.path, os.O_RDONLY, PATIENCE_SECONDS) as source:
        status = os.fstat(source)
        if status.st_nlink > 1:
            return  # being cut (logmonitor.live): this name of it goes, or it will be shortened
        try:
            _write_gzip(source, part)
            os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.replace(part, compressed)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        sync_folder(file.path.parent)
        file.path.unlink()


def _write_gzip(source: int, part: Path) -> None:
    with open(part, "wb") as target:
        with (
            open(source, "rb", closefd=False) as plain,
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=target, mtime=0) as packed,
        ):
            shutil.copyfileobj(plain, packed, BLOCK_BYTES)
        target.flush()
        os.fsync(target.fileno())
