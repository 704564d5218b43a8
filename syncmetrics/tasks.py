"""The upkeep of runs as background work."""

from __future__ import annotations

import logging

from celery import shared_task

from syncmetrics import runs

log = logging.getLogger(__name__)


@shared_task(name="syncmetrics.close_lost_runs")
def close_lost_runs() -> None:
    """Mark runs as lost that nobody works on any more, or that no worker took."""
    for run in runs.close_lost_runs():
        log.warning("Run %s (%s) was lost: %s", run.pk, run.connection_name, run.error_message)
