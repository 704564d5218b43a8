"""Users and enrollments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sandbox import errors, ids
from sandbox.call import Call, Listing
from sandbox.course import Course
from sandbox.ids import Row
from sandbox.views import enrollment_state, show, show_enrollment, show_self, show_user_in_course

# State names that stand for several, allowed on a user's enrollments only.
STATE_BUNDLES = {
    "current_and_invited": ("active", "invited"),
    "current_and_future": ("active", "invited", "creation_pending"),
    "current_future_and_restricted": ("active", "invited", "creation_pending"),
    "current_and_concluded": ("active", "completed"),
}
USER_ORDERS = {
    "username": "sortable_name",
    "email": "email",
    "sis_id": "sis_user_id",
    "integration_id": "integration_id",
    "last_login": "last_login",
    "id": "id",
}
USER_TYPES = {
    "teacher": "TeacherEnrollment",
    "student": "StudentEnrollment",
    "ta": "TaEnrollment",
    "observer": "ObserverEnrollment",
    "designer": "DesignerEnrollment",
}


# --- users and tokens --------------------------------------------------------------------------------


def myself(call: Call) -> Row:
    """The caller's own profile."""
    return show_self(call.world.users[call.viewer.user_id])


def one_user(call: Call) -> Row:
    """One user."""
    row = call.user()
    if row["id"] == call.viewer.user_id:
        return show_self(row)
    if not call.viewer.is_admin:
        raise call.refuse()
    return show("users", row, "admin", ("avatar_url", "locale", "effective_locale", "email", "last_login"))


def user_tokens(call: Call) -> Listing:
    """A user's own tokens, without their secrets."""
    user_id = _token_owner(call)
    rows = [
        t.row() for t in call.tokens.by_name.values() if t.user_id == user_id and t.workflow_state == "active"
    ]
    return Listing(rows, lambda row: row)


def one_token(call: Call) -> Row:
    """One token by its id or its hint."""
    user_id, wanted = _token_owner(call), call.path["token_id"]
    for token in call.tokens.by_name.values():
        if token.user_id == user_id and wanted in (str(token.id), token.value[:5]):
            return token.row()
    raise errors.not_found()


def _token_owner(call: Call) -> int:
    user_id = int(call.user()["id"])
    if user_id != call.viewer.user_id and call.viewer.token.account_id != 1:
        raise call.refuse()
    return user_id


def account_users(call: Call) -> Listing:
    """People of the root account; deleted ones only when asked for."""
    call.account()
    users, include = call.world.users, call.params.many("include")
    found = _users_found(call)
    return Listing(
        found, lambda i: show("users", users[i], "admin", include), counted=call.params.search() is None
    )


def _users_found(call: Call) -> list[int]:
    """Ids of the users asked for, in order, worked out once for all pages; an edit forgets them."""
    params, term = call.params, call.params.search() or ""
    deleted, uuids = params.flag("include_deleted_users"), params.many("uuids")[:100]
    field = USER_ORDERS.get(params.one("sort") or "", "sortable_name")
    descending = params.one("order") == "desc"

    def find() -> list[int]:
        rows = [
            row
            for row in call.world.users.values()
            if (deleted or row["workflow_state"] != "deleted")
            and (not uuids or row["uuid"] in uuids)
            and (not term or _matches(row, term))
        ]
        rows.sort(key=_by(field), reverse=descending)
        return [row["id"] for row in rows]

    return call.world.remember(("users", term, deleted, tuple(uuids), field, descending), find)


def _matches(row: Row, term: str) -> bool:
    return any(term in str(row[name] or "").lower() for name in ("name", "login_id", "sis_user_id", "email"))


def _by(field: str) -> Callable[[Row], Any]:
    if field == "id":
        return lambda row: row["id"]
    return lambda row: (str(row[field] or "").casefold(), row["id"])


