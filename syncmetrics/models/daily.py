"""Daily aggregates: what all runs of a day came to, per connection and mode, and per user beside it."""

from __future__ import annotations

from django.db import models

from syncmetrics.models.runs import SyncRun


class DayFigures(models.Model):
    """The runs that started on one UTC day and have ended, added up; dry runs are left out.

    Whole numbers, so that adding in any order comes to the same. Keys are 0 where a run has none.
    """

    day = models.DateField(help_text="The UTC day on which the runs started.")
    instance_key = models.BigIntegerField(default=0)
    connection_key = models.BigIntegerField(default=0)
    mode = models.CharField(max_length=20, choices=SyncRun.Mode.choices)
    first_start = models.DateTimeField(help_text="When the first of the runs started.")

    completed = models.BigIntegerField(default=0)
    partial = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    cancelled = models.BigIntegerField(default=0)
    lost = models.BigIntegerField(default=0)

    duration_ms = models.BigIntegerField(default=0, help_text="Of the completed and the partial runs.")
    durations = models.JSONField(default=dict, help_text="Histogram of the same: bucket to number of runs.")

    api_calls_made = models.BigIntegerField(default=0)
    api_calls_failed = models.BigIntegerField(default=0)
    total_api_duration_ms = models.BigIntegerField(default=0)
    api_wait_ms = models.BigIntegerField(default=0)
    api_rate_limit_hits = models.BigIntegerField(default=0)
    api_retries = models.BigIntegerField(default=0)
    db_operations = models.BigIntegerField(default=0)
    db_duration_ms = models.BigIntegerField(default=0)
    db_rows_written = models.BigIntegerField(default=0)
    grades_processed = models.BigIntegerField(default=0)
    entities = models.JSONField(
        default=dict, help_text="Entity to its counts, as in SyncCount; what is zero is left out."
    )

    class Meta:
        abstract = True


class SyncDay(DayFigures):
    """A day of one connection in one mode."""

    class Meta:
        verbose_name = "day of syncs"
        verbose_name_plural = "days of syncs"
        constraints = [
            models.UniqueConstraint(
                fields=["day", "instance_key", "connection_key", "mode"], name="syncday_once_per_connection"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day}: connection {self.connection_key}, {self.mode}"


class SyncUserDay(DayFigures):
    """The part of a day that ran for one of the console's users; runs for nobody are in `SyncDay` only."""

    user_id = models.BigIntegerField()

    class Meta:
        verbose_name = "day of a user's syncs"
        verbose_name_plural = "days of users' syncs"
        constraints = [
            models.UniqueConstraint(
                fields=["day", "connection_key", "user_id", "instance_key", "mode"],
                name="syncuserday_once_per_user",
            ),
        ]
        indexes = [models.Index(fields=["user_id", "day"], name="syncuserday_user_day")]

    def __str__(self) -> str:
        return f"{self.day}: user {self.user_id}, connection {self.connection_key}, {self.mode}"
