"""Syncs a Canvas connection: the one function behind the command, the tasks and the console."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from canvas.client import CanvasClient
from canvas.connect import REFUSED
from canvas.engine import Engine, account_steps, mappers_of
from canvas.errors import CanvasError, TokenRejected
from canvas.fetch_process import FetchProcess, Task
from canvas.fetcher import Fetcher
from canvas.journal import Journal
from canvas.models import Connection, Course
from canvas.pages import Page, RequestRecord
from canvas.progress import Progress
from canvas.resources import RESOURCES
from canvas.steps import CoursePlan, CoursesStep, Step
from canvas.throttle import Throttle
from easel.ids import InvalidId, split_id
from easel.interrupts import held_back
from syncmetrics.listings import Listings
from syncmetrics.models import SyncRun, SyncStep
from syncmetrics.runs import (
    CancelRequested,
    RunTaken,
    begin_run,
    chain_of,
    close_lost_runs,
    finish_run,
    held,
    new_run,
    resumable,
)
from syncmetrics.tracker import SyncTracker

QUEUE_PAGES = 100
"""Pages that may wait while a batch is written, so that the network never does (some 300 KB each)."""

RESUME_WITHIN = timedelta(hours=24)
"""A lost run older than this is not taken up again by itself: too much may have changed."""

ALL_MODELS = frozenset(RESOURCES)
OPEN_TO_ALL = frozenset({"courses", "submissions"})
"""Whatever a token is refused, it sees its own courses and its user's own submissions."""


class UsageError(ValueError):
    """The options make no sense together; the message says what to do."""


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What to sync. `mode` None: full until one full sync has completed, incremental afterwards.

    `courses` are ids in any Canvas spelling; `user` limits a sync to the courses of one person: an id,
    `sis_user_id:X`, or a login. `term_scope` is `all`, `active` or a term's id.
    """

    models: frozenset[str] = ALL_MODELS
    courses: tuple[str, ...] = ()
    user: str = ""
    term_scope: str = "all"
    mode: str | None = None
    dry_run: bool = False
    concurrency: int | None = None

    @property
    def sync_type(self) -> str:
        """What kind of sync this is; single courses and single users are genres of their own."""
        return "course" if self.courses else "user" if self.user else "all"

    def as_json(self) -> dict[str, Any]:
        """Return what a resumed run must have in common with its predecessor."""
        return {
            "models": sorted(self.models),
            "courses": list(self.courses),
            "user": self.user,
            "term_scope": self.term_scope,
        }

    def check(self) -> None:
        """Raise UsageError for unknown resources or ids that are none."""
        if unknown := sorted(self.models - ALL_MODELS):
            raise UsageError(f"Unknown models: {', '.join(unknown)}. Known are {', '.join(RESOURCES)}.")
        if self.courses and self.user:
            raise UsageError("Name courses or a user, not both.")
        for course in self.courses:
            _check_spelling(course, "course", "sis_course_id")
        if self.term_scope not in ("all", "active"):
            _check_spelling(self.term_scope, "term", "sis_term_id")


def sync(
    connection: Connection,
    options: SyncOptions | None = None,
    *,
    resume: SyncRun | None = None,
    trigger: str = SyncRun.Trigger.CODE,
    progress: Progress | None = None,
    user_id: int | None = None,
) -> SyncRun:
    """Sync one connection and return the ended run.

    Failures of Canvas end in the run's status and error message, not in an exception. Raises
    UsageError, RunActive when a sync of this instance is already at work, KeyboardInterrupt after the
    run was marked cancelled, and database errors when not even the run's end can be written.
    """
    options = options or SyncOptions()
    run = begin_run(plan(connection, options, resume=resume, trigger=trigger, user_id=user_id))
    perform(run, connection, concurrency=options.concurrency, progress=progress)
    return run


def plan(
    connection: Connection,
    options: SyncOptions,
    *,
    resume: SyncRun | None = None,
    trigger: str,
    user_id: int | None = None,
) -> SyncRun:
    """Return the run that these options ask for, in no table yet: to begin here, or to queue for a worker.

    Takes up a run that was lost a short while ago. Raises UsageError.
    """
    options.check()
    options = _within_reach(connection, options)
    before = resume or _lost_run(connection, options)
    if before:
        options = _as_before(before, options, connection)
    return new_run(
        sync_type=options.sync_type,
        genre=options.sync_type,
        mode=options.mode or _mode(connection, options),
        trigger=trigger,
        instance_key=connection.instance_id,
        connection_key=connection.pk,
        connection_name=connection.name,
        user_id=user_id or connection.owner_id,
        options=options.as_json(),
        dry_run=options.dry_run,
        resumed_from=before,
    )


def perform(
    run: SyncRun,
    connection: Connection,
    *,
    concurrency: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Do a run that is in progress in this process, to its end; raises as `sync` does."""
    progress = progress or Progress()
    if run.resumed_from_id:
        progress.resuming(run.resumed_from_id)
    _Sync(run, connection, options_of(run, concurrency=concurrency), progress).perform()


