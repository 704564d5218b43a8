"""Schedules for people who need not know Celery: said in words, added by a form, run by buttons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from canvas import tasks
from canvas.models import InstanceLimit
from config import schedule_pages
from config.schedules import UPKEEP, create
from config.timetable import connection_of, how_often, make_daily, make_interval, mode_of, next_run, what
from syncmetrics.models import SyncRun
from tests.console import client_of, staff, text_of
from tests.factories import ConnectionFactory

pytestmark = pytest.mark.django_db

LIST = "admin:django_celery_beat_periodictask_changelist"
ADD = "admin:django_celery_beat_periodictask_add"


@pytest.fixture
def client():
    return client_of(staff("root", superuser=True))


def schedule(**columns: Any) -> PeriodicTask:
    if not {"crontab", "interval"} & set(columns):
        columns["interval"] = make_interval(30, "minutes")
    return PeriodicTask.objects.create(**{"name": "x", "task": "canvas.sync_connection", **columns})


def address(action: str, task: PeriodicTask) -> str:
    return reverse(f"admin:django_celery_beat_periodictask_{action}", args=[task.pk])


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "period", "words"),
    [
        (30, "minutes", "every 30 minutes"),
        (1, "hours", "every hour"),
        (30, "seconds", "every 30 seconds"),
        (1440, "minutes", "every day"),
        (90, "minutes", "every 90 minutes"),
        (120, "minutes", "every 2 hours"),
    ],
)
def test_an_interval_is_said_in_words(every, period, words):
    assert how_often(schedule(interval=make_interval(every, period))) == words


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"hour": "3", "minute": "0", "timezone": "Europe/Vienna"}, "daily at 03:00 Europe/Vienna"),
        ({"hour": "2", "minute": "15", "day_of_week": "0"}, "Sundays at 02:15 UTC"),
        ({"hour": "2", "minute": "15", "day_of_week": "7"}, "Sundays at 02:15 UTC"),
        ({"hour": "7", "minute": "0", "day_of_month": "1"}, "monthly, on day 1, at 07:00 UTC"),
    ],
)
def test_a_time_of_day_is_said_in_words(columns, words):
    assert how_often(schedule(crontab=CrontabSchedule.objects.create(**columns))) == words


def test_a_time_without_words_of_ours_is_said_in_celerys():
    task = schedule(crontab=CrontabSchedule.objects.create(hour="*/2", minute="5", day_of_month="1"))
    assert "day 1 of the month" in how_often(task)


@pytest.mark.parametrize(
    ("args", "kwargs", "connection", "mode"),
    [
        ("[3]", '{"mode": "full"}', 3, "full"),
        ('[3, "incremental"]', "{}", 3, "incremental"),
        ("[]", '{"connection_id": 3}', 3, None),
        ("rubbish", "{}", None, None),
        ('{"a": 1}', "[]", None, None),
        ('["3"]', "{}", None, None),
    ],
)
def test_what_a_schedule_syncs_is_read_from_its_arguments(args, kwargs, connection, mode):
    task = schedule(args=args, kwargs=kwargs)
    assert (connection_of(task), mode_of(task)) == (connection, mode)


def test_only_syncs_are_said_to_sync():
    assert what(schedule(kwargs='{"mode": "full"}')) == "Sync: full"
    upkeep = create(next(one for one in UPKEEP if one.task == "syncmetrics.close_lost_runs"))
    upkeep.args = "[3]"
    told = "Marks syncs as lost whose process died, or that no worker took."
    assert (what(upkeep), connection_of(upkeep)) == (told, None)
    assert what(schedule(name="z", task="somebody.elses")) == "somebody.elses"


NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"last_run_at": NOW - timedelta(minutes=10)}, NOW + timedelta(minutes=20)),
        ({"last_run_at": NOW - timedelta(hours=2)}, NOW),
        ({"enabled": False, "last_run_at": NOW}, None),
    ],
)
def test_the_next_run_follows_the_last(time_machine, columns, expected):
    time_machine.move_to(NOW, tick=False)
    assert next_run(schedule(**columns), NOW) == expected


def test_the_next_run_of_a_time_of_day_is_in_its_zone(time_machine):
    time_machine.move_to(NOW, tick=False)
    task = schedule(crontab=make_daily(3, 0, "Europe/Vienna"), last_run_at=NOW)

    assert next_run(task, NOW) == datetime(2026, 7, 2, 1, 0, tzinfo=UTC)


# --- list and form --------------------------------------------------------------------------------


def test_the_list_tells_what_of_which_connection_and_how_often(client, django_assert_max_num_queries):
    connection = ConnectionFactory(name="prod")
    schedule(args=f"[{connection.pk}]", kwargs='{"mode": "full"}')
    schedule(name="orphan", args="[999]", enabled=False)
    with django_assert_max_num_queries(12):
        shown = text_of(client.get(reverse(LIST)))

    assert "Sync: full prod every 30 minutes" in shown
    assert "gone" in shown
    assert "in 29 minutes" in shown
    assert "Add a schedule" in shown


@pytest.mark.parametrize(
    ("asked", "words", "kwargs"),
    [
        ({"how": "minutes", "every": "20"}, "every 20 minutes", "{}"),
        ({"how": "hours", "every": "2", "mode": "incremental"}, "every 2 hours", '{"mode": "incremental"}'),
        (
            {"how": "daily", "at": "03:30", "zone": "Europe/Vienna", "mode": "full"},
            "daily at 03:30 Europe/Vienna",
            '{"mode": "full"}',
        ),
    ],
)
def test_the_form_makes_a_schedule(client, asked, words, kwargs):
    connection = ConnectionFactory(name="prod")
    response = client.post(reverse(ADD), {"connection": connection.pk, **asked})

    task = PeriodicTask.objects.get()
    assert response.url == reverse(LIST)
    assert (how_often(task), task.kwargs, connection_of(task)) == (words, kwargs, connection.pk)
    assert task.name.startswith("Sync prod")
    assert LogEntry.objects.get().change_message == "Added the schedule."


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"how": "daily"}, "Say when."),
        ({"how": "minutes", "every": ""}, "Say how many."),
        ({"how": "minutes", "every": "0"}, "greater than or equal to 1"),
        ({"how": "daily", "at": "03:00", "zone": "Mars/Base"}, "Mars/Base is not one of the available"),
        ({"how": "minutes", "every": "5", "name": "taken"}, "a schedule named 'taken' already"),
    ],
)
def test_the_form_says_what_is_missing(client, asked, words):
    schedule(name="taken")
    response = client.post(reverse(ADD), {"connection": ConnectionFactory().pk, **asked})

    assert words in text_of(response)
    assert PeriodicTask.objects.count() == 1


def test_equal_times_share_a_row(client):
    connection = ConnectionFactory()
    for name in ("a", "b"):
        client.post(
            reverse(ADD), {"connection": connection.pk, "how": "minutes", "every": "20", "name": name}
        )

    assert (PeriodicTask.objects.count(), IntervalSchedule.objects.count()) == (2, 1)


def test_a_schedules_page_changes_when_and_whether(client):
    task = schedule(args="[1]")
    every = make_interval(2, "hours")
    client.post(address("change", task), {"name": "renamed", "interval": every.pk, "enabled": ""})

    task.refresh_from_db()
    assert (task.name, how_often(task), task.enabled, task.args) == ("renamed", "every 2 hours", False, "[1]")


# --- buttons --------------------------------------------------------------------------------------


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    handed: list[int] = []
    monkeypatch.setattr(tasks, "_check_queue", lambda: None)
    monkeypatch.setattr(tasks.transaction, "on_commit", lambda send, **_: send())
    monkeypatch.setattr(
        tasks, "sync_instance", SimpleNamespace(apply_async=lambda args, **_: handed.append(*args))
    )
    return handed


def test_run_now_queues_the_sync_and_leads_to_its_run(client, queue):
    connection = ConnectionFactory()
    task = schedule(args=f"[{connection.pk}]", kwargs='{"mode": "incremental"}')
    response = client.post(address("run", task))

    run = SyncRun.objects.get()
    assert queue == [run.pk]
    assert (run.connection_key, run.mode) == (connection.pk, "incremental")
    assert response.url == reverse("admin:syncmetrics_syncrun_change", args=[run.pk])
    assert [entry.change_message for entry in LogEntry.objects.all()] == [f"Started run {run.pk}."]


def test_run_now_says_when_the_connection_is_gone(client, queue):
    assert "is gone" in text_of(client.post(address("run", schedule(args="[999]"))))
    assert queue == []


def test_run_now_hands_other_work_to_a_worker(client, monkeypatch):
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(schedule_pages.current_app, "send_task", lambda *args, **options: sent.append(args))
    client.post(address("run", schedule(task="syncmetrics.close_lost_runs")))

    assert sent == [("syncmetrics.close_lost_runs", [], {})]


def test_a_schedule_is_switched_off_and_on(client):
    task = schedule()
    client.post(address("switch_off", task))
    task.refresh_from_db()
    assert not task.enabled

    client.post(address("switch_on", task))
    task.refresh_from_db()
    assert task.enabled


def test_an_operator_runs_but_does_not_change_schedules(queue):
    user = staff("olga")
    user.groups.set(Group.objects.filter(name="Operator"))
    operator, task = client_of(user), schedule(args=f"[{ConnectionFactory().pk}]")

    assert operator.post(address("switch_off", task)).status_code == 403
    assert operator.post(reverse(ADD)).status_code == 403
    assert operator.post(address("run", task)).status_code == 302
    assert len(queue) == 1


def test_who_is_limited_to_a_site_sees_its_schedules_only(queue):
    mine, other = ConnectionFactory(name="mine"), ConnectionFactory(name="other")
    shown, hidden = schedule(name="a", args=f"[{mine.pk}]"), schedule(name="b", args=f"[{other.pk}]")
    user = staff("olga", "*_periodictask")
    user.groups.set(Group.objects.filter(name="Operator"))
    InstanceLimit.objects.create(user=user, instance=mine.instance)
    operator = client_of(user)

    assert [task.name for task in operator.get(reverse(LIST)).context["cl"].result_list] == ["a"]
    assert operator.post(address("run", hidden)).status_code == 404
    assert operator.post(address("run", shown)).status_code == 302
    offered = operator.get(reverse(ADD)).context["form"].fields["connection"].queryset
    assert list(offered) == [mine]
