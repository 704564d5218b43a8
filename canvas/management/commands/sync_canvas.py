"""`sync_canvas`: brings the copy of Canvas up to date, shows progress, ends with the run's numbers."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from canvas.management.progress import make_progress
from canvas.models import Connection
from canvas.resources import RESOURCES
from canvas.sync import ALL_MODELS, SyncOptions, UsageError, sync
from canvas.tokens import TokenUnreadable
from easel.interrupts import terminable
from easel.redaction import clean, redact
from syncmetrics.models import SyncRun
from syncmetrics.runs import RunActive

INTERRUPTED = 130
NOTES_SHOWN = 10


class Command(BaseCommand):
    """Sync one Canvas connection."""

    help = (
        "Syncs a Canvas connection into the database. Full until one full sync has completed,"
        " incremental afterwards. A run that was killed is taken up where it stopped."
    )
    requires_system_checks = ("easel",)  # the rest of them load the console

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--connection", metavar="NAME", help="default: the only one there is")
        parser.add_argument("--models", metavar="A,B", help=f"of {', '.join(RESOURCES)}; default: all")
        parser.add_argument(
            "--course",
            metavar="ID",
            action="append",
            default=[],
            help="only this course, in any Canvas spelling: 42, 123~42, sis_course_id:X (repeatable)",
        )
        parser.add_argument(
            "--user",
            metavar="LOGIN|ID",
            default="",
            help="only the courses of this person: a login, an id, or sis_user_id:X",
        )
        parser.add_argument(
            "--term-scope", metavar="all|active|ID", default="all", help="courses of which terms"
        )
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument("--full", dest="mode", action="store_const", const="full", help="list everything")
        mode.add_argument(
            "--incremental",
            dest="mode",
            action="store_const",
            const="incremental",
            help="only what changed, as far as Canvas can tell (docs/operating.md says what that misses)",
        )
        parser.add_argument("--dry-run", action="store_true", help="read and compare, write no data")
        parser.add_argument("--resume", metavar="RUN", type=int, help="go on with an unfinished run")
        parser.add_argument("--concurrency", metavar="N", type=int, help="requests in flight (default: 10)")
        parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Sync, then leave with 0 completed, 1 failed or partial, 130 interrupted."""
        connection = _connection(options["connection"])
        progress = make_progress(sys.stderr)
        try:
            with terminable(), progress:
                run = sync(
                    connection,
                    _options(options),
                    resume=_run(options["resume"]),
                    trigger=SyncRun.Trigger.COMMAND,
                    progress=progress,
                )
        except UsageError as error:
            raise CommandError(str(error), returncode=2) from None
        except (RunActive, TokenUnreadable) as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be written: {clean(redact(str(error)), 200)}. What was written before"
                " is kept; once that is mended, the next sync goes on from there."
            ) from None
        except KeyboardInterrupt:
            self._interrupted(connection, options["json"])
        self._report(run, options["json"])

    def _interrupted(self, connection: Connection, as_json: bool) -> None:
        run = SyncRun.objects.filter(connection_key=connection.pk).order_by("-pk").first()
        if run and run.sync_status == SyncRun.Status.CANCELLED:
            if as_json:
                self.stdout.write(json.dumps(run.to_dict()))
            self.stderr.write(f"Interrupted. Go on with: manage.py sync_canvas --resume {run.pk}")
        sys.exit(INTERRUPTED)

    def _report(self, run: SyncRun, as_json: bool) -> None:
        result = run.to_dict()
        if as_json:
            self.stdout.write(json.dumps(result))
        else:
            self._summary(result)
        for step in run.steps.exclude(note="")[:NOTES_SHOWN]:
            self.stderr.write(f"{step.title}: {step.note}")
        if run.sync_status != SyncRun.Status.COMPLETED:
            if run.error_message:
                self.stderr.write(self.style.ERROR(run.error_message))
            sys.exit(INTERRUPTED if run.sync_status == SyncRun.Status.CANCELLED else 1)

    def _summary(self, result: dict[str, Any]) -> None:
        api, database = result["api_metrics"], result["database"]
        for name in RESOURCES:
            counts = result[name]
            if any(counts.values()):
                numbers = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
                self.stdout.write(f"{name}: {numbers}")
        seconds = result["total_duration_seconds"] or 0
        rows = sum(result[name]["processed"] for name in RESOURCES)
        resumed = f", resumed from run {result['resumed_from']}" if result["resumed_from"] else ""
        dry = ", dry run: nothing was written" if result["dry_run"] else ""
        self.stdout.write(
            f"Run {result['id']} {result['sync_status']} ({result['mode']}{resumed}{dry}): {rows:,} rows,"
            f" {api['calls_made']:,} requests, {database['rows_written']:,} rows written, {seconds:.1f} s."
        )


def _connection(name: str | None) -> Connection:
    connections = Connection.objects.select_related("instance")
    known = ", ".join(connections.values_list("name", flat=True))
    if not known:
        raise CommandError("No Canvas is connected yet: run manage.py connect_canvas first.", returncode=2)
    if name is None and connections.count() > 1:
        raise CommandError(f"Name a connection with --connection: {known}.", returncode=2)
    found = connections.filter(name=name).first() if name else connections.get()
    if found is None:
        raise CommandError(f"There is no connection {name!r}. Known are {known}.", returncode=2)
    return found


def _run(key: int | None) -> SyncRun | None:
    if key is None:
        return None
    run = SyncRun.objects.filter(pk=key).first()
    if run is None:
        raise CommandError(f"There is no run {key}.", returncode=2)
    return run


def _options(options: dict[str, Any]) -> SyncOptions:
    if options["concurrency"] is not None and not 1 <= options["concurrency"] <= 100:
        raise UsageError("--concurrency takes a number from 1 to 100.")
    names = [name.strip() for name in (options["models"] or "").split(",") if name.strip()]
    if options["models"] is not None and not names:
        raise UsageError(f"--models is empty: name some of {', '.join(RESOURCES)}.")
    return SyncOptions(
        models=frozenset(names) or ALL_MODELS,
        courses=tuple(options["course"]),
        user=options["user"],
        term_scope=options["term_scope"],
        mode=options["mode"],
        dry_run=options["dry_run"],
        concurrency=options["concurrency"],
    )
