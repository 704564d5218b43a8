"""The tracker: exact under threads, over several trackers of one run, and through rollbacks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from syncmetrics import tracker as module
from syncmetrics.models import SyncCount, SyncRun
from syncmetrics.runs import RunTaken, TaskIdTaken, finish_run
from syncmetrics.serializer import ENTITIES
from syncmetrics.tracker import REASONS_KEPT, CanvasSyncMetricsTracker, SyncTracker
from tests.syncmetrics.conftest import Begin, undone

pytestmark = pytest.mark.django_db(transaction=True)


def in_threads(number: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def guarded(index: int) -> None:
        try:
            work(index)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=guarded, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def count(run: SyncRun, entity: str) -> dict[str, int]:
    return {key: number for key, number in run_counts(run, entity).items() if number}


def run_counts(run: SyncRun, entity: str) -> dict[str, int]:
    return SyncRun.objects.get(pk=run.pk).to_dict()[entity]


# --- as published ---------------------------------------------------------------------------------


def test_published_usage_works_as_written():
    tracker = CanvasSyncMetricsTracker(task_id="celery-task-123", user_id=42, sync_type="all")
    tracker.record_course(created=True)
    tracker.record_assignment(updated=True)
    tracker.record_api_call(duration_ms=125.5)
    metrics = tracker.complete_success().to_dict()

    assert (metrics["sync_task_id"], metrics["user_id"], metrics["sync_type"]) == (
        "celery-task-123",
        42,
        "all",
    )
    assert metrics["sync_status"] == "completed"
    assert metrics["courses"]["processed"] == metrics["courses"]["created"] == 1
    assert metrics["assignments"]["processed"] == metrics["assignments"]["updated"] == 1
    assert metrics["api_metrics"]["calls_made"] == 1
    assert metrics["api_metrics"]["total_duration_ms"] == 125.5


def test_published_failure_keeps_what_was_counted():
    tracker = SyncTracker(sync_type="user")
    tracker.record_course()
    metrics = tracker.complete_failure(str(ValueError("Canvas is away"))).to_dict()
    assert (metrics["sync_status"], metrics["error_message"]) == ("failed", "Canvas is away")
    assert metrics["courses"]["processed"] == 1


def test_trackers_without_an_instance_run_side_by_side():
    SyncTracker(task_id="a", user_id=1)
    SyncTracker(task_id="b", user_id=2)
    with pytest.raises(TaskIdTaken):
        SyncTracker(task_id="a", user_id=1)


@pytest.mark.parametrize("entity", ENTITIES)
def test_each_entity_has_its_method(begin: Begin, entity: str):
    tracker = SyncTracker(begin())
    singular = f"{entity.removesuffix('ies')}y" if entity.endswith("ies") else entity.removesuffix("s")
    record = getattr(tracker, f"record_{singular}")
    record(created=True)
    record(updated=True)
    record(unchanged=True)
    record(deleted=True)
    tracker.flush()
    expected = {"processed": 3, "created": 1, "updated": 1, "unchanged": 1, "deleted": 1}
    assert count(tracker.run, entity) == expected


def test_every_number_reaches_its_column(begin: Begin):
    tracker = SyncTracker(begin())
    tracker.record("modules", processed=6, created=1, updated=2, unchanged=3, deleted=4, rejected=5)
    tracker.record_grades(7)
    tracker.record_api_call(10.25, wait_ms=1.5, failed=True, rate_limited=True, retried=True)
    tracker.record_database_operation(duration_ms=2.5, operations=3, rows_written=11)
    values = tracker.complete_partial("Two steps failed.").to_dict()

    expected = {"processed": 6, "created": 1, "updated": 2, "unchanged": 3, "deleted": 4, "rejected": 5}
    assert values["modules"] == expected
    assert values["grades_processed"] == 7
    assert values["api_metrics"] == {
        "calls_made": 1,
        "calls_failed": 1,
        "total_duration_ms": 10.25,
        "wait_ms": 1.5,
        "rate_limit_hits": 1,
        "retries": 1,
    }
    assert values["database"] == {"operations": 3, "duration_ms": 2.5, "rows_written": 11}
    assert (values["sync_status"], values["error_message"]) == ("partial", "Two steps failed.")


def test_failure_keeps_the_class_of_an_exception(begin: Begin):
    run = SyncTracker(begin()).complete_failure(PermissionError("token refused"))
    assert (run.error_class, run.error_message) == ("PermissionError", "token refused")


# --- exact ----------------------------------------------------------------------------------------


def test_eight_threads_lose_nothing(begin: Begin):
    tracker = SyncTracker(begin())

    def work(index: int) -> None:
        for turn in range(10_000):
            tracker.record_submission(created=turn % 2 == 0)
            tracker.record_api_call(duration_ms=0.5)

    in_threads(8, work)
    values = tracker.complete_success().to_dict()
    assert values["submissions"]["processed"] == 80_000
    assert values["submissions"]["created"] == 40_000
    assert values["api_metrics"]["calls_made"] == 80_000
    assert values["api_metrics"]["total_duration_ms"] == 40_000.0


def test_two_trackers_of_one_run_flush_at_once_and_add_up(begin: Begin):
    run = begin()

    def work(index: int) -> None:
        tracker = SyncTracker(SyncRun.objects.get(pk=run.pk))
        for _ in range(20):
            tracker.record("courses", processed=1, created=1)
            tracker.record("users", processed=2)
            tracker.record_api_call(duration_ms=1)
            tracker.flush()

    in_threads(2, work)
    assert count(run, "courses") == {"processed": 40, "created": 40}
    assert count(run, "users") == {"processed": 80}
    run.refresh_from_db()
    assert (run.api_calls_made, run.total_api_duration_ms) == (40, 40.0)


def test_threads_that_record_while_another_flushes_lose_nothing(begin: Begin):
    tracker = SyncTracker(begin())
    ended = threading.Event()

    def work(index: int) -> None:
        if index == 0:
            while not ended.is_set():
                tracker.flush()
            return
        for _ in range(5_000):
            tracker.record_user()
        if index == 1:
            ended.set()

    in_threads(4, work)
    tracker.flush()
    assert count(tracker.run, "users") == {"processed": 15_000}


def test_flush_without_news_adds_nothing_but_a_sign_of_life(begin: Begin):
    with time_machine.travel(datetime(2026, 3, 1, tzinfo=UTC), tick=False) as clock:
        tracker = SyncTracker(begin())
        tracker.record_course()
        tracker.flush()
        clock.shift(30)
        tracker.flush()
        assert count(tracker.run, "courses") == {"processed": 1}
        assert SyncRun.objects.get().heartbeat_at == timezone.now()


def test_two_flushes_in_one_transaction_write_once(begin: Begin):
    tracker = SyncTracker(begin())
    with transaction.atomic():
        tracker.record_course()
        tracker.flush()
        assert tracker.pending() == {}
        tracker.record_course()
        tracker.flush()
    assert tracker.pending() == {}
    assert count(tracker.run, "courses") == {"processed": 2}


# --- through rollbacks ----------------------------------------------------------------------------


def test_rolled_back_flush_comes_back_and_is_written_once(begin: Begin):
    tracker = SyncTracker(begin())
    tracker.record_course(created=True)
    tracker.record_api_call(duration_ms=2)
    with undone(transaction.atomic()):
        tracker.flush()
        assert tracker.pending() == {}
    assert tracker.pending() == {
        "courses.processed": 1,
        "courses.created": 1,
        "api_calls_made": 1,
        "total_api_duration_ms": 2,
    }
    assert count(tracker.run, "courses") == {}

    tracker.record_course()
    tracker.flush()
    tracker.flush()
    assert count(tracker.run, "courses") == {"processed": 2, "created": 1}
    assert tracker.pending() == {}


def test_flush_rolled_back_to_a_savepoint_comes_back(begin: Begin):
    tracker = SyncTracker(begin())
    with transaction.atomic():
        tracker.record_course()
        tracker.flush()
        with undone(transaction.atomic()):
            tracker.record_course()
            tracker.flush()
        assert tracker.pending() == {"courses.processed": 1}
        tracker.flush()
    assert count(tracker.run, "courses") == {"processed": 2}


def test_counts_of_a_thread_that_failed_and_ended_come_back(begin: Begin):
    tracker = SyncTracker(begin())

    def work(index: int) -> None:
        tracker.record_course()
        with undone(transaction.atomic()):
            tracker.flush()

    in_threads(2, work)
    assert tracker.complete_failure("both failed").to_dict()["courses"]["processed"] == 2


def test_database_error_in_the_batch_loses_nothing(begin: Begin):
    tracker = SyncTracker(begin())
    tracker.record_course()

    def batch() -> None:
        with transaction.atomic():
            tracker.flush()
            SyncRun.objects.create(sync_task_id=tracker.run.sync_task_id)

    with pytest.raises(IntegrityError):
        batch()
    tracker.flush()
    assert count(tracker.run, "courses") == {"processed": 1}


@pytest.mark.parametrize("outer", [True, False])
def test_flush_that_fails_itself_loses_nothing(begin: Begin, monkeypatch: pytest.MonkeyPatch, outer: bool):
    tracker = SyncTracker(begin())
    tracker.record_course()
    flush = transaction.atomic(tracker.flush) if outer else tracker.flush
    with monkeypatch.context() as patch:
        patch.setattr(module, "_keep_reasons", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            flush()
    assert count(tracker.run, "courses") == {}
    tracker.flush()
    assert count(tracker.run, "courses") == {"processed": 1}


def test_batch_keeps_rows_and_counts_together(begin: Begin):
    tracker = SyncTracker(begin())
    with tracker.batch():
        SyncRun.objects.create(sync_task_id="row")
        tracker.record_course(created=True)
        tracker.record_database_operation(duration_ms=1, rows_written=1)
    assert SyncRun.objects.filter(sync_task_id="row").exists()
    assert count(tracker.run, "courses") == {"processed": 1, "created": 1}
    tracker.run.refresh_from_db()
    assert tracker.run.db_rows_written == 1


def test_batch_that_rolls_back_drops_its_rows_counts_and_keeps_what_happened(begin: Begin):
    tracker = SyncTracker(begin())
    tracker.record_user()
    with undone(tracker.batch()):
        SyncRun.objects.create(sync_task_id="row")
        tracker.record_course(created=True)
        tracker.record_grades(5)
        tracker.record_rejection("courses", 3, "no name")
        tracker.record_api_call(duration_ms=8)
        tracker.record_database_operation(duration_ms=1, rows_written=1)
        tracker.flush()
    assert not SyncRun.objects.filter(sync_task_id="row").exists()
    assert tracker.pending() == {
        "users.processed": 1,
        "api_calls_made": 1,
        "total_api_duration_ms": 8,
        "db_operations": 1,
        "db_duration_ms": 1,
    }

    with tracker.batch():
        tracker.record_course(created=True)
    values = tracker.complete_success().to_dict()
    assert values["courses"]["created"] == values["users"]["processed"] == 1
    assert values["courses"]["rejected"] == values["grades_processed"] == 0
    assert values["database"] == {"operations": 1, "duration_ms": 1.0, "rows_written": 0}


def test_batch_of_one_thread_leaves_those_of_others_alone(begin: Begin):
    tracker = SyncTracker(begin())
    with undone(tracker.batch()):
        tracker.record_course()
        in_threads(1, lambda index: tracker.record_course())
    assert tracker.pending() == {"courses.processed": 1}


def test_batch_within_a_batch_goes_alone(begin: Begin):
    tracker = SyncTracker(begin())
    with tracker.batch():
        tracker.record_course()
        with undone(tracker.batch()):
            tracker.record_course()
    assert count(tracker.run, "courses") == {"processed": 1}


# --- rejected records -----------------------------------------------------------------------------


def test_rejections_are_all_counted_and_the_first_reasons_kept(begin: Begin):
    run = begin()
    first, second = SyncTracker(run), SyncTracker(run)
    for number in range(REASONS_KEPT - 50):
        first.record_rejection("users", number, "id out of range")
    for number in range(REASONS_KEPT + 50):
        second.record_rejection("users", f"b{number}", "id out of range")
    second.record_rejection("courses", None, "not an object")
    first.flush()
    second.flush()
    assert count(run, "users") == {"rejected": 2 * REASONS_KEPT}
    assert run.rejections.filter(entity="users").count() == REASONS_KEPT
    assert run.rejections.filter(entity="courses").count() == 1
    assert run.rejections.first().record_id == "0"


def test_reasons_are_fit_to_store_and_hold_no_secret(begin: Begin):
    tracker = SyncTracker(begin())
    token = "7~" + "abcd1234" * 8
    tracker.record_rejection("users", "1\0" + "9" * 400, f"NUL \0 and half \ud800 a pair, token {token}")
    tracker.flush()
    kept = tracker.run.rejections.get()
    assert len(kept.record_id) == 255
    assert token not in kept.reason
    assert not {"\0", "\ud800"} & set(kept.record_id + kept.reason)


# --- a run that is not ours any more --------------------------------------------------------------


def test_flush_of_a_taken_run_keeps_nothing_of_its_batch(begin: Begin):
    run = begin()
    tracker = SyncTracker(SyncRun.objects.get(pk=run.pk))
    finish_run(run, "cancelled")
    tracker.record_course()

    def batch() -> None:
        with transaction.atomic():
            SyncRun.objects.create(sync_task_id="row")
            tracker.flush()

    with pytest.raises(RunTaken):
        batch()
    assert not SyncRun.objects.filter(sync_task_id="row").exists()
    assert not SyncCount.objects.exists()
    with pytest.raises(RunTaken):
        tracker.complete_success()
    assert SyncRun.objects.get(pk=run.pk).sync_status == "cancelled"


# --- signs of life --------------------------------------------------------------------------------


def test_tracker_of_its_own_run_shows_life_by_itself(settings: Any, monkeypatch: pytest.MonkeyPatch):
    tracker = SyncTracker(task_id="a")
    old = timezone.now() - timedelta(seconds=500)
    SyncRun.objects.update(heartbeat_at=old)
    tracker.record_course()
    assert SyncRun.objects.get().heartbeat_at == old

    later = module.monotonic() + settings.SYNC_LEASE_SECONDS / 4 + 1
    monkeypatch.setattr(module, "monotonic", lambda: later)
    in_threads(1, lambda index: tracker.record_course())
    assert SyncRun.objects.get().heartbeat_at == old, "the thread that made it writes, no other"
    tracker.record_course()
    assert SyncRun.objects.get().heartbeat_at > old
    assert count(tracker.run, "courses") == {"processed": 3}


def test_tracker_of_a_given_run_writes_when_told_only(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    tracker = SyncTracker(begin())
    monkeypatch.setattr(module, "monotonic", lambda: 10.0**9)
    tracker.record_course()
    assert not SyncCount.objects.exists()
