"""The life of a run: queued or started once per instance and genre, kept alive, ended, found lost.

Every change is a conditional UPDATE: a queued run is claimed by whoever finds it still queued, and a run
in progress changes only under its claim. A process whose run was ended by another one therefore learns
it from the next `beat`, flush or `finish_run`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from easel.redaction import clean, redact
from syncmetrics.daily import add_run
from syncmetrics.events import RunLog, write_end, write_error, write_start
from syncmetrics.models import SyncRun, SyncStep
from syncmetrics.process import ThisProcess, host_name, is_gone

MESSAGE_CHARACTERS = 1000
ACTIVE = (SyncRun.Status.QUEUED, SyncRun.Status.IN_PROGRESS)
RESUMABLE = frozenset(
    {SyncRun.Status.LOST, SyncRun.Status.CANCELLED, SyncRun.Status.FAILED, SyncRun.Status.PARTIAL}
)


class RunActive(Exception):
    """Another run of this instance and genre is queued or in progress; `run` is that one."""

    def __init__(self, run: SyncRun) -> None:
        self.run = run
        super().__init__(self._queued() if run.sync_status == SyncRun.Status.QUEUED else self._at_work())

    def _queued(self) -> str:
        run = self.run
        return (
            f"Run {run.pk} ({run.connection_name or run.sync_type}) is queued already, since "
            f"{run.sync_start_time:%Y-%m-%d %H:%M:%S} UTC, and waits for a worker. Wait for it, or cancel it."
        )

    def _at_work(self) -> str:
        run = self.run
        age = (timezone.now() - run.heartbeat_at).total_seconds()
        return (
            f"Run {run.pk} ({run.connection_name or run.sync_type}) is already at work: started "
            f"{run.sync_start_time:%Y-%m-%d %H:%M:%S} UTC by {_worker(run)}, last sign of life "
            f"{max(age, 0):.0f} s ago. Wait for it, or stop it with Ctrl-C where it runs; if it is dead, the "
            f"next sync takes over {settings.SYNC_LEASE_SECONDS} s after its last sign of life."
        )


class TaskIdTaken(Exception):
    """A run with this `sync_task_id` exists already; `run` is that one."""

    def __init__(self, run: SyncRun) -> None:
        self.run = run
        super().__init__(
            f"Task id {run.sync_task_id} belongs to run {run.pk} ({run.sync_status}) already: every attempt "
            "is a run of its own and needs an id of its own."
        )


class RunTaken(Exception):
    """This process no longer holds the run: it was ended elsewhere. Stop and write nothing more."""

    def __init__(self, run: SyncRun) -> None:
        self.run = run
        super().__init__(
            f"Run {run.pk} is no longer ours: it ended, or was marked lost for want of a sign of life. "
            "Nothing more is written; start the sync again to go on."
        )


class CancelRequested(Exception):
    """Somebody asked for the run to stop; it ends as cancelled and can be resumed."""

    def __init__(self, run: SyncRun) -> None:
        self.run = run
        super().__init__(f"Run {run.pk} was asked to stop.")


def start_run(
    *,
    sync_type: str,
    genre: str,
    mode: str,
    trigger: str,
    instance_key: int | None,
    connection_key: int | None,
    connection_name: str,
    user_id: int | None = None,
    options: dict[str, Any] | None = None,
    dry_run: bool = False,
    resumed_from: SyncRun | None = None,
    sync_task_id: str | None = None,
) -> SyncRun:
    """Write the row of a new run of this process in a transaction of its own, and return it.

    Runs of the same instance and genre whose process died are marked lost first. Raises `RunActive`
    when one is alive and `TaskIdTaken` when the given task id was used before.
    """
    run = new_run(
        sync_type=sync_type,
        genre=genre,
        mode=mode,
        trigger=trigger,
        instance_key=instance_key,
        connection_key=connection_key,
        connection_name=connection_name,
        user_id=user_id,
        options=options or {},
        dry_run=dry_run,
        resumed_from=resumed_from,
        sync_task_id=sync_task_id,
    )
    return begin_run(run)


def new_run(*, sync_task_id: str | None = None, **fields: Any) -> SyncRun:
    """Return a run that is in no table yet, for `begin_run` or `queue_run`."""
    now = timezone.now()
    run = SyncRun(sync_start_time=now, heartbeat_at=now, **fields)
    run.sync_task_id = sync_task_id or run.sync_task_id
    return run


def begin_run(run: SyncRun) -> SyncRun:
    """Write a new run as in progress in this process, in a transaction of its own; raises as `start_run`."""
    for name, value in _of_this_process().items():
        setattr(run, name, value)
    _insert(run, durable=True)
    write_start(run)
    return run


def queue_run(run: SyncRun) -> SyncRun:
    """Write a new run as waiting for a worker, in the caller's transaction if there is one.

    Counts as active from now on: raises `RunActive` and `TaskIdTaken` as `start_run` does.
    """
    run.sync_status = SyncRun.Status.QUEUED
    run.queued_at = run.sync_start_time
    _insert(run, durable=False)
    return run


def claim_run(run: SyncRun) -> bool:
    """Make a queued run this process's own and reload it; False when it is queued no more."""
    now = timezone.now()
    claimed = SyncRun.objects.filter(pk=run.pk, sync_status=SyncRun.Status.QUEUED).update(
        sync_status=SyncRun.Status.IN_PROGRESS, sync_start_time=now, heartbeat_at=now, **_of_this_process()
    )
    run.refresh_from_db()
    if claimed:
        write_start(run)
    return bool(claimed)


