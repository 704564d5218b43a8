"""`clean_logs`: shortens the logs of the syncs, archives old files, deletes old archives."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from logmonitor.cleanup import Cleaned, CleanUpActive, Limits, WrongLimit, clean_logs
from logmonitor.status import log_status

WHAT = {
    "max_log_lines": "lines that a live log keeps; what is cut off goes into the archive",
    "archive_age_days": "days after which a rotated file goes into an archive",
    "delete_age_days": "days after which an archive is deleted",
}


class Command(BaseCommand):
    """Clean up the logs."""

    help = (
        "Keeps the logs of the syncs on this host short: what is old goes into an archive, and old archives"
        " are deleted."
    )
    requires_system_checks = ("easel",)  # the rest of them load the console

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        for limit in fields(Limits):
            option = f"--{limit.name.replace('_', '-')}"
            what = f"{WHAT[limit.name]} (default: {limit.default})"
            parser.add_argument(option, default=str(limit.default), metavar="N", help=what)
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        parser.add_argument("--status", action="store_true", help="say how much there is, and do nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Clean up, and say what was done."""
        folder = Path(settings.CANVAS_SYNC_LOG_DIR)
        try:
            limits = Limits(**{limit.name: _whole(options[limit.name]) for limit in fields(Limits)})
        except WrongLimit as error:
            raise CommandError(f"--{_as_option(str(error))}", returncode=2) from None
        if options["status"]:
            status = log_status(folder)
            self.stdout.write(json.dumps(status) if options["json"] else _status_text(status))
            return
        try:
            done = clean_logs(folder, limits, dry_run=options["dry_run"])
        except CleanUpActive as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(
                f"The logs in {folder} could not be cleaned up ({error}): mend that and run it again;"
                " nothing is lost."
            ) from None
        text = _done_text(done, dry_run=options["dry_run"])
        self.stdout.write(json.dumps(asdict(done)) if options["json"] else text)


def _whole(text: Any) -> Any:
    """Return the whole number a text spells, or the text, for the one place that judges it."""
    spelled = str(text)
    return int(spelled) if re.fullmatch(r"-?[0-9]{1,18}", spelled) else text


def _as_option(message: str) -> str:
    name, _, rest = message.partition(" ")
    return f"{name.replace('_', '-')} {rest}"


def _done_text(done: Cleaned, *, dry_run: bool) -> str:
    would = "would be " if dry_run else ""
    return (
        f"{done.archived_files:,} rotated files {would}archived; {done.cleaned_up_files:,} logs"
        f" {would}shortened, by {done.total_lines_removed:,} lines; {done.deleted_archives:,} archives"
        f" {would}deleted."
    )


def _status_text(status: dict[str, Any]) -> str:
    logs = [
        f"{name}: {log['lines']:,} lines, {log['size_mb']:,.2f} MB; {log['rotated_files']:,} rotated files"
        for name, log in status["logs"].items()
    ]
    total = (
        f"{status['host']}, {status['folder']}: {status['total_log_size_mb']:,.2f} MB of logs,"
        f" {status['archives']:,} archives of {status['total_archive_size_mb']:,.2f} MB."
    )
    return "\n".join([*logs, total])
