"""Syncs that are killed, interrupted, cancelled or taken over, and how the next one goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from canvas.connect import connect
from canvas.models import Assignment, Connection, Submission
from canvas.progress import Progress
from canvas.sync import SyncOptions, UsageError, sync
from syncmetrics.models import SyncRun
from syncmetrics.runs import RunActive, request_cancel
from tests.canvas.comparison import Copy, read_copy
from tests.canvas.conftest import Ended, EventfulSandbox
from tests.installation import CHILD_VARIABLES

Wrong = Callable[..., list[str]]
Start = Callable[..., subprocess.Popen[str]]
Status = SyncRun.Status
MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
PATIENCE_SECONDS = 30


def database_url() -> str:
    """The address of the test's own database, for other processes."""
    name = database.settings_dict["NAME"]
    if database.vendor == "sqlite":
        return f"sqlite:///{name}"
    return os.environ["DATABASE_URL"].replace("@/postgres?", f"@/{name}?")


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts `manage.py sync_canvas` on the test's database as its own process."""
    running = []
    site = {name: os.environ[name] for name in (*CHILD_VARIABLES, "EASEL_VAR_DIR") if name in os.environ}
    site |= {"EASEL_ENV_FILE": os.devnull, "DATABASE_URL": database_url(), "CANVAS_BATCH_ROWS": "10"}

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(MANAGE), "sync_canvas", *arguments],
            env=site,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def shared(transactional_db: None, canvas: EventfulSandbox) -> Connection:
    """A connection that other processes see too."""
    return connect(name="main", base_url=canvas.url, token=canvas.token)[0]


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, out, err


def asked_again(run: SyncRun, canvas: EventfulSandbox) -> set[str]:
    """Completed steps of a run whose listings are among the sandbox's latest requests."""
    account_wide = {"accounts": "sub_accounts", "terms": "terms", "users": "users", "courses": "courses"}
    asked = {entry["path"] for entry in canvas.requests()}
    done = run.steps.filter(state="completed").values_list("key", flat=True)
    return {
        key
        for key in done
        if f"/api/v1/accounts/1/{account_wide.get(key)}" in asked
        or any(path.startswith(f"/api/v1/courses/{key[-3:]}/") for path in asked)
    }


def without_stamps(copy: Copy) -> Copy:
    return {
        name: {
            key: {column: value for column, value in row.items() if column not in ("as_of", "deleted_at")}
            for key, row in rows.items()
        }
        for name, rows in copy.items()
    }


# --- other processes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["accounts/1/users", "103/students/submissions"])
def test_killed_sync_is_taken_up_at_once_and_ends_as_if_nothing_happened(
    where: str,
    shared: Connection,
    canvas: EventfulSandbox,
    wrong: Wrong,
    start: Start,
    command: Callable[..., Ended],
) -> None:
    process = start("--concurrency", "1")
    canvas.before(where, lambda: (process.kill(), process.wait()))
    assert ended(process)[0] == -signal.SIGKILL
    killed = SyncRun.objects.get()
    assert killed.sync_status == Status.IN_PROGRESS  # nobody was left to say otherwise
    assert not [line for line in wrong(shared) if not line.endswith("missing")]

    canvas.clear_requests()
    after = command("sync_canvas", "--json")
    assert after.status == 0
    result = json.loads(after.out)
    assert (result["resumed_from"], result["mode"], result["sync_status"]) == (killed.pk, "full", "completed")
    assert f"Going on where run {killed.pk} stopped." in after.err
    killed.refresh_from_db()
    assert (killed.sync_status, killed.error_class) == (Status.LOST, "ProcessGone")
    assert "start it again to go on" in (killed.error_message or "")
    assert not asked_again(killed, canvas)
    assert wrong(shared) == []

    resumed = without_stamps(read_copy(shared.instance))
    run = sync(shared, SyncOptions(mode="full"))
    assert run.db_rows_written == 0
    assert without_stamps(read_copy(shared.instance)) == resumed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_sync_is_cancelled_and_says_how_to_go_on(
    number: signal.Signals, shared: Connection, canvas: EventfulSandbox, wrong: Wrong, start: Start
) -> None:
    process = start("--json", "--concurrency", "2")
    canvas.before("103/students/submissions", lambda: process.send_signal(number))
    canvas.set_faults([{"kind": "timeout", "seconds": 20, "path": "103/students/submissions"}])
    status, out, err = ended(process)
    assert status == 130, err
    run = SyncRun.objects.get()
    assert run.sync_status == Status.CANCELLED
    assert json.loads(out)["sync_status"] == "cancelled"
    assert f"Interrupted. Go on with: manage.py sync_canvas --resume {run.pk}" in err
    assert "Traceback" not in err

    canvas.set_faults()
    canvas.clear_requests()
    done = sync(shared, resume=run)
    assert (done.sync_status, done.resumed_from) == (Status.COMPLETED, run)
    assert not asked_again(run, canvas)
    assert wrong(shared) == []


