"""Beat's scheduler: what was not done before its next turn is not done twice."""

from __future__ import annotations

from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

OF_A_PERIOD = 0.95
SHORTEST_SECONDS = 1.0


class ExpiringEntry(ModelEntry):  # type: ignore[misc]  # it has no types
    """A schedule whose messages expire just before the next one is due, unless the operator says when.

    Beat goes on sending while no worker runs. Without an end all those messages would be done, one after
    the other, by the first worker that comes back.
    """

    def __init__(self, model: Any, app: Any = None) -> None:
        """Read the schedule from its row."""
        super().__init__(model, app=app)
        if "expires" not in self.options and self.schedule is not None:
            # Beat makes a new entry at the moment it sends, so from now to the next turn is one period.
            period = self.schedule.remaining_estimate(self.schedule.now()).total_seconds()
            self.options["expires"] = max(period * OF_A_PERIOD, SHORTEST_SECONDS)


class Scheduler(DatabaseScheduler):  # type: ignore[misc]  # it has no types
    """Schedules from the database, as the console edits them."""

    Entry = ExpiringEntry
