"""The clean-up of the logs, and the care for the figures of transfers, as background work."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from celery import shared_task
from django.conf import settings

from logmonitor import cleanup
from logmonitor.transfers import verify
from logmonitor.transfers.watch import Watch, enabled, only

DRAIN_SECONDS = 50.0
"""Less than its schedule's period: the next one goes on where it stopped."""


@shared_task(name="logmonitor.clean_logs")
def clean_logs(
    max_log_lines: int = 10_000, archive_age_days: int = 7, delete_age_days: int = 30
) -> dict[str, int]:
    """Clean up the logs of the worker's host; what was done."""
    limits = cleanup.Limits(max_log_lines, archive_age_days, delete_age_days)
    return asdict(cleanup.clean_logs(settings.CANVAS_SYNC_LOG_DIR, limits))


@shared_task(name="logmonitor.drain_transfers")
def drain_transfers(source_id: int | None = None) -> dict[str, Any]:
    """Read what transfer logs hold, of one or of all that are enabled; what was done.

    A source that another process follows is left to it.
    """
    return Watch(enabled if source_id is None else only(source_id)).drain(DRAIN_SECONDS).as_json()


@shared_task(name="logmonitor.verify_transfers")
def verify_transfers() -> dict[str, int]:
    """Compare the figures of transfers with their lines; raises FiguresDiffer where they are not the same."""
    found = verify.compare()
    if found.differences:
        raise verify.FiguresDiffer(
            f"{len(found.differences):,} figures of transfers are not what their lines come to, the first of"
            f" {found.differences[0].row}: see `manage.py verify_transfers`, and mend them with --rebuild."
        )
    return {"days": found.days, "months": found.months}
