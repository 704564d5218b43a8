"""A zip of SIS CSV files about the sandbox's people and courses, with the mistakes that real ones have."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.clock import Clock
from sandbox.world import World

Cells = dict[str, str]
Files = dict[str, list[Cells]]

MADE = (2026, 1, 12, 6, 0, 0)
"""The date of the files in the zip: fixed, so that the same seed gives the same bytes."""

ROLES = {
    "StudentEnrollment": "student",
    "TeacherEnrollment": "teacher",
    "TaEnrollment": "ta",
    "ObserverEnrollment": "observer",
    "DesignerEnrollment": "designer",
}
STATES = {"invited": "active", "creation_pending": "active"}
"""States that only Canvas gives, and what the file that led to them said."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong with a file, in words and as what makes it so."""

    file: str
    what: str
    make: Callable[[list[Cells]], None]


def _write(position: int, column: str, value: str) -> Callable[[list[Cells]], None]:
    def make(rows: list[Cells]) -> None:
        rows[position % len(rows)][column] = value

    return make


def _repeat(position: int) -> Callable[[list[Cells]], None]:
    def make(rows: list[Cells]) -> None:
        rows.append(dict(rows[position % len(rows)]))

    return make


MISTAKES = (
    Mistake("users.csv", "a user without a login", _write(3, "login_id", "")),
    Mistake("users.csv", "a state that Canvas does not know", _write(7, "status", "activ")),
    Mistake("users.csv", "an e-mail address without its host", _write(11, "email", "nobody.at.example")),
    Mistake("users.csv", "the same user twice", _repeat(19)),
    Mistake("courses.csv", "a course in a term that is not there", _write(1, "term_id", "2031-SP")),
    Mistake("sections.csv", "a section without a name", _write(2, "name", "")),
    Mistake("enrollments.csv", "an enrollment of somebody unknown", _write(5, "user_id", "SIS-GONE")),
    Mistake("enrollments.csv", "an enrollment in an unknown section", _write(9, "section_id", "2026-SP-X")),
    Mistake("enrollments.csv", "a misspelt role", _write(14, "role", "studnet")),
    Mistake("enrollments.csv", "an enrollment without a state", _write(21, "status", "")),
)
STRAY = ("lunch.csv", "day,dish\nMonday,Soup\n")
"""A file in the zip that is none of Canvas's."""


def write_sis_zip(path: Path, *, size: str = "tiny", seed: int = 1, mistakes: bool = True) -> None:
    """Write the zip; without `mistakes` every row of it is good."""
    files = sis_files(World(size, seed, Clock()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for mistake in MISTAKES if mistakes else ():
            mistake.make(files[mistake.file])
        for name, rows in files.items():
            archive.writestr(zipfile.ZipInfo(name, MADE), _as_csv(rows), zipfile.ZIP_DEFLATED)
        if mistakes:
            archive.writestr(zipfile.ZipInfo(STRAY[0], MADE), STRAY[1])


def sis_files(world: World) -> Files:
    """Return the rows of each file as a student information system would send them (SIS CSV format)."""
    users = {key: row["sis_user_id"] or f"SIS-{key}" for key, row in world.users.items()}
    courses = [course for course in world.all_courses() if course.row["workflow_state"] == "available"]
    sections = [row for course in courses for row in course.sections.values()]
    enrollments = [
        row for course in courses for row in course.enrollments.values() if row["user_id"] in users
    ]
    return {
        "accounts.csv": [_account(row, world.accounts) for row in world.accounts.values()],
        "terms.csv": [_term(row) for row in world.terms.values() if row["sis_term_id"]],
        "courses.csv": [_course(course.row, world) for course in courses],
        "sections.csv": [_section(row) for row in sections if row["sis_section_id"]],
        "users.csv": [_user(row, users) for key, row in world.users.items() if key > 0],
        "enrollments.csv": [_enrollment(row, users) for row in enrollments if row["sis_section_id"]],
    }


def _account(row: Mapping[str, object], accounts: Mapping[int, Mapping[str, object]]) -> Cells:
    parent = accounts.get(_number(row["parent_account_id"]), {})
    return _cells(
        account_id=row["sis_account_id"] or f"ACC-{row['id']}",
        parent_account_id=parent and (parent["sis_account_id"] or f"ACC-{parent['id']}"),
        name=row["name"],
        status=row["workflow_state"],
    )


def _term(row: Mapping[str, object]) -> Cells:
    return _cells(
        term_id=row["sis_term_id"],
        name=row["name"],
        status=row["workflow_state"],
        start_date=row["start_at"],
        end_date=row["end_at"],
    )


def _course(row: Mapping[str, object], world: World) -> Cells:
    account = world.accounts[_number(row["account_id"])]
    return _cells(
        course_id=row["sis_course_id"],
        short_name=row["course_code"],
        long_name=row["name"],
        account_id=account["sis_account_id"] or f"ACC-{account['id']}",
        term_id=world.terms[_number(row["enrollment_term_id"])]["sis_term_id"],
        status="active",
    )


def _section(row: Mapping[str, object]) -> Cells:
    return _cells(
        section_id=row["sis_section_id"],
        course_id=row["sis_course_id"],
        name=row["name"],
        status=row["workflow_state"],
    )


def _user(row: Mapping[str, object], sis_ids: Mapping[int, str]) -> Cells:
    return _cells(
        user_id=sis_ids[_number(row["id"])],
        login_id=row["login_id"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        email=row["email"],
        status="active",
    )


def _enrollment(row: Mapping[str, object], sis_ids: Mapping[int, str]) -> Cells:
    state = str(row["workflow_state"])
    return _cells(
        section_id=row["sis_section_id"],
        user_id=sis_ids[_number(row["user_id"])],
        role=ROLES[str(row["type"])],
        status=STATES.get(state, state),
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _cells(**values: object) -> Cells:
    return {name: str(value or "") for name, value in values.items()}


def _as_csv(rows: Iterable[Cells]) -> str:
    rows = list(rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
