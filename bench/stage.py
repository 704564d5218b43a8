"""What a benchmark stands on: throw-away databases, a sandbox Canvas, and children measured as processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import psycopg

from tests.servers import PostgresServer, ServerMissing

ROOT = Path(__file__).resolve().parent.parent
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
READY_SECONDS = 60.0
CONNECTION = "bench"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A benchmark cannot go on; the message says why."""


class Databases(Protocol):
    """Databases of one kind: made empty by name, copied, dropped."""

    def url(self, name: str) -> str:
        """Return the DATABASE_URL of a database."""

    def create(self, name: str, template: str | None = None) -> None:
        """Make a database, empty or as a copy; nobody may be connected to the template."""

    def drop(self, name: str) -> None:
        """Remove a database."""

    def close(self) -> None:
        """End whatever serves them."""


class SQLiteFiles:
    """SQLite databases, files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, name: str) -> str:
        """Return the DATABASE_URL of a database."""
        return f"sqlite:///{self._folder / name}.sqlite3"

    def create(self, name: str, template: str | None = None) -> None:
        """Copy the template's file; an empty database comes into being when it is opened."""
        self.drop(name)
        if template:
            shutil.copy(self._folder / f"{template}.sqlite3", self._folder / f"{name}.sqlite3")

    def drop(self, name: str) -> None:
        """Remove the file and its journals."""
        for file in self._folder.glob(f"{name}.sqlite3*"):
            file.unlink()

    def close(self) -> None:
        """Nothing serves files."""


class PostgresDatabases:
    """Databases of a PostgreSQL started for the occasion, as the tests start it: fsync is off."""

    def __init__(self, folder: Path) -> None:
        self._server = PostgresServer()

    def url(self, name: str) -> str:
        """Return the DATABASE_URL of a database."""
        return self._server.url(name)

    def create(self, name: str, template: str | None = None) -> None:
        """Make a database, and have the server done with all that went before."""
        self.drop(name)
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}", "CHECKPOINT")

    def drop(self, name: str) -> None:
        """Remove a database."""
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        """End the server."""
        self._server.stop()

    def _execute(self, *statements: str) -> None:
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


KINDS: Mapping[str, tuple[str, type[SQLiteFiles] | type[PostgresDatabases]]] = {
    "postgresql": ("PostgreSQL", PostgresDatabases),
    "sqlite": ("SQLite", SQLiteFiles),
}


class Stage:
    """A folder of its own with databases of the kinds asked for; a context manager that leaves nothing."""

    def __init__(self, kinds: Sequence[str]) -> None:
        """Start the servers; a kind that cannot be had here is in `missing` instead."""
        self.folder = Path(tempfile.mkdtemp(prefix="easel-bench-"))
        self.databases: dict[str, Databases] = {}
        self.missing: list[str] = []
        try:
            for kind in kinds:
                self._open(kind)
        except BaseException:
            self.close()
            raise

    def _open(self, kind: str) -> None:
        try:
            self.databases[kind] = KINDS[kind][1](self.folder)
        except ServerMissing as missing:
            self.missing.append(str(missing))
            return
        self.databases[kind].create("empty")
        self.manage(kind, "empty", "migrate", "--verbosity", "0")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the servers and remove the folder."""
        for databases in self.databases.values():
            databases.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, canvas: CanvasProcess) -> None:
        """Make `connected` in every kind: a migrated database with a connection to this Canvas."""
        for kind, databases in self.databases.items():
            databases.create("connected", "empty")
            options = ("--name", CONNECTION, "--base-url", canvas.url, "--token-env", "TOKEN")
            self.manage(kind, "connected", "connect_canvas", *options, TOKEN=canvas.token)

    @contextlib.contextmanager
    def fresh(self, kind: str, template: str = "connected") -> Iterator[str]:
        """Give the name of a new copy of a database, dropped afterwards."""
        self.databases[kind].create("fresh", template)
        try:
            yield "fresh"
        finally:
            self.databases[kind].drop("fresh")

    def manage(self, kind: str, name: str, *arguments: str, **variables: str) -> None:
        """Run one management command on a database."""
        _run([sys.executable, "manage.py", *arguments], self._environment(kind, name) | variables)

    def measure(
        self, kind: str, name: str, module: str, *, variables: Mapping[str, str] | None = None, **options: Any
    ) -> Any:
        """Run a measured child (`bench.children.*`) on a database; return the JSON it prints."""
        return _measure(module, options, self._environment(kind, name) | dict(variables or {}))

    def _environment(self, kind: str, name: str) -> dict[str, str]:
        return inherited() | {
            "EASEL_VAR_DIR": str(self.folder),
            "EASEL_ENV_FILE": os.devnull,
            "DATABASE_URL": self.databases[kind].url(name),
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }


def measure(module: str, **options: Any) -> Any:
    """Run a measured child that needs no database; return the JSON it prints."""
    return _measure(module, options, inherited())


def inherited() -> dict[str, str]:
    """Return the variables a child needs of ours; its settings come from the benchmark alone."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


