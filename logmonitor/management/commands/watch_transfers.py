"""`watch_transfers`: follows the logs of SFTPGo, or reads what is there and ends."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from easel.interrupts import asked_to_end
from easel.redaction import clean, redact
from logmonitor.models import LogSource
from logmonitor.transfers.watch import Summary, UnknownSource, Watch, enabled, find_or_make, only

INTERRUPTED = 130
WORTH_A_BAR = 20_000_000
LINE_SECONDS = 10.0


class Command(BaseCommand):
    """Follow transfer logs."""

    help = (
        "Follows the logs of SFTPGo: stores each line once, however the files are rotated and however this"
        " process ends. Goes on until SIGTERM; --once reads what is there and ends."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--source",
            metavar="NAME|FOLDER",
            help="only this one; a folder nobody knows yet becomes a source. Default: all that are enabled",
        )
        parser.add_argument(
            "--time-zone",
            metavar="ZONE",
            help="of the times in the log, for a folder nobody knows yet, such as Europe/Stockholm; UTC",
        )
        parser.add_argument("--once", action="store_true", help="read what is there, then end")
        parser.add_argument("--json", action="store_true", help="print one JSON object at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Follow, then print what was done."""
        with asked_to_end() as stop:
            summary = self._watched(stop, options)
        self._report(summary, options["json"])
        if signal.SIGINT in stop:
            sys.exit(INTERRUPTED)
        if options["once"] and summary.errors:
            sys.exit(1)

    def _watched(self, stop: list[int], options: dict[str, Any]) -> Summary:
        bar = _Bar(self.stderr.write)
        watch = Watch(
            _chosen(options["source"], options["time_zone"]),
            stopping=lambda: bool(stop),
            say=lambda text: self.stderr.write(text),
            progress=bar.show,
        )
        try:
            with bar:
                return watch.drain() if options["once"] else watch.follow()
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be written: {clean(redact(str(error)), 200)}. What was stored is kept;"
                " start again once that is mended, and it goes on from there."
            ) from None

    def _report(self, summary: Summary, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(summary.as_json()))
            return
        counts = summary.counts
        self.stdout.write(
            f"{counts.lines:,} lines read: {counts.rows:,} stored, {counts.bad_lines:,} bad,"
            f" {counts.gaps:,} gaps, {summary.seconds:.1f} s."
        )


def _chosen(source: str | None, time_zone: str | None) -> Any:
    if source is None and time_zone is not None:
        raise CommandError("Say with --source of which log this is the time zone.", returncode=2)
    if source is not None:
        try:
            return only(find_or_make(source, time_zone).pk)
        except UnknownSource as unknown:
            raise CommandError(str(unknown), returncode=2) from None
    if not enabled():
        some = (
            "All transfer logs are switched off"
            if LogSource.objects.exists()
            else "There is no transfer log yet"
        )
        raise CommandError(
            f"{some}: name the folder that SFTPGo writes its log into, as in"
            " manage.py watch_transfers --source /var/log/sftpgo.",
            returncode=2,
        )
    return enabled


class _Bar:
    """A bar while much is left to read; a line now and then where nobody sits at a terminal."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write, self._written = write, time.monotonic()
        self._shows = sys.stderr.isatty()
        self._bar = Progress(
            TextColumn("Reading"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("Reading", total=None, visible=False)

    def __enter__(self) -> None:
        if self._shows:
            self._bar.start()

    def __exit__(self, *_: object) -> None:
        if self._shows:
            self._bar.stop()

    def show(self, done: int, left: int) -> None:
        """Show so many bytes done, and so many that are left."""
        if self._shows and (left > WORTH_A_BAR or self._bar.tasks[0].visible):
            self._bar.update(self._task, completed=done, total=done + left, visible=left > 0)
        elif left > WORTH_A_BAR and time.monotonic() - self._written > LINE_SECONDS:
            self._written = time.monotonic()
            self._write(f"{done / 1e6:,.0f} MB read, {left / 1e6:,.0f} MB to go.")
