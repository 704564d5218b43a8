"""The clean-up of the logs: what it does, what it leaves alone, and that no line is ever lost by it."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from logmonitor import archive, cleanup, tasks
from logmonitor.cleanup import CleanUpActive, Limits, WrongLimit, clean_logs
from logmonitor.files import archives, rotated_files
from logmonitor.live import LiveLog
from logmonitor.status import log_status
from tests.installation import ROOT
from tests.logmonitor import writers
from tests.logmonitor.folders import lines_in, names_in

KEYS = ["archived_files", "cleaned_up_files", "total_lines_removed", "deleted_archives"]
DAY = 86_400


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """Return an empty folder of logs, the one of the settings."""
    made = tmp_path / "canvas_sync"
    made.mkdir()
    settings.CANVAS_SYNC_LOG_DIR = made
    return made


def fill(folder: Path, name: str, lines: int, *, days: float = 0) -> Path:
    """Write a file of so many lines, last written some days ago."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    text = "".join(f'{{"log":"{name}","line":{line}}}\n' for line in range(lines)).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


# --- what it does ---------------------------------------------------------------------------------


def test_everything_old_moves_on_and_no_line_is_lost(folder):
    fill(folder, "operations.log", 12_345)
    fill(folder, "api_calls.log", 10_000)
    fill(folder, "errors.log.20260101-000000-000001", 20, days=8)
    fill(folder, "database.log.20260101-000000-000002.gz", 30, days=8)
    fill(folder, "database.log.20260102-000000-000003.gz", 30, days=6)
    fill(folder, "archive/canvas_sync-20260101-020000-000004.tar.gz", 1, days=31)
    young = fill(folder, "archive/canvas_sync-20260102-020000-000005.tar.gz", 1, days=29)
    young.write_bytes(io.BytesIO(packed := b"").read() or archive_of("x.log", packed))
    os.utime(young, (time.time() - 29 * DAY,) * 2)
    old = folder / "archive/canvas_sync-20260101-020000-000004.tar.gz"
    old.write_bytes(archive_of("y.log", b""))
    os.utime(old, (time.time() - 31 * DAY,) * 2)
    before = lines_in(folder)

    done = clean_logs(folder)

    assert asdict(done) == dict(zip(KEYS, (2, 1, 2_345, 1), strict=True))
    assert lines_in(folder) == before
    live = (folder / "operations.log").read_bytes().splitlines()
    assert len(live) == 10_000
    assert json.loads(live[0])["line"] == 2_345
    assert not old.exists()
    assert young.exists()
    assert [file.path.name for file in rotated_files(folder)] == ["database.log.20260102-000000-000003.gz"]
    assert clean_logs(folder) == cleanup.Cleaned()


