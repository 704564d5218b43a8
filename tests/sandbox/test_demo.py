"""The demo: `run_demo` as a person runs it, and what it concludes from edits and runs."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.management import CommandError, call_command
from rich.console import Console

from sandbox.demo import ACTIONS, ENTITIES, Demo, Installation, expectation
from tests.installation import ROOT

Manage = Callable[..., subprocess.CompletedProcess[str]]
# The demo has a database of its own, whichever is under test.
pytestmark = pytest.mark.sqlite


def edit(resource: str, action: str, *keys: int) -> dict[str, object]:
    return {"kind": "x", "changes": [{"resource": resource, "id": key, "action": action} for key in keys]}


def run_with(**counts: dict[str, int]) -> dict[str, dict[str, int]]:
    return {name: dict.fromkeys(ACTIONS, 0) | counts.get(name, {}) for name in ENTITIES}


@contextlib.contextmanager
def port_in_use() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("exact", [True, False])
def test_demo_that_is_not_to_serve_ends_with_what_it_found(
    exact: bool, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(Demo, "play", lambda _: exact)
    monkeypatch.setattr(Demo, "serve", lambda *_: pytest.fail("It serves."))
    refused = pytest.raises(CommandError, match="Not everything was found as it is")
    with contextlib.nullcontext() if exact else refused:
        call_command("run_demo", "--no-serve")


def test_demo_with_a_port_in_use_names_another(manage: Manage) -> None:
    with port_in_use() as port:
        done = manage("run_demo", "--port", str(port))
    assert done.returncode == 2
    assert f"make demo PORT={port + 1}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_second_demo_is_told_of_the_first(manage: Manage, own_site: dict[str, str]) -> None:
    with (Path(own_site["EASEL_VAR_DIR"]) / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = manage("run_demo", "--no-serve")
    assert done.returncode == 2
    assert "A demo is running already" in done.stderr


def test_demo_of_an_unknown_size_fails_in_one_sentence(manage: Manage) -> None:
    done = manage("run_demo", "--no-serve", "--size", "enormous")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def until(last: Callable[[str], object], lines: Iterator[str]) -> Iterator[str]:
    """Yield lines up to the first one of that kind."""
    for line in lines:
        yield line
        if last(line):
            return


@contextlib.contextmanager
def served_demo(site: dict[str, str], port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the demo until it serves; yield its process and what it said, the password last."""
    command = [sys.executable, str(ROOT / "manage.py"), "run_demo", "--size", "tiny", "--port", str(port)]
    with subprocess.Popen(
        command, env=site, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as demo:
        try:
            assert demo.stdout
            said = iter(demo.stdout.readline, "")
            yield demo, "".join(until(lambda line: "with the password" in line, said))
        finally:
            demo.terminate()


def log_in(port: int, password: str) -> bool:
    url = f"http://127.0.0.1:{port}/admin/login/"
    with requests.Session() as browser:
        browser.get(url, timeout=10)
        form = {"username": "demo", "password": password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        answer = browser.post(url, data=form | {"next": "/admin/"}, allow_redirects=False, timeout=10)
    return answer.status_code == 302


@pytest.mark.timeout(300)
def test_demo_finds_its_edits_serves_and_leaves_no_login_and_no_process(own_site: dict[str, str]) -> None:
    own_site["DATABASE_URL"] = "postgres://nobody@127.0.0.1:1/nothing"  # none of the demo's business
    folder = Path(own_site["EASEL_VAR_DIR"]) / "demo"
    folder.mkdir()
    (folder / "easel.sqlite3").write_text("half a database, that an earlier demo left")
    port = free_port()
    with served_demo(own_site, port) as (demo, said):
        assert "found exactly the edits: courses: 1 updated, enrollments: 1 deleted" in said
        assert "every line read once" in said
        assert "An upload with 11 mistakes, autumn-sis.zip: " in said
        (password,) = re.findall(r"with the password (\S+)", said)
        assert log_in(port, password)
        assert not log_in(port, "wrong")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 0
    assert not still_listening(port)
    with contextlib.closing(sqlite3.connect(folder / "easel.sqlite3")) as base:
        stored = base.execute("SELECT password FROM auth_user WHERE username = 'demo'").fetchone()
    assert stored[0].startswith("!")


def still_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_expectation_counts_rows_once_and_sets_hidden_deletions_apart() -> None:
    renamed, dropped = edit("courses", "updated", 1), edit("submissions", "deleted", 5, 6)
    expected, hidden = expectation([renamed, renamed, dropped])
    assert expected["courses"] == Counter(updated=1)
    assert not expected["submissions"]
    assert hidden == 2


@pytest.mark.parametrize(
    ("counts", "exact"),
    [
        ({"courses": {"updated": 1}}, True),
        ({}, False),
        ({"courses": {"updated": 2}}, False),
        ({"courses": {"updated": 1}, "submissions": {"created": 1}}, False),
    ],
)
def test_demo_says_whether_the_sync_found_the_edits(
    tmp_path: Path, counts: dict[str, dict[str, int]], exact: bool
) -> None:
    said = io.StringIO()
    demo = Demo(Installation(ROOT, tmp_path), size="tiny", console=Console(file=said))
    assert demo.compare([edit("courses", "updated", 1)], run_with(**counts)) is exact
    assert ("found exactly the edits" in said.getvalue()) is exact
    assert ("did NOT find" in said.getvalue()) is not exact


def test_demo_children_see_none_of_our_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://ours")
    monkeypatch.setenv("CANVAS_CONCURRENCY", "1")
    environment = Installation(ROOT, tmp_path).environment(EXTRA="1")
    assert environment["EASEL_VAR_DIR"] == str(tmp_path)
    assert environment["EASEL_ENV_FILE"] == os.devnull
    assert environment["EXTRA"] == "1"
    assert not {"DATABASE_URL", "CANVAS_CONCURRENCY"} & set(environment)
