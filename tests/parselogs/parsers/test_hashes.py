"""Packed hashes: repeats and absent ids, part by part, as plain dictionaries would find them."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from parselogs.parsers import hashes
from parselogs.parsers.hashes import Hashes

IDS = st.lists(st.integers(-5, 40), max_size=40)
PARTS = st.sampled_from([1, 8, 1000])


def kept(values: list[int]) -> Hashes:
    result = Hashes()
    result.extend(values)
    return result


@given(IDS, PARTS, st.integers(0, 40))
def test_repeats_are_found_with_the_first_place(values: list[int], part: int, since: int) -> None:
    with mock.patch.object(hashes, "PART", part):
        found = sorted(kept(values).repeats(since))
    expected = [(at, values.index(value)) for at, value in enumerate(values) if value]
    assert found == [(at, first) for at, first in expected if first != at and at >= since]


@given(IDS, IDS, IDS, PARTS)
def test_absent_ids_are_found(values: list[int], one: list[int], other: list[int], part: int) -> None:
    with mock.patch.object(hashes, "PART", part):
        found = sorted(kept(values).absent([kept(one), kept(other)]))
    assert found == [at for at, value in enumerate(values) if value and value not in {*one, *other}]


def test_an_id_taken_back_is_no_id() -> None:
    ids = kept([7, 7])
    ids.clear(0)
    assert list(ids.repeats()) == []
    assert ids[1] == 7
