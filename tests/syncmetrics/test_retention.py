"""How long runs are kept."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from syncmetrics import retention, tasks
from syncmetrics.models import SyncCount, SyncRejection, SyncRun, SyncStep

pytestmark = pytest.mark.django_db


def run_of(days: float, status: str = "completed", **columns: object) -> SyncRun:
    """Return a run that ended so many days ago, or began then, with one of each part."""
    then = timezone.now() - timedelta(days=days)
    end = None if status in ("queued", "in_progress") else then
    run = SyncRun.objects.create(sync_status=status, sync_start_time=then, sync_end_time=end, **columns)
    SyncStep.objects.create(run=run, key="courses")
    SyncCount.objects.create(run=run, entity="courses")
    SyncRejection.objects.create(run=run, entity="courses", reason="why")
    return run


def test_runs_that_ended_long_ago_go_with_their_parts_and_active_ones_never(monkeypatch):
    monkeypatch.setattr(retention, "RUNS_PER_BATCH", 2)
    for _ in range(5):
        run_of(731, "failed")
    before = run_of(731)
    kept = [
        run_of(729, resumed_from=before),
        run_of(900, "in_progress", genre="a"),
        run_of(900, "queued", genre="b"),
    ]

    assert retention.delete_old_runs(730) == 6

    assert set(SyncRun.objects.all()) == set(kept)
    for part in (SyncStep, SyncCount, SyncRejection):
        assert part.objects.count() == len(kept)
    kept[0].refresh_from_db()
    assert kept[0].resumed_from is None


def test_the_task_takes_the_setting(settings):
    settings.RUN_DAYS = 10
    run_of(11)
    assert tasks.delete_old_runs() == {"deleted": 1}
    assert tasks.delete_old_runs.name == "syncmetrics.delete_old_runs"


def test_delete_old_runs_says_how_many_first(capsys):
    run_of(800)
    call_command("delete_old_runs", "--dry-run")
    assert capsys.readouterr().out == "1 runs would be deleted that ended more than 730 days ago.\n"
    call_command("delete_old_runs", "--json", "--days", "900")
    assert json.loads(capsys.readouterr().out) == {"deleted_runs": 0}
    call_command("delete_old_runs", "--json")
    assert json.loads(capsys.readouterr().out) == {"deleted_runs": 1}


@pytest.mark.parametrize("days", ["0", "-1"])
def test_delete_old_runs_refuses_to_delete_everything(days):
    run_of(1)
    with pytest.raises(CommandError, match="give a whole number, at least 1") as raised:
        call_command("delete_old_runs", f"--days={days}")
    assert raised.value.returncode == 2
    assert SyncRun.objects.count() == 1


def test_longer_than_there_are_dates_is_for_ever():
    run_of(9_000)
    assert retention.delete_old_runs(10**12) == 0
