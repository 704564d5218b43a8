"""The names that files, logs and lists of findings have in storage. None is made of what somebody typed."""

from __future__ import annotations

import posixpath
from datetime import datetime
from uuid import uuid4

from parselogs.models import ParseFileMeta

LOGS = "parse_logs"


def input_name(suffix: str, now: datetime) -> str:
    """Return a new name for an uploaded file; `suffix` comes from our own table of types."""
    return f"{now:%Y/%m}/{uuid4().hex}{suffix}"


def log_name(run: ParseFileMeta) -> str:
    """Return the name of a run's log, beside its file: by attempt, with its batch, never used again."""
    return f"{_stem(run)}.log.gz"


def findings_name(run: ParseFileMeta) -> str:
    """Return the name of the list of all findings of a run."""
    return f"{_stem(run)}.findings.csv.gz"


def live_copy_name(run: ParseFileMeta) -> str:
    """Return the name of the copy of a log that is there while the run is at work."""
    return f"{_stem(run)}.log.partial.gz"


def _stem(run: ParseFileMeta) -> str:
    folder = posixpath.dirname(str(run.data_file.file))
    batch = f"-b{run.parse_meta_id}" if run.parse_meta_id else ""
    return posixpath.join(folder, LOGS, str(run.data_file_id), f"{run.attempt:04d}{batch}-{run.uuid}")
