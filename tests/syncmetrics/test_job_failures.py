"""Schedules whose job fails: an incident, until the same task has completed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from syncmetrics.alerts.incidents import watch
from syncmetrics.jobs.failures import QUIET, failing_schedules
from syncmetrics.models import Incident, JobRun
from tests.console import client_of, person, text_of
from tests.factories import ConnectionFactory

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def job(state: str = "failed", *, ago: timedelta = timedelta(hours=1), **changes: Any) -> JobRun:
    """Return a job of a schedule that ended so long ago."""
    ended = NOW - ago
    fields: dict[str, Any] = {
        "name": "logmonitor.clean_logs",
        "arguments": {"max_log_lines": 10_000},
        "trigger": "schedule",
        "triggered_by": "Clean up logs",
        "state": state,
        "logged_at": ended,
        "ended_at": ended,
        "error_class": "OSError" if state == "failed" else "",
        "error_message": "No space left on device" if state == "failed" else "",
    }
    number = JobRun.objects.count()
    return JobRun.objects.create(task_id=f"job-{number}", **(fields | changes))


def found() -> list[str]:
    return [one.about for one in failing_schedules(NOW)]


def test_a_schedule_that_failed_says_which_job_and_why() -> None:
    job(ago=timedelta(days=1))
    latest = job()
    (finding,) = failing_schedules(NOW)

    assert finding.about == "Clean up logs"
    assert finding.text == "logmonitor.clean_logs failed. OSError: No space left on device"
    assert finding.since == latest.ended_at
    assert finding.page == reverse("admin:syncmetrics_jobrun_change", args=[latest.pk])


@pytest.mark.parametrize(
    ("later", "failing"),
    [
        ({}, False),
        ({"trigger": "console", "triggered_by": "olga"}, False),
        ({"arguments": {"max_log_lines": 5}}, True),
        ({"name": "logmonitor.verify_transfers"}, True),
        ({"ago": timedelta(hours=2)}, True),
        ({"state": "in_progress", "ended_at": None}, True),
    ],
)
def test_it_works_again_when_the_same_task_has_completed(later: dict[str, Any], failing: bool) -> None:
    job()
    job(**{"state": "completed", "ago": timedelta(minutes=5), **later})

    assert bool(found()) is failing


def test_what_a_person_ran_in_vain_is_told_to_that_person_only() -> None:
    job(trigger="console", triggered_by="olga")

    assert found() == []


def test_a_task_that_logs_failures_only_works_again_when_it_is_quiet(settings: Any) -> None:
    settings.JOB_LOG_ERRORS_ONLY = ["logmonitor.clean_logs"]
    job(ago=QUIET - timedelta(minutes=1))
    assert found() == ["Clean up logs"]
    JobRun.objects.update(ended_at=NOW - QUIET - timedelta(minutes=1))
    assert found() == []


def test_schedules_are_incidents_of_their_own_and_recover() -> None:
    job()
    job(triggered_by="Delete old records", name="syncmetrics.prune_records", arguments={})
    watch()
    assert Incident.objects.filter(kind="job_failed", ended_at=None).count() == 2
    job("completed", ago=timedelta(0))
    watch()

    assert [one.about for one in Incident.objects.filter(ended_at=None)] == ["Delete old records"]


def test_what_is_asked_every_minute_stays_small(django_assert_max_num_queries: Any) -> None:
    for number in range(30):
        job("completed", triggered_by=f"Sync {number}")
    job()
    with django_assert_max_num_queries(2):
        found()


def test_the_home_page_says_so_to_those_who_see_every_job() -> None:
    site = ConnectionFactory().instance
    failed = job()
    said = "logmonitor.clean_logs failed. OSError: No space left on device"
    page = client_of(person("vera", "Viewer")).get(reverse("admin:index"))

    assert said in text_of(page)
    assert reverse("admin:syncmetrics_jobrun_change", args=[failed.pk]) in page.content.decode()
    assert said not in text_of(client_of(person("ada", "Viewer", only=[site])).get(reverse("admin:index")))
