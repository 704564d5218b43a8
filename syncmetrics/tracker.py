"""The tracker: counts and timings of a run, gathered in memory, added to its rows exactly."""

from __future__ import annotations

import threading
import weakref
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from syncmetrics.events import RunLog, write_error
from syncmetrics.models import SyncCount, SyncRejection, SyncRun
from syncmetrics.runs import RunTaken, finish_run, held, short, start_run

REASONS_KEPT = 200  # per run and entity; the counts go on
REASON_CHARACTERS = 500
RUN = ""  # stands where an entity would, for amounts kept on the run itself


@dataclass(slots=True)
class _Amounts:
    """Increments by (entity, column), and reasons why records were rejected."""

    numbers: defaultdict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(int))
    reasons: defaultdict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, entity: str, **amounts: float) -> None:
        for column, amount in amounts.items():
            if amount:
                self.numbers[entity, column] += amount

    def add_reasons(self, entity: str, reasons: list[tuple[str, str]]) -> None:
        kept = self.reasons[entity]
        kept.extend(reasons[: REASONS_KEPT - len(kept)])

    def merge(self, other: _Amounts) -> None:
        for key, amount in other.numbers.items():
            self.numbers[key] += amount
        for entity, reasons in other.reasons.items():
            self.add_reasons(entity, reasons)

    def by_entity(self) -> dict[str, dict[str, float]]:
        columns: dict[str, dict[str, float]] = {}
        for (entity, column), amount in sorted(self.numbers.items()):
            columns.setdefault(entity, {})[column] = amount
        return columns


class _InFlight:
    """Amounts written in a transaction that has not ended; given back if it never commits.

    A transaction that rolls back, whole or to a savepoint, drops its `on_commit` callbacks uncalled,
    and Django tells nobody. So this callback is held by the transaction alone, and dying uncalled is
    the sign.
    """

    __slots__ = ("__weakref__", "_lost")

    def __init__(self, give_back: Callable[[_Amounts], None], amounts: _Amounts) -> None:
        self._lost = weakref.finalize(self, give_back, amounts)
        self._lost.atexit = False

    def __call__(self) -> None:
        self._lost.detach()


def _record_one(entity: str) -> Callable[..., None]:
    def record(
        self: SyncTracker,
        *,
        created: bool = False,
        updated: bool = False,
        unchanged: bool = False,
        deleted: bool = False,
    ) -> None:
        self.record(
            entity,
            processed=int(not deleted),
            created=int(created),
            updated=int(updated),
            unchanged=int(unchanged),
            deleted=int(deleted),
        )

    record.__doc__ = f"Count one of the {entity}: a processed one, unless it was marked deleted."
    return record


