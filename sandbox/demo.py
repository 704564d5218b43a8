"""The demo: a sandbox Canvas synced, edited and synced again by the commands a person would type.

Nothing here knows how a sync works. It runs `manage.py` on an installation of its own, reads the JSON that
the commands print, and compares it with what the sandbox says it changed.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import select
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import requests
from rich.console import Console
from rich.table import Table

from sandbox.sis_files import MISTAKES, write_sis_zip
from sandbox.transfers import write_logs

LATENCY_MS = 50
CONCURRENCY = 10
READY_SECONDS = 60.0
END_SECONDS = 30.0  # for a console that ends its worker, beat and Redis first
ENTITIES = (
    "accounts",
    "terms",
    "users",
    "courses",
    "sections",
    "enrollments",
    "assignment_groups",
    "assignments",
    "submissions",
    "modules",
    "module_items",
    "group_categories",
    "groups",
    "group_memberships",
)
ACTIONS = ("created", "updated", "deleted")
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TERM", "COLUMNS", "LINES", "NO_COLOR", "TMPDIR")
END_LOGIN = (
    "from django.contrib.auth import get_user_model as model; user = model().objects.get(username='demo'); "
    "user.set_unusable_password(); user.save()"
)

Run = Mapping[str, Any]
"""A run as `sync_canvas --json` prints it."""


class DemoError(Exception):
    """The demo cannot go on; the message says why, in one sentence."""


class DemoUnusable(DemoError):
    """The demo cannot begin as asked: a port or the demo's own folder is in use."""


