"""How long runs are kept: the row of a run with its counts, steps and reasons. The figures of days stay."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from syncmetrics.models import SyncCount, SyncRejection, SyncRun, SyncStep

RUNS_PER_BATCH = 100
"""A run of a large site has thousands of steps, and others write meanwhile."""

PARTS = (SyncStep, SyncCount, SyncRejection)


def old_runs(days: int) -> QuerySet[SyncRun]:
    """Return the runs that ended so many days ago; one that has not ended is never among them.

    Raises ValueError for less than a day.
    """
    if days < 1:
        raise ValueError(f"Runs cannot be kept for {days} days: give a whole number, at least 1.")
    try:
        before = timezone.now() - timedelta(days=days)
    except OverflowError:  # longer than there are dates: for ever
        return SyncRun.objects.none()
    return SyncRun.objects.filter(sync_end_time__lt=before)


def delete_old_runs(days: int) -> int:
    """Delete the runs that ended so many days ago, batch by batch, and return how many."""
    deleted = 0
    while keys := list(old_runs(days).order_by("pk").values_list("pk", flat=True)[:RUNS_PER_BATCH]):
        with transaction.atomic():
            for part in PARTS:  # first, and each in one statement: Django would fetch them all to delete them
                part._default_manager.filter(run_id__in=keys).delete()
            SyncRun.objects.filter(pk__in=keys).delete()
        deleted += len(keys)
    return deleted
