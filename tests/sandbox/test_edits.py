"""Each edit changes what it says, answers all of it, and lists and truth agree with it afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.clock import END
from sandbox.edits import KINDS, EditError
from sandbox.server import Sandbox
from tests.sandbox.conftest import ALL, Client

Truth = dict[str, dict[Any, dict[str, Any]]]


def truth(canvas: Sandbox) -> Truth:
    return {name: {row["id"]: row for row in rows} for name, rows in canvas.state().items()}


def differences(before: Truth, after: Truth) -> dict[tuple[str, int], dict[str, Any]]:
    """Every field that differs, by resource and id; new rows by `created`."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for name, rows in after.items():
        for row_id, row in rows.items():
            old = before[name].get(row_id)
            if old is None:
                found[name, row_id] = {"created": True}
            elif old != row:
                found[name, row_id] = {f: {"old": old[f], "new": row[f]} for f in row if old[f] != row[f]}
    return found


def said(edit: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    """The answer of an edit in the same shape."""
    return {
        (change["resource"], change["id"]): {"created": True}
        if change["action"] == "created"
        else change["fields"]
        for change in edit["changes"]
    }


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"revoke_token", "expire_token"}))
def test_an_edit_answers_exactly_what_it_changed(canvas: Sandbox, kind: str) -> None:
    before = truth(canvas)
    edit = canvas.edit(kind)
    found = differences(before, truth(canvas))
    answered = said(edit)
    assert answered.keys() == found.keys()
    assert edit["changes"]
    for key, fields in found.items():
        assert answered[key] == fields, key


def test_edits_choose_the_same_targets_for_the_same_seed() -> None:
    kinds = ["grade", "grade", "rename_course", "drop_student", "move", "enroll"]

    def targets(seed: int) -> list[Any]:
        with Sandbox(seed=seed) as canvas:
            return [canvas.edit(kind)["target"] for kind in kinds]

    assert targets(4) == targets(4) != targets(5)


def test_ten_grades_hit_ten_submissions(canvas: Sandbox) -> None:
    targets = [canvas.edit("grade")["target"]["submission_id"] for _ in range(10)]
    assert len(set(targets)) == 10


def test_edited_rows_carry_the_sandboxs_own_time() -> None:
    with Sandbox(clock_offset_seconds=300 * 86_400) as canvas:
        now = canvas.clock.stamp()
        row = canvas.edit("grade")["changes"][0]["fields"]
        assert now <= row["graded_at"]["new"] <= canvas.clock.stamp()
        assert now[:4] > END[:4] or now > END


def test_unknown_edits_and_targets_are_refused_in_one_sentence(canvas: Sandbox) -> None:
    for kind, args in (
        ("paint", {}),
        ("grade", {"course_id": 999}),
        ("rename_assignment", {"course_id": 101, "assignment_id": 1}),
        ("drop_student", {"course_id": 101, "user_id": 1}),
        ("rename_user", {"user_id": 1}),
        ("merge_users", {"user_id": 1010, "into_user_id": 1010}),
        ("move", {"course_id": 101, "section_id": 1}),
        ("cross_list", {"course_id": 101, "to_course_id": 101}),
        ("revoke_token", {"name": "nobody"}),
    ):
        with pytest.raises(EditError):
            canvas.edit(kind, **args)


# --- what listings show afterwards -------------------------------------------------------------------


def bulk(client: Client, course_id: int, **params: str) -> dict[int, dict[str, Any]]:
    rows = client.rows(f"courses/{course_id}/students/submissions", {**ALL, **params})
    return {row["id"]: row for row in rows}


def submission_path(target: dict[str, Any]) -> str:
    return "courses/{course_id}/assignments/{assignment_id}/submissions/{user_id}".format(**target)


def test_a_grade_shows_in_listings_and_in_graded_since(canvas: Sandbox, client: Client) -> None:
    target = canvas.edit("grade", score=7.5)["target"]
    assert client.get(submission_path(target)).json()["score"] == 7.5
    assert bulk(client, target["course_id"])[target["submission_id"]]["grade"] == "7.5"
    assert list(bulk(client, target["course_id"], graded_since=END)) == [target["submission_id"]]
    assert bulk(client, target["course_id"], submitted_since=END) == {}


def test_work_handed_in_shows_in_submitted_since_only(canvas: Sandbox, client: Client) -> None:
    target = canvas.edit("submit", body="<p>here</p>")["target"]
    assert list(bulk(client, target["course_id"], submitted_since=END)) == [target["submission_id"]]
    assert bulk(client, target["course_id"], graded_since=END) == {}
    assert client.get(submission_path(target)).json()["body"] == "<p>here</p>"


