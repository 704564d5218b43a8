"""Gradebook exports in the notations that Canvas writes."""

from __future__ import annotations

import pytest

from tests.parselogs.parsers.collect import collect

HEADER = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Essay (7),Lab; part 1 (8),Essays Current Score,Final Score\n"
)
MUTED = ",,,,,Manual Posting,,,\n"
POINTS = "    Points Possible,,,,,10.00,20.00,(read only),(read only)\n"
ROWS = (
    '"Doe, Ann",1,U1,ann,"S1 and S2",9.50,EX,95.0,A\n'
    "Bo,2,U2,bo,S1,N/A,,,\n"
    "Student Test,3,,abc,S1,85%,B+,90,B\n"
)


@pytest.mark.parametrize("muted", ["", MUTED])
def test_export_as_canvas_writes_it(muted: str) -> None:
    report = collect(HEADER + muted + POINTS + ROWS)
    assert (report.findings, report.total) == ([], (3, 3, 0))
    assert report.files[0][1] == "gradebook"


def test_semicolons_decimal_commas_and_mark_are_settings_of_the_user() -> None:
    text = "Student;ID;SIS Login ID;Section;Essay (7)\n    Points Possible;;;;10,00\nAnn;1;ann;S1;9,5\n"
    assert collect(text.encode("utf-8-sig")).findings == []


def test_names_in_two_columns() -> None:
    text = (
        "LastName,FirstName,ID,SIS Login ID,Section,Essay (7)\nPoints Possible,,,,,10\nDoe,Ann,1,ann,S1,10\n"
    )
    report = collect(text)
    assert (report.findings, report.total) == ([], (1, 1, 0))


def test_a_student_twice_and_a_student_without_id() -> None:
    rows = "Ann,1,U1,a,S1,9,,,\nBo,,U2,b,S1,9,,,\nAnn,1,U1,a,S1,8,,,\nAnn,1,U1,a,S1,9,,,\n"
    report = collect(HEADER + POINTS + rows)
    assert report.places("missing_value") == [(4, "ID")]
    assert report.places("conflicting_row") == [(5, "ID")]
    assert report.places("repeated_row") == [(6, "ID")]
    assert report.total == (4, 3, 1)


def test_an_assignment_twice_ends_the_file() -> None:
    report = collect("Student,ID,Section,Essay (7),Again (7)\n" + "Points Possible,,,1,1\nAnn,1,S,1,1\n")
    assert report.places("duplicate_column") == [(1, "assignment 7")]
    assert report.total == (0, 0, 0)


def test_a_bad_score_rejects_the_row_and_a_high_one_does_not() -> None:
    report = collect(HEADER + MUTED + POINTS + "Ann,1,,a,S1,11,ten,,\nBo,2,,b,S1,10.01,20,,\n")
    assert report.places("score_above_points") == [(4, "assignment 7"), (5, "assignment 7")]
    assert report.places("score_not_a_number") == [(4, "assignment 8")]
    assert report.total == (2, 1, 1)


def test_titles_are_never_shown() -> None:
    report = collect(HEADER + POINTS + "Ann,1,,a,S1,bad,,,\n")
    assert [each.column for each in report.findings] == ["assignment 7"]
    assert "Essay" not in repr(report.findings)
