"""The sizes a sandbox Canvas comes in, one line each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything there is; students, assignments and sections are per available course."""

    courses: int
    users: int
    students: int
    assignments: int
    sections: int = 2
    groups: int = 4
    modules: int = 3
    # Groups of students, all in one category; a second category has none.
    student_groups: int = 2
    # Courses in other states (completed, unpublished, deleted) and unpublished or deleted assignments.
    oddities: bool = True
    # Published assignments of the completed course; 0 keeps the count of listed submissions round.
    past_assignments: int = 0
    # One assignment of each course is only for the second section, and one student is hidden from it.
    differentiated: bool = False


SIZES = {
    "tiny": Size(courses=3, users=20, students=10, assignments=7, past_assignments=2, differentiated=True),
    "small": Size(courses=5, users=500, students=100, assignments=50),
    "bench": Size(courses=20, users=500, students=25, assignments=200, oddities=False),
    "big_course": Size(courses=1, users=600, students=500, assignments=200, oddities=False),
    "campus": Size(courses=200, users=20_000, students=100, assignments=50),
}
