"""Queued syncs: one row and one message each, claimed once, taken up again when their worker is lost."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from django.db import connection, transaction
from django.utils import timezone

from canvas import tasks
from canvas.connect import connect
from canvas.models import Connection, Course
from canvas.sync import SyncOptions, UsageError, sync
from canvas.tasks import (
    TAKEOVERS,
    QueueUnreachable,
    enqueue_sync,
    resume_lost_runs,
    sync_connection,
    sync_instance,
)
from config import celery_app
from syncmetrics.models import SyncRun
from syncmetrics.runs import RunActive, claim_run, close_lost_runs, request_cancel
from tests.canvas.conftest import EventfulSandbox
from tests.servers import RedisServer
from tests.workers import Background, use_broker, wait_for, waiting

Status = SyncRun.Status
Trigger = SyncRun.Trigger
Wrong = Callable[..., list[str]]
COURSES = SyncOptions(models=frozenset({"courses"}))


def lose(run: SyncRun) -> None:
    """Let a run look as if its worker had died a moment ago."""
    long_ago = timezone.now() - timedelta(minutes=10)
    SyncRun.objects.filter(pk=run.pk).update(
        sync_status=Status.IN_PROGRESS, sync_end_time=None, host="elsewhere/1-1", heartbeat_at=long_ago
    )


@pytest.fixture
def shared(transactional_db: None, canvas: EventfulSandbox) -> Connection:
    """A connection that other processes see too; commits are real."""
    return connect(name="main", base_url=canvas.url, token=canvas.token)[0]


@pytest.fixture
def no_broker() -> Any:
    """Point the queue where nobody answers."""
    before = celery_app.conf.broker_url
    use_broker("redis://127.0.0.1:1")
    yield
    use_broker(before)


# --- queueing -------------------------------------------------------------------------------------


def test_queued_sync_is_a_row_and_a_message_after_the_commit(shared: Connection, redis: RedisServer) -> None:
    with transaction.atomic():
        run = enqueue_sync(shared, COURSES, trigger=Trigger.CONSOLE, user_id=7)
        assert waiting() == 0
    assert waiting() == 1
    run.refresh_from_db()
    assert (run.sync_status, run.trigger, run.user_id, run.mode) == (Status.QUEUED, "console", 7, "full")
    assert run.queued_at is not None
    assert run.sync_end_time is None
    assert (run.pid, run.host) == (0, "")


def test_message_holds_the_runs_number_and_no_token(shared: Connection, redis: RedisServer) -> None:
    run = enqueue_sync(shared, trigger=Trigger.CONSOLE)
    with celery_app.connection_for_read() as broker:
        (message,) = broker.default_channel.client.lrange("celery", 0, -1)
    arguments = json.loads(b64decode(json.loads(message)["body"]))
    assert arguments[:2] == [[run.pk], {}]
    assert shared.token not in message.decode()


def test_rolled_back_request_sends_nothing(shared: Connection, redis: RedisServer) -> None:
    with transaction.atomic():
        enqueue_sync(shared, trigger=Trigger.CONSOLE)
        transaction.set_rollback(True)
    assert waiting() == 0
    assert not SyncRun.objects.exists()


def test_five_clicks_make_one_run(shared: Connection, redis: RedisServer) -> None:
    run = enqueue_sync(shared, trigger=Trigger.CONSOLE)
    for _ in range(4):
        with pytest.raises(RunActive) as met:
            enqueue_sync(shared, trigger=Trigger.CONSOLE)
        assert met.value.run == run
        assert "queued already" in str(met.value)
    assert waiting() == 1
    with pytest.raises(RunActive):
        sync(shared)


def test_unusable_options_queue_nothing(shared: Connection, redis: RedisServer) -> None:
    for options in (SyncOptions(courses=("no id",)), SyncOptions(concurrency=3)):
        with pytest.raises(UsageError):
            enqueue_sync(shared, options, trigger=Trigger.CONSOLE)
    assert (waiting(), SyncRun.objects.count()) == (0, 0)


def test_queue_that_cannot_be_reached_leaves_no_row(shared: Connection, no_broker: None) -> None:
    with pytest.raises(QueueUnreachable, match="make run"):
        enqueue_sync(shared, trigger=Trigger.CONSOLE)
    assert not SyncRun.objects.exists()


def test_queue_that_goes_away_before_the_commit_leaves_no_row(
    shared: Connection, no_broker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_check_queue", lambda: None)  # it was there a moment ago
    with pytest.raises(QueueUnreachable), transaction.atomic():
        enqueue_sync(shared, trigger=Trigger.CONSOLE)
    assert not SyncRun.objects.exists()


def test_cancelled_queued_run_ends_at_once_and_its_message_does_nothing(
    shared: Connection, redis: RedisServer, canvas: EventfulSandbox
) -> None:
    run = enqueue_sync(shared, trigger=Trigger.CONSOLE)
    assert request_cancel(SyncRun.objects.get(pk=run.pk))
    run.refresh_from_db()
    assert run.sync_status == Status.CANCELLED
    assert run.sync_end_time is not None
    assert not request_cancel(run)
    canvas.clear_requests()
    sync_instance(run.pk)
    assert (canvas.requests(), SyncRun.objects.count()) == ([], 1)


def test_cancel_reaches_a_run_that_was_queued_when_the_page_was_made(
    shared: Connection, redis: RedisServer
) -> None:
    seen = enqueue_sync(shared, trigger=Trigger.CONSOLE)
    taken = SyncRun.objects.get(pk=seen.pk)
    assert claim_run(taken)
    assert request_cancel(seen)
    taken.refresh_from_db()
    assert (taken.sync_status, taken.cancel_requested) == (Status.IN_PROGRESS, True)


# --- doing ----------------------------------------------------------------------------------------


def test_task_does_what_the_row_asks_for(
    shared: Connection, redis: RedisServer, canvas: EventfulSandbox
) -> None:
    run = enqueue_sync(shared, SyncOptions(courses=("101",), dry_run=True), trigger=Trigger.CONSOLE)
    sync_instance(run.pk)
    run.refresh_from_db()
    assert (run.sync_status, run.sync_type, run.dry_run) == (Status.COMPLETED, "course", True)
    assert run.courses_processed == 1
    assert not Course.objects.exists()
    assert run.queued_at
    assert run.sync_start_time > run.queued_at
    assert run.pid


def test_message_of_an_ended_run_does_nothing(
    shared: Connection, redis: RedisServer, canvas: EventfulSandbox
) -> None:
    run = enqueue_sync(shared, COURSES, trigger=Trigger.CONSOLE)
    sync_instance(run.pk)
    canvas.clear_requests()
    sync_instance(run.pk)
    sync_instance(run.pk + 1)  # a run that was deleted
    assert (canvas.requests(), SyncRun.objects.count()) == ([], 1)


def test_message_of_a_lost_run_takes_it_up_once(
    shared: Connection, redis: RedisServer, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    run = enqueue_sync(shared, trigger=Trigger.CONSOLE, user_id=7)
    sync_instance(run.pk)
    run.steps.filter(key__startswith="course:").update(state="pending")
    lose(run)
    sync_instance(run.pk)
    run.refresh_from_db()
    successor = run.resumed_by.get()
    assert (run.sync_status, successor.sync_status) == (Status.LOST, Status.COMPLETED)
    assert (successor.trigger, successor.user_id, successor.mode) == ("console", 7, "full")
    assert wrong(shared) == []
    sync_instance(run.pk)
    assert SyncRun.objects.count() == 2


def test_lost_run_is_not_taken_up_behind_a_newer_one(shared: Connection, redis: RedisServer) -> None:
    run = enqueue_sync(shared, COURSES, trigger=Trigger.CONSOLE)
    sync_instance(run.pk)
    lose(run)
    newer = sync(shared, SyncOptions(models=frozenset({"terms"})))
    sync_instance(run.pk)
    resume_lost_runs()
    assert SyncRun.objects.latest("pk") == newer
    assert waiting() == 1  # that of the first


def test_sync_that_kills_its_workers_is_given_up(shared: Connection, redis: RedisServer) -> None:
    run = enqueue_sync(shared, COURSES, trigger=Trigger.SCHEDULE)
    for _ in range(TAKEOVERS + 2):
        latest = SyncRun.objects.latest("pk")
        claim_run(latest)
        lose(latest)
        resume_lost_runs()
    assert SyncRun.objects.count() == 1 + TAKEOVERS
    assert {one.sync_status for one in SyncRun.objects.all()} == {Status.LOST}
    sync_instance(run.pk)
    assert SyncRun.objects.count() == 1 + TAKEOVERS


def test_sweeper_leaves_alone_what_a_person_started_at_a_terminal(
    shared: Connection, redis: RedisServer
) -> None:
    lose(sync(shared, COURSES, trigger=Trigger.COMMAND))
    resume_lost_runs()
    assert SyncRun.objects.get().sync_status == Status.LOST
    assert waiting() == 0


def test_run_that_no_worker_takes_is_lost_unless_workers_are_busy(
    shared: Connection, redis: RedisServer, settings: Any
) -> None:
    run = enqueue_sync(shared, COURSES, trigger=Trigger.CONSOLE)
    long_ago = timezone.now() - timedelta(seconds=settings.SYNC_QUEUE_SECONDS + 1)
    SyncRun.objects.filter(pk=run.pk).update(heartbeat_at=long_ago)
    busy = SyncRun.objects.create(genre="course", instance_key=run.instance_key, queued_at=timezone.now())
    assert close_lost_runs() == []
    SyncRun.objects.filter(pk=busy.pk).delete()
    assert close_lost_runs() == [run]
    run.refresh_from_db()
    assert (run.sync_status, run.error_class) == (Status.LOST, "NotTaken")
    assert "make worker" in (run.error_message or "")


def test_sync_that_takes_too_long_says_so_and_can_be_resumed(
    shared: Connection, redis: RedisServer, canvas: EventfulSandbox
) -> None:
    run = enqueue_sync(shared, trigger=Trigger.CONSOLE)
    signal.signal(signal.SIGUSR1, _time_is_up)  # as a worker's process does
    canvas.before("accounts/1/users", lambda: os.kill(os.getpid(), signal.SIGUSR1))
    try:
        sync_instance(run.pk)
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    run.refresh_from_db()
    assert (run.sync_status, run.error_class) == (Status.FAILED, "SoftTimeLimitExceeded")
    assert run.error_message == "Stopped after 6 h, the most a task may take (TASK_LIMIT_SECONDS): resume it."
    again = enqueue_sync(shared, resume=run, trigger=Trigger.CONSOLE)
    sync_instance(again.pk)
    again.refresh_from_db()
    assert (again.sync_status, again.resumed_from) == (Status.COMPLETED, run)


def _time_is_up(*_: object) -> None:
    raise SoftTimeLimitExceeded


# --- schedules ------------------------------------------------------------------------------------


def test_schedule_of_a_dead_token_stops_and_says_so(
    shared: Connection, redis: RedisServer, canvas: EventfulSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    shared.token = "7~NoSuchToken"
    shared.save()
    sync_connection(shared.pk)
    sync_instance(SyncRun.objects.get().pk)
    assert SyncRun.objects.get().error_class == "TokenRejected"
    canvas.clear_requests()
    with caplog.at_level(logging.WARNING):
        sync_connection(shared.pk)
        sync_connection(shared.pk, mode="full")
    assert (canvas.requests(), SyncRun.objects.count()) == ([], 1)
    assert "Canvas rejects its token" in caplog.text


def test_schedule_meets_a_sync_at_work_and_leaves(shared: Connection, redis: RedisServer) -> None:
    sync_connection(shared.pk, mode="full")
    sync_connection(shared.pk)
    run = SyncRun.objects.get()
    assert (run.trigger, run.mode) == ("schedule", "full")


def test_schedule_of_a_deleted_connection_says_so(db: None, caplog: pytest.LogCaptureFixture) -> None:
    sync_connection(12345)
    assert "delete its schedule" in caplog.text


# --- real workers ---------------------------------------------------------------------------------


def test_sync_whose_worker_is_killed_is_finished_by_another(
    shared: Connection, canvas: EventfulSandbox, background: Background, wrong: Wrong
) -> None:
    first = background.start("worker")
    canvas.before("103/students/submissions", lambda: background.kill(first))
    run = enqueue_sync(shared, SyncOptions(mode="full"), trigger=Trigger.CONSOLE)
    wait_for(lambda: first.poll() is not None, "the sync to reach the third course")
    run.refresh_from_db()
    assert run.sync_status == Status.IN_PROGRESS  # nobody was left to say otherwise

    background.start("worker")
    resume_lost_runs.delay()  # as the schedule does
    wait_for(lambda: SyncRun.objects.filter(sync_status=Status.COMPLETED).exists(), "the sync to be finished")
    run.refresh_from_db()
    assert (run.sync_status, run.resumed_by.get().sync_status) == (Status.LOST, Status.COMPLETED)
    assert wrong(shared) == []


def test_sync_whose_process_is_killed_goes_on_at_once_in_the_same_worker(
    shared: Connection, canvas: EventfulSandbox, background: Background, wrong: Wrong
) -> None:
    run = enqueue_sync(shared, trigger=Trigger.CONSOLE)

    def kill_its_process() -> None:
        os.kill(SyncRun.objects.get().pid, signal.SIGKILL)
        connection.close()  # of the sandbox's thread, which nobody else would

    canvas.before("103/students/submissions", kill_its_process)
    background.start("worker")
    wait_for(lambda: SyncRun.objects.filter(sync_status=Status.COMPLETED).exists(), "the sync to be finished")
    run.refresh_from_db()
    assert (run.sync_status, run.resumed_by.get().sync_status) == (Status.LOST, Status.COMPLETED)
    assert wrong(shared) == []


def test_message_delivered_again_while_the_sync_runs_changes_nothing(
    shared: Connection, canvas: EventfulSandbox, background: Background, wrong: Wrong
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    canvas.before("accounts/1/users", lambda: (reached.set(), go_on.wait(60)))
    run = enqueue_sync(shared, trigger=Trigger.CONSOLE)
    background.start("worker")  # with two processes
    assert reached.wait(40)
    sync_instance.delay(run.pk)
    wait_for(lambda: waiting() == 0, "the twin to be taken")
    go_on.set()
    wait_for(lambda: SyncRun.objects.filter(sync_status=Status.COMPLETED).exists(), "the sync to end")
    assert SyncRun.objects.get() == run
    assert wrong(shared) == []


def test_queue_and_sync_outlive_a_redis_that_is_killed(
    shared: Connection, canvas: EventfulSandbox, background: Background, redis: RedisServer, wrong: Wrong
) -> None:
    run = enqueue_sync(shared, trigger=Trigger.CONSOLE)
    redis.kill()
    redis.start()
    reached, go_on = threading.Event(), threading.Event()
    canvas.before("103/students/submissions", lambda: (reached.set(), go_on.wait(60)))
    worker = background.start("worker")
    assert reached.wait(40)
    redis.kill()
    redis.start()
    go_on.set()
    wait_for(lambda: SyncRun.objects.get(pk=run.pk).sync_end_time, "the sync to end")
    assert SyncRun.objects.get().sync_status == Status.COMPLETED
    assert wrong(shared) == []
    again = enqueue_sync(shared, COURSES, trigger=Trigger.CONSOLE)

    def has_ended() -> object:
        # A worker that acknowledges just when Redis goes dies of it (kombu 5.7).
        background.start_again_if_dead(worker)  # as run_easel and systemd do
        return SyncRun.objects.get(pk=again.pk).sync_end_time

    wait_for(has_ended, "the worker to come back")
    assert SyncRun.objects.get(pk=again.pk).sync_status == Status.COMPLETED