def withdraw_run(run: SyncRun) -> None:
    """Remove a queued run that could not be handed to the workers; one that was taken stays."""
    SyncRun.objects.filter(pk=run.pk, sync_status=SyncRun.Status.QUEUED).delete()


def _of_this_process() -> dict[str, Any]:
    process = ThisProcess()
    return {"host": process.host, "pid": process.pid, "process_started": process.started}


def _insert(run: SyncRun, *, durable: bool) -> None:
    close_lost_runs(instance_key=run.instance_key, genre=run.genre)
    try:
        with transaction.atomic(durable=durable):
            run.save(force_insert=True)
    except IntegrityError:
        if namesake := SyncRun.objects.filter(sync_task_id=run.sync_task_id).first():
            raise TaskIdTaken(namesake) from None
        if active := _rivals(run).first():
            raise RunActive(active) from None
        raise


def _rivals(run: SyncRun) -> QuerySet[SyncRun]:
    # An instance of None is no instance: such runs never stand in each other's way.
    return active_runs(genre=run.genre).filter(instance_key=run.instance_key)


def active_runs(*, instance_key: int | None = None, genre: str | None = None) -> QuerySet[SyncRun]:
    """Return the runs queued or in progress, of one instance and one genre where given."""
    runs = SyncRun.objects.filter(sync_status__in=ACTIVE)
    if instance_key is not None:
        runs = runs.filter(instance_key=instance_key)
    return runs if genre is None else runs.filter(genre=genre)


def close_lost_runs(*, instance_key: int | None = None, genre: str | None = None) -> list[SyncRun]:
    """Mark runs as lost and return them: process gone from this host, lease ended, taken by no worker."""
    now = timezone.now()
    return [
        run
        for run in active_runs(instance_key=instance_key, genre=genre)
        if (cause := _cause_of_loss(run, now)) and _close(run, *cause)
    ]


def _cause_of_loss(run: SyncRun, now: datetime) -> tuple[str, str] | None:
    """Error class and message of a run that nobody works on any more, else None."""
    if run.sync_status == SyncRun.Status.QUEUED:
        return _cause_of_waiting(run, now)
    if is_gone(run.host, run.pid, run.process_started):
        return (
            "ProcessGone",
            f"The {_worker(run)} ended without finishing this sync; start it again to go on.",
        )
    lease = settings.SYNC_LEASE_SECONDS
    if now - run.heartbeat_at > timedelta(seconds=lease):
        return "LeaseEnded", (
            f"No sign of life from {_worker(run)} for more than {lease} s; start the sync again to go on."
        )
    return None


def _cause_of_waiting(run: SyncRun, now: datetime) -> tuple[str, str] | None:
    """Error class and message of a run that waits too long for a worker, else None."""
    patience = settings.SYNC_QUEUE_SECONDS
    if now - run.heartbeat_at <= timedelta(seconds=patience) or _workers_are_busy(now):
        return None
    return "NotTaken", (
        f"No worker took this sync within {patience} s: see that a worker runs (make run, make worker) and "
        "that its REDIS_URL is the console's, then start the sync again."
    )


def _workers_are_busy(now: datetime) -> bool:
    # A queue behind long syncs is no fault: it moves when one of them ends.
    alive = now - timedelta(seconds=settings.SYNC_LEASE_SECONDS)
    at_work = SyncRun.objects.filter(sync_status=SyncRun.Status.IN_PROGRESS, heartbeat_at__gt=alive)
    return at_work.exclude(queued_at=None).exists()


