"""`parse_file`: one file and several, the same content again, and what it says of files it does not take."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command

from parselogs.management.commands import parse_file
from parselogs.models import DataFile, ParseFileMeta
from parselogs.spool import Spool
from tests.installation import ROOT
from tests.parselogs.files import log_of, marks, users
from tests.parselogs.parsers.collect import archive
from tests.parselogs.test_sweeper import environment
from tests.workers import wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse_file, "worker_answers", lambda: False)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.csv"
    path.write_bytes(users(4, wrong=0))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.csv"
    path.write_bytes(users(5, wrong=2))
    return path


def ran(*arguments: Any) -> tuple[int, str]:
    """Run the command; return exit status and stdout."""
    out = StringIO()
    try:
        call_command("parse_file", *map(str, arguments), stdout=out, stderr=StringIO())
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_good_file_is_parsed_without_a_worker(good: Path) -> None:
    status, said = ran(good)
    assert status == 0
    run = ParseFileMeta.objects.get()
    assert (run.trigger, run.state, run.rows_read) == ("command", "succeeded", 4)
    assert said.splitlines()[0] == (
        f"{good}: succeeded (run {run.uuid}, attempt 1): 4 rows read, 4 accepted, 0 rejected, 0 findings."
    )
    assert said.splitlines()[-1] == "1 files, 1 without errors."


def test_json_is_one_object_with_all_an_operator_wants(bad: Path) -> None:
    status, said = ran(bad, "--json", "--wait")
    assert status == 1
    run = ParseFileMeta.objects.get()
    found = json.loads(said)
    expected = {
        "file": str(bad),
        "duplicate": False,
        "run_uuid": str(run.uuid),
        "attempt": 1,
        "state": "succeeded_with_errors",
        "rows_read": 5,
        "rows_accepted": 3,
        "rows_rejected": 2,
        "findings": {"value_not_allowed": 2},
        "log_name": run.log_file.name,
        "log_state": "uploaded",
    }
    assert {name: found[name] for name in expected} == expected
    assert "value_not_allowed" in log_of(run)


def test_json_of_several_files_is_a_list(good: Path, bad: Path) -> None:
    status, said = ran(good, bad, "--json")
    assert status == 1
    assert [one["state"] for one in json.loads(said)] == ["succeeded", "succeeded_with_errors"]


def test_same_content_again_is_said_and_parsed_again(good: Path, tmp_path: Path) -> None:
    ran(good)
    other = tmp_path / "other.csv"
    other.write_bytes(good.read_bytes())
    status, said = ran(other)
    assert status == 0
    assert "attempt 2, content uploaded before" in said
    assert DataFile.objects.count() == 1


def test_log_level_is_that_of_the_run(good: Path) -> None:
    ran(good, "--log-level", "DEBUG")
    assert ParseFileMeta.objects.get().log_level == "DEBUG"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.csv", None, "There is no file"),
        ("folder", "", "is a folder: name the files in it"),
        ("sheet.xlsx", "x", "neither .csv nor .zip"),
        ("empty.csv", "", "The file is empty"),
    ],
    ids=["missing", "folder", "type", "empty"],
)
def test_wrong_file_is_refused_before_anything_is_done(
    good: Path, tmp_path: Path, name: str, content: str | None, says: str
) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    with pytest.raises(CommandError, match=says) as refused:
        ran(good, path)
    assert refused.value.returncode == 2
    assert not DataFile.objects.exists()


def test_what_is_no_ordinary_file_is_refused_and_not_waited_for(good: Path, tmp_path: Path) -> None:
    pipe, ring, below = tmp_path / "pipe.csv", tmp_path / "ring.csv", good / "below.csv"
    os.mkfifo(pipe)
    ring.symlink_to(ring)
    for path, says in (
        (pipe, "is no ordinary file"),
        (Path("/dev/zero"), "is no ordinary file"),
        (ring, "cannot be read"),
        (below, "cannot be read: NotADirectoryError"),
    ):
        with pytest.raises(CommandError, match=says) as refused:
            ran(good, path)
        assert refused.value.returncode == 2
    assert not DataFile.objects.exists()


def test_a_link_is_read_as_what_it_leads_to(good: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to(good)
    assert ran(link)[0] == 0
    assert DataFile.objects.get().name == "link.csv"


def test_a_file_named_twice_is_parsed_once(good: Path) -> None:
    assert "1 files, 1 without errors." in ran(good, good)[1]
    assert ParseFileMeta.objects.count() == 1


def test_an_archive_can_be_said_to_be_complete(tmp_path: Path) -> None:
    path = tmp_path / "autumn.zip"
    enrolled = "user_id,course_id,role,status\nstranger,C1,student,active\n"
    path.write_bytes(archive({"users.csv": users(1, wrong=0), "enrollments.csv": enrolled}))
    assert ran(path)[0] == 0
    assert ran(path, "--self-contained")[0] == 1
    assert ran(path)[0] == 1  # it is kept with the file
    assert ran(path, "--no-self-contained")[0] == 0


def test_storage_that_is_away_is_a_sentence(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(storages["uploads"]), "save", lambda *_: 1 / 0)
    with pytest.raises(CommandError, match="The storage did not take the file") as refused:
        ran(good)
    assert refused.value.returncode == 1


def test_file_that_is_being_parsed_is_a_sentence(good: Path) -> None:
    ran(good)
    ParseFileMeta.objects.update(state="queued", finished_at=None)
    with pytest.raises(CommandError, match="waits or is at work already"):
        ran(good)


@pytest.mark.django_db(transaction=True)
def test_command_that_is_asked_to_end_ends_its_run_and_stores_its_log(settings: Any, tmp_path: Path) -> None:
    path = tmp_path / "marks.csv"
    path.write_bytes(marks("m", 3000, 20))
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "manage.py", "parse_file", str(path)],
        cwd=ROOT,
        env=environment(settings) | {"REDIS_URL": f"redis+socket://{tmp_path}/none.sock"},
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: ParseFileMeta.objects.filter(state="running").exists(), "the run to begin")
    run = ParseFileMeta.objects.get()
    spooled = Spool(run.uuid)  # which is there a moment after the run is called running
    wait_for(lambda: spooled.exists() and "mark m-3" in log_of(run), "some rows")
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 130
    assert "Interrupted. What was uploaded is kept" in said
    run.refresh_from_db()
    assert (run.state, run.failure_code, run.log_state) == ("canceled", "interrupted", "uploaded")
    assert "Ended: canceled" in log_of(run)


def test_command_as_a_process_keeps_stdout_for_json(manage: Any, tables: None, bad: Path) -> None:
    done = manage("parse_file", str(bad), "--json")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["rows_rejected"] == 2
    assert done.stderr == ""
