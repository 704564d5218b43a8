"""What the sweep repairs: logs of killed processes, wherever they were killed; spools without a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from parselogs.models import ParseFileMeta
from parselogs.runlog import run_log
from parselogs.runs import State, claim
from parselogs.spool import QUARANTINE, Spool
from parselogs.sweeper import Swept, sweep
from tests.installation import CHILD_VARIABLES, ROOT
from tests.parselogs.conftest import MARKS
from tests.parselogs.files import log_of, marks, marks_in, parsed, spool_files, upload
from tests.workers import database_url, wait_for

LogState = ParseFileMeta.LogState


def environment(settings: Any) -> dict[str, str]:
    """Return the variables with which a child works on this test's database, storage and spool."""
    kept = {name: os.environ[name] for name in (*CHILD_VARIABLES, "EASEL_VAR_DIR") if name in os.environ}
    return kept | {
        "EASEL_ENV_FILE": os.devnull,
        "DATABASE_URL": database_url(),
        "PARSE_SPOOL_DIR": str(settings.PARSE_SPOOL_DIR),
        "UPLOADS_FOLDER": str(settings.STORAGES["uploads"]["OPTIONS"]["location"]),
        "PARSELOGS_PARSERS": MARKS,
    }


PERFORM = """
import sys, django
django.setup()
from parselogs.parsing import perform
for run in sys.argv[1:]:
    perform(run)
"""


