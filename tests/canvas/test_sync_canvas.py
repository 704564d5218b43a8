"""The `sync_canvas` command: arguments, exit status, what it prints and what it never prints."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection as database

from canvas.connect import connect
from canvas.models import Connection, Course, Enrollment, Submission
from canvas.resources import RESOURCES
from syncmetrics.models import SyncRun
from tests.canvas.comparison import MODELS
from tests.canvas.conftest import Ended, EventfulSandbox

Command = Callable[..., Ended]
Wrong = Callable[..., list[str]]
Status = SyncRun.Status

pytestmark = pytest.mark.usefixtures("secrecy")

# What people script against (the published keys; more may be added).
RUN_KEYS = {
    "id", "sync_task_id", "user_id", "sync_type", "sync_start_time", "sync_end_time",
    "total_duration_seconds", "sync_status", "error_message", "connection", "mode", "resumed_from",
    "courses", "assignments", "submissions", "users", "assignment_groups", "sections", "enrollments",
    "accounts", "terms", "api_metrics", "database",
}  # fmt: skip
COUNT_KEYS = {"processed", "created", "updated", "unchanged", "deleted", "rejected"}
API_KEYS = {"calls_made", "calls_failed", "total_duration_ms", "wait_ms", "rate_limit_hits", "retries"}
DATABASE_KEYS = {"operations", "duration_ms", "rows_written"}


# --- what it prints ----------------------------------------------------------------------------------


def test_completed_sync_exits_0_and_ends_with_a_line_that_makes_sense_alone(
    connection: Connection, command: Command
) -> None:
    ended = command("sync_canvas")
    assert ended.status == 0
    run = SyncRun.objects.get()
    assert run.trigger == "command"
    *counts, last = ended.out.splitlines()
    numbers = f"625 rows, {run.api_calls_made} requests, 632 rows written"
    assert re.fullmatch(rf"Run {run.pk} completed \(full\): {numbers}, [\d.]+ s\.", last)
    assert "courses: 5 processed, 5 created, 1 deleted" in counts
    assert [line.partition(":")[0] for line in counts] == list(RESOURCES)


def test_progress_names_every_course_and_every_ten_assignments(
    connection: Connection, command: Command, canvas: EventfulSandbox
) -> None:
    for _ in range(4):
        canvas.edit("new_assignment", course_id=101)
    ended = command("sync_canvas")
    started = re.findall(r"^\[(\d)/5\] Syncing course: (.+)$", ended.err, re.MULTILINE)
    assert [number for number, _ in started] == list("12345")
    assert {name for _, name in started} == {
        row["name"] for row in canvas.rows("courses") if row["workflow_state"] != "deleted"
    }
    name = Course.objects.get(canvas_id=101).name
    assert f"  {name}: submissions of 11/11 assignments\n" in ended.err
    assert "Syncing" not in ended.out


def test_failed_course_is_named_in_progress(
    connection: Connection, command: Command, canvas: EventfulSandbox
) -> None:
    canvas.set_faults("forbidden@courses/102/sections")
    ended = command("sync_canvas")
    name = Course.objects.get(canvas_id=102).name
    assert re.search(rf"^\[\d/5\] Failed: {name}: The token may not read", ended.err, re.MULTILINE)


def test_json_is_one_object_with_the_published_keys_and_nothing_else(
    connection: Connection, command: Command
) -> None:
    ended = command("sync_canvas", "--json")
    assert ended.status == 0
    assert ended.out.count("\n") == 1
    result = json.loads(ended.out)
    assert set(result) >= RUN_KEYS
    for entity in RESOURCES:
        assert set(result[entity]) == COUNT_KEYS
    assert set(result["api_metrics"]) == API_KEYS
    assert set(result["database"]) == DATABASE_KEYS
    assert result["sync_status"] == "completed"
    assert result["connection"] == "main"
    assert (result["mode"], result["resumed_from"], result["error_message"]) == ("full", None, None)
    assert result["submissions"]["processed"] == 209
    assert result == SyncRun.objects.get().to_dict()
    assert "Syncing course" in ended.err


@pytest.mark.parametrize(
    ("fault", "state"), [("500@courses/101/sections", "partial"), ("500@accounts/1/courses", "failed")]
)
def test_failed_and_partial_syncs_exit_1_and_say_why(
    fault: str, state: str, connection: Connection, command: Command, canvas: EventfulSandbox
) -> None:
    canvas.set_faults(fault)
    ended = command("sync_canvas", "--json")
    assert ended.status == 1
    result = json.loads(ended.out)
    assert result["sync_status"] == state
    assert "Canvas answers 500" in result["error_message"]
    assert result["error_message"] in ended.err


def test_dry_run_says_that_nothing_was_written(connection: Connection, command: Command) -> None:
    ended = command("sync_canvas", "--dry-run")
    assert ended.status == 0
    assert "(full, dry run: nothing was written): 625 rows" in ended.out
    assert "0 rows written" in ended.out
    assert not any(model._default_manager.exists() for model in MODELS.values())


def test_options_reach_the_sync(connection: Connection, command: Command, wrong: Wrong) -> None:
    ended = command(
        "sync_canvas", "--connection", "main", "--models", "enrollments, courses", "--course", "101",
        "--course", "7~102", "--full", "--concurrency", "2", "--json",
    )  # fmt: skip
    result = json.loads(ended.out)
    assert (ended.status, result["mode"], result["sync_type"]) == (0, "full", "course")
    assert set(Enrollment.objects.values_list("course__canvas_id", flat=True)) == {101, 102}
    assert not Submission.objects.exists()
    assert json.loads(command("sync_canvas", "--term-scope", "3", "--json").out)["mode"] == "full"
    assert Submission.objects.exists()
    assert set(Submission.objects.values_list("course__canvas_id", flat=True)) == {104}
    incremental = command("sync_canvas", "--incremental", "--json")
    assert json.loads(incremental.out)["mode"] == "incremental"
    assert wrong(connection) == []


def test_resume_option_goes_on(
    connection: Connection, command: Command, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.set_faults("500@courses/101/sections")
    first = json.loads(command("sync_canvas", "--json").out)
    canvas.set_faults()
    ended = command("sync_canvas", "--resume", str(first["id"]))
    assert ended.status == 0
    assert f"(full, resumed from run {first['id']})" in ended.out
    assert wrong(connection) == []


def test_token_that_sees_nothing_is_no_silent_success(
    db: None, command: Command, canvas: EventfulSandbox
) -> None:
    connect(name="narrow", base_url=canvas.url, token=canvas.tokens["narrow"])
    ended = command("sync_canvas")
    assert "this token sees no course here: check whose it is" in ended.err
    assert Course.objects.count() == 0


# --- wrong usage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--connection", "nobody"), "There is no connection 'nobody'. Known are main."),
        (("--models", "courses,wikis"), "Unknown models: wikis. Known are accounts, terms,"),
        (("--models", " , "), "--models is empty: name some of accounts,"),
        (("--course", "history"), "'history' is no course id: write 42, 123~42 or sis_course_id:X."),
        (("--term-scope", "spring"), "'spring' is no term id: write 42, 123~42 or sis_term_id:X."),
        (("--concurrency", "0"), "--concurrency takes a number from 1 to 100."),
        (("--concurrency", "101"), "--concurrency takes a number from 1 to 100."),
        (("--resume", "99"), "There is no run 99."),
    ],
)
def test_wrong_usage_exits_2_with_one_sentence(
    arguments: tuple[str, ...], says: str, connection: Connection, command: Command
) -> None:
    ended = command("sync_canvas", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert says in ended.err
    assert not SyncRun.objects.exists()


def test_resuming_a_completed_run_is_wrong_usage(connection: Connection, command: Command) -> None:
    command("sync_canvas", "--models", "terms")
    ended = command("sync_canvas", "--resume", str(SyncRun.objects.get().pk))
    assert ended.status == 2
    assert "there is nothing to resume" in ended.err


def test_no_connection_and_several_connections_are_said(
    db: None, command: Command, canvas: EventfulSandbox
) -> None:
    ended = command("sync_canvas")
    assert ended.status == 2
    assert "No Canvas is connected yet: run manage.py connect_canvas first." in ended.err
    for name in ("teacher", "student"):
        connect(name=name, base_url=canvas.url, token=canvas.tokens[name])
    ended = command("sync_canvas")
    assert ended.status == 2
    assert "Name a connection with --connection: " in ended.err
    assert command("sync_canvas", "--connection", "student", "--models", "courses").status == 0


def test_unknown_course_exits_1(connection: Connection, command: Command) -> None:
    ended = command("sync_canvas", "--course", "999")
    assert ended.status == 1
    assert "Canvas has no courses/999" in ended.err


@pytest.mark.sqlite
def test_contradiction_exits_2_on_the_command_line(
    manage: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = manage("sync_canvas", "--full", "--incremental")
    assert done.returncode == 2
    assert "error: " in done.stderr


# --- what the machine does ---------------------------------------------------------------------------


def test_token_that_no_key_decrypts_is_one_sentence(
    connection: Connection, command: Command, settings: Any
) -> None:
    settings.CANVAS_TOKEN_KEYS = [Fernet.generate_key().decode()]
    ended = command("sync_canvas")
    assert ended.status == 1
    assert "put the key it was encrypted with back into CANVAS_TOKEN_KEYS" in ended.err
    assert SyncRun.objects.get().sync_status == Status.FAILED


@pytest.fixture
def stored(transactional_db: None, canvas: EventfulSandbox) -> Connection:
    """A connection outside of any test transaction."""
    return connect(name="main", base_url=canvas.url, token=canvas.token)[0]


@pytest.fixture
def read_only(stored: Connection) -> Iterator[None]:
    """A database that refuses every write."""
    switch = {
        "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
        "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
    }[database.vendor]
    with database.cursor() as cursor:
        cursor.execute(switch[0])
        yield
        cursor.execute(switch[1])


def test_read_only_database_is_one_sentence(read_only: None, command: Command) -> None:
    ended = command("sync_canvas", "--json")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("CommandError: The database cannot be written: ")
    assert re.search("read-?only", ended.err)
    assert len(ended.err.splitlines()) == 1
    assert not SyncRun.objects.exists()


@pytest.fixture
def room(stored: Connection) -> Iterator[Callable[[bool], None]]:
    """Return a function that lets the database's disk be full, or empty again."""
    cursor = database.cursor()

    def sqlite(full: bool) -> None:
        if full:
            cursor.execute("VACUUM")  # rows of earlier tests left free pages behind
        pages = cursor.execute("PRAGMA page_count").fetchone()[0] + 8 if full else 1_000_000
        cursor.execute(f"PRAGMA max_page_count = {pages}")

    def postgresql(full: bool) -> None:
        for table in ("canvas_submission", "syncmetrics_syncrun"):
            cursor.execute(f"DROP TRIGGER IF EXISTS no_room ON {table}")
        if full:
            cursor.execute(
                "CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
            )
            cursor.execute(
                "CREATE TRIGGER no_room BEFORE INSERT ON canvas_submission EXECUTE FUNCTION no_room()"
            )
            cursor.execute(
                "CREATE TRIGGER no_room BEFORE UPDATE OF sync_status ON syncmetrics_syncrun"
                " EXECUTE FUNCTION no_room()"
            )

    switch = {"sqlite": sqlite, "postgresql": postgresql}[database.vendor]
    yield switch
    switch(False)


def test_disk_full_mid_run_is_one_sentence_and_the_next_sync_marks_it_lost_and_goes_on(
    stored: Connection, room: Callable[[bool], None], command: Command, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    command("sync_canvas", "--models", "terms")
    room(True)
    ended = command("sync_canvas")
    assert ended.status == 1
    assert "CommandError: The database cannot be written: " in ended.err
    assert re.search("disk is full|No space left", ended.err)
    assert "Traceback" not in ended.err
    assert SyncRun.objects.count() == 2
    room(False)
    for run in SyncRun.objects.filter(sync_status=Status.IN_PROGRESS):
        SyncRun.objects.filter(pk=run.pk).update(pid=2**22 + 1)  # its process is gone by now
    after = command("sync_canvas", "--json")
    assert after.status == 0
    assert not SyncRun.objects.filter(sync_status=Status.IN_PROGRESS).exists()
    assert wrong(stored) == []
