"""`prune_job_log`: deletes what the job log has kept for long enough."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from syncmetrics.jobs import delete_old_jobs, old_jobs


class Command(BaseCommand):
    """Delete old jobs from the job log."""

    help = "Deletes ended jobs from the job log that were logged more than JOB_LOG_DAYS days ago."
    requires_system_checks = ("easel",)  # the rest of them load the console

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--days", type=int, default=None, help="instead of JOB_LOG_DAYS")
        parser.add_argument("--dry-run", action="store_true", help="only say how many would be deleted")
        parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete them, and say how many."""
        days = settings.JOB_LOG_DAYS if options["days"] is None else options["days"]
        if not 1 <= days <= 36_500:
            raise CommandError(f"Give a number of days from 1 to 36500, not {days}.", returncode=2)
        dry = options["dry_run"]
        number = old_jobs(days).count() if dry else delete_old_jobs(days)
        if options["json"]:
            self.stdout.write(json.dumps({"days": days, "dry_run": dry, "deleted_jobs": number}))
        else:
            done = "would be deleted" if dry else "deleted"
            self.stdout.write(f"{number} jobs logged more than {days} days ago {done}.")
