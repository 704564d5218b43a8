"""The whole of a sandbox Canvas: accounts, terms, people and courses, the same for the same seed and size."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from sandbox import ids, outline, teams
from sandbox.clock import DAY, Clock, stamp
from sandbox.course import Course, CourseMaker, People, course_number
from sandbox.ids import FOREIGN_SHARD, Row, global_id
from sandbox.names import FIRST_NAMES, LAST_NAMES, PRONOUNS, SENTENCES, SUBJECTS, TIME_ZONES, WEB_ADDRESS
from sandbox.sizes import SIZES

ROOT_ACCOUNT_ID = 1
ACCOUNTS = (  # id, parent, name, state
    (1, None, "Sandbox University", "active"),
    (2, 1, "College of Arts", "active"),
    (3, 1, "College of Sciences", "active"),
    (4, 3, "Department of Physics", "active"),
    (5, 1, "Closed School", "deleted"),
)
TERMS = (  # id, name, start, end (days after the calendar's first), state, SIS id
    (1, "Default Term", None, None, "active", None),
    (2, "Spring 2026", 0, None, "active", "2026-SP"),
    (3, "Fall 2025", -140, -25, "active", "2025-FA"),
    (4, "Cancelled Term", -300, -200, "deleted", "2025-XX"),
)
CURRENT_TERM_ID, PAST_TERM_ID = 2, 3
# The courses behind the available ones, in this order.
ODD_STATES = ("completed", "unpublished", "deleted")
# Enough for all chains of a campus; a sync that comes every minute would fill the memory otherwise.
LISTINGS_REMEMBERED = 5_000
FIRST_COURSE_ID = 101
FIRST_USER_ID = 1_001
# Ids of rows that edits add: beyond 32 bits, as on a Canvas that has lived long.
FIRST_ADDED_ID = 9_000_000_001


class World:
    """All rows, and the way from an id to its row."""

    def __init__(self, size: str, seed: int, clock: Clock) -> None:
        self.size_name, self.size, self.seed, self.clock = size, SIZES[size], seed, clock
        self.lock = threading.RLock()
        self.version = 0
        self._dice = random.Random(f"{seed}/world")  # noqa: S311 - must repeat, not be secret
        self._next_added = FIRST_ADDED_ID
        self.accounts = {row[0]: self._account(*row) for row in ACCOUNTS}
        self.terms = {row[0]: self._term(*row) for row in TERMS}
        self.users = {row["id"]: row for row in self._make_users()}
        self._cast()
        self.courses: dict[int, Row] = {row["id"]: row for row in self._make_courses()}
        self._filled: dict[int, Course] = {}
        # Rows that left the course in whose id range they lie, or never had one.
        self.homes: dict[tuple[str, int], int] = {}
        self._memory: dict[tuple[Any, ...], list[int]] = {}
        # Targets of edits so far, by name and id.
        self.touched: set[tuple[str, Any]] = set()

    # --- looking up --------------------------------------------------------------------------------

    def course(self, course_id: int) -> Course:
        """A course with all it holds; KeyError if there never was one."""
        if course_id not in self._filled:
            with self.lock:
                if course_id not in self._filled:
                    self._filled[course_id] = self._fill(self.courses[course_id])
        return self._filled[course_id]

    def all_courses(self) -> Iterator[Course]:
        """Every course, filled one after the other."""
        return (self.course(course_id) for course_id in list(self.courses))

    def home_of(self, resource: str, row_id: int) -> Course | None:
        """The course that would hold a row of a course's resource; None for an id of no course."""
        home = self.homes.get((resource, row_id))
        number = course_number(resource, row_id)
        course_id = FIRST_COURSE_ID + number if home is None else home
        return self.course(course_id) if course_id in self.courses else None

    def account_chain(self, account_id: int) -> list[int]:
        """The account and those above it."""
        chain = [account_id]
        while (parent := self.accounts[chain[-1]]["parent_account_id"]) is not None:
            chain.append(parent)
        return chain

    def enrollments_of(self, user_id: int) -> list[tuple[Course, Row]]:
        """A user's enrollments in all courses and states, with their courses."""
        return [
            (course, row)
            for course in self.all_courses()
            for row in course.enrollments.values()
            if row["user_id"] == user_id
        ]

    def remember(self, key: tuple[Any, ...], work: Callable[[], list[int]]) -> list[int]:
        """The ids of a listing, worked out once for all of its pages; an edit forgets them."""
        if key not in self._memory:
            if len(self._memory) >= LISTINGS_REMEMBERED:
                self._memory.clear()
            self._memory[key] = work()
        return self._memory[key]

    def forget(self) -> None:
        """Something changed: whatever was worked out before is void."""
        self.version += 1
        self._memory.clear()

    def new_id(self) -> int:
        """An id above all others."""
        self._next_added += 1
        return self._next_added

    # --- making ------------------------------------------------------------------------------------

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))

    def _account(self, account_id: int, parent: int | None, name: str, state: str) -> Row:
        return {
            "id": account_id,
            "name": name,
            "uuid": self._uuid(),
            "parent_account_id": parent,
            "root_account_id": None if parent is None else ROOT_ACCOUNT_ID,
            "default_storage_quota_mb": 500,
            "default_user_storage_quota_mb": 50,
            "default_group_storage_quota_mb": 50,
            "default_time_zone": "America/Denver",
            "sis_account_id": None if parent is None else f"ACC-{account_id}",
            "integration_id": None,
            "sis_import_id": None,
            "workflow_state": state,
        }

    def _term(
        self, term_id: int, name: str, start: int | None, end: int | None, state: str, sis_id: str | None
    ) -> Row:
        return {
            "id": term_id,
            "name": name,
            "start_at": None if start is None else stamp(start * DAY),
            "end_at": None if end is None else stamp(end * DAY),
            "created_at": stamp(-400 * DAY),
            "workflow_state": state,
            "grading_period_group_id": None,
            "sis_term_id": sis_id,
            "sis_import_id": None,
        }

    def _make_users(self) -> Iterator[Row]:
        for place in range(self.size.users - 1):
            yield self._user(FIRST_USER_ID + place, place, "registered")
        # A student of a sister campus: Canvas shows users of another shard by their global id.
        yield self._user(global_id(FOREIGN_SHARD, 5), self.size.users - 1, "registered")
        yield self._user(FIRST_USER_ID + self.size.users, self.size.users, "deleted")

    def _user(self, user_id: int, place: int, state: str) -> Row:
        dice = self._dice
        first, last = dice.choice(FIRST_NAMES), dice.choice(LAST_NAMES)
        sis_id = f"U{place:06}" if place % 9 else None
        return {
            "id": user_id,
            "name": f"{first} {last}",
            "created_at": stamp(dice.randrange(-900 * DAY, -60 * DAY)),
            "sortable_name": f"{last}, {first}",
            "short_name": first,
            "first_name": first,
            "last_name": last,
            "sis_user_id": sis_id,
            "integration_id": None,
            "sis_import_id": 1 if sis_id else None,
            "login_id": f"user{place:05}",
            "email": f"user{place:05}@example.edu" if place % 7 else None,
            "avatar_url": f"{WEB_ADDRESS}/images/thumbnails/{place}",
            "locale": None,
            "effective_locale": "en",
            "last_login": stamp(dice.randrange(0, 120 * DAY)) if place % 5 else None,
            "time_zone": dice.choice(TIME_ZONES),
            "bio": None,
            "pronouns": dice.choice(PRONOUNS),
            "uuid": f"{dice.getrandbits(160):040x}",
            "workflow_state": state,
        }

    def _cast(self) -> None:
        """Who administers, teaches and studies: the same places in every size."""
        live = [row["id"] for row in self.users.values() if row["workflow_state"] != "deleted"]
        teachers = max(2, min(self.size.courses // 2, 40))
        self.admin_id, self.subaccount_admin_id = live[0], live[1]
        self.teacher_ids = live[2 : 2 + teachers]
        self.ta_id = live[2 + teachers]
        self.student_pool = live[3 + teachers : -1]
        self.foreign_id = live[-1]

    def _make_courses(self) -> Iterator[Row]:
        for number in range(self.size.courses):
            yield self._course(number, "available")
        if self.size.oddities:
            for place, state in enumerate(ODD_STATES):
                yield self._course(self.size.courses + place, state)

    def _course(self, number: int, state: str) -> Row:
        dice, course_id = self._dice, FIRST_COURSE_ID + number
        past = state == "completed"
        subject = dice.choice(SUBJECTS)
        code = f"{''.join(word[0] for word in subject.split()).upper()}{100 + number}"
        return {
            "id": course_id,
            "sis_course_id": f"2026-SP-{code}-{number}" if number % 6 != 5 else None,
            "uuid": f"{dice.getrandbits(160):040x}",
            "integration_id": None,
            "sis_import_id": 1 if number % 6 != 5 else None,
            "name": f"{subject} {100 + number}",
            "course_code": code,
            "workflow_state": state,
            "account_id": (1, 2, 3, 4)[number % 4],
            "root_account_id": ROOT_ACCOUNT_ID,
            "enrollment_term_id": PAST_TERM_ID if past else (1 if number % 5 == 4 else CURRENT_TERM_ID),
            "grading_standard_id": None,
            "grade_passback_setting": None,
            "created_at": stamp(dice.randrange(-200 * DAY, -150 * DAY)),
            "start_at": stamp(-140 * DAY) if past else None,
            "end_at": stamp(-25 * DAY) if past else None,
            "locale": None,
            "calendar": {"ics": f"{WEB_ADDRESS}/feeds/calendars/course_{course_id}.ics"},
            "default_view": "modules",
            "syllabus_body": f"<p>{dice.choice(SENTENCES)}</p>",
            "apply_assignment_group_weights": number % 2 == 0,
            "is_public": None if number % 3 else False,
            "is_public_to_auth_users": False,
            "public_syllabus": False,
            "public_syllabus_to_auth": False,
            "public_description": None,
            "storage_quota_mb": 500,
            "hide_final_grades": False,
            "license": "private",
            "allow_student_assignment_edits": False,
            "allow_wiki_comments": False,
            "allow_student_forum_attachments": True,
            "open_enrollment": False,
            "self_enrollment": False,
            "restrict_enrollments_to_course_dates": past,
            "course_format": None,
            "time_zone": "America/Denver",
            "blueprint": False,
            "template": False,
        }

    def _fill(self, row: Row) -> Course:
        number = row["id"] - FIRST_COURSE_ID
        maker = CourseMaker(row, number, self._people(number), self.size, self.seed)
        available = row["workflow_state"] == "available"
        published = self.size.assignments if available else 0
        if row["workflow_state"] == "completed":
            published = self.size.past_assignments
        course = maker.make(published, drafts=1 if self.size.oddities else 0)
        outline.add_modules(course, self.size)
        teams.add_groups(course, self.size)
        if row["workflow_state"] == "deleted":
            for enrollment in course.enrollments.values():
                enrollment["enrollment_state"] = enrollment["workflow_state"] = "deleted"
        return course

    def _people(self, number: int) -> People:
        dice = random.Random(f"{self.seed}/people/{number}")  # noqa: S311 - must repeat, not be secret
        count = min(self.size.students, len(self.student_pool) - 3)
        chosen = dice.sample(self.student_pool[1:], count + 1)
        # The first of the pool studies everywhere: the student token needs courses to see.
        students = [*chosen[:-2], self.student_pool[0]]
        if number == 0:
            students[0] = self.foreign_id
        taken = set(chosen)
        observer = next((user for user in self.student_pool[1:] if user not in taken), None)
        staff = [(self.teacher_ids[number % len(self.teacher_ids)], "TeacherEnrollment")]
        staff.append((self.ta_id, "DesignerEnrollment" if number % 2 else "TaEnrollment"))
        return People(students, chosen[-2:-1], staff, observer)


def find(world: World, kind: str, text: str) -> Row | None:
    """An `account`, `term`, `user` or `course` by any spelling of its id; deleted ones too."""
    tables = {"account": world.accounts, "term": world.terms, "user": world.users, "course": world.courses}
    rows, number = tables[kind], ids.parse_id(text)
    return rows.get(number) if number is not None else ids.find_by_sis(kind, text, rows.values())
