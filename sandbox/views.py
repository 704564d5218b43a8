"""How rows are shown: what is hidden, what only some may see, what `include[]` adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.course import STUDENT, Course
from sandbox.ids import Row
from sandbox.params import Params
from sandbox.world import World

# Fields of the truth that Canvas never lists, and those it adds only when asked to.
NEVER = {
    "users": {"workflow_state"},
    "sections": {"workflow_state"},
    "enrollments": {"workflow_state"},
    "assignment_groups": {"workflow_state", "course_id"},
    "modules": {"workflow_state", "course_id"},
    "module_items": {"workflow_state", "course_id"},
    "group_categories": {"workflow_state", "course_id"},
    "groups": {"workflow_state"},
    "group_memberships": {"course_id"},
}
ON_REQUEST = {
    "users": {"email", "last_login", "avatar_url", "time_zone", "locale", "effective_locale", "bio", "uuid"},
    "courses": {"syllabus_body"},
}
# Fields that need rights: what a teacher and a student do not see.
ONLY_ADMINS = {"sis_import_id", "anonymous_id"}
ONLY_STAFF = ONLY_ADMINS | {
    "sis_course_id",
    "sis_section_id",
    "sis_user_id",
    "sis_account_id",
    "sis_group_id",
    "sis_group_category_id",
    "integration_id",
    "login_id",
    "email",
    "needs_grading_count",
    "last_activity_at",
    "total_activity_time",
}
_HIDDEN_FROM: dict[str, set[str]] = {"admin": set(), "teacher": ONLY_ADMINS, "student": ONLY_STAFF}

Extra = Callable[[World, Course, Row], Any]


def show(resource: str, row: Row, standing: str, include: list[str] | tuple[str, ...] = ()) -> Row:
    """A copy of the row for someone of this standing, with the fields asked for."""
    hidden = _HIDDEN_FROM[standing] | NEVER.get(resource, set())
    hidden |= ON_REQUEST.get(resource, set()) - set(include)
    return {name: value for name, value in row.items() if name not in hidden}


def show_self(row: Row) -> Row:
    """A user's own profile."""
    shown = show("users", row, "admin", ("avatar_url", "locale", "effective_locale", "email"))
    return {**shown, "permissions": {"can_update_name": True, "can_update_avatar": True}}


def show_user_in_course(course: Course, row: Row, standing: str, params: Params) -> Row:
    """A user as a course's user list shows them."""
    include = params.many("include")
    shown = show("users", row, standing, include)
    if "enrollments" in include:
        shown["enrollments"] = [
            show("enrollments", enrollment, standing)
            for enrollment in course.enrollments.values()
            if enrollment["user_id"] == row["id"] and enrollment["enrollment_state"] != "deleted"
        ]
    return shown


def show_enrollment(world: World, course: Course, row: Row, standing: str) -> Row:
    """An enrollment with its user; its state is `deleted` where course or section is."""
    shown = show("enrollments", row, standing)
    shown["enrollment_state"] = enrollment_state(course, row)
    shown["user"] = show("users", world.users[row["user_id"]], standing)
    return shown


def enrollment_state(course: Course, row: Row) -> str:
    """The state Canvas reports."""
    section = course.sections[row["course_section_id"]]
    gone = "deleted" in (course.row["workflow_state"], section["workflow_state"])
    return "deleted" if gone else row["enrollment_state"]


def show_course(world: World, row: Row, standing: str, params: Params, own: list[Row] | None = None) -> Row:
    """A course with its includes; `own` are the caller's enrollments, where the listing is the caller's."""
    if standing == "student" and _is_over(world, row):
        return {"id": row["id"], "access_restricted_by_date": True}
    include = params.many("include")
    shown = show("courses", row, standing, include)
    for name in include:
        if name in COURSE_EXTRAS:
            shown[name] = COURSE_EXTRAS[name](world, world.course(row["id"]), row)
    if own is not None:
        shown["enrollments"] = [
            {
                "type": enrollment["type"].removesuffix("Enrollment").lower(),
                "role": enrollment["role"],
                "role_id": enrollment["role_id"],
                "user_id": enrollment["user_id"],
                "enrollment_state": enrollment["enrollment_state"],
                "limit_privileges_to_course_section": False,
            }
            for enrollment in own
        ]
    return shown


def _is_over(world: World, row: Row) -> bool:
    return bool(
        row["restrict_enrollments_to_course_dates"] and row["end_at"] and row["end_at"] < world.clock.stamp()
    )


def show_section(world: World, course: Course, row: Row, standing: str, params: Params) -> Row:
    """A section with its includes."""
    include = params.many("include")
    shown = show("sections", row, standing)
    here = [e for e in course.students() if e["course_section_id"] == row["id"]]
    if "total_students" in include:
        shown["total_students"] = len({e["user_id"] for e in here})
    if "students" in include:
        shown["students"] = [show("users", world.users[e["user_id"]], standing) for e in here]
    return shown


