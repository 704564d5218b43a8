"""`run_easel` as a process: everything comes up, is kept up, and goes down together."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from config.management.commands import run_easel
from config.redis_child import find_redis_server, private_redis_url
from tests.installation import ROOT
from tests.servers import NEEDS_REDIS
from tests.workers import wait_for

Manage = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.sqlite  # what it starts is tested on both elsewhere
PARTS = ("redis-server", "celery --quiet -A config worker", "celery --quiet -A config beat", "gunicorn")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def family_of(parent: int) -> dict[int, str]:
    """Return the command lines of a process's children, by their pid."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
            line = (stat.parent / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if int(ppid) == parent and state != "Z":
            children[int(stat.parent.name)] = line
    return children


def in_session(leaders: set[int]) -> set[int]:
    """Return the processes that live in the sessions of these."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) in leaders and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


@pytest.fixture
def easel(own_site: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run all of Easel on an installation of its own; yield its process and port."""
    if find_redis_server() is None:
        pytest.skip(NEEDS_REDIS)
    port = free_port()
    command = [sys.executable, "-W", "ignore", str(ROOT / "manage.py"), "run_easel", "--port", str(port)]
    environment = own_site | {"WORKER_PROCESSES": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert any(f"http://127.0.0.1:{port}/" in line for line in process.stdout)
            yield process, port
        finally:
            process.terminate()


def test_all_of_easel_comes_up_stays_up_and_goes_down(
    easel: tuple[subprocess.Popen[str], int], manage: Manage
) -> None:
    process, port = easel
    assert requests.get(f"http://127.0.0.1:{port}/admin/login/", timeout=10).status_code == 200
    family = family_of(process.pid)
    assert [part for part in PARTS if not any(part in line for line in family.values())] == []

    second = manage("run_easel", "--port", str(free_port()))
    assert second.returncode == 2
    assert f"as process {process.pid}" in second.stderr

    beat = next(pid for pid, line in family.items() if "beat" in line)
    os.kill(beat, signal.SIGKILL)
    wait_for(
        lambda: any("beat" in line for pid, line in family_of(process.pid).items() if pid != beat),
        "beat to be started again",
    )
    leaders = set(family_of(process.pid))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert in_session(leaders) == set()


def test_nobody_is_left_when_it_is_killed(tables: None, easel: tuple[subprocess.Popen[str], int]) -> None:
    process, _ = easel
    leaders = set(family_of(process.pid))
    assert len(leaders) == len(PARTS)
    process.kill()
    wait_for(lambda: not in_session(leaders), "its children to end", 30)


def names(settings: Any, monkeypatch: pytest.MonkeyPatch, url: str, program: Path | None) -> tuple[Any, str]:
    """Return which children it would start, and what it says."""
    said = io.StringIO()
    settings.CELERY_BROKER_URL = url
    monkeypatch.setattr(run_easel, "find_redis_server", lambda: program)
    command = run_easel.Command(stdout=said)
    return [child.name for child in command._children("127.0.0.1", 8000)], said.getvalue()


def test_without_any_redis_the_console_is_served_and_says_what_is_missing(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = private_redis_url(settings.VAR_DIR)
    children, said = names(settings, monkeypatch, private, None)
    assert children == ["console"]
    assert "no schedules and no background syncs" in said
    assert len(said.splitlines()) == 1


def test_redis_of_ones_own_is_not_started_again(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    children = names(settings, monkeypatch, "redis://redis.example.edu/0", Path("redis-server"))
    assert children == (["worker", "beat", "console"], "")


def test_port_in_use_is_said_before_anything_starts(manage: Manage, own_site: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = manage("run_easel", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "name another --port" in done.stderr
    assert not (Path(own_site["EASEL_VAR_DIR"]) / "redis").exists()
