"""Parse runs under real workers: eight at once, messages that come twice, workers that are killed."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from parselogs.models import ParsedPart, ParseFileMeta
from parselogs.runs import TASK, State, close_lost, send_all
from parselogs.spool import Spool
from parselogs.sweeper import sweep
from syncmetrics.models import JobRun
from tests.parselogs.conftest import MARKS
from tests.parselogs.files import log_of, marks, marks_in, upload
from tests.workers import Background, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
LogState = ParseFileMeta.LogState


@pytest.fixture
def workers(background: Background, settings: Any) -> Background:
    """Workers that use this test's storage and spool."""
    background.environment |= {
        "PARSE_SPOOL_DIR": str(settings.PARSE_SPOOL_DIR),
        "UPLOADS_FOLDER": str(settings.STORAGES["uploads"]["OPTIONS"]["location"]),
        "PARSELOGS_PARSERS": MARKS,
        "WORKER_PROCESSES": "8",
    }
    return background


def all_ended(runs: list[ParseFileMeta]) -> bool:
    open_logs = (LogState.SPOOLING, LogState.PENDING_UPLOAD, LogState.NONE)
    ended = ParseFileMeta.objects.filter(pk__in=[run.pk for run in runs], finished_at__isnull=False)
    return ended.exclude(log_state__in=open_logs).count() == len(runs)


def test_eight_at_once_under_celery_keep_their_lines_apart_and_are_done_once(workers: Background) -> None:
    runs = [upload(marks(f"c{number}", 60, 20), name="marks.csv") for number in range(8)]
    workers.start_worker()
    send_all(runs)
    send_all(runs)  # every message comes twice
    wait_for(lambda: all_ended(runs), "eight runs to end")
    for number, run in enumerate(runs):
        run.refresh_from_db()
        assert (run.state, run.rows_read) == (State.SUCCEEDED, 60)
        assert marks_in(log_of(run)) == [f"c{number}-{row}" for row in range(60)]
        assert ParsedPart.objects.filter(run=run).count() == 1
    overlapping = [run for run in runs if run.started_at < min(one.finished_at for one in runs)]  # type: ignore
    assert len(overlapping) > 1
    wait_for(lambda: JobRun.objects.filter(name=TASK, state="completed").count() == 16, "all messages")


def test_log_of_a_killed_worker_is_stored_by_the_next_one_that_starts(workers: Background) -> None:
    run = upload(marks("k", 2000, 20), name="marks.csv")
    worker = workers.start_worker()
    send_all([run])
    wait_for(lambda: Spool(run.uuid).exists() and b"mark k-5" in Spool(run.uuid).read().text, "some rows")
    workers.kill(worker)
    workers.start("worker")
    wait_for(lambda: all_ended([run]), "the sweep of the new worker")
    run.refresh_from_db()
    assert (run.state, run.log_state) == (State.LOST, LogState.UPLOADED)
    read = marks_in(log_of(run))
    assert read == [f"k-{row}" for row in range(len(read))]
    assert len(read) > 5
    assert close_lost() == []
    assert ParseFileMeta.objects.count() == 1  # the message that came again did not parse again


def test_run_sent_while_redis_is_away_is_parsed_when_it_is_back(
    workers: Background, redis: Any, tmp_path: Path
) -> None:
    run = upload(marks("r", 2), name="marks.csv")
    redis.kill()
    send_all([run])
    run.refresh_from_db()
    assert (run.state, run.failure_code) == (State.FAILED, "dispatch")
    redis.start()
    workers.start_worker()
    sweep()
    wait_for(lambda: all_ended([run]), "the run to end")
    run.refresh_from_db()
    assert run.state == State.SUCCEEDED
    done_by_worker_while_the_command_waits(tmp_path / "marks.csv")


def done_by_worker_while_the_command_waits(path: Path) -> None:
    path.write_bytes(marks("w", 20, 20))
    out = StringIO()
    call_command("parse_file", str(path), "--wait", "--json", stdout=out)
    told = json.loads(out.getvalue())
    run = ParseFileMeta.objects.get(uuid=told["run_uuid"])
    assert (told["state"], told["log_state"], told["rows_read"]) == ("succeeded", "uploaded", 20)
    assert run.worker_pid != os.getpid()
