"""Ids in every spelling: one key each, exact, reversible; what is no id says so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easel.ids import MAX_SHARD_NUMBER, SHARD_SIZE, Folder, InvalidId, canvas_id, split_id

HOME = 7
HOME_ON_CANVAS = 2_107
FOREIGN_ON_CANVAS = 10_001
FOREIGN = 8
LAST_CANVAS_SHARD = 2**63 // SHARD_SIZE

# A busy machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
local_ids = st.integers(1, SHARD_SIZE - 1)
canvas_shards = st.integers(1, LAST_CANVAS_SHARD - 1)


def site(**changes: Any) -> Folder:
    return Folder(HOME, **({"canvas_shard": HOME_ON_CANVAS, "known": {FOREIGN_ON_CANVAS: FOREIGN}} | changes))


@unhurried
@given(local_ids)
def test_every_spelling_of_a_home_id_folds_to_one_key(local: int):
    spellings = (
        local,
        str(local),
        f" {local} ",
        f"{HOME_ON_CANVAS}~{local}",
        HOME_ON_CANVAS * SHARD_SIZE + local,
        str(HOME_ON_CANVAS * SHARD_SIZE + local),
    )
    assert {site().fold(spelling) for spelling in spellings} == {HOME * SHARD_SIZE + local}


@unhurried
@given(local_ids)
def test_every_spelling_of_a_foreign_id_folds_to_one_key_apart_from_home(local: int):
    spellings = (f"{FOREIGN_ON_CANVAS}~{local}", FOREIGN_ON_CANVAS * SHARD_SIZE + local)
    assert {site().fold(spelling) for spelling in spellings} == {FOREIGN * SHARD_SIZE + local}


@unhurried
@given(st.sampled_from([HOME, FOREIGN]), local_ids)
def test_key_spelled_for_canvas_folds_to_itself(number: int, local: int):
    folder = site()
    key = number * SHARD_SIZE + local
    assert folder.fold(folder.spell(key)) == key
    assert canvas_id(key) == local


@unhurried
@given(canvas_shards, local_ids)
def test_split_takes_a_global_id_apart_without_loss(shard: int, local: int):
    assert split_id(shard * SHARD_SIZE + local) == (shard, local)
    assert split_id(f"{shard}~{local}") == (shard, local)


@unhurried
@given(st.integers(-(2**63), -1))
def test_negative_id_stays_as_it_is(value: int):
    folder = site()
    assert folder.fold(value) == folder.fold(str(value)) == value
    assert folder.fold(folder.spell(value)) == value
    assert canvas_id(value) == value
    with pytest.raises(InvalidId, match="out of range"):
        folder.fold_own(value)


@unhurried
@given(st.integers(1, MAX_SHARD_NUMBER), local_ids)
def test_every_key_is_exact_in_a_browser(home: int, local: int):
    key = Folder(home).fold(local)
    assert key < 2**53
    assert int(float(key)) == key


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0, "out of range"),
        ("0", "out of range"),
        (2**63, "out of range"),
        (-(2**63) - 1, "out of range"),
        (str(2**63), "out of range"),
        ("9" * 20, "not a Canvas id"),
        (10**400, "out of range"),
        (float(2**64), "cannot be a float"),  # how integers beyond 64 bits come out of the decoder
        (42.0, "cannot be a float"),
        (True, "cannot be a bool"),
        (None, "cannot be a NoneType"),
        ({}, "cannot be a dict"),
        (SHARD_SIZE, "out of range"),  # shard 1, local id 0
        ("1~0", "out of range"),
        ("0~5", "out of range"),
        (f"{LAST_CANVAS_SHARD + 1}~5", "out of range"),
        ("9999999999999999999~5", "out of range"),
        (f"3~{SHARD_SIZE + 5}", "two shards"),
        ("3~-5", "no shard"),
        ("", "not a Canvas id"),
        ("-", "not a Canvas id"),
        ("1_000", "not a Canvas id"),
        ("1~2~3", "not a Canvas id"),
        ("4.0", "not a Canvas id"),
        ("٤٢", "not a Canvas id"),
        ("sis_course_id:X", "not a Canvas id"),
    ],
)
def test_what_is_no_id_is_refused_with_its_reason(value: Any, reason: str):
    with pytest.raises(InvalidId, match=reason):
        site().fold(value)


@unhurried
@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()))
def test_anything_either_folds_to_64_bits_or_is_an_invalid_id(value: Any):
    try:
        key = site(allot=lambda shard: FOREIGN + 1).fold(value)
    except InvalidId:
        return
    assert -(2**63) <= key < 2**63


def test_new_foreign_shard_is_allotted_once():
    asked: list[int] = []

    def allot(shard: int) -> int:
        asked.append(shard)
        return 9

    folder = site(allot=allot)
    assert [folder.fold(f"555~{local}") for local in (1, 2, 1)] == [
        90000000000001,
        90000000000002,
        90000000000001,
    ]
    assert asked == [555]
    assert folder.spell(90000000000002) == "555~2"


def test_unknown_shard_without_anyone_to_allot_it_is_refused():
    with pytest.raises(InvalidId, match="unknown shard"):
        site().fold("555~1")


def test_home_shard_is_foreign_until_its_number_on_canvas_is_known():
    folder = Folder(HOME, allot=lambda shard: 9)
    assert folder.fold(f"{HOME_ON_CANVAS}~42") == 9 * SHARD_SIZE + 42
    assert folder.fold(42) == HOME * SHARD_SIZE + 42


def test_key_of_another_site_has_no_spelling_here():
    with pytest.raises(InvalidId, match="another site"):
        site().spell(500 * SHARD_SIZE + 1)
