"""Bulk writes of mirrored rows: compare by hash, insert what is new, update what changed, count exactly.

One algorithm, two databases. Measured alternatives are in docs/adr/0008-bulk-writer.md: the ORM's bulk
calls cost six to seven times as much, and writing unchanged rows grows the table with every sync.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Protocol

from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from canvas.models import CanvasRow

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

    def differing(self, table: Table, rows: Sequence[Row]) -> Iterable[tuple[int, datetime | None, bool]]:
        """Yield (id, stored as_of or None when new, stored row is live) of rows whose hash differs."""

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows whose ids are new."""

    def update(self, table: Table, rows: Sequence[Row], keep_if_null: frozenset[str]) -> None:
        """Overwrite existing rows; columns in `keep_if_null` keep their value where ours is NULL."""


class Writer:
    """Writes batches of rows of one database connection.

    `partial` marks a source that may not see every column (a token with fewer rights): what it leaves
    empty does not blank what a better source has filled.
    """

    def __init__(self, *, partial: bool = False, dry_run: bool = False) -> None:
        self._backend = _BACKENDS[connection.vendor](connection)
        self._partial = partial
        self._dry_run = dry_run

    def write(self, table: Table, rows: Sequence[Row]) -> Written:
        """Write rows of one instance, ids distinct, in one transaction; return exact counts."""
        if not rows:
            return Written()
        # Sorted by id, so that two writers never wait for each other in a circle.
        rows = sorted(rows, key=_row_id)
        with transaction.atomic(), connection.wrap_database_errors:
            self._backend.lock(table, rows[0][1])
            new, changed, written = self._sort_out(rows, self._backend.differing(table, rows))
            if not self._dry_run:
                if new:
                    self._backend.insert(table, new)
                if changed:
                    self._backend.update(table, changed, self._kept_columns(table))
        return written

    def _kept_columns(self, table: Table) -> frozenset[str]:
        return frozenset(table.columns[2:-3]) if self._partial else frozenset()

    def _sort_out(
        self, rows: Sequence[Row], differing: Iterable[tuple[int, datetime | None, bool]]
    ) -> tuple[list[Row], list[Row], Written]:
        by_id = {row[0]: row for row in rows}
        new: list[Row] = []
        changed: list[Row] = []
        created = updated = deleted = 0
        for key, stored_as_of, was_live in differing:
            row = by_id[key]
            is_live = row[-1] is None
            if stored_as_of is None:
                new.append(row)
                created += is_live
                deleted += not is_live
            elif stored_as_of <= datetime.fromisoformat(row[-2]).replace(tzinfo=UTC):
                changed.append(row)
                updated += is_live
                deleted += was_live and not is_live
        live = sum(row[-1] is None for row in rows)
        written = Written(
            created=created,
            updated=updated,
            unchanged=live - created - updated,
            deleted=deleted,
            rows=len(new) + len(changed),
            operations=1 + bool(new) + bool(changed),
        )
        return new, changed, written


_row_id = itemgetter(0)


