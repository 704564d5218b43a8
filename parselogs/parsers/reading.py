"""One CSV file from its bytes to its findings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from easel.redaction import clean
from parselogs.parsers.batch import FIRST_ROW, Batch
from parselogs.parsers.checker import HEADER_ROW, Context, Counts
from parselogs.parsers.decoding import Readable, Text
from parselogs.parsers.findings import Finding, Report
from parselogs.parsers.limits import Limits
from parselogs.parsers.parser import Checker, Parser, codes_of
from parselogs.parsers.records import BadQuotes, Chunk, Records, split
from parselogs.parsers.registry import Registry

logger = logging.getLogger(__name__)

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
NAME_LENGTH = 200
UNKNOWN = "unknown"


@dataclass(slots=True)
class Reading:
    """What all files of one upload share while they are read."""

    report: Report
    registry: Registry
    limits: Limits
    self_contained: bool = False
    batch: Batch = field(default_factory=Batch)
    total: Counts = field(default_factory=Counts)


@dataclass(frozen=True, slots=True)
class Header:
    """A header that was understood: its names, how they are separated, and whose they are."""

    names: Sequence[str]
    delimiter: str
    parser: Parser | None


def shown(name: str) -> str:
    """Return a file's name fit to be shown: control characters escaped, at most 200 characters."""
    return clean(name, NAME_LENGTH)


class CsvFile:
    """One CSV file of an upload: recognised first, so that files can be put in order, then read."""

    def __init__(self, name: str, stream: Readable, reading: Reading) -> None:
        self.name, self._reading = shown(name), reading
        self._text = Text(stream, reading.limits.block_bytes)
        self._records = Records(self._text, reading.limits)
        self._counts = Counts()
        self._row = HEADER_ROW
        """Number of the next record."""

    def recognise(self) -> Header | None:
        """Return the header; None where the file has none that could be read."""
        line = self._records.first()
        if line is None:
            return None
        read: list[tuple[str, list[str]]] = []
        for delimiter in DELIMITERS:
            try:
                names = next(split(line, delimiter), [])
            except BadQuotes:
                continue
            read.append((delimiter, [name.strip().lower() for name in names]))
        for delimiter, names in read:
            if parser := self._reading.registry.recognise(names):
                return Header(names, delimiter, parser)
        return Header(max(read, key=lambda each: len(each[1]))[1], "", None) if read else None

    def read(self, header: Header | None) -> None:
        """Read the file to its end and report what is found."""
        report, parser = self._reading.report, header.parser if header else None
        begun = (parser.kind, parser.name, parser.version) if parser else (UNKNOWN, "", "")
        report.begin_file(self.name, *begun)
        logger.info("Reading a file of kind %s.", begun[0])
        if header is None:
            self._find_no_header()
        elif checker := self._begin(header):
            self._read_rows(header, checker)
        self._find_cut()
        report.end_file(self._counts.read, self._counts.read - self._counts.rejected, self._counts.rejected)

    # The header

    def _begin(self, header: Header) -> Checker | None:
        limit = self._reading.limits.max_columns
        if any("\0" in name for name in header.names):
            self._find("nul_in_header", HEADER_ROW)
        elif header.parser is None:
            self._find("unknown_header", HEADER_ROW, columns=len(header.names))
        elif len(header.names) > limit:
            self._find("too_many_columns", HEADER_ROW, columns=len(header.names), limit=limit)
        else:
            self._find_oddities(header, header.parser)
            return header.parser.begin(header.names, self._context(header.parser))
        return None

    def _context(self, parser: Parser) -> Context:
        reading = self._reading
        return Context(
            self.name,
            reading.batch,
            reading.limits,
            reading.report.finding,
            reading.self_contained,
            codes_of(parser),
        )

    def _find_oddities(self, header: Header, parser: Parser) -> None:
        if self._text.encoding == "UTF-16":
            self._find("utf16")
        elif self._text.mark and not parser.mark_expected:
            self._find("byte_order_mark")
        if self._text.only_carriage_returns:
            self._find("cr_line_ends")
        if header.delimiter not in parser.delimiters:
            self._find("wrong_delimiter", HEADER_ROW, delimiter=DELIMITERS[header.delimiter])

    def _find_no_header(self) -> None:
        """Tell why there is no header."""
        if self._records.empty:
            if not self._text.cut:
                self._find("empty_file")
        elif self._records.first() is None:
            self._find("header_too_long", HEADER_ROW, limit=self._reading.limits.max_record_characters)
        else:
            self._find(_quotes(self._records.first() or ""), HEADER_ROW)

    # The rows

    def _read_rows(self, header: Header, checker: Checker) -> None:
        for chunk in self._records.chunks(header.delimiter):
            if self._row == HEADER_ROW and chunk.rows:
                chunk = _without_header(chunk)
                self._row = FIRST_ROW
            read_on = self._read_chunk(chunk, self._row, header, checker)
            self._row += len(chunk.rows)
            if not read_on:
                break
        logger.info("All rows are read; now they are compared with each other.")
        self._count(Counts(0, checker.finish()))
        if not self._counts.read and not self._text.cut:
            self._find("no_rows")

    def _read_chunk(self, chunk: Chunk, row: int, header: Header, checker: Checker) -> bool:
        """Check a chunk; say whether the file is to be read on."""
        if chunk.broken and chunk.rows:
            self._find(chunk.broken, row + len(chunk.rows) - 1)
            self._count(Counts(1, 1))
        for flaw in chunk.flaws:
            self._find_flaw(flaw.code, row + flaw.index, flaw.position, header.names)
        self._count(checker.check(row, chunk.rows, chunk.texts) + Counts(len(chunk.flaws), len(chunk.flaws)))
        if self._counts.read > self._reading.limits.max_rows:
            self._find("too_many_rows", row + len(chunk.rows), limit=self._reading.limits.max_rows)
            return False
        return not chunk.broken

    def _find_flaw(self, code: str, row: int, position: int | None, names: Sequence[str]) -> None:
        limits = self._reading.limits
        detail: dict[str, str | int] = {}
        if code != "nul_character":
            detail["limit"] = (
                limits.max_record_characters if code == "record_too_long" else limits.max_cell_characters
            )
        column = None if position is None else f"column {position + 1}"
        self._send(Finding(code, self.name, row, column, detail))

    def _find_cut(self) -> None:
        if self._text.damaged:
            self._find("entry_damaged", self._row)
        elif self._text.bad_byte is not None:
            self._find("not_utf8", self._row, offset=self._text.bad_byte, encoding=self._text.encoding)

    def _count(self, counts: Counts) -> None:
        reading = self._reading
        self._counts += counts
        reading.total += counts
        total = reading.total
        reading.report.progress(total.read, total.read - total.rejected, total.rejected)

    def _find(self, code: str, row: int | None = None, **detail: str | int) -> None:
        self._send(Finding(code, self.name, row, None, detail))

    def _send(self, finding: Finding) -> None:
        self._reading.report.finding(finding)


def _without_header(chunk: Chunk) -> Chunk:
    flaws = [flaw for flaw in chunk.flaws if flaw.index > 0]
    for flaw in flaws:
        flaw.index -= 1
    return Chunk(chunk.rows[1:], chunk.texts[1:], flaws, chunk.broken)


def _quotes(line: str) -> str:
    """Return how a header is quoted wrongly."""
    try:
        next(split(line, ","), None)
    except BadQuotes as error:
        return error.code
    return "stray_quote"
