"""The database as its migrations make it: made once for all processes, copied, put back after a commit."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection, transaction

from tests.installation import DATABASE

NAME = "template_easel"
UNCHECKED = {
    "postgresql": "SET LOCAL session_replication_role = replica",
    "sqlite": "PRAGMA defer_foreign_keys = ON",
}
"""What lets a transaction delete and write rows in any order."""


def _file() -> Path:
    return Path(os.environ["EASEL_VAR_DIR"]) / f"{NAME}.sqlite3"


@contextmanager
def _server() -> Iterator[psycopg.Connection]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        yield server


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let the first process make the template while the others wait for it."""
    with _file().with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def exists() -> bool:
    """Tell whether some process has made the template."""
    if DATABASE == "sqlite":
        return _file().exists()
    with _server() as server:
        return bool(server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone())


def copy_to(name: str) -> None:
    """Make the database of that name (on SQLite: that file) from the template; replaces one there is."""
    if DATABASE == "sqlite":
        shutil.copyfile(_file(), name)
        return
    with _server() as server:
        server.execute(f"DROP DATABASE IF EXISTS {name}")
        server.execute(f"CREATE DATABASE {name} TEMPLATE {NAME}")


def keep() -> None:
    """Make the template of the database this process has just migrated."""
    if DATABASE == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"VACUUM INTO '{_file()}'")
        return
    connection.close()  # PostgreSQL copies what nobody uses
    with _server() as server:
        server.execute(f"CREATE DATABASE {NAME} TEMPLATE {connection.settings_dict['NAME']}")
        server.execute(f"ALTER DATABASE {NAME} ALLOW_CONNECTIONS false")


class Untouched:
    """What a new database holds, to be put back after a test that commits.

    Django would empty every table and make permissions anew, which takes ten times as long and leaves the
    next test without the roles that migrations made.
    """

    def __init__(self) -> None:
        """Read it."""
        with connection.cursor() as cursor:
            names = connection.introspection.table_names(cursor)
            self._rows = {name: self._read(cursor, name) for name in names}
        empty = [name for name, rows in self._rows.items() if not rows]
        self._filled = [name for name, rows in self._rows.items() if rows]
        self._which_are_used = " UNION ALL ".join(
            f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in empty
        )

    def put_back(self) -> None:
        """Undo what was committed since."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(UNCHECKED[connection.vendor])
            cursor.execute(self._which_are_used)
            used = [name for (name,) in cursor.fetchall()]
            changed = [name for name in self._filled if self._read(cursor, name) != self._rows[name]]
            for name in (*used, *changed):
                cursor.execute(f"DELETE FROM {name}")
                self._write(cursor, name)

    @staticmethod
    def _read(cursor: Any, name: str) -> list[tuple[Any, ...]]:
        cursor.execute(f"SELECT * FROM {name} ORDER BY 1")
        return list(cursor.fetchall())

    def _write(self, cursor: Any, name: str) -> None:
        if rows := self._rows[name]:
            places = ", ".join(["%s"] * len(rows[0]))
            cursor.executemany(f"INSERT INTO {name} VALUES ({places})", rows)