def course_users(call: Call) -> Listing:
    """People of a course by name; without `enrollment_state[]` those active or invited."""
    course, standing = call.course()
    if standing == "student":
        raise call.refuse()
    params, term = call.params, call.params.search() or ""
    wanted_users = set(call.numbers("user_ids") + call.numbers("user_id"))
    found = {
        row["user_id"]
        for row in course.enrollments.values()
        if enrollment_state(course, row) in (params.many("enrollment_state") or ("active", "invited"))
        and _in(row["type"], [USER_TYPES.get(kind, kind) for kind in params.many("enrollment_type")])
        and _in(row["role"], params.many("enrollment_role"))
        and _in(str(row["role_id"]), params.many("enrollment_role_id"))
        and _in(row["course_section_id"], call.numbers("section_ids"))
    }
    rows = [call.world.users[i] for i in found if not wanted_users or i in wanted_users]
    rows = [row for row in rows if not term or _matches(row, term)]
    rows.sort(key=_by(USER_ORDERS.get(params.one("sort") or "", "sortable_name")))
    return Listing(rows, lambda row: show_user_in_course(course, row, standing, params), counted=not term)


# --- enrollments -------------------------------------------------------------------------------------


def _in(value: Any, wanted: list[Any]) -> bool:
    return not wanted or value in wanted


def course_enrollments(call: Call) -> Listing:
    """Enrollments of a course, as bookmarked pages."""
    course, standing = call.course()
    return _enrollments(call, [(course, row) for row in course.enrollments.values()], standing)


def section_enrollments(call: Call) -> Listing:
    """Enrollments of a section, as bookmarked pages."""
    course, section, standing = call.section()
    rows = [row for row in course.enrollments.values() if row["course_section_id"] == section["id"]]
    return _enrollments(call, [(course, row) for row in rows], standing)


def user_enrollments(call: Call) -> Listing:
    """Enrollments of a user in all courses, as bookmarked pages."""
    user_id = call.user()["id"]
    if user_id != call.viewer.user_id and not call.viewer.is_admin:
        raise call.refuse()
    found = call.world.enrollments_of(user_id)
    term = call.params.one("enrollment_term_id")
    if term is not None:
        number = ids.parse_id(term)
        found = [item for item in found if item[0].row["enrollment_term_id"] == number]
    return _enrollments(call, found, "admin" if call.viewer.is_admin else "student", of_user=True)


def _enrollments(
    call: Call, found: list[tuple[Course, Row]], standing: str, *, of_user: bool = False
) -> Listing:
    if call.params.one("grading_period_id") is not None:
        raise errors.bad_request({"error": "invalid grading_period_id"})
    states = _states(call.params.many("state"), standing, of_user=of_user)
    users, params = call.numbers("user_id"), call.params
    kept = [
        (course, row)
        for course, row in found
        if enrollment_state(course, row) in states
        and (standing != "student" or row["user_id"] == call.viewer.user_id)
        and _in(row["type"], params.many("type"))
        and _in(row["role"], params.many("role"))
        and _in(row["user_id"], users)
        and _in(row["sis_section_id"], params.many("sis_section_id"))
        and _in(row["sis_course_id"], params.many("sis_course_id"))
        and _in(call.world.users[row["user_id"]]["sis_user_id"], params.many("sis_user_id"))
    ]

    def key(item: tuple[Course, Row]) -> list[Any]:
        row = item[1]
        return [row["type"], call.world.users[row["user_id"]]["sortable_name"], row["id"]]

    kept.sort(key=key)
    return Listing(kept, lambda item: show_enrollment(call.world, item[0], item[1], standing), key=key)


def _states(asked: list[str], standing: str, *, of_user: bool) -> set[str]:
    if not asked:
        seen = {"active", "invited"}
        return seen | {"inactive"} if standing == "admin" and not of_user else seen
    bundles: dict[str, Iterable[str]] = dict(STATE_BUNDLES) if of_user else {}
    return {state for word in asked for state in bundles.get(word, (word,))}


def one_enrollment(call: Call) -> Row:
    """One enrollment of an account, in whatever state."""
    call.account()
    number = ids.parse_id(call.path["enrollment_id"])
    course = None if number is None else call.world.home_of("enrollments", number)
    if course is None or number not in course.enrollments:
        raise errors.not_found()
    return show_enrollment(call.world, course, course.enrollments[number], "admin")
