"""One parse run from its claim to its stored log: the same for a worker and for a command."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import DatabaseError, connection

from parselogs.dispatch import RUN_ONLY
from parselogs.errors import (
    CancelRequested,
    InputUnusable,
    RunTaken,
    StorageUnavailable,
    describe,
)
from parselogs.heartbeat import Heartbeat
from parselogs.inputs import Input, fetched
from parselogs.installed import registry
from parselogs.live_copy import LiveCopy
from parselogs.logs import store
from parselogs.models import DataFile, ParsedPart, ParseFileMeta, RowMessage
from parselogs.parsers import Upload, parse
from parselogs.report import RunReport
from parselogs.runlog import RunLog, run_log
from parselogs.runs import STORAGE, claim, finish
from syncmetrics.process import host_name

SEVERAL = "several"
"""The kind of an upload that holds files of more than one kind."""
NOTHING_READ = "nothing_read"
PAUSES = (0.2, 2.0, 10.0)
"""Seconds after a database failed to take an outcome; after the last one the sweeper finds the run."""

State, LogState = ParseFileMeta.State, ParseFileMeta.LogState
log = logging.getLogger(__name__)
run_only = logging.getLogger(RUN_ONLY)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a parse ended: its state and, where it failed, why."""

    state: str
    code: str = ""
    text: str = ""
    exception: str = ""

    @property
    def columns(self) -> dict[str, str]:
        """What the run's row keeps of it."""
        failure = {"failure_code": self.code[:60], "failure_text": self.text[:1000]}
        return {**failure, "exception_class": self.exception[:200]}


def perform(run: UUID | str, task_id: str = "") -> ParseFileMeta | None:
    """Do a queued run and return it as it ended; None where it is queued no more: somebody else does it.

    Whatever goes wrong is a state of the run and a line in its log. What ends the process (KeyboardInterrupt,
    SystemExit) is raised again, when the run and its log are safe.
    """
    claimed = claim(run, task_id)
    if claimed is None:
        return None
    with run_log(claimed.uuid, claimed.log_level) as own_log:
        Attempt(claimed, own_log).make()
    return claimed


