"""The life of a run: claimed once, written by its holder only, found when lost, sent again when unsent."""

from __future__ import annotations

import subprocess
import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from parselogs import runs
from parselogs.errors import RunActive, RunTaken
from parselogs.models import DataFile, ParseFileMeta
from parselogs.runs import State, beat, cancel, claim, close_lost, finish, parse_again, send_again
from syncmetrics.process import ThisProcess
from tests.parselogs.files import again, parsed, upload

pytestmark = pytest.mark.django_db


def changed(run: ParseFileMeta, **columns: Any) -> ParseFileMeta:
    ParseFileMeta.objects.filter(pk=run.pk).update(**columns)
    run.refresh_from_db()
    return run


def claimed(run: ParseFileMeta) -> ParseFileMeta:
    mine = claim(run.uuid)
    assert mine
    return mine


@pytest.mark.django_db(transaction=True)
def test_run_is_claimed_once_however_many_ask() -> None:
    run = upload()
    won: list[ParseFileMeta | None] = []
    together = threading.Barrier(6)

    def ask() -> None:
        together.wait()
        won.append(claim(run.uuid))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in won if one]) == 1


def test_claim_names_the_log_and_the_process() -> None:
    run = claimed(upload())
    process = ThisProcess()
    assert (run.worker_host, run.worker_pid) == (process.host, process.pid)
    assert run.log_file.name.endswith(f"/parse_logs/{run.data_file_id}/0001-{run.uuid}.log.gz")


def test_second_run_of_a_file_is_refused_while_one_is_active() -> None:
    run = upload()
    with pytest.raises(RunActive, match="cancel it"):
        again(run.data_file)
    claimed(run)
    with pytest.raises(RunActive):
        again(run.data_file)


@pytest.mark.parametrize(
    "columns",
    [
        {"state": "failed"},
        {"finished_at": timezone.now()},
        {"state": "running", "claim_token": None},
        {"log_state": "uploaded"},
    ],
    ids=["ended without an end", "an end while queued", "running unclaimed", "stored without a name"],
)
def test_contradictions_are_refused_by_the_database(columns: dict[str, Any]) -> None:
    run = upload()
    with pytest.raises(IntegrityError), transaction.atomic():
        changed(run, **columns)


def test_attempts_are_counted_once() -> None:
    run = parsed(upload())
    assert again(run.data_file).attempt == 2
    with pytest.raises(IntegrityError), transaction.atomic():
        ParseFileMeta.objects.create(
            data_file=run.data_file, attempt=1, state=State.FAILED, finished_at=timezone.now()
        )


def test_only_the_holder_of_the_claim_writes() -> None:
    run = claimed(upload())
    changed(ParseFileMeta.objects.get(pk=run.pk), claim_token=uuid.uuid4())
    with pytest.raises(RunTaken):
        beat(run)
    with pytest.raises(RunTaken):
        finish(run, State.SUCCEEDED, {})
    assert ParseFileMeta.objects.get(pk=run.pk).state == State.RUNNING


def test_results_of_a_later_run_stay_when_an_earlier_one_ends() -> None:
    first = parsed(upload())
    data_file = DataFile.objects.get()
    assert data_file.result_run == first
    second = parsed(again(data_file))
    data_file.refresh_from_db()
    assert data_file.result_run == second
    late = claimed(changed(first, state=State.QUEUED, finished_at=None))
    finish(late, State.SUCCEEDED, {})
    data_file.refresh_from_db()
    assert data_file.result_run == second


def test_failed_run_does_not_take_the_results() -> None:
    first = parsed(upload())
    second = claimed(again(first.data_file))
    finish(second, State.FAILED, {"failure_code": "crashed"})
    assert DataFile.objects.get().result_run == first


def test_queued_run_is_canceled_at_once_and_one_at_work_is_asked() -> None:
    run = upload()
    assert cancel(run)
    run.refresh_from_db()
    assert run.state == State.CANCELED
    assert claim(run.uuid) is None
    assert not cancel(run)
    at_work = claimed(again(run.data_file))
    assert cancel(at_work)
    assert beat(at_work)


