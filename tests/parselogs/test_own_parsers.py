"""Parsers from outside, with codes of their own: in findings, in the log, on the pages, in the lists."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from parselogs.logs import open_findings
from parselogs.parsers import CODES, DEFAULT, Finding, Severity
from tests.console import client_of, staff, text_of
from tests.parselogs.files import log_of, parsed, upload
from tests.parselogs.parsers.collect import collect
from tests.parselogs.rooms import PARSERS

REGISTRY = DEFAULT.extended(PARSERS)
ROOMS = "room_id,seats,building,campus\nR1,20,North,\nR2,30,,\nR3,many,,East\n"
HOURS = "room,closes\nR1,18\n"


def test_rules_of_a_table_find_its_own_codes() -> None:
    report = collect(ROOMS, registry=REGISTRY)
    assert report.places("no_place") == [(3, None)]
    assert report.total == (3, 1, 2)
    [found] = [one for one in report.findings if one.code == "no_place"]
    assert (found.severity, found.text) == (Severity.ROW, "A room needs one of building, campus.")
    assert found.advice == "Say where it is."


def test_codes_of_a_parser_mean_what_it_declares_and_others_what_their_names_say() -> None:
    found = collect(HOURS, registry=REGISTRY).findings
    assert [(one.severity, one.text, one.advice) for one in found] == [
        ("row", "closes is before 20 o'clock.", "Choose another than 20."),
        ("row", "Room closed", "Room closed"),
        (CODES["missing_value"].severity, "room is blank.", CODES["missing_value"].advice),
    ]


def test_a_code_that_nobody_declares_is_a_doubt_that_says_its_name() -> None:
    found = Finding("never_declared", "rooms.csv", 2)
    assert (found.severity, found.text, found.advice) == ("warning", "Never declared.", "")
    assert Finding("never_{declared}", "rooms.csv").text == "Never {declared}"


def test_of_two_that_declare_a_code_the_first_is_heard() -> None:
    assert REGISTRY.codes["no_place"].text.startswith("A room")
    assert DEFAULT.codes == {}
    assert "room_closed" not in CODES


@pytest.mark.django_db
def test_log_list_and_page_say_what_a_parser_of_ones_own_declares(settings: Any) -> None:
    settings.PARSELOGS_PARSERS = ["tests.parselogs.rooms.PARSERS"]
    run = parsed(upload(ROOMS.encode(), "rooms.csv"))

    assert (run.state, run.parser, run.finding_counts) == (
        "succeeded_with_errors",
        "timetable",
        {"not_a_number": 1, "no_place": 1},
    )
    assert run.messages.get(code="no_place").severity == "row"
    assert "no_place in rooms.csv, row 3: A room needs one of building, campus." in log_of(run)
    with open_findings(run) as listed:
        assert b"rooms.csv,3,,no_place,row," in listed.read()

    client = client_of(staff("root", superuser=True))
    page = reverse("admin:parselogs_parsefilemeta_change", args=[run.pk])
    assert "A room needs one of building, campus. Say where it is." in text_of(client.get(page))
    for parsers in ([], ["tests.parselogs.rooms.GONE"]):  # taken out of the settings, or broken since
        settings.PARSELOGS_PARSERS = parsers
        assert "No place" in text_of(client.get(page))
