"""`check_links`: shows which rows name a parent that is not in the copy."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from canvas.links import Link, check_links


class Command(BaseCommand):
    """Show dangling foreign keys."""

    help = (
        "Shows which foreign keys of the copy dangle: how many rows name a parent that is not there, and"
        " some of the missing Canvas ids. Rows may arrive before their parents, and a token may not see"
        " them, so this is news and no failure: the exit status is 0."
    )
    requires_system_checks = ("easel",)  # the rest of them load the console

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look at every foreign key and tell of those that dangle."""
        links = list(check_links())
        dangling = [link for link in links if link.rows]
        if options["json"]:
            result = {"checked": len(links), "dangling": [asdict(link) for link in dangling]}
            self.stdout.write(json.dumps(result))
            return
        for link in dangling:
            self.stdout.write(_line(link))
        rows = sum(link.rows for link in dangling)
        self.stdout.write(
            f"{len(links)} foreign keys checked, {len(dangling)} dangle: {rows:,} times a parent is missing."
        )


def _line(link: Link) -> str:
    more = ", …" if link.missing > len(link.examples) else ""
    return (
        f"{link.model}.{link.column}: {link.rows:,} rows name {link.missing:,} missing"
        f" {link.parent} rows (ids {', '.join(link.examples)}{more})"
    )
