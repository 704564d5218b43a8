"""Bulk writes of mirrored rows: compare by hash, insert what is new, update what changed, count exactly.

One algorithm, two databases. Measured alternatives are in docs/adr/0008-bulk-writer.md: the ORM's bulk
calls cost six to seven times as much, and writing unchanged rows grows the table with every sync.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Protocol

from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.copy import QueuedLibpqWriter

from canvas.models import CanvasRow

Differing = tuple[int, datetime | None, bool]
"""(id, stored as_of or None when the row is new, the stored row is live)."""

Row = tuple[Any, ...]
"""(id, instance id, one value a mapped column, row hash, as_of, deleted_at), as the mapper makes it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A mirrored table as the writer sees it: its name and its columns in the order of a row."""

    name: str
    columns: tuple[str, ...]

    @classmethod
    def of(cls, model: type[CanvasRow]) -> Table:
        """Return the table of a mirrored model."""
        own = ("id", "instance_id", "row_hash", "as_of", "deleted_at", "canvas_id")
        mapped = [column.attname for column in model._meta.concrete_fields if column.attname not in own]
        return cls(model._meta.db_table, ("id", "instance_id", *mapped, "row_hash", "as_of", "deleted_at"))


@dataclass(frozen=True, slots=True)
class Written:
    """What one batch did. `deleted` counts rows that became tombstones; `rows` what was sent to disk."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    rows: int = 0
    operations: int = 0


class Backend(Protocol):
    """The three statements that differ between databases."""

    def lock(self, table: Table, instance_id: int) -> None:
        """Keep other writers of this table and instance out until the transaction ends."""

    def differing(self, table: Table, rows: Sequence[Row]) -> Iterable[Differing]:
        """Yield the rows whose hash differs from ours."""

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows whose ids are new."""

    def update(self, table: Table, rows: Sequence[Row], keep_if_null: frozenset[str]) -> int:
        """Overwrite rows whose content differs and return their number.

        Columns in `keep_if_null` keep their value where ours is NULL; a source that has such columns
        is no measure of a row, so its hash is kept only with the content it brings.
        """


class Writer:
    """Writes batches of rows of one database connection; with `dry_run`, only says what it would do."""

    def __init__(self, *, dry_run: bool = False) -> None:
        self._backend = _BACKENDS[connection.vendor](connection)
        self._dry_run = dry_run

    def write(self, table: Table, rows: Sequence[Row], *, absent: frozenset[str] = frozenset()) -> Written:
        """Write rows of one instance in one transaction; return exact counts.

        Of rows with one id the newest counts, of equally new ones the last. `absent` are columns that
        the records did not have; what they hold already is kept.
        """
        if not rows:
            return Written()
        rows = _distinct(rows)
        with transaction.atomic(), connection.wrap_database_errors:
            self._backend.lock(table, rows[0][1])
            batch = _sort_out(rows, self._backend.differing(table, rows))
            updated = len(batch.changed) if self._dry_run else self._apply(table, batch, absent)
        live = sum(row[-1] is None for row in rows)
        return Written(
            created=batch.created,
            updated=updated,
            unchanged=live - batch.created - updated,
            deleted=batch.deleted,
            rows=len(batch.new) + updated + len(batch.tombstones),
            operations=1 + bool(batch.new) + bool(batch.changed) + bool(batch.tombstones),
        )

    def _apply(self, table: Table, batch: _Batch, absent: frozenset[str]) -> int:
        """Write a batch; return how many live rows were there before and are not the same now."""
        if batch.new:
            self._backend.insert(table, batch.new)
        if batch.tombstones:
            self._backend.update(table, batch.tombstones, absent)
        return self._backend.update(table, batch.changed, absent) if batch.changed else 0


@dataclass(slots=True)
class _Batch:
    """Rows that differ from the database's, by what is to be done with them."""

    new: list[Row] = field(default_factory=list)
    changed: list[Row] = field(default_factory=list)
    tombstones: list[Row] = field(default_factory=list)
    created: int = 0
    deleted: int = 0


