"""What dangles in the copy is found, counted and named; what hangs together is not."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from canvas.links import EXAMPLES, Link, check_links
from canvas.models import Course, Submission
from canvas.resources import RESOURCES
from tests.factories import (
    AccountFactory,
    AssignmentFactory,
    CourseFactory,
    InstanceFactory,
    SubmissionFactory,
    TermFactory,
    UserFactory,
)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("check_links", *arguments, stdout=out)
    return out.getvalue()


def dangling() -> list[Link]:
    return [link for link in check_links() if link.rows]


@pytest.fixture
def whole(db: None) -> Submission:
    """A submission with everything above it there."""
    site = InstanceFactory()
    account = AccountFactory(instance=site, canvas=1)
    term = TermFactory(instance=site, canvas=2)
    course = CourseFactory(
        instance=site, canvas=3, account=account, root_account=account, enrollment_term=term
    )
    assignment = AssignmentFactory(instance=site, canvas=4, course=course)
    user = UserFactory(instance=site, canvas=5)
    return SubmissionFactory(instance=site, canvas=6, course=course, assignment=assignment, user=user)


def test_every_foreign_key_of_every_mirrored_table_is_looked_at(db: None):
    looked_at = {(link.model, link.column) for link in check_links()}
    assert looked_at == {
        (resource.model.__name__, field.name)
        for resource in RESOURCES.values()
        for field in resource.model._meta.get_fields()
        if field.many_to_one
    }
    assert {
        ("Submission", "user"),
        ("Section", "nonxlist_course"),
        ("Account", "parent_account"),
    } <= looked_at
    assert ("Term", "instance") in looked_at


def test_rows_with_all_their_parents_do_not_dangle(whole: Submission):
    assert dangling() == []


def test_missing_parent_is_named_with_its_canvas_id(whole: Submission):
    Course.objects.all().delete()
    assert dangling() == [
        Link("Assignment", "course", "Course", 1, 1, ("3",)),
        Link("Submission", "course", "Course", 1, 1, ("3",)),
    ]


def test_null_is_no_link(db: None):
    SubmissionFactory()
    CourseFactory()
    assert dangling() == []


def test_many_rows_count_as_rows_and_their_parents_once_each(whole: Submission):
    base = whole.id - 6
    for number in range(100, 120):
        SubmissionFactory(instance=whole.instance, canvas=number, user_id=base + 50 + number % 8)
    (link,) = dangling()
    assert (link.column, link.rows, link.missing) == ("user", 20, 8)
    assert link.examples == ("50", "51", "52", "53", "54")
    assert len(link.examples) == EXAMPLES


def test_row_of_an_instance_that_is_gone_dangles(db: None):
    TermFactory.create(instance_id=9_999, instance=None, id=10**13 + 1)
    assert [(link.model, link.column, link.examples) for link in dangling()] == [
        ("Term", "instance", ("9999",))
    ]


def test_number_of_statements_does_not_grow_with_the_rows(
    whole: Submission, django_assert_max_num_queries: Any
):
    Course.objects.all().delete()
    for number in range(100, 130):
        SubmissionFactory(instance=whole.instance, canvas=number, user_id=number)
    keys = len(list(check_links()))
    with django_assert_max_num_queries(keys + len(dangling())):
        list(check_links())


@pytest.mark.postgresql
def test_rows_without_a_parent_are_found_by_one_join(whole: Submission):
    with CaptureQueriesContext(connection) as captured:
        list(check_links())
    counts = [query["sql"] for query in captured if "canvas_submission" in query["sql"]]
    assert counts
    with connection.cursor() as cursor:
        for sql in counts:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "Anti Join" in plan
            assert "SubPlan" not in plan


def test_command_tells_of_each_link_and_ends_with_a_count(whole: Submission):
    Course.objects.all().delete()
    for number in range(100, 107):
        SubmissionFactory(instance=whole.instance, canvas=number, user_id=number)
    lines = run().splitlines()
    assert lines[0] == "Assignment.course: 1 rows name 1 missing Course rows (ids 3)"
    assert lines[2] == "Submission.user: 7 rows name 7 missing User rows (ids 100, 101, 102, 103, 104, …)"
    checked = len(list(check_links()))
    assert lines[-1] == f"{checked} foreign keys checked, 3 dangle: 9 times a parent is missing."


def test_command_prints_one_json_object(whole: Submission):
    Course.objects.all().delete()
    result = json.loads(run("--json"))
    assert result["checked"] == len(list(check_links()))
    assert result["dangling"][0] == {
        "model": "Assignment",
        "column": "course",
        "parent": "Course",
        "rows": 1,
        "missing": 1,
        "examples": ["3"],
    }


def test_command_is_content_with_an_empty_database(db: None):
    assert run().endswith("0 dangle: 0 times a parent is missing.\n")
    assert json.loads(run("--json"))["dangling"] == []
