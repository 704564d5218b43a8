"""Whatever is uploaded: findings, counts that add up, no crash, and never a cell's value."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parselogs.parsers import Limits, Upload, hashes, parse, provisioning, sis
from parselogs.parsers.tables import Kind, Table
from tests.parselogs.parsers.collect import Collected, archive, collect

TABLES = [*sis.TABLES, *provisioning.TABLES]
MARK = "Zebedee"
CELLS = st.sampled_from(
    ["", " ", "U1", "U2", "active", "deleted", "1", "student", '"', '""', "a\0b", "\n", "é", ",", "\r"]
)
SMALL = Limits(block_bytes=16, max_record_characters=64, max_cell_characters=16)
USERS = b"user_id,login_id,full_name,status\nU1,ann,Ann,active\nU2,bo,Bo,active\n"
ARCHIVE = archive({"users.csv": USERS, "e.csv": "course_id,user_id,role,status\nC1,U9,ta,active\n"})


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"user_id,login_id,status\n", b"PK\x03\x04", b"\xff\xfe", b"\xfe\xff"]),
)
def test_any_bytes(content: bytes, before: bytes) -> None:
    report = collect(before + content)
    assert report.findings or report.total[0]


@given(st.sampled_from(TABLES), st.lists(st.lists(CELLS, max_size=8), max_size=8), st.sampled_from(",;\t"))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_rows(table: Table, rows: list[list[str]], delimiter: str) -> None:
    names = [column.name for column in table.columns][: max(map(len, rows), default=3)]
    text = "\n".join(delimiter.join(row) for row in [names, *rows])
    for options in ({}, {"limits": SMALL}, {"self_contained": True}):
        collect(text, **options)


@given(
    st.lists(st.tuples(st.integers(0, len(ARCHIVE) - 1), st.integers(0, 255)), max_size=8), st.integers(0, 40)
)
def test_any_damage_to_an_archive(edits: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(ARCHIVE)
    for at, value in edits:
        data[at] = value
    collect(bytes(data[: len(data) - cut]))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
@pytest.mark.parametrize("width", [-1, 0, 1])
def test_no_finding_holds_a_value(table: Table, width: int) -> None:
    names = [column.name for column in table.columns]
    rows = [[f"{MARK}{number % 3}"] * (len(names) + width) for number in range(4)]
    text = "\n".join(",".join(row) for row in [names, *rows])
    report = collect(text + f'\n"{MARK}', "upload.csv")
    assert report.findings
    assert MARK not in repr(report.findings)
    assert not any(MARK in finding.text for finding in report.findings)


@pytest.mark.parametrize(
    "text",
    [
        f"{MARK},{MARK}\n{MARK},{MARK}\n",
        f"user_id,login_id,status,{MARK}\n{MARK},{MARK},active,{MARK}\n",
        f"Student,ID,Section,{MARK} (7)\nPoints Possible,,,{MARK}\n{MARK},{MARK},{MARK},{MARK}\n",
        f'"{MARK}',
    ],
)
def test_no_finding_holds_a_value_of_the_header(text: str) -> None:
    report = collect(text, "upload.csv")
    assert report.findings
    assert MARK not in repr(report.findings)


def test_values_do_not_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="parselogs"):
        collect(f"user_id,login_id,full_name,status\n{MARK},{MARK},{MARK},{MARK}\n" * 3)
    assert caplog.records
    assert MARK not in caplog.text


class Endless:
    """A stream that makes its content while it is read."""

    def __init__(self, begin: bytes, piece: bytes, size: int) -> None:
        self._pieces = self._made(begin, piece, size)

    @staticmethod
    def _made(begin: bytes, piece: bytes, size: int) -> Iterator[bytes]:
        yield begin
        for _ in range(size // len(piece)):
            yield piece

    def read(self, size: int = -1, /) -> bytes:
        return next(self._pieces, b"")

    def __enter__(self) -> Endless:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Silent(Collected):
    """Counts findings, for there may be millions."""

    def finding(self, finding: object) -> None:
        pass


HEADER = b"user_id,login_id,full_name,status\n"


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (HEADER, b"x" * 4096),
        (HEADER + b'U1,"', b"x\n" * 2048),
        (HEADER + b'U1,"', b'""\n' * 1024),
        (HEADER, b"\n" * 4096),
        (HEADER, b"," * 4096),
        (b"", b"\n" * 4096),
        (b"", b"\0" * 4096),
        (b"", b'"' * 4095),
    ],
    ids=["line", "quote", "quotes", "blank", "commas", "nothing", "nul", "only quotes"],
)
def test_memory_is_bounded_whatever_comes(begin: bytes, piece: bytes) -> None:
    limits = Limits(max_record_characters=32 * 1024, block_bytes=8 * 1024)
    peaks = [
        peak(lambda size=size: Endless(begin, piece, size), limits)  # type: ignore[misc]
        for size in (100_000, 400_000)
    ]
    assert peaks[1] - peaks[0] < 100_000


def peak(opened: Callable[[], Any], limits: Limits | None = None) -> int:
    """Return the most memory a parse holds, in bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        parse(Upload("users.csv", 1, opened), Silent(), limits=limits)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_id_takes_less_than_a_hundred_bytes() -> None:
    small, large = 1_000, 11_000
    with mock.patch.object(hashes, "PART", 1_000):  # a scale model: the real part is 262,144
        more = peak(lambda: _Users(large)) - peak(lambda: _Users(small))
    assert more / (large - small) < 100


class _Users(Endless):
    def __init__(self, rows: int) -> None:
        numbers = (range(start, start + 100) for start in range(0, rows, 100))
        parts = ("".join(f"U{n},login{n},Name,active\n" for n in part).encode() for part in numbers)
        self._pieces = iter([HEADER, *parts])


def test_kinds_have_an_order_of_their_own() -> None:
    assert len({table.name for table in TABLES}) == len(TABLES)
    assert all(column.kind in Kind for table in TABLES for column in table.columns)
