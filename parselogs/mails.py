"""The mail that tells an uploader how a run of their file ended: counts and a link, no content."""

from __future__ import annotations

import logging
import smtplib
from datetime import timedelta

from django.conf import settings
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from parselogs.errors import describe
from parselogs.models import ParseFileMeta
from parselogs.models.runs import ACTIVE
from parselogs.runs import DISPATCH

TOLD_WITHIN = timedelta(days=2)
"""Who was not told by then, because no mail server took it, is not told any more."""

log = logging.getLogger(__name__)


def tell_uploaders() -> int:
    """Send the mails that are due, each at most once; return how many. What a server refuses is tried again.

    A run is claimed before its mail is sent: a kill between the two costs the mail, and never doubles it.
    """
    if settings.EMAIL_BACKEND.endswith("dummy.EmailBackend"):
        return 0
    runs = list(_due().order_by("pk"))
    if not runs:
        return 0
    try:
        with mail.get_connection() as connection:
            return sum(_tell(run, connection) for run in runs)
    except (OSError, smtplib.SMTPException) as error:
        log.warning("No mail server took the mails to uploaders (%s).", describe(error))
        return 0


def _due() -> QuerySet[ParseFileMeta]:
    """Return the runs that have ended, and whose uploader wants to know and has an address."""
    runs = ParseFileMeta.objects.select_related("data_file__uploaded_by")
    runs = runs.filter(told_at=None, queued_at__gte=timezone.now() - TOLD_WITHIN).exclude(state__in=ACTIVE)
    if not settings.PARSE_MAIL_UPLOADERS:
        runs = runs.filter(data_file__notify_uploader=True)
    # One that no worker was told of is queued again by itself: it has not ended.
    runs = runs.filter(data_file__uploaded_by__is_active=True).exclude(failure_code=DISPATCH)
    return runs.exclude(data_file__uploaded_by__email="")


def _tell(run: ParseFileMeta, connection: BaseEmailBackend) -> int:
    untold = ParseFileMeta.objects.filter(pk=run.pk)
    if not untold.filter(told_at=None).update(told_at=timezone.now()):
        return 0
    try:
        _message(run, connection).send()
    except (OSError, smtplib.SMTPException) as error:
        untold.update(told_at=None)
        log.warning("The uploader was not told of run %s: %s", run.uuid, describe(error))
        if isinstance(error, smtplib.SMTPServerDisconnected):
            raise
        return 0
    return 1


def _message(run: ParseFileMeta, connection: BaseEmailBackend) -> EmailMessage:
    uploader = run.data_file.uploaded_by
    return EmailMessage(
        f"{run.data_file.name}: {run.get_state_display().lower()}",
        text_of(run),
        settings.DEFAULT_FROM_EMAIL,
        [uploader.email] if uploader else [],
        headers={"Auto-Submitted": "auto-generated"},
        connection=connection,
    )


def text_of(run: ParseFileMeta) -> str:
    """Return what the mail says."""
    lines = [
        f"{run.data_file.name}, which you uploaded on {run.data_file.uploaded_at:%Y-%m-%d %H:%M} UTC,"
        f" was parsed (attempt {run.attempt}): {run.get_state_display().lower()}.",
        "",
        f"Rows: {run.rows_read:,} read, {run.rows_accepted:,} accepted, {run.rows_rejected:,} rejected.",
        f"Found: {run.errors:,} errors, {run.warnings:,} warnings.",
    ]
    if run.failure_text:
        lines += ["", run.failure_text]
    return "\n".join([*lines, "", _where(run), ""])


def _where(run: ParseFileMeta) -> str:
    page = reverse("admin:parselogs_parsefilemeta_change", args=[run.pk])
    if settings.CONSOLE_URL:
        return f"What was found, and what to do about it: {settings.CONSOLE_URL}{page}"
    return "What was found, and what to do about it, is in the console, under Uploaded files, Parse runs."
