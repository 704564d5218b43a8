"""`parse_file`: uploads files and parses them, by a worker or itself, and prints what came of it."""

from __future__ import annotations

import json
import stat
import sys
from argparse import BooleanOptionalAction
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from easel.interrupts import terminable
from parselogs.errors import RunActive, UploadRefused, describe
from parselogs.models import ParseFileMeta
from parselogs.parsing import perform
from parselogs.runs import State, queue, send_all
from parselogs.serializer import run_to_dict
from parselogs.uploads import Accepted, accept, check, limits_sentence
from parselogs.waiting import wait_for, worker_answers

INTERRUPTED = 130
GOOD = (State.SUCCEEDED, State.QUEUED, State.RUNNING)


class Command(BaseCommand):
    """Upload and parse files."""

    help = (
        "Uploads files and parses them: CSV files of Canvas, or zip archives of them. A worker does it where"
        " one is there; otherwise this command does. Content that was uploaded before is parsed again."
    )
    requires_system_checks = ("easel",)  # the rest of them load the console

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help=limits_sentence())
        parser.add_argument("--wait", action="store_true", help="wait for the end of runs that a worker does")
        parser.add_argument(
            "--self-contained",
            action=BooleanOptionalAction,
            help="whether archives hold all that their rows refer to: what they lack is an error then, and"
            " otherwise a warning",
        )
        parser.add_argument(
            "--log-level",
            default=ParseFileMeta.LogLevel.INFO,
            choices=ParseFileMeta.LogLevel.values,
            help="from which level on the logs keep lines (default: INFO)",
        )
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object; with several files a list of them"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Parse, then leave with 0 fine, 1 a run failed or rejected rows, 2 a file is not taken."""
        paths = list(dict.fromkeys(options["paths"]))
        _check(paths)
        try:
            with terminable():
                results = list(self._results(paths, options))
        except KeyboardInterrupt:
            self.stderr.write("Interrupted. What was uploaded is kept, and its runs say how they ended.")
            sys.exit(INTERRUPTED)
        if options["json"]:
            self.stdout.write(json.dumps(results[0] if len(paths) == 1 else results))
        else:
            self._summary(results)
        if any(one["state"] not in GOOD for one in results):
            sys.exit(1)

    def _results(self, paths: list[Path], options: dict[str, Any]) -> Iterator[dict[str, Any]]:
        by_worker = worker_answers()
        runs = []
        for path in paths:
            accepted, run = _taken(path, options)
            runs.append((path, accepted, run))
            if by_worker:
                send_all([run])
            else:
                perform(run.uuid)
        for path, accepted, run in runs:
            if by_worker and options["wait"] and not wait_for(run):
                perform(run.uuid)
            run.refresh_from_db()
            if options["wait"] and run.is_active:
                wait_for(run)  # a worker was quicker than we were
            self._say(path, run)
            yield {"file": str(path), "duplicate": accepted.duplicate, **run_to_dict(run)}

    def _say(self, path: Path, run: ParseFileMeta) -> None:
        if run.failure_text:
            self.stderr.write(self.style.ERROR(f"{path}: {run.failure_text}"))

    def _summary(self, results: list[dict[str, Any]]) -> None:
        for one in results:
            again = ", content uploaded before" if one["duplicate"] else ""
            state = one["state"].replace("_", " ")
            self.stdout.write(
                f"{one['file']}: {state} (run {one['run_uuid']}, attempt {one['attempt']}{again}):"
                f" {one['rows_read']:,} rows read, {one['rows_accepted']:,} accepted,"
                f" {one['rows_rejected']:,} rejected, {sum(one['findings'].values()):,} findings."
            )
        good = sum(one["state"] in GOOD for one in results)
        self.stdout.write(f"{len(results):,} files, {good:,} without errors.")


def _check(paths: list[Path]) -> None:
    """Look at all files before anything is done with one."""
    for path in paths:
        try:
            found = path.stat()
            if stat.S_ISDIR(found.st_mode):
                raise CommandError(f"{path} is a folder: name the files in it.", returncode=2)
            if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, a device has no end
                raise CommandError(f"{path} is no ordinary file: save what it gives first.", returncode=2)
            check(path.name, found.st_size)
            path.open("rb").close()
        except FileNotFoundError:
            said = f"There is no file {path}: see whether it is spelled right."
            raise CommandError(said, returncode=2) from None
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {describe(error)}.", returncode=2) from None
        except UploadRefused as error:
            raise CommandError(f"{path}: {error}", returncode=2) from None


def _taken(path: Path, options: dict[str, Any]) -> tuple[Accepted, ParseFileMeta]:
    """Put a file on record and return its queued run, which nobody was told of yet."""
    trigger, complete = ParseFileMeta.Trigger.COMMAND, options["self_contained"]
    run_options = {"log_level": options["log_level"], "send": False}
    try:
        with path.open("rb") as file:
            accepted = accept(file, path.name, trigger=trigger, self_contained=complete, **run_options)
        run = accepted.run or queue(accepted.data_file, trigger, **run_options)
    except (UploadRefused, RunActive) as error:
        raise CommandError(f"{path}: {error}") from None
    return accepted, run
