"""The handler of the five logs: whole lines, whoever writes, rotates, kills or fills the disk."""

from __future__ import annotations

import fcntl
import gzip
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from easel.events import COMMON, EVENTS
from logmonitor import handler as handler_module
from logmonitor import live, locking
from logmonitor.files import live_files, rotated_files
from logmonitor.handler import LogFileHandler
from logmonitor.lines import line_of
from logmonitor.live import LiveLog
from logmonitor.rotated import compress, tidy_rotated
from syncmetrics.events import RunLog
from tests.installation import ROOT
from tests.logmonitor import writers
from tests.logmonitor.folders import lines_in, names_in

MEGABYTE = 1_000_000


def record(event: str = "request", **fields: Any) -> logging.LogRecord:
    """Return a record as `RunLog` makes it."""
    made = logging.LogRecord("canvas.sync.api_calls", logging.INFO, "", 0, event, None, None)
    made.fields = fields
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where the logs are; it is not there yet."""
    return tmp_path / "logs" / "canvas_sync"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test be the first that has something to complain of."""
    monkeypatch.setattr(handler_module, "_said", {})


def handler_of(folder: Path, log: str = "operations", *, rotate: int = MEGABYTE, keep: int = 5) -> Any:
    """Return a handler of a log."""
    return LogFileHandler(folder, log, rotate, keep)


def wait_for_compression() -> None:
    """Wait for what the handler does beside."""
    for thread in threading.enumerate():
        if thread.name == "compress-log":
            thread.join()


# --- lines ----------------------------------------------------------------------------------------


def test_a_line_is_one_json_object_with_the_declared_fields_in_their_order(folder, caplog):
    with caplog.at_level(logging.INFO, logger="canvas.sync.operations"):
        RunLog(run=12, connection="main", user=3).write("courses_planned", courses=4)
    made = caplog.records[-1]
    made.created = datetime(2026, 11, 22, 8, 15, 30, 123_400, UTC).timestamp()

    line = line_of(made)

    assert list(json.loads(line)) == [*COMMON, *EVENTS["courses_planned"].fields]
    assert line.startswith(
        b'{"ts":"2026-11-22T08:15:30.123Z","level":"INFO","event":"courses_planned","run":12,'
    )
    assert line.endswith(b"\n")


def test_an_event_with_other_fields_than_declared_is_a_mistake_of_ours():
    with pytest.raises(ValueError, match="courses_planned has the fields courses, not course"):
        RunLog().write("courses_planned", course=1)
    with pytest.raises(KeyError):
        RunLog().write("no_such_event")


def test_lines_name_nobody_and_hold_no_secret():
    token = "7~" + "s" * 40
    line = line_of(
        record(
            path="users/sis_login_id:ada.lovelace/courses/x?access_token=abc123",
            message=f"Bearer {token} of ada@example.edu at users/sis_login_id:ada%40x.edu/profile: {token}",
        )
    ).decode()

    for secret in ("lovelace", "ada", "abc123", token, "sss"):
        assert secret not in line
    assert json.loads(line)["path"].startswith("users/sis_login_id:[redacted]/courses/")


def test_control_characters_neither_end_a_line_nor_reach_a_terminal():
    nasty = "a\nb\x1b[31m\x7f\x9b\u2028\u202ered\ud800"

    line = line_of(record(message=nasty, step=nasty))

    assert line.count(b"\n") == 1
    for character in "\x1b\x7f\x9b\u2028\u202e":
        assert character.encode() not in line
    assert json.loads(line)["step"].startswith("a\nb\x1b[31m\x7f")


@pytest.mark.parametrize("value", [2**70, {1: 2}, object(), {"a": {"b"}}, float("nan"), b"x", "\ud800"])
def test_a_value_json_does_not_know_becomes_a_line_all_the_same(value):
    assert json.loads(line_of(record(odd=value)))["event"] == "request"


# --- files ----------------------------------------------------------------------------------------


def test_nothing_is_made_before_the_first_line(folder):
    handler = handler_of(folder)
    assert not folder.parent.exists()

    handler.handle(record())

    assert names_in(folder) == ["operations.log"]


def test_a_full_log_is_rotated_and_compressed_and_so_many_are_kept(folder):
    handler = handler_of(folder, rotate=1_000, keep=2)
    for number in range(200):
        handler.handle(record(number=number))
        wait_for_compression()

    kept = rotated_files(folder)
    assert len(kept) == 2
    assert all(file.is_compressed for file in kept)
    assert all(0 < len(gzip.decompress(file.path.read_bytes())) <= 1_000 for file in kept)
    numbers = [json.loads(line)["number"] for line in lines_in(folder)]
    assert sorted(numbers) == list(range(200 - len(numbers), 200))
    assert names_in(folder) == sorted(file.path.name for file in [*live_files(folder), *kept])


def test_a_compressed_file_is_as_old_as_its_last_line(folder):
    log = LiveLog(folder / "errors.log", rotate_bytes=10)
    log.append(b"the first line\n")
    os.utime(folder / "errors.log", (1_700_000_000, 1_700_000_000))
    log.append(b"another\n")
    compress(rotated_files(folder)[0])

    assert rotated_files(folder)[0].modified == 1_700_000_000
    assert rotated_files(folder)[0].is_compressed


def test_processes_that_write_and_rotate_one_log_lose_and_tear_nothing(folder):
    # The full proof, four processes of 50,000 lines, is `make bench ARGS="--only logs"`.
    processes = [writers.start(folder, number, 1_000, 25_000) for number in range(4)]
    for process in processes:
        assert process.wait(60) == 0

    lines = lines_in(folder)
    told = sorted((found["run"], found["number"]) for found in map(json.loads, lines))
    assert told == [(run, number) for run in range(4) for number in range(1_000)]
    assert set(lines.values()) == {1}
    assert len(rotated_files(folder)) > 20


