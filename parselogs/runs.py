"""The life of a parse run: queued, sent, claimed, kept alive, ended, canceled, found lost.

Every change is a conditional UPDATE. A run at work changes only under its claim token: a message that is
delivered twice loses the claim, and a process whose run was ended by somebody else learns it from its next
write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Any
from uuid import UUID, uuid4

from celery import current_app
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F, Max, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone
from kombu.exceptions import OperationalError

from parselogs.errors import RunActive, RunTaken
from parselogs.models import DataFile, ParseFileMeta, ParseMeta
from parselogs.names import log_name
from syncmetrics.process import ThisProcess, host_name, is_gone

TASK = "parselogs.parse_file"
State, LogState = ParseFileMeta.State, ParseFileMeta.LogState

DISPATCH = "dispatch"
"""The failure code of a run that could not be handed to the workers; it is sent again by itself."""
SEND_AGAIN_WITHIN = timedelta(days=7)
STORAGE = "storage_unavailable"
"""The failure code of a run whose file the storage did not give; its file is parsed again by itself."""
FIRST_WAIT = timedelta(minutes=1)
TRIES = 8
"""Each after twice the wait of the one before: about four hours in all."""
SUCCESSES = (State.SUCCEEDED, State.SUCCEEDED_WITH_ERRORS)
OPEN_LOGS = (LogState.SPOOLING, LogState.PENDING_UPLOAD, LogState.UPLOAD_FAILED)


def queue(
    data_file: DataFile,
    trigger: str,
    by: User | None = None,
    meta: ParseMeta | None = None,
    log_level: str = ParseFileMeta.LogLevel.INFO,
    *,
    send: bool = True,
) -> ParseFileMeta:
    """Write the row of a file's next run in the caller's transaction, and send it when that commits.

    `trigger` is one of ParseFileMeta.Trigger. Without `send`, whoever calls performs the run. Raises
    RunActive where a run of this file waits or is at work. A broker that does not answer makes the run
    failed (`dispatch`); it is sent again by the sweeper.
    """
    try:
        with transaction.atomic():
            DataFile.objects.select_for_update().get(pk=data_file.pk)
            last = data_file.runs.aggregate(last=Max("attempt"))["last"] or 0
            run = ParseFileMeta.objects.create(
                data_file=data_file,
                parse_meta=meta,
                attempt=last + 1,
                trigger=trigger,
                triggered_by=by,
                log_level=log_level,
            )
    except IntegrityError:
        raise RunActive(_active_text(data_file)) from None
    if send:
        transaction.on_commit(partial(_send, run))
    return run


def _active_text(data_file: DataFile) -> str:
    return (
        f"A run of file {data_file.pk} waits or is at work already: wait for its end, or cancel it, and then"
        " parse the file again."
    )


def _send(run: ParseFileMeta) -> bool:
    """Hand a queued run to the workers; False where that cannot be: then it has failed, and says so."""
    queued = ParseFileMeta.objects.filter(pk=run.pk, state=State.QUEUED)
    try:
        message = current_app.send_task(TASK, (str(run.uuid),))
    except (OperationalError, OSError):
        queued.update(
            state=State.FAILED,
            finished_at=timezone.now(),
            failure_code=DISPATCH,
            failure_text="Redis does not answer, so no worker was told. It is sent again by itself as soon as"
            " that is mended; background work needs `make run`, or a Redis that REDIS_URL names.",
        )
        return False
    queued.update(sent_at=timezone.now(), celery_task_id=message.id or "")
    return True


def send_all(runs: Iterable[ParseFileMeta]) -> None:
    """Hand queued runs to the workers; as soon as no broker answers, the rest wait for `send_again`."""
    for run in runs:
        if not _send(run):
            return


def send_again() -> list[ParseFileMeta]:
    """Send runs again that no worker was told of, or that no worker took for long; return them.

    A second message does no harm: only one claims the run.
    """
    now = timezone.now()
    patience = now - timedelta(seconds=settings.PARSE_QUEUE_SECONDS)
    waiting = ParseFileMeta.objects.filter(Q(sent_at=None) | Q(sent_at__lt=patience))
    waiting = waiting.filter(state=State.QUEUED, queued_at__lt=patience)
    sent = []
    for run in [*waiting.order_by("pk"), *_undispatched(now)]:
        if run.state == State.FAILED and not _requeue(run):
            continue
        if not _send(run):
            break  # the broker is away: the others would wait for it one by one
        sent.append(run)
    return sent


def parse_again() -> list[ParseFileMeta]:
    """Queue a further attempt of files whose last ones the storage did not give, after ever longer waits."""
    now = timezone.now()
    failed = _last_failures(STORAGE, now).select_related("data_file", "triggered_by", "parse_meta")
    return [again for run in failed if _is_due(run, now) and (again := _next_attempt(run))]


def _is_due(run: ParseFileMeta, now: datetime) -> bool:
    codes = run.data_file.runs.order_by("-attempt").values_list("failure_code", flat=True)[: TRIES + 1]
    tries = len(list(takewhile(STORAGE.__eq__, codes)))
    waited = now - run.finished_at if run.finished_at else timedelta(0)
    return tries <= TRIES and waited > FIRST_WAIT * 2 ** (tries - 1)


def _next_attempt(run: ParseFileMeta) -> ParseFileMeta | None:
    try:
        return queue(run.data_file, run.trigger, run.triggered_by, run.parse_meta, run.log_level)
    except RunActive:
        return None  # somebody was quicker


def _undispatched(now: datetime) -> QuerySet[ParseFileMeta]:
    """Return the runs that failed for want of a broker, and that are the last of their files."""
    return _last_failures(DISPATCH, now)


def _last_failures(code: str, now: datetime) -> QuerySet[ParseFileMeta]:
    latest = ParseFileMeta.objects.filter(data_file=OuterRef("data_file")).order_by("-attempt")
    failed = ParseFileMeta.objects.filter(
        state=State.FAILED, failure_code=code, queued_at__gt=now - SEND_AGAIN_WITHIN
    )
    return failed.filter(pk=Subquery(latest.values("pk")[:1])).order_by("pk")


def _requeue(run: ParseFileMeta) -> bool:
    failed = ParseFileMeta.objects.filter(pk=run.pk, state=State.FAILED, failure_code=DISPATCH)
    columns = {"state": State.QUEUED, "finished_at": None, "failure_code": "", "failure_text": ""}
    try:
        with transaction.atomic():
            return bool(failed.update(**columns))
    except IntegrityError:
        return False  # another run of this file began just now


def claim(run: UUID | str, task_id: str = "") -> ParseFileMeta | None:
    """Make a queued run this process's own and return it; None where it is queued no more."""
    process, now = ThisProcess(), timezone.now()
    waiting = ParseFileMeta.objects.select_related("data_file", "parse_meta").filter(uuid=run)
    found = waiting.filter(state=State.QUEUED).first()
    if found is None:
        return None
    claimed = waiting.filter(state=State.QUEUED).update(
        state=State.RUNNING,
        claim_token=uuid4(),
        celery_task_id=task_id or F("celery_task_id"),
        worker_host=process.host,
        worker_pid=process.pid,
        worker_started=process.started,
        started_at=now,
        heartbeat_at=now,
        log_state=LogState.SPOOLING,
        log_file=log_name(found),
    )
    return waiting.get() if claimed else None