def archive_of(name: str, content: bytes) -> bytes:
    """Return an archive with one file."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as packed:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        packed.addfile(member, io.BytesIO(content))
    return target.getvalue()


def test_an_archive_opens_with_tar_and_holds_plain_lines(folder):
    fill(folder, "database.log.20260101-000000-000002.gz", 3, days=8)
    clean_logs(folder)

    (made,) = archives(folder)
    with tarfile.open(made.path) as packed:
        (member,) = packed.getmembers()
        assert member.name == "database.log.20260101-000000-000002"
        assert abs(member.mtime - (time.time() - 8 * DAY)) < 60


def test_a_dry_run_says_what_would_be_done_and_does_nothing(folder):
    fill(folder, "operations.log", 25)
    fill(folder, "errors.log.20260101-000000-000001", 20, days=8)
    fill(folder, "archive/canvas_sync-20260101-020000-000004.tar.gz", 1, days=31)
    before = {name: (folder / name).read_bytes() for name in names_in(folder)}

    forecast = clean_logs(folder, Limits(max_log_lines=10), dry_run=True)

    assert {name: (folder / name).read_bytes() for name in names_in(folder)} == before
    assert forecast == clean_logs(folder, Limits(max_log_lines=10))
    assert asdict(forecast) == dict(zip(KEYS, (1, 1, 15, 1), strict=True))


@pytest.mark.parametrize(
    ("content", "kept", "removed"),
    [
        (b"", b"", 0),
        (b"\n", b"\n", 0),
        (b"a\nb\n", b"a\nb\n", 0),
        (b"a\nb\nc\n", b"b\nc\n", 1),
        (b"a\nb\nc", b"b\nc", 1),
        (b"\n\n\n\n", b"\n\n", 2),
        (b"a\r\nb\r\nc\r\n", b"b\r\nc\r\n", 1),
        (b"x" * 3_000_000 + b"\nb\nc\n", b"b\nc\n", 1),
        (b"a\n" + b"x" * 3_000_000 + b"\nc\n", b"x" * 3_000_000 + b"\nc\n", 1),
    ],
)
def test_a_live_log_keeps_exactly_its_last_lines(folder, content, kept, removed):
    (folder / "errors.log").write_bytes(content)

    done = clean_logs(folder, Limits(max_log_lines=2))

    assert (folder / "errors.log").read_bytes() == kept
    assert done.total_lines_removed == removed
    assert done.cleaned_up_files == bool(removed)


def test_what_cannot_be_unpacked_is_archived_as_it_is(folder):
    damaged = fill(folder, "errors.log.20260101-000000-000001.gz", 500)
    damaged.write_bytes(damaged.read_bytes()[:-40])
    os.utime(damaged, (0, 0))
    content = damaged.read_bytes()

    assert clean_logs(folder).archived_files == 1

    with tarfile.open(archives(folder)[0].path) as packed:
        member = packed.extractfile("errors.log.20260101-000000-000001.gz")
        assert member
        assert member.read() == content


# --- what it leaves alone -------------------------------------------------------------------------


def test_files_of_other_names_and_links_are_not_touched(folder, tmp_path):
    outside = fill(tmp_path, "precious.log", 50, days=400)
    others = [
        "notes.txt",
        "operations.log.bak",
        "operations.log~",
        "other.log",
        "operations.log.20260101-000000-000001.gz.orig",
        "my-operations.log",
        "archive/canvas_sync-2026.zip",
        "archive/backup.tar.gz",
        "archive/operations.log",
        "operations.part",
    ]
    for name in others:
        fill(folder, name, 50, days=400)
    for name in ("operations.log", "errors.log.20260101-000000-000001", "progress.log.1.gz"):
        (folder / name).symlink_to(outside)
    (folder / "archive" / "canvas_sync-20200101-000000-000000.tar.gz").symlink_to(outside)
    (folder / "database.log").mkdir()
    before = names_in(folder)

    assert clean_logs(folder, Limits(1, 1, 1)) == cleanup.Cleaned()

    assert names_in(folder) == before
    assert len(outside.read_bytes().splitlines()) == 50


def test_an_archive_folder_that_leads_elsewhere_is_refused(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    fill(elsewhere, "canvas_sync-20200101-000000-000000.tar.gz", 1, days=400)
    (folder / "archive").symlink_to(elsewhere)
    fill(folder, "errors.log.20260101-000000-000001", 20, days=8)

    with pytest.raises(CommandError, match="archive is a symbolic link: put a folder in its place"):
        call_command("clean_logs")

    assert names_in(elsewhere) == ["canvas_sync-20200101-000000-000000.tar.gz"]
    assert sum(lines_in(folder).values()) == 20


def test_a_folder_that_is_a_link_itself_is_cleaned_up(folder, tmp_path):
    fill(folder, "operations.log", 20)
    (tmp_path / "logs").symlink_to(folder)

    assert clean_logs(tmp_path / "logs", Limits(max_log_lines=5)).total_lines_removed == 15


def test_where_nothing_was_logged_there_is_nothing_to_do(tmp_path):
    assert clean_logs(tmp_path / "nothing") == cleanup.Cleaned()
    assert not (tmp_path / "nothing").exists()


# --- beside others --------------------------------------------------------------------------------


def test_lines_written_during_clean_ups_are_all_there_once(folder, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # it would leave time for few clean-ups
    processes = [writers.start(folder, number, 1_000, 30_000) for number in range(2)]
    rounds = 0
    while any(process.poll() is None for process in processes):
        clean_logs(folder, Limits(max_log_lines=20))
        rounds += 1
    clean_logs(folder, Limits(max_log_lines=20))

    lines = lines_in(folder)
    assert rounds > 3
    assert set(lines.values()) == {1}
    told = sorted((found["run"], found["number"]) for found in map(json.loads, lines))
    assert told == [(run, number) for run in range(2) for number in range(1_000)]


def test_two_clean_ups_do_not_work_at_once(folder, monkeypatch):
    fill(folder, "operations.log", 20)

    def while_at_work(*_: Any) -> None:
        with pytest.raises(CommandError, match="Another clean-up is at work"):
            call_command("clean_logs", max_log_lines=5)

    monkeypatch.setattr(cleanup, "_finish_what_a_kill_left", while_at_work)
    assert clean_logs(folder, Limits(max_log_lines=10)).total_lines_removed == 10
    assert issubclass(CleanUpActive, Exception)


def test_a_kill_at_any_line_loses_and_doubles_nothing(tmp_path):
    command = [sys.executable, "-m", "tests.logmonitor.kills", str(tmp_path / "logs")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=110)

    *wrong, killed = json.loads(done.stdout)
    assert wrong == []
    assert killed > 100


def test_a_full_disk_leaves_everything_as_it_was(folder, monkeypatch):
    fill(folder, "errors.log.20260101-000000-000001", 20, days=8)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "_add", fail)
    with pytest.raises(CommandError, match=r"could not be cleaned up \(.*No space left.*nothing is lost"):
        call_command("clean_logs")

    assert names_in(folder) == ["errors.log.20260101-000000-000001"]


def test_a_compression_that_is_at_work_keeps_its_file(folder):
    fill(folder, "errors.log.20260101-000000-000001.gz.part", 2)
    fill(folder, "errors.log.20260101-000000-000002.gz.part", 2, days=1)

    clean_logs(folder)

    assert names_in(folder) == ["errors.log.20260101-000000-000001.gz.part"]


def test_a_plain_file_goes_only_when_its_compressed_form_holds_the_same(folder):
    for number, content in ((1, b"same\n"), (2, b"other\n")):
        plain = folder / f"errors.log.2026010{number}-000000-000001"
        plain.write_bytes(content)
        Path(f"{plain}.gz").write_bytes(gzip.compress(b"same\n"))

    clean_logs(folder)

    assert [name for name in names_in(folder) if not name.endswith(".gz")] == [
        "errors.log.20260102-000000-000001"
    ]


# --- command, task, status ------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["0", "-3", "many", "1.5", "", "9" * 5_000])
@pytest.mark.parametrize("option", ["--max-log-lines", "--archive-age-days", "--delete-age-days"])
def test_clean_logs_refuses_what_is_no_number_above_zero(folder, option, wrong):
    fill(folder, "operations.log", 20)
    with pytest.raises(CommandError, match=f"^{option} is .*: give a whole number, at least 1.$") as raised:
        call_command("clean_logs", f"{option}={wrong}")

    assert raised.value.returncode == 2
    assert len((folder / "operations.log").read_bytes().splitlines()) == 20


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "7", None])
def test_limits_are_whole_numbers(wrong):
    with pytest.raises(WrongLimit, match="archive_age_days is"):
        Limits(archive_age_days=wrong)


def test_clean_logs_prints_what_it_did(folder, capsys):
    fill(folder, "operations.log", 20)
    call_command("clean_logs", "--max-log-lines=5", "--json", "--dry-run")
    assert json.loads(capsys.readouterr().out) == dict(zip(KEYS, (0, 1, 15, 0), strict=True))
    call_command("clean_logs", "--max-log-lines=5")

    assert capsys.readouterr().out == (
        "0 rotated files archived; 1 logs shortened, by 15 lines; 0 archives deleted.\n"
    )


def test_the_task_does_what_the_command_does(folder):
    fill(folder, "operations.log", 20)
    assert tasks.clean_logs(max_log_lines=5) == dict(zip(KEYS, (0, 1, 15, 0), strict=True))
    assert tasks.clean_logs.name == "logmonitor.clean_logs"
    with pytest.raises(WrongLimit):
        tasks.clean_logs(max_log_lines=0)


def test_status_tells_sizes_numbers_and_ages(folder, capsys):
    fill(folder, "operations.log", 20)
    LiveLog(folder / "operations.log", 1).append(b"x\n")
    os.utime(folder / "operations.log", (1_790_000_000, 1_790_000_000))
    fill(folder, "archive/canvas_sync-20260101-020000-000004.tar.gz", 10)
    os.utime(folder / "archive/canvas_sync-20260101-020000-000004.tar.gz", (1_700_000_000, 1_700_000_000))
    fill(folder, "unknown.txt", 10_000)

    call_command("clean_logs", "--status", "--json")
    status = json.loads(capsys.readouterr().out)

    sizes = {name: (folder / name).stat().st_size for name in names_in(folder)}
    assert status == log_status(folder)
    assert status["total_log_size_mb"] == pytest.approx(
        sum(size for name, size in sizes.items() if name.startswith("operations")) / 1e6
    )
    assert status["total_archive_size_mb"] == pytest.approx(
        sum(size for name, size in sizes.items() if name.startswith("archive")) / 1e6
    )
    assert (status["log_files"], status["rotated_files"], status["archives"]) == (1, 1, 1)
    assert status["oldest"] == "2023-11-14T22:13:20.000Z"
    assert status["host"]
    assert status["logs"]["operations"]["lines"] == 1
    call_command("clean_logs", "--status")
    assert "operations: 1 lines" in capsys.readouterr().out


def test_status_of_nothing_is_nothing(tmp_path):
    status = log_status(tmp_path / "nothing")
    assert status["total_log_size_mb"] == status["total_archive_size_mb"] == status["log_files"] == 0
    assert status["oldest"] is None
