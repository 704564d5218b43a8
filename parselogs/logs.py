"""From the spool into storage, tried until it works; and a run's log to read, wherever it is.

Who holds the lock of a spool is the one who writes the columns of that run's log.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import re
import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import BinaryIO, cast

from django.conf import settings
from django.core.files.base import ContentFile, File
from django.db.models import QuerySet
from django.utils import timezone

from parselogs.errors import LogUnavailable, describe
from parselogs.history import note
from parselogs.lines import spell
from parselogs.models import DiscardedObject, ParseFileMeta
from parselogs.names import findings_name, live_copy_name, log_name
from parselogs.spool import Spool, Spooled
from parselogs.storage import uploads
from syncmetrics.process import host_name

LogState = ParseFileMeta.LogState
TRIES_BEFORE_FAILED = 5
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)
IN_MEMORY_BYTES = 4_000_000

_LEVEL = re.compile(rb"^\S+Z ([A-Z]+) ", re.MULTILINE)

log = logging.getLogger(__name__)


def store(run: ParseFileMeta) -> bool:
    """Put the spool of an ended run into storage; False where that fails.

    Whoever calls holds the spool's lock. Whatever the storage raises, the spool stays, the run says so,
    and the sweeper tries again.
    """
    spool = Spool(run.uuid)
    try:
        spooled = spool.read(closing_of(run))
        columns = _store_log(run, spooled) | _store_findings(run, spool)
    except Exception as error:  # boto3, urllib3 and file systems have no root in common
        _remember_failure(run, error)
        return False
    # Where the middle is left out, the run's own process has counted what is not there.
    counted = run.level_counts if spooled.left_out else {}
    kept = _rows(run).update(
        log_state=LogState.UPLOADED,
        log_lines=spooled.lines,
        log_bytes=len(spooled.text),
        log_truncated=spooled.left_out > 0,
        level_counts=counted or _levels(spooled.text),
        upload_error="",
        upload_due_at=None,
        uploaded_at=timezone.now(),
        **columns,
    )
    if not kept:  # the file was deleted meanwhile, with all its runs
        names = filter(None, (columns["log_file"], columns.get("findings_file")))
        DiscardedObject.objects.bulk_create([DiscardedObject(name=str(name)) for name in names])
    spool.delete()
    if run.upload_attempts:
        note(run, f"Stored the log at last, after {run.upload_attempts} failures.")
    return True


def _rows(run: ParseFileMeta) -> QuerySet[ParseFileMeta]:
    return ParseFileMeta.objects.filter(pk=run.pk)


def _store_log(run: ParseFileMeta, spooled: Spooled) -> dict[str, object]:
    packed = spooled.compressed()
    return {
        "log_file": uploads().save(log_name(run), ContentFile(packed)),
        "log_stored_bytes": len(packed),
        "log_sha256": hashlib.sha256(packed).hexdigest(),
    }


def _store_findings(run: ParseFileMeta, spool: Spool) -> dict[str, object]:
    """Store the list of findings, where there is one."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as packed:
        try:
            with (
                spool.findings.open("rb") as listed,
                gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file,
            ):
                shutil.copyfileobj(listed, file)
        except FileNotFoundError:
            return {}
        size = packed.tell()
        name = uploads().save(findings_name(run), File(cast("BinaryIO", packed)))
    return {"findings_file": name, "findings_stored_bytes": size}


def _levels(text: bytes) -> dict[str, int]:
    return dict(Counter(level.decode() for level in _LEVEL.findall(text)))


def _remember_failure(run: ParseFileMeta, error: Exception) -> None:
    run.upload_attempts += 1
    failed = run.upload_attempts >= TRIES_BEFORE_FAILED
    wait = min(FIRST_WAIT * 2 ** (run.upload_attempts - 1), LONGEST_WAIT)
    said = describe(error)
    _rows(run).update(
        log_state=LogState.UPLOAD_FAILED if failed else LogState.PENDING_UPLOAD,
        upload_attempts=run.upload_attempts,
        upload_error=said,
        upload_due_at=timezone.now() + wait,
    )
    text = f"The log could not be stored ({said}). It is kept on this host and tried again by itself."
    note(run, text)
    log.warning("Run %s: %s", run.uuid, text)


