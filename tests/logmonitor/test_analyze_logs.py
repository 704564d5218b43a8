"""`manage.py analyze_logs` and `python -m logmonitor.analysis`: options, shapes, files, signals."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from rich.console import Console

from logmonitor.analysis.tables import PROBLEMS, live_group, rich_group, sections
from tests.installation import CHILD_VARIABLES, ROOT
from tests.logmonitor.log_folder import analysed, line, request, requests, write

MODULE = [sys.executable, "-m", "logmonitor.analysis"]
pytestmark = pytest.mark.sqlite  # it reads files, and no database


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """Return the installation's log folder, with a few lines."""
    settings.CANVAS_SYNC_LOG_DIR = tmp_path / "logs"
    write(tmp_path / "logs", "api_calls.log", requests(20) + b"garbage\n")
    write(tmp_path / "logs", "errors.log", line("error", message="[bold]not markup[/bold] \x1b[2J"))
    return tmp_path / "logs"


def run(*arguments: str) -> str:
    """Run the command; return what it printed."""
    out = io.StringIO()
    call_command("analyze_logs", *arguments, stdout=out)
    return out.getvalue()


def standalone(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the analysis without Django."""
    own = {name: os.environ[name] for name in CHILD_VARIABLES if name in os.environ}
    command = [*MODULE, *arguments]
    return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=60)


def test_report_is_plain_text_where_there_is_no_terminal(folder: Path) -> None:
    text = run()
    assert "\x1b" not in text
    for title in ("OPERATIONS", "API CALLS", "DATABASE", "ERRORS", "PROGRESS"):
        assert f"\n{title}\n" in text
    assert "Calls: 20\n" in text
    assert "[bold]not markup[/bold] \\x1b[2J" in text
    assert "api_calls.log  damaged      1  the line is no JSON\n" in text


def test_numbers_that_name_something_are_written_as_they_are_asked_for(folder: Path) -> None:
    write(folder, "operations.log", line("course_synced", run=12345, course="67890", seconds=2.5))
    write(folder, "progress.log", line("progress", run=12345, rows=23456))
    write(folder, "errors.log", line("error", run=12345, course=67890, message="Gone."))
    text = run()
    assert "12,345" not in text
    assert "67,890" not in text
    assert text.count("12345") == 4
    assert "23,456" in text


def test_every_kind_of_problem_is_explained() -> None:
    page = (ROOT / "docs/analyze-logs.md").read_text()
    told = re.findall(
        r"^\| `(\w+)` \|", page.partition("## What is not counted")[2].partition("## ")[0], re.M
    )
    assert set(told) == set(PROBLEMS)


def test_json_is_one_versioned_object(folder: Path) -> None:
    found = json.loads(run("--json"))
    assert (found["schema"], found["version"]) == ("easel.analyze_logs", 1)
    assert found["api"]["calls"] == 20
    assert list(found) == [
        "schema", "version", "generated_at", "log_dir", "selection", "percentile_error", "input",
        "operations", "api", "database", "errors", "progress",
    ]  # fmt: skip


def documented_keys() -> set[str]:
    """Return every key of the report that its page names."""
    return set(re.findall(r"`(\w+)`", (ROOT / "docs/analyze-logs.md").read_text()))


def test_every_key_of_the_report_is_documented(folder: Path) -> None:
    write(folder, "operations.log", line("sync_started") + line("course_synced", course="1"))
    write(folder, "database.log", line("bulk_upsert", entity="users"))
    write(folder, "progress.log", line("progress"))
    free = {"by_method", "by_status", "by_user", "by_course", "by_class", "by_message", "problems", "users"}

    def keys(value: Any, name: str = "") -> set[str]:
        if isinstance(value, list):
            return set().union(*(keys(each) for each in value))
        if not isinstance(value, dict):
            return set()
        own = set() if name in free or name.startswith(("by_operation", "by_entity")) else set(value)
        return own.union(*(keys(each, key) for key, each in value.items()))

    assert keys(json.loads(run("--json"))) - documented_keys() == set()


def test_selection_and_top_are_followed(folder: Path) -> None:
    found = json.loads(run("--json", "--since", "2026-11-22T08:00:05", "--run", "1", "--top", "1"))
    assert found["api"]["calls"] == 15
    assert found["selection"]["since"] == "2026-11-22T08:00:05.000Z"
    assert json.loads(run("--json", "--user", "9"))["api"]["calls"] == 0
    assert json.loads(run("--json", "--course", "1"))["api"]["calls"] == 20


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--since", "soon"], "--since takes 2h, 7d, a date"),
        (["--since", "2h", "--until", "7d"], "--since is later than --until"),
        (["--until", "0001-01-01T00:00+14:00", "--since", "x" * 500], "not 'xxx"),
        (["--run", "1x"], "--run takes a number"),
        (["--user", "anna"], "--user takes a number"),
        (["--course", "../1"], "--course takes a number"),
        (["--top", "0"], "--top takes a number from 1"),
        (["--top", "many"], "--top takes a number from 1"),
        (["--log-dir", "no/such/folder"], "There is no folder no/such/folder"),
        (["--output", "no/such/folder/report.json"], "There is no folder no/such/folder"),
        (["--output", "."], "--output takes the name of a file"),
        (["--follow", "--output", "report.txt"], "leave out --output"),
    ],
)
def test_what_cannot_be_followed_is_one_sentence_and_status_2(
    arguments: list[str], sentence: str, folder: Path
) -> None:
    with pytest.raises(CommandError) as raised:
        run(*arguments)
    assert raised.value.returncode == 2
    assert sentence in str(raised.value)
    assert str(raised.value).count("\n") == 0
    assert str(raised.value).endswith(".")


@pytest.mark.parametrize(("name", "options", "as_json"), [
    ("report.json", [], True), ("report", ["--json"], True), ("report.txt", [], False),
])  # fmt: skip
def test_output_is_written_whole_into_a_file(
    name: str, options: list[str], as_json: bool, folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / name
    target.write_text("before")
    assert run("--output", str(target), *options) == ""
    assert (json.loads(target.read_text())["version"] == 1) if as_json else "Calls: 20" in target.read_text()
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_output_that_cannot_be_written_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandError, match="No space left"):
        run("--output", str(tmp_path / "report.json"))
    assert [file.name for file in tmp_path.iterdir()] == ["logs"]


def test_terminal_gets_tables(folder: Path) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120, color_system=None)
    parts = list(sections(analysed(folder)))
    console.print(rich_group(parts))
    console.print(live_group(parts))
    text = shown.getvalue()
    assert "Slowest endpoints" in text
    assert "[bold]not markup[/bold] \\x1b[2J" in text
    assert "\x1b[2J" not in text


# --- as processes ------------------------------------------------------------------------------------


def test_standalone_loads_no_django_and_says_the_same(folder: Path) -> None:
    done = standalone("--json", "--log-dir", str(folder))
    assert done.returncode == 0, done.stderr
    found, ours = json.loads(done.stdout), analysed(folder)
    assert {key: found[key] for key in ("api", "errors", "input")} == {
        key: ours[key] for key in ("api", "errors", "input")
    }
    loads = (
        "import sys, logmonitor.analysis.__main__; print([m for m in ('django', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", loads], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_manage_py_analyses_before_django_is_loaded(own_site: dict[str, str], folder: Path) -> None:
    variables = own_site | {"CANVAS_SYNC_LOG_DIR": str(folder)}
    command = [sys.executable, "-X", "importtime", "manage.py", "analyze_logs", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["api"]["calls"] == 20
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "logmonitor.analysis.engine" in loaded
    assert loaded & {"django.core.management", "django.db", "celery", "config.settings"} == set()


@pytest.mark.parametrize("options", [[], ["--verbosity", "1"]], ids=["without Django", "with Django"])
def test_log_folder_is_that_of_the_environment_and_its_file(
    options: list[str], manage: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.env").write_text(f"CANVAS_SYNC_LOG_DIR={folder}\n")
    done = manage("analyze_logs", "--json", *options, env={"EASEL_ENV_FILE": str(tmp_path / "own.env")})
    assert json.loads(done.stdout)["log_dir"] == str(folder)
    done = manage("analyze_logs", "--json", *options, env={"EASEL_VAR_DIR": str(tmp_path)})
    assert done.returncode == 2
    assert f"There is no folder {tmp_path / 'logs' / 'canvas_sync'}" in done.stderr


def test_option_that_nobody_knows_ends_with_status_2_and_one_sentence(manage: Callable[..., Any]) -> None:
    for done in (manage("analyze_logs", "--folder", "x"), standalone("--folder", "x")):
        assert (done.returncode, done.stdout) == (2, "")
        assert "--folder" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_help_lists_the_options(manage: Callable[..., Any]) -> None:
    done = manage("analyze_logs", "--help")
    assert done.returncode == 0
    assert "--log-dir DIR" in done.stdout
    assert "manage.py analyze_logs" in done.stdout


def test_missing_folder_ends_with_status_2_and_one_line(
    manage: Callable[..., Any], tmp_path: Path
) -> None:  # fmt: skip
    for done in (
        manage("analyze_logs", "--log-dir", "nowhere"),
        standalone("--log-dir", "nowhere"),
    ):
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.strip().endswith(
            "There is no folder nowhere: say with --log-dir where the logs are."
        )
        assert done.stderr.count("\n") == 1  # fmt: skip


def test_reader_that_goes_away_is_no_error(folder: Path) -> None:
    write(folder, "api_calls.log", b"".join(request(path=f"{'a' * n}/1") for n in range(1, 190)))
    done = subprocess.run(
        f"'{sys.executable}' -m logmonitor.analysis --json --top 100 --log-dir '{folder}' | head -c 10",
        shell=True, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""


def follow(folder: Path, *arguments: str, stdout: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start following a folder."""
    return subprocess.Popen(
        [*MODULE, "--follow", "--log-dir", str(folder), *arguments],
        cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_follow_shows_figures_as_they_come_until_it_is_ended(ending: signal.Signals, folder: Path) -> None:
    process = follow(folder, "--json")
    assert process.stdout
    assert json.loads(process.stdout.readline())["api"]["calls"] == 20
    os.rename(folder / "api_calls.log", folder / "api_calls.log.20261122-081530-123456")
    write(folder, "api_calls.log", requests(5, start=100))
    seen = 0
    while seen < 25:
        seen = json.loads(process.stdout.readline())["api"]["calls"]
    process.send_signal(ending)
    _, said = process.communicate(timeout=20)
    assert (seen, process.returncode, said) == (25, 0, "")


def test_follow_without_a_terminal_prints_a_line_each_time(folder: Path) -> None:
    process = follow(folder)
    assert process.stdout
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert "  calls 20  failures 0  " in first


def test_follow_on_a_terminal_shows_figures_in_place(folder: Path) -> None:
    ours, theirs = pty.openpty()
    process = follow(folder, stdout=theirs)
    os.close(theirs)
    text, until = "", time.monotonic() + 20
    while "API calls" not in text and time.monotonic() < until:
        text += os.read(ours, 65536).decode()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    os.close(ours)
    assert "API calls" in text
