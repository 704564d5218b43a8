"""Groups of students, their categories and members."""

from __future__ import annotations

from sandbox import errors, ids
from sandbox.call import Call, Listing
from sandbox.course import Course
from sandbox.ids import Row
from sandbox.teams import members_of
from sandbox.views import show

# What `collaboration_state` lets through, by a row's `non_collaborative`.
COLLABORATION = {"all": (True, False), "collaborative": (False,), "non_collaborative": (True,)}


def course_categories(call: Call) -> Listing:
    """Group categories of a course."""
    course, standing = call.course()
    rows = _live(call, course.group_categories)
    return Listing(rows, lambda row: show("group_categories", row, standing))


def one_category(call: Call) -> Row:
    """One group category."""
    _, row, standing = call.group_category()
    return show("group_categories", row, standing)


def category_groups(call: Call) -> Listing:
    """Groups of one category."""
    course, category, standing = call.group_category()
    rows = [row for row in _live(call, course.student_groups) if row["group_category_id"] == category["id"]]
    return Listing(rows, lambda row: _show_group(call, course, row, standing))


def course_groups(call: Call) -> Listing:
    """Groups of a course; tags (`non_collaborative`) only when asked for."""
    course, standing = call.course()
    rows = _live(call, course.student_groups)
    if call.params.flag("only_own_groups"):
        mine = {
            row["group_id"] for row in course.memberships.values() if row["user_id"] == call.viewer.user_id
        }
        rows = [row for row in rows if row["id"] in mine]
    return Listing(rows, lambda row: _show_group(call, course, row, standing))


def one_group(call: Call) -> Row:
    """One group."""
    course, row, standing = call.group()
    return _show_group(call, course, row, standing)


def memberships(call: Call) -> Listing:
    """Memberships of a group that are not deleted, or those in the states asked for."""
    course, group, standing = call.group()
    states = call.params.many("filter_states")
    rows = [row for row in members_of(course, group) if not states or row["workflow_state"] in states]
    return Listing(rows, lambda row: show("group_memberships", row, standing))


def one_membership(call: Call) -> Row:
    """One membership by its id."""
    course, group, standing = call.group()
    return _membership(course, group, standing, "id", ids.parse_id(call.path["membership_id"]))


def membership_of_user(call: Call) -> Row:
    """One membership by its user."""
    course, group, standing = call.group()
    return _membership(course, group, standing, "user_id", call.user()["id"])


def _membership(course: Course, group: Row, standing: str, name: str, wanted: int | None) -> Row:
    for row in members_of(course, group):
        if row[name] == wanted:
            return show("group_memberships", row, standing)
    raise errors.not_found()


def _live(call: Call, rows: dict[int, Row]) -> list[Row]:
    shown = COLLABORATION.get(call.params.one("collaboration_state") or "collaborative", (False,))
    live = [row for row in rows.values() if row["workflow_state"] != "deleted"]
    return sorted((r for r in live if r["non_collaborative"] in shown), key=lambda row: int(row["id"]))


def _show_group(call: Call, course: Course, row: Row, standing: str) -> Row:
    shown = show("groups", row, standing)
    shown["context_name"] = course.row["name"]
    if "users" in call.params.many("include"):
        users = call.world.users
        shown["users"] = [show("users", users[m["user_id"]], "teacher") for m in members_of(course, row)]
    return shown
