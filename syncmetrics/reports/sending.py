"""The weekly and the monthly report by e-mail: once per period and recipient, tried again until sent."""

from __future__ import annotations

import logging
import smtplib
from datetime import UTC, datetime, timedelta
from email.mime.image import MIMEImage
from email.utils import make_msgid

from django.conf import settings
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from easel.redaction import clean, redact
from syncmetrics.models import ReportRecipient, ReportSending
from syncmetrics.reports.content import Content, Period, content_of, last_period

MOST_ATTEMPTS = 48
"""Tries of one report, an hour apart; then its period is nearly over or its address is wrong."""

CLAIM = timedelta(minutes=10)
"""For how long a worker that sends keeps others away."""

NO_SERVER = "No mail server is set: set EMAIL_URL and DEFAULT_FROM_EMAIL (docs/reports.md)."
ERROR_CHARACTERS = 300

log = logging.getLogger(__name__)


def send_report(report: str, now: datetime | None = None) -> int:
    """Send the report of the period that ended last to everyone who gets it and has not got it yet.

    Returns how many were sent now. A report whose sending fails keeps why, and is tried again by the next
    call and by `send_again`. Raises ValueError for a report there is not.
    """
    period = last_period(report, _today(now))
    for recipient in ReportRecipient.objects.filter(enabled=True, **{report: True}):
        ReportSending.objects.get_or_create(recipient=recipient, report=report, period_start=period.first)
    return _send_unsent(period, ReportSending.objects.all())


def send_again(now: datetime | None = None) -> int:
    """Try those reports again that were tried and not sent, as long as their period is the last one."""
    tried = ReportSending.objects.filter(attempts__gt=0, attempts__lt=MOST_ATTEMPTS)
    return sum(_send_unsent(last_period(report, _today(now)), tried) for report in ("weekly", "monthly"))


def send_to(recipient: ReportRecipient, report: str) -> None:
    """Send the latest report to one person at once, beside the schedule; OSError or SMTPException if not."""
    content = content_of(last_period(report, _today(None)))
    with _open() as connection:
        _message(content, recipient.email, connection).send()


def failed_sendings() -> QuerySet[ReportSending]:
    """Return what was tried and not sent to people who still get it, newest first."""
    return ReportSending.objects.filter(sent_at=None, recipient__enabled=True).exclude(error="")


def _today(now: datetime | None) -> datetime:
    return (now or timezone.now()).astimezone(UTC)


def _send_unsent(period: Period, among: QuerySet[ReportSending]) -> int:
    unsent = among.filter(
        report=period.report, period_start=period.first, sent_at=None, recipient__enabled=True
    )
    waiting = list(unsent.select_related("recipient").order_by("pk"))
    if not waiting:
        return 0
    sent = 0
    try:
        content = content_of(period)
        with _open() as connection:
            for sending in waiting:  # each is claimed when it is its turn: a slow server may need hours
                sent += _claim(sending) and _send(sending, content, connection)
    except (OSError, smtplib.SMTPException) as error:
        for sending in waiting:
            if _claim(sending):
                _keep_failure(sending, error)
    return sent


def _claim(sending: ReportSending) -> bool:
    """Take a report for this worker; False when another one has it, or has sent it."""
    now = timezone.now()
    free = ReportSending.objects.filter(
        Q(claimed_until=None) | Q(claimed_until__lt=now), pk=sending.pk, sent_at=None
    )
    return bool(free.update(claimed_until=now + CLAIM, attempts=F("attempts") + 1))


def _open() -> BaseEmailBackend:
    """Return the connection to the mail server, which opens as it is entered; OSError where none is set."""
    if settings.EMAIL_BACKEND.endswith("dummy.EmailBackend"):
        raise OSError(NO_SERVER)
    connection: BaseEmailBackend = mail.get_connection()
    return connection


def _send(sending: ReportSending, content: Content, connection: BaseEmailBackend) -> int:
    """Send one report; one that the server refuses keeps nobody else from theirs."""
    try:
        _message(content, sending.recipient.email, connection).send()
    except smtplib.SMTPServerDisconnected as error:
        _keep_failure(sending, error)
        raise
    except (smtplib.SMTPException, OSError) as error:
        _keep_failure(sending, error)
        return 0
    ReportSending.objects.filter(pk=sending.pk).update(sent_at=timezone.now(), claimed_until=None, error="")
    return 1


def _keep_failure(sending: ReportSending, error: Exception) -> None:
    said = clean(redact(str(error) or type(error).__name__), ERROR_CHARACTERS)
    text = f"The mail server did not take it: {said}" if said != NO_SERVER else said
    log.warning("The %s report from %s was not sent: %s", sending.report, sending.period_start, text)
    # Only if it was not sent: a connection that breaks afterwards takes nothing back.
    ReportSending.objects.filter(pk=sending.pk, sent_at=None).update(claimed_until=None, error=text)


class _Mail(EmailMultiAlternatives):
    """A mail whose attachments belong to its HTML (RFC 2387)."""

    mixed_subtype = "related"


def _message(content: Content, address: str, connection: BaseEmailBackend) -> EmailMultiAlternatives:
    pictures = {chart.name: make_msgid(domain="easel.invalid")[1:-1] for chart in content.charts}
    message = _Mail(
        content.title,
        content.text(),
        settings.DEFAULT_FROM_EMAIL,
        [address],
        headers={"Auto-Submitted": "auto-generated"},
        connection=connection,
    )
    message.attach_alternative(
        content.html({name: f"cid:{key}" for name, key in pictures.items()}), "text/html"
    )
    for chart in content.charts:
        picture = MIMEImage(chart.png, "png")
        picture.add_header("Content-ID", f"<{pictures[chart.name]}>")
        picture.add_header("Content-Disposition", "inline", filename=f"{chart.name}.png")
        message.attach(picture)
    return message