def test_killed_writers_leave_whole_lines(folder):
    for number in range(3):
        process = writers.start(folder, number, 10**9, 20_000)
        file = folder / "operations.log"
        while not (file.exists() and f'"run":{number},'.encode() in file.read_bytes()):
            time.sleep(0.01)
        time.sleep(0.02 * number)
        process.kill()
        process.wait()
    tidy_rotated(folder, "operations", writers.KEEP)

    lines = lines_in(folder)
    numbers: dict[int, list[int]] = {}
    for found in map(json.loads, lines):
        numbers.setdefault(found["run"], []).append(found["number"])
    assert set(lines.values()) == {1}
    assert {run: sorted(told) for run, told in numbers.items()} == {
        run: list(range(len(told))) for run, told in numbers.items()
    }
    assert len(numbers) == 3


def test_half_a_line_that_a_crash_left_does_not_spoil_the_next(folder):
    folder.mkdir(parents=True)
    (folder / "operations.log").write_bytes(b'{"ts":"2026')

    handler_of(folder).handle(record())

    lines = (folder / "operations.log").read_bytes().splitlines()
    assert lines[0] == b'{"ts":"2026'
    assert json.loads(lines[1])["event"] == "request"


def test_a_forked_process_writes_its_own_lines(folder):
    program = """
import os, sys
from tests.logmonitor.writers import write
pids = [os.fork() for _ in range(2)]
write(sys.argv[1], sum(1 << place for place, pid in enumerate(pids) if pid), 300, 5_000)
[os.waitpid(pid, 0) for pid in pids if pid and all(pids)]
"""
    subprocess.run([sys.executable, "-c", program, str(folder)], cwd=ROOT, check=True, timeout=60)
    deadline = time.monotonic() + 30
    while sum(lines_in(folder).values()) < 4 * 300 and time.monotonic() < deadline:
        time.sleep(0.05)

    assert {(one["run"], one["number"]) for one in map(json.loads, lines_in(folder))} == {
        (run, number) for run in range(4) for number in range(300)
    }


# --- in nobody's way ------------------------------------------------------------------------------


def unwritable(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")


def linked(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder.parent / "elsewhere").write_bytes(b"")
    (folder / "operations.log").symlink_to(folder.parent / "elsewhere")


def directory(folder: Path) -> None:
    (folder / "operations.log").mkdir(parents=True)


@pytest.mark.parametrize("spoil", [unwritable, linked, directory])
def test_a_log_that_cannot_be_written_is_said_once_and_fails_nothing(folder, caplog, capsys, spoil):
    spoil(folder)
    for log in ("operations", "operations"):
        handler = handler_of(folder, log)
        for _ in range(50):
            handler.handle(record())

    (said,) = [one.message for one in caplog.records if one.name == "logmonitor.handler"]
    assert "operations.log cannot be written (" in said
    assert "syncs go on" in said
    assert capsys.readouterr().err == ""  # no traceback of the logging module
    if spoil is linked:
        assert (folder.parent / "elsewhere").read_bytes() == b""


def test_a_full_disk_leaves_whole_lines_only(folder):
    program = """
import resource, sys
from tests.logmonitor.writers import write
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
write(sys.argv[1], 1, 20, 10**9)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    written = (folder / "operations.log").read_bytes()
    assert written.endswith(b"}\n")
    assert 500 < len(written) <= 1_000
    assert [json.loads(line)["number"] for line in written.splitlines()] == list(range(written.count(b"\n")))
    assert done.returncode == 0
    assert done.stderr.count("cannot be written") == 1
    assert "Traceback" not in done.stderr


def test_a_process_that_stands_still_with_the_file_stops_nobody(folder, monkeypatch, caplog):
    monkeypatch.setattr(LiveLog.append, "__kwdefaults__", {"patience": 0.1})
    handler = handler_of(folder)
    handler.handle(record(number=1))
    with open(folder / "operations.log") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        started = time.monotonic()
        for number in range(2, 500):
            handler.handle(record(number=number))
        assert time.monotonic() - started < 10  # 498 times its patience are 50 s
    assert "another process holds operations.log" in caplog.text

    handler._silent_until = 0.0
    handler.handle(record(number=500))
    assert [json.loads(line)["number"] for line in lines_in(folder)] == [1, 500]


def test_where_a_full_log_cannot_be_renamed_it_grows(folder, monkeypatch):
    log = LiveLog(folder / "errors.log", rotate_bytes=10)
    log.append(b"the first line\n")

    def refuse(*_: Any) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(live.os, "rename", refuse)
    assert log.append(b"another\n") is False
    assert (folder / "errors.log").read_bytes() == b"the first line\nanother\n"


def test_a_workers_time_limit_comes_through_and_leaves_no_lock(folder):
    class TimeIsUp(Exception):
        pass

    def raise_it(*_: Any) -> None:
        raise TimeIsUp

    handler = handler_of(folder)
    handler.handle(record())
    before = signal.signal(signal.SIGVTALRM, raise_it)
    swallowed = 0
    try:
        for number in range(100):
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005 + number / 1e6)
            try:
                for _ in range(5_000):
                    handler.handle(record())
                swallowed += 1
            except TimeIsUp:
                pass
            with locking.locked(folder / "operations.log", os.O_RDWR, patience=0):
                pass
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    # Python itself drops an exception that comes while an object is being destroyed.
    assert swallowed <= 3
