"""What every test stands on: the database under test, an installation of its own, no network, a browser."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import environ
import hypothesis
import psycopg
import pytest
from django.conf import settings
from django.contrib import admin
from django.db import connection as database
from django.test import TransactionTestCase
from playwright.sync_api import expect

from tests import template
from tests.installation import CHILD_VARIABLES, DATABASE, ROOT
from tests.servers import NEEDS_CHROMIUM, find_chromium
from tests.workers import background, redis, redis_server  # noqa: F401 - fixtures for every test

DATABASE_FIXTURES = {"db", "transactional_db", "live_server", "own_site", "background"}
BROWSER_FIXTURES = {"page", "context", "browser"}
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# A busy machine is no failure: hypothesis times examples, pytest-timeout ends what hangs.
hypothesis.settings.register_profile(
    "easel", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("easel")
# Shells start what runs in the background with Ctrl-C ignored, and so would be every process of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)
expect.set_options(timeout=40_000)  # ms; what is there at once is not waited for

if settings.SETTINGS_MODULE != "tests.settings":
    pytest.exit("Run pytest without --ds: tests.settings keeps the tests off your own data.", returncode=2)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Load the console's pages, as `config.urls` does, before a test imports some of them out of order."""
    admin.autodiscover()


def _touches_database(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or bool(fixtures & DATABASE_FIXTURES)


def _belongs(item: pytest.Item) -> bool:
    """Say whether a test belongs in this pass: on PostgreSQL only what touches a database runs again."""
    if DATABASE == "sqlite":
        return item.get_closest_marker("postgresql") is None
    return item.get_closest_marker("sqlite") is None and (
        _touches_database(item) or item.get_closest_marker("postgresql") is not None
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of this pass; skip the browser's where there is none."""
    away = [item for item in items if not _belongs(item)]
    if away:
        config.hook.pytest_deselected(items=away)
        items[:] = [item for item in items if _belongs(item)]
    # What takes longest begins first, so that the other workers are not idle at the end.
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)
    if find_chromium() is None:
        for item in items:
            if BROWSER_FIXTURES & set(getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.skip(reason=NEEDS_CHROMIUM))


class NetworkBlocked(Exception):
    """A test tried to leave this machine."""


def _is_loopback(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # a unix socket
    host = str(address[0])
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in {"localhost", ""}


@pytest.fixture(scope="session", autouse=True)
def _network_is_blocked() -> Iterator[None]:
    """Let tests connect to this machine only."""

    def guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
        def check(self: socket.socket, address: Any) -> Any:
            if not _is_loopback(address):
                self.close()  # create_connection closes it for an OSError only
                raise NetworkBlocked(f"Tests may connect to loopback only, not to {address!r}.")
            return connect(self, address)

        return check

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> None:
    """Keep SQLite's test database in a file, as an installation does: in memory it locks differently."""
    if DATABASE == "sqlite":
        file = Path(os.environ["EASEL_VAR_DIR"]) / "test.sqlite3"
        settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = str(file)
    request.getfixturevalue("django_db_modify_db_settings_parallel_suffix")


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Take a copy of the template as it is, and leave it: it goes with the installation."""
    return True


@pytest.fixture(scope="session")
def _one_makes_the_template(django_db_modify_db_settings: None) -> Iterator[contextlib.ExitStack]:
    """Copy the template, or hold the others back until this process has made it."""
    with contextlib.ExitStack() as turn:
        turn.enter_context(template.one_at_a_time())
        if template.exists():
            turn.close()
            template.copy_to(database.creation._get_test_db_name())
        yield turn


@pytest.fixture(scope="session")
def django_db_setup(
    _one_makes_the_template: contextlib.ExitStack, django_db_setup: None, django_db_blocker: Any
) -> Iterator[None]:
    """Keep what a new database holds, for other processes and to be put back after a test that commits."""
    with django_db_blocker.unblock():
        if not template.exists():
            template.keep()
        _one_makes_the_template.close()
        new = template.Untouched()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: new.put_back())
        yield


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Drive the installed Chromium; Playwright's own download is not used."""
    return {**browser_type_launch_args, "executable_path": str(find_chromium()), "args": CHROMIUM_FLAGS}


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the environment of an installation of its own, for `manage.py` run as a process.

    Its database is new and empty (run `migrate`, or ask for `tables` too), on the kind of server under
    test; its var folder is `tmp_path / "var"`.
    """
    var = tmp_path / "var"
    var.mkdir()
    site = {name: os.environ[name] for name in CHILD_VARIABLES if name in os.environ}
    site |= {"EASEL_VAR_DIR": str(var), "EASEL_ENV_FILE": os.devnull}
    if DATABASE == "sqlite":
        yield site | {"DATABASE_URL": f"sqlite:///{var / 'easel.sqlite3'}"}
        return
    name = f"own_{uuid.uuid4().hex[:12]}"
    server_url = os.environ["DATABASE_URL"]
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield site | {"DATABASE_URL": server_url.replace("@/postgres?", f"@/{name}?")}
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def tables(own_site: dict[str, str], django_db_setup: None) -> None:
    """Give the database of `own_site` its tables, as `migrate` does."""
    template.copy_to(environ.Env.db_url_config(own_site["DATABASE_URL"])["NAME"])


@pytest.fixture
def manage(own_site: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs one `manage.py` command to its end in `own_site`.

    `manage("sync_canvas", "--json", env={"NAME": "value"})` gives its exit status, stdout and stderr.
    """

    def run(*arguments: str, env: dict[str, str] | None = None, timeout: float = 60) -> Any:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        return subprocess.run(
            command,
            env=own_site | (env or {}),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )

    return run
