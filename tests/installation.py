"""The throw-away installation the tests run in: variables, a folder, the database server under test.

`TEST_DATABASE=postgresql pytest` runs the tests that touch a database on a PostgreSQL started for the
occasion; without it they run on SQLite.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.servers import PostgresServer, ServerMissing

ROOT = Path(__file__).resolve().parent.parent
DATABASE = os.environ.get("TEST_DATABASE", "sqlite")
# All a child process needs from this one: its settings must come from the test alone.
CHILD_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR")


class Installation:
    """A folder for everything the tests write, and the server `TEST_DATABASE` asks for."""

    def __init__(self) -> None:
        """Start the server and point the settings' variables at both; raises `ServerMissing`."""
        self._owner = os.getpid()
        self.postgresql = PostgresServer() if DATABASE == "postgresql" else None
        self.folder = Path(tempfile.mkdtemp(prefix="easel-tests-"))
        sqlite_url = f"sqlite:///{self.folder / 'easel.sqlite3'}"
        os.environ |= {
            "EASEL_VAR_DIR": str(self.folder),
            "EASEL_ENV_FILE": os.devnull,  # a developer's .env is not what is tested
            "DATABASE_URL": self.postgresql.url() if self.postgresql else sqlite_url,
            "DJANGO_ALLOW_ASYNC_UNSAFE": "true",  # Playwright keeps an event loop in the test's thread
        }

    def close(self) -> None:
        """End the server and remove every file; a forked child that exits leaves both alone."""
        if os.getpid() != self._owner:
            return
        if self.postgresql:
            self.postgresql.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _open() -> None:
    """Make it once, until this process ends; pytest-xdist's workers inherit it through their environment."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    if DATABASE not in {"sqlite", "postgresql"}:
        pytest.exit(f"TEST_DATABASE is sqlite or postgresql, not {DATABASE!r}.", returncode=2)
    try:
        atexit.register(Installation().close)
    except ServerMissing as missing:
        pytest.exit(f"{missing}; `make test-deps` installs it.", returncode=2)


_open()
