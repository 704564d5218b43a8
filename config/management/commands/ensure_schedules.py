"""`ensure_schedules`: makes the schedules Easel brings, and leaves those alone that are there."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from config.schedules import Schedule, create, declared, differences, find, reset


class Command(BaseCommand):
    """Make what schedules are missing."""

    help = "Makes the schedules Easel brings where they are missing; says how those differ that are there."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--reset", metavar="NAME", help="make this one what Easel brought")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make or reset them, and say in the last line how many were made."""
        self._silent = options["verbosity"] == 0
        with transaction.atomic():
            if options["reset"]:
                self._reset(options["reset"])
                return
            schedules = list(declared())
            made = sum(self._ensure(schedule) for schedule in schedules)
        self._say(f"{made} of {len(schedules)} schedules made.")

    def _say(self, text: str) -> None:
        if not self._silent:
            self.stdout.write(text)

    def _ensure(self, schedule: Schedule) -> bool:
        row = find(schedule)
        if row is None:
            create(schedule)
            switch = "" if schedule.enabled else ", switched off: switch it on in the console"
            self._say(f"{schedule.name}: made{switch}.")
            return True
        if changes := differences(row, schedule):
            self._say(f"{schedule.name}: left as it is ({'; '.join(changes)}).")
        return False

    def _reset(self, name: str) -> None:
        schedules = {schedule.name: schedule for schedule in declared()}
        if name not in schedules:
            raise CommandError(
                f"There is no schedule {name!r}. Known are: {'; '.join(schedules)}.", returncode=2
            )
        schedule = schedules[name]
        row = find(schedule)
        if row:
            reset(row, schedule)
        else:
            create(schedule)
        self._say(f"{name}: reset.")
