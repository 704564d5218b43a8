"""`verify_transfers`: compares the figures of transfers with the lines still kept, and mends them."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from logmonitor.transfers.verify import Comparison, Difference, compare

SHOWN = 50


class Command(BaseCommand):
    """Compare and, if asked, rebuild the figures of days and months."""

    help = (
        "Compares the figures behind the charts of transfers with the lines themselves, for every day whose"
        " lines are all still kept, and months with their days. Days of which lines were deleted are never"
        " touched: their figures are all there is of them. Exit status 1 when something differs and was not"
        " rebuilt."
    )
    requires_system_checks = ("easel",)  # the rest of them load the console

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--rebuild", action="store_true", help="make what differs what the lines come to")
        parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, tell, and say by the exit status whether something is left to mend."""
        found = compare(rebuild=options["rebuild"])
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(found, rebuilt=options["rebuild"])))
        else:
            for difference in found.differences[:SHOWN]:
                self.stdout.write(_line(difference))
            self.stdout.write(_result(found, rebuilt=options["rebuild"]))
        if found.differences and not options["rebuild"]:
            sys.exit(1)


def _line(difference: Difference) -> str:
    columns = "; ".join(f"{name} is {stored}, not {right}" for name, stored, right in difference.columns)
    return f"{difference.source}, {difference.row}: {columns}"


def _result(found: Comparison, *, rebuilt: bool) -> str:
    number = len(found.differences)
    if not found.days and not found.months:
        return "There are no transfers, so there is nothing to compare."
    mended = ", rebuilt" if rebuilt and number else ""
    advice = "" if rebuilt or not number else ". Mend it with --rebuild"
    differ = "row differs" if number == 1 else "rows differ"
    return f"{found.days:,} days and {found.months:,} months compared: {number:,} {differ}{mended}{advice}."


def _as_json(found: Comparison, *, rebuilt: bool) -> dict[str, Any]:
    return {
        "days": found.days,
        "months": found.months,
        "rebuilt": rebuilt,
        "differences": [
            {
                "source": difference.source,
                "row": difference.row,
                "columns": {
                    name: {"stored": stored, "right": right} for name, stored, right in difference.columns
                },
            }
            for difference in found.differences
        ],
    }