def test_run_of_a_dead_process_is_lost_and_its_holder_learns_it() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    run = changed(claimed(upload()), worker_pid=gone.pid)
    assert [one.pk for one in close_lost()] == [run.pk]
    lost = ParseFileMeta.objects.get(pk=run.pk)
    assert (lost.state, lost.failure_code, lost.claim_token) == (State.LOST, "lost", None)
    assert lost.log_state == ParseFileMeta.LogState.PENDING_UPLOAD
    with pytest.raises(RunTaken):
        beat(run)


def test_run_elsewhere_is_lost_when_its_lease_is_over(settings: Any) -> None:
    run = changed(claimed(upload()), worker_host="elsewhere/1-2")
    assert close_lost() == []
    silent = timezone.now() - timedelta(seconds=settings.PARSE_LEASE_SECONDS + 1)
    changed(run, heartbeat_at=silent)
    assert close_lost() == [run]


class Broker:
    """What takes messages, or does not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        self.away = False
        monkeypatch.setattr(runs.current_app, "send_task", self._send, raising=False)

    def _send(self, name: str, args: tuple[str]) -> Any:
        if self.away:
            raise runs.OperationalError("away")
        self.sent.append(args[0])
        return type("Message", (), {"id": f"task {len(self.sent)}"})


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    return Broker(monkeypatch)


def test_run_is_sent_when_its_transaction_commits(
    broker: Broker, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        run = upload(send=True)
        assert broker.sent == []
    assert broker.sent == [str(run.uuid)]
    run.refresh_from_db()
    assert run.celery_task_id == "task 1"


def test_run_that_no_broker_takes_has_failed_and_is_sent_again(
    broker: Broker, django_capture_on_commit_callbacks: Any
) -> None:
    broker.away = True
    with django_capture_on_commit_callbacks(execute=True):
        run = upload(send=True)
    run.refresh_from_db()
    assert (run.state, run.failure_code) == (State.FAILED, "dispatch")
    assert "Redis" in run.failure_text
    assert send_again() == []
    run.refresh_from_db()
    assert (run.state, run.failure_code) == (State.FAILED, "dispatch")
    broker.away = False
    assert [one.pk for one in send_again()] == [run.pk]
    run.refresh_from_db()
    assert (run.state, run.failure_code, run.finished_at) == (State.QUEUED, "", None)
    assert parsed(run).state == State.SUCCEEDED_WITH_ERRORS


def test_run_that_failed_to_be_sent_is_left_where_a_later_one_is(
    broker: Broker, django_capture_on_commit_callbacks: Any
) -> None:
    broker.away = True
    with django_capture_on_commit_callbacks(execute=True):
        run = upload(send=True)
    broker.away = False
    again(run.data_file)
    assert send_again() == []


def test_run_that_nobody_takes_is_sent_again_after_a_while(broker: Broker, settings: Any) -> None:
    run = upload()
    assert send_again() == []
    changed(run, queued_at=timezone.now() - timedelta(seconds=settings.PARSE_QUEUE_SECONDS + 1))
    assert send_again() == [run]
    assert send_again() == []
    assert broker.sent == [str(run.uuid)]


def test_file_that_storage_did_not_give_is_parsed_again_after_ever_longer_waits(broker: Broker) -> None:
    run = claimed(upload())
    finish(run, State.FAILED, {"failure_code": "storage_unavailable"})
    assert parse_again() == []
    for tries in range(1, 9):
        minutes = 2 ** (tries - 1)
        changed(run, finished_at=timezone.now() - timedelta(minutes=minutes, seconds=-5))
        assert parse_again() == []
        changed(run, finished_at=timezone.now() - timedelta(minutes=minutes, seconds=5))
        (next_run,) = parse_again()
        assert (next_run.attempt, next_run.trigger) == (tries + 1, run.trigger)
        run = claimed(next_run)
        finish(run, State.FAILED, {"failure_code": "storage_unavailable"})
    changed(run, finished_at=timezone.now() - timedelta(days=2))
    assert parse_again() == []


def test_file_that_storage_gave_in_the_meantime_is_left_alone(broker: Broker) -> None:
    run = claimed(upload())
    finish(run, State.FAILED, {"failure_code": "storage_unavailable"})
    changed(run, finished_at=timezone.now() - timedelta(hours=1))
    parsed(again(run.data_file))
    assert parse_again() == []


def test_trigger_and_person_are_on_record() -> None:
    ada = User.objects.create_user("ada")
    run = upload(by=ada)
    assert run.triggered_by == ada
    assert run.data_file.uploaded_by == ada