def options_of(run: SyncRun, *, concurrency: int | None = None) -> SyncOptions:
    """Return the options a run was started with, as its row keeps them."""
    return SyncOptions(
        models=frozenset(run.options["models"]),
        courses=tuple(run.options["courses"]),
        user=run.options.get("user", ""),
        term_scope=run.options["term_scope"],
        mode=run.mode,
        dry_run=run.dry_run,
        concurrency=concurrency,
    )


class _Sync:
    """The frame of one run: client and engine put together, and every end written to the run's row."""

    def __init__(
        self, run: SyncRun, connection: Connection, options: SyncOptions, progress: Progress
    ) -> None:
        self._run = run
        self._connection = connection
        self._options = options
        self._progress = progress
        self._tracker = SyncTracker(run)
        self._journal = Journal(run)
        self._listings = Listings()
        self._engine: Engine | None = None

    def perform(self) -> None:
        """Do the run and end it truthfully, whatever happens."""
        try:
            self._execute()
        except CanvasError as error:
            self._fail(error)
        except CancelRequested as error:
            self._finish(SyncRun.Status.CANCELLED, error)
        except RunTaken as error:
            self._finish(SyncRun.Status.LOST, error)
        except KeyboardInterrupt:
            self._finish(SyncRun.Status.CANCELLED, "Interrupted; the next sync can go on with --resume.")
            raise
        except BaseException as error:
            self._journal.failed(error)
            self._finish(SyncRun.Status.FAILED, error)
            raise
        if self._engine:
            self._engine.analyze()

    def _execute(self) -> None:
        concurrency = self._options.concurrency or settings.CANVAS_CONCURRENCY
        client = make_client(self._connection, concurrency=concurrency, observer=self._observe)
        with closing(client), self._fetching(client, concurrency) as fetcher:
            with self._journal.testing_connection():
                clock = client.get_json("users/self").as_of
            SyncRun.objects.filter(pk=self._run.pk).update(canvas_clock=clock)
            self._mark_connection(Connection.State.OK)
            pages = list(client.pages("accounts")) if self._connection.account_admin else []
            self._engine = Engine(
                self._run,
                self._connection,
                fetcher,
                models=self._options.models,
                clock=clock,
                account_pages=pages,
                concurrency=concurrency,
                progress=self._progress,
                tracker=self._tracker,
                journal=self._journal,
            )
            self._engine.execute(*self._steps(pages))
            self._conclude()

    def _fetching(self, client: CanvasClient, concurrency: int) -> Fetcher | FetchProcess:
        """Return what reads the listings: a process of its own, or threads of this one."""
        workers = concurrency + 2
        if not settings.CANVAS_FETCH_PROCESS:
            return Fetcher(client, workers, QUEUE_PAGES)
        task = Task(client_arguments(self._connection), concurrency, workers, QUEUE_PAGES)
        instance = self._connection.instance
        return FetchProcess(task, mappers_of(instance.folder().reader(), instance.pk), self._observe)

    def _steps(self, pages: Sequence[Page]) -> tuple[list[Step], list[CoursePlan] | None]:
        """Return the steps to do, and the courses where an earlier run has planned them already."""
        named = tuple(quote(course.strip(), safe=":~") for course in self._options.courses)
        user = quote(user_spelling(self._options.user), safe=":~@")
        wanted = term_filter(self._options.term_scope, timezone.now())
        steps = [] if named or user else account_steps(self._options.models, admin=bool(pages))
        before = self._run.resumed_from
        done = _completed_steps(before) if before else frozenset()
        steps = [step for step in steps if step.key not in done]
        if before and "courses" in done:
            return steps, _plans_left(before, done, self._connection)
        return [*steps, CoursesStep("courses", "Courses", wanted, courses=named, user=user)], None

    def _observe(self, record: RequestRecord) -> None:
        self._tracker.record_api_call(
            duration_ms=record.duration_ms,
            wait_ms=record.waited_ms,
            failed=record.failed,
            rate_limited=record.throttled,
            retried=record.retried,
        )
        self._listings.add(
            record.path, duration_ms=record.duration_ms, wait_ms=record.waited_ms, failed=record.failed
        )
        self._journal.requested(record)

    def _conclude(self) -> None:
        failed = self._engine.failed_steps if self._engine else []
        if not failed:
            self._finish(SyncRun.Status.COMPLETED)
            return
        first = failed[0].errors[0]
        if any(step.key == "courses" for step in failed):
            courses = next(step for step in failed if step.key == "courses")
            self._finish(SyncRun.Status.FAILED, courses.errors[0])
            return
        completed = self._run.steps.filter(state=SyncStep.State.COMPLETED).exists()
        status = SyncRun.Status.PARTIAL if completed else SyncRun.Status.FAILED
        names = ", ".join(step.title for step in failed[:3]) + (" and others" if len(failed) > 3 else "")
        self._finish(status, f"{len(failed)} of {self._run.steps.count()} steps failed ({names}). {first}")

    def _fail(self, error: CanvasError) -> None:
        if self._engine:
            self._engine.rescue()
        if isinstance(error, TokenRejected):
            self._mark_connection(Connection.State.REJECTED, str(error))
        self._journal.failed(error)
        self._finish(SyncRun.Status.FAILED, error)

    def _mark_connection(self, state: str, message: str = "") -> None:
        Connection.objects.filter(pk=self._connection.pk).update(
            state=state, state_message=message, checked_at=timezone.now()
        )

    def _finish(self, status: str, error: BaseException | str | None = None) -> None:
        try:
            with held_back():
                self._tracker.flush()
                held(self._run).update(listings=self._listings.as_json())
                finish_run(self._run, status, error)
        except RunTaken:
            self._run.refresh_from_db()


