"""`watch_transfers` as people call it: what it prints, how it ends, and that one process follows a log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from logmonitor.models import LogLine, LogSource
from logmonitor.transfers import lease
from logmonitor.transfers.watch import UnknownSource, Watch, find_or_make, only
from syncmetrics.process import ThisProcess
from tests.installation import ROOT
from tests.logmonitor.transfer_lines import transfer
from tests.logmonitor.transfer_world import World, source_of, stored

Manage = Callable[..., subprocess.CompletedProcess[str]]
WAIT_SECONDS = 60


def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.timeout(300)
def test_a_folder_is_read_once_and_followed_until_the_process_is_told(
    manage: Manage, own_site: dict[str, str], tables: None, tmp_path: Path
) -> None:
    nothing = manage("watch_transfers")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert "There is no transfer log yet: name the folder" in nothing.stderr

    logs = tmp_path / "logs"
    logs.mkdir()
    live = logs / "sftpgo.log"
    live.write_bytes(transfer(1) + transfer(2)[:40] + b"\n")
    once = manage("watch_transfers", "--source", str(logs), "--once", "--json")
    assert once.returncode == 0, once.stderr
    summary = json.loads(once.stdout)
    assert {name: summary[name] for name in ("sources", "lines", "rows", "bad_lines", "gaps", "errors")} == {
        "sources": ["logs"],
        "lines": 2,
        "rows": 1,
        "bad_lines": 1,
        "gaps": 0,
        "errors": {},
    }

    command = [sys.executable, str(ROOT / "manage.py"), "watch_transfers", "--json"]
    first = subprocess.Popen(command, env=own_site, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(0.5)
        with live.open("ab") as log:
            log.write(transfer(3))
        second = None
        deadline = time.monotonic() + WAIT_SECONDS
        while second is None or not json.loads(second.stdout)["idle"]:
            assert time.monotonic() < deadline
            second = manage("watch_transfers", "--once", "--json")
        assert f"process {first.pid} on " in json.loads(second.stdout)["idle"]["logs"]
        assert "is followed by process" in second.stderr
        time.sleep(2)
        first.send_signal(signal.SIGTERM)
        out, error = first.communicate(timeout=WAIT_SECONDS)
    finally:
        first.kill()
        first.wait()
    assert first.returncode == 0, error
    assert json.loads(out)["rows"] + json.loads(second.stdout)["rows"] <= 1


@pytest.mark.django_db
def test_what_is_no_source_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        CommandError, match="There is no source 'nowhere', and no folder of that name"
    ) as refused:
        call_command("watch_transfers", "--source", "nowhere", "--once")
    assert refused.value.returncode == 2
    LogSource.objects.create(name="off", folder="/srv/off", enabled=False)
    with pytest.raises(CommandError, match="All transfer logs are switched off"):
        call_command("watch_transfers", "--once")


@pytest.mark.django_db
def test_a_folder_becomes_one_source_of_a_free_name(tmp_path: Path) -> None:
    (tmp_path / "a" / "logs").mkdir(parents=True)
    (tmp_path / "b" / "logs").mkdir(parents=True)
    first = find_or_make(str(tmp_path / "a" / "logs"))
    assert find_or_make(f"{tmp_path}/a/../a/logs/") == first
    assert find_or_make("logs") == first
    assert find_or_make(str(tmp_path / "b" / "logs")).name == "logs 2"
    with pytest.raises(UnknownSource):
        find_or_make(os.devnull)


@pytest.mark.django_db
def test_the_time_zone_of_a_new_folder_is_said_with_it(tmp_path: Path, capsys: Any) -> None:
    call_command("watch_transfers", "--source", str(tmp_path), "--time-zone", "Europe/Stockholm", "--once")
    assert LogSource.objects.get().time_zone == "Europe/Stockholm"
    assert find_or_make(str(tmp_path), "Europe/Stockholm") == find_or_make(str(tmp_path))
    for options, said in (
        (
            ["--source", str(tmp_path), "--time-zone", "Asia/Tokyo"],
            "has the time zone Europe/Stockholm",
        ),
        (["--source", f"{tmp_path}/../..", "--time-zone", "UTC"], "lines would be counted twice"),
        (["--source", "/usr", "--time-zone", "Mars/Base"], "'Mars/Base' is no time zone; write one such as"),
        (["--time-zone", "UTC"], "Say with --source of which log"),
    ):
        with pytest.raises(CommandError, match=said) as refused:
            call_command("watch_transfers", "--once", *options)
        assert refused.value.returncode == 2


@pytest.mark.django_db(transaction=True)
def test_much_to_read_is_told_line_by_line_where_there_is_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    world = World(tmp_path)
    world.write(20)
    world.rotate()
    world.write(20)
    module = "logmonitor.management.commands.watch_transfers"
    monkeypatch.setattr(f"{module}.WORTH_A_BAR", 10)
    monkeypatch.setattr(f"{module}.LINE_SECONDS", 0.0)
    call_command("watch_transfers", "--source", str(tmp_path), "--once")
    printed = capsys.readouterr()
    assert " MB read, " in printed.err
    assert printed.out.startswith("40 lines read: 40 stored, 0 bad, 0 gaps")


@pytest.mark.django_db
def test_what_can_be_no_source_is_told_in_a_sentence(tmp_path: Path) -> None:
    live = tmp_path / "sftpgo.log"
    live.touch()
    (tmp_path / "a\nb").mkdir()
    for text, said in (
        (str(live), "is a file. Give the folder it is in"),
        (str(tmp_path / "a\nb"), "text in one line"),
        ("a\0b", "text in one line"),
        ("\udcff", "text in one line"),
        (" ", "names no source"),
        ("/", "this one holds everything"),
    ):
        with pytest.raises(UnknownSource, match=said):
            find_or_make(text)
    assert not LogSource.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_lease_is_one_processs_until_it_ends(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    me, here = ThisProcess(), ThisProcess().host
    gone = ThisProcess(here, 2**22 + 1, "1")
    other = ThisProcess("elsewhere/1-2", 7, "1")
    assert lease.take(source.pk, gone)
    assert lease.take(source.pk, me)  # the other one of this host is gone
    assert not lease.take(source.pk, other)
    lease.give_back(source.pk, other)
    assert not lease.take(source.pk, other)
    lease.give_back(source.pk, me)
    assert lease.take(source.pk, other)
    source.refresh_from_db()
    assert lease.holder(source) == "process 7 on elsewhere"
    assert not lease.take(source.pk, me)
    LogSource.objects.update(lease_until="2020-01-01T00:00:00Z")
    assert lease.take(source.pk, me)


@pytest.mark.django_db(transaction=True)
def test_a_source_that_another_process_follows_is_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(3)
    lease.take(world.source.pk, ThisProcess("elsewhere/1-2", 7, "1"))
    said: list[str] = []
    summary = Watch(only(world.source.pk), say=said.append).drain()
    assert summary.idle == {world.source.name: "process 7 on elsewhere"}
    assert said == [f"{world.source.name} is followed by process 7 on elsewhere: nothing to do for this one."]
    assert not LogLine.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_host_without_the_folder_leaves_it_to_the_one_that_has_it(tmp_path: Path) -> None:
    source, looked = source_of(tmp_path / "logs"), timezone.now() - timedelta(minutes=2)
    (tmp_path / "logs").rmdir()
    elsewhere = {"lease_host": "elsewhere/1-2", "last_polled_at": looked}
    LogSource.objects.filter(pk=source.pk).update(**elsewhere)
    summary = Watch(only(source.pk)).drain()
    assert summary.idle == {source.name: "elsewhere, which has its folder"}
    assert not summary.errors
    source.refresh_from_db()
    assert (source.error, source.last_polled_at, source.lease_host) == ("", looked, "elsewhere/1-2")

    # Nobody has looked for long: then what this host says is all there is.
    LogSource.objects.filter(pk=source.pk).update(last_polled_at=looked - timedelta(minutes=10))
    assert "cannot be read" in Watch(only(source.pk)).drain().errors[source.name]


@pytest.mark.django_db(transaction=True)
def test_following_notices_lines_new_sources_and_settings(tmp_path: Path) -> None:
    one, chosen, looks = World(tmp_path / "one"), {}, 0
    one.write(1)
    LogSource.objects.update(poll_seconds=0.1)

    def sources() -> dict[int, Any]:
        chosen.clear()
        chosen.update({source.pk: source for source in LogSource.objects.filter(enabled=True)})
        return chosen

    def stopping() -> bool:
        nonlocal looks
        looks += 1
        if looks == 20:
            one.write(1)
            two = source_of(tmp_path / "two")
            (tmp_path / "two" / "sftpgo.log").write_bytes(transfer(50))
            LogSource.objects.filter(pk=two.pk).update(poll_seconds=0.1)
        return looks > 2000 or (looks > 20 and LogLine.objects.count() == 3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logmonitor.transfers.watch.LOOK_SECONDS", 0.2)
        summary = Watch(sources, stopping=stopping).follow()
    assert summary.counts.rows == 3
    assert sorted(stored(one.source)) == [1, 2]
    one.source.refresh_from_db()
    assert one.source.lease_until is None
    assert (one.source.behind_bytes, one.source.error) == (0, "")
    assert one.source.last_polled_at is not None
