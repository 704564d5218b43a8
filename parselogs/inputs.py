"""The uploaded file as a parser reads it: on this host's disk, whole, and still what was uploaded."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from parselogs.errors import InputUnusable, StorageUnavailable, describe
from parselogs.models import DataFile
from parselogs.storage import uploads

BLOCK_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Input:
    """What a run reads: its content's checksum and size, and a way to open it as often as needed."""

    sha256: str
    size: int
    version: str
    open: Callable[[], BinaryIO]


@contextmanager
def fetched(data_file: DataFile) -> Iterator[Input]:
    """Give the content of a file for the body, and leave nothing behind, whatever is killed meanwhile.

    Raises InputUnusable where the storage has it no more, or something else in its place, and
    StorageUnavailable where the storage does not answer.
    """
    with _content(data_file) as (path, version):
        given = Input(*_identity(path), version, lambda: path.open("rb"))
        if (given.sha256, given.size) != (data_file.sha256, data_file.size):
            raise InputUnusable(
                "input_changed",
                "What is in storage is not what was uploaded: its checksum differs. Upload the file again.",
            )
        yield given


@contextmanager
def _content(data_file: DataFile) -> Iterator[tuple[Path, str]]:
    """Give where the content can be opened on this host, and the storage's version of it."""
    if local := _local_path(data_file):
        if not local.exists():
            raise _missing()
        yield local, ""
        return
    folder = settings.PARSE_SPOOL_DIR
    with tempfile.TemporaryFile(dir=folder if folder.exists() else None) as copy:
        version = _copy(data_file, copy)
        # The copy has no name, so that no kill leaves it there; each opening by number reads it anew.
        yield Path(f"/dev/fd/{copy.fileno()}"), version


def _copy(data_file: DataFile, copy: BinaryIO) -> str:
    try:
        with uploads().open(str(data_file.file)) as stored:
            shutil.copyfileobj(stored, copy, BLOCK_BYTES)
            copy.flush()
            return _version(stored)
    except FileNotFoundError:
        raise _missing() from None
    except Exception as error:  # boto3, urllib3 and file systems have no root in common
        raise StorageUnavailable(
            f"The storage did not give the file ({describe(error)}). It is tried again by itself for hours."
        ) from error


def _missing() -> InputUnusable:
    text = "The file is not in storage any more: upload it again, or see who deleted it there."
    return InputUnusable("input_missing", text)


def _local_path(data_file: DataFile) -> Path | None:
    try:
        return Path(uploads().path(str(data_file.file)))
    except NotImplementedError:  # a storage without folders
        return None


def _version(stored: object) -> str:
    return str(getattr(getattr(stored, "obj", None), "version_id", None) or "")[:255]


def _identity(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, os.fstat(file.fileno()).st_size
