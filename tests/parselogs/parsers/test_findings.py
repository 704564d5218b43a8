"""Each code by an example: the upload that has it, and where it is found."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from parselogs.parsers import CODES, Limits
from tests.parselogs.parsers.collect import archive, collect

USERS = "user_id,login_id,full_name,status\n"
ONE_USER = USERS + "U1,ann,Ann,active\n"
COURSES = "course_id,short_name,long_name,status\nC1,c1,Course 1,active\n"
SECTIONS = "section_id,course_id,name,status\nS1,C1,Section 1,active\n"
ENROLLMENTS = "course_id,section_id,user_id,role,status\n"
ACCOUNTS = "account_id,parent_account_id,name,status\n"
GRADEBOOK = "Student,ID,SIS Login ID,Section,Essay (7)\n"
POINTS = "    Points Possible,,,,10\n"


@dataclass(frozen=True)
class Example:
    """An upload, and the row and column where its code is found (None: the file as a whole)."""

    content: str | bytes
    row: int | None = None
    column: str | None = None
    name: str = "file.csv"
    options: dict[str, Any] = field(default_factory=dict)


def limited(**limits: int) -> dict[str, Any]:
    return {"limits": Limits(**limits)}


def encrypted() -> bytes:
    """Return an archive whose entry says it is encrypted, in its header and in the directory."""
    data = bytearray(archive({"users.csv": ONE_USER}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def damaged() -> bytes:
    """Return an archive whose entry's checksum is wrong."""
    data = bytearray(archive({"users.csv": ONE_USER}, zipfile.ZIP_STORED))
    data[data.index(b"Ann")] = ord("a")
    return bytes(data)


def twice() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        writer.writestr("users.csv", ONE_USER)
        with pytest.warns(UserWarning, match="Duplicate name"):
            writer.writestr("users.csv", ONE_USER)
    return buffer.getvalue()


def zipped(**entries: str) -> bytes:
    return archive({f"{name}.csv": content for name, content in entries.items()})


MANY = USERS + "".join(f"U{number},l{number},N,deleted\n" for number in range(10))

EXAMPLES: dict[str, Callable[[], Example]] = {
    "empty_file": lambda: Example("\n\n"),
    "not_utf8": lambda: Example(ONE_USER.encode() + b"U2,bo,B\xf6,active\n", 3),
    "utf16": lambda: Example(ONE_USER.encode("utf-16")),
    "byte_order_mark": lambda: Example(ONE_USER.encode("utf-8-sig")),
    "cr_line_ends": lambda: Example(ONE_USER.replace("\n", "\r")),
    "nul_in_header": lambda: Example(ONE_USER.encode("utf-16-be"), 1),
    "header_too_long": lambda: Example("x" * 3000, 1, options=limited(max_record_characters=1000)),
    "unknown_header": lambda: Example("this,that\n1,2\n", 1),
    "wrong_delimiter": lambda: Example(ONE_USER.replace(",", ";"), 1),
    "missing_column": lambda: Example("user_id,login_id\n", 1),
    "duplicate_column": lambda: Example("user_id,login_id,status,status\n", 1, "status"),
    "too_many_columns": lambda: Example(USERS, 1, options=limited(max_columns=3)),
    "too_many_rows": lambda: Example(MANY, 12, options=limited(max_rows=9)),
    "unclosed_quote": lambda: Example(ONE_USER + 'U2,"bo,Bo,active\n', 3),
    "stray_quote": lambda: Example(ONE_USER + 'U2,bo,Bo "the man",active\n', 3),
    "unknown_column": lambda: Example("user_id,login_id,full_name,status,shoe_size\n", 1),
    "no_rows": lambda: Example(USERS),
    "secret_column": lambda: Example("user_id,login_id,password,status\n", 1, "password"),
    "too_many_cells": lambda: Example(ONE_USER + "U2,bo,Bo,Li,active\n", 3),
    "too_few_cells": lambda: Example(ONE_USER + "U2,bo\n", 3),
    "blank_cells_added": lambda: Example(ONE_USER + "U2,bo,Bo,active,,\n", 3),
    "record_too_long": lambda: Example(
        ONE_USER + f'U2,"{"x" * 3000}",Bo,active\n',
        3,
        options=limited(max_record_characters=500, block_bytes=64),
    ),
    "cell_too_long": lambda: Example(
        ONE_USER + f"U2,{'x' * 3000},Bo,active\n", 3, "column 2", options=limited(max_cell_characters=1000)
    ),
    "nul_character": lambda: Example(ONE_USER + "U2,b\0o,Bo,active\n", 3, "column 2"),
    "missing_value": lambda: Example(ONE_USER + " ,bo,Bo,active\n", 3, "user_id"),
    "missing_one_of": lambda: Example(ENROLLMENTS + ",,U1,student,active\n", 2),
    "value_not_allowed": lambda: Example(ONE_USER + "U2,bo,Bo,gone\n", 3, "status"),
    "not_a_number": lambda: Example("canvas_term_id,name,status\nx,Fall,active\n", 2, "canvas_term_id"),
    "bad_email": lambda: Example("user_id,login_id,full_name,status,email\nU1,a,A,active,a@\n", 2, "email"),
    "bad_date": lambda: Example("term_id,name,status,start_date\nT,Fall,active,1.9.26\n", 2, "start_date"),
    "bad_boolean": lambda: Example(
        "user_id,login_id,full_name,status,home_account\nU1,a,A,active,maybe\n", 2, "home_account"
    ),
    "custom_role": lambda: Example(ENROLLMENTS + "C1,,U1,Grader,active\n", 2, "role"),
    "no_name": lambda: Example(ONE_USER + "U2,bo,,active\n", 3),
    "only_one_date": lambda: Example(
        "course_id,user_id,role,status,start_date,end_date\nC,U,ta,active,2026-09-01,\n", 2
    ),
    "repeated_row": lambda: Example(ONE_USER + "U2,bo,Bo,active\nU1,ann,Ann,active\n", 4, "user_id"),
    "conflicting_row": lambda: Example(ONE_USER + "U1,ann,Anna,active\n", 3, "user_id"),
    "value_claimed": lambda: Example(ONE_USER + "U2,ANN,Bo,active\n", 3, "login_id"),
    "parent_later": lambda: Example(ACCOUNTS + "A2,A1,Two,active\nA1,,One,active\n", 2, "parent_account_id"),
    "reference_absent": lambda: Example(
        zipped(a=ONE_USER, b=ENROLLMENTS + "C1,,U2,ta,active\n"), 2, "user_id"
    ),
    "reference_missing": lambda: Example(
        zipped(a=ONE_USER, b=ENROLLMENTS + "C1,,U2,ta,active\n"),
        2,
        "user_id",
        options={"self_contained": True},
    ),
    "section_of_other_course": lambda: Example(
        zipped(a=SECTIONS, b=ENROLLMENTS + "C1,S1,U1,ta,active\nC2,S1,U1,ta,active\n"), 3, "course_id"
    ),
    "many_deletions": lambda: Example(MANY),
    "archive_damaged": lambda: Example(zipped(a=ONE_USER)[:-30]),
    "archive_too_large": lambda: Example(zipped(a=ONE_USER), options=limited(max_archive_bytes=50)),
    "archive_too_many_entries": lambda: Example(
        archive({f"{number}.csv": ONE_USER for number in range(4)}), options=limited(max_entries=3)
    ),
    "archive_empty": lambda: Example(archive({})),
    "workbook": lambda: Example(archive({"[Content_Types].xml": "", "xl/workbook.xml": ""})),
    "entry_ratio": lambda: Example(
        zipped(a=USERS * 1000), options=limited(max_ratio=10, ratio_free_bytes=1000)
    ),
    "entry_encrypted": lambda: Example(encrypted()),
    "entry_compression": lambda: Example(archive({"a.csv": ONE_USER}, zipfile.ZIP_BZIP2)),
    "entry_damaged": lambda: Example(damaged()),
    "entry_unsafe_name": lambda: Example(archive({"../users.csv": ONE_USER})),
    "nested_archive": lambda: Example(archive({"a.csv": archive({"b.csv": ONE_USER})})),
    "unknown_entry": lambda: Example(archive({"a.csv": ONE_USER, "read.me": "x"})),
    "repeated_entry": lambda: Example(twice()),
    "repeated_kind": lambda: Example(zipped(a=ONE_USER, b=USERS + "U2,bo,Bo,active\n")),
    "no_points_row": lambda: Example(GRADEBOOK + "Ann,1,ann,S,9\n"),
    "no_assignments": lambda: Example("Student,ID,Section,Total\n" + POINTS, 1),
    "score_not_a_number": lambda: Example(GRADEBOOK + POINTS + "Ann,1,ann,S,good\n", 3, "assignment 7"),
    "score_above_points": lambda: Example(GRADEBOOK + POINTS + 'Ann,1,ann,S,"10,5"\n', 3, "assignment 7"),
    "points_not_a_number": lambda: Example(
        GRADEBOOK + "    Points Possible,,,,ten\nAnn,1,ann,S,9\n", 2, "assignment 7"
    ),
}


