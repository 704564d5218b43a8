"""The upkeep of runs as background work."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings

from syncmetrics import alerts, incidents, jobs, reports, retention, runs

log = logging.getLogger(__name__)


@shared_task(name="syncmetrics.close_lost_runs")
def close_lost_runs() -> None:
    """Mark runs as lost that nobody works on any more, or that no worker took."""
    for run in runs.close_lost_runs():
        log.warning("Run %s (%s) was lost: %s", run.pk, run.connection_name, run.error_message)


@shared_task(name="syncmetrics.tidy_job_log")
def tidy_job_log() -> dict[str, int]:
    """Mark jobs as lost whose worker died or that no worker took, and delete old ones; how many."""
    return {"lost": jobs.close_lost_jobs(), "deleted": jobs.delete_old_jobs(settings.JOB_LOG_DAYS)}


@shared_task(name="syncmetrics.delete_old_runs")
def delete_old_runs() -> dict[str, int]:
    """Delete the runs that ended RUN_DAYS ago; how many."""
    return {"deleted": retention.delete_old_runs(settings.RUN_DAYS)}


@shared_task(name="syncmetrics.watch_incidents")
def watch_incidents() -> dict[str, int]:
    """Open and close incidents, and send the alerts that wait; how many were sent."""
    incidents.watch()
    return {"sent": alerts.send_waiting()}


@shared_task(name="syncmetrics.send_report")
def send_report(report: str) -> dict[str, int]:
    """Send the weekly or the monthly report of the period that ended last to who has not got it yet."""
    return {"sent": reports.send_report(report)}


@shared_task(name="syncmetrics.send_reports_again")
def send_reports_again() -> dict[str, int]:
    """Send the reports that a mail server did not take, and delete old records of incidents and reports."""
    sent = reports.send_again()
    return {"sent": sent, "deleted": incidents.delete_old_incidents() + reports.delete_old_sendings()}
