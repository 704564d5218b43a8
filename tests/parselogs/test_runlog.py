"""The log of a run: its own lines and all of them, whatever else runs; readable after any kill."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError

from parselogs.errors import StorageUnavailable
from parselogs.lines import CONTINUED, LINE, line_of
from parselogs.runlog import in_this_run, run_log
from parselogs.spool import Spool, spools
from tests.installation import ROOT

log = logging.getLogger("parselogs.tests")
LINES = 300


def text_of(run: uuid.UUID) -> str:
    return Spool(run).read().text.decode()


def marks_of(run: uuid.UUID) -> list[str]:
    return [line.split("mark ")[1] for line in text_of(run).splitlines() if "mark " in line]


def test_eight_runs_in_threads_keep_their_lines_apart() -> None:
    runs = [uuid.uuid4() for _ in range(8)]
    together = threading.Barrier(len(runs))

    def parse(run: uuid.UUID) -> None:
        with run_log(run):
            together.wait()
            for number in range(LINES):
                log.info("mark %s:%s", run, number)

    threads = [threading.Thread(target=parse, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run in runs:
        assert marks_of(run) == [f"{run}:{number}" for number in range(LINES)]


def test_runs_as_asyncio_tasks_keep_their_lines_apart() -> None:
    async def parse(run: uuid.UUID) -> None:
        with run_log(run):
            for number in range(20):
                log.info("mark %s:%s", run, number)
                await asyncio.sleep(0)
                await asyncio.to_thread(log.info, "mark %s:%s", run, f"{number} from a thread")

    async def all_at_once() -> None:
        await asyncio.gather(*(parse(run) for run in runs))

    runs = [uuid.uuid4() for _ in range(8)]
    asyncio.run(all_at_once())
    for run in runs:
        own = marks_of(run)
        assert len(own) == 40
        assert all(mark.startswith(str(run)) for mark in own)


def test_thread_pool_writes_into_the_log_with_the_wrapper_and_nowhere_without() -> None:
    run, other = uuid.uuid4(), uuid.uuid4()
    with ThreadPoolExecutor(2) as pool:
        with run_log(other):
            list(pool.map(lambda number: log.info("mark foreign %s", number), range(20)))
        with run_log(run):
            write = in_this_run(lambda number: log.info("mark %s", number))
            list(pool.map(write, range(200)))
    assert sorted(marks_of(run), key=int) == [str(number) for number in range(200)]
    assert marks_of(other) == []


def test_lines_after_the_end_and_outside_go_nowhere_but_to_the_usual_handlers(caplog: Any) -> None:
    run = uuid.uuid4()
    log.warning("mark before")
    with run_log(run):
        log.warning("mark within")
    log.warning("mark after")
    assert marks_of(run) == ["within"]
    assert [record.getMessage() for record in caplog.records] == ["mark before", "mark within", "mark after"]


def test_level_of_a_run_is_its_own() -> None:
    quiet, loud, usual = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    for run, level in ((quiet, "WARNING"), (loud, "DEBUG"), (usual, "INFO")):
        with run_log(run, level):
            log.debug("mark debug")
            log.info("mark info")
            log.warning("mark warning")
    assert marks_of(quiet) == ["warning"]
    assert marks_of(loud) == ["debug", "info", "warning"]
    assert marks_of(usual) == ["info", "warning"]
    assert not log.isEnabledFor(logging.DEBUG)


def test_long_log_keeps_its_beginning_and_its_end(settings: Any) -> None:
    settings.PARSE_LOG_MEGABYTES = 0.1
    run = uuid.uuid4()
    with run_log(run):
        for number in range(10_000):
            log.info("mark %s", number)
        live = Spool(run).read()
    spooled = Spool(run).read()
    marks = [int(mark) for mark in marks_of(run)]
    gap = next(at for at, mark in enumerate(marks) if at != mark)
    assert marks[:gap] == list(range(gap))
    assert marks[gap:] == list(range(marks[gap], 10_000))
    assert gap > 500
    assert len(marks) - gap > 400
    assert spooled.left_out == marks[gap] - gap == live.left_out
    assert f"{spooled.left_out:,} lines were left out here" in spooled.text.decode()
    assert len(spooled.text) <= 101_000
    assert len(list(settings.PARSE_SPOOL_DIR.iterdir())) == 3


def test_log_exactly_at_its_limit_is_whole(settings: Any) -> None:
    settings.PARSE_LOG_MEGABYTES = 0.1
    run = uuid.uuid4()
    with run_log(run):
        for number in range(1100):
            log.info("mark %s", number)
    assert Spool(run).read().left_out == 0
    assert marks_of(run) == [str(number) for number in range(1100)]


CHILD = """
import os, sys, time, uuid
import django
django.setup()
import logging
from django.conf import settings
from pathlib import Path
settings.PARSE_SPOOL_DIR = Path(sys.argv[1])
from parselogs.runlog import run_log
log = logging.getLogger("parselogs.tests")
"""


def child(body: str, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-W", "ignore", "-c", CHILD + body, *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def test_killed_process_leaves_every_line_it_has_written(settings: Any) -> None:
    run = uuid.uuid4()
    process = child(
        "with run_log(uuid.UUID(sys.argv[2])):\n"
        "    for number in range(10**6):\n"
        "        log.info('mark %s', number)\n"
        "        os.write(1, b'%d\\n' % number)\n",
        str(settings.PARSE_SPOOL_DIR),
        str(run),
    )
    assert process.stdout
    said = [process.stdout.readline() for _ in range(2000)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    marks = marks_of(run)
    assert marks == [str(number) for number in range(len(marks))]
    assert len(marks) > int(said[-1])


def test_held_spool_is_locked_and_one_of_a_dead_process_is_not(settings: Any) -> None:
    run = uuid.uuid4()
    process = child(
        "with run_log(uuid.UUID(sys.argv[2])):\n    print('there', flush=True)\n    time.sleep(60)\n",
        str(settings.PARSE_SPOOL_DIR),
        str(run),
    )
    assert process.stdout
    assert process.stdout.readline() == "there\n"
    with Spool(run).locked() as ours:
        assert not ours
    process.kill()
    process.wait()
    process.stdout.close()
    with Spool(run).locked() as ours:
        assert ours
    assert spools() == [Spool(run)]


def test_full_disk_costs_lines_and_not_the_parse(settings: Any) -> None:
    run = uuid.uuid4()
    process = child(
        "import resource, json\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "with run_log(uuid.UUID(sys.argv[2])) as own:\n"
        "    for number in range(1000):\n"
        "        log.info('mark %s', number)\n"
        "print(json.dumps([own.dropped, own.error]))\n",
        str(settings.PARSE_SPOOL_DIR),
        str(run),
    )
    assert process.stdout
    dropped, error = json.loads(process.stdout.read())
    process.stdout.close()
    assert process.wait() == 0
    marks = marks_of(run)
    assert marks == [str(number) for number in range(len(marks))]
    assert len(marks) + dropped == 1000
    assert dropped > 500
    assert "File too large" in error


def test_spool_that_cannot_be_made_costs_the_log_and_not_the_parse(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings.PARSE_SPOOL_DIR = tmp_path / "file" / "spool"
    with run_log(uuid.uuid4()) as own:
        log.info("mark")
    assert not own.has_spool
    assert own.dropped == 1
    assert own.error.startswith("NotADirectoryError")


def test_files_are_private(settings: Any) -> None:
    with run_log(uuid.uuid4()):
        log.info("mark")
    assert settings.PARSE_SPOOL_DIR.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in settings.PARSE_SPOOL_DIR.iterdir()] == [0o600]


def lines_of(text: str) -> list[str]:
    """Return the lines of a log, and see that each is one or goes on with one."""
    lines = text.splitlines()
    assert all(LINE.fullmatch(line) or line.startswith(CONTINUED) for line in lines), text
    return lines


FORGED = "x\n2026-01-01T00:00:00.000Z INFO     Ended: succeeded"


@pytest.mark.parametrize("breaker", ["\n", "\r", "\r\n", "\x85", "\u2028", "\x0b", "\x1c"], ids=ascii)
def test_no_text_can_forge_a_line(breaker: str) -> None:
    run = uuid.uuid4()
    with run_log(run):
        log.info("name %s", FORGED.replace("\n", breaker))
    assert len(lines_of(text_of(run))) == 1


def test_control_and_escape_sequences_are_shown_and_not_obeyed() -> None:
    run = uuid.uuid4()
    # Not by way of a logger: pytest keeps what passes there, and cannot send half a character.
    text = "\x1b[2J\x1b]0;title\x07 \u202eright to left\udc80"
    with run_log(run) as own_log:
        own_log.take(logging.makeLogRecord({"msg": text, "levelno": logging.INFO, "levelname": "INFO"}))
    text = text_of(run)
    assert "\x1b" not in text
    assert "\\x1b[2J\\x1b]0;title\\x07 \\u202eright to left\\udc80" in text


def test_secrets_and_addresses_are_masked(settings: Any) -> None:
    run = uuid.uuid4()
    settings.SECRET_KEY = "the-secret-key-of-this-site"
    with run_log(run):
        log.info("Bearer abcdef0123456789, ada@example.edu, 1~%s", "a1B2" * 12)
        log.info("key the-secret-key-of-this-site, sis_login_id:ada.lovelace")
    text = text_of(run)
    for hidden in ("abcdef0123456789", "ada@example.edu", "a1B2a1B2", "the-secret-key", "ada.lovelace"):
        assert hidden not in text
    assert text.count("[redacted]") == 5


def test_every_password_of_the_installation_is_masked(settings: Any) -> None:
    run = uuid.uuid4()
    settings.CELERY_BROKER_URL = "rediss://:re%2Fdis-pass@redis.example.edu/0"
    settings.EMAIL_HOST_PASSWORD, settings.PROMETHEUS_TOKEN = "mail-pass", "metrics-pass"
    settings.HEALTH_TOKEN, settings.CANVAS_TOKEN_KEYS = "health-pass", ["token-pass"]
    with run_log(run):
        log.info("re/dis-pass re%2Fdis-pass mail-pass metrics-pass health-pass token-pass")
    assert text_of(run).endswith(" ".join(["[redacted]"] * 6) + "\n")


def fail_with(text: str) -> None:
    try:
        raise ValueError(f"invalid literal for int(): {text}")
    except ValueError as error:
        raise KeyError(text) from error


def test_traceback_says_where_and_never_what_it_choked_on() -> None:
    run = uuid.uuid4()
    with run_log(run):
        try:
            fail_with(f"Ada Lovelace{FORGED}")
        except KeyError:
            log.exception("The parse broke off")
    lines = lines_of(text_of(run))
    assert "Ada" not in text_of(run)
    assert "Ended" not in text_of(run)
    assert lines[0].endswith("The parse broke off")
    assert f"{CONTINUED}KeyError" in lines
    assert f"{CONTINUED}ValueError" in lines
    assert any("test_runlog" in line and "in fail_with" in line for line in lines)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (IntegrityError("UNIQUE constraint failed: parselogs_datafile.sha256"), "parselogs_datafile.sha256"),
        (IntegrityError("DETAIL: Key (name)=(Ada) already exists."), ""),
        (OSError(28, "No space left on device", "Ada.csv"), "No space left on device"),
        (StorageUnavailable("The storage sleeps."), "The storage sleeps."),
        (RuntimeError("Ada is unknown"), ""),
    ],
    ids=["sqlite", "postgresql", "system", "ours", "any"],
)
def test_only_texts_that_hold_no_values_are_told(error: Exception, said: str) -> None:
    run = uuid.uuid4()
    with run_log(run):
        log.error("It failed", exc_info=error)
    text = text_of(run)
    assert "Ada" not in text
    assert type(error).__name__ in text
    assert said in text


def test_line_that_cannot_be_spelled_is_told() -> None:
    record = logging.LogRecord("parselogs", logging.INFO, "odd.py", 7, "%d rows", ("many",), None)
    assert line_of(record).endswith("A line that cannot be spelled (TypeError), from odd:7\n")


def test_what_cannot_be_spelled_at_all_ends_no_parse() -> None:
    class Odd:
        def __str__(self) -> str:
            raise ZeroDivisionError

    run = uuid.uuid4()
    with run_log(run) as own_log:
        own_log.take(logging.makeLogRecord({"msg": Odd(), "levelno": logging.INFO, "levelname": "INFO"}))
        log.info("went on")
    assert "cannot be spelled (ZeroDivisionError)" in text_of(run)
    assert "went on" in text_of(run)
