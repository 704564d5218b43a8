"""Reports by e-mail: their figures, their pictures, and a mail server that takes them, or does not."""

from __future__ import annotations

import io
import smtplib
import struct
import threading
import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from syncmetrics.daily import add_run
from syncmetrics.models import Incident, ReportRecipient, ReportSending, SyncRun
from syncmetrics.reports.content import Content, content_of, last_period
from syncmetrics.reports.pictures import HEIGHT, WIDTH, Series, bars
from syncmetrics.reports.sending import (
    NO_SERVER,
    failed_sendings,
    send_again,
    send_report,
)
from syncmetrics.tasks import send_report as send_report_task
from tests.console import client_of, person, text_of
from tests.factories import ConnectionFactory
from tests.receivers import MailServer

pytestmark = pytest.mark.django_db
TUESDAY = datetime(2026, 11, 17, 7, tzinfo=UTC)
SMTP = "django.core.mail.backends.smtp.EmailBackend"


def run_on(day: date, status: str = "completed", **changes: Any) -> SyncRun:
    """Write a run that began on a day, at noon, and add it to that day."""
    start = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    fields: dict[str, Any] = {
        "sync_start_time": start,
        "sync_end_time": start + timedelta(seconds=60),
        "total_duration_seconds": 60.0,
        "instance_key": 1,
        "connection_key": 7,
        "connection_name": "prod",
    }
    run = SyncRun.objects.create(sync_status=status, **(fields | changes))
    add_run(run)
    return run


@pytest.fixture
def weeks() -> None:
    """Two weeks of syncs before TUESDAY: one of the last week's four failed, both before completed."""
    for day, status in ((9, "completed"), (10, "failed"), (15, "completed"), (15, "completed")):
        run_on(date(2026, 11, day), status, api_calls_made=100, api_calls_failed=5, db_rows_written=1500)
    for day in (2, 8):
        run_on(date(2026, 11, day), total_duration_seconds=30.0, api_calls_made=100)
    run_on(date(2026, 11, 16), "failed")  # this week's, which no report tells yet


@pytest.fixture
def server(settings) -> Iterator[MailServer]:
    """A mail server that is set."""
    with MailServer() as mail:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = SMTP, "127.0.0.1", mail.port
        settings.DEFAULT_FROM_EMAIL = "easel@example.edu"
        yield mail


@pytest.fixture
def ada() -> ReportRecipient:
    """Somebody who gets both reports."""
    return ReportRecipient.objects.create(email="ada@example.edu")


def lines_of(content: Content) -> dict[str, tuple[str, str, str]]:
    return {line.label: (line.now, line.before, line.change) for line in content.lines}


# --- what it says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "now", "first", "end"),
    [
        ("weekly", datetime(2026, 11, 16, 7, tzinfo=UTC), date(2026, 11, 9), date(2026, 11, 16)),
        ("weekly", datetime(2026, 11, 22, 23, tzinfo=UTC), date(2026, 11, 9), date(2026, 11, 16)),
        ("weekly", datetime(2027, 1, 1, 7, tzinfo=UTC), date(2026, 12, 21), date(2026, 12, 28)),
        ("monthly", datetime(2026, 12, 1, 7, tzinfo=UTC), date(2026, 11, 1), date(2026, 12, 1)),
        ("monthly", datetime(2027, 1, 31, 7, tzinfo=UTC), date(2026, 12, 1), date(2027, 1, 1)),
        ("monthly", datetime(2028, 3, 1, 7, tzinfo=UTC), date(2028, 2, 1), date(2028, 3, 1)),
    ],
)
def test_a_report_is_of_the_period_that_ended_last(report, now, first, end):
    period = last_period(report, now)

    assert (period.first, period.end) == (first, end)
    assert period.before.end == first
    assert period.before.report == report


def test_figures_stand_against_those_of_the_period_before(weeks):
    lines = lines_of(content_of(last_period("weekly", TUESDAY)))

    assert lines["Syncs ended"] == ("4", "2", "+2")
    assert lines["Completed"] == ("3", "2", "+1")
    assert lines["Failed"] == ("1", "0", "+1")
    assert lines["Lost"] == ("0", "0", "same")
    assert lines["Success rate"] == ("75.0 %", "100.0 %", "-25.0 points")
    assert lines["Mean duration"] == ("60 s", "30 s", "+100 %")
    assert lines["Rows written"] == ("6,000", "0", "new")
    assert lines["Requests to Canvas"] == ("400", "200", "+100 %")
    assert lines["Failed requests"] == ("5.0 %", "0.0 %", "+5.0 points")


