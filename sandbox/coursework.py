"""Assignment groups, assignments and submissions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox import errors, ids
from sandbox.call import Call, Listing
from sandbox.clock import END
from sandbox.course import Course
from sandbox.ids import Row
from sandbox.views import show, show_assignment, show_submission

MAX_STUDENT_IDS = 100
STATES_BY_ENROLLMENT = {"active": ("active", "invited"), "concluded": ("completed",)}
ASSIGNMENT_ORDERS = {"name": "name", "due_at": "due_at"}


# --- groups and assignments --------------------------------------------------------------------------


def assignment_groups(call: Call) -> Listing:
    """Groups of a course by position, with their assignments on request."""
    course, standing = call.course()
    rows = [row for row in course.groups.values() if row["workflow_state"] == "available"]
    rows.sort(key=lambda row: (row["position"], row["id"]))
    return Listing(rows, lambda row: _show_group(call, course, row, standing))


def one_assignment_group(call: Call) -> Row:
    """One group."""
    course, standing = call.course()
    row = course.groups.get(ids.parse_id(call.path["group_id"]) or 0)
    if row is None or row["workflow_state"] == "deleted":
        raise errors.not_found()
    return _show_group(call, course, row, standing)


def _show_group(call: Call, course: Course, row: Row, standing: str) -> Row:
    shown = show("assignment_groups", row, standing)
    if "assignments" in call.params.many("include"):
        wanted = call.numbers("assignment_ids")
        without = set(call.params.many("exclude_assignment_submission_types"))
        shown["assignments"] = [
            _show(call, course, a, standing)
            for a in _listed(course, standing)
            if a["assignment_group_id"] == row["id"]
            and (not wanted or a["id"] in wanted)
            and not without.intersection(a["submission_types"])
        ]
    return shown


def _listed(course: Course, standing: str) -> list[Row]:
    states = ("published",) if standing == "student" else ("published", "unpublished")
    rows = [row for row in course.assignments.values() if row["workflow_state"] in states]
    places = {group["id"]: group["position"] for group in course.groups.values()}
    return sorted(rows, key=lambda r: (places[r["assignment_group_id"]], r["position"], r["id"]))


def _show(call: Call, course: Course, row: Row, standing: str) -> Row:
    return show_assignment(call.world, course, row, standing, call.params, call.viewer.user_id)


def course_assignments(call: Call) -> Listing:
    """Assignments of a course; unpublished ones for staff, deleted ones never."""
    course, standing = call.course()
    return _assignments(call, course, standing, _listed(course, standing))


def group_assignments(call: Call) -> Listing:
    """Assignments of one group."""
    course, standing = call.course()
    group_id = ids.parse_id(call.path["group_id"])
    if group_id not in course.groups:
        raise errors.not_found()
    rows = [row for row in _listed(course, standing) if row["assignment_group_id"] == group_id]
    return _assignments(call, course, standing, rows)


def _assignments(call: Call, course: Course, standing: str, rows: list[Row]) -> Listing:
    term, wanted, bucket = call.params.search(), call.numbers("assignment_ids"), call.params.one("bucket")
    now = call.world.clock.stamp()
    rows = [
        row
        for row in rows
        if (not term or term in row["name"].lower())
        and (not wanted or row["id"] in wanted)
        and (bucket is None or _in_bucket(row, bucket, now))
    ]
    field = ASSIGNMENT_ORDERS.get(call.params.one("order_by") or "")
    if field:
        rows.sort(key=lambda row: (row[field] or "9999", row["id"]))
    return Listing(rows, lambda row: _show(call, course, row, standing))


def _in_bucket(row: Row, bucket: str, now: str) -> bool:
    due = row["due_at"]
    buckets = {
        "undated": due is None,
        "past": due is not None and due < now,
        "future": due is None or due >= now,
        "upcoming": due is not None and due >= now,
        "ungraded": row["needs_grading_count"] > 0,
    }
    return bool(buckets.get(bucket))


def one_assignment(call: Call) -> Row:
    """One assignment."""
    course, standing = call.course()
    return _show(call, course, call.assignment(course, standing), standing)


# --- submissions -------------------------------------------------------------------------------------


def one_submission(call: Call) -> Row:
    """One student's submission to one assignment; deleted ones are not found."""
    course, standing = call.course()
    return _one_submission(call, course, standing)


def one_section_submission(call: Call) -> Row:
    """The same by section."""
    course, _, standing = call.section()
    return _one_submission(call, course, standing)


def _one_submission(call: Call, course: Course, standing: str) -> Row:
    assignment, user = call.assignment(course, standing), call.user()
    if standing == "student" and user["id"] not in call.viewer.own_students(course):
        raise call.refuse()
    found = course.submissions.id_of(assignment["id"], user["id"])
    if found is None or course.submissions.is_buried(found):
        raise errors.not_found()
    return show_submission(call.world, course, course.submissions.row(found), standing, call.params)


def assignment_submissions(call: Call) -> Listing:
    """Submissions to one assignment, in numbered pages."""
    course, standing = call.course()
    return _of_assignment(call, course, standing, None)


def section_assignment_submissions(call: Call) -> Listing:
    """The same for the students of one section."""
    course, section, standing = call.section()
    return _of_assignment(call, course, standing, section)