def _measure(module: str, options: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    # Options go through stdin: the targets of a sync are too long for a command line.
    command = [sys.executable, "-m", f"bench.children.{module}"]
    return json.loads(_run(command, environment, json.dumps(options)))


def _run(command: Sequence[str], environment: Mapping[str, str], text: str = "") -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=environment, input=text, capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        raise BenchError(f"{' '.join(command[1:3])} failed:\n{done.stderr.strip()[-2000:]}")
    return done.stdout


class CanvasProcess:
    """A sandbox Canvas in its own process, as a context manager."""

    def __init__(self, folder: Path, size: str, *, latency_ms: float = 0.0, throttle: bool = False) -> None:
        """Start it and wait until it is ready; it keeps its keys in `folder`."""
        command = [
            sys.executable,
            "manage.py",
            "run_sandbox",
            "--size",
            size,
            "--latency-ms",
            str(latency_ms),
        ]
        environment = inherited() | {"EASEL_VAR_DIR": str(folder), "EASEL_ENV_FILE": os.devnull}
        self._process = subprocess.Popen(
            [*command, "--throttle" if throttle else "--no-throttle"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self.stop()
            raise BenchError("The sandbox Canvas did not start.")
        about = json.loads(line)
        self.url: str = about["url"]
        self.token: str = about["token"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it by its pid."""
        self._process.terminate()
        try:
            self._process.wait(READY_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Return the CPU time it has used so far; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def requests(self) -> list[dict[str, Any]]:
        """Return its log of requests since it was last cleared."""
        return list(self._control("GET", "requests")["requests"])

    def set(self, **settings: float) -> None:
        """Change what can be changed while it runs, such as `latency_ms`."""
        self._control("POST", "settings", settings)

    def clear_requests(self) -> None:
        """Empty its log of requests."""
        self._control("DELETE", "requests")

    def edit(self, *kinds: str) -> list[dict[str, Any]]:
        """Make edits; return what each changed."""
        body = {"edits": [{"kind": kind} for kind in kinds]}
        return [
            change for edit in self._control("POST", "edits", body)["edits"] for change in edit["changes"]
        ]

    def _control(self, method: str, name: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/__sandbox__/{name}", data, method=method)
        with urllib.request.urlopen(request, timeout=READY_SECONDS) as answer:
            return json.load(answer)


def targets(requests: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return path and query of every answered request of a log, once each, in their order."""
    answered = (request for request in requests if request["status"] == 200)
    spelled = (f"{request['path']}?{request['query']}".rstrip("?") for request in answered)
    return list(dict.fromkeys(spelled))


def wait_a_moment() -> None:
    """Let the throttle's bucket leak and the machine settle between two measurements."""
    time.sleep(1.0)
