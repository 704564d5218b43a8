"""The mail to an uploader: once, where it is asked for, with counts and a link and nothing of the content."""

from __future__ import annotations

import smtplib
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend

from parselogs.mails import tell_uploaders
from parselogs.models import ParseFileMeta
from parselogs.runs import DISPATCH, cancel
from tests.console import staff
from tests.parselogs.files import again, parsed, upload, users

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    user = staff("ada")
    user.email = "ada@example.edu"
    user.save()
    return user


def test_the_uploader_is_told_once_with_counts_and_a_link(ada, settings):
    settings.CONSOLE_URL = "https://easel.example.edu"
    run = parsed(upload(users(rows=5, wrong=2), "autumn.csv", by=ada, notify=True))

    assert [tell_uploaders(), tell_uploaders()] == [1, 0]
    [message] = mail.outbox
    assert message.to == ["ada@example.edu"]
    assert message.subject == "autumn.csv: succeeded with errors"
    assert "Rows: 5 read, 3 accepted, 2 rejected." in message.body
    assert "Found: 2 errors, 0 warnings." in message.body
    assert f"https://easel.example.edu/admin/parselogs/parsefilemeta/{run.pk}/change/" in message.body
    for secret in ("secretstatus", "person0", "Ada person"):
        assert secret not in message.subject + message.body


def test_nobody_is_told_who_did_not_ask(ada, settings):
    parsed(upload(users(2), by=ada))
    assert tell_uploaders() == 0

    settings.PARSE_MAIL_UPLOADERS = True
    assert tell_uploaders() == 1


@pytest.mark.parametrize("change", [{"email": ""}, {"is_active": False}])
def test_nobody_is_told_who_cannot_be(ada, change):
    parsed(upload(by=ada, notify=True))
    User.objects.filter(pk=ada.pk).update(**change)

    assert tell_uploaders() == 0


def test_each_run_is_told_when_it_has_ended(ada):
    run = upload(by=ada, notify=True)
    assert tell_uploaders() == 0
    cancel(run)
    assert tell_uploaders() == 1
    parsed(again(run.data_file))
    assert tell_uploaders() == 1

    assert [message.subject.partition(": ")[2] for message in mail.outbox] == [
        "canceled",
        "succeeded with errors",
    ]
    assert "Canceled before it began." in mail.outbox[0].body


def test_a_run_that_is_sent_again_by_itself_has_not_ended(ada):
    run = upload(by=ada, notify=True)
    ParseFileMeta.objects.filter(pk=run.pk).update(
        state="failed", failure_code=DISPATCH, finished_at=run.queued_at
    )

    assert tell_uploaders() == 0


class Refusing(EmailBackend):
    """A mail server that takes nothing."""

    error: Exception = smtplib.SMTPRecipientsRefused({})

    def send_messages(self, messages: Any) -> int:
        """Refuse."""
        raise self.error


@pytest.mark.parametrize(
    "error", [smtplib.SMTPRecipientsRefused({}), smtplib.SMTPServerDisconnected(), ConnectionRefusedError()]
)
def test_a_mail_that_no_server_takes_is_tried_again_and_costs_no_run(ada, settings, monkeypatch, error):
    run = parsed(upload(by=ada, notify=True))
    monkeypatch.setattr(Refusing, "error", error)
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = f"{__name__}.Refusing"
    assert tell_uploaders() == 0
    run.refresh_from_db()
    assert run.state == "succeeded_with_errors"

    settings.EMAIL_BACKEND = working
    assert tell_uploaders() == 1


def test_without_a_mail_server_nothing_is_tried(ada, settings):
    parsed(upload(by=ada, notify=True))
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

    assert tell_uploaders() == 0
    assert not ParseFileMeta.objects.exclude(told_at=None).exists()


def test_a_name_that_would_forge_a_header_is_no_header(ada):
    parsed(upload(users(), "x\r\nBcc: eve@example.edu\r\n.csv", by=ada, notify=True))
    tell_uploaders()

    assert mail.outbox[0].recipients() == ["ada@example.edu"]
    assert "\n" not in mail.outbox[0].subject
