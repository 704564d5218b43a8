"""Accounts, terms, courses and sections."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sandbox import errors
from sandbox.call import Call, Listing
from sandbox.course import STUDENT
from sandbox.ids import Row
from sandbox.params import Params
from sandbox.views import show_account, show_course, show_section, show_term
from sandbox.world import ROOT_ACCOUNT_ID, World, find

# What `state[]` of an account's courses calls the states that rows show.
STATE_WORDS = {
    "created": "unpublished",
    "claimed": "unpublished",
    "available": "available",
    "completed": "completed",
    "deleted": "deleted",
}


# --- accounts and terms ------------------------------------------------------------------------------


def my_accounts(call: Call) -> Listing:
    """Accounts the caller administers."""
    mine = call.viewer.token.account_id
    rows = [] if mine is None else [call.world.accounts[mine]]
    return Listing(rows, lambda row: show_account(call.world, row, call.params))


def one_account(call: Call) -> Row:
    """One account."""
    return show_account(call.world, call.account(), call.params)


def sub_accounts(call: Call) -> Listing:
    """Children of an account, all descendants with `recursive` (which is not counted)."""
    parent, world = call.account(), call.world
    recursive = bool(call.params.flag("recursive"))
    rows = [
        row
        for row in world.accounts.values()
        if row["workflow_state"] != "deleted"
        and (
            parent["id"] in world.account_chain(row["id"])[1:]
            if recursive
            else row["parent_account_id"] == parent["id"]
        )
    ]
    if call.params.one("order") == "name":
        rows.sort(key=lambda row: str(row["name"]))
    return Listing(rows, lambda row: show_account(world, row, call.params), counted=not recursive)


def terms(call: Call) -> Listing:
    """Terms of the root account, in an object under `enrollment_terms`."""
    _only_root(call)
    wanted = call.params.many("workflow_state") or ["active"]
    name = (call.params.one("term_name") or "").lower()
    rows = [
        row
        for row in call.world.terms.values()
        if ("all" in wanted or row["workflow_state"] in wanted) and name in row["name"].lower()
    ]
    return Listing(rows, lambda row: show_term(call.world, row, call.params), wrapper="enrollment_terms")


def one_term(call: Call) -> Row:
    """One term; deleted ones are not found."""
    _only_root(call)
    row = find(call.world, "term", call.path["term_id"])
    if row is None or row["workflow_state"] == "deleted":
        raise errors.not_found()
    return show_term(call.world, row, call.params)


def _only_root(call: Call) -> None:
    if call.account()["id"] != ROOT_ACCOUNT_ID:
        raise errors.bad_request({"message": "Terms only belong to root_accounts."})


# --- courses -----------------------------------------------------------------------------------------

CourseFilter = Callable[[World, Row, Params], bool]


def _taught_by(world: World, row: Row, params: Params) -> bool:
    wanted = set(params.many("by_teachers"))
    people = world.course(row["id"]).enrollments.values()
    return any(e["type"] == "TeacherEnrollment" and str(e["user_id"]) in wanted for e in people)


def _has_enrollments(world: World, row: Row, params: Params) -> bool:
    states = params.many("enrollment_workflow_state") or ["active", "invited", "completed"]
    types = {f"{kind.title()}Enrollment" for kind in params.many("enrollment_type")}
    people = world.course(row["id"]).enrollments.values()
    found = any(e["workflow_state"] in states and (not types or e["type"] in types) for e in people)
    return found == (params.flag("with_enrollments") is not False)


def _in_term(world: World, row: Row, params: Params) -> bool:
    term = find(world, "term", params.one("enrollment_term_id") or "")
    return term is not None and row["enrollment_term_id"] == term["id"]


def _named(world: World, row: Row, params: Params) -> bool:
    term = params.search() or ""
    return any(term in str(row[name]).lower() for name in ("name", "course_code", "sis_course_id"))


def _start(world: World, row: Row) -> str:
    return row["start_at"] or world.terms[row["enrollment_term_id"]]["start_at"] or ""


def _end(world: World, row: Row) -> str:
    return row["end_at"] or world.terms[row["enrollment_term_id"]]["end_at"] or ""


# Filters of an account's courses, by the parameter that switches each on.
COURSE_FILTERS: dict[str, CourseFilter] = {
    "enrollment_term_id": _in_term,
    "search_term": _named,
    "by_teachers": _taught_by,
    "by_subaccounts": lambda world, row, params: str(row["account_id"]) in params.many("by_subaccounts"),
    "with_enrollments": _has_enrollments,
    "enrollment_type": _has_enrollments,
    "enrollment_workflow_state": _has_enrollments,
    "hide_enrollmentless_courses": _has_enrollments,
    "published": lambda world, row, params: (
        (row["workflow_state"] in ("available", "completed")) == params.flag("published")
    ),
    "completed": lambda world, row, params: (
        (row["workflow_state"] == "completed") == params.flag("completed")
    ),
    "blueprint": lambda world, row, params: row["blueprint"] == params.flag("blueprint"),
    "public": lambda world, row, params: bool(row["is_public"]) == params.flag("public"),
    "starts_before": lambda world, row, params: (
        "" < _start(world, row) < (params.moment("starts_before") or "")
    ),
    "ends_after": lambda world, row, params: _end(world, row) > (params.moment("ends_after") or ""),
}
COURSE_ORDERS = {
    "course_name": "name",
    "sis_course_id": "sis_course_id",
    "course_status": "workflow_state",
    "account_name": "account_id",
}


def account_courses(call: Call) -> Listing:
    """Courses of an account and those below it; without `state[]` all but deleted ones."""
    account, world, params = call.account(), call.world, call.params
    asked = params.many("state")
    states = {STATE_WORDS[word] for word in asked if word in STATE_WORDS}
    if "all" in asked:
        states = set(STATE_WORDS.values())
    states = states or {"unpublished", "available", "completed"}
    filters = [test for name, test in COURSE_FILTERS.items() if params.many(name)]
    rows = [
        row
        for row in world.courses.values()
        if row["workflow_state"] in states
        and account["id"] in world.account_chain(row["account_id"])
        and all(test(world, row, params) for test in filters)
    ]
    return Listing(
        _ordered(rows, params),
        lambda row: show_course(world, row, "admin", params),
        counted=params.one("search_term") is None,
    )


def _ordered(rows: list[Row], params: Params) -> list[Row]:
    field = COURSE_ORDERS.get(params.one("sort") or "")
    if field:
        rows.sort(key=lambda row: str(row[field] or ""), reverse=params.one("order") == "desc")
    return rows


def _enrolled(call: Call, user_id: int) -> Iterator[tuple[Row, list[Row]]]:
    """A user's courses with their enrollments there, as the parameters filter them."""
    types = {f"{kind.title()}Enrollment" for kind in call.params.many("enrollment_type")}
    wanted = call.params.one("enrollment_state")
    states = {"invited_or_pending": ("invited",), "active": ("active",), "completed": ("completed",)}
    live = states.get(wanted or "", ("active", "invited", "completed"))
    asked = call.params.many("state")
    by_course: dict[int, list[Row]] = {}
    for course, enrollment in call.world.enrollments_of(user_id):
        if enrollment["enrollment_state"] in live and (not types or enrollment["type"] in types):
            by_course.setdefault(course.id, []).append(enrollment)
    for course_id, own in by_course.items():
        row = call.world.courses[course_id]
        studies = all(e["type"] in (STUDENT, "ObserverEnrollment") for e in own)
        # A completed course stays available to those who can no longer change it.
        default = ("available", "completed") if studies else ("unpublished", "available", "completed")
        if row["workflow_state"] in (asked or default):
            yield row, own