class SyncTracker:
    """Counts what a run does. Safe under threads; several trackers of one run add up exactly.

    `SyncTracker(run)` tracks a run that exists. `SyncTracker(task_id=…, user_id=…, sync_type=…)` makes
    one, and then also flushes by itself now and then, as a sign of life, from the thread that made it.
    """

    def __init__(
        self,
        run: SyncRun | None = None,
        *,
        task_id: str | None = None,
        user_id: int | None = None,
        sync_type: str = "all",
    ) -> None:
        self.run = run or start_run(
            sync_type=sync_type,
            genre=sync_type,
            mode=SyncRun.Mode.FULL,
            trigger=SyncRun.Trigger.CODE,
            instance_key=None,
            connection_key=None,
            connection_name="",
            user_id=user_id,
            sync_task_id=task_id,
        )
        self._lock = threading.Lock()
        self._waiting = _Amounts()
        # A deque, not the lock: what a dying callback calls may run in the middle of anything.
        self._given_back: deque[_Amounts] = deque()
        self._local = threading.local()
        self._beating_thread = None if run else threading.get_ident()
        self._flushed_at = monotonic()

    # --- recording --------------------------------------------------------------------------------

    record_account = _record_one("accounts")
    record_term = _record_one("terms")
    record_user = _record_one("users")
    record_course = _record_one("courses")
    record_section = _record_one("sections")
    record_enrollment = _record_one("enrollments")
    record_assignment_group = _record_one("assignment_groups")
    record_assignment = _record_one("assignments")
    record_submission = _record_one("submissions")
    record_module = _record_one("modules")
    record_module_item = _record_one("module_items")
    record_group_category = _record_one("group_categories")
    record_group = _record_one("groups")
    record_group_membership = _record_one("group_memberships")

    def record(
        self,
        entity: str,
        processed: int = 0,
        created: int = 0,
        updated: int = 0,
        unchanged: int = 0,
        deleted: int = 0,
        rejected: int = 0,
    ) -> None:
        """Count what was done to records of an entity; tombstones count in `deleted` only."""
        self._add_rows(
            entity,
            processed=processed,
            created=created,
            updated=updated,
            unchanged=unchanged,
            deleted=deleted,
            rejected=rejected,
        )

    def record_grades(self, number: int) -> None:
        """Count grades processed."""
        self._add_rows(RUN, grades_processed=number)

    def record_rejection(self, entity: str, record_id: object, reason: str) -> None:
        """Count one rejected record and keep why, for the first `REASONS_KEPT` of the run and entity."""
        with self._lock:
            rows = self._rows()
            rows.add(entity, rejected=1)
            if len(rows.reasons[entity]) < REASONS_KEPT:
                rows.add_reasons(entity, [(short(str(record_id), 255), short(reason, REASON_CHARACTERS))])

    def record_api_call(
        self,
        duration_ms: float = 0.0,
        *,
        wait_ms: float = 0.0,
        failed: bool = False,
        rate_limited: bool = False,
        retried: bool = False,
    ) -> None:
        """Count one HTTP request: how long it took, and whether it failed, was throttled, is repeated.

        `wait_ms` is how long it was held back before, because requests were refused or failed.
        """
        self._add_measured(
            api_calls_made=1,
            total_api_duration_ms=duration_ms,
            api_wait_ms=wait_ms,
            api_calls_failed=int(failed),
            api_rate_limit_hits=int(rate_limited),
            api_retries=int(retried),
        )

    def record_database_operation(
        self, duration_ms: float = 0.0, *, operations: int = 1, rows_written: int = 0
    ) -> None:
        """Count statements, the time they took and the data rows they wrote."""
        self._add_measured(db_operations=operations, db_duration_ms=duration_ms)
        self._add_rows(RUN, db_rows_written=rows_written)

    def _add_rows(self, entity: str, **amounts: float) -> None:
        """Add amounts that are true only if the rows they speak of are committed."""
        with self._lock:
            self._rows().add(entity, **amounts)
        self._show_life()

    def _add_measured(self, **amounts: float) -> None:
        """Add amounts that happened, whatever becomes of a transaction."""
        with self._lock:
            self._waiting.add(RUN, **amounts)
        self._show_life()

    def _rows(self) -> _Amounts:
        batch = self._batch()
        return self._waiting if batch is None else batch

    def _batch(self) -> _Amounts | None:
        """What this thread recorded in its open batch; None outside of one."""
        batch: _Amounts | None = getattr(self._local, "batch", None)
        return batch

    def _show_life(self) -> None:
        mine = self._beating_thread == threading.get_ident()
        if mine and monotonic() - self._flushed_at > settings.SYNC_LEASE_SECONDS / 4:
            self.flush()

    # --- writing ----------------------------------------------------------------------------------

    def pending(self) -> dict[str, float]:
        """Return what no transaction holds yet, as `api_calls_made` or `courses.created` to amount."""
        with self._lock:
            self._take_back()
            numbers = dict(self._waiting.numbers)
        return {f"{entity}.{column}".lstrip("."): amount for (entity, column), amount in numbers.items()}

    @contextmanager
    def batch(self) -> Iterator[None]:
        """A transaction for rows and their counts, flushed at its end: both are kept, or neither.

        On a rollback the counts of rows, grades and rejections that this thread recorded inside are
        dropped, since a retry counts them again; API calls and timings stay to be flushed later.
        """
        outer = self._batch()
        self._local.batch = _Amounts()
        try:
            with transaction.atomic():
                yield
                self.flush()
        finally:
            self._local.batch = outer

    def flush(self) -> None:
        """Add what was recorded since the last flush to the run's rows; also a sign of life.

        Belongs at the end of the caller's transaction, if there is one: the run's row stays locked
        until it ends. If that rolls back, the amounts come back and the next flush writes them; the
        counts of rows recorded inside `batch` do not. Raises `RunTaken` when the run is not ours any
        more, so that nothing of the transaction is kept.
        """
        amounts = _Amounts()
        with transaction.atomic(savepoint=False):
            with self._lock:
                self._take_back()
                waiting, self._waiting = self._waiting, _Amounts()
            transaction.on_commit(_InFlight(self._given_back.append, waiting))
            amounts.merge(waiting)
            amounts.merge(self._take_batch())
            _add_to_run(self.run, amounts)
        self._flushed_at = monotonic()

    def _take_back(self) -> None:
        while self._given_back:
            self._waiting.merge(self._given_back.popleft())

    def _take_batch(self) -> _Amounts:
        batch = self._batch()
        if batch is None:
            return _Amounts()
        self._local.batch = _Amounts()
        return batch

    # --- ending -----------------------------------------------------------------------------------

    def complete_success(self) -> SyncRun:
        """End the run as completed; its `to_dict()` is the published JSON. Raises `RunTaken`."""
        return self.complete(SyncRun.Status.COMPLETED)

    def complete_failure(self, error: BaseException | str) -> SyncRun:
        """End the run as failed, with the class and the redacted message of the error."""
        return self.complete(SyncRun.Status.FAILED, error)

    def complete_partial(self, message: BaseException | str) -> SyncRun:
        """End the run as partial: some of its steps failed, the rest is kept."""
        return self.complete(SyncRun.Status.PARTIAL, message)

    def complete(self, status: str, error: BaseException | str | None = None) -> SyncRun:
        """Flush and end the run in one transaction, and return it as the database has it."""
        with transaction.atomic():
            self.flush()
            if error is not None:
                said = error if isinstance(error, BaseException) else short(error)
                transaction.on_commit(partial(write_error, RunLog.of(self.run), said), robust=True)
            finish_run(self.run, status, error)
        return self.run


