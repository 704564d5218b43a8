"""Checks of columns: what passes, what does not, and that the quick way agrees with the slow one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parselogs.parsers import checks


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("2026-09-01", True),
        ("2026-09-01T00:00:00Z", True),
        ("2026-09-01T00:00:00.123Z", True),
        ("2026-9-1 08:15", True),
        ("2026-09-01 00:00:00-06:00", True),
        ("2026-09-01T00:00:00+0100", True),
        ("2026-13-01", False),
        ("2026-02-30", False),
        ("01.09.2026", False),
        ("2026-09-01T25:00:00Z", False),
        ("tomorrow", False),
        ("٢٠٢٦-09-01", False),
    ],
)
def test_dates(value: str, good: bool) -> None:
    assert checks.is_date(value) is good


@pytest.mark.parametrize("value", ["a@b", "é@b.example", "a+b@c.example", ""])
def test_good_addresses(value: str) -> None:
    assert list(checks.emails([value, "a@b.example"])) == []


@pytest.mark.parametrize("value", ["a", "@b", "a@", "a@b@c", "a b@c", "a@b;c@d", "a\n@b"])
def test_bad_addresses(value: str) -> None:
    assert list(checks.emails(["a@b.example", value])) == [1]


@given(st.lists(st.text(alphabet="a@ .\n,é", max_size=5), max_size=5))
def test_quick_and_slow_look_at_addresses_agree(cells: list[str]) -> None:
    slow = [at for at, cell in enumerate(cells) if cell.strip() and not checks._EMAIL.fullmatch(cell.strip())]
    assert list(checks.emails(cells)) == slow


def test_numbers() -> None:
    assert list(checks.numbers(["1", "", "12~34", "x", "-1", "²", "٣", "1" * 30])) == [3, 4, 5, 6, 7]
    assert list(checks.numbers(["1", "23"])) == []


def test_choices_take_any_case_and_blank() -> None:
    assert list(checks.choice(["active", "deleted"])(["active", "", "DELETED", "gone"])) == [3]


def test_values_that_passed_are_remembered_within_bounds() -> None:
    asked: list[str] = []
    check = checks.Distinct(lambda value: asked.append(value) is None)
    for _ in range(2):
        assert list(check(["x", "y" * 1000])) == []
    assert asked.count("x") == 1
    check([str(number) for number in range(2 * checks.REMEMBERED)])
    assert len(check._known) <= checks.REMEMBERED


def test_stripped_cells() -> None:
    assert list(checks.stripped([" a", "b"])) == ["a", "b"]
    clean = ["a", "b", ""]
    assert checks.stripped(clean) is clean


def test_all_blank_and_half_filled() -> None:
    assert list(checks.all_blank(["", "a", " "], ["b", "", ""])) == [2]
    assert list(checks.all_blank(["x", "y"], ["", ""])) == []
    assert list(checks.half_filled(["", "a", "b"], ["", "", "c"])) == [1]