def test_second_sync_at_the_same_time_is_told_so_and_leaves(
    shared: Connection, canvas: EventfulSandbox, wrong: Wrong, start: Start
) -> None:
    arrived, go_on = threading.Event(), threading.Event()
    canvas.before("accounts/1/users", lambda: (arrived.set(), go_on.wait(PATIENCE_SECONDS)))
    first = start()
    try:
        assert arrived.wait(PATIENCE_SECONDS)
        status, out, err = ended(start("--json"))
    finally:
        go_on.set()
    assert (status, out) == (1, "")
    run = SyncRun.objects.get()
    assert err.startswith(f"CommandError: Run {run.pk} (main) is already at work: started ")
    assert "Wait for it, or stop it with Ctrl-C where it runs" in err
    assert len(err.splitlines()) == 1
    assert ended(first)[0] == 0
    assert wrong(shared) == []


def test_new_assignment_of_a_killed_incremental_sync_is_not_forgotten(
    shared: Connection, canvas: EventfulSandbox, wrong: Wrong, start: Start
) -> None:
    sync(shared)
    new = canvas.edit("new_assignment", course_id=101)["target"]["assignment_id"]
    process = start("--incremental", "--concurrency", "1", "--course", "101")
    canvas.before("assignment_ids", lambda: (process.kill(), process.wait()))
    assert ended(process)[0] == -signal.SIGKILL
    assert Assignment.objects.filter(canvas_id=new).exists()  # seen and stored before the kill
    assert not Submission.objects.filter(assignment__canvas_id=new).exists()
    run = sync(shared, SyncOptions(mode="incremental"))  # no resumption: a sync of everything
    assert run.resumed_from is None
    assert Submission.objects.filter(assignment__canvas_id=new).count() > 5
    assert wrong(shared) == []


# --- in this process ---------------------------------------------------------------------------------


class Meddling(Progress):
    """Does something, once, when the course of this number begins."""

    def __init__(self, number: int, action: Callable[[], Any]) -> None:
        self._number = number
        self._action = action

    def course_started(self, number: int, courses: int, name: str) -> None:
        if number == self._number:
            self._action()