def check_port(port: int) -> None:
    """Raise DemoUnusable unless the console can listen on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = f"Port {port} cannot be used ({error.strerror})"
            raise DemoUnusable(f"{reason}: try another one, `make demo PORT={port + 1}`.") from None


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Empty the demo's folder and keep a second demo out of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoUnusable(
                "A demo is running already: end it first, with Ctrl-C where it runs."
            ) from None
        shutil.rmtree(folder)
        folder.mkdir()
        yield


@dataclass(slots=True)
class Installation:
    """The demo's own installation: `manage.py` with a folder of its own, deaf to all other settings."""

    project: Path
    folder: Path
    _servers: list[subprocess.Popen[str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Do nothing yet: servers start when they are asked for."""
        return self

    def __exit__(self, *_: object) -> None:
        """End every server that was started, by its pid."""
        for server in reversed(self._servers):
            server.terminate()
            try:
                server.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables of its processes: none of the settings around us."""
        kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return kept | {"EASEL_VAR_DIR": str(self.folder), "EASEL_ENV_FILE": os.devnull} | more

    def manage(
        self, *arguments: str, show_progress: bool = False, fine: Collection[int] = (0,), **more: str
    ) -> str:
        """Run one command to its end and return its stdout; DemoError when its status is not `fine`."""
        done = subprocess.run(  # noqa: S603 - our own manage.py
            [sys.executable, str(self.project / "manage.py"), *arguments],
            env=self.environment(**more),
            cwd=self.project,
            stdout=subprocess.PIPE,
            stderr=None if show_progress else subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        if done.returncode not in fine:
            said = (done.stderr or "").strip().splitlines()
            raise DemoError(f"{arguments[0]} failed{': ' + said[-1] if said else ', see above'}")
        return done.stdout

    def serve(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a Python program as a server; what it says on stderr goes to `<name>.log`."""
        with (self.folder / f"{name}.log").open("w") as log:
            server = subprocess.Popen(  # noqa: S603 - our own programs
                [sys.executable, *arguments],
                env=self.environment(),
                cwd=self.project,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for us; we end it
            )
        self._servers.append(server)
        return server


@dataclass(frozen=True, slots=True)
class Canvas:
    """The sandbox as its ready line describes it."""

    url: str
    token: str

    def edit(self, kind: str, **arguments: Any) -> dict[str, Any]:
        """Make one edit and return what changed."""
        with requests.Session() as session:
            session.trust_env = False  # no proxy stands before loopback
            body = {"edits": [{"kind": kind, **arguments}]}
            answer = session.post(f"{self.url}/__sandbox__/edits", json=body, timeout=30)
        answer.raise_for_status()
        edited: dict[str, Any] = answer.json()["edits"][0]
        return edited


class Demo:
    """The demo, act by act. Every act says what it does."""

    def __init__(self, installation: Installation, *, size: str, console: Console) -> None:
        self._installation = installation
        self._size = size
        self._console = console

    def play(self) -> bool:
        """Sync, edit, sync again, report. Return whether the second sync found exactly the edits."""
        self._say("Preparing an empty database ...")
        self._installation.manage("migrate", "--verbosity", "0")
        canvas = self._start_sandbox()
        self._connect(canvas)
        self._say("First sync: everything.")
        first = self._sync("--full")
        edits = self._edit(canvas)
        self._say("Second sync: what changed.")
        second = self._sync("--incremental")
        self._console.print(summary(first, second))
        for run in (first, second):
            self._say(cost(run))
        exact = self.compare(edits, second)
        exact = self.follow_transfers() and exact
        return self.parse_upload() and exact

    def parse_upload(self) -> bool:
        """Have a file with mistakes uploaded and parsed, twice; return whether no mistake was overlooked."""
        archive = self._installation.folder / "autumn-sis.zip"
        write_sis_zip(archive, size=self._size)
        run = json.loads(self._installation.manage("parse_file", str(archive), "--json", fine=(0, 1)))
        again = ("reparse_files", "--all", "--reason", "To have two runs to compare", "--json")
        self._installation.manage(*again, fine=(0, 1))
        found = sum(run["findings"].values())
        what = f"An upload with {len(MISTAKES) + 1} mistakes, {archive.name}"
        if found <= len(MISTAKES):
            self._say(f"{what}: only {found} findings.")
            return False
        self._say(
            f"{what}: {run['rows_read']:,} rows read, {run['rows_rejected']} rejected, {found} findings;"
            " the console has them, and the log."
        )
        return True

    def follow_transfers(self) -> bool:
        """Have the log of a made-up transfer server read; return whether every line was read once."""
        folder = self._installation.folder / "sftpgo"
        written = write_logs(folder, until=datetime.now(UTC).replace(tzinfo=None))
        command = ("watch_transfers", "--source", str(folder), "--once", "--json")
        read = json.loads(self._installation.manage(*command))
        what = f"A transfer server's log, {written.lines:,} lines in {written.files} files"
        if read["lines"] != written.lines or read["bad_lines"]:
            self._say(f"{what}, was NOT read as it is: {read['lines']:,} lines, {read['bad_lines']:,} bad.")
            return False
        self._say(f"{what}: every line read once, {written.transfers:,} transfers for the charts.")
        return True

    def serve(self, port: int) -> None:
        """Serve the console with a login that ends with the demo; returns only by an interrupt."""
        password = secrets.token_urlsafe(12)
        account = ("--username", "demo", "--email", "demo@localhost")
        self._installation.manage(
            "createsuperuser", "--noinput", *account, DJANGO_SUPERUSER_PASSWORD=password
        )
        server = self._installation.serve("console", "manage.py", "run_easel", "--port", str(port))
        try:
            self._wait_for_console(server)
            self._say(f"\nThe console: http://127.0.0.1:{port}/")
            self._say(f"Log in as demo with the password {password} (good until this ends). Ctrl-C ends it.")
            server.wait()
            raise DemoError(f"The console ended by itself; see {self._installation.folder / 'console.log'}.")
        finally:
            self._installation.manage("shell", "--no-imports", "-c", END_LOGIN)

    def _wait_for_console(self, server: subprocess.Popen[str]) -> None:
        """Repeat what it has to say until it is ready; DemoError when it ends before."""
        for line in server.stdout or ():
            if line.startswith("The console:"):
                return
            self._say(line.strip())
        raise DemoError(f"The console did not start; see {self._installation.folder / 'console.log'}.")

    def compare(self, edits: list[dict[str, Any]], run: Run) -> bool:
        """Say whether an incremental run counted exactly what the edits changed, and return that."""
        expected, hidden = expectation(edits)
        found = {name: Counter({what: run[name][what] for what in ACTIONS}) for name in ENTITIES}
        wrong = [
            f"{name}: {found[name][what]} {what}, not {expected[name][what]}"
            for name in ENTITIES
            for what in ACTIONS
            if found[name][what] != expected[name][what]
        ]
        if wrong:
            self._say("The second sync did NOT find exactly the edits. " + "; ".join(wrong) + ".")
            return False
        self._say("The second sync found exactly the edits: " + in_words(expected) + ".")
        if hidden:
            self._say(
                f"The dropped student's {hidden} submissions went too, which no filter of Canvas shows:"
                " the next full sync marks them (docs/operating.md)."
            )
        return True

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _start_sandbox(self) -> Canvas:
        self._say(f"Starting a sandbox Canvas of size {self._size}, {LATENCY_MS} ms away ...")
        options = ("--size", self._size, "--latency-ms", str(LATENCY_MS), "--throttle")
        server = self._installation.serve("sandbox", "manage.py", "run_sandbox", *options)
        ready = json.loads(read_line(server, self._installation.folder / "sandbox.log"))
        return Canvas(ready["url"].rstrip("/"), ready["token"])

    def _connect(self, canvas: Canvas) -> None:
        self._say(f"Connecting {canvas.url} ...")
        where = ("--name", "demo", "--base-url", canvas.url)
        self._installation.manage(
            "connect_canvas", *where, "--token-env", "DEMO_CANVAS_TOKEN", DEMO_CANVAS_TOKEN=canvas.token
        )

    def _sync(self, mode: str) -> Run:
        options = ("--connection", "demo", "--concurrency", str(CONCURRENCY), mode, "--json")
        run: Run = json.loads(self._installation.manage("sync_canvas", *options, show_progress=True))
        return run

    def _edit(self, canvas: Canvas) -> list[dict[str, Any]]:
        """Make the four edits in one course, so that the course row itself changes once."""
        renamed = canvas.edit("rename_course")
        course = renamed["target"]["course_id"]
        edits = [renamed, *(canvas.edit(kind, course_id=course) for kind in OTHER_EDITS)]
        self._say(f"Edits in course {course}: " + "; ".join(describe(edit) for edit in edits) + ".")
        return edits


OTHER_EDITS = ("grade", "drop_student", "new_assignment")


def describe(edit: Mapping[str, Any]) -> str:
    """Return an edit in words: `grade (1 submission updated)`."""
    counts = Counter((change["resource"], change["action"]) for change in edit["changes"])
    changes = ", ".join(
        f"{number} {resource if number > 1 else resource.removesuffix('s')} {action}"
        for (resource, action), number in counts.items()
    )
    return f"{edit['kind'].replace('_', ' ')} ({changes})"


def expectation(edits: list[dict[str, Any]]) -> tuple[dict[str, Counter[str]], int]:
    """Return what an incremental sync must count for these edits, and how many deletions it cannot see.

    No filter of Canvas shows that a submission went away with its student: those are the second value.
    """
    rows = {
        (change["resource"], change["id"]): change["action"] for edit in edits for change in edit["changes"]
    }
    expected: dict[str, Counter[str]] = {name: Counter() for name in ENTITIES}
    for (resource, _), action in rows.items():
        expected[resource][action] += 1
    return expected, expected["submissions"].pop("deleted", 0)


def in_words(counts: Mapping[str, Counter[str]]) -> str:
    """Return counts as `courses: 1 updated, submissions: 1 updated, 500 created`."""
    return ", ".join(
        f"{name}: " + ", ".join(f"{number} {what}" for what, number in actions.items())
        for name, actions in counts.items()
        if actions.total()
    )


def summary(first: Run, second: Run) -> Table:
    """Return what both runs listed and changed, an entity a row."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    columns = [(run, count) for run in (first, second) for count in ("processed", *ACTIONS)]
    columns.remove((first, "updated"))  # there was nothing to update
    for run, count in columns:
        heading = f"{run['mode']}\nlisted" if count == "processed" else f"\n{count}"
        table.add_column(heading, justify="right", no_wrap=True)
    for name in ENTITIES:
        table.add_row(name, *(f"{run[name][count]:,}" for run, count in columns))
    return table


def cost(run: Run) -> str:
    """Return what a run cost, and how near it came to the rate that throttle and latency allow."""
    calls, seconds = run["api_metrics"]["calls_made"], run["total_duration_seconds"]
    most = CONCURRENCY * 1000 / LATENCY_MS
    return (
        f"{run['mode'].capitalize()} sync: {calls:,} requests in {seconds:.1f} s, "
        f"{calls / max(seconds, 0.001):.0f} requests/s where the throttle allows {most:.0f}; "
        f"{run['database']['rows_written']:,} rows written."
    )


def read_line(server: subprocess.Popen[str], log: Path) -> str:
    """Return the line a server prints when it is ready; DemoError when it ends or stays silent."""
    output = server.stdout
    if output and select.select([output], [], [], READY_SECONDS)[0] and (line := output.readline()):
        return line
    raise DemoError(f"The sandbox did not start; see {log}.")
