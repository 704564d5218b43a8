"""How files, runs and logs show on the console: states as colour and word, links, counts in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.admin.utils import quote
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.safestring import SafeString

from parselogs.models import DataFile, ParseFileMeta, ParseMeta, RowMessage
from syncmetrics.display import BAD, CARE, GOOD, NEWS, NOTHING, PLAIN, badge, link, number, one_line

STATE_COLOURS: Mapping[str, str] = {
    ParseFileMeta.State.QUEUED: NEWS,
    ParseFileMeta.State.RUNNING: NEWS,
    ParseFileMeta.State.SUCCEEDED: GOOD,
    ParseFileMeta.State.SUCCEEDED_WITH_ERRORS: CARE,
    ParseFileMeta.State.FAILED: BAD,
    ParseFileMeta.State.LOST: BAD,
    ParseFileMeta.State.CANCELED: CARE,
}
LOG_COLOURS: Mapping[str, str] = {
    ParseFileMeta.LogState.SPOOLING: NEWS,
    ParseFileMeta.LogState.PENDING_UPLOAD: CARE,
    ParseFileMeta.LogState.UPLOADED: GOOD,
    ParseFileMeta.LogState.UPLOAD_FAILED: BAD,
    ParseFileMeta.LogState.LOST: BAD,
}
SEVERITY_COLOURS: Mapping[str, str] = {
    RowMessage.Severity.FILE: BAD,
    RowMessage.Severity.ROW: BAD,
    RowMessage.Severity.WARNING: CARE,
}
READABLE = (
    ParseFileMeta.LogState.SPOOLING,
    ParseFileMeta.LogState.PENDING_UPLOAD,
    ParseFileMeta.LogState.UPLOADED,
    ParseFileMeta.LogState.UPLOAD_FAILED,
)
"""States of logs that somewhere have lines to read."""


def state_badge(run: ParseFileMeta | None) -> SafeString | str:
    """Return how a run stands."""
    if run is None:
        return NOTHING
    colour = STATE_COLOURS.get(run.state, PLAIN)
    return badge(run.get_state_display(), colour, title=run.failure_text)


def log_badge(run: ParseFileMeta | None) -> SafeString | str:
    """Return how the log of a run stands."""
    if run is None or run.log_state == ParseFileMeta.LogState.NONE:
        return NOTHING
    colour = LOG_COLOURS.get(run.log_state, PLAIN)
    return badge(run.get_log_state_display(), colour, title=run.upload_error)


def severity_badge(severity: str) -> SafeString:
    """Return how bad a finding is."""
    return badge(RowMessage.Severity(severity).label, SEVERITY_COLOURS.get(severity, PLAIN))


def findings_in_words(run: ParseFileMeta | None) -> SafeString | str:
    """Return how much a run found: `12 errors, 1 warning`."""
    if run is None or run.is_active:
        return NOTHING
    counts = (_counted(run.errors, "error"), _counted(run.warnings, "warning"))
    return one_line(", ".join(filter(None, counts)) or "none")


def _counted(count: int, what: str) -> str:
    return f"{number(count)} {what}{'s' if count != 1 else ''}" if count else ""


def byte_size(count: int | None) -> SafeString | str:
    """Return a number of bytes for people."""
    return NOTHING if count is None else one_line(filesizeformat(count).replace("\xa0", " "))


def file_link(data_file: DataFile) -> SafeString:
    """Return a link to a file's page."""
    return link(page_of(data_file), data_file.name)


def attempt_link(run: ParseFileMeta | None) -> SafeString | str:
    """Return a link to a run's page, as an attempt at its file."""
    return NOTHING if run is None else link(page_of(run), one_line(f"Attempt {run.attempt}"))


def batch_link(batch: ParseMeta | None) -> SafeString | str:
    """Return a link to a batch's page."""
    return NOTHING if batch is None else link(page_of(batch), one_line(batch))


def page_of(row: Any) -> str:
    """Return the address of a row's page."""
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[quote(row.pk)])


def url_of(name: str, run: ParseFileMeta) -> str:
    """Return an address of a run's log and the like, which goes by its unguessable id."""
    return reverse(f"admin:parselogs_parsefilemeta_{name}", args=[run.uuid])
