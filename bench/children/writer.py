"""The bulk writer, measured: new, unchanged and changed rows, and the barest ways to do the same."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import groupby
from typing import Any

import orjson

from bench.children.process import answer, read_options
from sandbox.server import Sandbox

PAGE = 100
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
LATER = datetime(2026, 6, 2, tzinfo=UTC)
Row = tuple[Any, ...]
Page = tuple[list[dict[str, Any]], dict[str, int]]


def make_pages(size: str, fields: Sequence[str]) -> list[Page]:
    """Return the live submissions of a sandbox Canvas as decoded pages, each with its course."""
    pages = []
    rows = (row for row in Sandbox(size).rows("submissions") if row["workflow_state"] != "deleted")
    for course, records in groupby(rows, key=lambda row: row["course_id"]):
        asked = [{name: record[name] for name in fields} for record in records]
        decoded = orjson.loads(orjson.dumps(asked))
        pages += [(decoded[at : at + PAGE], {"course": course}) for at in range(0, len(decoded), PAGE)]
    return pages


def bare_mapping(pages: Sequence[Page], fields: Sequence[str]) -> int:
    """Map and hash as little as a writer can do with: values in order, stamps rewritten, one hash a row."""
    kept = 0
    stamps = {name for name in fields if name.endswith(("_at", "_date"))}
    for records, context in pages:
        for record in records:
            values = [
                f"{value[:10]} {value[11:19]}" if name in stamps and (value := record[name]) else record[name]
                for name in fields
            ]
            values.append(context["course"])
            hashed = blake2b(orjson.dumps(values), digest_size=8).digest()
            kept += bool((*values, int.from_bytes(hashed, "little", signed=True)))
    return kept


class Bench:
    """The pieces of work, each on the whole of the rows."""

    def __init__(self, options: dict[str, Any]) -> None:
        # After Django is set up, as models must be.
        from django.db import connection, transaction  # noqa: PLC0415

        from canvas.mapping import Mapper  # noqa: PLC0415
        from canvas.resources import RESOURCES  # noqa: PLC0415
        from canvas.writer import Table, Writer  # noqa: PLC0415
        from easel.ids import Folder  # noqa: PLC0415

        resource = RESOURCES["submissions"]
        assert resource.listing
        self.fields = dict(resource.listing.params)["response_fields[]"]
        self.pages = make_pages(options["size"], self.fields)
        self.mapper = Mapper(resource.columns, Folder(1, allot=lambda shard: 1 + shard), 1, source="rest")
        self.writer, self.table = Writer(), Table.of(resource.model)
        self.connection, self.atomic = connection, transaction.atomic
        self.batch = options["batch"]
        self.rows = [row for page in self.pages for row in self.map(page, AS_OF)]
        score = self.table.columns.index("score")
        self.changed = [
            (*row[:score], 0.5, *row[score + 1 : -3], 1, str(LATER)[:19], None) for row in self.rows
        ]

    def map(self, page: Page, as_of: datetime) -> list[Row]:
        """Map one page."""
        return self.mapper.map(page[0], as_of, page[1]).rows

    def empty(self) -> None:
        """Begin with an empty table."""
        word = "TRUNCATE" if self.connection.vendor == "postgresql" else "DELETE FROM"
        with self.connection.cursor() as cursor:
            cursor.execute(f"{word} {self.table.name}")

    def raw(self) -> None:
        """Write the rows with nothing around it: one COPY or executemany and one transaction a batch."""
        names = ", ".join(self.table.columns)
        write = self._copy if self.connection.vendor == "postgresql" else self._executemany
        for rows in self._batches(self.rows):
            with self.atomic():
                write(names, rows)

    def _copy(self, names: str, rows: Sequence[Row]) -> None:
        statement = f"COPY {self.table.name} ({names}) FROM STDIN"
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def _executemany(self, names: str, rows: Sequence[Row]) -> None:
        marks = ", ".join("?" * len(self.table.columns))
        self.connection.connection.executemany(
            f"INSERT INTO {self.table.name} ({names}) VALUES ({marks})", rows
        )

    def new(self) -> None:
        """Write rows that are not there."""
        self._expect("created", self.rows)

    def update(self) -> None:
        """Write rows that are there and differ."""
        self._expect("updated", self.changed)

    def unchanged(self) -> None:
        """Go from decoded pages to the decision that nothing is to be written."""
        pages_a_batch = self.batch // PAGE
        for at in range(0, len(self.pages), pages_a_batch):
            rows = [row for page in self.pages[at : at + pages_a_batch] for row in self.map(page, AS_OF)]
            written = self.writer.write(self.table, rows)
            assert written.unchanged == len(rows), written

    def _expect(self, count: str, rows: list[Row]) -> None:
        for batch in self._batches(rows):
            written = self.writer.write(self.table, batch)
            assert getattr(written, count) == len(batch), written

    def _batches(self, rows: list[Row]) -> Iterator[list[Row]]:
        return (rows[at : at + self.batch] for at in range(0, len(rows), self.batch))

    def map_only(self) -> None:
        """Map and hash with the product's mapper."""
        for page in self.pages:
            self.map(page, AS_OF)

    def map_barely(self) -> None:
        """Map and hash with the least code."""
        bare_mapping(self.pages, self.fields)


def main() -> None:
    """Do each piece once a round, on `size` in batches of `batch` rows; print rows per second."""
    options = read_options()
    bench = Bench(options)
    speeds: defaultdict[str, list[float]] = defaultdict(list)

    def timed(name: str, work: Callable[[], object]) -> None:
        started = time.perf_counter()
        work()
        speeds[name].append(len(bench.rows) / (time.perf_counter() - started))

    for _ in range(options["rounds"]):
        bench.empty()
        timed("raw", bench.raw)
        bench.empty()
        timed("new", bench.new)
        timed("unchanged", bench.unchanged)
        timed("bare mapping", bench.map_barely)
        timed("mapper", bench.map_only)
        timed("changed", bench.update)
    answer({"rows": len(bench.rows), "rows_per_second": speeds})


if __name__ == "__main__":
    main()
