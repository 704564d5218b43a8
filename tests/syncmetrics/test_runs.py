"""The life of a run: one at a time, alive or lost, ended once and by its owner."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.utils import timezone

from syncmetrics import runs
from syncmetrics.models import SyncRun, SyncStep
from syncmetrics.process import ThisProcess, host_identity
from syncmetrics.runs import (
    CancelRequested,
    RunActive,
    RunTaken,
    TaskIdTaken,
    beat,
    claim_run,
    close_lost_runs,
    finish_run,
    new_run,
    queue_run,
    request_cancel,
    resumable,
    withdraw_run,
)
from tests.syncmetrics.conftest import Begin, undone


def move_elsewhere(run: SyncRun, silent_seconds: float) -> None:
    heartbeat = timezone.now() - timedelta(seconds=silent_seconds)
    SyncRun.objects.filter(pk=run.pk).update(
        host="elsewhere", sync_start_time=heartbeat - timedelta(seconds=30), heartbeat_at=heartbeat
    )
    run.refresh_from_db()


def kill_the_worker_of(run: SyncRun) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    SyncRun.objects.filter(pk=run.pk).update(host=host_identity(), pid=child.pid, process_started="1")


# --- queue --------------------------------------------------------------------------------------


def queued(**fields: Any) -> SyncRun:
    return queue_run(new_run(genre="all", instance_key=1, **fields))


def test_queued_run_is_claimed_once(db: None):
    run = queued()
    assert (run.sync_status, run.host, run.pid) == ("queued", "", 0)
    other = SyncRun.objects.get(pk=run.pk)
    assert claim_run(run)
    assert not claim_run(other)
    me = ThisProcess()
    assert (other.sync_status, other.host, other.pid) == ("in_progress", me.host, me.pid)
    beat(other)
    finish_run(run, "completed")


def test_queued_run_is_nobodys_to_beat_or_to_end(db: None):
    run = queued()
    for attempt in (lambda: beat(run), lambda: finish_run(run, "completed")):
        with pytest.raises(RunTaken):
            attempt()


def test_run_is_not_queued_beside_one_at_work(db: None, begin: Begin):
    active = begin(instance_key=1, genre="all")
    with pytest.raises(RunActive, match="already at work") as met:
        queued()
    assert met.value.run == active


def test_withdrawn_run_is_gone_unless_a_worker_took_it(db: None):
    run = queued()
    taken = SyncRun.objects.get(pk=run.pk)
    assert claim_run(taken)
    withdraw_run(run)
    assert SyncRun.objects.filter(pk=run.pk).exists()
    finish_run(taken, "completed")
    again = queued()
    withdraw_run(again)
    assert not SyncRun.objects.filter(pk=again.pk).exists()


def test_sweep_that_read_a_queued_run_spares_it_once_it_is_taken(db: None, monkeypatch: pytest.MonkeyPatch):
    run = queued()
    SyncRun.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(days=1))

    def taken_meanwhile(now: datetime) -> bool:
        assert claim_run(SyncRun.objects.get(pk=run.pk))
        return False

    monkeypatch.setattr(runs, "_workers_are_busy", taken_meanwhile)
    assert close_lost_runs() == []
    run.refresh_from_db()
    assert run.sync_status == "in_progress"


# --- start --------------------------------------------------------------------------------------


def test_started_run_is_in_the_database_and_ours(db: None, begin: Begin):
    run = begin(user_id=42, options={"models": ["courses"]}, dry_run=True, genre="courses")
    stored = SyncRun.objects.get(pk=run.pk)
    me = ThisProcess()
    assert stored.sync_status == "in_progress"
    assert (stored.host, stored.pid, stored.process_started) == (me.host, me.pid, me.started)
    assert (stored.user_id, stored.options, stored.dry_run) == (42, {"models": ["courses"]}, True)
    assert stored.sync_start_time == stored.heartbeat_at


def test_second_run_is_told_who_is_at_work(db: None, begin: Begin):
    first = begin()
    with pytest.raises(RunActive, match="Wait for it") as caught:
        begin()
    assert caught.value.run == first
    for fact in (f"Run {first.pk}", "Main university", f"process {first.pid}", "UTC", "120 s"):
        assert fact in str(caught.value)
    assert SyncRun.objects.count() == 1


@pytest.mark.parametrize("change", [{"genre": "course:1"}, {"instance_key": 2}])
def test_other_genre_and_other_instance_run_beside(db: None, begin: Begin, change: dict[str, Any]):
    begin()
    begin(**change)
    assert SyncRun.objects.filter(sync_status="in_progress").count() == 2


def test_runs_of_no_instance_run_beside_each_other(db: None, begin: Begin):
    begin(instance_key=None)
    begin(instance_key=None)


def test_task_id_is_used_once(db: None, begin: Begin):
    first = begin(sync_task_id="celery-1")
    finish_run(first, "failed", "x")
    with pytest.raises(TaskIdTaken, match=r"celery-1 .*\(failed\)") as caught:
        begin(sync_task_id="celery-1")
    assert caught.value.run == first


@pytest.mark.django_db(transaction=True)
def test_run_is_never_started_inside_a_transaction_that_could_undo_it(begin: Begin):
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        begin()
    assert not SyncRun.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_that_start_at_once_one_wins(begin: Begin):
    outcomes: list[str] = []
    gate = threading.Barrier(6)

    def start() -> None:
        gate.wait()
        try:
            begin()
            outcomes.append("started")
        except RunActive:
            outcomes.append("active")
        finally:
            connection.close()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["active"] * 5 + ["started"]


# --- lost ---------------------------------------------------------------------------------------


def test_run_of_a_killed_process_is_taken_over_at_once(db: None, begin: Begin):
    dead = begin()
    done = SyncStep.objects.create(run=dead, key="a", state="completed")
    open_ = SyncStep.objects.create(run=dead, key="b", state="in_progress")
    kill_the_worker_of(dead)

    heir = begin(resumed_from=dead)

    dead.refresh_from_db()
    assert (dead.sync_status, dead.error_class) == ("lost", "ProcessGone")
    assert "ended without finishing" in str(dead.error_message)
    assert dead.sync_end_time == dead.heartbeat_at
    assert heir.resumed_from == dead
    assert resumable(dead)
    done.refresh_from_db()
    open_.refresh_from_db()
    assert (done.state, open_.state) == ("completed", "pending")


def test_silent_run_elsewhere_is_lost_when_its_lease_ended(db: None, begin: Begin, settings: Any):
    run = begin()
    move_elsewhere(run, silent_seconds=settings.SYNC_LEASE_SECONDS - 5)
    assert close_lost_runs() == []
    with pytest.raises(RunActive):
        begin()

    move_elsewhere(run, silent_seconds=settings.SYNC_LEASE_SECONDS + 5)
    assert close_lost_runs() == [run]
    run.refresh_from_db()
    assert (run.sync_status, run.error_class) == ("lost", "LeaseEnded")
    assert run.sync_end_time == run.heartbeat_at
    assert run.total_duration_seconds == 30.0


def test_silent_run_of_a_living_process_here_is_lost_too(db: None, begin: Begin, settings: Any):
    """A worker that lives on may have failed to write the end of its run."""
    run = begin()
    SyncRun.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=settings.SYNC_LEASE_SECONDS + 5))
    assert close_lost_runs() == [run]
    run.refresh_from_db()
    assert run.sync_end_time == run.sync_start_time, "no run ends before it starts"


def test_only_the_asked_instance_and_genre_are_looked_at(db: None, begin: Begin):
    for change in ({}, {"instance_key": 2}, {"genre": "course:1"}):
        kill_the_worker_of(begin(**change))
    assert [run.genre for run in close_lost_runs(instance_key=1, genre="course:1")] == ["course:1"]
    assert [run.instance_key for run in close_lost_runs(instance_key=2)] == [2]
    assert len(close_lost_runs()) == 1


def test_run_that_shows_life_while_we_look_stays(
    db: None, begin: Begin, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    run = begin()
    move_elsewhere(run, silent_seconds=settings.SYNC_LEASE_SECONDS + 5)

    def look(*process: object) -> None:
        beat(SyncRun.objects.get(pk=run.pk))

    monkeypatch.setattr(runs, "is_gone", look)
    assert close_lost_runs() == []
    run.refresh_from_db()
    assert run.sync_status == "in_progress"


# --- alive --------------------------------------------------------------------------------------


def test_beat_moves_the_heartbeat(db: None, begin: Begin):
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        run = begin()
        clock.shift(60)
        beat(run)
        assert SyncRun.objects.get().heartbeat_at == timezone.now() == run.heartbeat_at


@pytest.mark.django_db(transaction=True)
def test_beat_in_a_batch_belongs_to_its_transaction(begin: Begin):
    run = begin()
    before = run.heartbeat_at
    with undone(transaction.atomic()):
        beat(run)
    assert SyncRun.objects.get().heartbeat_at == before
    with transaction.atomic():
        beat(run)
    assert SyncRun.objects.get().heartbeat_at > before


def test_beat_tells_a_process_that_its_run_was_taken(db: None, begin: Begin, settings: Any):
    run = begin()
    SyncRun.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=settings.SYNC_LEASE_SECONDS + 5))
    begin()
    with pytest.raises(RunTaken, match="no longer ours"):
        beat(run)


def test_claim_tells_the_owner_from_others_who_hold_the_same_row(db: None, begin: Begin):
    run = begin()
    SyncRun.objects.update(claim=uuid.uuid4())
    with pytest.raises(RunTaken):
        beat(run)
    with pytest.raises(RunTaken):
        finish_run(run, "completed")
    assert SyncRun.objects.get().sync_status == "in_progress"


def test_beat_passes_on_a_request_to_stop_and_still_shows_life(db: None, begin: Begin):
    run = begin()
    before = run.heartbeat_at
    assert request_cancel(run)
    with pytest.raises(CancelRequested):
        beat(run)
    assert SyncRun.objects.get().heartbeat_at > before


def test_ended_run_cannot_be_asked_to_stop(db: None, begin: Begin):
    run = begin()
    finish_run(run, "completed")
    assert not request_cancel(run)


# --- ended --------------------------------------------------------------------------------------


def test_finish_sets_end_and_duration(db: None, begin: Begin):
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        run = begin()
        clock.shift(210.5)
        finish_run(run, "completed")
    assert (run.sync_status, run.total_duration_seconds) == ("completed", 210.5)
    assert run.sync_end_time == run.sync_start_time + timedelta(seconds=210.5)
    assert (run.error_class, run.error_message) == ("", None)


def test_clock_set_back_during_a_run_gives_no_negative_duration(db: None, begin: Begin):
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        run = begin()
        clock.shift(-300)
        finish_run(run, "completed")
    assert (run.total_duration_seconds, run.sync_end_time) == (0, run.sync_start_time)


def test_error_is_kept_as_class_and_redacted_short_message(db: None, begin: Begin):
    run = begin()
    token = "7~" + "abcd1234" * 8
    finish_run(run, "failed", ConnectionError(f"GET with Bearer {token} failed\0" + "x" * 5000))
    assert run.error_class == "ConnectionError"
    assert token not in str(run.error_message)
    assert "\0" not in str(run.error_message)
    assert len(str(run.error_message)) == runs.MESSAGE_CHARACTERS


def test_error_without_words_is_named(db: None, begin: Begin):
    run = begin()
    finish_run(run, "cancelled", KeyboardInterrupt())
    assert (run.error_class, run.error_message) == ("KeyboardInterrupt", "KeyboardInterrupt")


def test_finish_leaves_no_step_in_progress(db: None, begin: Begin):
    run = begin()
    SyncStep.objects.create(run=run, key="a", state="in_progress")
    finish_run(run, "cancelled")
    assert run.steps.get().state == "pending"


def test_run_ends_once(db: None, begin: Begin):
    run = begin()
    same = SyncRun.objects.get()
    finish_run(run, "failed", "broken")
    with pytest.raises(RunTaken):
        finish_run(same, "completed")
    assert SyncRun.objects.get().sync_status == "failed"


@pytest.mark.parametrize("status", ["queued", "in_progress", "done"])
def test_run_ends_in_final_states_only(db: None, begin: Begin, status: str):
    with pytest.raises(ValueError, match=status):
        finish_run(begin(), status)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("in_progress", False),
        ("completed", False),
        ("failed", True),
        ("partial", True),
        ("cancelled", True),
        ("lost", True),
    ],
)
def test_what_ended_with_work_left_is_resumable(status: str, expected: bool):
    assert resumable(SyncRun(sync_status=status)) is expected


def test_ended_run_makes_room(db: None, begin: Begin):
    finish_run(begin(), "completed")
    assert begin().sync_status == "in_progress"
