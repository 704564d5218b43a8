"""The truth of a sandbox Canvas, row by row, for whoever wants to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sandbox.course import Course
from sandbox.ids import Row
from sandbox.views import enrollment_state
from sandbox.world import World


def _in_courses(rows: Callable[[Course], list[Row]]) -> Callable[[World], Iterator[Row]]:
    def read(world: World) -> Iterator[Row]:
        for course in world.all_courses():
            with world.lock:
                found = rows(course)
            yield from found

    return read


def _submissions(world: World) -> Iterator[Row]:
    """Row by row: the submissions of one course may be too many to hold."""
    for course in world.all_courses():
        with world.lock:
            found = list(course.submissions.every_id())
        for submission_id in found:
            yield {**course.submissions.row(submission_id), "course_id": course.id}


def _enrollments(course: Course) -> list[Row]:
    rows = course.enrollments.values()
    return [{**row, "enrollment_state": enrollment_state(course, row)} for row in rows]


RESOURCES: dict[str, Callable[[World], Iterator[Row]]] = {
    "accounts": lambda world: iter(list(world.accounts.values())),
    "terms": lambda world: iter(list(world.terms.values())),
    "users": lambda world: iter(list(world.users.values())),
    "courses": lambda world: iter(list(world.courses.values())),
    "sections": _in_courses(lambda course: list(course.sections.values())),
    "enrollments": _in_courses(_enrollments),
    "assignment_groups": _in_courses(lambda course: list(course.groups.values())),
    "assignments": _in_courses(lambda course: list(course.assignments.values())),
    "submissions": _submissions,
    "modules": _in_courses(lambda course: list(course.modules.values())),
    "module_items": _in_courses(lambda course: list(course.module_items.values())),
    "group_categories": _in_courses(lambda course: list(course.group_categories.values())),
    "groups": _in_courses(lambda course: list(course.student_groups.values())),
    "group_memberships": _in_courses(lambda course: list(course.memberships.values())),
}
