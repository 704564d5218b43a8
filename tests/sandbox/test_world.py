"""What a sandbox Canvas holds: the same for the same seed, with everything odd that Canvas has."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from sandbox.clock import END, Clock
from sandbox.ids import find_by_sis, parse_id, spell_global, spell_tilde
from sandbox.server import Sandbox
from sandbox.sizes import SIZES
from sandbox.world import World
from tests.sandbox.conftest import ALL, Client


def truth(size: str = "tiny", seed: int = 1) -> dict[str, list[dict]]:
    with Sandbox(size=size, seed=seed) as canvas:
        return canvas.state()


def test_the_same_seed_gives_the_same_canvas() -> None:
    assert truth(seed=5) == truth(seed=5)


def test_another_seed_gives_another_canvas() -> None:
    one, other = truth(seed=5), truth(seed=6)
    assert all(one[name] != other[name] for name in ("users", "courses", "assignments", "submissions"))


def test_courses_are_the_same_in_whatever_order_they_are_touched() -> None:
    forward, backward = World("tiny", 3, Clock()), World("tiny", 3, Clock())
    for course_id in sorted(backward.courses, reverse=True):
        backward.course(course_id)
    assert list(forward.course(102).enrollments.values()) == list(backward.course(102).enrollments.values())


def count_listed(world: World) -> int:
    courses = [
        world.course(row["id"]) for row in world.courses.values() if row["workflow_state"] != "deleted"
    ]
    return sum(len(course.submissions.ids([a["id"] for a in course.published])) for course in courses)


@pytest.mark.parametrize(
    ("size", "courses", "users", "submissions"),
    [("small", 5, 500, 25_000), ("bench", 20, 500, 100_000), ("big_course", 1, 600, 100_000)],
)
def test_sizes_hold_what_they_promise(size: str, courses: int, users: int, submissions: int) -> None:
    world = World(size, 1, Clock())
    available = [row for row in world.courses.values() if row["workflow_state"] == "available"]
    assert len(available) == courses
    assert sum(row["workflow_state"] != "deleted" for row in world.users.values()) == users
    assert count_listed(world) == submissions


def test_campus_is_made_when_it_is_touched() -> None:
    world = World("campus", 1, Clock())
    assert len(world.users) == SIZES["campus"].users + 1
    course = world.course(150)
    assert len(course.submissions.ids([a["id"] for a in course.published])) == 5_000
    assert list(world._filled) == [150]


def test_odd_states_are_all_there() -> None:
    state = truth()
    found = {name: {row["workflow_state"] for row in rows} for name, rows in state.items()}
    assert found["courses"] == {"available", "completed", "unpublished", "deleted"}
    assert found["terms"] == {"active", "deleted"}
    assert found["users"] == {"registered", "deleted"}
    assert found["sections"] == {"active", "deleted"}
    assert found["assignments"] == {"published", "unpublished", "deleted"}
    assert found["assignment_groups"] == {"available", "deleted"}
    assert found["enrollments"] == {"active", "invited", "completed", "inactive", "deleted"}
    assert found["modules"] == found["module_items"] == {"active", "unpublished", "deleted"}
    assert found["group_categories"] == {"active", "deleted"}
    assert found["groups"] == {"available", "deleted"}
    assert found["group_memberships"] == {"accepted", "invited", "requested", "deleted"}
    assert found["submissions"] == {"unsubmitted", "submitted", "pending_review", "graded", "deleted"}
    assert {row["type"].removesuffix("Enrollment") for row in state["enrollments"]} == {
        "Student", "Teacher", "Ta", "Designer", "Observer",
    }  # fmt: skip


@pytest.mark.parametrize("size", ["tiny", "bench"])
def test_every_size_has_foreign_and_negative_ids(size: str) -> None:
    world = World(size, 1, Clock())
    course = world.course(101)
    rows = [course.submissions.row(i) for i in course.submissions.every_id()]
    assert any(row["user_id"] >= 10**13 for row in rows)
    assert any(row["user_id"] >= 10**13 for row in course.enrollments.values())
    assert any((row["grader_id"] or 0) < 0 for row in rows)


def test_people_are_where_courses_are_odd() -> None:
    state = truth()
    assert any(row["nonxlist_course_id"] for row in state["sections"])
    places = Counter(
        (row["course_id"], row["user_id"])
        for row in state["enrollments"]
        if row["type"] == "StudentEnrollment"
    )
    assert max(places.values()) == 2
    names = " ".join(row["name"] for row in state["users"])
    assert re.search(r"[^\x00-\u00ff]", names)


def test_every_assigned_student_has_one_submission_for_every_published_assignment(still: Client) -> None:
    state = still.canvas.state()
    for course in (row["id"] for row in state["courses"] if row["workflow_state"] == "available"):
        students = {
            row["user_id"]
            for row in state["enrollments"]
            if (row["course_id"], row["type"]) == (course, "StudentEnrollment")
            and row["enrollment_state"] != "deleted"
        }
        for_all = [
            row["id"]
            for row in state["assignments"]
            if (row["course_id"], row["workflow_state"]) == (course, "published")
            and not row["only_visible_to_overrides"]
        ]
        listed = Counter(
            (row["assignment_id"], row["user_id"])
            for row in still.rows(f"courses/{course}/students/submissions", ALL)
        )
        assert set(listed.values()) == {1}
        assert {key for key in listed if key[0] in for_all} == {(a, u) for a in for_all for u in students}


def test_submissions_are_consistent_with_themselves() -> None:
    for row in truth()["submissions"]:
        assert (row["submitted_at"] is None) == (row["attempt"] is None)
        assert (row["score"] is None) or row["graded_at"]
        assert not (row["late"] and row["seconds_late"] <= 0)
        assert max(row["submitted_at"] or "", row["graded_at"] or "") < END


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42),
        ("7~42", 42),
        ("70000000000042", 42),
        ("2107~5", 21070000000000005),
        ("21070000000000005", 21070000000000005),
        ("x", None),
        ("sis_course_id:42", None),
        ("-3", None),
    ],
)
def test_ids_are_read_in_every_spelling(text: str, number: int | None) -> None:
    assert parse_id(text) == number


def test_ids_are_written_in_every_spelling() -> None:
    assert (spell_tilde(42), spell_tilde(21070000000000005), spell_tilde(-3)) == ("7~42", "2107~5", -3)
    assert (spell_global(42), spell_global(21070000000000005), spell_global(-3)) == (
        70000000000042,
        21070000000000005,
        -3,
    )


def test_sis_ids_find_their_row_only_in_a_known_form() -> None:
    rows = [{"sis_course_id": "A-1", "integration_id": None}]
    assert find_by_sis("course", "sis_course_id:A-1", rows) is rows[0]
    assert find_by_sis("course", "sis_course_id:A-2", rows) is None
    assert find_by_sis("course", "sis_user_id:A-1", rows) is None
