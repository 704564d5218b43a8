"""The upkeep of runs as background work."""

from __future__ import annotations

import logging

from celery import shared_task

from syncmetrics import retention, runs
from syncmetrics.alerts import deliveries, incidents
from syncmetrics.jobs import life
from syncmetrics.reports import sending

log = logging.getLogger(__name__)


@shared_task(name="syncmetrics.close_lost_runs")
def close_lost_runs() -> None:
    """Mark runs as lost that nobody works on any more, or that no worker took."""
    for run in runs.close_lost_runs():
        log.warning("Run %s (%s) was lost: %s", run.pk, run.connection_name, run.error_message)


@shared_task(name="syncmetrics.tidy_job_log")
def tidy_job_log() -> dict[str, int]:
    """Mark jobs as lost whose worker died or that no worker took; how many."""
    return {"lost": life.close_lost_jobs()}


@shared_task(name="syncmetrics.prune_records")
def prune_records() -> dict[str, int]:
    """Delete what every app keeps no longer; how many rows of what."""
    return retention.delete_all_old()


@shared_task(name="syncmetrics.watch_incidents")
def watch_incidents() -> dict[str, int]:
    """Open and close incidents, and send the alerts that wait; how many were sent."""
    incidents.watch()
    return {"sent": deliveries.send_waiting()}


@shared_task(name="syncmetrics.send_report")
def send_report(report: str) -> dict[str, int]:
    """Send the weekly or the monthly report of the period that ended last to who has not got it yet."""
    return {"sent": sending.send_report(report)}


@shared_task(name="syncmetrics.send_reports_again")
def send_reports_again() -> dict[str, int]:
    """Send the reports that a mail server did not take; how many were sent."""
    return {"sent": sending.send_again()}
