"""How long rows are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from syncmetrics import retention, tasks
from syncmetrics.models import (
    AlertChannel,
    AlertDelivery,
    Incident,
    JobRun,
    ReportRecipient,
    ReportSending,
    SyncCount,
    SyncRejection,
    SyncRun,
    SyncStep,
)

pytestmark = pytest.mark.django_db

KINDS = {each.name: each for each in retention.RETENTIONS}


def ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


def run_of(days: float, status: str = "completed", **columns: object) -> SyncRun:
    """Return a run of so many days ago, with one of each part."""
    end = None if status in ("queued", "in_progress") else ago(days)
    run = SyncRun.objects.create(sync_status=status, sync_start_time=ago(days), sync_end_time=end, **columns)
    SyncStep.objects.create(run=run, key="courses")
    SyncCount.objects.create(run=run, entity="courses")
    SyncRejection.objects.create(run=run, entity="courses", reason="why")
    return run


def test_old_runs_go_with_their_parts():
    for _ in range(5):
        run_of(732, "failed")
    before = run_of(732)
    kept = run_of(729, resumed_from=before)

    assert replace(KINDS["runs"], batch=2).delete_old(730) == 6

    for part in (SyncStep, SyncCount, SyncRejection):
        assert part.objects.get().run == kept
    kept.refresh_from_db()
    assert kept.resumed_from is None


def test_days_are_cut_off_whole():
    with time_machine.travel(datetime(2026, 5, 6, 15, tzinfo=UTC), tick=False):
        for start in (datetime(2026, 5, 4, 23, 59, tzinfo=UTC), datetime(2026, 5, 5, tzinfo=UTC)):
            SyncRun.objects.create(sync_status="failed", sync_start_time=start, sync_end_time=timezone.now())

        assert KINDS["runs"].delete_old(1) == 1
    assert SyncRun.objects.get().sync_start_time.day == 5


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_run_that_goes_on_keeps_its_day_and_those_after_it(status):
    run_of(902)
    going_on = run_of(900, status)
    run_of(800)

    assert KINDS["runs"].delete_old(730) == 1
    SyncRun.objects.filter(pk=going_on.pk).update(sync_status="lost", sync_end_time=timezone.now())
    assert KINDS["runs"].delete_old(730) == 2


def test_old_jobs_go_and_open_ones_stay():
    for number, (days, state) in enumerate([(32, "completed"), (32, "failed"), (29, "failed")]):
        JobRun.objects.create(task_id=str(number), logged_at=ago(days), state=state, ended_at=ago(days))
    JobRun.objects.create(task_id="open", logged_at=ago(32), state="in_progress", started_at=ago(1))

    assert KINDS["jobs"].delete_old(30) == 2
    assert set(JobRun.objects.values_list("task_id", flat=True)) == {"2", "open"}


def test_old_incidents_go_with_what_was_sent_and_open_ones_stay():
    channel = AlertChannel.objects.create(name="ops")
    for subject, end in (("over", ago(732)), ("open", None)):
        incident = Incident.objects.create(
            kind="failed", subject=subject, about="x", started_at=ago(740), ended_at=end
        )
        AlertDelivery.objects.create(incident=incident, channel=channel, what="began", state="sent")

    assert KINDS["incidents"].delete_old(730) == 1
    assert AlertDelivery.objects.get().incident == Incident.objects.get(subject="open")


def test_old_records_of_reports_go():
    ada = ReportRecipient.objects.create(email="ada@example.edu")
    for days in (732, 729):
        ReportSending.objects.create(recipient=ada, report="weekly", period_start=ago(days).date())

    assert KINDS["reports"].delete_old(730) == 1
    assert ReportSending.objects.get().period_start == ago(729).date()


def test_the_task_deletes_what_each_setting_says(settings):
    settings.RUN_DAYS = 10
    run_of(12)
    JobRun.objects.create(task_id="a", logged_at=ago(12), state="failed", ended_at=ago(12))

    deleted = tasks.prune_records()

    assert (deleted["runs"], deleted["jobs"]) == (1, 0)
    assert deleted.keys() == {each.name for each in retention.declared()}


def refuse(keys):
    raise OSError("The storage is away.")


BROKEN = (replace(KINDS["runs"], name="broken", delete=refuse),)


def test_what_cannot_be_deleted_keeps_nothing_else_from_going(settings, caplog):
    settings.RETENTIONS = [f"{__name__}.BROKEN", "syncmetrics.retention.RETENTIONS"]
    run_of(800)

    with pytest.raises(OSError, match="The storage is away"):
        tasks.prune_records()
    assert not SyncRun.objects.exists()
    assert "Old broken could not be deleted: OSError" in caplog.text


def printed(capsys, *options):
    call_command("prune_records", *options)
    return capsys.readouterr().out


def test_prune_records_says_how_many_first(capsys):
    run_of(800)
    assert printed(capsys, "--dry-run").splitlines()[0] == "runs: 1 older than 730 days would be deleted"
    assert printed(capsys, "--dry-run").endswith("\n1 records would be deleted.\n")
    answer = json.loads(printed(capsys, "--json", "--only", "runs", "--days", "900"))
    assert answer == {"dry_run": False, "records": {"runs": {"days": 900, "deleted": 0}}}
    answer = json.loads(printed(capsys, "--json"))
    assert answer["records"]["runs"] == {"days": 730, "deleted": 1}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only=runs", "--days=0"], "give a whole number, at least 1"),
        (["--only=runs", "--days=-1"], "give a whole number, at least 1"),
        (["--days=3"], "Say with --only of what"),
        (["--only=everything"], "choose one of runs, jobs"),
    ],
)
def test_prune_records_refuses_what_makes_no_sense(options, said):
    run_of(1)
    with pytest.raises(CommandError, match=said) as raised:
        call_command("prune_records", *options)
    assert raised.value.returncode == 2
    assert SyncRun.objects.count() == 1


def test_longer_than_there_are_dates_is_for_ever():
    run_of(9_000)
    assert KINDS["runs"].delete_old(10**12) == 0
