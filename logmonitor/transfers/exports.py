"""Files of transfers: users, days or the transfers themselves, as CSV or JSON, sent while they are read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from easel.spreadsheets import escape
from logmonitor.models import LogLine, LogSource, Segment
from logmonitor.transfers.api import EXACT
from logmonitor.transfers.asked import Asked
from logmonitor.transfers.figures import Part, read_figures, read_visits
from logmonitor.transfers.kept_lines import in_chunks, sources_of, transfers

Row = Sequence[Any]

_FIGURES = tuple(
    f"{name}{what}" for name in ("upload", "download", "both") for what in ("s", "_bytes", "_average_bytes")
)
_LINE = (
    *("id", "source", "time", "day", "username", "address", "protocol", "direction", "outcome"),
    *("size_bytes", "elapsed_ms", "path", "connection_id", "error", "file", "offset"),
)


@dataclass(frozen=True, slots=True)
class Table:
    """What can be exported: its title, its columns and its rows."""

    title: str
    headers: tuple[str, ...]
    rows: Callable[[Asked], Iterable[Row]]


def _users(asked: Asked) -> Iterator[Row]:
    visits = read_visits(asked)
    for username, part in read_figures(asked).users:
        seen = visits.get(username)
        days = (seen.first.isoformat(), seen.last.isoformat(), seen.days) if seen else (None, None, 0)
        yield (username, *_figures(part), *days)


def _days(asked: Asked) -> Iterator[Row]:
    figures = read_figures(asked)
    for day, part in figures.days:
        unusual = ", ".join(f"{name} {verdict}" for name, verdict in figures.unusual.get(day, {}).items())
        yield (day.isoformat(), *_figures(part), unusual)


def _figures(part: Part) -> list[int | None]:
    found: list[int | None] = []
    for moved in (part.upload, part.download, part.both):
        found += [moved.transfers, moved.bytes, moved.average_bytes]
    return found


def _lines(asked: Asked) -> Iterator[Row]:
    # One log after the other: the index has the lines of one in the order of their time, not those of all.
    for source in sources_of(asked):
        files = _Files()
        for line in in_chunks(transfers(asked, source)):
            yield _line(line, source, files[line.segment_id])


class _Files(dict[int, str]):
    """The names of files, below their source's folder, when last seen; each is asked for once."""

    def __missing__(self, segment: int) -> str:
        names = Segment.objects.filter(pk=segment).values_list("path", flat=True)
        return self.setdefault(segment, names.first() or "")


def _line(line: LogLine, source: LogSource, file: str) -> Row:
    return (
        str(line.pk),
        source.name,
        line.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        line.day.isoformat(),
        *(line.username, line.address, line.protocol, line.sender.lower(), line.outcome),
        *(line.size_bytes, line.elapsed_ms, line.path, line.connection_id, line.message),
        *(file, line.offset),
    )


_HEADERS = tuple(name.replace("boths", "transfers").replace("both_", "") for name in _FIGURES)
TABLES: Mapping[str, Table] = {
    "users": Table("users", ("username", *_HEADERS, "first_day", "last_day", "days"), _users),
    "days": Table("days", ("day", *_HEADERS, "unusual"), _days),
    "transfers": Table("transfers", _LINE, _lines),
}
"""What can be exported, by its name in the address."""


class _Echo:
    """A file that gives back what is written, for the csv module to write into an answer."""

    def write(self, text: str) -> str:
        return text


def write_csv(headers: Row, rows: Iterable[Row]) -> Iterator[str]:
    """Yield a CSV file line by line; no cell of it is a formula to a spreadsheet."""
    writer = csv.writer(_Echo())
    yield writer.writerow(headers)
    for row in rows:
        yield writer.writerow([escape(cell) if isinstance(cell, str) else cell for cell in row])


def write_json(headers: Row, rows: Iterable[Row]) -> Iterator[str]:
    """Yield a list of objects, one a line; numbers from 2^53 on as text, as in the API."""
    yield "["
    for number, row in enumerate(rows):
        record = dict(zip(headers, map(_exact, row), strict=True))
        yield f"{',' if number else ''}\n{json.dumps(record, ensure_ascii=False)}"
    yield "\n]\n"


def _exact(value: Any) -> Any:
    return str(value) if isinstance(value, int) and value >= EXACT else value


Writer = Callable[[Row, Iterable[Row]], Iterator[str]]
WRITERS: Mapping[str, tuple[Writer, str]] = {
    "csv": (write_csv, "text/csv; charset=utf-8"),
    "json": (write_json, "application/json"),
}
"""How a file is written, and what it is called on the web, by its ending."""


def in_blocks(texts: Iterable[str], characters: int = 65_536) -> Iterator[bytes]:
    """Yield texts as bytes, many in one: a write for each line would be slow."""
    block: list[str] = []
    held = 0
    for text in texts:
        block.append(text)
        held += len(text)
        if held >= characters:
            yield "".join(block).encode(errors="replace")
            block, held = [], 0
    yield "".join(block).encode(errors="replace")
