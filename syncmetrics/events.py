"""How an event of a sync is written to its log; `easel.events` says which events there are.

Whoever writes an event hands it to the standard logger of its log, `canvas.sync.operations` and so on; files
are the business of handlers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from easel.events import EVENTS as EVENTS
from easel.events import LOGGER_PREFIX
from easel.events import LOGS as LOGS
from syncmetrics.models import SyncRun

NAME_CHARACTERS = 200
"""Of a connection's name; a line has to stay short."""

ENTITIES_TOLD = ("courses", "assignments", "submissions")
"""What the end of a run tells the number of."""

NOT_QUOTED = "Its text may hold data and stands on the page of the run only."


@dataclass(frozen=True, slots=True)
class RunLog:
    """Writes the events of one run, from any thread; or of a connection outside of a run."""

    run: int | None = None
    connection: str = ""
    user: int | None = None
    _loggers: Mapping[str, logging.Logger] = field(
        default_factory=lambda: {log: logging.getLogger(LOGGER_PREFIX + log) for log in LOGS}, repr=False
    )

    @classmethod
    def of(cls, run: SyncRun) -> RunLog:
        """Return the log of a run."""
        return cls(run.pk, run.connection_name[:NAME_CHARACTERS], run.user_id)

    def write(self, event: str, /, *, at: float | None = None, **fields: Any) -> None:
        """Write one event with all of its declared fields; `at` is when it happened, in POSIX seconds.

        Raises KeyError for an event there is not, ValueError when its fields are not those declared.
        """
        declared = EVENTS[event]
        if fields.keys() != declared.fields.keys():
            raise ValueError(f"{event} has the fields {', '.join(declared.fields)}, not {', '.join(fields)}.")
        logger = self._loggers[declared.log]
        if logger.isEnabledFor(declared.level):
            common = {"run": self.run, "connection": self.connection, "user": self.user}
            own = {name: fields[name] for name in declared.fields}
            logger.log(declared.level, event, extra={"fields": common | own, "at": at})


def write_start(run: SyncRun) -> None:
    """Say that a run begins."""
    RunLog.of(run).write(
        "sync_started",
        mode=run.mode,
        sync_type=run.sync_type,
        trigger=run.trigger,
        dry_run=run.dry_run,
        resumed_from=run.resumed_from_id,
    )


def write_end(run: SyncRun) -> None:
    """Say how a run ended, as its row has it."""
    processed = dict(run.counts.filter(entity__in=ENTITIES_TOLD).values_list("entity", "processed"))
    RunLog.of(run).write(
        "sync_ended",
        status=run.sync_status,
        seconds=run.total_duration_seconds,
        requests=run.api_calls_made,
        rows_written=run.db_rows_written,
        **{entity: processed.get(entity, 0) for entity in ENTITIES_TOLD},
    )


def write_error(
    log: RunLog, error: BaseException | str, *, step: str = "", course: str | None = None, kind: str = ""
) -> None:
    """Say what failed: a step, or the whole run. `kind` stands for the class where there is none.

    Of exceptions only what they offer as `for_log` is written: a database's quotes the row it refused.
    """
    message = error if isinstance(error, str) else getattr(error, "for_log", NOT_QUOTED)
    error_class = kind if isinstance(error, str) else type(error).__name__
    log.write("error", step=step, course=course, error_class=error_class, message=message)