@pytest.mark.parametrize("kind", ["excuse", "hide_grades", "unpublish_assignment", "drop_student"])
def test_some_edits_no_date_filter_shows(canvas: Sandbox, client: Client, kind: str) -> None:
    course_id = canvas.edit(kind)["target"]["course_id"]
    assert bulk(client, course_id, graded_since=END) == bulk(client, course_id, submitted_since=END) == {}


def test_a_dropped_student_takes_their_submissions_along(canvas: Sandbox, client: Client) -> None:
    before = bulk(client, 101)
    target = canvas.edit("drop_student", course_id=101)["target"]
    theirs = [row for row in before.values() if row["user_id"] == target["user_id"]]
    assert theirs
    assert before.keys() - bulk(client, 101).keys() == {row["id"] for row in theirs}
    assert (
        client.get(submission_path({**target, "assignment_id": theirs[0]["assignment_id"]})).status_code
        == 404
    )
    states = {row["id"]: row["workflow_state"] for row in canvas.state("submissions")["submissions"]}
    assert {states[row["id"]] for row in theirs} == {"deleted"}
    deleted = client.rows("courses/101/enrollments", {"state[]": "deleted", "user_id": target["user_id"]})
    assert [row["enrollment_state"] for row in deleted] == ["deleted"] * len(deleted) != []
    assert client.rows("courses/101/enrollments", {"user_id": target["user_id"]}) == []


def test_a_student_who_comes_back_has_their_submissions_again(canvas: Sandbox, client: Client) -> None:
    before = bulk(client, 101)
    target = canvas.edit("drop_student", course_id=101)["target"]
    canvas.edit("reactivate_enrollment", course_id=101, user_id=target["user_id"])
    assert bulk(client, 101) == before


def test_concluding_hides_the_enrollment_but_not_the_submissions(canvas: Sandbox, client: Client) -> None:
    before = bulk(client, 101)
    user = canvas.edit("conclude_enrollment", course_id=101)["target"]["user_id"]
    assert client.rows("courses/101/enrollments", {"user_id": user}) == []
    assert client.rows("courses/101/enrollments", {"user_id": user, "state[]": "completed"})
    assert bulk(client, 101) == before
    assert user in {row["user_id"] for row in bulk(client, 101, enrollment_state="concluded").values()}
    assert user not in {row["user_id"] for row in bulk(client, 101, enrollment_state="active").values()}


def test_unpublishing_hides_submissions_and_publishing_brings_them_back(
    canvas: Sandbox, client: Client
) -> None:
    before = bulk(client, 101)
    assignment = canvas.edit("unpublish_assignment", course_id=101)["target"]["assignment_id"]
    hidden = [row for row in before.values() if row["assignment_id"] == assignment]
    assert before.keys() - bulk(client, 101).keys() == {row["id"] for row in hidden}
    assert (
        client.get(f"courses/101/assignments/{assignment}/submissions/{hidden[0]['user_id']}").json()
        == hidden[0]
    )
    refused = client.get("courses/101/students/submissions", {**ALL, "assignment_ids[]": assignment})
    assert (refused.status_code, refused.json()) == (403, {"error": "invalid assignment ids requested"})
    canvas.edit("publish_assignment", course_id=101, assignment_id=assignment)
    assert bulk(client, 101) == before


def test_publishing_a_draft_gives_every_student_an_empty_submission(canvas: Sandbox, client: Client) -> None:
    edit = canvas.edit("publish_assignment", course_id=101)
    rows = client.rows(f"courses/101/assignments/{edit['target']['assignment_id']}/submissions")
    assert {row["workflow_state"] for row in rows} == {"unsubmitted"}
    students = {row["user_id"] for row in bulk(client, 101).values()}
    assert {row["user_id"] for row in rows} == students


def test_a_new_assignment_is_listed_with_its_submissions(canvas: Sandbox, client: Client) -> None:
    edit = canvas.edit("new_assignment", course_id=101, name="Viva", points_possible=12)
    found = client.get(f"courses/101/assignments/{edit['target']['assignment_id']}").json()
    assert (found["name"], found["points_possible"], found["published"]) == ("Viva", 12, True)
    students = {row["user_id"] for row in bulk(client, 101).values()}
    assert len(edit["changes"]) == 1 + len(students)
    assert client.rows(f"courses/101/assignments/{found['id']}/submissions?per_page=100")