def _of_assignment(call: Call, course: Course, standing: str, section: Row | None) -> Listing:
    assignment = call.assignment(course, standing)
    users = call.viewer.own_students(course) if standing == "student" else None
    if section and users is None:
        users = _users_of(course, section, None)
    wanted = [assignment["id"]] if assignment["workflow_state"] == "published" else []
    found = course.submissions.ids(wanted, users)
    return Listing(
        found, lambda i: show_submission(call.world, course, course.submissions.row(i), standing, call.params)
    )


def course_submissions(call: Call) -> Listing:
    """Submissions of a course for many students and assignments."""
    course, standing = call.course()
    return _many(call, course, standing, None)


def section_submissions(call: Call) -> Listing:
    """The same for the students of one section."""
    course, section, standing = call.section()
    return _many(call, course, standing, section)


def _many(call: Call, course: Course, standing: str, section: Row | None) -> Listing:
    users = _chosen_users(call, course, standing, section)
    assignments = _chosen_assignments(call, course)
    if call.params.flag("grouped"):
        return _grouped(call, course, standing, section, users, assignments)
    found = _matching(call, course, users, assignments)
    store, order = course.submissions, call.params.one("order")

    def key(submission_id: int) -> list[Any]:
        return [store.row(submission_id)["graded_at"] or "", submission_id]

    if order == "graded_at":
        found = sorted(found, key=key)
    descending = call.params.one("order_direction") == "descending"
    by_id = None if descending else (key if order == "graded_at" else lambda i: [i])
    return Listing(
        found[::-1] if descending else found,
        lambda i: show_submission(call.world, course, store.row(i), standing, call.params),
        key=by_id,
    )


def _users_of(course: Course, section: Row | None, states: Sequence[str] | None) -> list[int]:
    return list(
        dict.fromkeys(
            row["user_id"]
            for row in course.students()
            if (section is None or row["course_section_id"] == section["id"])
            and (states is None or row["enrollment_state"] in states)
        )
    )


def _chosen_users(call: Call, course: Course, standing: str, section: Row | None) -> list[int] | None:
    """Whose submissions: None means everybody's."""
    asked = call.params.many("student_ids")
    wanted_state = call.params.one("enrollment_state")
    if wanted_state is not None and wanted_state not in STATES_BY_ENROLLMENT:
        raise errors.bad_request({"error": "invalid enrollment_state"})
    if not asked or ("all" in asked and standing == "student"):
        return call.viewer.own_students(course) or [call.viewer.user_id]
    states = STATES_BY_ENROLLMENT[wanted_state] if wanted_state else None
    if "all" in asked:
        return None if section is None and states is None else _users_of(course, section, states)
    if len(asked) > MAX_STUDENT_IDS:
        raise errors.bad_request({"error": "too many students"})
    users = call.numbers("student_ids")
    here = _users_of(course, section, states)
    allowed = set(_users_of(course, section, None))
    if standing == "student":
        allowed.intersection_update(call.viewer.own_students(course))
    if not allowed.issuperset(users):
        raise call.refuse()
    return [user for user in here if user in users]


def _chosen_assignments(call: Call, course: Course) -> list[int]:
    published = {row["id"] for row in course.published}
    wanted = call.numbers("assignment_ids")
    if not published.issuperset(wanted):
        raise errors.Refusal(403, {"error": "invalid assignment ids requested"})
    chosen = sorted(set(wanted)) if wanted else sorted(published)
    if call.params.flag("post_to_sis"):
        chosen = [i for i in chosen if course.assignments[i]["post_to_sis"]]
    return chosen


def _matching(call: Call, course: Course, users: list[int] | None, assignments: list[int]) -> list[int]:
    """Ids of a listing, worked out once for all of its pages; an edit forgets them."""
    submitted, graded = call.params.moment("submitted_since"), call.params.moment("graded_since")
    state = call.params.one("workflow_state")
    key = (course.id, None if users is None else tuple(users), tuple(assignments), submitted, graded, state)

    def match() -> list[int]:
        only_edited = max(submitted or "", graded or "") >= END
        found = course.submissions.ids(assignments, users, only_edited=only_edited)
        if not (submitted or graded or state):
            return found
        return [i for i in found if _fits(course.submissions.row(i), submitted, graded, state)]

    return call.world.remember(key, match)


def _fits(row: Row, submitted: str | None, graded: str | None, state: str | None) -> bool:
    """Whether a submission passes the filters; dates must be strictly later."""
    return (
        (submitted is None or (row["submitted_at"] or "") > submitted)
        and (graded is None or (row["graded_at"] or "") > graded)
        and (state is None or row["workflow_state"] == state)
    )


def _grouped(
    call: Call,
    course: Course,
    standing: str,
    section: Row | None,
    users: list[int] | None,
    assignments: list[int],
) -> Listing:
    """Pages of students, each with all of their submissions: the inner list has no pages."""
    students = _users_of(course, section, None) if users is None else users
    section_of = {row["user_id"]: row["course_section_id"] for row in course.students()}

    def shown(user_id: int) -> Row:
        user, store = call.world.users[user_id], course.submissions
        found = _matching(call, course, [user_id], assignments)
        rows = [show_submission(call.world, course, store.row(i), standing, call.params) for i in found]
        group = {
            "user_id": user_id,
            "section_id": section_of.get(user_id),
            "integration_id": user["integration_id"],
            "sis_user_id": user["sis_user_id"],
            "submissions": rows,
        }
        return group

    return Listing(students, shown)
