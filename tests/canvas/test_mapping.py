"""From a decoded page to rows: every value checked, one bad record costs only itself, hashes that mean it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canvas.answers import decode
from canvas.mapping import (
    BOOLEAN,
    ID,
    INTEGER,
    JSON,
    NUMBER,
    SHORT_TEXT,
    SHORT_TEXT_CHARS,
    TEXT,
    TIMESTAMP,
    Column,
    Kind,
    Mapped,
    Mapper,
)
from easel.ids import SHARD_SIZE, Folder

# A busy machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
AS_OF = datetime(2024, 9, 1, 12, tzinfo=UTC)
COLUMNS = (
    Column("workflow_state", "workflow_state", TEXT, default="active"),
    Column("course_id", "@course", ID),
    Column("grader_id", "grader_id", ID),
    Column("name", "name", TEXT),
    Column("sis_id", "sis_id", SHORT_TEXT),
    Column("score", "grades.score", NUMBER),
    Column("points", "points", NUMBER),
    Column("position", "position", INTEGER),
    Column("published", "published", BOOLEAN),
    Column("due_at", "due_at", TIMESTAMP),
    Column("rules", "rules", JSON),
)
NAMES = ("id", "instance_id", *(column.name for column in COLUMNS), "row_hash", "as_of", "deleted_at")
COURSE_KEY = SHARD_SIZE + 5


def mapper(columns: Sequence[Column] = COLUMNS, *, source: str = "rest") -> Mapper:
    return Mapper(columns, Folder(1, canvas_shard=2_107, allot=lambda shard: 2), 3, source=source)


def map_page(records: list[Any], **changes: Any) -> Mapped:
    return mapper(**changes).map(records, AS_OF, {"course": COURSE_KEY})


def map_one(**record: Any) -> dict[str, Any]:
    """Return the one row as a dict, columns by name."""
    mapped = map_page([{"id": 1} | record])
    assert mapped.rejected == []
    return dict(zip(NAMES, mapped.rows[0], strict=True))


def reason_of(**record: Any) -> str:
    """Return why a record between two good ones is rejected; the good ones are there, in order."""
    mapped = map_page([{"id": 1}, {"id": 2} | record, {"id": 3}])
    assert [row[0] for row in mapped.rows] == [SHARD_SIZE + 1, SHARD_SIZE + 3]
    ((_, _, reason),) = mapped.rejected
    return reason


# --- rows ---------------------------------------------------------------------------------------


def test_row_holds_key_instance_columns_hash_and_times():
    row = map_one(
        workflow_state="published",
        grader_id=-4,
        name="Essay",
        sis_id="E-1",
        grades={"score": 9.5},
        points=10,
        position=2,
        published=True,
        due_at="2024-10-01T21:59:59Z",
        rules={"never_drop": [1], "drop_lowest": 1},
    )
    assert isinstance(row.pop("row_hash"), int)
    assert row == {
        "id": SHARD_SIZE + 1,
        "instance_id": 3,
        "workflow_state": "published",
        "course_id": COURSE_KEY,
        "grader_id": -4,
        "name": "Essay",
        "sis_id": "E-1",
        "score": 9.5,
        "points": 10.0,
        "position": 2,
        "published": True,
        "due_at": "2024-10-01 21:59:59",
        "rules": '{"drop_lowest":1,"never_drop":[1]}',
        "as_of": "2024-09-01 12:00:00",
        "deleted_at": None,
    }


def test_absent_keys_and_nulls_are_null_and_defaults_fill_in():
    row = map_one(workflow_state=None, grades=None)
    mapped = {row[column.name] for column in COLUMNS[2:]}
    assert mapped == {None}
    assert row["workflow_state"] == "active"


def test_deleted_state_makes_a_tombstone():
    assert map_one(workflow_state="deleted")["deleted_at"] == "2024-09-01 12:00:00"


def test_empty_page_and_unknown_fields_are_no_trouble():
    assert map_page([]).rows == []
    assert (
        map_one(brand_new_field={"a": 1}, workflow_state="never_heard_of")["workflow_state"]
        == "never_heard_of"
    )


@unhurried
@given(st.permutations([5, "6", "2107~7", 2_107 * SHARD_SIZE + 8, "44~9"]))
def test_ids_in_any_spelling_stay_in_their_place(spellings: list[Any]):
    rows = map_page([{"id": one, "grader_id": one, "name": str(one)} for one in spellings]).rows
    local = {5: 5, "6": 6, "2107~7": 7, 2_107 * SHARD_SIZE + 8: 8}
    expected = [SHARD_SIZE + local[one] if one in local else 2 * SHARD_SIZE + 9 for one in spellings]
    assert [row[0] for row in rows] == [row[NAMES.index("grader_id")] for row in rows] == expected
    assert [row[NAMES.index("name")] for row in rows] == [str(one) for one in spellings]


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "spellings"),
    [
        ("position", [10, 10.0, "10", "10.0"]),
        ("position", [2**53 + 1, str(2**53 + 1)]),
        ("points", [10.0, 10, "10", "10.0"]),
        ("name", ["42", 42]),
        ("sis_id", ["42", 42]),
        ("grader_id", [42, "42", "2107~42", 2_107 * SHARD_SIZE + 42]),
        ("published", [True, "true", "T", "yes", "on", 1, "1"]),
        ("published", [False, "false", "F", "no", "off", 0, "0"]),
        ("rules", [{"a": 1, "b": [2]}, {"b": [2], "a": 1}]),
        ("due_at", [None, ""]),
        (
            "due_at",
            [
                "2024-10-01T21:59:59Z",
                "2024-10-01T21:59:59.000Z",
                "2024-10-01T23:59:59+02:00",
                "2024-10-01T15:59:59-06:00",
                "2024-10-01 21:59:59",
                "20241001T215959Z",
            ],
        ),
        ("due_at", ["2024-10-01T00:00:00Z", "20241001T000000.000Z", "2024-W40-2T00:00:00Z", "2024-10-01"]),
        ("due_at", ["2024-10-01T00:00:00.5Z", "2024-10-01T000000,5Z"]),
    ],
)
def test_values_that_mean_the_same_make_the_same_row(key: str, spellings: list[Any]):
    """Also when they stand in one page, where a column is converted as a whole."""
    alone = {map_page([{"id": 1, key: one}]).rows[0] for one in spellings}
    together = {row[1:] for row in map_page([{"id": n, key: v} for n, v in enumerate(spellings, 1)]).rows}
    assert len(alone) == len(together) == 1
    assert {row[1:] for row in alone} == together


moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)).flatmap(
    lambda naive: st.integers(-1439, 1439).map(
        lambda minutes: naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    )
)


@unhurried
@given(moments)
def test_timestamp_is_utc_in_the_form_django_stores(moment: datetime):
    text = map_one(due_at=moment.isoformat())["due_at"]
    assert datetime.fromisoformat(text).replace(tzinfo=UTC) == moment
    assert text == str(moment.astimezone(UTC).replace(tzinfo=None))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"due_at": "yesterday"}, "due_at: timestamp expected"),
        ({"due_at": "2024-02-30T00:00:00Z"}, "due_at: timestamp expected"),
        ({"due_at": "2024-01-01T25:00:00Z"}, "due_at: timestamp expected"),
        ({"due_at": 1704067200}, "due_at: timestamp expected"),
        ({"due_at": "0001-01-01T00:00:00+05:00"}, "due_at: timestamp out of range"),
        ({"name": "a\0b"}, "name: text with a NUL or half a character"),
        ({"sis_id": "a\0b"}, "sis_id: text with a NUL or half a character"),
        ({"sis_id": "\udfff"}, "sis_id: text with a NUL or half a character"),
        ({"rules": {"a": "b\0"}}, "rules: text with a NUL"),
        ({"rules": {"a\\\0": 1}}, "rules: text with a NUL"),
        ({"name": {"en": "Essay"}}, "name: text expected, got dict"),
        ({"name": ["Essay"]}, "name: text expected, got list"),
        ({"name": True}, "name: text expected, got bool"),
        ({"name": "\ud800"}, "name: text with a NUL or half a character"),
        ({"rules": ["\ud800"]}, "rules: JSON expected"),
        ({"sis_id": "x" * (SHORT_TEXT_CHARS + 1)}, "sis_id: text of 601 characters"),
        ({"position": 2**63}, "position: whole number expected"),
        ({"position": -(2**63) - 1}, "position: whole number expected"),
        ({"position": str(2**63)}, "position: whole number expected"),
        ({"position": float(2**64)}, "position: whole number expected"),
        ({"position": 1.5}, "position: whole number expected"),
        ({"position": True}, "position: whole number expected"),
        ({"position": "many"}, "position: number expected"),
        ({"points": 10**400}, "points: number expected, got int"),
        ({"points": float("inf")}, "points: number expected, got float"),
        ({"points": float("nan")}, "points: number expected, got float"),
        ({"points": "1e999"}, "points: number expected"),
        ({"points": True}, "points: number expected, got bool"),
        ({"points": [1]}, "points: number expected, got list"),
        ({"grades": {"score": {}}}, "score: number expected, got dict"),
        ({"published": "maybe"}, "published: true or false expected"),
        ({"published": {}}, "published: true or false expected, got dict"),
        ({"grader_id": "nobody"}, "grader_id: not a Canvas id"),
        ({"grader_id": True}, "grader_id: an id cannot be a bool"),
        ({"grader_id": 0}, "grader_id: id out of range"),
        ({"grader_id": 2**63}, "grader_id: id out of range"),
        ({"grader_id": float(2**64)}, "grader_id: an id cannot be a float"),
        ({"rules": {"a": 2**64}}, "rules: JSON expected: Integer exceeds 64-bit range"),
        ({"access_restricted_by_date": True}, "restricts this record by date"),
    ],
)
def test_one_bad_value_rejects_its_record_only(record: dict[str, Any], reason: str):
    assert reason in reason_of(**record)


@pytest.mark.parametrize(
    ("spelled", "key"),
    [(True, None), (None, None), ("x", None), (2**63, None), (-5, None), (float(2**64), None), ([], None)],
)
def test_record_without_a_usable_id_is_rejected_without_key(spelled: Any, key: None):
    mapped = map_page([{"id": 1}, {"id": spelled}, {"id": 3}])
    assert len(mapped.rows) == 2
    assert [(one[0], one[1]) for one in mapped.rejected] == [(key, str(spelled))]


def test_rejected_record_is_named_by_key_and_as_canvas_spelled_it():
    ((key, spelled, _),) = map_page([{"id": "2107~8", "position": "many"}]).rejected
    assert (key, spelled) == (SHARD_SIZE + 8, "2107~8")


@pytest.mark.parametrize("record", [None, 7, "text", [], [{"id": 1}]])
def test_record_that_is_no_object_is_rejected(record: Any):
    mapped = map_page([{"id": 1}, record, {"id": 3}])
    assert len(mapped.rows) == 2
    assert mapped.rejected == [(None, "None", "a record is not an object")]


def test_restricted_record_with_its_name_is_stored():
    assert map_one(access_restricted_by_date=False, name="Open again")["name"] == "Open again"


def test_json_nested_deeper_than_can_be_written_is_rejected():
    deep = decode(b'[{"id": 2, "rules": ' + b"[" * 500 + b"]" * 500 + b"}]")
    assert "rules: JSON expected" in reason_of(**deep[0])


def test_text_that_only_looks_like_a_nul_is_kept():
    assert map_one(rules={"a": "\\u0000"})["rules"] == r'{"a":"\\u0000"}'


def test_text_as_long_as_an_index_takes_is_kept_and_free_text_has_no_limit():
    row = map_one(sis_id="é" * SHORT_TEXT_CHARS, name="x" * 1_000_000)
    assert (len(row["sis_id"]), len(row["name"])) == (SHORT_TEXT_CHARS, 1_000_000)


@pytest.mark.parametrize("body", [b"1e400", b"1" + b"0" * 400, b"18446744073709551616"])
def test_numbers_beyond_every_type_are_rejected_as_the_decoder_gives_them(body: bytes):
    (record,) = decode(b'[{"id": 2, "position": ' + body + b"}]")
    assert "position: " in reason_of(**record)
    if body != b"18446744073709551616":  # a float may be that large
        (record,) = decode(b'[{"id": 2, "points": ' + body + b"}]")
        assert "points: number expected" in reason_of(**record)


def test_every_bad_record_of_a_page_is_found_and_every_good_one_kept():
    records = [{"id": n, "position": "x" if n % 7 == 0 else n} for n in range(1, 101)]
    mapped = map_page(records)
    assert [row[0] - SHARD_SIZE for row in mapped.rows] == [n for n in range(1, 101) if n % 7]
    assert [spelled for _, spelled, _ in mapped.rejected] == [str(n) for n in range(7, 101, 7)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
records = st.fixed_dictionaries(
    {},
    optional={"id": json_values, "grades": json_values}
    | {column.key: json_values for column in COLUMNS if column.key.isidentifier()},
)


@unhurried
@given(st.lists(records | json_values, max_size=5))
def test_whatever_canvas_sends_is_stored_or_rejected(page: list[Any]):
    """Each record once, alone as in company, and every row fits both databases."""
    mapped = map_page(page)
    assert len(mapped.rows) + len(mapped.rejected) == len(page)
    alone = [map_page([record]) for record in page]
    assert mapped.rows == [row for one in alone for row in one.rows]
    assert mapped.rejected == [rejected for one in alone for rejected in one.rejected]
    for row in mapped.rows:
        assert all(not isinstance(value, str) or b"\0" not in value.encode() for value in row)
        assert all(not isinstance(value, float) or math.isfinite(value) for value in row)
        assert all(not isinstance(value, int) or -(2**63) <= value < 2**63 for value in row)


# --- hash ---------------------------------------------------------------------------------------

HASH_OF_A_RECORD = """
from datetime import UTC, datetime
from canvas.mapping import JSON, TEXT, Column, Mapper
from easel.ids import Folder
columns = [Column("workflow_state", "workflow_state", TEXT), Column("rules", "rules", JSON)]
record = {"id": 1, "workflow_state": "active", "rules": {"b": 1, "a": [2.5, None, "é"]}}
mapper = Mapper(columns, Folder(1), 1, source="rest")
print(mapper.map([record], datetime(2024, 9, 1, tzinfo=UTC)).rows[0][-3])
"""


def hash_in_another_process(seed: str) -> str:
    environment = os.environ | {"PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", HASH_OF_A_RECORD]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_hash_is_the_same_in_every_process():
    first, second = hash_in_another_process("1"), hash_in_another_process("2")
    assert first == second
    assert -(2**63) <= int(first) < 2**63


def row_hash(columns: Sequence[Column] = COLUMNS, source: str = "rest", **record: Any) -> int:
    return mapper(columns, source=source).map([{"id": 1} | record], AS_OF, {"course": 1}).rows[0][-3]


def changed_mapping(**changes: Any) -> tuple[Column, ...]:
    """Return the columns with the last one changed."""
    return (*COLUMNS[:-1], replace(COLUMNS[-1], **changes))


@pytest.mark.parametrize(
    "other",
    [
        {"source": "report"},
        {"columns": COLUMNS[:-1]},
        {"columns": changed_mapping(name="renamed")},
        {"columns": changed_mapping(key="renamed")},
        {"columns": changed_mapping(kind=TEXT)},
        {"columns": changed_mapping(default={})},
    ],
)
def test_hash_changes_with_the_mapping_and_the_source(other: dict[str, Any]):
    assert row_hash(**other) != row_hash()


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "Essay"},
        {"sis_id": "Essay"},
        {"position": 1},
        {"points": 1},
        {"published": False},
        {"workflow_state": "deleted"},
        {"rules": {}},
        {"grades": {"score": 0}},
    ],
)
def test_hash_changes_with_any_value(change: dict[str, Any]):
    assert row_hash(**change) != row_hash()


def test_hash_does_not_depend_on_when_canvas_said_it_nor_on_the_key():
    later = mapper().map([{"id": 2}], AS_OF + timedelta(days=1), {"course": 1}).rows[0]
    assert later[-3] == row_hash()


def test_kinds_have_names_of_their_own():
    kinds: tuple[Kind, ...] = (TEXT, SHORT_TEXT, NUMBER, INTEGER, BOOLEAN, TIMESTAMP, JSON, ID)
    assert len({kind.name for kind in kinds}) == len(kinds)
