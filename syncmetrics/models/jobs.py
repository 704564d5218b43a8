"""The job log: every background job with what it was asked, by whom, when, and how it ended."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone

from syncmetrics.models.runs import SyncRun


class JobRun(models.Model):
    """One background job. A message that is delivered again is one more attempt of the same job."""

    class State(models.TextChoices):
        """How a job stands; all but the first three are final."""

        QUEUED = "queued", "Queued"
        IN_PROGRESS = "in_progress", "In progress"
        RETRIED = "retried", "To be retried"
        COMPLETED = "completed", "Completed"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        EXPIRED = "expired", "Expired"
        LOST = "lost", "Lost"

    class Trigger(models.TextChoices):
        """What started a job."""

        SCHEDULE = "schedule", "Schedule"
        CONSOLE = "console", "Console"
        COMMAND = "command", "Command"
        JOB = "job", "Another job"
        CODE = "code", "Code"

    task_id = models.CharField("id", max_length=255, unique=True)
    name = models.CharField("task", max_length=255)
    arguments = models.JSONField(default=dict, blank=True, help_text="Secrets are masked, long values cut.")
    state = models.CharField(max_length=20, choices=State.choices, default=State.QUEUED)
    trigger = models.CharField(max_length=20, choices=Trigger.choices, default=Trigger.CODE)
    triggered_by = models.CharField(
        max_length=255, blank=True, help_text="The schedule, the person, the command or the job."
    )
    run = models.ForeignKey(
        SyncRun,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_constraint=False,  # a job is recorded whether or not its run still is
        related_name="jobs",
        help_text="The sync that it did or queued.",
    )
    attempts = models.PositiveIntegerField(default=0)
    logged_at = models.DateTimeField(default=timezone.now)
    queued_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Not begun by then, it is dropped.")
    started_at = models.DateTimeField(null=True, blank=True, help_text="When its last attempt began.")
    ended_at = models.DateTimeField(null=True, blank=True)
    error_class = models.CharField(max_length=200, blank=True)
    error_message = models.TextField(blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    host = models.CharField(max_length=300, blank=True)
    pid = models.BigIntegerField(default=0)
    process_started = models.CharField(max_length=40, blank=True)

    class Meta:
        verbose_name = "background job"
        ordering = ["-logged_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "in_progress", "retried"], ended_at__isnull=True)
                | (~Q(state__in=["queued", "in_progress", "retried"]) & Q(ended_at__isnull=False)),
                name="jobrun_end_when_ended",
            ),
        ]
        indexes = [
            models.Index(fields=["-logged_at", "-id"], name="jobrun_time"),
            models.Index(fields=["name", "-logged_at"], name="jobrun_name_time"),
            models.Index(
                fields=["state"],
                condition=Q(state__in=["queued", "in_progress", "retried"]),
                name="jobrun_open",
            ),
            models.Index(fields=["logged_at"], condition=Q(state="failed"), name="jobrun_failed"),
        ]

    def __str__(self) -> str:
        return f"Job {self.name}, {self.state}"

    @property
    def started_by(self) -> str:
        """What started it, and which one: `Schedule: Sync main: what changed`."""
        kind = str(self.get_trigger_display())
        return f"{kind}: {self.triggered_by}" if self.triggered_by else kind

    @property
    def wait_seconds(self) -> float | None:
        """Seconds from being queued to the start of the last attempt; None until then."""
        return _seconds(self.queued_at, self.started_at)

    @property
    def duration_seconds(self) -> float | None:
        """Seconds that the last attempt took; None while it is at work."""
        return _seconds(self.started_at, self.ended_at)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max(end - start, timedelta(0)).total_seconds()