def test_submissions_of_a_new_assignment_that_failed_come_with_the_next_sync(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    new = canvas.edit("new_assignment", course_id=101)["target"]["assignment_id"]
    canvas.set_faults("500@assignment_ids")
    assert sync(connection).sync_status == Status.PARTIAL
    assert not Submission.objects.filter(assignment__canvas_id=new).exists()
    canvas.set_faults()
    assert sync(connection).mode == "incremental"
    assert wrong(connection) == []


def test_partial_run_is_resumed_with_what_failed_only(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.set_faults("500@courses/10[23]/sections")
    run = sync(connection)
    assert run.sync_status == Status.PARTIAL
    failed = run.steps.filter(state="failed")
    assert (run.error_message or "").startswith("2 of 9 steps failed (")
    assert all(step.title in (run.error_message or "") for step in failed)
    assert failed[0].error_message.partition(" for ")[0] in (run.error_message or "")
    canvas.set_faults()
    canvas.clear_requests()
    done = sync(connection, resume=run)
    assert (done.sync_status, done.mode, done.resumed_from) == (Status.COMPLETED, "full", run)
    paths = {entry["path"] for entry in canvas.requests()} - {"/api/v1/users/self", "/api/v1/accounts"}
    # Groups of courses 102 and 103 have ids of their own.
    assert {path.split("/")[4] for path in paths if "/groups/" not in path} == {"102", "103"}
    assert {path.split("/")[4][:4] for path in paths if "/groups/" in path} == {"6501", "6502"}
    assert wrong(connection) == []
    assert done.steps.count() == 2


def test_run_asked_to_stop_ends_cancelled_and_can_be_resumed(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong, settings: Any
) -> None:
    settings.CANVAS_BATCH_ROWS = 5
    run = sync(connection, progress=Meddling(2, lambda: request_cancel(SyncRun.objects.get())))
    assert (run.sync_status, run.error_class) == (Status.CANCELLED, "CancelRequested")
    assert not run.steps.filter(state="in_progress").exists()
    done = sync(connection, resume=run)
    assert done.sync_status == Status.COMPLETED
    assert wrong(connection) == []


def test_run_taken_by_another_process_writes_nothing_more(
    shared: Connection, canvas: EventfulSandbox, settings: Any
) -> None:
    settings.CANVAS_BATCH_ROWS = 5

    def take() -> None:
        SyncRun.objects.update(sync_status=Status.LOST, sync_end_time=timezone.now())
        stored.append(read_copy(shared.instance))

    stored: list[Copy] = []
    run = sync(shared, progress=Meddling(2, take))
    assert run.sync_status == Status.LOST
    assert [read_copy(shared.instance)] == stored


def test_interrupt_marks_the_run_and_reaches_the_caller(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sync(connection, progress=Meddling(1, interrupt))
    run = SyncRun.objects.get()
    assert run.sync_status == Status.CANCELLED
    assert "--resume" in (run.error_message or "")
    assert sync(connection, resume=run).sync_status == Status.COMPLETED
    assert wrong(connection) == []


def test_fault_of_our_own_is_recorded_and_raised(connection: Connection, canvas: EventfulSandbox) -> None:
    def stumble() -> None:
        raise ZeroDivisionError("a mistake")

    with pytest.raises(ZeroDivisionError):
        sync(connection, progress=Meddling(1, stumble))
    run = SyncRun.objects.get()
    assert (run.sync_status, run.error_class, run.error_message) == (
        Status.FAILED,
        "ZeroDivisionError",
        "a mistake",
    )


def lost_elsewhere(connection: Connection, **changes: Any) -> SyncRun:
    """A full run of another machine, without a sign of life for ten minutes."""
    then = timezone.now() - timedelta(minutes=10)
    defaults = {
        "instance_key": connection.instance_id,
        "connection_key": connection.pk,
        "connection_name": connection.name,
        "options": SyncOptions().as_json(),
        "mode": "full",
        "host": "another machine",
        "pid": 1,
        "sync_start_time": then,
        "heartbeat_at": then,
    }
    return SyncRun.objects.create(**(defaults | changes))


def test_run_of_another_machine_is_waited_for_until_its_lease_ends(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    run = lost_elsewhere(connection, heartbeat_at=timezone.now())
    with pytest.raises(RunActive, match=f"Run {run.pk}"):
        sync(connection)
    SyncRun.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=121))
    done = sync(connection)
    run.refresh_from_db()
    assert (run.sync_status, run.error_class) == (Status.LOST, "LeaseEnded")
    assert (done.sync_status, done.resumed_from) == (Status.COMPLETED, run)


TERMS = frozenset({"terms"})


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"sync_start_time": timezone.now() - timedelta(hours=25)}, SyncOptions(TERMS)),
        ({}, SyncOptions(TERMS, mode="incremental")),
        ({}, SyncOptions(TERMS | {"accounts"})),
        ({}, SyncOptions(TERMS, term_scope="active")),
        ({}, SyncOptions(TERMS, dry_run=True)),
        ({"dry_run": True}, SyncOptions(TERMS)),
        ({"connection_key": 999}, SyncOptions(TERMS)),
        ({"sync_status": Status.FAILED, "sync_end_time": timezone.now()}, SyncOptions(TERMS)),
    ],
    ids=["old", "mode", "models", "term", "dry", "was dry", "connection", "failed"],
)
def test_lost_run_of_another_kind_or_day_is_not_taken_up(
    changes: dict[str, Any], options: SyncOptions, connection: Connection, canvas: EventfulSandbox
) -> None:
    lost = {"options": SyncOptions(TERMS).as_json()}
    lost_elsewhere(connection, **(lost | changes))
    done = sync(connection, options)
    assert (done.sync_status, done.resumed_from) == (Status.COMPLETED, None)


def test_only_unfinished_runs_of_the_same_connection_are_resumed(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    run = sync(connection)
    with pytest.raises(UsageError, match=f"Run {run.pk} is Completed: there is nothing to resume"):
        sync(connection, resume=run)
    other, _ = connect(name="other", base_url=canvas.url, token=canvas.tokens["teacher"])
    with pytest.raises(UsageError, match="belongs to connection 'main': name that one"):
        sync(other, resume=run)
    assert SyncRun.objects.count() == 1


def test_runs_resumed_one_after_the_other_do_each_step_once(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.set_faults("500@courses/10[1-5]/sections")
    runs = [sync(connection)]
    for number in "12345":
        canvas.set_faults(f"500@courses/10[{int(number) + 1}-6]/sections")
        runs.append(sync(connection, resume=runs[-1]))
    assert (runs[0].sync_status, runs[-1].sync_status) == (Status.PARTIAL, Status.COMPLETED)
    assert [run.steps.filter(state="completed").count() for run in runs[1:]] == [1] * 5
    assert wrong(connection) == []
