"""Text into records: CSV as RFC 4180 has it, in bounded memory, whatever the text holds.

Python's reader does the work. It gets whole records only, cut at line ends outside of quotes, so that no
cell can grow without bound and the process-wide `csv.field_size_limit` does not matter. What it refuses,
and what it would read too kindly, goes through the slower `split`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

from parselogs.parsers.decoding import Text
from parselogs.parsers.limits import Limits

Row = list[str]


@dataclass(slots=True)
class Flaw:
    """A record that cannot be used, whatever its columns mean: its index in the chunk, code and position."""

    index: int
    code: str
    position: int | None = None


@dataclass(slots=True)
class Chunk:
    """Records that follow each other; a flawed one is blank. `broken` ends the file at its last record."""

    rows: list[Row]
    texts: list[str] = field(default_factory=list)
    """The text of each record, without its quotes: good for telling whether two are the same."""
    flaws: list[Flaw] = field(default_factory=list)
    broken: str | None = None


class BadQuotes(Exception):
    """A record that is quoted wrongly; `code` tells how."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@cache
def _cell(delimiter: str) -> re.Pattern[str]:
    d = re.escape(delimiter)
    return re.compile(rf'(?:"([^"]*+(?:""[^"]*+)*+)"|([^"{d}\n]*+))({d}|\n|\Z)')


_RECORD = re.compile(r'[^"\n]*+(?:"[^"]*+"[^"\n]*+)*+\n')
_UNCLOSED = re.compile(r'"[^"]*+(?:""[^"]*+)*+\Z')


def split(text: str, delimiter: str) -> Iterator[Row]:
    """Yield the records of `text`, which line feeds end; BadQuotes at the first that is quoted wrongly."""
    match_cell, at, row = _cell(delimiter).match, 0, list[str]()
    while at < len(text) or row:
        found = match_cell(text, at)
        if found is None:
            raise BadQuotes("unclosed_quote" if _UNCLOSED.match(text, at) else "stray_quote")
        quoted, plain, end = found.groups()
        row.append(plain if quoted is None else quoted.replace('""', '"'))
        at = found.end()
        if end != delimiter:
            yield [] if row == [""] and quoted is None else row
            row = []


class Records:
    """The records of a text, in chunks of about a block; the last one of a text that was cut is left out."""

    def __init__(self, text: Text, limits: Limits) -> None:
        self._text, self._blocks, self._limits = text, iter(text), limits
        self._pending = ""
        self._ended = False

    def first(self) -> str | None:
        """Return the text of the first record that is not blank; None where there is none, or it is too long.

        It stays in the text: `chunks` yields it again, as the first; line ends before it are dropped.
        """
        while True:
            self._pending = self._pending.lstrip("\n")
            end = _first_end(self._pending, inside=False)[0]
            if end or self._ended:
                return self._pending[: end or None] or None
            if len(self._pending) > self._limits.max_record_characters:
                return None
            self._read()

    @property
    def empty(self) -> bool:
        """Whether there is nothing but line ends; holds once `first` was asked."""
        return self._ended and not self._pending

    def chunks(self, delimiter: str) -> Iterator[Chunk]:
        """Yield all records; memory is bounded by the limits, not by what the text holds."""
        while not self._ended or self._pending:
            end = len(self._pending) if self._ended else _last_end(self._pending)
            if end:
                text, self._pending = self._pending[:end], self._pending[end:]
                chunk = self._parsed(text, delimiter)
                yield chunk
                if chunk.broken:
                    return
            elif len(self._pending) > self._limits.max_record_characters:
                yield from self._overlong(delimiter)
                if self._ended and not self._pending:
                    return
            self._read()

    def _read(self) -> None:
        """Take one more block; a short one is joined by the next."""
        block = next(self._blocks, None)
        if block is None:
            self._ended = True
            if self._text.cut:
                self._pending = self._pending[: _last_end(self._pending)]
        else:
            self._pending += block

    def _overlong(self, delimiter: str) -> Iterator[Chunk]:
        """Skip the record that fills all that is pending; empty chunks keep the caller in control."""
        code = _wrong_quotes(self._pending, delimiter)
        if code == "stray_quote":
            self._drop_all()
            yield Chunk([[]], [""], broken=code)
            return
        inside = self._pending.count('"') % 2 == 1
        while not self._ended:
            self._pending = ""
            yield Chunk([])
            self._read()
            end, inside = _first_end(self._pending, inside=inside)
            if end:
                self._pending = self._pending[end:]
                yield Chunk([[]], [""], [Flaw(0, "record_too_long")])
                return
        self._drop_all()
        yield (
            Chunk([[]], [""], broken="unclosed_quote")
            if inside
            else Chunk([[]], [""], [Flaw(0, "record_too_long")])
        )

    def _drop_all(self) -> None:
        self._pending, self._ended = "", True

    def _parsed(self, text: str, delimiter: str) -> Chunk:
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            rows = list(reader)
        except csv.Error:
            return self._split(text, delimiter)
        if '"' in text and '"' in "".join(map("".join, rows)):
            # Either doubled quotes, or quotes in a cell that is not quoted: the reader takes both.
            return self._split(text, delimiter)
        if reader.line_num != len(rows):  # line ends in quotes, which the lines above have lost
            return self._split(text, delimiter)
        chunk = Chunk(rows, lines if '"' not in text else [*map(delimiter.join, rows)])
        if _has_long_line(text, self._limits.max_cell_characters) or "\0" in text:
            self._find_flaws(chunk)
        return chunk

    def _split(self, text: str, delimiter: str) -> Chunk:
        chunk = Chunk([])
        try:
            chunk.rows.extend(split(text, delimiter))
        except BadQuotes as error:
            chunk.rows.append([])
            chunk.broken = error.code
        chunk.texts.extend(map(delimiter.join, chunk.rows))
        self._find_flaws(chunk)
        return chunk

    def _find_flaws(self, chunk: Chunk) -> None:
        limit = self._limits.max_cell_characters
        if max(map(len, chain.from_iterable(chunk.rows)), default=0) <= limit and not any(
            "\0" in cell for cell in chain.from_iterable(chunk.rows)
        ):
            return
        for index, row in enumerate(chunk.rows):
            for position, cell in enumerate(row):
                if len(cell) > limit or "\0" in cell:
                    code = "cell_too_long" if len(cell) > limit else "nul_character"
                    chunk.flaws.append(Flaw(index, code, position))
                    chunk.rows[index] = []
                    break


def _last_end(text: str) -> int:
    """Return the index after the last line end outside of quotes, or 0."""
    end, inside = len(text), '"' in text and text.count('"') % 2 == 1
    while True:
        start = text.rfind('"', 0, end) + 1
        if not inside and (found := text.rfind("\n", start, end)) >= 0:
            return found + 1
        if not start:
            return 0
        end, inside = start - 1, not inside


def _first_end(text: str, *, inside: bool) -> tuple[int, bool]:
    """Return the index after the first line end outside of quotes, or 0; and if the text ends in them."""
    start = text.find('"') + 1 if inside else 0
    if inside and not start:
        return 0, True
    found = _RECORD.match(text, start)
    return (found.end(), False) if found else (0, inside != (text.count('"') % 2 == 1))


def _wrong_quotes(text: str, delimiter: str) -> str | None:
    try:
        for _ in split(text, delimiter):
            pass
    except BadQuotes as error:
        return error.code
    return None


def _has_long_line(text: str, limit: int) -> bool:
    """Say whether a line may be longer than `limit`; false only if none is."""
    step = max(limit // 2, 1)
    return any(text.find("\n", at, at + step) < 0 for at in range(0, len(text) - step, step))
