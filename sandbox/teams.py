"""The groups that a course's students work in: their categories and members, made from the course's rows."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.course import Course, first_id
from sandbox.ids import Row
from sandbox.sizes import Size

# The state of the membership at this place of a course's students; all others are accepted.
STATES_BY_PLACE = {1: "invited", 3: "requested"}
LIVE_STATES = ("accepted", "invited", "requested")


def add_groups(course: Course, size: Size) -> None:
    """Give a course a category with groups, one without, and most of its students to the groups."""
    projects = _add_category(course, "Project groups", "active")
    _add_category(course, "Reading pairs", "active")
    groups = [_add_group(course, projects, f"Team {n + 1}", "available") for n in range(size.student_groups)]
    students = list(dict.fromkeys(row["user_id"] for row in course.students()))
    # One in five is in no group; the first, who may be of another campus, is in one.
    grouped = [user_id for place, user_id in enumerate(students) if place % 5 != 4]
    for place, user_id in enumerate(grouped):
        group = groups[place % len(groups)]
        row = add_member(course, group, user_id, STATES_BY_PLACE.get(place, "accepted"))
        row["moderator"] = place < len(groups)
    if size.oddities:
        _add_odd_ones(course, projects, groups[0], students)
    for group in course.student_groups.values():
        group["members_count"] = count_members(course, group)


def _add_odd_ones(course: Course, projects: Row, group: Row, students: list[int]) -> None:
    removed = _add_category(course, "Removed category", "deleted")
    _add_group(course, removed, "Removed with it", "deleted")
    _add_group(course, projects, "Dissolved team", "deleted")
    tag = _add_group(course, projects, "Extra time", "available")
    tag["non_collaborative"] = True
    for user_id in students[:1]:
        add_member(course, tag, user_id, "accepted")
    for user_id in students[4:5]:
        add_member(course, group, user_id, "deleted")


def _add_category(course: Course, name: str, state: str) -> Row:
    place = len(course.group_categories)
    category: Row = {
        "id": first_id("group_categories", course.number) + place,
        "course_id": course.id,
        "name": name,
        "role": None,
        "self_signup": "enabled" if place == 1 else None,
        "auto_leader": "first" if place == 0 else None,
        "context_type": "Course",
        "group_limit": 2 if place == 1 else None,
        "sis_group_category_id": _sis_id(course, "GC") if place == 0 else None,
        "sis_import_id": None,
        "progress": None,
        "non_collaborative": False,
        "workflow_state": state,
    }
    course.group_categories[category["id"]] = category
    return category


def _add_group(course: Course, category: Row, name: str, state: str) -> Row:
    place = len(course.student_groups)
    group: Row = {
        "id": first_id("groups", course.number) + place,
        "name": name,
        "description": None if place % 2 else f"Works on part {place + 1} of the project.",
        "is_public": False,
        "followed_by_user": False,
        "join_level": "invitation_only",
        "members_count": 0,
        "avatar_url": None,
        "context_type": "Course",
        "course_id": course.id,
        "role": None,
        "group_category_id": category["id"],
        "sis_group_id": _sis_id(course, "G") if place == 0 else None,
        "sis_import_id": None,
        "storage_quota_mb": 50,
        "non_collaborative": False,
        "workflow_state": state,
    }
    course.student_groups[group["id"]] = group
    return group


def _sis_id(course: Course, suffix: str) -> str | None:
    sis_course_id = course.row["sis_course_id"]
    return f"{sis_course_id}-{suffix}" if sis_course_id else None


def add_member(
    course: Course, group: Row, user_id: int, state: str, *, membership_id: int | None = None
) -> Row:
    """Make a user's membership in a group; who comes back gets a new one."""
    membership: Row = {
        "id": membership_id or first_id("group_memberships", course.number) + len(course.memberships),
        "group_id": group["id"],
        "user_id": user_id,
        "course_id": course.id,
        "workflow_state": state,
        "moderator": False,
        "just_created": False,
        "sis_import_id": None,
    }
    course.memberships[membership["id"]] = membership
    return membership


def members_of(course: Course, group: Row) -> Iterator[Row]:
    """The memberships of a group that are not deleted."""
    rows = course.memberships.values()
    return (r for r in rows if r["group_id"] == group["id"] and r["workflow_state"] in LIVE_STATES)


def count_members(course: Course, group: Row) -> int:
    """How many are in a group for good."""
    return sum(row["workflow_state"] == "accepted" for row in members_of(course, group))
