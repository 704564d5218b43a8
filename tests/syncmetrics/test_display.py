"""States, ages, durations and numbers as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils.html import strip_tags

from syncmetrics.display import (
    NOTHING,
    RUN_COLOURS,
    STEP_COLOURS,
    ago,
    badge,
    duration,
    moment,
    number,
    words,
)
from syncmetrics.models import SyncRun, SyncStep

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, NOTHING),
        (0.0, "0 s"),
        (0.123, "0.12 s"),
        (4.26, "4.3 s"),
        (12.4, "12 s"),
        (59.7, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7_440, "2 h 4 min"),
        (3_600_000, "1,000 h 0 min"),
    ],
)
def test_durations_are_as_exact_as_is_useful(seconds, expected):
    assert strip_tags(duration(seconds)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, NOTHING),
        (0, "0"),
        (1_234_567, "1,234,567"),
        (93.0, "93"),
        (1_250.456, "1,250.46"),
        (0.5, "0.5"),
    ],
)
def test_numbers_have_thousands_separators(value, expected):
    assert number(value) == expected


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(seconds=-20), "just now"),
        (timedelta(hours=3, minutes=50), "3\xa0hours ago"),
        (timedelta(days=-2, minutes=-1), "in 2\xa0days"),
    ],
)
@time_machine.travel(NOW, tick=False)
def test_ages_are_round_and_keep_the_moment(past, expected):
    shown = ago(NOW - past)

    assert strip_tags(shown) == expected
    assert " UTC" in shown


def test_a_moment_names_its_zone():
    assert strip_tags(moment(NOW)) == "2026-03-04 05:06 UTC"
    assert moment(None) == ago(None) == NOTHING


def test_json_is_shown_as_text():
    assert words({"drop_lowest": 1, "never_drop": [5, 1200]}) == "drop_lowest: 1\nnever_drop: 5, 1,200"
    assert words([]) == words({}) == NOTHING
    assert words(True) == "True"


def test_a_badge_escapes_what_it_shows():
    shown = badge("<b>", "danger", title='"x"')

    assert "<b>" not in shown
    assert "&lt;b&gt;" in shown


def test_every_ended_state_has_a_colour():
    assert set(RUN_COLOURS) == set(SyncRun.Status)
    assert set(STEP_COLOURS) == {state for state in SyncStep.State if state not in ("pending", "skipped")}