def make_client(
    connection: Connection,
    *,
    concurrency: int,
    observer: Callable[[RequestRecord], None] | None = None,
) -> CanvasClient:
    """Return a client of a stored connection, with the timeouts and limits of the settings."""
    return CanvasClient(
        **client_arguments(connection), throttle=Throttle(limit=concurrency), observer=observer
    )


def client_arguments(connection: Connection) -> dict[str, Any]:
    """Return what a client of a stored connection is made with."""
    return {
        "base_url": connection.instance.base_url,
        "token": connection.token,
        "connect_timeout": settings.CANVAS_CONNECT_TIMEOUT_SECONDS,
        "read_timeout": settings.CANVAS_READ_TIMEOUT_SECONDS,
        "max_tries": settings.CANVAS_MAX_TRIES,
        "allow_insecure_hosts": tuple(settings.CANVAS_ALLOWED_INSECURE_HOSTS),
    }


def user_spelling(user: str) -> str:
    """Return a person as paths of Canvas take it: ids and SIS spellings as they are, all else is a login."""
    user = user.strip()
    if not user or user.startswith("sis_") or _local(user):
        return user
    return f"sis_login_id:{user}"


def term_filter(scope: str, now: datetime) -> Callable[[dict[str, Any]], bool]:
    """Return what tells whether a course's term is wanted: `all`, `active` (now within its dates), an id."""
    if scope == "all":
        return lambda course: True
    if scope == "active":
        return lambda course: _is_current(_term(course), now)
    if scope.startswith("sis_term_id:"):
        return lambda course: _term(course).get("sis_term_id") == scope.partition(":")[2]
    wanted = split_id(scope)[1]
    return lambda course: _local(course.get("enrollment_term_id")) == wanted


