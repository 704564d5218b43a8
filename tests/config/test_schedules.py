"""The schedules Easel brings, the command that makes them, and beat that keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from canvas.connect import connect
from canvas.models import Connection
from config import celery_app
from config.beat import ExpiringEntry
from config.schedules import UPKEEP, declared
from sandbox.server import Sandbox
from syncmetrics.models import JobRun, SyncRun
from tests.canvas.conftest import Ended, command, quick, said  # noqa: F401 - fixtures
from tests.workers import Background, wait_for

Run = Callable[..., Ended]
ALL = len(UPKEEP) + 2
"""Schedules of an installation with one connection."""


@pytest.fixture
def connection(db: None, quick: None) -> Any:  # noqa: F811
    """A connection to a sandbox."""
    with Sandbox() as canvas:
        yield connect(name="main", base_url=canvas.url, token=canvas.token)[0]


def test_missing_schedules_are_made_and_syncs_are_off_at_first(connection: Connection, command: Run) -> None:  # noqa: F811
    done = command("ensure_schedules")
    assert done.status == 0
    assert done.out.splitlines()[-1] == f"{len(UPKEEP)} of {ALL} schedules made."
    rows = {row.name: row for row in PeriodicTask.objects.all()}
    assert {name for name, row in rows.items() if row.enabled} == {schedule.name for schedule in UPKEEP}
    full = rows["Sync main: everything"]
    assert (full.task, json.loads(full.args), json.loads(full.kwargs)) == (
        "canvas.sync_connection",
        [connection.pk],
        {"mode": "full"},
    )
    assert command("ensure_schedules").out == f"0 of {ALL} schedules made.\n"
    assert PeriodicTask.objects.count() == ALL


def test_a_new_connection_has_its_schedules_at_once_and_a_new_token_changes_none(
    connection: Connection,
) -> None:
    names = ["Sync main: everything", "Sync main: what changed"]
    rows = PeriodicTask.objects.order_by("name")
    assert [(row.name, row.enabled) for row in rows] == [(name, False) for name in names]
    rows[0].delete()
    with Sandbox() as canvas:
        connection.instance.base_url = canvas.url
        connection.instance.save()
        connect(name="main", base_url=canvas.url, token=canvas.token)
    assert [row.name for row in PeriodicTask.objects.all()] == names[1:]


def test_every_schedule_names_a_task_there_is(connection: Connection) -> None:
    celery_app.loader.import_default_modules()
    assert {schedule.task for schedule in declared()} <= set(celery_app.tasks)


def test_what_an_operator_changed_stays_and_is_told(connection: Connection, command: Run) -> None:  # noqa: F811
    command("ensure_schedules")
    hourly = IntervalSchedule.objects.create(every=1, period="hours")
    changed = PeriodicTask.objects.get(name="Sync main: what changed")
    changed.enabled, changed.interval, changed.name = True, hourly, "Every hour"
    changed.save()
    PeriodicTask.objects.filter(name="Find lost runs").update(enabled=False)
    before = list(PeriodicTask.objects.order_by("pk").values())

    done = command("ensure_schedules")
    assert list(PeriodicTask.objects.order_by("pk").values()) == before
    assert "name Every hour, not Sync main: what changed" in done.out
    assert "when every hour, not every 30 minutes" in done.out
    assert "Find lost runs: left as it is (switched off, not on)." in done.out
    assert done.out.splitlines()[-1] == f"0 of {ALL} schedules made."


def test_reset_brings_one_back(connection: Connection, command: Run) -> None:  # noqa: F811
    command("ensure_schedules")
    daily = CrontabSchedule.objects.create(hour="3", minute="0")
    row = PeriodicTask.objects.get(name="Sync main: what changed")
    row.interval, row.crontab, row.enabled = None, daily, True
    row.save()
    assert command("ensure_schedules", "--reset", row.name).status == 0
    row.refresh_from_db()
    assert (row.crontab, row.enabled, str(row.interval)) == (None, False, "every 30 minutes")
    row.delete()
    assert command("ensure_schedules", "--reset", "Sync main: what changed").status == 0
    assert PeriodicTask.objects.count() == ALL


def test_reset_of_an_unknown_name_lists_the_known(db: None, command: Run) -> None:  # noqa: F811
    done = command("ensure_schedules", "--reset", "nothing")
    assert done.status == 2
    assert "Known are: Find lost runs" in done.err


def make_row(**when: Any) -> PeriodicTask:
    return PeriodicTask.objects.create(name="x", task="canvas.resume_lost_runs", **when)


def test_messages_of_an_interval_end_just_before_the_next(db: None) -> None:
    row = make_row(interval=IntervalSchedule.objects.create(every=10, period="minutes"))
    assert 560 < ExpiringEntry(row, app=celery_app).options["expires"] < 600


def test_messages_of_a_crontab_end_just_before_the_next(db: None) -> None:
    row = make_row(crontab=CrontabSchedule.objects.create(minute="*/5"))
    assert 1 <= ExpiringEntry(row, app=celery_app).options["expires"] < 300


def test_end_an_operator_chose_is_kept(db: None) -> None:
    row = make_row(interval=IntervalSchedule.objects.create(every=10, period="minutes"), expire_seconds=7200)
    assert ExpiringEntry(row, app=celery_app).options["expires"] == 7200


def test_schedule_runs_by_itself_and_is_not_doubled_when_beat_is_killed(
    background: Background,
    quick: None,  # noqa: F811
) -> None:
    with Sandbox() as canvas:
        connection = connect(name="main", base_url=canvas.url, token=canvas.token)[0]
        every = IntervalSchedule.objects.create(every=3, period="seconds")
        PeriodicTask.objects.create(
            name="Often", task="canvas.sync_connection", args=json.dumps([connection.pk]), interval=every
        )
        background.start_worker()
        beat = background.start("beat")
        runs = SyncRun.objects.order_by("pk")
        wait_for(lambda: runs.count() == 2, "two runs")
        background.kill(beat)
        background.start("beat")
        wait_for(lambda: runs.filter(sync_status="completed").count() == 4, "two more")
    # When beat sent them: a worker may be late with one, and so nearer to the next.
    sent = JobRun.objects.filter(name="canvas.sync_connection", queued_at__isnull=False)
    gaps = [later - earlier for earlier, later in pairwise(sorted(job.queued_at for job in sent))]
    assert min(gaps) > timedelta(seconds=2.5)
    assert {run.trigger for run in runs} == {"schedule"}
