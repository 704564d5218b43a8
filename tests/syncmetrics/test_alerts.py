"""Incidents and alerts: sent to a webhook that is really there, once per incident and channel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as installation
from django.contrib.admin.models import LogEntry
from django.db import IntegrityError, connections, transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string

from canvas.models import Connection
from config import celery_app
from easel import encryption
from syncmetrics.alerts import process, sender
from syncmetrics.alerts.deliveries import AT_ONCE, RETRY_AFTER, broken_channels, send_waiting
from syncmetrics.alerts.incidents import (
    ENOUGH_REQUESTS,
    begin,
    end,
    error_rates,
    mark_as_over,
    open_subjects,
    watch,
)
from syncmetrics.alerts.kinds import Finding, IncidentKind, kinds
from syncmetrics.alerts.messages import MOST_LINES, page_of, plain
from syncmetrics.alerts.sender import Message, NotSent, check_url, send
from syncmetrics.models import AlertChannel, AlertDelivery, Incident, SyncRun
from syncmetrics.tasks import watch_incidents
from tests.console import client_of, person, text_of
from tests.factories import ConnectionFactory, InstanceFactory
from tests.receivers import SECRET, Webhook
from tests.workers import Background, wait_for

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning"),  # apprise's, in a process of its own
]
Ended = Callable[..., SyncRun]


@pytest.fixture
def hook() -> Iterator[Webhook]:
    """A webhook."""
    with Webhook() as webhook:
        yield webhook


def channel_to(hook: Webhook, name: str = "Ops", **changes: Any) -> AlertChannel:
    """Return a channel that leads to a webhook."""
    return AlertChannel.objects.create(name=name, url=hook.url, service="Webhook (JSON)", **changes)


@pytest.fixture
def channel(hook: Webhook) -> AlertChannel:
    """A channel that is told everything."""
    return channel_to(hook)


@pytest.fixture
def ended() -> Ended:
    """Return a function that makes a run that has ended; each begins after the one before."""
    begun = timezone.now() - timedelta(hours=3)

    def make(status: str, **changes: Any) -> SyncRun:
        nonlocal begun
        begun += timedelta(minutes=5)
        fields: dict[str, Any] = {
            "sync_start_time": begun,
            "sync_end_time": begun + timedelta(minutes=4),
            "instance_key": 1,
            "connection_key": 7,
            "connection_name": "prod",
            "error_message": None if status == "completed" else "Canvas did not answer in time.",
        }
        return SyncRun.objects.create(sync_status=status, **(fields | changes))

    return make


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Message]]:
    """Keep what would be sent, for tests of what is decided before."""
    kept: list[tuple[str, Message]] = []
    monkeypatch.setattr(
        "syncmetrics.alerts.deliveries.send", lambda channel, message: kept.append((channel.name, message))
    )
    return kept


def titles(sent: list[tuple[str, Message]]) -> list[str]:
    return [message.title for _, message in sent]


# --- from a run to a message ----------------------------------------------------------------------


def test_a_failed_sync_is_told_once_and_its_recovery_once(hook, channel, ended, settings):
    settings.CONSOLE_URL = "https://easel.example.edu"
    run = ended("failed")
    for _ in range(3):
        watch_incidents()

    assert hook.titles == ["Sync failed: prod"]
    told = hook.got[0]
    assert told["type"] == "failure"
    incident = Incident.objects.get()
    page = f"https://easel.example.edu{reverse('admin:syncmetrics_incident_change', args=[incident.pk])}"
    assert told["message"].splitlines() == [
        f"What: Run {run.pk} failed: Canvas did not answer in time.",
        f"Since: {run.sync_end_time:%Y-%m-%d %H:%M} UTC",
        f"See: {page}",
        "Do: Open the run, read its error and its failed steps; mend the cause and press Resume.",
    ]

    later = ended("completed")
    for _ in range(3):
        watch_incidents()
    assert hook.titles[1:] == ["Recovered: Sync failed: prod"]
    assert hook.got[1]["type"] == "success"
    assert f"What: Run {later.pk} completed." in hook.got[1]["message"]
    assert "Lasted: 5 minutes" in hook.got[1]["message"]
    incident.refresh_from_db()
    assert incident.ended_at == later.sync_end_time
    channel.refresh_from_db()
    assert channel.last_sent_at
    assert channel.last_error == ""


def test_a_worker_does_it_when_beat_asks(background: Background, hook):
    channel_to(hook)
    now = timezone.now()
    SyncRun.objects.create(sync_status="lost", sync_end_time=now, connection_key=7, connection_name="prod")
    background.start_worker()
    for _ in range(3):
        celery_app.send_task("syncmetrics.watch_incidents")

    wait_for(lambda: AlertDelivery.objects.filter(state="sent").exists(), "the alert")
    wait_for(lambda: not AlertDelivery.objects.filter(state="waiting").exists(), "the rest")
    assert hook.titles == ["Sync lost: prod"]


@pytest.mark.django_db(transaction=True)
def test_several_workers_at_once_send_one_message(hook, ended):
    channel_to(hook)
    ended("failed")
    ended("failed", connection_key=8, connection_name="medicine")
    barrier = threading.Barrier(4)
    trouble: list[BaseException] = []

    def work() -> None:
        try:
            barrier.wait()
            watch_incidents()
        except BaseException as error:
            trouble.append(error)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    watch_incidents()

    assert trouble == []
    assert sorted(hook.titles) == ["Sync failed: medicine", "Sync failed: prod"]
    assert Incident.objects.count() == 2


@pytest.mark.parametrize("status", ["failed", "partial", "lost"])
def test_each_bad_end_is_a_kind_of_its_own(status, channel, ended, sent):
    ended(status)
    watch_incidents()

    assert titles(sent) == [f"Sync {status}: prod"]
    assert Incident.objects.get().kind == status


def test_nobody_is_told_of_what_somebody_wanted(channel, ended, sent):
    ended("cancelled")
    ended("failed", dry_run=True)
    ended("failed", sync_start_time=timezone.now() - timedelta(days=30))
    SyncRun.objects.create(sync_status="in_progress")
    watch_incidents()

    assert sent == []
    assert not Incident.objects.exists()


def test_a_dry_run_that_completes_ends_nothing(channel, ended, sent):
    ended("failed")
    ended("completed", dry_run=True)
    ended("cancelled")
    watch_incidents()

    assert Incident.objects.get().ended_at is None


def test_failing_again_is_the_same_incident(channel, ended, sent):
    ended("failed")
    watch_incidents()
    latest = ended("failed", error_message="Something else.")
    watch_incidents()

    assert len(sent) == 1
    incident = Incident.objects.get()
    assert (incident.times, incident.run) == (2, latest)
    assert "Something else." in incident.text


def test_failing_after_a_recovery_is_a_new_incident(channel, ended, sent):
    for status in ("failed", "completed", "failed"):
        ended(status)
    watch_incidents()

    assert titles(sent) == ["Sync failed: prod", "Recovered: Sync failed: prod", "Sync failed: prod"]
    assert Incident.objects.filter(ended_at=None).count() == 1


@pytest.mark.parametrize(
    ("failed", "completed", "over"),
    [
        ({}, {"connection_key": 8}, False),
        ({}, {"connection_key": 70}, False),
        ({}, {"genre": "course", "options": {"courses": ["101"]}}, False),
        ({"genre": "course", "options": {"courses": ["101"]}}, {}, True),
        (
            {"genre": "course", "options": {"courses": ["101", "102"]}},
            {"genre": "course", "options": {"courses": ["102", "101"]}},
            True,
        ),
        (
            {"genre": "course", "options": {"courses": ["101"]}},
            {"genre": "course", "options": {"courses": ["102"]}},
            False,
        ),
    ],
)
def test_what_counts_as_recovery(failed, completed, over, channel, ended, sent):
    ended("partial", **failed)
    ended("completed", **completed)
    watch_incidents()

    assert bool(Incident.objects.get().ended_at) is over


def test_a_run_that_began_before_the_failed_one_is_no_recovery(channel, ended, sent):
    early = ended("in_progress", sync_end_time=None)
    ended("failed", genre="course")
    watch_incidents()
    SyncRun.objects.filter(pk=early.pk).update(sync_status="completed", sync_end_time=timezone.now())
    watch_incidents()

    assert Incident.objects.get().ended_at is None


def test_names_as_long_as_a_run_may_have_break_nothing(channel, ended, sent):
    ended("failed", connection_key=None, connection_name="n" * 255, genre="g" * 255)
    ended("failed", options=["odd"])
    watch_incidents()
    assert len(sent) == 2
    ended("completed", connection_key=None, connection_name="n" * 255, genre="g" * 255)
    watch_incidents()

    assert Incident.objects.filter(ended_at=None).count() == 1


def test_a_sync_only_writes_its_row(begin, channel):
    from syncmetrics.runs import finish_run

    finish_run(begin(), SyncRun.Status.FAILED, "No answer.")

    assert not Incident.objects.exists()
    assert not AlertDelivery.objects.exists()


# --- who is told ----------------------------------------------------------------------------------


def test_a_channel_is_told_what_it_asks_for(hook, ended, sent):
    channel_to(hook, "all")
    channel_to(hook, "not partial", muted_kinds=["partial"])
    channel_to(hook, "other connection", connection_keys=[8])
    channel_to(hook, "this connection", connection_keys=[7, 9])
    channel_to(hook, "off", enabled=False)
    ended("partial")
    watch_incidents()

    assert sorted(name for name, _ in sent) == ["all", "this connection"]
    ended("completed")
    watch_incidents()
    assert sorted(name for name, _ in sent[2:]) == ["all", "this connection"]


def test_a_new_channel_is_not_told_of_what_began_before(hook, ended, sent):
    ended("failed")
    watch_incidents()
    channel_to(hook)
    ended("completed")
    watch_incidents()

    assert sent == []


def test_what_waits_for_a_channel_that_is_switched_off_is_dropped(channel, ended, sent):
    ended("failed")
    watch()
    AlertChannel.objects.update(enabled=False)
    send_waiting()
    AlertChannel.objects.update(enabled=True)
    send_waiting()

    assert sent == []
    assert AlertDelivery.objects.get().state == AlertDelivery.State.DROPPED


def test_many_at_once_are_one_message(hook, channel, ended):
    for key in range(AT_ONCE + 1):
        ended("failed", connection_key=key, connection_name=f"site-{key}")
    watch_incidents()

    assert hook.titles == [f"Easel: {AT_ONCE + 1} alerts at once"]
    assert hook.got[0]["message"].count("Sync failed: site-") == AT_ONCE + 1
    assert AlertDelivery.objects.filter(state="sent").count() == AT_ONCE + 1


def test_very_many_at_once_are_a_message_that_services_take(hook, channel, ended):
    for key in range(MOST_LINES + 5):
        ended("failed", connection_key=key, connection_name=f"site-{key}")
    watch_incidents()
    for key in range(MOST_LINES + 5):
        ended("completed", connection_key=key, connection_name=f"site-{key}")
    watch_incidents()

    assert hook.titles == [f"Easel: {MOST_LINES + 5} alerts at once"] * 2
    assert [told["type"] for told in hook.got] == ["failure", "success"]
    lines = hook.got[0]["message"].splitlines()
    assert len(lines) == MOST_LINES + 2
    assert lines[-2] == "and 5 more."


# --- channels that fail ---------------------------------------------------------------------------


def test_a_failing_channel_is_tried_again_later_and_later_and_then_given_up(hook, channel, ended):
    hook.status = 500
    ended("failed")
    watch()
    now = timezone.now()
    send_waiting(now)
    channel.refresh_from_db()
    assert "500" in channel.last_error
    assert SECRET not in channel.last_error
    assert list(broken_channels()) == [channel]

    send_waiting(timezone.now())
    assert hook.asked == 1
    for wait in RETRY_AFTER:
        now = timezone.now() + wait + timedelta(seconds=5)
        send_waiting(now)
    delivery = AlertDelivery.objects.get()
    assert (hook.asked, delivery.attempts) == (5, 5)
    assert delivery.state == AlertDelivery.State.GIVEN_UP
    send_waiting(timezone.now() + timedelta(days=1))
    assert hook.asked == 5

    hook.status = 200
    ended("completed")
    watch_incidents()
    assert hook.got == []
    assert AlertDelivery.objects.get(what="recovered").state == AlertDelivery.State.DROPPED


def test_an_end_is_never_told_before_its_beginning(hook, channel, ended):
    hook.status = 503
    ended("failed")
    watch_incidents()
    hook.status = 200
    ended("completed")
    watch_incidents()
    assert hook.got == []

    send_waiting(timezone.now() + timedelta(minutes=2))
    assert hook.titles == ["Sync failed: prod", "Recovered: Sync failed: prod"]
    channel.refresh_from_db()
    assert channel.last_error == ""


def test_a_failing_channel_does_not_keep_another_waiting(hook, ended, sent, monkeypatch):
    def refuse(channel: AlertChannel, message: Message) -> None:
        order.append(channel.name)
        if channel.name == "bad":
            raise NotSent("No.")

    order: list[str] = []
    monkeypatch.setattr("syncmetrics.alerts.deliveries.send", refuse)
    channel_to(hook, "bad", last_error="No.")
    channel_to(hook, "good")
    ended("failed")
    ended("failed", connection_key=8)
    watch_incidents()

    assert order == ["good", "good", "bad"]


def test_a_service_that_does_not_answer_takes_a_limited_time(hook, channel, settings):
    settings.ALERT_SEND_SECONDS = 3
    hook.delay = 30
    began = timezone.now()
    with pytest.raises(NotSent, match=r"did not answer within 3 s"):
        send(channel, Message("Title", "Body"))

    assert timezone.now() - began < timedelta(seconds=20)


def test_a_service_that_leads_elsewhere_is_not_followed(hook, channel):
    with Webhook() as elsewhere:
        hook.status, hook.location = 307, f"http://127.0.0.1:{elsewhere.port}/"
        with pytest.raises(NotSent, match="307"):
            send(channel, Message("Title", "Body"))
        assert elsewhere.asked == 0


def test_a_delivery_whose_worker_died_is_sent_by_another(boss, channel, ended, sent):
    ended("failed")
    watch()
    AlertDelivery.objects.update(claimed_until=timezone.now() + timedelta(seconds=60), attempts=1)
    assert send_waiting() == 0
    assert send_waiting(timezone.now() + timedelta(seconds=61)) == 1
    delivery = AlertDelivery.objects.get()
    assert (delivery.state, delivery.interrupted) == ("sent", True)

    page = boss.get(reverse("admin:syncmetrics_incident_change", args=[delivery.incident_id]))
    assert "may have been sent twice" in text_of(page)


def test_a_delivery_that_failed_is_known_not_to_have_arrived(hook, channel, ended):
    hook.status = 500
    ended("failed")
    watch_incidents()
    send_waiting(timezone.now() + timedelta(minutes=2))

    delivery = AlertDelivery.objects.get()
    assert (delivery.attempts, delivery.interrupted) == (2, False)


# --- URLs and texts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "Alerts go to Slack"),
        ("nonsense", "Alerts go to Slack"),
        ("file:///etc/passwd", "Alerts go to Slack"),
        ("syslog://", "Alerts go to Slack"),
        ("dbus://", "Alerts go to Slack"),
        ("apprise://localhost/token", "Alerts go to Slack"),
        ("https://example.com/hook", "Alerts go to Slack"),
        ("slack://only-one", "not a complete URL for Slack"),
        ("json://", "not a complete URL for Webhook"),
        ("json://hooks.example.com/x", "use jsons://, or list hooks.example.com in"),
        ("mailto://u:p@mail.example.com", "use mailtos://"),
        ("mailtos://u:p@mail.example.com?mode=insecure", "mode=insecure sends in the clear"),
        ("jsons://10.1.2.3/x", "10.1.2.3 is an address in a private network"),
        ("jsons://169.254.169.254/latest", "169.254.169.254 is an address in a private network"),
        ("json://127.0.0.1/?verify=no", "Leave verify out of the URL"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ?template=/etc/passwd", "Leave template out"),
        ("mailto://u:p@localhost?pgppub=/etc/passwd&Redirect=yes", "Leave pgppub and redirect out"),
    ],
)
def test_urls_that_alerts_may_not_use_are_refused_in_a_sentence(url, said):
    with pytest.raises(process.Unsendable) as refused:
        process.open_service(url, [], "")
    assert said in str(refused.value)
    for secret in ("TIiajkdnlazkcOXrIdevi7FQ", "passwd"):
        assert secret not in str(refused.value)


def test_a_refusal_comes_out_of_the_process_that_checks():
    with pytest.raises(NotSent, match="use jsons://, or list hooks"):
        check_url("json://hooks.example.com/x")
    with pytest.raises(NotSent, match="longer than 2000 characters"):
        check_url("jsons://" + "x" * 3000)


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "Slack"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "Slack"),
        ("mailtos://user:pass@mail.example.edu?to=ops@example.edu", "E-mail"),
        ("rockets://user:pass@chat.example.edu/#ops", "Rocket.Chat"),
        ("json://localhost:9/x", "Webhook (JSON)"),
    ],
)
def test_urls_of_known_services_are_told_apart(url, service):
    assert process.open_service(url, [], "")[1].name == service


def test_hosts_that_are_listed_may_be_anywhere(settings):
    listed = ["10.1.2.3", "hooks.example.com:8080"]
    settings.ALERT_ALLOWED_INSECURE_HOSTS = listed

    assert check_url("json://10.1.2.3/x") == "Webhook (JSON)"
    process.open_service("json://hooks.example.com:8080/x", listed, "")
    with pytest.raises(process.Unsendable):
        process.open_service("json://hooks.example.com/x", listed, "")


def test_the_schemes_are_those_of_the_services_themselves():
    for service in process.SERVICES:
        kind = process._class_of(service)
        assert set(service.schemes) <= set(kind.schemas(kind)), service.name


@pytest.mark.parametrize("address", [("10.0.0.1", 80), ("127.0.0.1", 80), ("::1", 80, 0, 0), "/run/x.sock"])
def test_a_public_name_that_leads_into_a_private_network_is_refused(address):
    guard = process.Guard(vouched=False)
    with pytest.raises(OSError, match=r"private network"):
        guard("socket.connect", (None, address))
    assert guard.refusal
    guard("socket.connect", (None, ("93.184.216.34", 443)))


@pytest.mark.parametrize("event", ["subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"])
def test_a_service_starts_no_program(event):
    with pytest.raises(OSError, match="start a program"):
        process.Guard(vouched=True)(event, ())


def test_errors_quote_no_part_of_the_url():
    secrets = process.secrets_of("slack://TokenA/TokenB/TokenC%21?to=x&token=Extra9")
    assert {"TokenA", "TokenB", "TokenC%21", "TokenC!", "Extra9"} <= secrets
    assert "localhost" not in process.secrets_of("json://user:pass1@localhost/Path1")
    assert {"user", "pass1", "Path1"} <= process.secrets_of("json://user:pass1@localhost/Path1")


def test_the_url_is_encrypted_and_a_lost_key_is_told(channel, settings):
    assert SECRET not in AlertChannel.objects.values_list("url_ciphertext", flat=True)[0]
    assert SECRET not in repr(channel) + str(vars(channel))
    settings.CANVAS_TOKEN_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]
    with pytest.raises(NotSent, match="CANVAS_TOKEN_KEYS"):
        send(channel, Message("Title", "Body"))
    with pytest.raises(encryption.Undecipherable):
        _ = channel.url


def test_a_process_that_says_nothing_is_told_without_what_it_said(channel, monkeypatch, tmp_path):
    monkeypatch.setattr(sender.sys, "executable", "/bin/false")
    with pytest.raises(NotSent, match="ended with status 1"):
        send(channel, Message("Title", "Body"))


def test_what_canvas_says_calls_nobody_and_shows_no_secret(channel, ended, sent):
    said = "<!channel> @everyone\nBearer abcdefghijklmnop ada@example.edu \u202e" + "x" * 2000
    ended("failed", error_message=said, connection_name="<b>prod</b>")
    watch_incidents()

    message = sent[0][1]
    for bad in ("<", ">", "@", "abcdefghijklmnop", "example.edu", "\u202e"):
        assert bad not in message.title + message.body
    assert len(message.body.splitlines()) == 4
    assert len(message.body) < 700
    assert plain("a\x00b") == "a\\x00b"


def test_without_an_address_messages_say_where_to_look(ended, channel, sent):
    ended("failed")
    watch_incidents()

    assert page_of(Incident.objects.get()) in sent[0][1].body
    assert "http" not in sent[0][1].body


# --- what is found beside runs --------------------------------------------------------------------


def rates(**counts: int) -> list[Finding]:
    return list(error_rates(timezone.now()))


def test_a_high_share_of_failed_requests_is_an_incident_until_it_is_low_again(channel, ended, sent):
    bad = ended("completed", api_calls_made=1000, api_calls_failed=101)
    watch_incidents()
    assert titles(sent) == ["Many requests fail: prod"]
    assert "10.1 % of 1,000 requests failed in 6 h." in sent[0][1].body

    SyncRun.objects.filter(pk=bad.pk).update(sync_end_time=timezone.now() - timedelta(hours=7))
    watch_incidents()
    assert Incident.objects.get().ended_at is None, "nothing was asked meanwhile: nothing is known"
    ended("completed", api_calls_made=ENOUGH_REQUESTS - 1)
    watch_incidents()
    assert Incident.objects.get().ended_at is None, "too few requests say nothing"
    ended("completed", api_calls_made=ENOUGH_REQUESTS)
    watch_incidents()
    assert titles(sent)[1:] == ["Recovered: Many requests fail: prod"]


@pytest.mark.parametrize(
    ("made", "failed"), [(1000, 100), (ENOUGH_REQUESTS - 1, ENOUGH_REQUESTS - 1), (0, 0)]
)
def test_a_low_share_or_few_requests_are_none(made, failed, ended):
    ended("completed", api_calls_made=made, api_calls_failed=failed)

    assert list(error_rates(timezone.now())) == []


def test_each_channel_hears_of_the_share_it_wants_to_hear_of(hook, ended, sent):
    channel_to(hook, "Nervous", error_rate_percent=2)
    channel_to(hook, "Calm", error_rate_percent=50)
    channel_to(hook, "Elsewhere", error_rate_percent=0, connection_keys=[99])
    AlertChannel.objects.update(created_at=timezone.now() - timedelta(days=1))  # before the runs

    ended("completed", api_calls_made=1000, api_calls_failed=21)
    watch_incidents()
    assert [name for name, _ in sent] == ["Nervous"]
    ended("completed", api_calls_made=1000, api_calls_failed=1000)
    watch_incidents()
    channel_to(hook, "New", error_rate_percent=1)
    watch_incidents()
    assert [name for name, _ in sent] == ["Nervous", "Calm"]
    assert "51.0 % of 2,000 requests failed" in sent[1][1].body

    ended("completed", api_calls_made=200_000)
    SyncRun.objects.filter(api_calls_failed__gt=0).update(api_calls_failed=0)
    watch_incidents()
    assert sorted(name for name, _ in sent[2:]) == ["Calm", "Nervous"]


def test_a_share_of_requests_is_a_percentage(hook):
    with pytest.raises(IntegrityError), transaction.atomic():
        channel_to(hook, error_rate_percent=101)


def broken(now: Any) -> list[Finding]:
    """A source that fails."""
    raise RuntimeError("No idea.")


FULL: list[Finding] = []
DECLARED = (
    IncidentKind("broken", "Nobody knows", "nobody knows", "Ask somebody.", broken),
    IncidentKind("disk", "Disk full", "a disk is full", "Delete something.", lambda now: FULL),
)
"""What another app declares."""


@pytest.fixture
def declared(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Finding]]:
    """Add another app's kinds; what is put into the list is found."""
    settings.INCIDENT_KINDS = [*settings.INCIDENT_KINDS, f"{__name__}.DECLARED"]
    yield FULL
    FULL.clear()


