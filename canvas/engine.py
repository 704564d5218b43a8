"""The sync engine: pages come read and mapped, one thread compares, writes and keeps the books.

Only this thread touches the database. Everything a flush writes (rows, tombstones, scopes, steps, counts,
heartbeat) is one transaction: after a kill at any line the database holds whole flushes, and a step that
is not marked completed is done again (docs/adr/0006-one-database-thread.md).
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from canvas.errors import CanvasError, TokenRejected, Unavailable
from canvas.fetcher import Fetching, ListingDone, ListingFailed, PageFetched
from canvas.journal import Journal
from canvas.mapping import Mapped, Mapper
from canvas.models import Connection, Enrollment, Scope
from canvas.natural_keys import NaturalKeys
from canvas.pages import Page
from canvas.progress import Progress
from canvas.resources import RESOURCES, Level
from canvas.steps import (
    AccountsStep,
    AccountWideStep,
    CoursePlan,
    CoursesStep,
    CourseStep,
    ScopeWalk,
    Step,
    overlapping,
)
from canvas.writer import Row, Table, Writer, analyze
from easel.ids import Folder, InvalidId
from easel.interrupts import held_back
from syncmetrics.models import SyncRun, SyncStep
from syncmetrics.runs import beat, short
from syncmetrics.tracker import SyncTracker

FLUSH_SECONDS = 2.0
BEAT_SECONDS = 5.0
COURSES_AT_ONCE = 8
"""Enough courses to keep every request in flight; few enough that a kill loses little."""

ANALYZE_ROWS = 1_000
KEYS_PER_STATEMENT = 900
OUTAGES = 10
"""So many listings failing in a row, each after all its tries and no page between: Canvas is down."""


class Engine:
    """One run, from the first listing to the last flush. The caller starts and ends the run's row."""

    def __init__(
        self,
        run: SyncRun,
        connection: Connection,
        fetcher: Fetching,
        *,
        models: frozenset[str],
        clock: datetime,
        account_pages: Sequence[Page] = (),
        concurrency: int,
        progress: Progress,
        tracker: SyncTracker,
        journal: Journal | None = None,
    ) -> None:
        self.run = run
        self.connection = connection
        self.models = models
        self.clock = clock
        self.progress = progress
        self.tracker = tracker
        self.journal = journal or Journal(run)
        self.folder = connection.instance.folder()
        self.account_pages = account_pages
        self.account_ids, self.root_account_ids = _administered(account_pages)
        self.fetcher = fetcher
        self.failed_steps: list[Step] = []
        self._concurrency = concurrency
        self._writer = Writer(dry_run=run.dry_run)
        self.maps_ahead = connection.authoritative
        self._mappers = mappers_of(self.folder, connection.instance_id)
        self._buffers: dict[tuple[str, frozenset[str]], list[Row]] = {}
        self._shared_seen: dict[str, set[int]] = {}
        self._stored_scopes = {(scope.resource, scope.course_id): scope for scope in connection.scopes.all()}
        self._created: dict[str, int] = {}
        self._active: set[Step] = set()
        self._ended: list[Step] = []
        self._waiting: deque[CourseStep] = deque()
        self._courses = self._started = self._outages = 0
        self._flushed_at = self._beaten_at = time.monotonic()

    # --- what steps call -----------------------------------------------------------------------

    def scope(self, name: str, course_key: int = 0) -> ScopeWalk:
        """Return a fresh walk of a scope: full when this run is, or when it was never read whole."""
        resource = RESOURCES[name]
        stored = self._stored_scopes.get((name, course_key))
        full = self.run.mode == SyncRun.Mode.FULL or stored is None or stored.cursor is None
        walk = ScopeWalk(resource, course_key, {"course": course_key}, full=full or name != "submissions")
        if stored and not walk.full:
            walk.since = overlapping(stored.cursor, settings.CANVAS_CURSOR_OVERLAP_SECONDS)
            walk.covered = frozenset(stored.covered)
        if resource.natural_key:
            walk.keys = NaturalKeys(resource.model, resource.natural_key)
        if course_key and name == "users":
            # One person is in many courses: counted once a run.
            walk.seen = self._shared_seen.setdefault(name, set())
        return walk

    def is_fresh(self, name: str, course_key: int) -> bool:
        """Whether an incremental run need not list a scope: it was, a short while ago."""
        stored = self._stored_scopes.get((name, course_key))
        if self.run.mode == SyncRun.Mode.FULL or stored is None or stored.last_complete_at is None:
            return False
        return self.clock - stored.last_complete_at < RESOURCES[name].fresh_for

    def key_of(self, record: Mapping[str, Any]) -> int | None:
        """Return the key of a record, or None when it has no usable id."""
        try:
            return self.folder.fold_own(record.get("id"))
        except InvalidId:
            return None

    def take(
        self, scope: ScopeWalk, records: list[Any], as_of: datetime, mapped: Mapped | None = None
    ) -> set[int]:
        """Map a page's records into the buffers; return the keys of those that could be stored.

        A repeated row counts once, as it was seen first. Records of a resource that was not asked for
        are looked at, for what hangs on them, and not stored.
        """
        if self.connection.authoritative:
            return self._take(scope, mapped or self._map(scope, records, as_of), frozenset())
        keys: set[int] = set()
        for absent, alike in self._mappers[scope.resource.name].by_absence(records).items():
            keys |= self._take(scope, self._map(scope, alike, as_of), absent)
        return keys

    def _map(self, scope: ScopeWalk, records: list[Any], as_of: datetime) -> Mapped:
        return self._mappers[scope.resource.name].map(records, as_of, scope.context)

    def _take(self, scope: ScopeWalk, mapped: Mapped, absent: frozenset[str]) -> set[int]:
        name = scope.resource.name
        wanted = name in self.models
        mapped = scope.keys.adopt(mapped) if scope.keys else mapped
        keys = {row[0] for row in mapped.rows}
        if len(keys) == len(mapped.rows) and scope.seen.isdisjoint(keys):
            fresh = mapped.rows
        else:
            first = {row[0]: row for row in reversed(mapped.rows)}
            fresh = [row for key, row in first.items() if key not in scope.seen]
        scope.seen |= keys
        for key, spelled, reason in mapped.rejected:
            if key is None:
                scope.unidentified += 1
            else:
                scope.seen.add(key)  # it exists, whatever is wrong with it
            if wanted:
                self.tracker.record_rejection(name, spelled, reason)
                self.journal.rejected(name, spelled, reason)
        if wanted:
            self._buffers.setdefault((name, absent), []).extend(fresh)
        return keys

    def missing(self, scope: ScopeWalk) -> list[tuple[int, str]]:
        """Return (key, detail path) of live rows that a complete listing of their scope did not show."""
        name = scope.resource.name
        if not self._may_delete(scope):
            return []
        rows = scope.resource.model._default_manager.filter(
            instance_id=self.connection.instance_id, deleted_at=None
        )
        if scope.course_key:
            rows = rows.filter(Q(course_id=scope.course_key))
        absent = [key for key in rows.values_list("id", flat=True).iterator(10_000) if key not in scope.seen]
        if not (parents := scope.resource.parents_in_detail):
            return [(key, self._detail(scope, key)) for key in absent]
        columns = [f"{parent}_id" for parent in parents]
        found = []
        for chunk in _chunks(absent):
            for key, *above in rows.filter(id__in=chunk).values_list("id", *columns):
                ids = dict(zip(parents, above, strict=True))
                # Submissions of unpublished assignments are hidden, not gone.
                if name != "submissions" or ids["assignment"] in scope.covered:
                    found.append((key, self._detail(scope, key, ids)))
        return found

    def _may_delete(self, scope: ScopeWalk) -> bool:
        """Whether absence means anything: the connection sees everything, and the rows were asked for."""
        whole = bool(scope.course_key) or bool(self.root_account_ids)
        demoted = self.connection.account_admin and not self.account_ids
        return (
            self.connection.authoritative
            and whole
            and not demoted
            and scope.resource.name in self.models
            and not (scope.course_key and scope.resource.name == "users")
        )

    def _detail(self, scope: ScopeWalk, key: int, parents: Mapping[str, int | None] | None = None) -> str:
        ids = {"id": key, "course": scope.course_key, **(parents or {})}
        return scope.resource.detail.format(
            root_account=self.root_account_ids[0] if self.root_account_ids else "self",
            **{name: self.folder.spell(number) if number else "0" for name, number in ids.items()},
        )

    # --- the run -------------------------------------------------------------------------------

    def execute(self, steps: Sequence[Step], plans: Sequence[CoursePlan] | None) -> None:
        """Do the steps, then every course: those of `plans`, or what the course listing shows.

        Raises TokenRejected when Canvas no longer takes the token, RunTaken and CancelRequested from
        the heartbeat, database errors as they come. Failed steps are in `failed_steps`.
        """
        with _little_garbage():
            with held_back():
                self._begin(steps, plans)
            while self._active or self._waiting or self.fetcher.outstanding:
                event = self.fetcher.next_event(timeout=0.5)
                with held_back():
                    self._handle(event)
                    self._feed()
                    self._keep_up()
            with held_back():
                self._flush()

    def _begin(self, steps: Sequence[Step], plans: Sequence[CoursePlan] | None) -> None:
        self._record_steps(steps)
        for step in steps:
            self._start(step)
        if plans is not None:
            self._plan(plans)
        self._feed()

    def rescue(self) -> None:
        """Keep what was read before a failure that ends the run."""
        with suppress(Exception):
            self._flush()

    def _record_steps(self, steps: Sequence[Step]) -> None:
        first = self.run.steps.count()
        SyncStep.objects.bulk_create(
            [
                SyncStep(run=self.run, key=step.key, title=step.title[:200], position=first + number)
                for number, step in enumerate(steps)
            ]
        )

    def _plan(self, plans: Sequence[CoursePlan]) -> None:
        steps = [CourseStep(plan) for plan in plans]
        self._record_steps(steps)
        self._waiting.extend(steps)
        self._courses = len(steps)
        self.progress.planned(len(steps))
        self.journal.planned(len(steps))

    def _feed(self) -> None:
        """Begin further courses while there are fewer requests waiting than could be in flight."""
        while (
            self._waiting and self.fetcher.waiting < self._concurrency and len(self._active) < COURSES_AT_ONCE
        ):
            step = self._waiting.popleft()
            self._started += 1
            step.number = self._started
            self.progress.course_started(step.number, self._courses, step.title)
            self._start(step)

    def _start(self, step: Step) -> None:
        self._active.add(step)
        self.journal.step_began(step)
        self.run.steps.filter(key=step.key).update(
            state=SyncStep.State.IN_PROGRESS, started_at=timezone.now(), attempts=1
        )
        step.begin(self)
        self._settle(step)

    def _handle(self, event: PageFetched | ListingDone | ListingFailed | None) -> None:
        if event is None:
            return
        fetch = event.listing.key
        step = fetch.step
        if isinstance(event, PageFetched):
            self._outages = 0
            step.page(self, fetch, event.page, event.mapped)
            return
        if isinstance(event, ListingDone):
            step.done(self, fetch)
        else:
            self._outages += isinstance(event.error, Unavailable)
            if self._ends_the_run(event.error):
                raise event.error
            step.failed(self, fetch, event.error)
        self._settle(step)

    def _ends_the_run(self, error: Exception) -> bool:
        """Whether going on is of no use: a dead token, a Canvas that is down, a fault of our own."""
        fatal = not isinstance(error, CanvasError) or isinstance(error, TokenRejected)
        return fatal or self._outages >= OUTAGES

    def _settle(self, step: Step) -> None:
        """Conclude a step whose listings are all in, and end it when that asked for nothing more."""
        if not step.outstanding and not step.concluded:
            step.conclude(self)
        if not step.outstanding and step in self._active:
            self._active.discard(step)
            self._ended.append(step)
            self._report(step)
            if isinstance(step, CoursesStep):
                self._plan(list(step.plans.values()))

    def _report(self, step: Step) -> None:
        self.journal.step_ended(step)
        if step.errors:
            self.failed_steps.append(step)
        if isinstance(step, CourseStep):
            error = str(step.errors[0]) if step.errors else None
            self.progress.course_ended(step.number, self._courses, step.title, error)

    # --- the database --------------------------------------------------------------------------

    def _keep_up(self) -> None:
        now = time.monotonic()
        buffered = sum(map(len, self._buffers.values()))
        due = (buffered or self._ended) and now - self._flushed_at > FLUSH_SECONDS
        if buffered >= settings.CANVAS_BATCH_ROWS or due:
            self._flush()
        elif now - self._beaten_at > BEAT_SECONDS:
            beat(self.run)
            self.journal.progress()
            self._beaten_at = now

    def _flush(self) -> None:
        """Write everything that is ready, in one transaction."""
        ended, self._ended = self._ended, []
        with self.journal.flush(), self.tracker.batch():
            for (name, absent), rows in self._buffers.items():
                self._write(name, rows, absent)
            for step in ended:
                self._write_step(step)
            for step in self._active:  # how far it is, for who watches
                self.run.steps.filter(key=step.key).update(counters=_counters(step))
            beat(self.run)
        self._buffers.clear()
        self._flushed_at = self._beaten_at = time.monotonic()

    def _write(self, name: str, rows: Sequence[Row], absent: frozenset[str]) -> None:
        started = time.perf_counter()
        table = Table.of(RESOURCES[name].model)
        written = self._writer.write(table, rows, absent=absent)
        self._created[name] = self._created.get(name, 0) + written.created
        processed = written.created + written.updated + written.unchanged
        self.tracker.record(
            name,
            processed=processed,
            created=written.created,
            updated=written.updated,
            unchanged=written.unchanged,
            deleted=written.deleted,
        )
        if name == "submissions":
            score = table.columns.index("score")
            self.tracker.record_grades(sum(row[score] is not None for row in rows if row[-1] is None))
        self.tracker.record_database_operation(
            duration_ms=(time.perf_counter() - started) * 1000,
            operations=written.operations,
            rows_written=0 if self.run.dry_run else written.rows,
        )
        self.progress.rows(name, processed)
        self.journal.upserted(name, written, started)

    def _write_step(self, step: Step) -> None:
        for scope in step.scopes.values():
            if scope.gone:
                self._bury(scope.resource.name, scope.gone)
            if scope.unconfirmed:
                step.notes.append(
                    f"{scope.resource.name}: {scope.unconfirmed} missing, not confirmed deleted"
                )
        if not self.run.dry_run:
            read = [scope for scope in step.scopes.values() if scope.complete or scope.refused]
            self._write_scopes([scope for scope in read if scope.resource.name in self.models])
        if isinstance(step, CoursesStep):
            self._bury_enrollments([*step.deleted, *step.scopes["courses"].gone])
        counters = _counters(step)
        self.run.steps.filter(key=step.key).update(
            state=SyncStep.State.FAILED if step.errors else SyncStep.State.COMPLETED,
            ended_at=timezone.now(),
            counters=counters,
            note="; ".join(step.notes),
            error_class=type(step.errors[0]).__name__ if step.errors else "",
            error_message=short("; ".join(dict.fromkeys(map(str, step.errors)))) if step.errors else "",
        )
        self.journal.step_written(step, counters)

    def _bury(self, name: str, keys: Sequence[int]) -> None:
        """Mark rows that Canvas said are gone. The hash goes too: who comes back is written anew."""
        live = RESOURCES[name].model._default_manager.filter(deleted_at=None)
        buried, started = 0, time.perf_counter()
        for chunk in _chunks(keys):
            rows = live.filter(id__in=chunk)
            buried += (
                rows.count()
                if self.run.dry_run
                else rows.update(
                    deleted_at=self.clock, as_of=self.clock, workflow_state="deleted", row_hash=0
                )
            )
        self.tracker.record(name, deleted=buried)
        self.journal.marked_deleted(name, buried, started)

    def _bury_enrollments(self, courses: Sequence[int]) -> None:
        """Canvas calls every enrollment of a deleted course deleted, and lists none of them any more."""
        if "enrollments" in self.models:
            live = Enrollment.objects.filter(deleted_at=None).values_list("id", flat=True)
            for chunk in _chunks(courses):
                self._bury("enrollments", list(live.filter(course_id__in=chunk)))

    def _write_scopes(self, scopes: Sequence[ScopeWalk]) -> None:
        Scope.objects.bulk_create(
            map(self._scope_row, scopes),
            update_conflicts=True,
            unique_fields=["connection", "resource", "course_id"],
            update_fields=["last_complete_at", "last_full_at", "refused_at", "cursor", "covered"],
        )

    def _scope_row(self, scope: ScopeWalk) -> Scope:
        name = scope.resource.name
        before = self._stored_scopes.get((name, scope.course_key))
        if scope.refused:
            return Scope(
                connection=self.connection,
                resource=name,
                course_id=scope.course_key,
                last_complete_at=before.last_complete_at if before else None,
                last_full_at=before.last_full_at if before else None,
                refused_at=self.clock,
            )
        return Scope(
            connection=self.connection,
            resource=name,
            course_id=scope.course_key,
            last_complete_at=self.clock,
            last_full_at=self.clock if scope.full or before is None else before.last_full_at,
            cursor=self.clock,
            covered=sorted(scope.covered) if name == "submissions" else [],
        )

    def analyze(self) -> None:
        """Give the planner its statistics after a load; without them it scans (docs/adr/0008)."""
        if not self.run.dry_run:
            for name, created in self._created.items():
                if created >= ANALYZE_ROWS:
                    analyze(Table.of(RESOURCES[name].model))