CanvasSyncMetricsTracker = SyncTracker


def _add_to_run(run: SyncRun, amounts: _Amounts) -> None:
    """Increment the rows of a run. Its own comes first: that lock keeps other flushes of it out."""
    by_entity = amounts.by_entity()
    own = _increments(by_entity.pop(RUN, {}))
    if not held(run).update(heartbeat_at=timezone.now(), **own):
        raise RunTaken(run)
    for entity, columns in by_entity.items():
        row = SyncCount.objects.filter(run=run, entity=entity)
        if not row.update(**_increments(columns)):
            SyncCount.objects.create(run=run, entity=entity, **columns)
    _keep_reasons(run, amounts)


def _increments(columns: dict[str, float]) -> dict[str, Any]:
    return {column: F(column) + amount for column, amount in columns.items()}


def _keep_reasons(run: SyncRun, amounts: _Amounts) -> None:
    if not amounts.reasons:
        return
    kept = Counter(run.rejections.filter(entity__in=amounts.reasons).values_list("entity", flat=True))
    SyncRejection.objects.bulk_create(
        SyncRejection(run=run, entity=entity, record_id=record_id, reason=reason)
        for entity, reasons in amounts.reasons.items()
        for record_id, reason in reasons[: max(0, REASONS_KEPT - kept[entity])]
    )