def full(text: str) -> Finding:
    """Return a finding of another app's kind."""
    return Finding("disk", "disk:/", "the disk /", text, timezone.now(), page="/admin/disks/1/")


def test_another_app_declares_a_kind_and_a_source_that_fails_changes_nothing(declared, channel, sent, caplog):
    begin(Finding("broken", "x", "x", "", timezone.now()))
    declared.append(full("99 % is used."))
    watch_incidents()
    watch_incidents()
    assert titles(sent) == ["Nobody knows: x", "Disk full: the disk /"]
    assert "What: 99 % is used." in sent[1][1].body
    assert "Do: Delete something." in sent[1][1].body
    assert "could not be found out" in caplog.text

    declared.clear()
    watch_incidents()
    assert titles(sent)[2:] == ["Recovered: Disk full: the disk /"]
    assert open_subjects("broken") == {"x"}


def test_an_incident_that_goes_on_says_what_was_found_last_and_is_told_once(declared, channel, sent, boss):
    for text in ("98 % is used.", "99 % is used."):
        declared[:] = [full(text)]
        watch_incidents()

    incident = Incident.objects.get()
    assert (incident.text, len(sent)) == ("99 % is used.", 1)
    page = boss.get(reverse("admin:syncmetrics_incident_change", args=[incident.pk]))
    assert '<a href="/admin/disks/1/"' in page.content.decode()


