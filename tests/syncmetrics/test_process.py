"""Whether a process is still there: alive, killed, replaced by another, on another host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncmetrics import process
from syncmetrics.process import ThisProcess, host_identity, host_name, is_gone, start_ticks


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        yield child
        child.kill()


def test_this_process_is_not_gone():
    me = ThisProcess()
    assert me.pid == os.getpid()
    assert is_gone(me.host, me.pid, me.started) is False


def test_identity_begins_with_the_name_of_the_host():
    assert host_name(host_identity()) == process.socket.gethostname()


def test_killed_process_is_gone_before_and_after_its_parent_noticed(sleeper: subprocess.Popen[bytes]):
    started = start_ticks(sleeper.pid)
    assert is_gone(host_identity(), sleeper.pid, started) is False

    sleeper.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not is_gone(host_identity(), sleeper.pid, started) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sleeper.returncode is None, "nobody has waited for it: it is a zombie"
    assert is_gone(host_identity(), sleeper.pid, started) is True

    sleeper.wait()
    assert is_gone(host_identity(), sleeper.pid, started) is True


def test_later_process_with_the_same_id_is_not_the_same(sleeper: subprocess.Popen[bytes]):
    ticks = start_ticks(sleeper.pid)
    assert ticks
    assert is_gone(host_identity(), sleeper.pid, str(int(ticks) - 1)) is True


@pytest.mark.parametrize("host", ["", "elsewhere", f"{process.socket.gethostname()}/00000000-1"])
def test_process_of_another_host_or_boot_cannot_be_known(host: str):
    assert is_gone(host, os.getpid(), "1") is None


def test_no_process_cannot_be_known():
    assert is_gone(host_identity(), 0, "") is None


def test_process_of_another_user_is_there(monkeypatch: pytest.MonkeyPatch):
    def refuse(pid: int, sign: int) -> None:
        raise PermissionError

    monkeypatch.setattr(process.os, "kill", refuse)
    assert is_gone(host_identity(), os.getpid(), start_ticks(os.getpid())) is False


def test_name_of_a_process_cannot_pretend_a_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "_PROC", tmp_path)
    fields = ["S", *(str(number) for number in range(4, 22)), "4711", "23"]
    (tmp_path / "12").mkdir()
    (tmp_path / "12/stat").write_text(f"12 (a) Z (b c) {' '.join(fields)}\n")
    assert process._stat(12) == ("S", "4711")


def test_system_without_proc_still_knows_living_from_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
):
    monkeypatch.setattr(process, "_PROC", tmp_path)
    me = ThisProcess()
    assert (me.host, me.started) == (process.socket.gethostname(), "")
    assert is_gone(me.host, sleeper.pid, "") is False
    sleeper.kill()
    sleeper.wait()
    assert is_gone(me.host, sleeper.pid, "") is True
