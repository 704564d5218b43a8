"""Celery's signals, turned into the job log: who publishes, works, fails, revokes tells it.

What goes wrong here is logged and forgotten: a job never fails for its entry in the log.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial, wraps
from pathlib import Path
from typing import Any

from celery import current_task, signals, states
from celery.exceptions import NotRegistered
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from syncmetrics.jobs import life
from syncmetrics.jobs.arguments import keepable_text
from syncmetrics.jobs.life import RUN_HEADER, Message, logs_errors_only
from syncmetrics.models import JobRun

log = logging.getLogger(__name__)

_ORIGIN = "easel_origin"
_BEGAN = "easel_began"

ENDS: Mapping[str, str] = {
    states.SUCCESS: JobRun.State.COMPLETED,
    states.IGNORED: JobRun.State.COMPLETED,
    states.RETRY: JobRun.State.RETRIED,
    states.REJECTED: JobRun.State.RETRIED,
}
"""What a task's end means for its job; failures come by a signal of their own."""


Receiver = Callable[..., None]


def _never_fails(receiver: Receiver) -> Receiver:
    """Log what goes wrong in a receiver instead of raising it."""

    @wraps(receiver)
    def guarded(**sent: Any) -> None:
        try:
            receiver(**sent)
        except Exception as error:
            said = keepable_text(f"{type(error).__name__}: {error}")
            log.warning("The job log misses what %s would have said. %s", receiver.__name__, said)

    return guarded


def _writes(receiver: Receiver, *, lets_go: bool = False) -> Receiver:
    """Give a receiver a transaction, or a savepoint of its caller's, so that it can fail alone.

    `lets_go`: of the database afterwards, where no task is at work; processes that a worker forks must
    not inherit its connection.
    """

    @_never_fails
    @wraps(receiver)
    def writing(**sent: Any) -> None:
        own = not connection.in_atomic_block
        try:
            with transaction.atomic():
                receiver(**sent)
        except DatabaseError:
            if own:  # beat and workers live long: the next entry tries anew
                connection.close_if_unusable_or_obsolete()
            raise
        finally:
            if own and lets_go and not current_task:
                connection.close()

    return writing


_writes_and_lets_go = partial(_writes, lets_go=True)


@signals.before_task_publish.connect(weak=False)
@_never_fails
def _stamp(headers: Any = None, **_: Any) -> None:
    """Write into the message who starts the job, and when; a message that is sent again keeps it."""
    if _ORIGIN not in headers:
        trigger, name = _who(headers)
        headers[_ORIGIN] = {"trigger": trigger, "by": name, "at": timezone.now().isoformat()}


def _who(headers: Mapping[str, Any]) -> tuple[str, str]:
    if schedule := headers.get("periodic_task_name"):  # django-celery-beat's header
        return JobRun.Trigger.SCHEDULE, str(schedule)
    if current_task and current_task.request.id:
        return JobRun.Trigger.JOB, str(current_task.name)
    if origin := life.origin():
        return origin.trigger, origin.name()
    if Path(sys.argv[0]).name == "manage.py" and len(sys.argv) > 1:
        return JobRun.Trigger.COMMAND, sys.argv[1]
    return JobRun.Trigger.CODE, ""


@signals.after_task_publish.connect(weak=False)
@_writes
def _queued(sender: str, headers: Any, body: Any, routing_key: str = "", **_: Any) -> None:
    message = _message(sender, headers, *body[:2], queue=routing_key)
    if message.run_id:
        life.link_run(headers.get("parent_id"), message.run_id)
    if not logs_errors_only(sender):
        life.queued(message)


@signals.task_prerun.connect(weak=False)
@_writes
def _begun(task_id: str, task: Any, args: Any, kwargs: Any, **_: Any) -> None:
    began = timezone.now()
    setattr(task.request, _BEGAN, began)
    if not logs_errors_only(task.name):
        life.begun(_of_request(task, task_id, args, kwargs), began)


@signals.task_postrun.connect(weak=False)
@_writes
def _ended(
    task_id: str, task: Any, args: Any, kwargs: Any, retval: Any = None, state: str | None = None, **_: Any
) -> None:
    # Without a state the process is being ended; the message comes again, or the sweep finds the job.
    meaning = ENDS.get(state or "")
    if meaning is None or logs_errors_only(task.name):
        return
    began = getattr(task.request, _BEGAN, None)
    error = retval if isinstance(retval, BaseException) else None
    end = partial(
        life.ended,
        task_id,
        meaning,
        began=began,
        error=getattr(error, "exc", None) or error,  # what a Retry was raised for
        result=None if error else retval,
    )
    if not end() and began:
        life.begun(_of_request(task, task_id, args, kwargs), began, missed=True)
        end()


@signals.task_failure.connect(weak=False)
@_writes_and_lets_go
def _failed(
    sender: Any, task_id: str, exception: BaseException, args: Any = (), kwargs: Any = None, **_: Any
) -> None:
    """Record a failure, told by the process at work or, where that was lost or too slow, by its worker."""
    began = getattr(sender.request, _BEGAN, None) if sender.request.id == task_id else None
    message = _of_request(sender, task_id, args, kwargs)
    if logs_errors_only(sender.name):
        life.failed_quietly(message, exception, began)
    elif not life.ended(task_id, JobRun.State.FAILED, began=began, error=exception) and began:
        life.begun(message, began, missed=True)
        life.ended(task_id, JobRun.State.FAILED, began=began, error=exception)


@signals.task_revoked.connect(weak=False)
@_writes_and_lets_go
def _revoked(request: Any, expired: bool = False, **_: Any) -> None:
    life.ended(request.id, JobRun.State.EXPIRED if expired else JobRun.State.CANCELLED)


@signals.task_unknown.connect(weak=False)
@_writes_and_lets_go
def _unknown(id: str, name: str, **_: Any) -> None:
    said = f"The worker knows no task {name}: start it again with this version, or delete the schedule."
    life.ended(id, JobRun.State.FAILED, error=NotRegistered(said))


def _of_request(task: Any, task_id: str, args: Any, kwargs: Any) -> Message:
    request = task.request
    known = request.id == task_id
    headers = {name: request.get(name) for name in _HEADERS} if known else {}
    queue = (request.delivery_info or {}).get("routing_key", "") if known else ""
    return _message(task.name, {**headers, "id": task_id}, args, kwargs, queue=queue)


_HEADERS = (_ORIGIN, RUN_HEADER, "expires", "eta", "parent_id")


def _message(name: str, headers: Mapping[str, Any], args: Any, kwargs: Any, *, queue: str) -> Message:
    origin = headers.get(_ORIGIN)
    origin = origin if isinstance(origin, dict) else {}
    run = str(headers.get(RUN_HEADER) or "")
    told = {"queue": queue, "parent": headers.get("parent_id"), "due": headers.get("eta")}
    return Message(
        task_id=str(headers["id"]),
        name=str(name),
        args=list(args or ()),
        kwargs=dict(kwargs or {}),
        trigger=str(origin.get("trigger", JobRun.Trigger.CODE)),
        triggered_by=str(origin.get("by", "")),
        queued_at=_moment(origin.get("at")),
        expires_at=_moment(headers.get("expires")),
        run_id=int(run) if run.isdecimal() else None,
        metadata={key: value for key, value in told.items() if value},
    )


def _moment(value: Any) -> datetime | None:
    try:
        found = value if isinstance(value, datetime) else parse_datetime(value or "")
    except (ValueError, TypeError):
        return None
    return timezone.make_aware(found) if found and timezone.is_naive(found) else found