def test_what_a_person_marked_as_over_stays_so_until_it_happens_anew(declared, channel, sent):
    declared.append(full("Full."))
    watch_incidents()
    assert mark_as_over(Incident.objects.get())
    watch_incidents()
    assert titles(sent) == ["Disk full: the disk /"]

    declared[:] = [full("Full again.")]
    watch_incidents()
    assert titles(sent) == ["Disk full: the disk /"] * 2
    declared.clear()
    watch_incidents()
    assert Incident.objects.filter(ended_at=None).count() == 0


def test_a_channel_may_be_deaf_to_another_apps_kind(declared, hook, boss, sent):
    wanted = [key for key in kinds() if key != "disk"]
    boss.post(reverse("admin:syncmetrics_alertchannel_add"), form_of(url=hook.url, tells_when=wanted))
    assert AlertChannel.objects.get().muted_kinds == ["disk"]
    declared.append(full("Full."))
    watch_incidents()

    assert sent == []
    assert "Disk full" not in text_of(boss.get(reverse("admin:syncmetrics_alertchannel_changelist")))


def test_incidents_of_a_kind_that_no_app_declares_any_more_do_no_harm(
    declared, settings, channel, sent, boss
):
    declared.append(full("Full."))
    watch()
    settings.INCIDENT_KINDS = settings.INCIDENT_KINDS[:-1]
    watch_incidents()

    assert titles(sent) == ["disk: the disk /"]
    assert "the disk /" in text_of(boss.get(reverse("admin:syncmetrics_incident_changelist")))


