"""The clean-up of the logs as background work."""

from __future__ import annotations

from dataclasses import asdict

from celery import shared_task
from django.conf import settings

from logmonitor import cleanup


@shared_task(name="logmonitor.clean_logs")
def clean_logs(
    max_log_lines: int = 10_000, archive_age_days: int = 7, delete_age_days: int = 30
) -> dict[str, int]:
    """Clean up the logs of the worker's host; what was done."""
    limits = cleanup.Limits(max_log_lines, archive_age_days, delete_age_days)
    return asdict(cleanup.clean_logs(settings.CANVAS_SYNC_LOG_DIR, limits))
