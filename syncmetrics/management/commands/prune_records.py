"""`prune_records`: deletes rows that have been kept for long enough."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from syncmetrics.retention import Kept, declared


class Command(BaseCommand):
    """Delete old rows."""

    help = "Deletes runs, background jobs, incidents and the like that are older than their settings allow."
    requires_system_checks = ("easel",)  # the rest of them load the console

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        names = "; ".join(f"{each.name}: {each.what}" for each in declared())
        parser.add_argument("--only", metavar="NAME", help=f"one kind of them ({names})")
        help_text = "days they are kept, instead of their setting; wants --only"
        parser.add_argument("--days", type=int, metavar="N", help=help_text)
        parser.add_argument("--dry-run", action="store_true", help="say how many, and delete none")
        parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete, and say how many."""
        if options["days"] is not None and not options["only"]:
            raise CommandError("Say with --only of what these are the days.", returncode=2)
        found: dict[str, dict[str, Any]] = {}
        for kept in _chosen(options["only"]):
            work = kept.count_old if options["dry_run"] else kept.delete_old
            days = kept.days if options["days"] is None else options["days"]
            try:
                found[kept.name] = {"days": days, "deleted": work(days)}
            except ValueError as error:
                raise CommandError(str(error), returncode=2) from None
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], "records": found}))
        else:
            self._say(found, "would be deleted" if options["dry_run"] else "deleted")

    def _say(self, found: dict[str, dict[str, Any]], done: str) -> None:
        for name, each in found.items():
            old = "than they are kept" if each["days"] is None else f"than {each['days']:,} days"
            self.stdout.write(f"{name}: {each['deleted']:,} older {old} {done}")
        self.stdout.write(f"{sum(each['deleted'] for each in found.values()):,} records {done}.")


def _chosen(name: str | None) -> list[Kept]:
    every = {each.name: each for each in declared()}
    if name is None:
        return list(every.values())
    if name not in every:
        raise CommandError(f"There are no {name!r}: choose one of {', '.join(every)}.", returncode=2)
    return [every[name]]
