"""`purge_uploads`: deletes logs of parse runs and uploaded files whose time is over."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from parselogs.retention import purge


class Command(BaseCommand):
    """Delete what is kept no longer."""

    help = (
        "Deletes logs of parse runs (PARSE_LOG_DAYS), uploaded files (UPLOAD_DAYS), and what the storage"
        " still holds of deleted ones."
    )
    requires_system_checks = ("easel",)  # the rest of them load the console

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only say how many")
        parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete, and say how many."""
        done = purge(dry_run=options["dry_run"])
        would = "would be " if options["dry_run"] else ""
        text = (
            f"{done.deleted_files:,} files and {done.expired_logs:,} logs {would}deleted;"
            f" {done.removed_objects:,} objects {would}removed from storage."
        )
        self.stdout.write(json.dumps(asdict(done)) if options["json"] else text)
