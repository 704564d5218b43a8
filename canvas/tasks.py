"""Syncs as background work: queued by the console and by schedules, done by workers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

from billiard.exceptions import SoftTimeLimitExceeded
from celery import current_app, shared_task
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from canvas.models import Connection
from canvas.sync import RESUME_WITHIN, SyncOptions, UsageError, perform, plan
from syncmetrics.jobs import RUN_HEADER, does_run
from syncmetrics.models import SyncRun
from syncmetrics.runs import (
    RunActive,
    begin_run,
    chain_of,
    claim_run,
    close_lost_runs,
    queue_run,
    withdraw_run,
)
from syncmetrics.tracker import SyncTracker

TAKEOVERS = 3
"""How often a sync is taken up by itself after its worker was lost; a person may go on resuming it."""

BY_WORKERS = (SyncRun.Trigger.CONSOLE, SyncRun.Trigger.SCHEDULE)

log = logging.getLogger(__name__)


class QueueUnreachable(Exception):
    """No broker answers, so nothing can be handed to the workers."""

    def __init__(self) -> None:
        super().__init__(
            "Redis does not answer, so nothing was started: background work needs `make run`, or a Redis"
            " that REDIS_URL names."
        )


def enqueue_sync(
    connection: Connection,
    options: SyncOptions | None = None,
    *,
    resume: SyncRun | None = None,
    trigger: str,
    user_id: int | None = None,
) -> SyncRun:
    """Queue a sync for the workers and return its run, which is sent when the transaction commits.

    Raises UsageError and RunActive as `sync` does, and QueueUnreachable, after which no row stays. Inside
    a transaction a queue that goes away at the last moment raises at the commit.
    """
    options = options or SyncOptions()
    if options.concurrency is not None:
        raise UsageError("A queued sync has the concurrency of its worker: set CANVAS_CONCURRENCY there.")
    run = plan(connection, options, resume=resume, trigger=trigger, user_id=user_id)
    _check_queue()
    queue_run(run)
    transaction.on_commit(partial(_send, run))
    return run


def _check_queue() -> None:
    """Raise QueueUnreachable unless the broker answers within a moment."""
    with current_app.connection_for_write() as broker:
        try:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=3)
        except (OperationalError, OSError):
            raise QueueUnreachable from None


def _send(run: SyncRun) -> None:
    try:
        sync_instance.apply_async((run.pk,), headers={RUN_HEADER: str(run.pk)})
    except (OperationalError, OSError):
        withdraw_run(run)
        raise QueueUnreachable from None


@shared_task(name="canvas.sync_instance")
def sync_instance(run_id: int) -> None:
    """Do a queued run. A message that comes again finds it at work and leaves, or lost and takes it up."""
    run = SyncRun.objects.filter(pk=run_id).first()
    if run and not claim_run(run):
        run = _take_over(run)
    if run:
        _perform(run)


@shared_task(name="canvas.sync_connection")
def sync_connection(connection_id: int, mode: str | None = None) -> None:
    """Queue a sync of a connection, as schedules do; leaves where one is at work or the token is dead."""
    connection = _connection(connection_id)
    if connection is None:
        log.error("There is no connection %s any more: delete its schedule.", connection_id)
    elif connection.state == Connection.State.REJECTED:
        log.warning(
            "Connection %s was not synced: Canvas rejects its token. Connect it again with a new one.",
            connection.name,
        )
    else:
        _enqueue_or_leave(connection, SyncOptions(mode=mode), trigger=SyncRun.Trigger.SCHEDULE)


@shared_task(name="canvas.resume_lost_runs")
def resume_lost_runs() -> None:
    """Queue again what workers left unfinished when they were lost."""
    close_lost_runs()
    for run in _lost_by_workers():
        if connection := _connection(run.connection_key):
            _enqueue_or_leave(connection, SyncOptions(), resume=run, trigger=run.trigger, user_id=run.user_id)


def _lost_by_workers() -> Iterator[SyncRun]:
    """Yield runs that are the last of their instance and genre, and that may be taken up."""
    recent = SyncRun.objects.filter(
        sync_status=SyncRun.Status.LOST, sync_start_time__gt=timezone.now() - RESUME_WITHIN
    )
    return (run for run in recent.order_by("pk") if _may_be_taken_up(run) and _latest_of(run) == run)


def _enqueue_or_leave(connection: Connection, options: SyncOptions, **start: object) -> None:
    try:
        enqueue_sync(connection, options, **start)  # type: ignore[arg-type]  # handed on as they came
    except RunActive as error:
        log.info("Connection %s was not synced: %s", connection.name, error)


def _take_over(run: SyncRun) -> SyncRun | None:
    """Return a run that goes on where a lost one stopped; None where there is nothing to take up."""
    close_lost_runs(instance_key=run.instance_key, genre=run.genre)
    latest = _latest_of(run)
    connection = _connection(latest.connection_key)
    if run not in chain_of(latest) or not _may_be_taken_up(latest) or connection is None:
        return None
    taken = plan(connection, SyncOptions(), resume=latest, trigger=latest.trigger, user_id=latest.user_id)
    taken.queued_at = taken.sync_start_time
    try:
        return begin_run(taken)
    except RunActive:
        return None  # another worker was quicker


def _perform(run: SyncRun) -> None:
    does_run(run.pk)
    connection = _connection(run.connection_key)
    if connection is None:
        SyncTracker(run).complete_failure("The connection was deleted.")
        return
    try:
        perform(run, connection)
    except SoftTimeLimitExceeded:
        hours = settings.TASK_LIMIT_SECONDS / 3600
        said = f"Stopped after {hours:g} h, the most a task may take (TASK_LIMIT_SECONDS): resume it."
        SyncRun.objects.filter(pk=run.pk).update(error_message=said)
        log.warning("Run %s (%s): %s", run.pk, run.connection_name, said)


def _connection(key: int | None) -> Connection | None:
    return Connection.objects.select_related("instance").filter(pk=key or 0).first()


def _latest_of(run: SyncRun) -> SyncRun:
    return SyncRun.objects.filter(instance_key=run.instance_key, genre=run.genre).latest("pk")


def _may_be_taken_up(run: SyncRun) -> bool:
    """Tell whether workers lost a run a short while ago, and not again and again."""
    lost = [one for one in chain_of(run) if one.sync_status == SyncRun.Status.LOST]
    recent = timezone.now() - run.sync_start_time < RESUME_WITHIN
    return (
        run.sync_status == SyncRun.Status.LOST
        and run.trigger in BY_WORKERS
        and recent
        and len(lost) <= TAKEOVERS
    )
