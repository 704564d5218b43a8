"""Schedules whose job failed, as incidents: a clean-up that fails every night is heard of, too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from syncmetrics.alerts.kinds import Finding, IncidentKind
from syncmetrics.jobs.life import logs_errors_only
from syncmetrics.models import JobRun

JOB_FAILED = "job_failed"

QUIET = timedelta(minutes=15)
"""A task that leaves no row when it succeeds works again when it has not failed for so long."""


def failing_schedules(now: datetime) -> Iterator[Finding]:
    """Yield the schedules whose job failed and has not completed since, whoever ran it again."""
    failed = JobRun.objects.filter(state=JobRun.State.FAILED, trigger=JobRun.Trigger.SCHEDULE)
    latest = {job.triggered_by: job for job in failed.order_by("logged_at", "pk")}
    for schedule, job in latest.items():
        if not _works_again(job, now):
            yield Finding(
                kind=JOB_FAILED,
                subject=f"schedule:{schedule}"[:300],
                about=schedule,
                text=f"{job.name} failed. {job.error_class}: {job.error_message}",
                since=job.ended_at or now,
                page=f"/admin/syncmetrics/jobrun/{job.pk}/change/",
            )


def _works_again(job: JobRun, now: datetime) -> bool:
    if logs_errors_only(job.name):
        return now - (job.ended_at or now) > QUIET
    later = JobRun.objects.filter(name=job.name, logged_at__gt=job.logged_at, state=JobRun.State.COMPLETED)
    return later.filter(arguments=job.arguments).exists()


KINDS = (
    IncidentKind(
        key=JOB_FAILED,
        title="Schedule failed",
        when="the job of a schedule fails",
        to_do="Open the job and read its error; mend the cause, then run the schedule again with Run now.",
        source=failing_schedules,
    ),
)