def performing(settings: Any, *runs: ParseFileMeta) -> subprocess.Popen[bytes]:
    """Do runs in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", PERFORM, *(str(run.uuid) for run in runs)]
    variables = environment(settings) | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    return subprocess.Popen(command, cwd=ROOT, env=variables)


@pytest.mark.django_db(transaction=True)
def test_log_of_a_killed_process_is_in_storage_after_the_sweep(settings: Any) -> None:
    run = upload(marks("m", 1000, 20), name="marks.csv")
    process = performing(settings, run)
    wait_for(lambda: Spool(run.uuid).exists() and b"mark m-5" in Spool(run.uuid).read().text, "some rows")
    process.send_signal(signal.SIGKILL)
    process.wait()
    written = marks_in(Spool(run.uuid).read().text.decode())
    done = sweep(send=False)
    assert (done.lost, done.stored) == (1, 1)
    run.refresh_from_db()
    assert (run.state, run.failure_code, run.log_state) == (State.LOST, "lost", LogState.UPLOADED)
    text = log_of(run)
    assert marks_in(text) == written == [f"m-{number}" for number in range(len(written))]
    assert len(written) > 5
    assert "Recovered after the worker was lost" in text.splitlines()[-1]
    assert run.level_counts["ERROR"] == 1
    assert spool_files(settings.PARSE_SPOOL_DIR) == []
    assert sweep(send=False) == Swept()


def kill_and_sweep(settings: Any, how: str, runs: list[ParseFileMeta]) -> int:
    """Let `tests.parselogs.kills` do the runs; return how often it has killed."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.parselogs.kills", how]
    command += [str(run.uuid) for run in runs]
    done = subprocess.run(command, cwd=ROOT, env=environment(settings), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def check_that_nothing_is_lost(settings: Any, runs: list[ParseFileMeta], rows: int) -> set[str]:
    """See that every run has ended and has its own log, up to where it was killed; return the states."""
    states = set()
    for run in runs:
        run.refresh_from_db()
        states.add(run.state)
        text = log_of(run)
        read = marks_in(text)
        assert read == [f"{run.data_file.name}-{number}" for number in range(len(read))]
        assert run.log_state == LogState.UPLOADED
        assert run.log_lines == text.count("\n")
        if run.state == State.LOST:
            assert "Recovered after the worker was lost" in text
        else:
            assert (run.state, len(read)) == (State.SUCCEEDED, rows)
            assert "Ended: succeeded" in text or "Recovered" not in text
    assert spool_files(settings.PARSE_SPOOL_DIR) == []
    return states


@pytest.mark.django_db(transaction=True)
def test_kills_at_any_moment_lose_no_line_and_no_run(settings: Any) -> None:
    names = [f"r{number}.csv" for number in range(30)]
    runs = [upload(marks(name, 30, 1), name=name) for name in names]
    assert kill_and_sweep(settings, "moments", runs) >= 6
    assert check_that_nothing_is_lost(settings, runs, 30) == {State.SUCCEEDED, State.LOST}


@pytest.mark.django_db(transaction=True)
def test_kills_at_any_line_of_run_and_sweep_lose_nothing(settings: Any) -> None:
    names = [f"r{number}.csv" for number in range(30)]
    runs = [upload(marks(name, 3), name=name) for name in names]
    assert kill_and_sweep(settings, "lines", runs) >= 30
    assert check_that_nothing_is_lost(settings, runs, 3) == {State.SUCCEEDED, State.LOST}


@pytest.mark.django_db
def test_spool_without_a_run_is_put_aside_and_never_deleted(settings: Any) -> None:
    stranger = uuid.uuid4()
    with run_log(stranger) as own:
        own.spool.findings.write_text("file,row\n")
    done = sweep(send=False)
    assert done.put_aside == 1
    assert spool_files(settings.PARSE_SPOOL_DIR / QUARANTINE) == [
        f"{stranger}.findings.csv",
        f"{stranger}.log",
    ]
    assert sweep(send=False) == Swept()


@pytest.mark.django_db
def test_files_of_others_in_the_spool_are_left_alone(settings: Any) -> None:
    settings.PARSE_SPOOL_DIR.mkdir(mode=0o700)
    (settings.PARSE_SPOOL_DIR / "notes.log").write_text("mine")
    assert sweep(send=False) == Swept()
    assert spool_files(settings.PARSE_SPOOL_DIR) == ["notes.log"]


@pytest.mark.django_db
def test_stored_log_whose_spool_was_left_is_not_stored_twice(settings: Any) -> None:
    run = parsed(upload())
    before = run.uploaded_at
    with run_log(run.uuid):
        pass
    assert sweep(send=False).stored == 0
    run.refresh_from_db()
    assert run.uploaded_at == before
    assert spool_files(settings.PARSE_SPOOL_DIR) == []


@pytest.mark.django_db
def test_log_that_is_nowhere_is_said_to_be_lost() -> None:
    run = upload()
    assert claim(run.uuid)
    long_ago = timezone.now() - timedelta(days=31)
    ParseFileMeta.objects.filter(pk=run.pk).update(state="lost", finished_at=long_ago)
    sweep(send=False)
    run.refresh_from_db()
    assert (run.log_state, run.upload_error) == (
        LogState.LOST,
        "No host has stored it for 30 days: its spool is gone.",
    )


@pytest.mark.django_db(transaction=True)
def test_eight_processes_keep_their_lines_apart(settings: Any) -> None:
    names = [f"p{number}.csv" for number in range(8)]
    runs = [upload(marks(name, 100, 2), name=name) for name in names]
    assert kill_and_sweep(settings, "together", runs) == 0
    assert check_that_nothing_is_lost(settings, runs, 100) == {State.SUCCEEDED}
    began = [ParseFileMeta.objects.get(pk=run.pk).started_at for run in runs]
    ended = [ParseFileMeta.objects.get(pk=run.pk).finished_at for run in runs]
    assert max(began) < min(ended)  # type: ignore[type-var]


@pytest.mark.django_db
def test_what_is_left_of_a_spool_that_was_just_being_made_goes_later(settings: Any) -> None:
    settings.PARSE_SPOOL_DIR.mkdir(mode=0o700)
    left = settings.PARSE_SPOOL_DIR / ".1234.new"
    left.touch()
    sweep(send=False)
    assert left.exists()
    os.utime(left, (0, 0))
    sweep(send=False)
    assert not left.exists()
