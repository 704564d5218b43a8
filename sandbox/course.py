"""What one course holds, made from the seed when the course is first touched."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from sandbox.clock import DAY, LENGTH_DAYS, stamp
from sandbox.ids import Row
from sandbox.names import GROUPS, SENTENCES, TASKS, WEB_ADDRESS
from sandbox.sizes import Size
from sandbox.submissions import Block, Roster, Submissions

STUDENT = "StudentEnrollment"
ROLE_IDS = {
    STUDENT: 3,
    "TeacherEnrollment": 4,
    "TaEnrollment": 5,
    "DesignerEnrollment": 6,
    "ObserverEnrollment": 7,
}
# Each course's own ids begin at `first + course number x stride`; what edits add comes after all of them.
ID_RANGES = {
    "sections": (20_001, 10),
    "assignment_groups": (300_001, 10),
    "assignments": (5_000_001, 1_000),
    "enrollments": (1_000_001, 2_000),
    "submissions": (100_000_001, 1_000_000),
    "modules": (400_001, 50),
    "module_items": (2_500_001, 1_000),
    "group_categories": (600_001, 10),
    "groups": (650_001, 100),
    "group_memberships": (3_500_001, 1_000),
}
# The state of the enrollment at this place of a course's students; all others are active.
STATES_BY_PLACE = {1: "completed", 2: "inactive", 4: "invited"}
TWO_SECTIONS_PLACE = 3


@dataclass(frozen=True, slots=True)
class People:
    """Who is in a course, by user id."""

    students: list[int]
    dropped: list[int]
    staff: list[tuple[int, str]]
    observer: int | None


@dataclass(slots=True)
class Course:
    """One course and its rows by id."""

    row: Row
    number: int
    submissions: Submissions
    sections: dict[int, Row] = field(default_factory=dict)
    enrollments: dict[int, Row] = field(default_factory=dict)
    groups: dict[int, Row] = field(default_factory=dict)
    assignments: dict[int, Row] = field(default_factory=dict)
    modules: dict[int, Row] = field(default_factory=dict)
    module_items: dict[int, Row] = field(default_factory=dict)
    group_categories: dict[int, Row] = field(default_factory=dict)
    student_groups: dict[int, Row] = field(default_factory=dict)
    memberships: dict[int, Row] = field(default_factory=dict)

    @property
    def id(self) -> int:
        """Its id."""
        return int(self.row["id"])

    @property
    def published(self) -> list[Row]:
        """Its published assignments."""
        return [row for row in self.assignments.values() if row["workflow_state"] == "published"]

    def rows(self, resource: str) -> dict[int, Row]:
        """The rows of one of the resources that are found by id alone."""
        tables = {
            "sections": self.sections,
            "group_categories": self.group_categories,
            "groups": self.student_groups,
        }
        return tables[resource]

    def students(self) -> Iterator[Row]:
        """Student enrollments that are not deleted or rejected."""
        gone = ("deleted", "rejected")
        return (
            e for e in self.enrollments.values() if e["type"] == STUDENT and e["enrollment_state"] not in gone
        )


def first_id(resource: str, number: int) -> int:
    """The first id of a resource in the course of this number."""
    first, stride = ID_RANGES[resource]
    return first + number * stride


def course_number(resource: str, row_id: int) -> int:
    """The number of the course in whose range an id lies (perhaps of a course that does not exist)."""
    first, stride = ID_RANGES[resource]
    return (row_id - first) // stride


class CourseMaker:
    """Fills one course from its seed, in a fixed order."""

    def __init__(self, row: Row, number: int, people: People, size: Size, seed: int) -> None:
        self._dice = random.Random(f"{seed}/course/{number}")  # noqa: S311 - must repeat, not be secret
        self._people = people
        self._size = size
        self._grader_id = people.staff[0][0]
        self.course = Course(row, number, Submissions(seed, self._grader_id))

    def make(self, assignments: int, drafts: int) -> Course:
        """Sections, enrollments, groups, `assignments` published ones, and some that are not."""
        self._add_sections()
        self._add_enrollments()
        self._add_groups()
        self._add_assignments(assignments, drafts)
        self._bury_the_dropped()
        return self.course

    # --- sections and people -----------------------------------------------------------------------

    def _add_sections(self) -> None:
        number, row = self.course.number, self.course.row
        for place in range(self._size.sections):
            self._add_section(place, f"{row['course_code']} §{place + 1}", "active")
        if self._size.oddities:
            self._add_section(self._size.sections, "Withdrawn section", "deleted")
        if number == 0 and self._size.oddities:
            crossed = self._add_section(self._size.sections + 1, "Cross-listed from next door", "active")
            crossed["nonxlist_course_id"] = row["id"] + 1

    def _add_section(self, place: int, name: str, state: str) -> Row:
        course = self.course
        section = {
            "id": first_id("sections", course.number) + place,
            "course_id": course.id,
            "name": name,
            "start_at": None,
            "end_at": None,
            "created_at": course.row["created_at"],
            "restrict_enrollments_to_section_dates": None,
            "nonxlist_course_id": None,
            "sis_section_id": f"{course.row['sis_course_id']}-S{place + 1}" if place < 2 else None,
            "sis_course_id": course.row["sis_course_id"],
            "integration_id": None,
            "sis_import_id": 1 if place < 2 else None,
            "workflow_state": state,
        }
        course.sections[section["id"]] = section
        return section

    def _add_enrollments(self) -> None:
        people, live = (
            self._people,
            [s for s in self.course.sections.values() if s["workflow_state"] == "active"],
        )
        concluded = self.course.row["workflow_state"] == "completed"
        for user_id, kind in people.staff:
            self._enroll(user_id, kind, live[0], "completed" if concluded else "active")
        for place, user_id in enumerate(people.students):
            state = "completed" if concluded else STATES_BY_PLACE.get(place, "active")
            self._enroll(user_id, STUDENT, live[place % len(live)], state)
            if place == TWO_SECTIONS_PLACE:
                self._enroll(user_id, STUDENT, live[(place + 1) % len(live)], state)
        for user_id in people.dropped:
            self._enroll(user_id, STUDENT, live[0], "deleted")
        if people.observer:
            observer = self._enroll(people.observer, "ObserverEnrollment", live[0], "active")
            observer["associated_user_id"] = people.students[0]

    def _enroll(self, user_id: int, kind: str, section: Row, state: str) -> Row:
        number, dice = self.course.number, self._dice
        enrollment = blank_enrollment(
            first_id("enrollments", number) + len(self.course.enrollments),
            self.course.row,
            section,
            user_id,
            kind,
            stamp(dice.randrange(-20 * DAY, 0)),
        )
        enrollment["enrollment_state"] = enrollment["workflow_state"] = state
        enrollment["updated_at"] = stamp(dice.randrange(0, 10 * DAY))
        if state in ("active", "completed"):
            enrollment["last_activity_at"] = stamp(dice.randrange(20 * DAY, LENGTH_DAYS * DAY))
            enrollment["total_activity_time"] = dice.randrange(60, 500_000)
        if kind == STUDENT:
            enrollment["grades"] = self._grades(user_id)
        self.course.enrollments[enrollment["id"]] = enrollment
        return enrollment

    def _grades(self, user_id: int) -> Row:
        current = round(self._dice.uniform(45, 100), 2)
        final = round(current * self._dice.uniform(0.7, 1), 2)
        grades = empty_grades(self.course.id, user_id)
        for prefix in ("", "unposted_"):
            grades[prefix + "current_score"], grades[prefix + "final_score"] = current, final
        return grades

    # --- assignments -------------------------------------------------------------------------------

    def _add_groups(self) -> None:
        for place in range(self._size.groups):
            name = GROUPS[place % len(GROUPS)]
            self._add_group(place, name, "available")
        if self._size.oddities:
            self._add_group(self._size.groups, "Removed group", "deleted")

    def _add_group(self, place: int, name: str, state: str) -> None:
        group: Row = {
            "id": first_id("assignment_groups", self.course.number) + place,
            "name": name,
            "position": place + 1,
            "group_weight": round(100 / self._size.groups, 2),
            "sis_source_id": None,
            "integration_data": {},
            "rules": {"drop_lowest": 1} if place == 0 else {},
            "workflow_state": state,
            "course_id": self.course.id,
        }
        self.course.groups[group["id"]] = group

    def _add_assignments(self, published: int, drafts: int) -> None:
        roster = Roster([*self._people.students, *self._people.dropped])
        second = self._students_of_second_section()
        states = ["published"] * published + ["unpublished"] * drafts + ["deleted"] * drafts
        next_submission = first_id("submissions", self.course.number)
        for place, state in enumerate(states):
            assignment, due = self._assignment(place, state)
            self.course.assignments[assignment["id"]] = assignment
            if state == "unpublished":
                continue
            special = self._size.differentiated and place == 1 and second
            assignment["only_visible_to_overrides"] = assignment["has_overrides"] = bool(special)
            block = Block(next_submission, assignment, Roster(second) if special else roster, due)
            self.course.submissions.add_block(block)
            next_submission += len(block.ids)

    def _students_of_second_section(self) -> list[int]:
        sections = list(self.course.sections)
        return sorted({e["user_id"] for e in self.course.students() if e["course_section_id"] == sections[1]})

    def _assignment(self, place: int, state: str) -> tuple[Row, int]:
        dice, course = self._dice, self.course
        groups = [row for row in course.groups.values() if row["workflow_state"] == "available"]
        name = f"{TASKS[dice.randrange(len(TASKS))]} {place + 1}"
        due = (14 + dice.randrange(100)) * DAY + 23 * 3600 + 59 * 60 + 59
        created = stamp(dice.randrange(-30 * DAY, 0))
        row = blank_assignment(
            first_id("assignments", course.number) + place,
            course.row,
            groups[place % len(groups)],
            name,
            created,
        )
        row["position"] = place // len(groups) + 1
        row["workflow_state"], row["published"] = state, state == "published"
        row["points_possible"] = float(dice.choice((5, 10, 20, 100)))
        row["description"] = _description(dice)
        row["updated_at"] = stamp(dice.randrange(0, 14 * DAY))
        if dice.random() < 0.95:
            row["due_at"] = row["lock_at"] = stamp(due)
            row["unlock_at"] = stamp(due - 14 * DAY)
        if name.startswith("Quiz"):
            row["quiz_id"], row["is_quiz_assignment"] = 700_000 + row["id"], True
            row["submission_types"] = ["online_quiz"]
        row["has_submitted_submissions"] = row["graded_submissions_exist"] = state == "published"
        row["needs_grading_count"] = dice.randrange(5) if state == "published" else 0
        return row, due

    def _bury_the_dropped(self) -> None:
        store = self.course.submissions
        for assignment_id in self.course.assignments:
            for user_id in self._people.dropped:
                submission_id = store.id_of(assignment_id, user_id)
                if submission_id:
                    store.bury(submission_id)


def _description(dice: random.Random) -> str | None:
    if dice.random() < 0.1:
        return None
    return "".join(f"<p>{dice.choice(SENTENCES)}</p>" for _ in range(dice.randrange(6, 14)))


def empty_grades(course_id: int, user_id: int) -> Row:
    """The grades of a student enrollment before anything was graded."""
    grades: Row = {"html_url": f"{WEB_ADDRESS}/courses/{course_id}/grades/{user_id}"}
    for prefix in ("", "unposted_"):
        for name in ("current_score", "current_grade", "final_score", "final_grade"):
            grades[prefix + name] = None
    return grades


def blank_enrollment(
    enrollment_id: int, course: Row, section: Row, user_id: int, kind: str, created: str
) -> Row:
    """An active enrollment that nobody has used yet."""
    cid = course["id"]
    row: Row = {
        "id": enrollment_id,
        "course_id": cid,
        "sis_course_id": course["sis_course_id"],
        "course_integration_id": None,
        "course_section_id": section["id"],
        "section_integration_id": None,
        "sis_section_id": section["sis_section_id"],
        "sis_account_id": None if course["account_id"] == 1 else f"ACC-{course['account_id']}",
        "enrollment_state": "active",
        "workflow_state": "active",
        "limit_privileges_to_course_section": False,
        "sis_import_id": 1 if section["sis_section_id"] else None,
        "root_account_id": 1,
        "type": kind,
        "user_id": user_id,
        "associated_user_id": None,
        "role": kind,
        "role_id": ROLE_IDS[kind],
        "created_at": created,
        "updated_at": created,
        "start_at": None,
        "end_at": None,
        "last_activity_at": None,
        "last_attended_at": None,
        "total_activity_time": 0,
        "html_url": f"{WEB_ADDRESS}/courses/{cid}/users/{user_id}",
    }
    if kind == STUDENT:
        row["grades"] = empty_grades(cid, user_id)
    return row


def blank_assignment(assignment_id: int, course: Row, group: Row, name: str, created: str) -> Row:
    """A published assignment without dates."""
    cid = course["id"]
    page = f"{WEB_ADDRESS}/courses/{cid}/assignments/{assignment_id}"
    return {
        "id": assignment_id,
        "name": name,
        "description": None,
        "created_at": created,
        "updated_at": created,
        "due_at": None,
        "lock_at": None,
        "unlock_at": None,
        "has_overrides": False,
        "course_id": cid,
        "html_url": page,
        "submissions_download_url": f"{page}/submissions?zip=1",
        "assignment_group_id": group["id"],
        "due_date_required": False,
        "max_name_length": 255,
        "turnitin_enabled": False,
        "vericite_enabled": False,
        "grade_group_students_individually": False,
        "peer_reviews": False,
        "automatic_peer_reviews": False,
        "intra_group_peer_reviews": False,
        "group_category_id": None,
        "needs_grading_count": 0,
        "position": 1,
        "post_to_sis": False,
        "integration_id": None,
        "integration_data": {},
        "sis_assignment_id": None,
        "points_possible": 10.0,
        "submission_types": ["online_text_entry", "online_url"],
        "has_submitted_submissions": False,
        "grading_type": "points",
        "grading_standard_id": None,
        "published": True,
        "unpublishable": True,
        "only_visible_to_overrides": False,
        "locked_for_user": False,
        "quiz_id": None,
        "is_quiz_assignment": False,
        "anonymous_submissions": False,
        "freeze_on_copy": False,
        "omit_from_final_grade": False,
        "hide_in_gradebook": False,
        "moderated_grading": False,
        "grader_count": 0,
        "final_grader_id": None,
        "grader_comments_visible_to_graders": True,
        "graders_anonymous_to_graders": False,
        "grader_names_visible_to_final_grader": True,
        "anonymous_grading": False,
        "allowed_attempts": -1,
        "post_manually": False,
        "can_submit": False,
        "annotatable_attachment_id": None,
        "anonymize_students": False,
        "require_lockdown_browser": False,
        "important_dates": False,
        "muted": False,
        "anonymous_peer_reviews": False,
        "anonymous_instructor_annotations": False,
        "graded_submissions_exist": False,
        "in_closed_grading_period": False,
        "can_duplicate": True,
        "original_course_id": None,
        "original_assignment_id": None,
        "original_lti_resource_link_id": None,
        "original_assignment_name": None,
        "original_quiz_id": None,
        "workflow_state": "published",
    }
