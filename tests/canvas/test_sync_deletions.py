"""What is marked deleted, when, on what proof; and what never is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from canvas import steps
from canvas.connect import connect
from canvas.models import (
    Account,
    Assignment,
    AssignmentGroup,
    Connection,
    Course,
    Enrollment,
    Section,
    Submission,
    User,
)
from canvas.sync import SyncOptions, sync
from syncmetrics.models import SyncRun
from tests.canvas.comparison import FIELDS, MODELS, differences, read_copy, shards_of
from tests.canvas.conftest import EventfulSandbox

Wrong = Callable[..., list[str]]
FULL = SyncOptions(mode="full")
COMPLETED = SyncRun.Status.COMPLETED


def delete_in_canvas(canvas: EventfulSandbox, resource: str, row_id: int, state: str = "deleted") -> None:
    """Change the state of a row for which the sandbox has no edit."""
    next(row for row in canvas.rows(resource) if row["id"] == row_id)["workflow_state"] = state
    canvas.edit("rename_course", course_id=103)  # every edit makes the sandbox forget its pages


# --- gone --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "row_id"),
    [("accounts", 4), ("users", 1010), ("sections", 20011), ("assignment_groups", 300012)],
)
def test_row_that_canvas_lists_no_more_and_answers_404_for_is_marked_deleted(
    resource: str, row_id: int, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    delete_in_canvas(canvas, resource, row_id)
    run = sync(connection)
    assert run.sync_status == COMPLETED
    assert run.to_dict()[resource]["deleted"] == 1
    gone = MODELS[resource]._default_manager.get(canvas_id=row_id)
    assert gone.workflow_state == "deleted"
    assert gone.deleted_at
    assert gone.deleted_at == run.canvas_clock
    # How Canvas counts the students of a section that is no more is not documented.
    assert [line for line in wrong(connection) if "total_students" not in line] == []
    assert sync(connection).to_dict()[resource]["deleted"] == 0


@pytest.mark.parametrize("kind", ["drop_student", "delete_assignment", "delete_course", "delete_user"])
def test_what_canvas_deleted_is_marked_and_nothing_else(
    kind: str, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    live_before = {name: set(_live(name)) for name in MODELS}
    changes = canvas.edit(kind)["changes"]
    run = sync(connection, FULL)
    shards = shards_of(connection.instance)
    base = shards[7] * 10**13
    for name in MODELS:
        expected = {
            base + change["id"]
            for change in changes
            if change["resource"] == name and change["action"] == "deleted" and change["id"] < 10**13
        }
        assert live_before[name] - set(_live(name)) == expected & live_before[name], name
        assert run.to_dict()[name]["deleted"] == len(expected & live_before[name])
    assert wrong(connection) == []


def _live(name: str) -> Any:
    return MODELS[name]._default_manager.filter(deleted_at=None).values_list("id", flat=True)


def test_every_enrollment_of_a_deleted_course_is_deleted_and_counted_once(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    live = Enrollment.objects.filter(course__canvas_id=102, deleted_at=None).count()
    canvas.edit("delete_course", course_id=102)
    promised = sync(connection, SyncOptions(dry_run=True))
    run = sync(connection)
    assert promised.to_dict()["enrollments"]["deleted"] == live
    assert run.to_dict()["enrollments"]["deleted"] == live
    assert sync(connection).to_dict()["enrollments"]["deleted"] == 0
    assert wrong(connection) == []


def test_mass_disappearance_is_confirmed_row_by_row(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    for name in ("assignments", "enrollments"):
        for row in list(canvas.rows(name)):
            if name == "assignments" and row["course_id"] == 101:
                delete_in_canvas(canvas, name, row["id"])
    canvas.clear_requests()
    run = sync(connection, FULL)
    asked = [entry["path"] for entry in canvas.requests() if "/courses/101/assignments/" in entry["path"]]
    assert len(asked) == len(set(asked)) == run.to_dict()["assignments"]["deleted"] == 8
    assert not Assignment.objects.filter(course__canvas_id=101, deleted_at=None).exists()
    # Canvas shows nothing of a deleted assignment any more, so its submissions stay as they were.
    assert Submission.objects.filter(course__canvas_id=101, deleted_at=None).exists()


def test_more_missing_rows_than_a_run_asks_for_wait_for_the_next(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MAX_CONFIRMATIONS", 5)
    sync(connection)
    for row in list(canvas.rows("assignments")):
        if row["course_id"] == 101 and row["workflow_state"] != "deleted":
            delete_in_canvas(canvas, "assignments", row["id"])
    first, second, third = (sync(connection, FULL) for _ in range(3))
    assert [run.to_dict()["assignments"]["deleted"] for run in (first, second, third)] == [5, 3, 0]
    note = first.steps.get(key="course:10000000000101").note
    assert note == "assignments: 3 missing, not confirmed deleted"
    assert second.steps.get(key="course:10000000000101").note == ""


# --- not gone ----------------------------------------------------------------------------------------


def test_rows_a_listing_forgot_are_kept_because_they_answer(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong, small_pages: None
) -> None:
    sync(connection)
    canvas.set_faults("drop_next@students/submissions")
    canvas.clear_requests()
    run = sync(connection, FULL)
    confirmed = [
        e for e in canvas.requests() if "/assignments/" in e["path"] and "/submissions/" in e["path"]
    ]
    assert len(confirmed) > 50
    assert {entry["status"] for entry in confirmed} == {200}
    assert run.to_dict()["submissions"]["deleted"] == 0
    assert run.to_dict()["submissions"]["processed"] == 191 + 18
    assert wrong(connection) == []


@pytest.mark.parametrize("kind", ["500", "not_a_list"])
def test_listing_that_fails_half_way_concludes_no_deletion(
    kind: str, connection: Connection, canvas: EventfulSandbox, wrong: Wrong, small_pages: None
) -> None:
    sync(connection)
    canvas.edit("delete_user", user_id=1010)
    canvas.set_faults(
        [{"kind": kind, "path": p} for p in ("accounts/1/users.*page=3", r"courses/10\d/enrollments.*page=b")]
    )
    run = sync(connection, FULL)
    assert run.sync_status == SyncRun.Status.PARTIAL
    assert not User.objects.exclude(deleted_at=None).exists()
    canvas.set_faults()
    sync(connection, FULL)
    assert User.objects.get(canvas_id=1010).deleted_at
    assert wrong(connection) == []


def test_incremental_sync_deletes_no_submission_it_did_not_list(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    sync(connection)
    run = sync(connection)
    assert run.mode == "incremental"
    assert run.to_dict()["submissions"]["deleted"] == 0
    assert Submission.objects.filter(deleted_at=None).count() == 209


def test_submissions_of_an_unpublished_assignment_are_hidden_not_deleted(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    edit = canvas.edit("unpublish_assignment", course_id=101)["target"]
    sync(connection, FULL)
    hidden = Submission.objects.filter(assignment__canvas_id=edit["assignment_id"])
    assert hidden.exists()
    assert not hidden.exclude(deleted_at=None).exists()
    canvas.edit("publish_assignment", course_id=101, assignment_id=edit["assignment_id"])
    sync(connection)
    assert wrong(connection) == []


def test_course_out_of_the_term_scope_is_not_deleted(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    sync(connection, SyncOptions(term_scope="3", mode="full"))
    sync(connection, SyncOptions(courses=("101",), mode="full"))
    sync(connection, SyncOptions(models=frozenset({"assignments"}), mode="full"))
    assert wrong(connection) == []


# --- moved and back ----------------------------------------------------------------------------------


def test_cross_listed_section_is_moved_with_its_people(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    target = canvas.edit("cross_list", course_id=103, to_course_id=102)["target"]
    people = list(
        Enrollment.objects.filter(course_section__canvas_id=target["section_id"]).values_list("id", flat=True)
    )
    run = sync(connection)
    section = Section.objects.get(canvas_id=target["section_id"])
    assert section.deleted_at is None
    assert section.course_id == 10000000000102
    assert section.nonxlist_course_id == 10000000000103
    moved = Enrollment.objects.filter(id__in=people)
    assert set(moved.values_list("course__canvas_id", flat=True)) == {102}
    assert run.to_dict()["sections"] == {
        "processed": 11, "created": 0, "updated": 1, "unchanged": 10, "deleted": 0, "rejected": 0,
    }  # fmt: skip
    assert run.to_dict()["enrollments"]["deleted"] == 0
    sync(connection, FULL)
    assert wrong(connection) == []


def test_moved_section_is_followed_when_only_its_old_course_is_synced(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    sync(connection)
    target = canvas.edit("cross_list", course_id=103, to_course_id=102)["target"]
    sync(connection, SyncOptions(courses=("103",), mode="full"))
    section = Section.objects.get(canvas_id=target["section_id"])
    assert (section.course_id, section.deleted_at) == (10000000000102, None)


def test_student_who_comes_back_is_undeleted_with_all_submissions(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    target = canvas.edit("drop_student", course_id=101)["target"]
    sync(connection, FULL)
    theirs = Submission.objects.filter(course__canvas_id=101, user__canvas_id=target["user_id"])
    assert theirs.exclude(deleted_at=None).count() == theirs.count() > 3
    canvas.edit("reactivate_enrollment", course_id=101, user_id=target["user_id"])
    run = sync(connection, FULL)
    assert not theirs.exclude(deleted_at=None).exists()
    assert not theirs.filter(workflow_state="deleted").exists()
    assert run.to_dict()["submissions"]["updated"] == theirs.count()
    assert wrong(connection) == []


@pytest.mark.parametrize(
    ("resource", "row_id"), [("accounts", 4), ("users", 1010), ("assignment_groups", 300012), ("terms", 3)]
)
def test_row_that_comes_back_is_undeleted(
    resource: str, row_id: int, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    state = "active" if resource in ("accounts", "terms") else "registered"
    state = "available" if resource == "assignment_groups" else state
    delete_in_canvas(canvas, resource, row_id)
    sync(connection)
    assert MODELS[resource]._default_manager.get(canvas_id=row_id).deleted_at
    delete_in_canvas(canvas, resource, row_id, state)
    run = sync(connection)
    back = MODELS[resource]._default_manager.get(canvas_id=row_id)
    assert (back.deleted_at, back.workflow_state) == (None, state)
    assert run.to_dict()[resource]["updated"] == 1
    assert wrong(connection) == []


def test_course_that_comes_back_brings_its_enrollments(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    enrolled = [row for row in canvas.rows("enrollments") if row["course_id"] == 102]
    states = {row["id"]: row["enrollment_state"] for row in enrolled}
    canvas.edit("delete_course", course_id=102)
    sync(connection, FULL)
    course = canvas._world.course(102)
    for key, row in course.enrollments.items():
        row["enrollment_state"] = row["workflow_state"] = states[key]
    delete_in_canvas(canvas, "courses", 102, "available")
    sync(connection, FULL)
    assert Course.objects.get(canvas_id=102).deleted_at is None
    assert wrong(connection) == []


# --- tokens that do not see everything ---------------------------------------------------------------


def visible(canvas: EventfulSandbox, connection: Connection, wanted: set[str]) -> list[str]:
    """Differences in rows of these resources that the copy has."""
    state = {name: rows for name, rows in canvas.state().items()}
    found = differences(state, read_copy(connection.instance, wanted), shards_of(connection.instance))
    return [line for line in found if not line.endswith(": missing")]


def test_teacher_sees_their_courses_and_deletes_nothing(db: None, canvas: EventfulSandbox) -> None:
    connection, _ = connect(name="teacher", base_url=canvas.url, token=canvas.tokens["teacher"])
    assert (connection.authoritative, connection.account_admin) == (False, False)
    run = sync(connection)
    assert run.sync_status == COMPLETED, run.error_message
    assert not Account.objects.exists()
    taught = set(Course.objects.values_list("canvas_id", flat=True))
    assert taught < {101, 102, 103, 104, 105}
    assert (
        visible(canvas, connection, {"courses", "sections", "enrollments", "submissions", "assignments"})
        == []
    )
    assert User.objects.filter(deleted_at=None, email__endswith="@example.edu").exists()
    assert run.to_dict()["users"]["processed"] == User.objects.count()

    course = min(taught)
    dropped = canvas.edit("drop_student", course_id=course)["target"]
    canvas.edit("delete_assignment", course_id=course)
    after = sync(connection, FULL)
    assert after.sync_status == COMPLETED
    assert not Submission.objects.exclude(deleted_at=None).exists()
    assert not Assignment.objects.exclude(deleted_at=None).exists()
    assert not AssignmentGroup.objects.exclude(deleted_at=None).exists()
    # The enrollment's end is no absence: Canvas lists it as deleted.
    assert Enrollment.objects.filter(user__canvas_id=dropped["user_id"], course__canvas_id=course).exclude(
        deleted_at=None
    )


def test_value_emptied_in_canvas_is_emptied_by_any_token_that_sees_it(
    db: None, canvas: EventfulSandbox
) -> None:
    connection, _ = connect(name="teacher", base_url=canvas.url, token=canvas.tokens["teacher"])
    sync(connection)
    course = Course.objects.filter(submissions__score__gt=0).order_by("id").first()
    assert course
    graded = Submission.objects.filter(course=course, score__gt=0, workflow_state="graded").first()
    assert graded
    assert graded.assignment_id
    assert graded.user_id
    canvas.edit(
        "excuse",
        course_id=course.canvas_id,
        assignment_id=graded.assignment_id % 10**13,
        user_id=graded.user_id % 10**13,
    )
    sync(connection, FULL)
    graded.refresh_from_db()
    assert (graded.excused, graded.score, graded.grade) == (True, None, None)
    assert visible(canvas, connection, {"submissions"}) == []


def test_token_that_sees_less_blanks_nothing_that_a_better_one_filled(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    teacher, _ = connect(name="teacher", base_url=canvas.url, token=canvas.tokens["teacher"])
    assert teacher.instance_id == connection.instance_id
    student, _ = connect(name="student", base_url=canvas.url, token=canvas.tokens["student"])
    for less in (teacher, student):
        run = sync(less)
        assert run.sync_status == COMPLETED, run.error_message
        assert wrong(connection) == []
        assert run.db_rows_written == 0
    assert sync(connection, FULL).db_rows_written == 0


def test_student_sees_their_own_submissions_only(db: None, canvas: EventfulSandbox) -> None:
    connection, probe = connect(name="student", base_url=canvas.url, token=canvas.tokens["student"])
    run = sync(connection)
    assert run.sync_status == COMPLETED, run.error_message
    state = canvas.state()
    published = {row["id"] for row in state["assignments"] if row["published"]}
    own = {
        row["id"]
        for row in state["submissions"]
        if (row["user_id"], row["course_id"] < 104) == (probe.user_id, True)
        and row["assignment_id"] in published
    }
    assert set(Submission.objects.values_list("canvas_id", flat=True)) == own
    assert not Assignment.objects.filter(published=False).exists()
    # The completed course is closed to students: Canvas shows a stub, which is rejected and said so.
    stub = run.rejections.get(entity="courses")
    assert (stub.record_id, "restricts this record by date" in stub.reason) == ("104", True)
    canvas.edit("drop_student", course_id=101, user_id=probe.user_id)
    sync(connection, FULL)
    for model in MODELS.values():
        dead = model._default_manager.exclude(deleted_at=None)
        assert not dead.exists()


def test_student_of_a_canvas_that_refuses_to_list_all_still_gets_their_own(
    db: None, canvas: EventfulSandbox
) -> None:
    connection, probe = connect(name="student", base_url=canvas.url, token=canvas.tokens["student"])
    canvas.set_faults("forbidden@student_ids%5B%5D=all")
    run = sync(connection)
    assert run.sync_status == COMPLETED, run.error_message
    assert set(Submission.objects.values_list("user_id", flat=True)) == {10**13 + (probe.user_id or 0)}


def test_subaccount_admin_syncs_what_lies_below_and_no_more(db: None, canvas: EventfulSandbox) -> None:
    connection, probe = connect(name="arts", base_url=canvas.url, token=canvas.tokens["subaccount_admin"])
    assert (probe.account_admin, probe.root_admin, connection.authoritative) == (True, False, False)
    run = sync(connection)
    assert run.sync_status == COMPLETED, run.error_message
    assert set(Account.objects.values_list("canvas_id", flat=True)) == {2}
    assert set(Course.objects.values_list("canvas_id", flat=True)) == {102, 106}
    assert visible(canvas, connection, set(FIELDS) - {"accounts"}) == []
    canvas.edit("delete_user", user_id=1010)
    sync(connection, FULL)
    assert not User.objects.exclude(deleted_at=None).exists()
