"""What a parse finds, on its way into the log, the list of all findings and the tables."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TextIO

from django.conf import settings

from easel.redaction import clean
from easel.spreadsheets import escape
from parselogs.dispatch import RUN_ONLY
from parselogs.errors import describe
from parselogs.heartbeat import Heartbeat
from parselogs.models import ParsedPart, ParseFileMeta, RowMessage
from parselogs.parsers.findings import Finding, Severity
from parselogs.spool import Spool, open_private

CODES_KEPT = 500
"""Codes whose findings are kept one by one: parsers have some dozens, and a broken one of yours no end."""
COLUMNS = ("file", "row", "column", "code", "severity", "detail")
_encode = json.JSONEncoder(ensure_ascii=False).encode  # made once: it costs as much as to use it

LEVELS = {Severity.FILE: logging.ERROR, Severity.ROW: logging.ERROR, Severity.WARNING: logging.WARNING}

log = logging.getLogger(__name__)
run_only = logging.getLogger(RUN_ONLY)


@dataclass(slots=True)
class Tally:
    """How many findings there were, and those that are kept."""

    codes: Counter[str] = field(default_factory=Counter)
    severities: Counter[str] = field(default_factory=Counter)
    kept: list[RowMessage] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Files and rows that were rejected for a finding."""
        return self.severities[Severity.FILE] + self.severities[Severity.ROW]

    @property
    def warnings(self) -> int:
        """Findings that are a doubt."""
        return self.severities[Severity.WARNING]


class RunReport:
    """Receives what a parser finds (`parselogs.parsers.findings.Report`)."""

    def __init__(self, run: ParseFileMeta, heartbeat: Heartbeat) -> None:
        """Report for a run; its heartbeat says when to stop."""
        self.parts: list[ParsedPart] = []
        self.tally = Tally()
        self.list = FindingsList(Spool(run.uuid))
        self.rows = (0, 0, 0)
        self._run, self._heartbeat = run, heartbeat
        self._per_code = settings.PARSE_FINDINGS_PER_CODE

    def begin_file(self, name: str, kind: str, parser: str, version: str) -> None:
        """Note that a file of the upload begins."""
        self._heartbeat.check()
        part = ParsedPart(
            run=self._run,
            position=len(self.parts),
            name=clean(name, 255),
            kind=clean(kind, 40),
            parser=clean(parser, 100),
            parser_version=clean(version, 40),
        )
        self.parts.append(part)
        by = f", parser {part.parser} {part.parser_version}" if part.parser else ""
        log.info("Reading %s: %s%s", part.name, part.kind, by)

    def finding(self, finding: Finding) -> None:
        """Count a finding, list it, and keep and log it where it is among the first of its code."""
        tally = self.tally
        tally.codes[finding.code] += 1
        severity = finding.severity
        tally.severities[severity] += 1
        self.list.add(finding, severity)
        count = tally.codes[finding.code]
        if count <= self._per_code and len(tally.codes) <= CODES_KEPT:
            self._keep(finding, severity)
            run_only.log(LEVELS[severity], "%s%s: %s", finding.code, _where(finding), finding.text)
        elif log.isEnabledFor(logging.DEBUG):
            run_only.debug("%s%s: %s", finding.code, _where(finding), finding.text)

    def progress(self, rows_read: int, rows_accepted: int, rows_rejected: int) -> None:
        """Take note of how far the parse is; raises where it shall stop."""
        self.rows = self._heartbeat.rows = (rows_read, rows_accepted, rows_rejected)
        self._heartbeat.check()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s rows read, %s accepted, %s rejected", rows_read, rows_accepted, rows_rejected)

    def end_file(self, rows_read: int, rows_accepted: int, rows_rejected: int) -> None:
        """Note how the file ended."""
        part = self.parts[-1]
        part.rows_read, part.rows_accepted, part.rows_rejected = rows_read, rows_accepted, rows_rejected
        rows = (f"{rows_read:,}", f"{rows_accepted:,}", f"{rows_rejected:,}")
        log.info("%s: %s rows read, %s accepted, %s rejected", part.name, *rows)

    def say_what_was_left_out(self) -> None:
        """Log how many findings of each code the log does not show."""
        for code, count in self.tally.codes.items():
            if (more := count - self._per_code) > 0:
                log.info("%s: %s more of this code are not shown here", code, f"{more:,}")
        if self.list.missing:
            missing = f"{self.list.missing:,}{self.list.why}"
            log.warning("Findings that are not in the list of all findings: %s", missing)

    def totals(self) -> tuple[int, int, int]:
        """Return rows read, accepted and rejected: of the files that ended, or further, as last told."""
        ended = (
            sum(part.rows_read for part in self.parts),
            sum(part.rows_accepted for part in self.parts),
            sum(part.rows_rejected for part in self.parts),
        )
        return max(ended, self.rows)

    def _keep(self, finding: Finding, severity: Severity) -> None:
        self.tally.kept.append(
            RowMessage(
                run=self._run,
                file=clean(finding.file, 255),
                row=finding.row,
                column=clean(finding.column or "", 255),
                code=clean(finding.code, 60),
                severity=severity.value,
                detail={
                    key: clean(value, 255) if isinstance(value, str) else value
                    for key, value in finding.detail.items()
                },
            )
        )


class FindingsList:
    """All findings of a run as CSV in the spool, up to a limit; a full disk costs the rest of them."""

    def __init__(self, spool: Spool) -> None:
        """Make no file before the first finding."""
        self.missing = 0
        self.why = ""
        self._path = spool.findings
        self._room = settings.PARSE_FINDINGS_IN_FILE
        self._file: TextIO | None = None

    def add(self, finding: Finding, severity: Severity) -> None:
        """Write a finding down, without any value of the file."""
        if self._room <= 0:
            self.missing += 1
            return
        self._room -= 1
        try:
            self._write(finding, severity)
        except OSError as error:
            self.missing, self._room, self.why = self.missing + 1, 0, f" ({describe(error)})"

    def close(self) -> None:
        """Write what is still in memory."""
        if self._file:
            try:
                self._file.close()
            except OSError as error:
                self.missing, self.why = self.missing + 1, f" ({describe(error)})"
            self._file = None

    def _write(self, finding: Finding, severity: Severity) -> None:
        if self._file is None:
            self._file = io.TextIOWrapper(open_private(self._path), encoding="utf-8", newline="")
            self._rows = csv.writer(self._file)
            self._rows.writerow(COLUMNS)
        detail = _encode(finding.detail) if finding.detail else ""
        shown = (_cell(finding.file), finding.row, _cell(finding.column or ""), finding.code, severity.value)
        self._rows.writerow((*shown, _cell(detail)))


@lru_cache(maxsize=1024)
def _cell(text: str) -> str:
    """Return a text as a cell of a spreadsheet."""
    return escape(clean(text, 1000))


def _where(finding: Finding) -> str:
    where = [f" in {clean(finding.file, 255)}" if finding.file else ""]
    where += [f", row {finding.row}"] if finding.row else []
    where += [f", column {clean(finding.column, 255)}"] if finding.column else []
    return "".join(where)
