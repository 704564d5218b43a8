"""The difference between two runs of a file: what is new, gone and the same, within bounds."""

from __future__ import annotations

import time

import pytest
from django.test import Client
from django.urls import reverse

from parselogs import differences
from parselogs.differences import EXAMPLES, LINES_COMPARED, Spot, compare_findings, log_difference
from parselogs.models import DataFile, ParseFileMeta
from parselogs.storage import uploads
from tests.console import client_of, staff, text_of
from tests.parselogs.files import again, parsed, upload, users


def spot(code: str, row: int) -> Spot:
    """Return a finding."""
    return Spot(code, "users.csv", str(row), "status")


def log(*texts: str, second: int = 1) -> list[bytes]:
    """Return a log with these lines."""
    return [f"2026-11-22T08:00:{second:02}.000Z INFO     {text}\n".encode() for text in texts]


def test_findings_are_new_gone_or_the_same():
    before = [spot("a", 1), spot("a", 2), spot("b", 1)]
    after = [spot("a", 2), spot("a", 3), spot("c", 9)]
    found = {one.code: (one.new, one.gone, one.same) for one in compare_findings(before, after)}

    assert found == {"a": (1, 1, 1), "b": (0, 1, 0), "c": (1, 0, 0)}


def test_equal_findings_are_matched_one_to_one():
    [one] = compare_findings([spot("a", 1)] * 3, [spot("a", 1)] * 5)

    assert (one.new, one.gone, one.same) == (2, 0, 3)


def test_examples_are_bounded_for_each_code():
    after = [spot(code, row) for code in "ab" for row in range(5 * EXAMPLES)]
    found = compare_findings([], after)

    assert [len(one.examples) for one in found] == [EXAMPLES, EXAMPLES]
    assert [one.new for one in found] == [5 * EXAMPLES, 5 * EXAMPLES]


def test_logs_that_differ_in_times_and_ids_only_are_the_same():
    first = log(
        "Run 57fa85dc-0fa9-4fe3-9b1d-040903e9afdf, attempt 1 of file 3", "Process 77 on vm", "Done: 0.1 s"
    )
    second = log(
        "Run 00000000-0fa9-4fe3-9b1d-040903e9afdf, attempt 2 of file 3",
        "Process 8 on vm",
        "Done: 33.5 s",
        second=59,
    )

    assert log_difference(first, second).changes == []


def test_new_and_gone_lines_stand_among_their_neighbours():
    before = log(*(f"line {number}" for number in range(20)))
    after = log(*(f"line {number}" for number in range(20) if number != 10), "the last")
    found = log_difference(before, after)

    assert (found.new, found.gone, found.left_out) == (1, 1, 0)
    words = [(change.word, change.text.split("  ")[-1].strip()) for change in found.changes]
    assert ("gone", "line 10") in words
    assert ("new", "the last") in words
    assert ("same", "line 0") not in words


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["a", "b"] * 20_000, ["b", "c"] * 20_000),
        ([str(number) for number in range(40_000)], [str(-number) for number in range(40_000)]),
        ([str(number % 7) for number in range(40_000)], [str(number % 11) for number in range(40_000)]),
    ],
)
def test_hostile_logs_take_bounded_time(old, new):
    started = time.process_time()
    found = log_difference(log(*old), log(*new))

    assert time.process_time() - started < 20
    assert len(found.changes) <= differences.CHANGES_SHOWN
    assert found.left_out >= 2 * (40_000 - LINES_COMPARED) - differences.CHANGES_SHOWN


# --- of real runs ---------------------------------------------------------------------------------


@pytest.fixture
def root() -> Client:
    return client_of(staff("root", superuser=True))


def compare_url(run: ParseFileMeta) -> str:
    """Return the address of the comparison with the run before."""
    return reverse("admin:parselogs_parsefilemeta_compare", args=[run.uuid])


@pytest.mark.django_db
def test_two_runs_of_a_file_are_compared(root):
    first = parsed(upload(users(rows=300, wrong=150)))
    second = parsed(again(first.data_file))

    shown = text_of(root.get(compare_url(second)))
    assert "0 new, 0 gone, 150 the same." in shown
    assert "could be compared" not in shown  # though the tables keep 100 of each kind only
    assert "1 new and 1 gone line" in shown  # what started each of them


@pytest.mark.django_db
def test_what_a_new_parser_finds_is_new_and_what_it_takes_is_gone(root):
    first = parsed(upload(users(rows=4, wrong=2)))
    second = parsed(again(first.data_file))
    for run, row in ((first, 90), (second, 91)):
        run.messages.create(code="bad_email", severity="row", file="users.csv", row=row, column="email")
        counts = run.finding_counts | {"bad_email": 1}
        ParseFileMeta.objects.filter(pk=run.pk).update(finding_counts=counts, findings_file="")

    shown = text_of(root.get(compare_url(second)))
    assert "1 new, 1 gone, 2 the same." in shown
    assert "new Bad email users.csv 91 email" in shown
    assert "gone Bad email users.csv 90 email" in shown
    backwards = text_of(root.get(compare_url(first), {"with": "2"}))
    assert "1 new, 1 gone, 2 the same." in backwards


@pytest.mark.django_db
def test_a_list_that_is_not_to_be_had_is_said(root):
    first = parsed(upload(users(rows=300, wrong=150)))
    second = parsed(again(first.data_file))
    uploads().delete(second.findings_file.name)
    uploads().delete(second.log_file.name)

    shown = text_of(root.get(compare_url(second)))
    assert "Only the first findings of each kind could be compared" in shown
    assert "0 new, 0 gone, 100 the same." in shown
    assert "no longer in storage" in shown


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["", "?with=7", "?with=x", "?with=" + "9" * 40, "?with=4294967296"])
def test_a_run_alone_has_nothing_to_compare_with(root, query):
    run = parsed(upload())

    assert "run of this file to compare with" in text_of(root.get(compare_url(run) + query))


@pytest.mark.django_db
def test_a_run_of_another_file_is_never_compared_with(root):
    run = parsed(upload(users(2)))
    other = parsed(upload(users(3)))
    assert DataFile.objects.count() == 2

    shown = text_of(root.get(compare_url(run), {"with": str(other.attempt)}))
    assert "There is no other run" in shown