def test_two_kinds_never_share_a_key():
    declared = [kind for path in installation.INCIDENT_KINDS for kind in import_string(path)]

    assert len({kind.key for kind in declared}) == len(declared)
    assert all(0 < len(kind.key) <= 20 for kind in declared)
    assert all(kind.to_do.endswith(".") for kind in declared)


# --- the database's own rules, and how long records are kept ---------------------------------------


def test_two_open_incidents_of_one_kind_and_subject_are_impossible():
    now = timezone.now()
    Incident.objects.create(kind="failed", subject="x", about="x", started_at=now, ended_at=now)
    Incident.objects.create(kind="failed", subject="x", about="x")
    Incident.objects.create(kind="lost", subject="x", about="x")
    with pytest.raises(IntegrityError), transaction.atomic():
        Incident.objects.create(kind="failed", subject="x", about="x")


def test_an_incident_cannot_end_before_it_began():
    now = timezone.now()
    with pytest.raises(IntegrityError), transaction.atomic():
        Incident.objects.create(
            kind="failed", subject="x", about="x", started_at=now, ended_at=now - timedelta(1)
        )


def test_a_channel_is_told_one_thing_once(channel):
    incident = Incident.objects.create(kind="failed", subject="x", about="x")
    AlertDelivery.objects.create(incident=incident, channel=channel, what="began")
    with pytest.raises(IntegrityError), transaction.atomic():
        AlertDelivery.objects.create(incident=incident, channel=channel, what="began")


