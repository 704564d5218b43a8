"""Parse runs and their upkeep as background work."""

from __future__ import annotations

import logging
import threading
from dataclasses import asdict
from typing import Any

from celery import current_task, shared_task
from celery.signals import worker_ready
from django.db import connection

from parselogs import mails, parsing, retention, runs, sweeper

log = logging.getLogger(__name__)


@shared_task(name=runs.TASK)
def parse_file(run: str) -> dict[str, str]:
    """Do a queued run, by its uuid; a message that comes twice finds it claimed, and leaves."""
    done = parsing.perform(run, task_id=current_task.request.id or "")
    sweeper.sweep_spools(sweeper.Swept())  # logs wait on this host; a scheduled sweep may be elsewhere
    mails.tell_uploaders()
    return {"state": done.state if done else "not queued"}


@shared_task(name="parselogs.sweep_runs")
def sweep_runs() -> dict[str, int]:
    """Find lost runs, store the logs that wait on this host, send runs again; how many of each."""
    done = sweeper.sweep()
    mails.tell_uploaders()  # of runs that were lost, and what no mail server took before
    return asdict(done)


@shared_task(name="parselogs.purge_uploads")
def purge_uploads() -> dict[str, int]:
    """Delete files and logs whose time is over; how many."""
    return asdict(retention.purge())


@worker_ready.connect(weak=False)
def _sweep_this_host(**_: Any) -> None:
    """Store what a killed worker of this host left: a scheduled sweep may run on another one."""
    threading.Thread(target=_sweep_once, name="sweep-parse-runs", daemon=True).start()


def _sweep_once() -> None:
    try:
        sweeper.sweep()
    except Exception as error:  # a worker starts whether or not the database is there
        log.warning("The sweep of parse runs failed (%s); the next one tries again.", type(error).__name__)
    finally:
        connection.close()
