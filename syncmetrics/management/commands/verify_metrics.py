"""`verify_metrics`: compares the daily aggregates with the runs that are still kept, and mends them."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from syncmetrics.daily import Comparison, Difference, compare_days


class Command(BaseCommand):
    """Compare and, if asked, rebuild the daily aggregates."""

    help = (
        "Compares the daily aggregates behind dashboards and summaries with the runs themselves, for every"
        " day whose runs are all still kept, and says what differs. Older days are never touched: their"
        " aggregates are all there is of them. Exit status 1 when something differs and was not rebuilt."
    )
    requires_system_checks = ("easel",)  # the rest of them load the console

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--rebuild", action="store_true", help="make every day that differs what its runs come to"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, tell, and say by the exit status whether something is left to mend."""
        found = compare_days(rebuild=options["rebuild"])
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(found, rebuilt=options["rebuild"])))
        else:
            for difference in found.differences:
                self.stdout.write(_line(difference))
            self.stdout.write(_result(found, rebuilt=options["rebuild"]))
        if found.differences and not options["rebuild"]:
            sys.exit(1)


def _line(difference: Difference) -> str:
    columns = "; ".join(f"{name} is {stored}, not {right}" for name, stored, right in difference.columns)
    return f"{difference.day} ({difference.row}): {columns}"


def _result(found: Comparison, *, rebuilt: bool) -> str:
    if found.first is None:
        return "No run is kept, so there is nothing to compare."
    number = len(found.differences)
    mended = ", rebuilt" if rebuilt and number else ""
    advice = "" if rebuilt or not number else ". Mend it with --rebuild"
    differ = "row differs" if number == 1 else "rows differ"
    return f"{found.days:,} days compared, from {found.first} on: {number:,} {differ}{mended}{advice}."


def _as_json(found: Comparison, *, rebuilt: bool) -> dict[str, Any]:
    return {
        "first_day": found.first and found.first.isoformat(),
        "days": found.days,
        "rebuilt": rebuilt,
        "differences": [
            {
                "day": difference.day.isoformat(),
                "row": difference.row,
                "columns": {
                    name: {"stored": _plain(stored), "right": _plain(right)}
                    for name, stored, right in difference.columns
                },
            }
            for difference in found.differences
        ],
    }


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