def test_an_incident_ends_once(channel):
    incident = begin(Finding("failed", "x", "x", "", timezone.now()))

    assert end(incident, "Over.", timezone.now())
    assert not end(incident, "Over again.", timezone.now())
    assert AlertDelivery.objects.filter(what="recovered").count() == 1


# --- the console ----------------------------------------------------------------------------------


@pytest.fixture
def boss(db: None) -> Any:
    """An administrator's browser."""
    return client_of(person("boss", "Administrator"))


def form_of(**changes: Any) -> dict[str, Any]:
    """Return the form of a channel as a browser sends it."""
    return {"name": "Ops", "enabled": "on", "tells_when": list(kinds()), **changes}


def test_an_administrator_adds_a_channel_and_nobody_sees_its_url_again(hook, boss):
    prod = ConnectionFactory(name="prod")
    added = boss.post(
        reverse("admin:syncmetrics_alertchannel_add"), form_of(url=hook.url, connections=[prod.pk])
    )
    assert added.status_code == 302, added.context["errors"]
    channel = AlertChannel.objects.get()
    assert (channel.url, channel.service, channel.connection_keys) == (hook.url, "Webhook (JSON)", [prod.pk])

    page = reverse("admin:syncmetrics_alertchannel_change", args=[channel.pk])
    for url in (page, reverse("admin:syncmetrics_alertchannel_changelist"), f"{page}../history/"):
        assert SECRET not in boss.get(url, follow=True).content.decode()
    assert all(SECRET not in entry.change_message for entry in LogEntry.objects.all())