def _sort_out(rows: Sequence[Row], differing: Iterable[Differing]) -> _Batch:
    batch = _Batch()
    differing = list(differing)
    by_id = {row[0]: row for row in rows} if differing else {}
    for key, stored_as_of, was_live in differing:
        row = by_id[key]
        is_live = row[-1] is None
        if stored_as_of is None:
            batch.new.append(row)
            batch.created += is_live
            batch.deleted += not is_live
        elif stored_as_of <= datetime.fromisoformat(row[-2]).replace(tzinfo=UTC):
            (batch.changed if is_live else batch.tombstones).append(row)
            batch.deleted += was_live and not is_live
    return batch


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """Return each id once, sorted: two writers never wait for each other in a circle."""
    by_id = {row[0]: row for row in rows}
    if len(by_id) < len(rows):
        by_id = {row[0]: row for row in sorted(rows, key=_AS_OF)}
    return [by_id[key] for key in sorted(by_id)]


_AS_OF = itemgetter(-2)


class _PostgreSQL:
    """COPY for new rows; COPY into a temporary table and one UPDATE for changed ones."""

    # Our timestamps carry no offset. Compiling a statement takes longer than these run.
    SETTINGS = "SET LOCAL TIME ZONE 'UTC'; SET LOCAL jit = off"
    LOCK = "SELECT pg_advisory_xact_lock(%s::regclass::oid::int, %s)"
    # LATERAL with LIMIT looks each id up: a plain join reads the whole table for every batch.
    DIFFERING = """
        SELECT ours.id, stored.as_of, stored.deleted_at IS NULL
        FROM unnest(%s::bigint[], %s::bigint[]) AS ours (id, row_hash)
        LEFT JOIN LATERAL (
            SELECT row_hash, as_of, deleted_at FROM {table} WHERE id = ours.id LIMIT 1
        ) AS stored ON TRUE
        WHERE stored.row_hash IS DISTINCT FROM ours.row_hash
    """
    PENDING = """
        CREATE TEMPORARY TABLE {pending} ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA
    """
    UPDATE = """
        UPDATE {table} AS stored SET {assignments} FROM {pending} AS ours
        WHERE stored.id = ours.id AND {differs}
    """
    REFRESH = """
        UPDATE {table} AS stored SET row_hash = ours.row_hash FROM {pending} AS ours
        WHERE stored.id = ours.id AND stored.row_hash <> ours.row_hash
    """

    def __init__(self, database: BaseDatabaseWrapper) -> None:
        self._database = database

    def lock(self, table: Table, instance_id: int) -> None:
        with self._database.cursor() as cursor:
            cursor.execute(self.SETTINGS)
            cursor.execute(self.LOCK, [table.name, instance_id])

    def differing(self, table: Table, rows: Sequence[Row]) -> Iterator[Differing]:
        arrays = [_array(row[0] for row in rows), _array(row[-3] for row in rows)]
        with self._database.cursor() as cursor:
            cursor.execute(self.DIFFERING.format(table=table.name), arrays)
            yield from cursor.fetchall()

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        self._copy(table.name, table.columns, rows)

    def update(self, table: Table, rows: Sequence[Row], keep_if_null: frozenset[str]) -> int:
        names = {"table": table.name, "pending": f"pending_{table.name}", "columns": _names(table.columns)}
        ours = _ours(table, keep_if_null, {name: f"ours.{name}" for name in table.columns})
        with self._database.cursor() as cursor:
            cursor.execute(self.PENDING.format(**names))
            self._copy(names["pending"], table.columns, rows)
            cursor.execute(
                self.UPDATE.format(
                    assignments=_assignments(ours), differs=_differs(ours, "IS DISTINCT FROM"), **names
                )
            )
            updated: int = cursor.rowcount
            if not keep_if_null:
                cursor.execute(self.REFRESH.format(**names))
            cursor.execute(f"DROP TABLE {names['pending']}")
        return updated

    def _copy(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        statement = f"COPY {table} ({_names(columns)}) FROM STDIN"
        # Sent by a thread of its own: the server works on rows while the next ones are formatted.
        with (
            self._database.cursor() as cursor,
            cursor.copy(statement, writer=QueuedLibpqWriter(cursor.cursor)) as copy,
        ):
            for row in rows:
                copy.write_row(row)


class _SQLite:
    """`executemany` on the driver's own connection; the IMMEDIATE transaction is the lock."""

    DIFFERING = """
        SELECT ours.id, stored.as_of, stored.deleted_at IS NULL
        FROM pending_hash AS ours LEFT JOIN {table} AS stored ON stored.id = ours.id
        WHERE stored.row_hash IS NOT ours.row_hash
    """
    UPDATE = "UPDATE {table} AS stored SET {assignments} WHERE id = ?1 AND {differs}"
    REFRESH = "UPDATE {table} SET row_hash = ?2 WHERE id = ?1 AND row_hash <> ?2"

    def __init__(self, database: BaseDatabaseWrapper) -> None:
        self._database = database

    def lock(self, table: Table, instance_id: int) -> None:
        """Nothing to do: an IMMEDIATE transaction already keeps every other writer out."""

    def differing(self, table: Table, rows: Sequence[Row]) -> Iterator[Differing]:
        raw = self._database.connection
        raw.execute("CREATE TEMP TABLE IF NOT EXISTS pending_hash (id INTEGER PRIMARY KEY, row_hash INTEGER)")
        raw.execute("DELETE FROM pending_hash")
        raw.executemany("INSERT INTO pending_hash VALUES (?, ?)", ((row[0], row[-3]) for row in rows))
        for key, as_of, live in raw.execute(self.DIFFERING.format(table=table.name)).fetchall():
            yield key, as_of and as_of.replace(tzinfo=UTC), bool(live)

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        marks = _names("?" * len(table.columns))
        self._database.connection.executemany(
            f"INSERT INTO {table.name} ({_names(table.columns)}) VALUES ({marks})", rows
        )

    def update(self, table: Table, rows: Sequence[Row], keep_if_null: frozenset[str]) -> int:
        numbers = {column: f"?{position}" for position, column in enumerate(table.columns, start=1)}
        ours = _ours(table, keep_if_null, numbers)
        sql = self.UPDATE.format(
            table=table.name, assignments=_assignments(ours), differs=_differs(ours, "IS NOT")
        )
        raw = self._database.connection
        updated: int = raw.executemany(sql, rows).rowcount
        if not keep_if_null:
            raw.executemany(self.REFRESH.format(table=table.name), ((row[0], row[-3]) for row in rows))
        return updated


def _array(numbers: Iterable[int]) -> str:
    """Return numbers as PostgreSQL spells an array; the driver takes ten times as long over a list."""
    return f"{{{','.join(map(str, numbers))}}}"


def _names(columns: Iterable[str]) -> str:
    return ", ".join(columns)


def _ours(table: Table, keep_if_null: frozenset[str], names: Mapping[str, str]) -> dict[str, str]:
    """Return column -> its new value in SQL. A tombstone keeps the time of its first sighting."""
    ours = {name: names[name] for name in table.columns[1:]}
    ours |= {name: f"COALESCE({names[name]}, stored.{name})" for name in keep_if_null}
    deleted_at = names["deleted_at"]
    ours["deleted_at"] = (
        f"CASE WHEN {deleted_at} IS NULL THEN NULL ELSE COALESCE(stored.deleted_at, {deleted_at}) END"
    )
    return ours


def _assignments(ours: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in ours.items())


def _differs(ours: Mapping[str, str], operator: str) -> str:
    """Return the condition that a row's content is not what is stored; hash and as_of are no content."""
    content = {name: value for name, value in ours.items() if name not in ("row_hash", "as_of")}
    return f"({_names(f'stored.{name}' for name in content)}) {operator} ({_names(content.values())})"


_BACKENDS: Mapping[str, Callable[[BaseDatabaseWrapper], Backend]] = {
    "postgresql": _PostgreSQL,
    "sqlite": _SQLite,
}


def analyze(table: Table) -> None:
    """Refresh the planner's statistics of a table."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table.name}")
