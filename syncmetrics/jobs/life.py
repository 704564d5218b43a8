"""The life of a job in the job log: queued, begun, ended, lost.

A job is one row, found by its task id. What the row needs travels in the message too, so that whoever
comes first, the publisher or the worker, makes it. An attempt is known by when it began: a twin of a
message that was delivered twice cannot end what the other one is doing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery import current_app, current_task
from django.conf import settings
from django.db.models import F, QuerySet
from django.utils import timezone

from syncmetrics.jobs.arguments import keepable, keepable_text
from syncmetrics.models import JobRun
from syncmetrics.process import ThisProcess, host_name, is_gone

RUN_HEADER = "easel_run"
"""In a message's headers: the number of the sync run that its job does."""

OPEN = (JobRun.State.QUEUED, JobRun.State.IN_PROGRESS, JobRun.State.RETRIED)
ERROR_CHARACTERS = 1000
QUEUE_PATIENCE = timedelta(days=1)
"""A message without an end of its own that nobody took for so long is gone from the queue."""
EXPIRY_GRACE = timedelta(minutes=1)
LIMIT_GRACE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Origin:
    """What starts jobs here and now; `name` is asked for only when one is started."""

    trigger: str
    name: Callable[[], str]


_origin: ContextVar[Origin | None] = ContextVar("job_origin", default=None)


@contextmanager
def started_by(trigger: str, name: Callable[[], str]) -> Iterator[None]:
    """Say for the body who starts the jobs that it queues."""
    reset = _origin.set(Origin(trigger, name))
    try:
        yield
    finally:
        _origin.reset(reset)


def origin() -> Origin | None:
    """Return what `started_by` said."""
    return _origin.get()


@dataclass(frozen=True, slots=True)
class Message:
    """What is known of a job from its message."""

    task_id: str
    name: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] | None = None
    trigger: str = JobRun.Trigger.CODE
    triggered_by: str = ""
    queued_at: datetime | None = None
    expires_at: datetime | None = None
    run_id: int | None = None
    metadata: Mapping[str, Any] | None = None

    def row(self, **columns: Any) -> JobRun:
        """Return a row that is in no table yet."""
        given: dict[str, Any] = {
            "task_id": self.task_id,
            "name": keepable_text(self.name, 255),
            "arguments": keepable(_named(self.name, self.args, self.kwargs or {})),
            "trigger": self.trigger if self.trigger in JobRun.Trigger.values else JobRun.Trigger.CODE,
            "triggered_by": keepable_text(self.triggered_by, 255),
            "queued_at": self.queued_at,
            "expires_at": self.expires_at,
            "run_id": self.run_id,
            "metadata": keepable(self.metadata or {}),
        }
        return JobRun(**given | columns)


