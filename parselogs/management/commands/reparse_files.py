"""`reparse_files`: parses files again that were uploaded before, some or all of a kind, as one batch."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from easel.interrupts import terminable
from parselogs.models import DataFile, ParseFileMeta, ParseMeta
from parselogs.parsing import perform
from parselogs.reparse import NothingToReparse, Plan, Scope, TooManyFiles, plan, progress_of, reparse
from parselogs.runs import send_all
from parselogs.waiting import wait_for, worker_answers

INTERRUPTED = 130
MOST_KEY = 2**63 - 1


class Command(BaseCommand):
    """Parse files again."""

    help = (
        "Parses uploaded files again, as one batch. Workers do it where some are there; otherwise this"
        " command does. Earlier runs and their logs stay, and their results count until a new run has"
        " succeeded."
    )
    requires_system_checks = ("easel",)  # the rest of them load the console

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("files", metavar="ID", nargs="*", type=file_number, help="numbers of data files")
        parser.add_argument(
            "--all", action="store_true", help="all files, or all that the options below leave"
        )
        parser.add_argument("--kind", default="", help="all files of a kind, such as users")
        parser.add_argument("--unsuccessful", action="store_true", help="only files that never succeeded")
        parser.add_argument("--reason", default="", help="for those who wonder later")
        parser.add_argument(
            "--log-level",
            default=ParseFileMeta.LogLevel.INFO,
            choices=ParseFileMeta.LogLevel.values,
            help="from which level on the logs keep lines (default: INFO)",
        )
        parser.add_argument("--wait", action="store_true", help="wait for the end of runs that workers do")
        parser.add_argument("--dry-run", action="store_true", help="say which, and parse none")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Parse; leave with 0 fine, 1 a run failed or nothing could be parsed, 2 wrong usage."""
        scope = _scope(options)
        if options["dry_run"]:
            planned = plan(scope)
            found = {"eligible": len(planned.eligible), "skipped": dict(planned.skipped)}
            self.stdout.write(json.dumps(found) if options["json"] else planned.sentence)
            return
        by_worker = worker_answers()
        batch = _begin(scope, options)
        try:
            with terminable():
                self._perform(batch, by_worker=by_worker, wait=options["wait"])
        except KeyboardInterrupt:
            self.stderr.write("Interrupted. What was parsed stays; the runs of the batch say how they ended.")
            sys.exit(INTERRUPTED)
        self._tell(batch, as_json=options["json"])

    def _perform(self, batch: ParseMeta, *, by_worker: bool, wait: bool) -> None:
        runs = list(batch.runs.order_by("pk"))
        if by_worker:
            send_all(runs)
        for run in runs if wait or not by_worker else ():
            if by_worker and wait_for(run):
                continue
            perform(run.uuid)

    def _tell(self, batch: ParseMeta, *, as_json: bool) -> None:
        so_far = progress_of([batch])[batch.pk]
        told = {"batch": batch.pk, "runs": so_far.total, "states": dict(so_far.states), **batch.scope}
        if as_json:
            self.stdout.write(json.dumps(told))
        else:
            states = ", ".join(
                f"{count:,} {state.replace('_', ' ')}" for state, count in so_far.states.items()
            )
            for left_out in Plan((), batch.scope.get("skipped", {})).cannot:
                self.stdout.write(f"{left_out}.")
            self.stdout.write(f"Batch {batch.pk}, {so_far.total:,} runs: {states}.")
        if so_far.unsuccessful:
            sys.exit(1)


def _scope(options: dict[str, Any]) -> Scope:
    """Return which files are meant; wrong usage is a CommandError."""
    chosen, kind = options["files"], options["kind"]
    narrowed = kind or options["unsuccessful"]
    if not (chosen or options["all"] or narrowed):
        raise CommandError("Name the files by their numbers, a --kind, or say --all.", returncode=2)
    if chosen and (options["all"] or narrowed):
        raise CommandError("Name files by their numbers, or by what they are, not by both.", returncode=2)
    if kind and not DataFile.objects.filter(kind=kind).exists():
        known = DataFile.objects.exclude(kind="").order_by("kind").values_list("kind", flat=True).distinct()
        there = f"There are {', '.join(known)}." if known else "No file has been recognised yet."
        raise CommandError(f"There is no file of kind {kind}. {there}", returncode=2)
    return Scope(tuple(chosen) or None, kind, options["unsuccessful"])


def _begin(scope: Scope, options: dict[str, Any]) -> ParseMeta:
    asked = {"reason": options["reason"][:255], "log_level": options["log_level"]}
    try:
        return reparse(scope, send=False, **asked)
    except (NothingToReparse, TooManyFiles) as error:
        raise CommandError(str(error)) from None


def file_number(text: str) -> int:
    """Return the key of a file; argparse's own error where it is none."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and 0 < int(text) <= MOST_KEY):
        raise ArgumentTypeError(f"{text[:40]!r} is no number of a data file: the console's list shows them.")
    return int(text)
