"""The record of every sync: runs, their counts per entity, their steps and what they rejected."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Count, Q
from django.utils import timezone

from syncmetrics.serializer import run_to_dict


def new_task_id() -> str:
    """Return an id for a run that no task queue has named."""
    return str(uuid.uuid4())


class SyncRun(models.Model):
    """One sync: when, of what, by whom, how it went and what it cost.

    Instance, connection and user are plain keys: this app knows no other.
    """

    class Status(models.TextChoices):
        """How a run stands; all but the first two are final."""

        QUEUED = "queued", "Queued"
        IN_PROGRESS = "in_progress", "In progress"
        COMPLETED = "completed", "Completed"
        FAILED = "failed", "Failed"
        PARTIAL = "partial", "Partial"
        CANCELLED = "cancelled", "Cancelled"
        LOST = "lost", "Lost"

    class Trigger(models.TextChoices):
        """What started a run."""

        COMMAND = "command", "Command"
        CONSOLE = "console", "Console"
        SCHEDULE = "schedule", "Schedule"
        CODE = "code", "Code"

    class Mode(models.TextChoices):
        """Whether a run reads everything or what changed."""

        FULL = "full", "Full"
        INCREMENTAL = "incremental", "Incremental"

    sync_task_id = models.CharField(max_length=255, unique=True, default=new_task_id)
    user_id = models.BigIntegerField(null=True, blank=True)
    sync_type = models.CharField(max_length=50, default="all")
    queued_at = models.DateTimeField(
        null=True, blank=True, help_text="When it was handed to the workers; empty where none was needed."
    )
    sync_start_time = models.DateTimeField(default=timezone.now)
    sync_end_time = models.DateTimeField(null=True, blank=True)
    total_duration_seconds = models.FloatField(null=True, blank=True)
    sync_status = models.CharField(max_length=20, choices=Status.choices, default=Status.IN_PROGRESS)
    error_message = models.TextField(null=True, blank=True)  # noqa: DJ001 - null in the published JSON
    error_class = models.CharField(max_length=200, blank=True)

    instance_key = models.BigIntegerField(null=True, blank=True)
    connection_key = models.BigIntegerField(null=True, blank=True)
    connection_name = models.CharField(max_length=255, blank=True)
    trigger = models.CharField(max_length=20, choices=Trigger.choices, default=Trigger.CODE)
    genre = models.CharField(
        max_length=255, default="all", help_text="Runs of one genre wait for each other."
    )
    mode = models.CharField(max_length=20, choices=Mode.choices, default=Mode.FULL)
    dry_run = models.BooleanField(default=False)
    options = models.JSONField(default=dict, blank=True)
    resumed_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="resumed_by"
    )
    canvas_clock = models.DateTimeField(
        null=True, blank=True, help_text="Canvas's own clock before the first request."
    )

    claim = models.UUIDField(default=uuid.uuid4, editable=False)
    host = models.CharField(max_length=300, blank=True)
    pid = models.BigIntegerField(default=0)
    process_started = models.CharField(max_length=40, blank=True)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    cancel_requested = models.BooleanField(default=False)

    api_calls_made = models.BigIntegerField(default=0)
    api_calls_failed = models.BigIntegerField(default=0)
    total_api_duration_ms = models.FloatField(default=0)
    api_wait_ms = models.FloatField(
        default=0, help_text="How long requests were held back after refusals and failures, added up."
    )
    api_rate_limit_hits = models.BigIntegerField(default=0)
    api_retries = models.BigIntegerField(default=0)
    db_operations = models.BigIntegerField(default=0)
    db_duration_ms = models.FloatField(default=0)
    db_rows_written = models.BigIntegerField(default=0)
    grades_processed = models.BigIntegerField(default=0)
    listings = models.JSONField(
        default=dict, blank=True, help_text="What its requests took, by listing (syncmetrics.listings)."
    )

    class Meta:
        verbose_name = "sync run"
        ordering = ["-sync_start_time", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["instance_key", "genre"],
                condition=Q(sync_status__in=["queued", "in_progress"]),
                name="syncrun_one_active_per_instance_and_genre",
            ),
            models.CheckConstraint(
                condition=Q(sync_status__in=["queued", "in_progress"], sync_end_time__isnull=True)
                | (~Q(sync_status__in=["queued", "in_progress"]) & Q(sync_end_time__isnull=False)),
                name="syncrun_end_time_when_ended",
            ),
        ]
        indexes = [
            models.Index(fields=["sync_start_time"], name="syncrun_start"),
            models.Index(
                fields=["connection_key", "sync_status", "-sync_start_time"],
                name="syncrun_connection_status_time",
            ),
            models.Index(
                fields=["user_id", "-sync_start_time"],
                condition=Q(user_id__isnull=False),
                name="syncrun_user_time",
            ),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk}: {self.connection_name or self.sync_type}, {self.sync_status}"

    def processed(self, entity: str) -> int:
        """Return how many live records of an entity this run has processed."""
        return sum(count.processed for count in self.counts.all() if count.entity == entity)

    @property
    def courses_processed(self) -> int:
        """Courses processed so far."""
        return self.processed("courses")

    @property
    def assignments_processed(self) -> int:
        """Assignments processed so far."""
        return self.processed("assignments")

    @property
    def submissions_processed(self) -> int:
        """Submissions processed so far."""
        return self.processed("submissions")

    def to_dict(self) -> dict[str, Any]:
        """Return the run as the JSON object that commands, endpoints and exports publish."""
        return SyncRun.to_dicts([self])[0]

    @staticmethod
    def to_dicts(runs: Iterable[SyncRun]) -> list[dict[str, Any]]:
        """Return each of some runs as `to_dict` does, in one query if their `counts` are prefetched."""
        runs = list(runs)
        steps = SyncStep.states_of(run.pk for run in runs)
        return [run_to_dict(run, steps[run.pk]) for run in runs]


class SyncCount(models.Model):
    """What one run did to the records of one entity."""

    run = models.ForeignKey(SyncRun, on_delete=models.CASCADE, related_name="counts", db_index=False)
    entity = models.CharField(max_length=100)
    processed = models.BigIntegerField(default=0, help_text="Distinct live records listed.")
    created = models.BigIntegerField(default=0)
    updated = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    deleted = models.BigIntegerField(default=0, help_text="Records marked deleted; not in processed.")
    rejected = models.BigIntegerField(default=0, help_text="Records that could not be stored.")

    class Meta:
        verbose_name = "sync count"
        ordering = ["entity"]
        constraints = [
            models.UniqueConstraint(fields=["run", "entity"], name="synccount_one_per_run_and_entity"),
        ]

    def __str__(self) -> str:
        return f"{self.entity}: {self.processed} processed"


class SyncStep(models.Model):
    """One unit of work of a run, such as one listing of one course; what resume repeats or leaves."""

    class State(models.TextChoices):
        """How a step stands."""

        PENDING = "pending", "Pending"
        IN_PROGRESS = "in_progress", "In progress"
        COMPLETED = "completed", "Completed"
        FAILED = "failed", "Failed"
        SKIPPED = "skipped", "Skipped"

    run = models.ForeignKey(SyncRun, on_delete=models.CASCADE, related_name="steps", db_index=False)
    key = models.CharField(max_length=255)
    title = models.CharField(max_length=500, blank=True)
    position = models.IntegerField(default=0)
    state = models.CharField(max_length=20, choices=State.choices, default=State.PENDING)
    attempts = models.IntegerField(default=0)
    counters = models.JSONField(default=dict, blank=True)
    note = models.TextField(blank=True, help_text="What this step could not conclude, and why.")
    error_class = models.CharField(max_length=200, blank=True)
    error_message = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "sync step"
        ordering = ["run", "position", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["run", "key"], name="syncstep_one_per_run_and_key"),
        ]

    def __str__(self) -> str:
        return f"{self.title or self.key}: {self.state}"

    @classmethod
    def states_of(cls, runs: Iterable[int]) -> dict[int, dict[str, int]]:
        """Return by the key of a run how many of its steps are in each state."""
        found: dict[int, dict[str, int]] = {run: {} for run in runs}
        # Counted by the database: a run over a whole institution has thousands of steps.
        states = cls._default_manager.filter(run__in=found).order_by().values_list("run", "state")
        for run, state, number in states.annotate(Count("pk")):
            found[run][state] = number
        return found


class SyncRejection(models.Model):
    """Why one record was not stored. The first reasons of a run are kept; `SyncCount` counts them all."""

    run = models.ForeignKey(SyncRun, on_delete=models.CASCADE, related_name="rejections", db_index=False)
    entity = models.CharField(max_length=100)
    record_id = models.CharField(max_length=255, blank=True)
    reason = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "rejected record"
        ordering = ["pk"]
        indexes = [models.Index(fields=["run", "entity"], name="syncrejection_run_entity")]

    def __str__(self) -> str:
        return f"{self.entity} {self.record_id}: {self.reason}"
