"""Text into records: as Python's own reader has it, and bounded where that is not."""

from __future__ import annotations

import csv
import io
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parselogs.parsers.decoding import Text
from parselogs.parsers.limits import Limits
from parselogs.parsers.records import BadQuotes, Records, split

CELLS = st.text(alphabet='ab ,;\t"\n é\x0b\x1c\u2028\0', max_size=6)
TABLES = st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=8)


def written(rows: list[list[str]], delimiter: str = ",", end: str = "\n", *, always: bool = False) -> str:
    buffer = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if always else csv.QUOTE_MINIMAL
    csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    return buffer.getvalue()


def read(text: str, delimiter: str = ",", **limits: int) -> list[list[str]]:
    bounds = Limits(**({"block_bytes": 7, "max_cell_characters": 10**6} | limits))
    records = Records(Text(io.BytesIO(text.encode("utf-8", "surrogatepass")), bounds.block_bytes), bounds)
    return [row for chunk in records.chunks(delimiter) for row in chunk.rows]


@given(TABLES, st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_records_come_back_whatever_is_in_them(
    rows: list[list[str]], delimiter: str, end: str, always: bool
) -> None:
    # Python's writer quotes the characters of its own line ends only.
    text = written(rows, delimiter, end, always=always or end == "\r")
    # Rows with a NUL are flawed and therefore blank, as a row of one blank cell is where it is not quoted.
    expected = [[] if row == [""] or any("\0" in cell for cell in row) else row for row in rows]
    assert [[] if row == [""] else row for row in read(text, delimiter)] == expected


@given(TABLES)
def test_both_ways_to_split_agree(rows: list[list[str]]) -> None:
    text = written(rows)
    assert list(split(text, ",")) == list(csv.reader(io.StringIO(text, newline="\n"), strict=True))


@given(st.text(alphabet='a,"\n', max_size=12))
def test_what_split_accepts_is_what_the_strict_reader_accepts(text: str) -> None:
    try:
        rows = list(split(text, ","))
    except BadQuotes:
        return
    assert rows == list(csv.reader(io.StringIO(text, newline="\n"), strict=True))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('a,"b', "unclosed_quote"),
        ('a,"b\nc,d\n', "unclosed_quote"),
        ('a,5" b\n', "stray_quote"),
        ('a,"b"c\n', "stray_quote"),
        ('a, "b"\n', "stray_quote"),
    ],
)
def test_wrong_quotes_are_told_apart(text: str, code: str) -> None:
    with pytest.raises(BadQuotes) as caught:
        list(split(text, ","))
    assert caught.value.code == code


def test_limit_of_the_process_does_not_matter() -> None:
    former = csv.field_size_limit(10)
    try:
        assert read(f"a,{'b' * 1000}\n") == [["a", "b" * 1000]]
    finally:
        csv.field_size_limit(former)


def test_no_more_than_a_record_and_a_block_is_kept() -> None:
    kept = []
    limits = Limits(block_bytes=100, max_record_characters=1000, max_cell_characters=500)
    blocks = [b'a,"' + b"x\n" * 48] + [b"x\n" * 50] * 200 + [b'x"\nc,d\n']
    stream = mock.Mock(read=mock.Mock(side_effect=[blocks[0][:3], blocks[0][3:], *blocks[1:], b"", b""]))
    records = Records(Text(stream, 100), limits)
    chunks = []
    for chunk in records.chunks(","):
        kept.append(len(records._pending))
        chunks.append(chunk)
    assert max(kept) <= 1100
    assert [flaw.code for chunk in chunks for flaw in chunk.flaws] == ["record_too_long"]
    assert [row for chunk in chunks for row in chunk.rows] == [[], ["c", "d"]]