def my_courses(call: Call) -> Listing:
    """Courses the caller is enrolled in: none for an administrator who is in none."""
    return _courses_of(call, call.viewer.user_id)


def user_courses(call: Call) -> Listing:
    """Courses of a user; the caller's own, or any if the caller is an administrator."""
    user_id = call.user()["id"]
    if user_id != call.viewer.user_id and not call.viewer.is_admin:
        raise call.refuse()
    return _courses_of(call, user_id)


def _courses_of(call: Call, user_id: int) -> Listing:
    def shown(item: tuple[Row, list[Row]]) -> Row:
        row, own = item
        standing = call.viewer.standing(call.world.course(row["id"])) or "student"
        return show_course(call.world, row, standing, call.params, own)

    return Listing(list(_enrolled(call, user_id)), shown)


def one_course(call: Call) -> Row:
    """One course; deleted ones are not found."""
    course, standing = call.course()
    return show_course(call.world, course.row, standing, call.params)


# --- sections ----------------------------------------------------------------------------------------


def course_sections(call: Call) -> Listing:
    """Sections that are in a course now, cross-listed ones included."""
    course, standing = call.course()
    term = call.params.search() or ""
    rows = [
        row
        for row in sorted(course.sections.values(), key=lambda row: int(row["id"]))
        if row["workflow_state"] != "deleted" and term in row["name"].lower()
    ]
    return Listing(rows, lambda row: show_section(call.world, course, row, standing, call.params))


def one_section(call: Call) -> Row:
    """One section."""
    course, row, standing = call.section()
    return show_section(call.world, course, row, standing, call.params)
