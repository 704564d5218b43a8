"""Large exports as background work, and the end of their files."""

from __future__ import annotations

from functools import partial

from celery import shared_task
from django.db import transaction
from kombu.exceptions import OperationalError

from canvas import exports
from canvas.models import Export
from canvas.tasks import QueueUnreachable


def enqueue_export(export: Export) -> None:
    """Hand an export to the workers when the transaction commits.

    Raises QueueUnreachable, after which the export has failed and says so.
    """
    transaction.on_commit(partial(_send, export))


def _send(export: Export) -> None:
    try:
        export_rows.delay(export.pk)
    except (OperationalError, OSError):
        unreachable = QueueUnreachable()
        exports.fail(export, str(unreachable))
        raise unreachable from None


@shared_task(name="canvas.export_rows")
def export_rows(export_id: int) -> None:
    """Write a large export to its file; a message that comes again finds it claimed and leaves."""
    exports.perform(export_id)


@shared_task(name="canvas.delete_expired_exports")
def delete_expired_exports() -> None:
    """Delete exported files whose time is over."""
    exports.delete_expired()
