"""Who follows a source: one process at a time; when it dies, the next one takes over at once."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from logmonitor.models import LogSource
from syncmetrics.process import ThisProcess, host_name, is_gone

LEASE = timedelta(seconds=30)
"""A lease that is not renewed for so long is free, wherever its holder was."""


def take(source: int, me: ThisProcess) -> bool:
    """Take or renew the lease of a source; False while a process that is still there has it."""
    with transaction.atomic():
        row = LogSource.objects.select_for_update().filter(pk=source).first()
        if row is None or not (_is_mine(row, me) or _is_free(row)):
            return False
        LogSource.objects.filter(pk=source).update(
            lease_host=me.host,
            lease_pid=me.pid,
            lease_process=me.started,
            lease_until=timezone.now() + LEASE,
        )
    return True


def give_back(source: int, me: ThisProcess) -> None:
    """End the lease, if it is this process's."""
    mine = LogSource.objects.filter(pk=source, lease_host=me.host, lease_pid=me.pid, lease_process=me.started)
    mine.update(lease_until=None)


def holder(source: LogSource) -> str:
    """Return who follows a source, in words; empty when nobody does."""
    if _is_free(source):
        return ""
    return f"process {source.lease_pid} on {host_name(source.lease_host)}"


def _is_mine(row: LogSource, me: ThisProcess) -> bool:
    return (row.lease_host, row.lease_pid, row.lease_process) == (me.host, me.pid, me.started)


def _is_free(row: LogSource) -> bool:
    if row.lease_until is None or row.lease_until < timezone.now():
        return True
    return bool(is_gone(row.lease_host, row.lease_pid, row.lease_process))