def _counters(step: Step) -> dict[str, int]:
    """Return how many records each scope of a step has seen so far."""
    return {name: len(scope.seen) for name, scope in step.scopes.items()}


@contextmanager
def _little_garbage() -> Iterator[None]:
    """Keep the collector from all modules meanwhile: looking through them took 4 % of a sync."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _chunks(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    """Split keys so that each part fits the variables of one statement."""
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        yield keys[start : start + KEYS_PER_STATEMENT]


def mappers_of(folder: Folder, instance_id: int) -> dict[str, Mapper]:
    """Return what maps each resource's records on an instance."""
    return {
        name: Mapper(resource.columns, folder, instance_id, source="rest")
        for name, resource in RESOURCES.items()
    }


def account_steps(models: frozenset[str], *, admin: bool) -> list[Step]:
    """Return the steps that come before the courses, for the resources asked for."""
    steps: list[Step] = []
    if admin and "accounts" in models:
        steps.append(AccountsStep("accounts", "Accounts"))
    for name, resource in RESOURCES.items():
        account_wide = resource.listing and resource.listing.level in (Level.ACCOUNT, Level.ROOT_ACCOUNT)
        if admin and account_wide and name in models and name not in ("accounts", "courses"):
            steps.append(AccountWideStep(name, name.capitalize()))
    return steps


def _administered(pages: Sequence[Page]) -> tuple[list[str], list[str]]:
    """Return the ids of the topmost administered accounts, and of those that are root accounts."""
    rows = [record for page in pages for record in page.rows if isinstance(record, dict)]
    records = [record for record in rows if record.get("id")]
    listed = {str(record["id"]) for record in records}
    top = [record for record in records if str(record.get("parent_account_id")) not in listed]
    return (
        [str(record["id"]) for record in top],
        [str(record["id"]) for record in top if not record.get("parent_account_id")],
    )