def test_a_url_is_kept_when_none_is_given_and_replaced_when_one_is(hook, boss, channel):
    AlertChannel.objects.update(last_error="No.")
    page = reverse("admin:syncmetrics_alertchannel_change", args=[channel.pk])
    assert boss.post(page, form_of(name="Night", url="")).status_code == 302
    channel.refresh_from_db()
    assert (channel.name, channel.url, channel.last_error) == ("Night", hook.url, "No.")

    assert boss.post(page, form_of(url="json://localhost:9/other")).status_code == 302
    channel.refresh_from_db()
    assert (channel.url, channel.last_error) == ("json://localhost:9/other", "")


def test_a_url_that_may_not_be_used_is_refused_and_not_shown(boss):
    refused = boss.post(
        reverse("admin:syncmetrics_alertchannel_add"), form_of(url=f"jsons://10.0.0.1/{SECRET}")
    )

    assert "is an address in a private network" in text_of(refused)
    assert SECRET not in refused.content.decode()
    assert "Give the URL" in text_of(boss.post(reverse("admin:syncmetrics_alertchannel_add"), form_of()))
    assert not AlertChannel.objects.exists()


def test_the_test_button_sends_and_says_how_that_went(hook, boss, channel):
    url = reverse("admin:syncmetrics_alertchannel_test", args=[channel.pk])
    assert "has taken it" in text_of(boss.post(url, follow=True))
    assert hook.titles == ["Test from Easel"]

    hook.status = 404
    answer = boss.post(url, follow=True)
    assert "Not sent" in text_of(answer)
    assert "404" in text_of(answer)
    assert "does not work" in text_of(boss.get(reverse("admin:syncmetrics_alertchannel_changelist")))
    assert SECRET not in answer.content.decode()


