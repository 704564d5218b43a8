"""A public Canvas client judges the sandbox: it was written against the real thing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from canvasapi import Canvas
from canvasapi.exceptions import Forbidden, InvalidAccessToken, ResourceDoesNotExist

from sandbox.server import Sandbox

# The sandbox is on loopback, without TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Canvas may respond unexpectedly:UserWarning")


@pytest.fixture(scope="module")
def api(still_canvas: Sandbox) -> Iterator[Canvas]:
    api = Canvas(still_canvas.url, still_canvas.token)
    yield api
    api._Canvas__requester._session.close()


def test_it_walks_accounts_terms_and_courses(api: Canvas) -> None:
    account = api.get_account(1)
    assert account.name == "Sandbox University"
    assert {term.name for term in account.get_enrollment_terms()} == {
        "Default Term",
        "Spring 2026",
        "Fall 2025",
    }
    assert {sub.id for sub in account.get_subaccounts(recursive=True)} == {2, 3, 4}
    courses = list(account.get_courses(include=["term"]))
    assert len(courses) == 5
    assert courses[0].term["name"]
    assert len(list(account.get_users(per_page=3))) == 20


def test_it_walks_a_course(api: Canvas, still_canvas: Sandbox) -> None:
    course = api.get_course(101)
    state = still_canvas.state()
    mine = {name: [row for row in state[name] if row.get("course_id") == 101] for name in state}
    assert {s.id for s in course.get_sections()} == {
        row["id"] for row in mine["sections"] if row["workflow_state"] == "active"
    }
    assert {e.id for e in course.get_enrollments(per_page=4)} == {
        row["id"]
        for row in mine["enrollments"]
        if row["enrollment_state"] in ("active", "invited", "inactive")
    }
    assert {a.id for a in course.get_assignments()} == {
        row["id"] for row in mine["assignments"] if row["workflow_state"] != "deleted"
    }
    groups = list(course.get_assignment_groups(include=["assignments"]))
    assert sum(len(group.assignments) for group in groups) == 8
    assert len(list(course.get_users(enrollment_type=["student"]))) > 5


def test_it_reads_submissions_in_bulk_and_one_by_one(api: Canvas) -> None:
    course = api.get_course(101)
    rows = list(course.get_multiple_submissions(student_ids="all", per_page=9))
    assert len({row.id for row in rows}) == len(rows) > 50
    graded = next(row for row in rows if row.workflow_state == "graded" and row.score is not None)
    one = course.get_assignment(graded.assignment_id).get_submission(graded.user_id)
    assert (one.id, one.score, one.graded_at_date) == (graded.id, graded.score, graded.graded_at_date)
    of_one = course.get_assignment(graded.assignment_id).get_submissions()
    assert graded.id in {row.id for row in of_one}


def test_it_walks_modules_and_their_items(api: Canvas, still_canvas: Sandbox) -> None:
    course, state = api.get_course(101), still_canvas.state()
    mine = [row for row in state["modules"] if row["course_id"] == 101]
    modules = {module.id: module for module in course.get_modules(include=["items"], per_page=2)}
    assert set(modules) == {row["id"] for row in mine if row["workflow_state"] != "deleted"}
    items = [row for row in state["module_items"] if row["workflow_state"] != "deleted"]
    for module in modules.values():
        there = {row["id"] for row in items if row["module_id"] == module.id}
        assert {item.id for item in module.get_module_items(per_page=30)} == there
        assert module.items_count == len(there)
        assert hasattr(module, "items") == (len(there) <= 100)
    item = next(row for row in items if row["type"] == "Assignment" and row["course_id"] == 101)
    one = course.get_module(item["module_id"]).get_module_item(item["id"])
    assert (one.title, one.content_id) == (item["title"], item["content_id"])


def test_it_walks_groups_and_their_members(api: Canvas, still_canvas: Sandbox) -> None:
    course, state = api.get_course(101), still_canvas.state()
    live = [row for row in state["groups"] if row["course_id"] == 101 and row["workflow_state"] != "deleted"]
    groups = list(course.get_groups(collaboration_state="all"))
    assert {group.id for group in groups} == {row["id"] for row in live}
    categories = {category.id: category for category in course.get_group_categories()}
    assert len(categories) == 2
    assert {group.group_category_id for group in groups} <= set(categories)
    of_category = categories[groups[0].group_category_id].get_groups()
    assert {group.id for group in of_category} == {group.id for group in course.get_groups()}
    for group in groups:
        rows = [row for row in state["group_memberships"] if row["group_id"] == group.id]
        there = {row["id"]: row for row in rows if row["workflow_state"] != "deleted"}
        members = list(group.get_memberships(per_page=2))
        assert {member.id: member.user_id for member in members} == {
            row_id: row["user_id"] for row_id, row in there.items()
        }
        assert group.members_count == sum(row["workflow_state"] == "accepted" for row in there.values())
        by_user = group.get_membership(members[0].user_id, "users")
        assert by_user.id == group.get_membership(members[0].id, "memberships").id == members[0].id
    assert api.get_group(groups[0].id).name == groups[0].name
    assert api.get_group_category(groups[0].group_category_id).name == "Project groups"


def test_it_understands_refusals(still_canvas: Sandbox, api: Canvas) -> None:
    with pytest.raises(ResourceDoesNotExist):
        api.get_course(999)
    for name, error in (("expired", InvalidAccessToken), ("student", Forbidden)):
        other = Canvas(still_canvas.url, still_canvas.tokens[name])
        with pytest.raises(error):
            list(other.get_account(1).get_users())
        other._Canvas__requester._session.close()


def test_it_knows_who_it_is(api: Canvas) -> None:
    me = api.get_current_user()
    assert me.id == 1001
    assert api.get_user(me.id).sortable_name == me.sortable_name
