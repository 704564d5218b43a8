"""Syncs of one person's courses: found by login or id, nothing else read, nothing concluded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from canvas.models import Connection, Course, Submission
from canvas.sync import SyncOptions, UsageError, sync, user_spelling
from syncmetrics.models import SyncRun
from tests.canvas.conftest import Ended, EventfulSandbox

COMPLETED = SyncRun.Status.COMPLETED


def learner(canvas: EventfulSandbox) -> tuple[dict[str, object], set[int]]:
    """A student with a login who is in some courses and not in all, and the ids of those."""
    live = {row["id"] for row in canvas.rows("courses") if row["workflow_state"] != "deleted"}
    courses: dict[int, set[int]] = {}
    for row in canvas.rows("enrollments"):
        if row["workflow_state"] in ("active", "completed") and row["course_id"] in live:
            courses.setdefault(row["user_id"], set()).add(row["course_id"])
    user = next(row for row in canvas.rows("users") if 0 < len(courses.get(row["id"], ())) < len(live))
    return user, courses[user["id"]]


@pytest.mark.parametrize(
    "spelling", ["{login_id}", "sis_user_id:{sis_user_id}", "{id}", "sis_login_id:{login_id}"]
)
def test_courses_of_one_person_are_read_and_no_other(
    spelling: str, connection: Connection, canvas: EventfulSandbox
) -> None:
    user, courses = learner(canvas)
    canvas.clear_requests()
    run = sync(connection, SyncOptions(user=spelling.format(**user)))
    assert (run.sync_status, run.sync_type, run.genre) == (COMPLETED, "user", "user")
    assert set(Course.objects.values_list("canvas_id", flat=True)) == courses
    assert {row % 10**13 for row in Submission.objects.values_list("course_id", flat=True)} <= courses
    read = {row["id"] for row in canvas.rows("courses") if f"/courses/{row['id']}/" in str(canvas.requests())}
    assert read == courses


def test_sync_of_a_person_changes_and_deletes_nothing_of_others(
    connection: Connection, canvas: EventfulSandbox, wrong: Callable[..., list[str]]
) -> None:
    sync(connection)
    user, _ = learner(canvas)
    run = sync(connection, SyncOptions(user=str(user["login_id"]), mode="full"))
    assert (run.sync_status, wrong(connection)) == (COMPLETED, [])
    assert run.db_rows_written == 0


def test_sync_of_a_person_is_no_full_sync_of_everything(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    user, _ = learner(canvas)
    options = SyncOptions(user=str(user["login_id"]))
    assert sync(connection, options).mode == "full"
    assert sync(connection, options).mode == "incremental"
    assert sync(connection).mode == "full"


def test_unknown_person_fails_and_says_so(connection: Connection) -> None:
    run = sync(connection, SyncOptions(user="nobody.at.all"))
    assert run.sync_status == SyncRun.Status.FAILED
    assert "sis_login_id:nobody.at.all" in (run.error_message or "")


def test_courses_and_a_person_are_a_contradiction(connection: Connection) -> None:
    with pytest.raises(UsageError, match="not both"):
        sync(connection, SyncOptions(user="ada", courses=("101",)))


def test_command_takes_a_person(
    connection: Connection, canvas: EventfulSandbox, command: Callable[..., Ended]
) -> None:
    user, courses = learner(canvas)
    assert command("sync_canvas", "--user", str(user["login_id"])).status == 0
    assert set(Course.objects.values_list("canvas_id", flat=True)) == courses
    assert command("sync_canvas", "--user", "ada", "--course", "101").status == 2


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("42", "42"),
        (" 7~42 ", "7~42"),
        ("ada", "sis_login_id:ada"),
        ("ada@example.edu", "sis_login_id:ada@example.edu"),
        ("sis_user_id:S1", "sis_user_id:S1"),
    ],
)
def test_person_is_spelled_as_canvas_takes_it(given: str, path: str) -> None:
    assert user_spelling(given) == path