def closing_of(run: ParseFileMeta) -> bytes:
    """Return the lines that end the log of an ended run: what is missing in it, and why."""
    now = timezone.now().timestamp()
    lines = ""
    if run.lines_dropped:
        text = f"{run.lines_dropped:,} lines could not be written ({run.spool_error}); the parse went on."
        lines += spell("WARNING", text, now)
    if run.state == ParseFileMeta.State.LOST:
        text = f"Recovered after the worker was lost: what it was about to say is missing. {run.failure_text}"
        lines += spell("ERROR", text, now)
    return lines.encode()


def retry_upload(run: ParseFileMeta) -> bool:
    """Try to store the log of an ended run now; True when it is stored.

    Where its spool is on another host, that host's sweeper tries at its next turn.
    """
    spool = Spool(run.uuid)
    with spool.locked() as ours:
        run.refresh_from_db()
        if ours and not run.is_active and run.log_state != LogState.UPLOADED:
            return store(run)
    _rows(run).exclude(upload_due_at=None).update(upload_due_at=timezone.now())
    return run.log_state == LogState.UPLOADED


def open_log(run: ParseFileMeta) -> BinaryIO:
    """Return a run's log as a binary stream of its text: from storage or, until it is there, from the spool.

    On a host without the run's spool it is the copy that was made last, while the run is at work. Raises
    LogUnavailable with a sentence where there is none, where it is on another host, or where the storage
    does not answer.
    """
    if run.log_state == LogState.UPLOADED:
        return _open_stored(str(run.log_file))
    with suppress(OSError):
        return io.BytesIO(Spool(run.uuid).read().text)
    run.refresh_from_db()  # it may have gone into storage just now
    if run.log_state == LogState.UPLOADED:
        return _open_stored(str(run.log_file))
    if run.log_state in (LogState.SPOOLING, LogState.PENDING_UPLOAD) and settings.PARSE_LIVE_COPY_SECONDS:
        with suppress(LogUnavailable):
            return _open_stored(live_copy_name(run))
    raise LogUnavailable(_why_none(run))


def open_findings(run: ParseFileMeta) -> BinaryIO:
    """Return the list of all findings of a run as a binary stream of CSV; raises as `open_log` does."""
    if not run.findings_file:
        raise LogUnavailable("This run has no list of findings in storage: it found nothing, or still runs.")
    return _open_stored(str(run.findings_file))


def _open_stored(name: str) -> BinaryIO:
    """Fetch all of it first, small as it is: what goes wrong goes wrong here, not half-way through a page."""
    text = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - the caller's to close
    try:
        with uploads().open(name) as stored, gzip.GzipFile(fileobj=cast("BinaryIO", stored)) as packed:
            shutil.copyfileobj(packed, text)
    except Exception as error:  # boto3, urllib3 and file systems have no root in common
        text.close()
        raise LogUnavailable(_why_unreadable(error)) from error
    text.seek(0)
    return cast("BinaryIO", text)


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "The log is no longer in storage, though nothing here deleted it: look at the bucket's rules."
    return f"The storage does not give the log ({describe(error)}): try again later."


def _why_none(run: ParseFileMeta) -> str:
    if run.log_state == LogState.NONE:
        return "There is no log yet: no worker has begun this run."
    if run.log_state == LogState.EXPIRED:
        return f"The log was deleted when its time was over ({settings.PARSE_LOG_DAYS} days, PARSE_LOG_DAYS)."
    if run.log_state == LogState.LOST:
        return "The log is lost: its host's spool is gone."
    host = host_name(run.worker_host) or "another host"
    return f"The log is still on {host}: it can be read here as soon as that host has stored it."