def test_every_code_has_an_example() -> None:
    assert EXAMPLES.keys() == CODES.keys()


@pytest.mark.parametrize("code", EXAMPLES)
def test_code_is_found_where_it_is(code: str) -> None:
    example = EXAMPLES[code]()
    report = collect(example.content, example.name, **example.options)
    assert (example.row, example.column) in report.places(code), report.findings


@pytest.mark.parametrize("code", EXAMPLES)
def test_what_is_found_does_not_depend_on_the_size_of_reads(code: str) -> None:
    example = EXAMPLES[code]()
    if "limits" in example.options:
        return
    once = collect(example.content, example.name, **example.options)
    small = collect(example.content, example.name, at_most=5, **example.options)
    assert sorted(map(repr, small.findings)) == sorted(map(repr, once.findings))
    assert small.counts == once.counts


def test_a_clean_file_has_no_findings() -> None:
    report = collect(ONE_USER + "U2,bo,Bo,suspended\n", "anything.txt")
    assert (report.findings, report.total) == ([], (2, 2, 0))
    assert report.files == [("anything.txt", "users", "SIS import", "1")]


def test_details_of_a_repeat_name_the_first_row() -> None:
    report = collect(zipped(a=ONE_USER, b=USERS + "U9,x,X,active\nU1,ann,Anna,active\n"))
    [finding] = [each for each in report.findings if each.code == "conflicting_row"]
    assert (finding.file, finding.row) == ("b.csv", 3)
    assert finding.detail == {"first_row": 2, "first_file": "a.csv"}


def test_bad_byte_is_told_by_its_offset() -> None:
    content = ONE_USER.encode() + b"U2,bo,B\xf6,active\n"
    [finding] = collect(content, at_most=3).findings
    assert finding.detail["offset"] == content.index(b"\xf6")
    assert collect(content).total == (1, 1, 0)


@pytest.mark.parametrize("code", EXAMPLES)
def test_texts_and_advice_are_sentences(code: str) -> None:
    assert CODES[code].text.endswith(".")
    assert CODES[code].advice.endswith(".")
    example = EXAMPLES[code]()
    for finding in collect(example.content, example.name, **example.options).findings:
        assert "{" not in finding.text + finding.advice