def held(run: ParseFileMeta) -> QuerySet[ParseFileMeta]:
    """Return the query that matches the run's row while it is at work under our claim."""
    return ParseFileMeta.objects.filter(pk=run.pk, claim_token=run.claim_token, state=State.RUNNING)


def beat(run: ParseFileMeta, **columns: Any) -> bool:
    """Show a sign of life, and how far the run has come; True where somebody asked it to stop.

    Raises RunTaken where the run is not ours any more.
    """
    if not held(run).update(heartbeat_at=timezone.now(), **columns):
        raise RunTaken("The run was ended by somebody else, or was taken for lost.")
    return held(run).filter(cancel_requested=True).exists()


def finish(
    run: ParseFileMeta,
    state: str,
    columns: Mapping[str, Any],
    children: Callable[[], None] = lambda: None,
) -> None:
    """End a run that is ours with what it counted, in one transaction with its `children`, and reload it.

    When it succeeded, its results count from now on. Raises RunTaken where it is not ours any more.
    """
    now = timezone.now()
    ended = {"state": state, "finished_at": now, "heartbeat_at": now, "expires_at": _expiry(now)}
    with transaction.atomic():
        if not held(run).update(**ended, **columns):
            raise RunTaken("The run was ended by somebody else, or was taken for lost.")
        children()
        if state in SUCCESSES:
            _let_count(run)
    run.refresh_from_db()


def _let_count(run: ParseFileMeta) -> None:
    """Make the results of a run those of its file, unless a later one's are."""
    earlier = ParseFileMeta.objects.filter(data_file=run.data_file_id, attempt__lt=run.attempt)
    file = DataFile.objects.filter(pk=run.data_file_id)
    file.filter(Q(result_run=None) | Q(result_run__in=earlier)).update(result_run=run)


def cancel(run: ParseFileMeta) -> bool:
    """End a queued run at once, ask one at work to stop soon; False where it has ended."""
    now = timezone.now()
    waiting = ParseFileMeta.objects.filter(pk=run.pk, state=State.QUEUED)
    if waiting.update(state=State.CANCELED, finished_at=now, failure_text="Canceled before it began."):
        return True
    at_work = ParseFileMeta.objects.filter(pk=run.pk, state=State.RUNNING)
    return bool(at_work.update(cancel_requested=True))


def close_lost(only: ParseFileMeta | None = None) -> list[ParseFileMeta]:
    """Mark runs as lost whose process is gone, or that show no sign of life; return them.

    `only` is a run whose spool nobody holds any more, which proves that its process is gone.
    """
    runs = ParseFileMeta.objects.filter(state=State.RUNNING)
    runs = runs if only is None else runs.filter(pk=only.pk)
    return [run for run in runs if (only or _is_lost(run)) and _lose(run)]


def _is_lost(run: ParseFileMeta) -> bool:
    if is_gone(run.worker_host, run.worker_pid, run.worker_started):
        return True
    lease = timedelta(seconds=settings.PARSE_LEASE_SECONDS)
    return run.heartbeat_at is None or timezone.now() - run.heartbeat_at > lease


def _lose(run: ParseFileMeta) -> bool:
    now = timezone.now()
    # The heartbeat is part of the condition: who shows life between our look and this stays alive.
    unchanged = held(run).filter(heartbeat_at=run.heartbeat_at)
    lost = unchanged.update(
        state=State.LOST,
        claim_token=None,
        finished_at=now,
        failure_code="lost",
        failure_text=f"Process {run.worker_pid} on {host_name(run.worker_host) or 'an unknown host'} ended"
        " without finishing this run. Parse the file again; if it ends the worker again, look at its memory.",
        log_state=LogState.PENDING_UPLOAD,
        expires_at=_expiry(now),
    )
    run.refresh_from_db()
    return bool(lost)


def _expiry(now: datetime) -> datetime:
    return now + timedelta(days=settings.PARSE_LOG_DAYS)