def _worker(run: SyncRun) -> str:
    return f"process {run.pid} on {host_name(run.host) or 'an unknown host'}"


def _close(run: SyncRun, error_class: str, error_message: str) -> bool:
    # The heartbeat is part of the condition: who shows life between our look and this stays alive.
    unchanged = _as_it_stands(run).filter(heartbeat_at=run.heartbeat_at)
    end = max(run.sync_start_time, run.heartbeat_at)
    lost = _end(run, unchanged, SyncRun.Status.LOST, end, error_class, error_message)
    if lost:
        said = partial(write_error, RunLog.of(run), error_message, kind=error_class)
        transaction.on_commit(said, robust=True)
    return lost


def _as_it_stands(run: SyncRun) -> QuerySet[SyncRun]:
    return SyncRun.objects.filter(pk=run.pk, claim=run.claim, sync_status=run.sync_status)


def held(run: SyncRun) -> QuerySet[SyncRun]:
    """Return the query that matches the run's row while it is in progress under our claim."""
    return SyncRun.objects.filter(pk=run.pk, claim=run.claim, sync_status=SyncRun.Status.IN_PROGRESS)


def beat(run: SyncRun) -> None:
    """Show a sign of life; call it at least every quarter of `SYNC_LEASE_SECONDS`.

    In a batch's transaction it comes last or next to last: PostgreSQL keeps the run's row locked until
    the commit. Raises `RunTaken` when the run is not ours any more, `CancelRequested` when it shall stop.
    """
    run.heartbeat_at = timezone.now()
    if not held(run).update(heartbeat_at=run.heartbeat_at):
        raise RunTaken(run)
    if SyncRun.objects.filter(pk=run.pk, cancel_requested=True).exists():
        raise CancelRequested(run)


def request_cancel(run: SyncRun) -> bool:
    """End a queued run at once, ask one in progress to stop at its next heartbeat; False if it has ended."""
    queued = SyncRun.objects.filter(pk=run.pk, sync_status=SyncRun.Status.QUEUED)
    end = max(run.sync_start_time, timezone.now())
    if _end(run, queued, SyncRun.Status.CANCELLED, end, "", "Cancelled before a worker took it."):
        return True
    at_work = SyncRun.objects.filter(pk=run.pk, sync_status=SyncRun.Status.IN_PROGRESS)
    return bool(at_work.update(cancel_requested=True))


def finish_run(run: SyncRun, status: str, error: BaseException | str | None = None) -> None:
    """End a run that is ours, and reload it; its steps in progress become pending again.

    The error is kept as class and short, redacted message. Raises `RunTaken` when another process has
    ended the run, `ValueError` when the status is not a final one.
    """
    if status not in SyncRun.Status.values or status in ACTIVE:
        raise ValueError(f"{status!r} is no state a run can end in.")
    error_class = type(error).__name__ if isinstance(error, BaseException) else ""
    message = None if error is None else short(str(error) or error_class)
    end = max(run.sync_start_time, timezone.now())
    if not _end(run, held(run), status, end, error_class, message):
        raise RunTaken(run)


def _end(
    run: SyncRun, row: QuerySet[SyncRun], status: str, end: datetime, error_class: str, message: str | None
) -> bool:
    with transaction.atomic():
        ended = row.update(
            sync_status=status,
            sync_end_time=end,
            total_duration_seconds=round((end - run.sync_start_time).total_seconds(), 3),
            error_class=error_class,
            error_message=message,
        )
        if ended:
            run.steps.filter(state=SyncStep.State.IN_PROGRESS).update(state=SyncStep.State.PENDING)
            run.refresh_from_db()
            add_run(run)
            transaction.on_commit(partial(write_end, run), robust=True)
    return bool(ended)


def resumable(run: SyncRun) -> bool:
    """Tell whether a run ended with work left that a new run can take up."""
    return run.sync_status in RESUMABLE


def chain_of(run: SyncRun) -> list[SyncRun]:
    """Return a run and those it resumed, newest first."""
    chain = [run]
    while before := chain[-1].resumed_from:
        chain.append(before)
    return chain


def short(text: str, characters: int = MESSAGE_CHARACTERS) -> str:
    """Return a text that may be stored and shown: redacted, no control characters, cut to a length."""
    return clean(redact(text), characters)