class _PostgreSQL:
    """COPY for new rows; COPY into a temporary table and one UPDATE for changed ones."""

    LOCK = "SELECT pg_advisory_xact_lock(%s::regclass::oid::int, %s)"
    DIFFERING = """
        SELECT ours.id, stored.as_of, stored.deleted_at IS NULL
        FROM unnest(%s::bigint[], %s::bigint[]) AS ours (id, row_hash)
        LEFT JOIN {table} AS stored ON stored.id = ours.id
        WHERE stored.row_hash IS DISTINCT FROM ours.row_hash
    """
    PENDING = """
        CREATE TEMPORARY TABLE {pending} ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA
    """
    UPDATE = "UPDATE {table} AS stored SET {assignments} FROM {pending} AS ours WHERE stored.id = ours.id"

    def __init__(self, database: BaseDatabaseWrapper) -> None:
        self._database = database

    def lock(self, table: Table, instance_id: int) -> None:
        with self._database.cursor() as cursor:
            cursor.execute("SET LOCAL TIME ZONE 'UTC'")  # our timestamps carry no offset
            cursor.execute(self.LOCK, [table.name, instance_id])

    def differing(self, table: Table, rows: Sequence[Row]) -> Iterator[tuple[int, datetime | None, bool]]:
        ids = [row[0] for row in rows]
        hashes = [row[-3] for row in rows]
        with self._database.cursor() as cursor:
            cursor.execute(self.DIFFERING.format(table=table.name), [ids, hashes])
            yield from cursor.fetchall()

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        self._copy(table.name, table.columns, rows)

    def update(self, table: Table, rows: Sequence[Row], keep_if_null: frozenset[str]) -> None:
        names = {"table": table.name, "pending": f"pending_{table.name}", "columns": _names(table.columns)}
        assignments = _assignments(table, keep_if_null, {name: f"ours.{name}" for name in table.columns})
        with self._database.cursor() as cursor:
            cursor.execute(self.PENDING.format(**names))
            self._copy(names["pending"], table.columns, rows)
            cursor.execute(self.UPDATE.format(assignments=assignments, **names))
            cursor.execute(f"DROP TABLE {names['pending']}")

    def _copy(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        with (
            self._database.cursor() as cursor,
            cursor.copy(f"COPY {table} ({_names(columns)}) FROM STDIN") as copy,
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
    UPDATE = "UPDATE {table} AS stored SET {assignments} WHERE id = ?1"

    def __init__(self, database: BaseDatabaseWrapper) -> None:
        self._database = database

    def lock(self, table: Table, instance_id: int) -> None:
        """Nothing to do: an IMMEDIATE transaction already keeps every other writer out."""

    def differing(self, table: Table, rows: Sequence[Row]) -> Iterator[tuple[int, datetime | None, bool]]:
        raw = self._database.connection
        raw.execute("CREATE TEMP TABLE IF NOT EXISTS pending_hash (id INTEGER PRIMARY KEY, row_hash INTEGER)")
        raw.execute("DELETE FROM pending_hash")
        raw.executemany("INSERT INTO pending_hash VALUES (?, ?)", ((row[0], row[-3]) for row in rows))
        for key, as_of, live in raw.execute(self.DIFFERING.format(table=table.name)).fetchall():
            yield key, as_of and as_of.replace(tzinfo=UTC), bool(live)

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        marks = ", ".join("?" * len(table.columns))
        self._database.connection.executemany(
            f"INSERT INTO {table.name} ({_names(table.columns)}) VALUES ({marks})", rows
        )

    def update(self, table: Table, rows: Sequence[Row], keep_if_null: frozenset[str]) -> None:
        numbers = {column: f"?{position}" for position, column in enumerate(table.columns, start=1)}
        assignments = _assignments(table, keep_if_null, numbers)
        self._database.connection.executemany(
            self.UPDATE.format(table=table.name, assignments=assignments), rows
        )


def _names(columns: Iterable[str]) -> str:
    return ", ".join(columns)


def _assignments(table: Table, keep_if_null: frozenset[str], ours: Mapping[str, str]) -> str:
    """Return the SET list. A tombstone keeps the time of its first sighting."""
    special = {name: f"COALESCE({ours[name]}, stored.{name})" for name in keep_if_null}
    special["deleted_at"] = (
        f"CASE WHEN {ours['deleted_at']} IS NULL THEN NULL"
        f" ELSE COALESCE(stored.deleted_at, {ours['deleted_at']}) END"
    )
    return ", ".join(f"{name} = {special.get(name, ours[name])}" for name in table.columns[1:])


_BACKENDS: Mapping[str, Callable[[BaseDatabaseWrapper], Backend]] = {
    "postgresql": _PostgreSQL,
    "sqlite": _SQLite,
}


def analyze(table: Table) -> None:
    """Refresh the planner's statistics of a table."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table.name}")