def test_deleted_things_are_not_found_and_not_listed(canvas: Sandbox, client: Client) -> None:
    assignment = canvas.edit("delete_assignment", course_id=101)["target"]["assignment_id"]
    assert client.get(f"courses/101/assignments/{assignment}").status_code == 404
    assert assignment not in {row["id"] for row in client.rows("courses/101/assignments")}
    user = canvas.edit("delete_user")["target"]["user_id"]
    assert client.get(f"users/{user}").status_code == 404
    assert user not in {row["id"] for row in client.rows("accounts/1/users")}
    assert user in {row["id"] for row in client.rows("accounts/1/users?include_deleted_users=true")}
    course = canvas.edit("delete_course")["target"]["course_id"]
    assert client.get(f"courses/{course}").status_code == 404
    assert course not in {row["id"] for row in client.rows("accounts/1/courses")}
    assert course in {row["id"] for row in client.rows("accounts/1/courses?state[]=deleted")}


def test_unpublished_courses_are_still_listed(canvas: Sandbox, client: Client) -> None:
    course = canvas.edit("unpublish_course")["target"]["course_id"]
    assert client.get(f"courses/{course}").json()["workflow_state"] == "unpublished"
    assert course in {row["id"] for row in client.rows("accounts/1/courses")}


def test_a_move_ends_one_enrollment_and_makes_another(canvas: Sandbox, client: Client) -> None:
    before = bulk(client, 102)
    target = canvas.edit("move", course_id=102)["target"]
    rows = client.rows("courses/102/enrollments", {"user_id": target["user_id"]})
    assert target["section_id"] in {row["course_section_id"] for row in rows}
    assert bulk(client, 102) == before


def test_enrolling_makes_empty_submissions(canvas: Sandbox, client: Client) -> None:
    before = bulk(client, 102)
    user = canvas.edit("enroll", course_id=102)["target"]["user_id"]
    new = [row for row_id, row in bulk(client, 102).items() if row_id not in before]
    assert {(row["user_id"], row["workflow_state"]) for row in new} == {(user, "unsubmitted")}


def test_cross_listing_moves_a_section_with_its_people(canvas: Sandbox, client: Client) -> None:
    edit = canvas.edit("cross_list", course_id=102, to_course_id=103)
    section = edit["target"]["section_id"]
    found = client.get(f"sections/{section}").json()
    assert (found["course_id"], found["nonxlist_course_id"]) == (103, 102)
    assert section not in {row["id"] for row in client.rows("courses/102/sections")}
    rows = client.rows(f"sections/{section}/enrollments")
    assert {row["course_id"] for row in rows} == {103}
    moved = {row["user_id"] for row in rows if row["type"] == "StudentEnrollment"}
    assert moved <= {row["user_id"] for row in bulk(client, 103).values()}
    one = client.get(f"accounts/1/enrollments/{rows[0]['id']}").json()
    assert one["course_id"] == 103


def test_merging_gives_one_user_what_the_other_had(canvas: Sandbox, client: Client) -> None:
    rows = bulk(client, 101).values()
    users = sorted({row["user_id"] for row in rows if row["user_id"] < 10**13})
    present = {
        row["user_id"] for row in canvas.state("enrollments")["enrollments"] if row["course_id"] == 101
    }
    outside = next(
        u["id"] for u in client.rows("accounts/1/users?sort=id&order=desc") if u["id"] not in present
    )
    canvas.edit("merge_users", user_id=users[-1], into_user_id=outside)
    assert client.get(f"users/{users[-1]}").status_code == 404
    before = {row["id"] for row in rows if row["user_id"] == users[-1]}
    assert {row["id"] for row in bulk(client, 101).values() if row["user_id"] == outside} >= before


def test_renames_show_where_the_name_shows(canvas: Sandbox, client: Client) -> None:
    user = canvas.edit("rename_user", name="Ada Lovelace")["target"]["user_id"]
    found = client.get(f"users/{user}").json()
    assert (found["name"], found["sortable_name"]) == ("Ada Lovelace", "Lovelace, Ada")
    course = canvas.edit("rename_course", name="Zoology")["target"]["course_id"]
    assert client.get(f"courses/{course}").json()["name"] == "Zoology"


@pytest.mark.parametrize("kind", ["revoke_token", "expire_token"])
def test_a_token_that_ended_is_refused_from_then_on(canvas: Sandbox, client: Client, kind: str) -> None:
    assert client.get("users/self").status_code == 200
    canvas.edit(kind)
    answer = client.get("users/self")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="canvas-lms"'
    assert Client(canvas, canvas.tokens["teacher"]).get("users/self").status_code == 200
