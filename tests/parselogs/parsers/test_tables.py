"""The declared tables: they fit together, and files are read as Canvas reads them."""

from __future__ import annotations

import pytest

from parselogs.parsers import DEFAULT, Registry, TableParser, provisioning, sis
from parselogs.parsers.tables import Kind, Need, Table, marks, primary, required, status
from tests.parselogs.parsers.collect import archive, collect

TABLES = [*sis.TABLES, *provisioning.TABLES]
USERS = "user_id,login_id,full_name,status\n"
ENROLLMENTS = "course_id,section_id,user_id,role,status\n"


def named(table: Table) -> str:
    return table.name


@pytest.mark.parametrize("table", TABLES, ids=named)
def test_a_file_with_all_columns_is_recognised_as_its_own_kind(table: Table) -> None:
    names = [column.name for column in table.columns]
    parser = DEFAULT.recognise(names)
    assert isinstance(parser, TableParser)
    assert parser.table is table
    assert table.missing(names) == []
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("table", TABLES, ids=named)
def test_a_file_with_required_columns_only_is_recognised(table: Table) -> None:
    lead = [column.name for column in table.columns if column.need != Need.NOTHING]
    names = {*lead, *(group[0] for group in table.one_of), *table.marks[0]}
    parser = DEFAULT.recognise(sorted(names))
    assert isinstance(parser, TableParser)
    assert parser.table is table


@pytest.mark.parametrize("table", TABLES, ids=named)
def test_declared_columns_exist(table: Table) -> None:
    names = {column.name for column in table.columns}
    used = [
        *(name for key in table.keys for name in key.columns),
        *(name for rule in table.rules for name in rule.columns),
    ]
    used += [name for group in table.one_of for name in group]
    used += [*(table.parent or ()), *(table.together[0] if table.together else ())]
    assert set(used) <= names
    assert any(column.need == Need.VALUE for column in table.columns)
    assert all(column.allowed for column in table.columns if column.kind in (Kind.CHOICE, Kind.ROLE))


def test_references_lead_to_tables_that_are_read_before() -> None:
    seen: set[str] = set()
    for table in TABLES:
        refers = {column.refers for column in table.columns} - {""}
        assert refers <= seen, table.name
        seen |= {key.space for key in table.keys}


def test_files_of_an_archive_are_read_in_canvas_order() -> None:
    entries = {
        "1.csv": "course_id,user_id,role,status\nC1,U1,student,active\n",
        "2.csv": USERS + "U1,ann,Ann,active\n",
        "3.csv": "course_id,short_name,long_name,status\nC1,c,C,active\n",
    }
    report = collect(archive(entries))
    assert [began[1] for began in report.files] == ["courses", "users", "enrollments"]
    assert report.findings == []


def test_headers_may_be_of_any_case_order_and_spacing() -> None:
    report = collect("Status, LOGIN_ID ,User_ID,full_name\n Active , ann , U1 ,Ann\n")
    assert (report.findings, report.total) == ([], (1, 1, 0))


def test_blank_rows_are_no_rows() -> None:
    report = collect(USERS + "\n,,,\nU1,ann,Ann,active\n , ,,\n\nU2,bo,Bo,gone\n")
    assert report.total == (2, 1, 1)
    assert report.places("value_not_allowed") == [(7, "status")]


def test_rows_are_counted_as_a_spreadsheet_shows_them() -> None:
    report = collect(USERS + 'U1,ann,"Ann\nof two lines",active\nU2,bo,Bo,gone\n')
    assert report.places("value_not_allowed") == [(3, "status")]


def test_references_of_a_single_file_are_not_judged() -> None:
    assert collect(ENROLLMENTS + "C1,S1,U1,student,active\n").findings == []


def test_logins_add_ids_that_enrollments_may_name() -> None:
    entries = {
        "users.csv": USERS + "U1,ann,Ann,active\n",
        "logins.csv": "user_id,login_id,existing_user_id\nU1b,ann2,U1\nU1c,ann3,U7\n",
        "enrollments.csv": ENROLLMENTS + "C1,,U1b,student,active\n",
    }
    report = collect(archive(entries))
    assert [(each.code, each.file, each.row) for each in report.findings] == [
        ("reference_absent", "logins.csv", 3)
    ]


def test_a_deleted_user_does_not_keep_the_login() -> None:
    report = collect(USERS + "U1,ann,Ann,deleted\nU2,ann,Ann,active\n")
    assert report.findings == []


