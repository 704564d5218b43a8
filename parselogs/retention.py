"""How long files and logs are kept, and how they go: the row says so first, storage follows until it does."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, OuterRef, QuerySet, Subquery
from django.utils import timezone

from parselogs.errors import describe
from parselogs.models import DataFile, DiscardedObject, ParseFileMeta
from parselogs.models.runs import ACTIVE
from parselogs.names import findings_name, live_copy_name, log_name
from parselogs.spool import Spool
from parselogs.storage import uploads

LogState = ParseFileMeta.LogState
BATCH = 500

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Purged:
    """What was deleted, or would be."""

    deleted_files: int = 0
    expired_logs: int = 0
    removed_objects: int = 0


def purge(*, dry_run: bool = False) -> Purged:
    """Delete files and logs whose time is over, and what storage still holds of deleted ones."""
    files, logs = old_files(), expired_logs()
    if dry_run:
        return Purged(files.count(), logs.count(), _discarded().count())
    done = Purged()
    for data_file in files.iterator():
        delete_file(data_file)
        done.deleted_files += 1
    for run in logs.select_related("data_file").iterator():
        done.expired_logs += _expire(run)
    done.removed_objects = remove_discarded()
    return done


def old_files() -> QuerySet[DataFile]:
    """Return the files without a run since UPLOAD_DAYS; none where files are kept."""
    if not settings.UPLOAD_DAYS:
        return DataFile.objects.none()
    before = timezone.now() - timedelta(days=settings.UPLOAD_DAYS)
    quiet = DataFile.objects.filter(uploaded_at__lt=before)
    return quiet.exclude(runs__queued_at__gte=before).exclude(runs__state__in=ACTIVE)


def expired_logs() -> QuerySet[ParseFileMeta]:
    """Return the runs whose stored log may go; the last run of each file keeps its own."""
    others = ParseFileMeta.objects.filter(data_file=OuterRef("data_file")).order_by()
    last = Subquery(others.values("data_file").annotate(last=Max("attempt")).values("last"))
    stored = ParseFileMeta.objects.filter(log_state=LogState.UPLOADED, expires_at__lte=timezone.now())
    return stored.annotate(last_attempt=last).filter(attempt__lt=F("last_attempt"))


def _expire(run: ParseFileMeta) -> int:
    """Take a run's log from it; its row stays."""
    with transaction.atomic():
        expired = ParseFileMeta.objects.filter(pk=run.pk, log_state=LogState.UPLOADED).update(
            log_state=LogState.EXPIRED, log_file="", findings_file=""
        )
        if expired:
            _discard([str(run.log_file), str(run.findings_file)])
    return expired


def delete_file(data_file: DataFile) -> None:
    """Delete an uploaded file with its runs; its objects in storage go as soon as storage lets them.

    In the caller's transaction if there is one: nothing is removed from storage before that commits.
    """
    runs = list(data_file.runs.select_related("data_file"))
    with transaction.atomic():
        names = [str(data_file.file)]
        for run in runs:
            names += [str(run.log_file), str(run.findings_file), log_name(run), findings_name(run)]
            names += [live_copy_name(run)]
        data_file.delete()
        _discard(names)
    transaction.on_commit(lambda: _forget(runs), robust=True)


def _forget(runs: Iterable[ParseFileMeta]) -> None:
    """Remove what this host's spool has of deleted runs, and what storage has."""
    for run in runs:
        spool = Spool(run.uuid)
        with spool.locked() as ours:
            if ours:
                spool.delete()
    remove_discarded()


def _discard(names: Iterable[str]) -> None:
    objects = [DiscardedObject(name=name) for name in dict.fromkeys(filter(None, names))]
    DiscardedObject.objects.bulk_create(objects, ignore_conflicts=True)


def _discarded() -> QuerySet[DiscardedObject]:
    return DiscardedObject.objects.filter(due_at__lte=timezone.now())


def remove_discarded() -> int:
    """Remove from storage what is due, and return how much; what storage does not let go stays on record."""
    removed = 0
    for discarded in _discarded()[:BATCH]:
        try:
            uploads().delete(discarded.name)
        except Exception as error:  # boto3, urllib3 and file systems have no root in common
            log.warning("Objects in storage could not be removed (%s): tried again later.", describe(error))
            break
        discarded.delete()
        removed += 1
    return removed
