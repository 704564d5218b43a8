"""What a sync tells its logs, in step with what it writes to the database (`easel.events` has the table)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from canvas.errors import TokenRejected
from canvas.pages import RequestRecord
from canvas.steps import CourseStep, Step
from canvas.writer import Written
from easel.ids import InvalidId, split_id
from syncmetrics.events import RunLog, write_error
from syncmetrics.models import SyncRun

API_PREFIX = "/api/v1/"


class Journal:
    """The events of one run. What a transaction did is told when it is committed, and never otherwise."""

    def __init__(self, run: SyncRun) -> None:
        self._log = RunLog.of(run)
        self._began = time.monotonic()
        self._step_began: dict[str, float] = {}
        self._uncommitted: list[tuple[str, dict[str, Any]]] = []
        self._courses: int | None = None
        self._courses_done = self._rows = self._requests = 0
        self._lock = threading.Lock()  # requests are told by the threads that made them

    # --- as it happens -------------------------------------------------------------------------

    def requested(self, record: RequestRecord) -> None:
        """One HTTP attempt was made."""
        with self._lock:
            self._requests += 1
        write_request(self._log, record)

    def testing_connection(self) -> AbstractContextManager[None]:
        """Wrap asking Canvas whether the token works; the body raises what it says against it."""
        return testing(self._log)

    def failed(self, error: BaseException) -> None:
        """The run as a whole failed."""
        write_error(self._log, error)

    def planned(self, courses: int) -> None:
        """So many more courses will be synced."""
        self._courses = (self._courses or 0) + courses
        self._log.write("courses_planned", courses=courses)

    def step_began(self, step: Step) -> None:
        """A step makes its first request."""
        self._step_began[step.key] = time.monotonic()

    def step_ended(self, step: Step) -> None:
        """A step was read to its end, or failed; its rows may not be written yet."""
        if isinstance(step, CourseStep):
            self._courses_done += 1
            self.progress()

    def rejected(self, entity: str, record_id: str, reason: str) -> None:
        """A record cannot be stored. What stands for its id and is none is not repeated."""
        known = record_id if _is_id(record_id) else None
        self._log.write("record_rejected", entity=entity, record_id=known, message=reason)

    def progress(self) -> None:
        """Tell how far the run has come."""
        courses = self._courses
        self._log.write(
            "progress",
            courses_done=self._courses_done,
            courses=courses or 0,
            percent=None if courses is None else _percent(self._courses_done, courses),
            rows=self._rows,
            requests=self._requests,
            seconds=_since(self._began),
        )

    # --- with a transaction --------------------------------------------------------------------

    @contextmanager
    def flush(self) -> Iterator[None]:
        """Wrap a transaction: what is said of it within is written once it is committed."""
        started = time.perf_counter()
        self._uncommitted.clear()
        yield
        told, self._uncommitted = self._uncommitted, []
        rows = sum(fields["rows"] for event, fields in told if event == "bulk_upsert")
        steps = sum(event in ("course_synced", "step_synced") for event, _ in told)
        self._rows += sum(fields["rows"] - fields["deleted"] for event, fields in told if "deleted" in fields)
        for event, fields in told:
            self._log.write(event, **fields)
        self._log.write("flush", rows=rows, steps=steps, duration_ms=_milliseconds(started))
        self.progress()

    def upserted(self, entity: str, written: Written, started: float) -> None:
        """A batch was compared and written, from `started` on (`time.perf_counter`)."""
        counts = {name: getattr(written, name) for name in ("created", "updated", "unchanged", "deleted")}
        self._tell(
            "bulk_upsert",
            entity=entity,
            rows=sum(counts.values()),
            **counts,
            statements=written.operations,
            duration_ms=_milliseconds(started),
        )

    def marked_deleted(self, entity: str, rows: int, started: float) -> None:
        """Rows were marked deleted, from `started` on."""
        if rows:
            self._tell("mark_deleted", entity=entity, rows=rows, duration_ms=_milliseconds(started))

    def step_written(self, step: Step, records: Mapping[str, int]) -> None:
        """A step's end stands in the database, with the records it read by entity."""
        ended = {
            "state": "failed" if step.errors else "completed",
            "seconds": _since(self._step_began.pop(step.key, time.monotonic())),
            "records": dict(records),
        }
        course = step.plan.canvas_id if isinstance(step, CourseStep) else None
        if course is None:
            self._tell("step_synced", step=step.key, **ended)
        else:
            self._tell("course_synced", step=step.key, course=course, **ended)
        if step.errors:
            message = "; ".join(dict.fromkeys(error.for_log for error in step.errors))
            kind = type(step.errors[0]).__name__
            self._tell("error", step=step.key, course=course, error_class=kind, message=message)

    def _tell(self, event: str, **fields: Any) -> None:
        self._uncommitted.append((event, fields))


def write_request(log: RunLog, record: RequestRecord) -> None:
    """Write one HTTP attempt, under the time at which it ended."""
    log.write(
        "request",
        at=record.ended_at or None,
        method=record.method,
        path=record.path.removeprefix(API_PREFIX),
        status=record.status,
        duration_ms=round(record.duration_ms, 1),
        bytes=record.bytes,
        paginated=record.paginated,
        throttled=record.throttled,
        retried=record.retried,
        failed=record.failed,
        waited_ms=round(record.waited_ms, 1),
    )


@contextmanager
def testing(log: RunLog) -> Iterator[None]:
    """Write how a test of a connection ends; the body raises what speaks against it."""
    started = time.perf_counter()

    def tell(state: str) -> None:
        log.write("connection_tested", state=state, duration_ms=_milliseconds(started))

    try:
        yield
    except Exception as error:
        tell("rejected" if isinstance(error, TokenRejected) else type(error).__name__)
        raise
    tell("ok")


def _is_id(text: str) -> bool:
    try:
        split_id(text)
    except InvalidId:
        return False
    return True


def _percent(done: int, of: int) -> float:
    return round(100 * done / of, 1) if of else 100.0


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