def test_logins_of_two_providers_may_be_the_same() -> None:
    header = "user_id,login_id,full_name,status,authentication_provider_id\n"
    report = collect(header + "U1,ann,Ann,active,\nU2,ann,Ann,active,7\nU3,Ann,Ann,active,7\n")
    assert report.places("value_claimed") == [(4, "login_id, authentication_provider_id")]
    assert report.total == (3, 2, 1)


def test_a_row_that_is_rejected_late_is_not_there_for_others() -> None:
    entries = {
        "users.csv": USERS + "U1,ann,Ann,active\nU2,ann,Bo,active\n",
        "enrollments.csv": ENROLLMENTS + "C1,,U2,student,active\n",
    }
    report = collect(archive(entries))
    assert [each.code for each in report.findings] == ["value_claimed", "reference_absent"]


def test_a_row_with_two_faults_is_rejected_once() -> None:
    entries = {
        "users.csv": USERS + "U1,ann,Ann,active\n",
        "courses.csv": "course_id,short_name,long_name,status\nC1,c,C,active\n",
        "enrollments.csv": ENROLLMENTS + "C7,,U7,student,active\n,,,student,gone\n",
    }
    report = collect(archive(entries), self_contained=True)
    assert report.counts[-1] == (2, 0, 2)
    assert len(report.findings) == 5


def test_cross_listed_sections_belong_to_both_courses() -> None:
    entries = {
        "sections.csv": "section_id,course_id,name,status\nS1,C1,S,active\n",
        "xlists.csv": "xlist_course_id,section_id,status\nC2,S1,active\n",
        "enrollments.csv": ENROLLMENTS
        + "C1,S1,U1,student,active\nC2,S1,U2,student,active\nC3,S1,U3,student,active\n",
    }
    assert collect(archive(entries)).places("section_of_other_course") == [(4, "course_id")]


def test_terms_have_a_row_for_each_type_of_enrollment() -> None:
    header = "term_id,name,status,date_override_enrollment_type,start_date\n"
    rows = "T1,Fall,active,,\nT1,Fall,active,StudentEnrollment,2026-09-01\nT1,Fall,active,,2026-09-02\n"
    assert [each.code for each in collect(header + rows).findings] == ["conflicting_row"]


def test_parents_may_be_in_a_file_read_before() -> None:
    header = "account_id,parent_account_id,name,status\n"
    entries = {"a.csv": header + "A1,,One,active\n", "b.csv": header + "A2,A1,Two,active\nA3,A9,X,active\n"}
    report = collect(archive(entries))
    assert report.places("parent_later") == []
    assert report.places("reference_absent") == [(3, "parent_account_id")]


def test_provisioning_users_may_have_several_logins() -> None:
    header = "canvas_user_id,user_id,login_id,full_name,status,created_by_sis\n"
    report = collect(header + "1,,ann,Ann,active,true\n1,,ann2,Ann,active,false\n")
    assert (report.codes, report.files[0][1]) == ([], "provisioning users")


def test_a_table_of_ones_own_is_asked_first() -> None:
    rooms = Table(
        "rooms",
        "timetable",
        marks("room_id seats"),
        (required("room_id"), required("seats"), status("open", "closed")),
        keys=(primary("rooms", "room_id"),),
    )
    registry = DEFAULT.extended([rooms])
    report = collect("room_id,seats,status\nR1,20,open\nR1,30,shut\n", registry=registry)
    assert report.files[0][1:] == ("rooms", "timetable", "1")
    assert [(each.code, each.row) for each in report.findings] == [("value_not_allowed", 3)]
    assert Registry([rooms]).recognise(["user_id", "login_id"]) is None


def test_cells_that_a_row_lacks_are_blank() -> None:
    report = collect("user_id,login_id,status,full_name,email\nU1,ann,active,Ann\nU2,bo\n")
    assert [(one.code, one.row, one.column) for one in report.findings] == [
        ("too_few_cells", 2, None),
        ("too_few_cells", 3, None),
        ("missing_value", 3, "status"),
        ("no_name", 3, None),
    ]
    assert report.total == (2, 1, 1)


def test_an_id_of_a_row_that_lacks_cells_is_known_to_others() -> None:
    users = "user_id,login_id,status,full_name,email\nU1,ann,active,Ann\n"
    enrollments = "course_id,user_id,role,status\nC1,U1,student,active\n"
    report = collect(archive({"users.csv": users, "enrollments.csv": enrollments}))
    assert report.codes == ["too_few_cells"]
