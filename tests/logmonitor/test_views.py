"""The console's pages of the logs: what they show, to whom, and the way to them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from logmonitor.files import rotated_files
from logmonitor.live import LiveLog
from logmonitor.rotated import compress
from logmonitor.tail import lines_of_run
from logmonitor.views import LINES_SHOWN
from syncmetrics.models import SyncRun
from tests.console import client_of, person, text_of
from tests.factories import ConnectionFactory, InstanceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """Return an empty folder of logs, the one of the settings."""
    settings.CANVAS_SYNC_LOG_DIR = tmp_path
    return tmp_path


@pytest.fixture
def run() -> SyncRun:
    """Return a failed run."""
    connection = ConnectionFactory(name="prod")
    return SyncRun.objects.create(
        instance_key=connection.instance_id,
        connection_key=connection.pk,
        connection_name="prod",
        sync_status="failed",
        error_message="Canvas is down.",
        sync_end_time=timezone.now(),
    )


def say(folder: Path, run: int | None, *, log: str = "errors", rotate: int = 10**7, **fields: Any) -> None:
    """Write a line."""
    line = {"ts": "2026-11-22T08:15:30.123Z", "level": "ERROR", "event": "error", "run": run, **fields}
    LiveLog(folder / f"{log}.log", rotate).append(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def test_the_lines_of_a_run_come_from_live_and_rotated_files_the_newest_last(folder, run):
    for number in range(40):
        say(folder, run.pk, rotate=1_000, message=f"mine {number}")
        say(folder, run.pk * 10 + 1, rotate=1_000, message=f"not mine {number}")
    with (folder / "errors.log").open("ab") as damaged:
        damaged.write(b'{"run":%d, broken\n\xff\n[%d]\n' % (run.pk, run.pk))
    for file in rotated_files(folder)[::2]:
        compress(file)

    tail = lines_of_run(run, "errors", 30, folder=folder)
    assert [line["message"] for line in tail.lines] == [f"mine {number}" for number in range(10, 40)]
    assert tail.more
    everything = lines_of_run(run, "errors", 1_000, folder=folder)
    assert len(everything.lines) == 40
    assert not everything.more
    assert len(lines_of_run(None, "errors", 1_000, folder=folder).lines) == 80
    assert lines_of_run(run, "progress", 10, folder=folder).lines == []


def test_files_from_before_a_run_are_not_read(folder, run):
    say(folder, run.pk, message="of another run of this number")
    os.utime(folder / "errors.log", (0, 0))

    assert lines_of_run(run, "errors", 10, folder=folder).lines == []


def test_the_page_of_a_run_leads_to_its_log_lines(folder, run):
    say(folder, run.pk, message="No <b>answer</b>.", course="1007", records={"users": 1_234}, step="")
    say(folder, run.pk + 1, message="Of another run.")
    client = client_of(person("ada", "Viewer"))
    page = client.get(reverse("admin:syncmetrics_syncrun_change", args=[run.pk]))
    url = f"{reverse('logmonitor:lines')}?run={run.pk}&amp;log=errors"
    assert f'href="{url}"' in page.content.decode()

    shown = client.get(url.replace("&amp;", "&"))

    text = text_of(shown)
    assert "No <b>answer</b>." in shown.content.decode().replace("&lt;", "<").replace("&gt;", ">")
    assert "<b>answer</b>" not in shown.content.decode()
    assert "course 1007; records 1,234 users" in text
    assert "Of another run." not in text


def test_who_is_limited_to_sites_sees_lines_of_runs_of_these_only(folder, run):
    say(folder, run.pk, message="Said by Canvas.")
    of_run = f"{reverse('logmonitor:lines')}?run={run.pk}&log=errors"
    insider = client_of(person("in", "Viewer", only=[ConnectionFactory._meta.model.objects.get().instance]))
    stranger = client_of(person("out", "Viewer", only=[InstanceFactory()]))

    assert "Said by Canvas." in text_of(insider.get(of_run))
    assert stranger.get(of_run).status_code == 404
    for client in (insider, stranger):
        assert client.get(reverse("logmonitor:lines")).status_code == 403
        assert client.get(reverse("logmonitor:files")).status_code == 403


@pytest.mark.parametrize("query", ["run=999999", "run=x", "run=1%00", "log=no_such", "log=../../etc/passwd"])
def test_what_is_not_there_is_not_found(folder, query):
    response = client_of(person("ada", "Viewer")).get(f"{reverse('logmonitor:lines')}?{query}")
    assert response.status_code == 404


def test_a_long_log_shows_its_end(folder, run):
    for number in range(LINES_SHOWN + 5):
        say(folder, run.pk, message=f"number {number}.")
    text = text_of(client_of(person("ada", "Viewer")).get(reverse("logmonitor:lines")))

    assert "number 4." not in text
    assert f"number {LINES_SHOWN + 4}." in text
    assert "Older ones are in the files." in text


def test_the_files_page_shows_sizes_and_whose_host_it_is(folder, run):
    say(folder, run.pk, message="x" * 2_000_000)
    text = text_of(client_of(person("ada", "Viewer")).get(reverse("logmonitor:files")))

    assert "2.00 MB" in text
    assert str(folder) in text
    assert "Every host that runs syncs has its own" in text
