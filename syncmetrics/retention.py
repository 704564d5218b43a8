"""How long rows are kept: each table that grows declares it once, and one command and one schedule delete.

An app lists its tables, mostly as `Retention`s, and names that list in the setting RETENTIONS. Days are cut
off whole, at midnight UTC, so that a day's rows are all there or all gone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction
from django.db.models import Min, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from syncmetrics.jobs.life import OPEN
from syncmetrics.models import Incident, JobRun, ReportSending, SyncCount, SyncRejection, SyncRun, SyncStep

log = logging.getLogger(__name__)


class Kept(Protocol):
    """Something that is kept for some days: `name` is what the command calls it, `what` describes it."""

    @property
    def name(self) -> str:
        """What the command calls it."""

    @property
    def what(self) -> str:
        """What it is."""

    @property
    def days(self) -> int | None:
        """How many days it is kept, as the installation has it; None where that differs within it."""

    def count_old(self, days: int | None = None) -> int:
        """Return how much is older than so many days, or than it is kept. ValueError for less than one."""

    def delete_old(self, days: int | None = None) -> int:
        """Delete that much, batch by batch, and return how much it was. Raises as `count_old`."""


@dataclass(frozen=True, slots=True)
class Retention:
    """The rows of a table, all of which are kept for the days of a setting.

    `name` is what the command calls it, `what` describes it, `setting` names the setting that holds the days.
    `old` returns the rows that may go because they are from before a moment, those that go first first.
    `delete` deletes the rows of some primary keys, at most `batch` of them, or raises. It is called in a
    transaction, so files go when that is committed (`transaction.on_commit`). Without it, the rows are
    deleted as Django deletes rows.
    """

    name: str
    what: str
    setting: str
    old: Callable[[datetime], QuerySet[Any]]
    delete: Callable[[Sequence[Any]], None] | None = None
    batch: int = 1000

    @property
    def days(self) -> int:
        """How many days its rows are kept, as the installation has it."""
        return int(getattr(settings, self.setting))

    def count_old(self, days: int | None = None) -> int:
        """Return how many rows are older than so many days. Raises ValueError for less than one."""
        return self.old(cut(self.days if days is None else days)).order_by().count()

    def delete_old(self, days: int | None = None) -> int:
        """Delete the rows older than so many days, batch by batch; how many. Raises as `count_old`."""
        before, deleted = cut(self.days if days is None else days), 0
        while keys := list(self.old(before).values_list("pk", flat=True)[: self.batch]):
            with transaction.atomic():
                if self.delete:
                    self.delete(keys)
                else:
                    self.old(before).model._default_manager.filter(pk__in=keys).delete()
            deleted += len(keys)
        return deleted


def declared() -> Iterator[Kept]:
    """Yield what every app has declared."""
    for path in settings.RETENTIONS:
        yield from import_string(path)


def cut(days: int) -> datetime:
    """Return the midnight (UTC) before which rows are older than so many days.

    Raises ValueError for less than a day. More days than there are dates mean for ever.
    """
    if days < 1:
        raise ValueError(f"Nothing can be kept for {days} days: give a whole number, at least 1.")
    try:
        first = timezone.now().astimezone(UTC).date() - timedelta(days=days)
    except OverflowError:
        first = date.min
    return datetime.combine(first, time.min, UTC)


def delete_all_old() -> dict[str, int]:
    """Delete what is old of everything declared; how many rows by name.

    What cannot be deleted keeps nothing else from going; the first error is raised in the end.
    """
    deleted: dict[str, int] = {}
    errors: list[Exception] = []
    for retention in declared():
        try:
            deleted[retention.name] = retention.delete_old()
        except Exception as error:  # whatever an app's own way to delete may raise
            log.warning("Old %s could not be deleted: %s", retention.name, type(error).__name__)
            errors.append(error)
    if errors:
        raise errors[0]
    return deleted


# --- what this app declares -----------------------------------------------------------------------

PARTS = (SyncStep, SyncCount, SyncRejection)


def _runs(before: datetime) -> QuerySet[SyncRun]:
    """Return the runs that began before a moment, none of a day on which one that goes on began.

    So what is left begins with a whole day: `verify_metrics` relies on it.
    """
    open_runs = SyncRun.objects.filter(sync_end_time=None)
    began: datetime | None = open_runs.aggregate(first=Min("sync_start_time"))["first"]
    if began is not None:
        before = min(before, datetime.combine(began.astimezone(UTC).date(), time.min, UTC))
    return SyncRun.objects.filter(sync_start_time__lt=before).order_by("sync_start_time", "pk")


def _delete_runs(keys: Sequence[int]) -> None:
    for part in PARTS:  # first, and each in one statement: Django would fetch them all to delete them
        part._default_manager.filter(run_id__in=keys).delete()
    SyncRun.objects.filter(pk__in=keys).delete()


def _jobs(before: datetime) -> QuerySet[JobRun]:
    return JobRun.objects.filter(logged_at__lt=before).exclude(state__in=OPEN).order_by("pk")


def _incidents(before: datetime) -> QuerySet[Incident]:
    return Incident.objects.filter(ended_at__lt=before).order_by("pk")


def _reports(before: datetime) -> QuerySet[ReportSending]:
    return ReportSending.objects.filter(period_start__lt=before.date()).order_by("pk")


RETENTIONS = (
    # A run of a large site has thousands of steps, and others write meanwhile.
    Retention(
        "runs", "syncs with their counts, steps and reasons", "RUN_DAYS", _runs, _delete_runs, batch=100
    ),
    Retention("jobs", "background jobs that have ended", "JOB_LOG_DAYS", _jobs),
    Retention("incidents", "incidents that are over, with what was sent", "INCIDENT_DAYS", _incidents),
    Retention("reports", "which reports were sent to whom", "INCIDENT_DAYS", _reports),
)