def test_a_report_without_any_sync_says_so_and_breaks_nothing():
    content = content_of(last_period("monthly", TUESDAY))
    lines = lines_of(content)

    assert lines["Syncs ended"] == ("0", "0", "same")
    assert lines["Success rate"] == ("-", "-", "-")
    assert "None." in content.text()
    assert "0 completed" in content.html()


def test_connections_stand_in_it_the_worst_first_and_dry_runs_do_not(weeks):
    run_on(date(2026, 11, 11), connection_key=8, connection_name="medicine")
    SyncRun.objects.filter(connection_key=7).update(connection_name="renamed")
    run_on(date(2026, 11, 11), "failed", dry_run=True, connection_key=9)
    content = content_of(last_period("weekly", TUESDAY))

    assert [(one["name"], one["ended"], one["success"]) for one in content.connections] == [
        ("renamed", "4", "75.0 %"),
        ("medicine", "1", "100.0 %"),
    ]


def test_incidents_of_the_period_stand_in_it_and_names_are_no_mark_up():
    began = datetime(2026, 11, 10, 8, tzinfo=UTC)
    for number in range(12):
        Incident.objects.create(
            kind="failed", subject=str(number), about=f"<script>{number}", started_at=began, ended_at=began
        )
    Incident.objects.create(kind="lost", subject="x", about="later", started_at=TUESDAY)
    content = content_of(last_period("weekly", TUESDAY))

    assert len(content.incidents) == 10
    assert "and 3 more" not in content.text()
    assert "and 2 more" in content.text()
    assert "later" not in content.text()
    assert "<script" not in content.html()
    assert lines_of(content)["Incidents"] == ("12", "0", "+12")


def test_the_html_holds_to_itself_in_the_console_and_names_its_pictures_in_a_mail(weeks, settings):
    settings.CONSOLE_URL = "https://easel.example.edu"
    content = content_of(last_period("weekly", TUESDAY))
    page = content.html()

    assert page.count('src="data:image/png;base64,') == 2
    assert "https://easel.example.edu/admin/" in page
    assert "https://easel.example.edu/admin/" in content.text()
    assert 'src="cid:one"' in content.html({"syncs": "cid:one", "duration": "cid:two"})


# --- pictures -------------------------------------------------------------------------------------


