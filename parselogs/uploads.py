"""Taking a file in: limits, its checksum, whether it is there already, into storage, onto the record."""

from __future__ import annotations

import hashlib
import posixpath
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.base import File
from django.db import IntegrityError, transaction
from django.utils import timezone

from easel.redaction import clean
from parselogs.errors import UploadRefused, describe
from parselogs.models import DataFile, DiscardedObject, ParseFileMeta, ParseMeta
from parselogs.names import input_name
from parselogs.runs import queue
from parselogs.storage import uploads

TYPES = (".csv", ".zip")
"""How the name of a file ends that is taken; what is in it is found from its content."""

NAME_CHARACTERS = 255
BLOCK_BYTES = 1_000_000
UPLOADING_AT_MOST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A file that is on record: with its first run, or known already and then without a new one."""

    data_file: DataFile
    run: ParseFileMeta | None
    duplicate: bool = False

    @property
    def sentence(self) -> str:
        """What to say to who uploaded it."""
        if not self.duplicate:
            return f"{self.data_file.name} was uploaded and is parsed in the background."
        known = self.data_file
        return (
            f"This content was uploaded before, as {known.name} on {known.uploaded_at:%Y-%m-%d %H:%M} UTC,"
            " and is not kept twice. Parse that file again if you want a new run."
        )


def accept(
    file: IO[bytes] | File[Any],
    name: str,
    by: User | None = None,
    *,
    trigger: str = ParseFileMeta.Trigger.UPLOAD,
    meta: ParseMeta | None = None,
    log_level: str = ParseFileMeta.LogLevel.INFO,
    notify: bool = False,
    self_contained: bool | None = None,
    send: bool = True,
) -> Accepted:
    """Store an uploaded file and queue its first run, both rows in one transaction.

    `file` is seekable and binary; `name` is what its uploader calls it, never used as a path. Call it
    outside a transaction: the storage may take its time. Content that is there already is not stored again,
    and no run begins. `self_contained` says whether an archive holds all that its rows refer to; None leaves
    that as it is. Raises UploadRefused with a sentence: a type or size we do not take, or a storage that does
    not answer.
    """
    shown = shown_name(name)
    suffix = _suffix(shown)
    sha256, size = _measure(file, name)
    if known := _known(sha256, self_contained):
        return Accepted(known, None, duplicate=True)
    stored = _store(file, suffix)
    try:
        with transaction.atomic():
            data_file = DataFile.objects.create(
                file=stored,
                name=shown,
                size=size,
                sha256=sha256,
                uploaded_by=by,
                notify_uploader=notify,
                self_contained=bool(self_contained),
            )
            run = queue(data_file, trigger, by, meta, log_level, send=send)
            DiscardedObject.objects.filter(name=stored).delete()
    except IntegrityError:  # somebody was quicker with the same content
        known = _known(sha256, self_contained)
        if known is None:
            raise
        DiscardedObject.objects.filter(name=stored).update(due_at=timezone.now())
        return Accepted(known, None, duplicate=True)
    return Accepted(data_file, run)


def _known(sha256: str, self_contained: bool | None) -> DataFile | None:
    """Return the file with this content, if it is there, as it is to be parsed from now on."""
    known = DataFile.objects.filter(sha256=sha256).first()
    if known and self_contained not in (None, known.self_contained):
        known.self_contained = bool(self_contained)
        known.save(update_fields=["self_contained"])
    return known


def shown_name(name: str) -> str:
    """Return the last part of a name as it may be shown: no folders, no control characters, not too long."""
    last = posixpath.basename(name.replace("\\", "/").rstrip("/")).strip()
    return clean(last, NAME_CHARACTERS) or "unnamed"


def check(name: str, size: int) -> None:
    """Raise UploadRefused for a file whose name or size is enough to see that it is not taken."""
    _suffix(shown_name(name))
    if not size:
        raise UploadRefused("The file is empty: look at the job that writes it.")
    if size > limit_bytes():
        raise UploadRefused(too_large_sentence())


def limits_sentence() -> str:
    """Return what is taken, for people who are about to upload."""
    return f"CSV files, or zip archives of them, of at most {_allowed()}."


def too_large_sentence() -> str:
    """Return what to say of a file that is too large."""
    return f"The file is larger than {_allowed()}: split it, or have UPLOAD_MEGABYTES raised."


def limit_bytes() -> int:
    """Return how large a file may be."""
    return int(settings.UPLOAD_MEGABYTES * 1_000_000)


def _allowed() -> str:
    return f"{settings.UPLOAD_MEGABYTES:,.0f} MB"


def _suffix(name: str) -> str:
    suffix = next((known for known in TYPES if name.lower().endswith(known)), None)
    if suffix is None:
        raise UploadRefused(
            f"{name} is neither .csv nor .zip: upload a CSV file, or a zip archive of CSV files. A"
            " spreadsheet has to be saved as CSV first."
        )
    return suffix


def _measure(file: IO[bytes] | File[Any], name: str) -> tuple[str, int]:
    """Return checksum and size, reading hardly further than the limit."""
    digest, size = hashlib.sha256(), 0
    file.seek(0)
    while size <= limit_bytes() and (block := file.read(BLOCK_BYTES)):
        digest.update(block)
        size += len(block)
    check(name, size)
    file.seek(0)
    return digest.hexdigest(), size


def _store(file: IO[bytes] | File[Any], suffix: str) -> str:
    """Put the content into storage and return its name, on record before it is there."""
    now = timezone.now()
    name = input_name(suffix, now)
    DiscardedObject.objects.create(name=name, due_at=now + UPLOADING_AT_MOST)
    content = file if isinstance(file, File) else File(file)
    try:
        return str(uploads().save(name, content))
    except Exception as error:  # boto3, urllib3 and file systems have no root in common
        with suppress(Exception):
            uploads().delete(name)
        raise UploadRefused(
            f"The storage did not take the file ({describe(error)}), and nothing of it is kept: try again."
        ) from error
