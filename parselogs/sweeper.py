"""What repairs after kills and outages: runs of dead processes, logs not yet stored, runs not yet sent."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from parselogs.logs import store
from parselogs.models import ParseFileMeta
from parselogs.runs import OPEN_LOGS, State, close_lost, parse_again, send_again
from parselogs.spool import Spool, spools, tidy
from syncmetrics.process import host_identity

LogState = ParseFileMeta.LogState
SPOOL_PATIENCE = timedelta(days=30)
"""A log that no host has stored for so long is lost with its host's disk."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Swept:
    """What a sweep did."""

    lost: int = 0
    stored: int = 0
    not_stored: int = 0
    put_aside: int = 0
    parsed_again: int = 0
    sent: int = 0


def sweep(*, send: bool = True) -> Swept:
    """Repair what can be repaired from this host; safe at any time, on every host, and beside itself.

    `send`: also send runs again that no worker was told of, and parse files again that storage did not give.
    """
    done = Swept(lost=len(close_lost()))
    _begin_missing_logs()
    sweep_spools(done)
    _give_up_lost_logs()
    tidy()
    if send:
        done.parsed_again = len(parse_again())
        done.sent = len(send_again())
    return done


def _begin_missing_logs() -> None:
    """Make the spool of runs of this host that were killed before they did: their logs say at least that."""
    here = ParseFileMeta.objects.filter(worker_host=host_identity())
    for run in here.filter(state=State.LOST, log_state=LogState.PENDING_UPLOAD):
        spool = Spool(run.uuid)
        if not spool.exists():
            with suppress(FileExistsError):  # another sweep was quicker
                os.close(spool.create())


def sweep_spools(done: Swept) -> None:
    """Store what lies in this host's spool, until the storage fails: others would wait for it one by one."""
    for spool in spools():
        with spool.locked() as ours:
            if ours and not _swept(spool, done):
                return


def _swept(spool: Spool, done: Swept) -> bool:
    """Deal with a spool that nobody else holds; False where the storage did not take it."""
    run = ParseFileMeta.objects.select_related("data_file").filter(uuid=spool.run).first()
    if run is None:
        folder = spool.quarantine()
        done.put_aside += 1
        log.warning("The log of run %s, which is in no table, was put into %s.", spool.run, folder.name)
        return True
    if run.state == State.RUNNING:  # nobody holds its spool: its process is gone
        done.lost += len(close_lost(run))
        run.refresh_from_db()
    if run.log_state == LogState.UPLOADED:
        spool.delete()  # killed between the last two steps
        return True
    if run.upload_due_at and run.upload_due_at > timezone.now():
        return True
    stored = store(run)
    done.stored += stored
    done.not_stored += not stored
    return stored


def _give_up_lost_logs() -> None:
    """Say of logs that are nowhere that they are lost."""
    late = ParseFileMeta.objects.filter(
        log_state__in=OPEN_LOGS, finished_at__lt=timezone.now() - SPOOL_PATIENCE
    )
    for run in late:
        if not Spool(run.uuid).exists():
            said = "No host has stored it for 30 days: its spool is gone."
            ParseFileMeta.objects.filter(pk=run.pk, log_state=run.log_state).update(
                log_state=LogState.LOST, upload_error=said, upload_due_at=None
            )
