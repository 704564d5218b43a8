"""`delete_old_runs`: deletes runs that ended long ago."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from syncmetrics.retention import delete_old_runs, old_runs


class Command(BaseCommand):
    """Delete old runs."""

    help = "Deletes the runs that ended long ago, with their counts, steps and reasons. Figures of days stay."
    requires_system_checks = ("easel",)  # the rest of them load the console

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        default = settings.RUN_DAYS
        help_text = f"days that runs are kept (default: RUN_DAYS, {default})"
        parser.add_argument("--days", type=int, default=default, metavar="N", help=help_text)
        parser.add_argument("--dry-run", action="store_true", help="say how many, and delete none")
        parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete, and say how many."""
        try:
            old = old_runs(options["days"])
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from None
        number = old.count() if options["dry_run"] else delete_old_runs(options["days"])
        word = "would be deleted" if options["dry_run"] else "deleted"
        text = f"{number:,} runs {word} that ended more than {options['days']:,} days ago."
        self.stdout.write(json.dumps({"deleted_runs": number}) if options["json"] else text)