def _term(course: dict[str, Any]) -> dict[str, Any]:
    """Return a course's term as the listing included it; empty where it did not."""
    term = course.get("term")
    return term if isinstance(term, dict) else {}


def _is_current(term: dict[str, Any], now: datetime) -> bool:
    starts, ends = _moment(term.get("start_at")), _moment(term.get("end_at"))
    return (starts is None or starts <= now) and (ends is None or now <= ends)


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _local(value: Any) -> int | None:
    try:
        return split_id(value)[1]
    except InvalidId:
        return None


def _check_spelling(text: str, what: str, sis: str) -> None:
    if text.startswith(f"{sis}:") and len(text) > len(sis) + 1:
        return
    try:
        good = split_id(text)[1] > 0
    except InvalidId:
        good = False
    if not good:
        raise UsageError(f"{text!r} is no {what} id: write 42, 123~42 or {sis}:X.")


def _within_reach(connection: Connection, options: SyncOptions) -> SyncOptions:
    """Leave out what the token was refused when it was connected, unless it was asked for by name."""
    refused = {name for name, found in connection.capabilities.items() if found == REFUSED}
    if options.models != ALL_MODELS or not refused:
        return options
    return replace(options, models=options.models - refused | OPEN_TO_ALL)


def _mode(connection: Connection, options: SyncOptions) -> str:
    """Return incremental once a full sync of all that is asked for has completed, full until then."""
    full_runs = SyncRun.objects.filter(
        connection_key=connection.pk,
        mode=SyncRun.Mode.FULL,
        sync_status=SyncRun.Status.COMPLETED,
        dry_run=False,
    )
    for done in full_runs.filter(Q(sync_type="all") | Q(sync_type=options.sync_type)).order_by("-pk")[:50]:
        courses = set(done.options.get("courses", ()))
        terms = done.options.get("term_scope")
        if (
            options.models <= set(done.options.get("models", ()))
            and (not courses or (options.courses and courses >= set(options.courses)))
            and done.options.get("user", "") in ("", options.user)
            and terms in ("all", options.term_scope)
        ):
            return SyncRun.Mode.INCREMENTAL
    return SyncRun.Mode.FULL


def _lost_run(connection: Connection, options: SyncOptions) -> SyncRun | None:
    """Return the last run of this kind if it was lost a short while ago, to go on where it stopped."""
    close_lost_runs(instance_key=connection.instance_id, genre=options.sync_type)
    last = (
        SyncRun.objects.filter(connection_key=connection.pk, genre=options.sync_type).order_by("-pk").first()
    )
    if (
        last
        and last.sync_status == SyncRun.Status.LOST
        and last.options == options.as_json()
        and last.dry_run == options.dry_run
        and options.mode in (None, last.mode)
        and timezone.now() - last.sync_start_time < RESUME_WITHIN
    ):
        return last
    return None


def _as_before(before: SyncRun, options: SyncOptions, connection: Connection) -> SyncOptions:
    """Return the options of a run that goes on where another stopped."""
    if before.connection_key != connection.pk:
        raise UsageError(f"Run {before.pk} belongs to connection {before.connection_name!r}: name that one.")
    if not resumable(before):
        raise UsageError(
            f"Run {before.pk} is {before.get_sync_status_display()}: there is nothing to resume."
        )
    return options_of(before, concurrency=options.concurrency)


def _completed_steps(before: SyncRun) -> frozenset[str]:
    """Return the keys of the steps that a run, or one it resumed, has completed."""
    return frozenset(
        SyncStep.objects.filter(run__in=chain_of(before), state=SyncStep.State.COMPLETED).values_list(
            "key", flat=True
        )
    )


def _plans_left(before: SyncRun, done: frozenset[str], connection: Connection) -> list[CoursePlan]:
    """Return the courses that were planned and not completed."""
    planned: dict[int, str] = {}
    for run in reversed(chain_of(before)):
        steps = run.steps.filter(key__startswith="course:").order_by("position")
        planned |= {int(step.key.partition(":")[2]): step.title for step in steps if step.key not in done}
    students = dict(Course.objects.filter(id__in=list(planned)).values_list("id", "total_students"))
    folder = connection.instance.folder()
    return [CoursePlan(key, folder.spell(key), name, students.get(key)) for key, name in planned.items()]
