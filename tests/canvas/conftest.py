"""A sandbox Canvas for each test of a sync, connected, with waits made short."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from canvas import client, steps, throttle
from canvas.connect import connect
from canvas.models import Connection
from sandbox.server import Sandbox
from syncmetrics.models import SyncRejection, SyncRun, SyncStep
from tests.canvas.comparison import differences, read_copy, shards_of


class EventfulSandbox(Sandbox):
    """A sandbox in which something can happen just before a request is answered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._events: list[tuple[re.Pattern[str], Callable[[], object], list[int]]] = []
        self._events_lock = threading.Lock()

    def before(self, path: str, action: Callable[[], object], *, number: int = 1) -> None:
        """Do something once, before the request of this number whose target matches `path` is answered."""
        self._events.append((re.compile(path), action, [number]))

    def new_admin_token(self, value: str = "7~NewSecretOfTheAdministrator") -> str:
        """Give the administrator a second token, as after the first was revoked."""
        token = replace(self._tokens.by_name["admin"], value=value, workflow_state="active")
        self._tokens.by_name["new"] = self._tokens.by_value[value] = token
        return value

    def exchange(self, request: Any, wire: Any) -> None:
        for action in self._due(request.target):
            action()
        super().exchange(request, wire)

    def _due(self, target: str) -> list[Callable[[], object]]:
        due = []
        with self._events_lock:
            for pattern, action, left in self._events:
                if pattern.search(target):
                    left[0] -= 1
                    if left[0] == 0:
                        due.append(action)
        return due


@pytest.fixture
def canvas(quick: None) -> Iterator[EventfulSandbox]:
    """A sandbox Canvas of the size `tiny`."""
    with EventfulSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Let retries and throttling wait hundredths of seconds; in this process, the only one it can change."""
    settings.CANVAS_FETCH_PROCESS = False
    monkeypatch.setattr(client, "FIRST_BACK_OFF_SECONDS", 0.01)
    monkeypatch.setattr(throttle, "FIRST_PAUSE_SECONDS", 0.01)
    settings.CANVAS_MAX_TRIES = 3


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut listings into pages of five and chains of two, so that a tiny Canvas has many of both."""
    monkeypatch.setattr(client, "PER_PAGE", 5)
    monkeypatch.setattr(steps, "PER_PAGE", 5)
    monkeypatch.setattr(steps, "PAGES_PER_CHAIN", 4)


@pytest.fixture
def connection(db: None, canvas: EventfulSandbox) -> Connection:
    """The administrator's connection to the sandbox."""
    return connect(name="main", base_url=canvas.url, token=canvas.token)[0]


@pytest.fixture
def wrong(canvas: EventfulSandbox) -> Callable[..., list[str]]:
    """Return a function that lists the differences between Canvas and a connection's copy."""

    def compare(connection: Connection, *, allowed: Any = (), resources: Any = None) -> list[str]:
        instance = connection.instance
        copy = read_copy(instance, resources) if resources else read_copy(instance)
        return differences(canvas.state(), copy, shards_of(instance), allowed=allowed)

    return compare


@dataclass(frozen=True)
class Ended:
    """How a command ended; `err` holds what a terminal would show beside its output."""

    status: int
    out: str
    err: str


@pytest.fixture
def said() -> list[str]:
    """Everything commands have said in this test."""
    return []


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], said: list[str]) -> Callable[..., Ended]:
    """Return a function that runs a command in this process, to its exit status and words."""

    def run(*arguments: str) -> Ended:
        out, err, status = io.StringIO(), io.StringIO(), 0
        try:
            call_command(*arguments, stdout=out, stderr=err)
        except CommandError as error:
            status = error.returncode
            err.write(f"CommandError: {error}")
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        ended = Ended(status, out.getvalue(), capsys.readouterr().err + err.getvalue())
        said.extend((ended.out, ended.err))
        return ended

    return run


@pytest.fixture
def secrecy(
    db: None,
    canvas: EventfulSandbox,
    said: list[str],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Iterator[None]:
    """See after the test that no token is in any log record, output or row."""
    caplog.set_level(0)
    yield
    secrets = {token.partition("~")[2] for token in canvas.tokens.values()}
    rows = [
        *SyncRun.objects.values(),
        *SyncStep.objects.values(),
        *SyncRejection.objects.values(),
        *Connection.objects.values(),
    ]
    everything = "".join((caplog.text, repr(rows), *said, *capsys.readouterr()))
    assert not [secret for secret in secrets if secret in everything]
