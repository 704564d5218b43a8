"""`watch_transfers` as people call it: what it prints, how it ends, and that one process follows a log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

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
    manage: Manage, own_site: dict[str, str], tmp_path: Path
) -> None:
    assert manage("migrate").returncode == 0
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