def test_the_home_page_says_which_channel_does_not_work(boss, channel):
    ConnectionFactory()
    AlertChannel.objects.update(last_error="The service said 404.")

    assert "Alerts do not reach Ops: The service said 404." in text_of(boss.get(reverse("admin:index")))


def test_an_incident_shows_its_run_and_who_was_told_and_can_be_closed(channel, ended, sent):
    run = ended("failed")
    watch_incidents()
    incident = Incident.objects.get()
    client = client_of(person("olga", "Operator"))
    page = reverse("admin:syncmetrics_incident_change", args=[incident.pk])
    shown = text_of(client.get(page))
    for expected in ("Sync failed", "open", f"Run {run.pk}", "Ops: began Sent", "Canvas did not answer"):
        assert expected in shown

    assert "1 channel" in text_of(client.get(reverse("admin:syncmetrics_incident_changelist")))
    closed = client.post(reverse("admin:syncmetrics_incident_close", args=[incident.pk]), follow=True)
    assert "is closed" in text_of(closed)
    watch_incidents()
    assert len(sent) == 1
    assert "Closed by hand." in text_of(client.get(page))


def test_the_list_of_incidents_is_filtered_and_costs_the_same_for_any_number(
    channel, ended, sent, django_assert_max_num_queries
):
    for key in range(12):
        ended("failed", connection_key=key, connection_name=f"site-{key}")
    ended("completed", connection_key=3)
    watch_incidents()
    client = client_of(person("vera", "Viewer"))
    url = reverse("admin:syncmetrics_incident_changelist")
    with django_assert_max_num_queries(14):
        client.get(url)
    assert client.get(f"{url}?state=over").context["cl"].result_count == 1
    assert client.get(f"{url}?state=open").context["cl"].result_count == 11


def test_who_is_limited_to_a_site_sees_its_incidents_only(ended, sent):
    north, south = InstanceFactory(), InstanceFactory()
    for key, site in enumerate((north, south), start=1):
        ended("failed", instance_key=site.pk, connection_key=key, connection_name=f"site-{site.pk}")
    watch_incidents()
    client = client_of(person("ada", "Viewer", only=[north]))

    shown = text_of(client.get(reverse("admin:syncmetrics_incident_changelist")))
    assert f"site-{north.pk}" in shown
    assert f"site-{south.pk}" not in shown
    assert Connection.objects.count() == 0