class Attempt:
    """A claimed run at work."""

    def __init__(self, run: ParseFileMeta, own_log: RunLog) -> None:
        """Begin with an empty report."""
        self._run, self._log = run, own_log
        self._heartbeat = Heartbeat(run)
        self._report = RunReport(run, self._heartbeat)
        self._input: Input | None = None

    def make(self) -> None:
        """Parse, record how it ended, store the log."""
        ends_process: BaseException | None = None
        try:
            self._parse()
            ending = self._outcome()
        except BaseException as error:  # once for all: the log of a failure is wanted most
            ending = _ending_of(error)
            ends_process = None if isinstance(error, Exception) else error
        self._report.list.close()
        if self._recorded(ending):
            self._say_end(ending)
            if self._log.has_spool:
                store(self._run)
        if ends_process:
            raise ends_process

    def _parse(self) -> None:
        run = self._run
        _say_begin(run)
        with self._heartbeat, LiveCopy(run), fetched(run.data_file) as given:
            self._input = given
            size, stored = f"{given.size:,}", run.data_file.file.name
            log.info("Input: %s bytes, SHA-256 %s, stored as %s", size, given.sha256, stored)
            upload = Upload(run.data_file.name, given.size, given.open)
            complete = run.data_file.self_contained
            if complete:
                log.info("The archive is said to hold everything that its rows refer to")
            parse(upload, self._report, registry=registry(), self_contained=complete)

    def _outcome(self) -> Ending:
        tally = self._report.tally
        if not self._report.totals()[0] and tally.severities["file"]:
            return Ending(State.FAILED, NOTHING_READ, "No row could be read: the findings say why.")
        return Ending(State.SUCCEEDED_WITH_ERRORS if tally.errors else State.SUCCEEDED)

    def _recorded(self, ending: Ending) -> bool:
        """Write down how the run ended; False where it is no longer ours, or cannot be written."""
        for pause in PAUSES:
            try:
                finish(self._run, ending.state, self._columns() | ending.columns, self._write_children)
            except RunTaken as taken:
                log.warning("The outcome (%s) does not count: %s", ending.state, taken)
                return False
            except DatabaseError as error:
                log.error("The outcome (%s) could not be written down: %s", ending.state, describe(error))
                run_only.error("It happened here", exc_info=error)
                if connection.in_atomic_block:
                    return False
                connection.close()  # it may have been idle for longer than the database allows
                time.sleep(pause)
            else:
                return True
        return False

    def _columns(self) -> dict[str, Any]:
        report, tally = self._report, self._report.tally
        read, accepted, rejected = report.totals()
        given = self._input
        return {
            "rows_read": read,
            "rows_accepted": accepted,
            "rows_rejected": rejected,
            "warnings": tally.warnings,
            "errors": tally.errors,
            "finding_counts": dict(tally.codes.most_common()),
            "parser": _only({part.parser for part in report.parts}),
            "parser_version": _only({part.parser_version for part in report.parts}),
            "input_sha256": given.sha256 if given else "",
            "input_size": given.size if given else None,
            "input_version": given.version if given else "",
            "log_state": LogState.PENDING_UPLOAD if self._log.has_spool else LogState.LOST,
            "lines_dropped": self._log.dropped,
            "spool_error": self._log.error,
            "level_counts": dict(self._log.levels),
        }

    def _write_children(self) -> None:
        ParsedPart.objects.bulk_create(self._report.parts)
        RowMessage.objects.bulk_create(self._report.tally.kept, batch_size=500)
        if kind := _only({part.kind for part in self._report.parts}):
            DataFile.objects.filter(pk=self._run.data_file_id).update(kind=kind)

    def _say_end(self, ending: Ending) -> None:
        self._report.say_what_was_left_out()
        run, tally = self._run, self._report.tally
        why = f" ({ending.code}: {ending.text})" if ending.code else ""
        log.info(
            "Ended: %s%s. %s rows read, %s accepted, %s rejected; %s errors, %s warnings; %.1f s",
            ending.state,
            why,
            *(f"{rows:,}" for rows in (run.rows_read, run.rows_accepted, run.rows_rejected)),
            f"{tally.errors:,}",
            f"{tally.warnings:,}",
            run.duration_seconds or 0,
        )
        if tally.codes:
            counts = ", ".join(f"{code} {count:,}" for code, count in tally.codes.most_common())
            log.info("Findings: %s", counts)


def _say_begin(run: ParseFileMeta) -> None:
    why = f"{run.trigger}, batch {run.parse_meta_id}" if run.parse_meta_id else run.trigger
    log.info("Run %s, attempt %s of file %s (%s)", run.uuid, run.attempt, run.data_file_id, why)
    log.info("File name: %s", run.data_file.name)
    log.info("Process %s on %s, lines from %s", run.worker_pid, host_name(run.worker_host), run.log_level)


def _ending_of(error: BaseException) -> Ending:
    """Return what an exception makes of a run, and log it: where it was, for the run's log alone."""
    match error:
        case CancelRequested():
            ending = Ending(State.CANCELED, "canceled", str(error))
        case InputUnusable():
            ending = Ending(State.FAILED, error.code, str(error))
        case StorageUnavailable():
            ending = Ending(State.FAILED, STORAGE, str(error))
        case SoftTimeLimitExceeded():
            hours = settings.TASK_LIMIT_SECONDS / 3600
            text = f"Stopped after {hours:g} h, the most a task may take (TASK_LIMIT_SECONDS)."
            ending = Ending(State.FAILED, "time_limit", text)
        case KeyboardInterrupt() | SystemExit():
            text = "Its process was asked to end while it ran. Parse the file again."
            ending = Ending(State.CANCELED, "interrupted", text)
        case _:
            text = (
                f"The parse broke off: {describe(error)}. Its log says where; a fault of Easel or a parser."
            )
            ending = Ending(State.FAILED, "crashed", text)
    log.log(logging.ERROR if ending.state == State.FAILED else logging.WARNING, "%s", ending.text)
    if not isinstance(error, CancelRequested | InputUnusable):
        run_only.error("It happened here", exc_info=error)
    return replace(ending, exception=type(error).__name__)


def _only(values: set[str]) -> str:
    """Return what all have in common; empty where there is nothing, `several` where they differ."""
    known = values - {""}
    return next(iter(known)) if len(known) == 1 else SEVERAL if known else ""