def pixels_of(png: bytes) -> list[list[tuple[int, int, int]]]:
    """Read a picture back, checking every checksum."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(png):
        size = struct.unpack(">I", png[at : at + 4])[0]
        name, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size])[0] == zlib.crc32(name + data)
        chunks[name], at = data, at + 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    colours = [tuple(chunks[b"PLTE"][at : at + 3]) for at in range(0, len(chunks[b"PLTE"]), 3)]
    rows = zlib.decompress(chunks[b"IDAT"])
    assert len(rows) == height * (width + 1)
    return [
        [colours[value] for value in rows[y * (width + 1) + 1 : (y + 1) * (width + 1)]] for y in range(height)
    ]


GREEN, RED = (0, 128, 0), (200, 0, 0)


def heights(pixels: list[list[tuple[int, int, int]]], x: int, colour: tuple[int, int, int]) -> int:
    return sum(row[x] == colour for row in pixels)


def test_bars_are_as_high_as_their_numbers_and_stacked():
    pixels = pixels_of(bars([Series("a", GREEN, [4, 2, 0]), Series("b", RED, [0, 2, 1])]))
    third = WIDTH // 3

    assert (len(pixels[0]), len(pixels)) == (WIDTH, HEIGHT)
    assert heights(pixels, 1, GREEN) == HEIGHT - 1
    assert abs(heights(pixels, third + 1, GREEN) - heights(pixels, third + 1, RED)) <= 1
    assert abs(heights(pixels, 2 * third + 1, RED) - HEIGHT // 4) <= 1
    assert heights(pixels, 2 * third + 1, GREEN) == 0


@pytest.mark.parametrize("values", [[], [0, 0], [-3, -1], [1], [10**12, 1], [0.0001] * 31, list(range(2000))])
def test_any_numbers_make_a_picture(values):
    pixels_of(bars([Series("a", GREEN, values)]))


def test_a_small_number_is_seen_beside_a_large_one():
    pixels = pixels_of(bars([Series("a", GREEN, [10**9, 1])]))

    assert heights(pixels, WIDTH - 10, GREEN) == 1


# --- sending --------------------------------------------------------------------------------------


def test_a_report_goes_to_each_recipient_as_html_text_and_pictures(weeks, server, ada):
    ReportRecipient.objects.create(email="bob@example.edu", weekly=False)
    ReportRecipient.objects.create(email="eve@example.edu", enabled=False)
    ReportRecipient.objects.create(email="dan@example.edu", monthly=False)

    assert send_report("weekly", TUESDAY) == 2
    assert [to for to, _ in server.got] == [["ada@example.edu"], ["dan@example.edu"]]
    mail = server.got[0][1]
    assert mail["Subject"] == "Easel: weekly report, 09 November to 15 November 2026"
    assert (mail["From"], mail["To"]) == ("easel@example.edu", "ada@example.edu")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "dan@" not in mail.as_string()
    parts = [part.get_content_type() for part in mail.walk()]
    assert parts == [
        "multipart/related",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "image/png",
        "image/png",
    ]
    assert "Syncs ended: 4 (2, +2)" in mail.get_body(("plain",)).get_content()
    page = mail.get_body(("html",)).get_content()
    for picture in list(mail.walk())[4:]:
        assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in page
        assert picture.get_content_disposition() == "inline"
        pixels_of(picture.get_content())


def test_a_task_that_comes_again_sends_nothing_more(weeks, server, ada):
    for _ in range(3):
        send_report("weekly", TUESDAY)
    send_again(TUESDAY)
    assert len(server.got) == 1

    send_report("weekly", TUESDAY + timedelta(days=7))
    send_report("monthly", TUESDAY)
    assert len(server.got) == 3
    assert ReportSending.objects.filter(sent_at=None).count() == 0


@pytest.mark.django_db(transaction=True)
def test_several_workers_at_once_send_one_report(server, ada):
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        send_report("weekly", TUESDAY)
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(server.got) == 1


def test_a_mail_server_that_does_not_answer_is_shown_and_tried_again(weeks, settings, ada):
    with MailServer() as mail:
        port = mail.port
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = SMTP, "127.0.0.1", port
    assert send_report("weekly", TUESDAY) == 0
    failed = failed_sendings().get()
    assert "did not take it" in failed.error
    boss = client_of(person("boss", "Administrator"))
    ConnectionFactory()
    assert "A report was not sent. The mail server did not take it" in text_of(
        boss.get(reverse("admin:index"))
    )
    assert "not sent" in text_of(boss.get(reverse("admin:syncmetrics_reportrecipient_changelist")))

    with MailServer() as mail:
        settings.EMAIL_PORT = mail.port
        assert send_again(TUESDAY) == 1
        assert send_again(TUESDAY) == 0
        assert len(mail.got) == 1
    assert not failed_sendings().exists()
    assert ReportSending.objects.get().attempts == 2


def test_an_address_that_is_refused_keeps_nobody_else_from_theirs(weeks, server, ada):
    ReportRecipient.objects.create(email="zoe@example.edu")
    server.refused = {"ada@"}

    assert send_report("weekly", TUESDAY) == 1
    assert server.got[0][0] == ["zoe@example.edu"]
    failed = failed_sendings().get()
    assert failed.recipient == ada
    assert "550" in failed.error
    assert "ada@example.edu" not in failed.error


def test_a_report_is_claimed_when_it_is_its_turn(weeks, server, ada, monkeypatch):
    ReportRecipient.objects.create(email="zoe@example.edu")
    claimed: list[int] = []
    send = EmailMultiAlternatives.send

    def look(mail, *args):
        claimed.append(ReportSending.objects.exclude(claimed_until=None).count())
        return send(mail, *args)

    monkeypatch.setattr(EmailMultiAlternatives, "send", look)
    assert send_report("weekly", TUESDAY) == 2
    assert claimed == [1, 1]


def test_a_connection_that_breaks_leaves_the_rest_for_the_next_hour(weeks, server, ada, monkeypatch):
    ReportRecipient.objects.create(email="zoe@example.edu")

    def break_off(mail, *args):
        raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")

    with monkeypatch.context() as broken:
        broken.setattr(EmailMultiAlternatives, "send", break_off)
        assert send_report("weekly", TUESDAY) == 0
    assert failed_sendings().count() == 2
    assert send_again(TUESDAY) == 2


def test_without_a_mail_server_it_is_said_what_to_set(settings, ada):
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

    assert send_report("weekly", TUESDAY) == 0
    assert failed_sendings().get().error == NO_SERVER


def test_a_report_of_a_period_that_is_past_is_not_sent_late(settings, server, ada):
    settings.EMAIL_PORT = 1
    send_report("weekly", TUESDAY)
    settings.EMAIL_PORT = server.port

    assert send_again(TUESDAY + timedelta(days=7)) == 0


def test_a_report_whose_worker_died_is_sent_by_another_after_a_while(server, ada):
    now = timezone.now()
    sending = ReportSending.objects.create(
        recipient=ada,
        report="weekly",
        period_start=last_period("weekly", TUESDAY).first,
        attempts=1,
        claimed_until=now + timedelta(minutes=5),
    )
    assert send_again(TUESDAY) == 0
    ReportSending.objects.filter(pk=sending.pk).update(claimed_until=now - timedelta(seconds=1))
    assert send_again(TUESDAY) == 1


def test_reports_are_due_on_mondays_and_on_firsts():
    call_command("ensure_schedules", stdout=io.StringIO())
    due = {
        row.args: (row.crontab.day_of_week, row.crontab.day_of_month, row.crontab.hour, row.crontab.minute)
        for row in PeriodicTask.objects.filter(task="syncmetrics.send_report").select_related("crontab")
    }

    assert due == {'["weekly"]': ("1", "*", "7", "0"), '["monthly"]': ("*", "1", "7", "0")}


def test_the_task_sends_what_it_is_asked_for(server, ada):
    assert send_report_task("monthly") == {"sent": 1}
    with pytest.raises(ValueError, match="reports are weekly and monthly"):
        send_report_task("daily")


def test_a_period_is_sent_once_by_the_databases_own_rule(ada):
    ReportSending.objects.create(recipient=ada, report="weekly", period_start=TUESDAY.date())
    with pytest.raises(IntegrityError), transaction.atomic():
        ReportSending.objects.create(recipient=ada, report="weekly", period_start=TUESDAY.date())


# --- the console ----------------------------------------------------------------------------------


@pytest.mark.parametrize("report", ["weekly", "monthly"])
def test_a_report_is_previewed_in_a_frame_without_scripts(report):
    for day in (3, 5, 40):
        long_ago = timezone.now().date() - timedelta(days=day)
        run_on(long_ago, connection_name='<script>alert("x")</script>')
    boss = client_of(person("boss", "Administrator"))
    page = boss.get(reverse(f"admin:syncmetrics_reportrecipient_{report}"))

    assert f"{report} report" in text_of(page)
    frame = page.content.decode().partition("<iframe")[2].partition("</iframe>")[0]
    assert " sandbox " in frame
    assert "&lt;!doctype html&gt;" in frame
    assert "<script>alert" not in page.content.decode()


def test_an_administrator_adds_a_recipient_and_sends_one_now(weeks, server):
    boss = client_of(person("boss", "Administrator"))
    added = boss.post(
        reverse("admin:syncmetrics_reportrecipient_add"),
        {"email": "ada@example.edu", "weekly": "on", "enabled": "on"},
    )
    assert added.status_code == 302, added.context["errors"]
    ada = ReportRecipient.objects.get()
    send = reverse("admin:syncmetrics_reportrecipient_send_weekly", args=[ada.pk])
    assert "has taken it" in text_of(boss.post(send, follow=True))
    assert [to for to, _ in server.got] == [["ada@example.edu"]]

    server.refused = {"ada@"}
    assert "It was not sent" in text_of(boss.post(send, follow=True))
    assert not ReportSending.objects.exists()


def test_addresses_show_to_administrators_only(ada):
    for role in ("Viewer", "Operator"):
        client = client_of(person(role.lower(), role))
        assert client.get(reverse("admin:syncmetrics_reportrecipient_changelist")).status_code == 403
        assert client.get(reverse("admin:syncmetrics_reportrecipient_weekly")).status_code == 403