def show_account(world: World, row: Row, params: Params) -> Row:
    """An account with its includes."""
    include, shown = params.many("include"), dict(row)
    if "course_count" in include:
        shown["course_count"] = sum(
            c["account_id"] == row["id"] and c["workflow_state"] != "deleted" for c in world.courses.values()
        )
    if "sub_account_count" in include:
        shown["sub_account_count"] = sum(
            a["parent_account_id"] == row["id"] and a["workflow_state"] != "deleted"
            for a in world.accounts.values()
        )
    if "lti_guid" in include:
        shown["lti_guid"] = f"{row['uuid']}.canvas.example.edu"
    return shown


def show_term(world: World, row: Row, params: Params) -> Row:
    """A term with its includes."""
    include, shown = params.many("include"), dict(row)
    if "course_count" in include:
        shown["course_count"] = sum(c["enrollment_term_id"] == row["id"] for c in world.courses.values())
    if "overrides" in include:
        shown["overrides"] = {}
    return shown


def show_assignment(world: World, course: Course, row: Row, standing: str, params: Params, me: int) -> Row:
    """An assignment with its includes."""
    include, shown = params.many("include"), show("assignments", row, standing)
    if "submission" in include:
        submission_id = course.submissions.id_of(row["id"], me)
        if submission_id and not course.submissions.is_buried(submission_id):
            shown["submission"] = show("submissions", course.submissions.row(submission_id), standing)
    if "overrides" in include:
        shown["overrides"] = []
    if "all_dates" in include:
        dates = {name: row[name] for name in ("due_at", "unlock_at", "lock_at")}
        shown["all_dates"] = [{**dates, "base": True}]
    if "assignment_visibility" in include and standing != "student":
        shown["assignment_visibility"] = [
            user
            for user in dict.fromkeys(e["user_id"] for e in course.students())
            if (found := course.submissions.id_of(row["id"], user))
            and not course.submissions.is_buried(found)
        ]
    return shown


def show_submission(world: World, course: Course, row: Row, standing: str, params: Params) -> Row:
    """A submission with its includes, cut down to `response_fields[]` where those are given."""
    shown = row if standing == "admin" else show("submissions", row, standing)
    only, without = params.many("response_fields"), params.many("exclude_response_fields")
    if only or without:
        shown = {
            name: value for name, value in shown.items() if name not in without and (not only or name in only)
        }
    extras = [name for name in params.many("include") if name in SUBMISSION_EXTRAS]
    if not extras:
        return shown
    added = {_FIELD_OF.get(name, name): SUBMISSION_EXTRAS[name](world, course, row) for name in extras}
    return {**shown, **added}


def _teachers(world: World, course: Course, row: Row) -> list[Row]:
    return [
        {"id": e["user_id"], "display_name": world.users[e["user_id"]]["name"]}
        for e in course.enrollments.values()
        if e["type"] == "TeacherEnrollment" and e["enrollment_state"] == "active"
    ]


def _plain_user(world: World, course: Course, row: Row) -> Row:
    return show("users", world.users[row["user_id"]], "teacher")


COURSE_EXTRAS: dict[str, Extra] = {
    "term": lambda world, course, row: world.terms[row["enrollment_term_id"]],
    "total_students": lambda world, course, row: len({e["user_id"] for e in course.students()}),
    "teachers": _teachers,
    "account_name": lambda world, course, row: world.accounts[row["account_id"]]["name"],
    "account": lambda world, course, row: world.accounts[row["account_id"]],
    "concluded": lambda world, course, row: row["workflow_state"] == "completed",
    "sections": lambda world, course, row: [
        {"id": s["id"], "name": s["name"], "start_at": None, "end_at": None, "enrollment_role": STUDENT}
        for s in course.sections.values()
        if s["workflow_state"] == "active"
    ],
    "storage_quota_used_mb": lambda world, course, row: 0.0,
    "course_progress": lambda world, course, row: None,
    "post_manually": lambda world, course, row: False,
}
# Where the field is not called after what was asked for.
_FIELD_OF = {"visibility": "assignment_visible"}
SUBMISSION_EXTRAS: dict[str, Extra] = {
    "user": _plain_user,
    "assignment": lambda world, course, row: course.assignments[row["assignment_id"]],
    "course": lambda world, course, row: show("courses", course.row, "teacher"),
    "submission_comments": lambda world, course, row: [],
    "submission_html_comments": lambda world, course, row: [],
    "submission_history": lambda world, course, row: [row],
    "visibility": lambda world, course, row: True,
    "read_status": lambda world, course, row: "read",
    "group": lambda world, course, row: {"id": None, "name": None},
}
