"""What a sync says in its logs: exactly what happened, and what its rows say."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command

from canvas.connect import check_connection, connect
from canvas.errors import CanvasError
from canvas.models import Connection, Course, User
from canvas.sync import SyncOptions, sync
from easel.events import COMMON, EVENTS, LOGS
from logmonitor.lines import line_of
from syncmetrics.events import LOGGER_PREFIX
from syncmetrics.models import SyncRun
from syncmetrics.runs import close_lost_runs, start_run
from syncmetrics.tracker import SyncTracker

pytestmark = pytest.mark.django_db(transaction=True)

Told = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def told() -> Iterator[Told]:
    """Return a function that gives the lines of some events, as files would have them."""
    lines: list[dict[str, Any]] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = json.loads(line_of(record))
            assert EVENTS[line["event"]].log == record.name.removeprefix(LOGGER_PREFIX)
            lines.append(line)

    listener = Listener()
    loggers = [logging.getLogger(LOGGER_PREFIX + log) for log in LOGS]
    for logger in loggers:
        logger.addHandler(listener)
    yield lambda *events: [line for line in lines if not events or line["event"] in events]
    for logger in loggers:
        logger.removeHandler(listener)


@pytest.fixture
def connection(canvas: Any) -> Connection:
    """Return a connection to the sandbox."""
    made, _ = connect(name="main", base_url=canvas.url, token=canvas.tokens["admin"])
    return made


def test_a_sync_tells_what_its_rows_say(canvas, connection, told, small_pages):
    before = len(canvas.requests())
    run = sync(connection)

    assert run.sync_status == "completed"
    for line in told():
        if line["run"] == run.pk:
            assert list(line) == [*COMMON, *EVENTS[line["event"]].fields]
            assert line["connection"] == "main"
    requests = [line for line in told("request") if line["run"] == run.pk]
    assert len(requests) == run.api_calls_made == len(canvas.requests()) - before
    assert any(line["paginated"] for line in requests)
    assert all(line["path"][0] not in "/h" and "?" not in line["path"] for line in requests)
    assert sum(line["duration_ms"] for line in requests) == pytest.approx(
        run.total_api_duration_ms, rel=0.02, abs=20
    )
    written: Counter[tuple[str, str]] = Counter()
    for line in told("bulk_upsert"):
        for name in ("created", "updated", "unchanged"):
            written[line["entity"], name] += line[name]
        assert line["rows"] == line["created"] + line["updated"] + line["unchanged"] + line["deleted"]
    for count in run.counts.all():
        assert count.created == written[count.entity, "created"]
        assert count.updated == written[count.entity, "updated"]
        assert count.unchanged == written[count.entity, "unchanged"]
    courses = told("course_synced")
    assert {line["step"] for line in courses} == set(
        run.steps.filter(key__startswith="course:").values_list("key", flat=True)
    )
    assert {line["course"] for line in courses} <= {str(course.canvas_id) for course in Course.objects.all()}
    assert all(line["state"] == "completed" for line in courses)
    assert {line["step"]: line["records"] for line in told("course_synced", "step_synced")} == {
        step.key: step.counters for step in run.steps.all()
    }
    (planned,) = told("courses_planned")
    assert planned["courses"] == len(courses)
    (ended,) = told("sync_ended")
    assert ended["status"] == "completed"
    assert ended["seconds"] == run.total_duration_seconds
    assert ended["requests"] == run.api_calls_made
    assert ended["rows_written"] == run.db_rows_written
    assert ended["submissions"] == run.submissions_processed
    assert told("error", "record_rejected") == []


def test_progress_ends_at_a_hundred_percent_and_never_goes_back(canvas, connection, told):
    run = sync(connection)

    lines = told("progress")
    last = lines[-1]
    assert last["percent"] == 100.0
    assert last["requests"] == run.api_calls_made
    assert last["rows"] == sum(count.processed for count in run.counts.all())
    for name in ("courses_done", "rows", "requests", "seconds"):
        values = [line[name] for line in lines]
        assert values == sorted(values)
    assert lines[0]["percent"] is None or lines[0]["courses"] > 0


def test_a_run_tells_first_that_it_begins_and_last_that_it_ends(connection, told):
    run = sync(connection, SyncOptions(models=frozenset({"courses"})), trigger="schedule")

    operations = [line for line in told() if EVENTS[line["event"]].log == "operations" and line["run"]]
    assert operations[0]["event"] == "sync_started"
    assert operations[0]["trigger"] == "schedule"
    assert operations[1]["event"] == "connection_tested"
    assert operations[1]["state"] == "ok"
    assert operations[-1]["event"] == "sync_ended"
    assert {line["run"] for line in operations} == {run.pk}


def test_a_dead_token_is_told_once_and_without_canvass_words(canvas, connection, told):
    Connection.objects.filter(pk=connection.pk).update(token_ciphertext=_other_token(connection))
    connection.refresh_from_db()

    run = sync(connection)

    assert run.sync_status == "failed"
    (error,) = told("error")
    assert error["error_class"] == run.error_class == "TokenRejected"
    assert error["step"] == ""
    assert "Invalid access token" not in error["message"]
    assert "make a new one in Canvas" in error["message"]
    assert [line["state"] for line in told("connection_tested") if line["run"]] == ["rejected"]
    assert [line["status"] for line in told("sync_ended")] == ["failed"]


def _other_token(connection: Connection) -> Any:
    connection.token = "7~" + "X" * 40
    return connection.token_ciphertext


def test_a_connection_that_is_made_and_tested_is_told_with_its_requests(canvas, connection, told):
    before = len(canvas.requests())
    check_connection(connection)

    lines = told("request")[-(len(canvas.requests()) - before) :]
    assert len(lines) == len(canvas.requests()) - before > 0
    tests = told("connection_tested")
    assert [(line["run"], line["connection"], line["state"]) for line in tests] == [(None, "main", "ok")]
    with pytest.raises(CanvasError):
        connect(name="other", base_url=canvas.url, token="7~" + "X" * 40)
    assert told("connection_tested")[-1]["state"] == "rejected"


def test_what_is_rolled_back_is_not_told(connection, told, monkeypatch):
    from canvas import engine

    def fail(*_: Any) -> None:
        raise RuntimeError("Ada Lovelace has no number")

    monkeypatch.setattr(engine, "beat", fail)
    with pytest.raises(RuntimeError):
        sync(connection)

    assert told("bulk_upsert", "course_synced", "step_synced", "flush") == []
    (error,) = told("error")
    assert error["error_class"] == "RuntimeError"
    assert "Ada" not in json.dumps(told())
    assert SyncRun.objects.get().error_message == "Ada Lovelace has no number"


def test_no_line_names_a_person(canvas, connection, told):
    sync(connection)
    login = User.objects.exclude(login_id="").exclude(login_id=None).values_list("login_id", flat=True)[0]
    sync(connection, SyncOptions(user=login))

    text = json.dumps(told())
    people = User.objects.values_list("name", "login_id", "email")
    assert len(people) > 5
    assert [value for person in people for value in person if value and str(value) in text] == []
    assert canvas.tokens["admin"] not in text


def test_a_lost_run_is_told_by_who_found_it(told, settings):
    arguments = {"genre": "all", "mode": "full", "trigger": "command", "instance_key": 1}
    run = start_run(sync_type="all", connection_key=7, connection_name="main", **arguments)
    SyncRun.objects.filter(pk=run.pk).update(pid=2**22 + 1)

    assert close_lost_runs() == [run]
    assert [(line["status"], line["run"]) for line in told("sync_ended")] == [("lost", run.pk)]
    (error,) = told("error")
    assert error["error_class"] == "ProcessGone"


def test_a_tracker_of_somebody_elses_sync_tells_its_end(told):
    tracker = SyncTracker(task_id="t", user_id=42, sync_type="all")
    tracker.record_course(created=True)
    tracker.complete_failure("No answer from ada@example.edu.")

    assert [line["event"] for line in told()] == ["sync_started", "error", "sync_ended"]
    assert told("error")[0]["message"] == "No answer from [redacted]."
    assert told("sync_ended")[0]["courses"] == 1
    assert {line["user"] for line in told()} == {42}


def test_a_sync_at_a_terminal_shows_nothing_of_its_logs(connection, capsys):
    call_command("sync_canvas", "--models", "courses")
    shown = capsys.readouterr()
    assert "canvas.sync" not in shown.err + shown.out
    assert '"event"' not in shown.err + shown.out