def _named(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by name, those without one by number: a secret is known by its name."""
    task = current_app.tasks.get(name)
    parameters = inspect.signature(task.run).parameters.values() if task else ()
    names = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    numbered = (f"argument {number}" for number in range(len(names) + 1, len(args) + 1))
    return {**dict(zip([*names, *numbered], args, strict=False)), **kwargs}


def logs_errors_only(name: str) -> bool:
    """Tell whether a task leaves a row only when it fails (JOB_LOG_ERRORS_ONLY)."""
    return name in settings.JOB_LOG_ERRORS_ONLY


def queued(message: Message) -> None:
    """Record that a job was handed to the workers, unless one of them was quicker."""
    _ensure(message.row())


def _ensure(row: JobRun) -> None:
    JobRun.objects.bulk_create([row], ignore_conflicts=True)


def begun(message: Message, now: datetime, *, missed: bool = False) -> None:
    """Record that an attempt begins in this process.

    `missed`: that it began then, where the database was away; what others have begun stays as it is.
    """
    _ensure(message.row())
    rows = JobRun.objects.filter(task_id=message.task_id)
    process = ThisProcess()
    (rows.filter(attempts=0) if missed else rows).update(
        state=JobRun.State.IN_PROGRESS,
        attempts=F("attempts") + 1,
        started_at=now,
        ended_at=None,
        error_class="",
        error_message="",
        host=process.host,
        pid=process.pid,
        process_started=process.started,
    )


def ended(
    task_id: str,
    state: str,
    *,
    began: datetime | None = None,
    error: BaseException | None = None,
    result: Any = None,
) -> bool:
    """Record how an attempt ended; False where no such attempt is recorded, or another one runs.

    Without `began`, whatever attempt is open ends.
    """
    rows = JobRun.objects.filter(task_id=task_id)
    rows = rows.filter(state__in=OPEN) if began is None else rows.filter(started_at=began)
    job = rows.first()
    if job is None:
        return False
    changed = rows.update(
        state=state,
        ended_at=None if state in OPEN else timezone.now(),
        metadata=job.metadata if result is None else job.metadata | {"result": keepable(result)},
        **_error_columns(error),
    )
    return bool(changed)


def failed_quietly(message: Message, error: BaseException, began: datetime | None) -> None:
    """Record the failure of a task that leaves no row otherwise."""
    now = timezone.now()
    process = ThisProcess()
    columns = {
        "state": JobRun.State.FAILED,
        "attempts": 1,
        "started_at": began,
        "ended_at": now,
        "host": process.host,
        "pid": process.pid,
        "process_started": process.started,
        **_error_columns(error),
    }
    _ensure(message.row(**columns))


def _error_columns(error: BaseException | None) -> dict[str, str]:
    if error is None:
        return {"error_class": "", "error_message": ""}
    try:
        said = str(error)
    except Exception:  # what an error says is its own code
        said = ""
    kind = type(error).__name__
    return {"error_class": kind[:200], "error_message": keepable_text(said or kind, ERROR_CHARACTERS)}


def link_run(task_id: str | None, run_id: int) -> None:
    """Record which sync a job does or has queued, where that job is in the log."""
    if task_id:
        JobRun.objects.filter(task_id=task_id).update(run_id=run_id)


def does_run(run_id: int) -> None:
    """Record that the job at work here, if this is one, does this sync: a takeover is another run."""
    if current_task and current_task.request.id:
        link_run(current_task.request.id, run_id)


def close_lost_jobs() -> int:
    """Mark jobs whose process is gone as lost and those that nobody took as expired or lost; how many."""
    now = timezone.now()
    return _close_taken(now) + _close_waiting(now)


def _close_taken(now: datetime) -> int:
    at_work = JobRun.objects.filter(state=JobRun.State.IN_PROGRESS)
    too_long = now - timedelta(seconds=settings.TASK_LIMIT_SECONDS) - LIMIT_GRACE
    columns = ("pk", "started_at", "host", "pid", "process_started")
    closed = 0
    for key, started_at, host, pid, started in at_work.values_list(*columns):
        if is_gone(host, pid, started) or started_at is None or started_at < too_long:
            # As it was when we looked: what was begun again meanwhile is not lost.
            unchanged = at_work.filter(pk=key, started_at=started_at)
            closed += _close(
                unchanged,
                JobRun.State.LOST,
                now,
                "WorkerLost",
                f"Process {pid} on {host_name(host) or 'an unknown host'} ended without finishing it. A"
                " message that was not acknowledged comes again by itself.",
            )
    return closed


def _close_waiting(now: datetime) -> int:
    waiting = JobRun.objects.filter(state__in=(JobRun.State.QUEUED, JobRun.State.RETRIED))
    late = waiting.filter(expires_at__lt=now - EXPIRY_GRACE)
    forgotten = waiting.filter(expires_at=None, logged_at__lt=now - QUEUE_PATIENCE)
    dropped = "No worker took it before its time was over: see that a worker runs (make run, make worker)."
    vanished = "No worker took it within a day: its message is gone, or no worker runs."
    return _close(late, JobRun.State.EXPIRED, now, "Expired", dropped) + _close(
        forgotten, JobRun.State.LOST, now, "NotTaken", vanished
    )


def _close(rows: QuerySet[JobRun], state: str, now: datetime, error_class: str, message: str) -> int:
    return rows.update(state=state, ended_at=now, error_class=error_class, error_message=message)
