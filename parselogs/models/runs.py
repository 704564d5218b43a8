"""The record of every parse: how it went, what it counted, where its log is."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from parselogs.models.files import DataFile, ParseMeta
from parselogs.storage import uploads

ACTIVE = ("queued", "running")


class ParseFileMeta(models.Model):
    """One parse run of one file: written before the task is sent, so that a killed worker leaves a row.

    The parse and its log are two machines: what becomes of a log never changes how a parse ended.
    """

    class State(models.TextChoices):
        """How the parse stands; all but the first two are final."""

        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Succeeded"
        SUCCEEDED_WITH_ERRORS = "succeeded_with_errors", "Succeeded with errors"
        FAILED = "failed", "Failed"
        LOST = "lost", "Lost"
        CANCELED = "canceled", "Canceled"

    class LogState(models.TextChoices):
        """How the log of the run stands."""

        NONE = "none", "None"
        SPOOLING = "spooling", "Being written"
        PENDING_UPLOAD = "pending_upload", "To be stored"
        UPLOADED = "uploaded", "Stored"
        UPLOAD_FAILED = "upload_failed", "Not stored yet"
        LOST = "lost", "Lost"
        EXPIRED = "expired", "Expired"

    class Trigger(models.TextChoices):
        """What started the run."""

        UPLOAD = "upload", "Upload"
        REPARSE = "reparse", "Reparse"
        COMMAND = "command", "Command"

    class LogLevel(models.TextChoices):
        """From which level on lines are kept."""

        DEBUG = "DEBUG", "Debug"
        INFO = "INFO", "Info"
        WARNING = "WARNING", "Warning"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    data_file = models.ForeignKey(DataFile, on_delete=models.CASCADE, related_name="runs")
    parse_meta = models.ForeignKey(
        ParseMeta, null=True, blank=True, on_delete=models.SET_NULL, related_name="runs"
    )
    attempt = models.PositiveIntegerField()
    trigger = models.CharField(max_length=20, choices=Trigger.choices, default=Trigger.UPLOAD)
    triggered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    state = models.CharField(max_length=30, choices=State.choices, default=State.QUEUED)
    cancel_requested = models.BooleanField(default=False)
    claim_token = models.UUIDField(null=True, blank=True, editable=False)
    celery_task_id = models.CharField(max_length=255, blank=True)
    worker_host = models.CharField(max_length=300, blank=True)
    worker_pid = models.BigIntegerField(default=0)
    worker_started = models.CharField(max_length=40, blank=True)
    queued_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When it was last handed to the workers.")
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    parser = models.CharField(max_length=100, blank=True)
    parser_version = models.CharField(max_length=40, blank=True)
    input_sha256 = models.CharField(max_length=64, blank=True)
    input_size = models.BigIntegerField(null=True, blank=True)
    input_version = models.CharField(
        max_length=255, blank=True, help_text="The storage's own version of the input, where it keeps some."
    )

    rows_read = models.BigIntegerField(default=0)
    rows_accepted = models.BigIntegerField(default=0)
    rows_rejected = models.BigIntegerField(default=0)
    warnings = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    finding_counts = models.JSONField(default=dict, blank=True, help_text="How many findings of each code.")
    failure_code = models.CharField(max_length=60, blank=True)
    failure_text = models.CharField(max_length=1000, blank=True)
    exception_class = models.CharField(max_length=200, blank=True)

    log_level = models.CharField(max_length=10, choices=LogLevel.choices, default=LogLevel.INFO)
    log_state = models.CharField(max_length=20, choices=LogState.choices, default=LogState.NONE)
    log_file = models.FileField(storage=uploads, max_length=255, blank=True)
    log_bytes = models.BigIntegerField(null=True, blank=True, help_text="Its text.")
    log_stored_bytes = models.BigIntegerField(null=True, blank=True, help_text="As stored, compressed.")
    log_lines = models.BigIntegerField(null=True, blank=True)
    log_sha256 = models.CharField(max_length=64, blank=True, help_text="Of what is stored.")
    log_truncated = models.BooleanField(
        default=False, help_text="The middle was left out, to keep it within the limit."
    )
    lines_dropped = models.BigIntegerField(
        default=0, help_text="Lines that could not be written, for want of space or the like."
    )
    spool_error = models.CharField(max_length=300, blank=True, help_text="What kept them from being written.")
    level_counts = models.JSONField(default=dict, blank=True, help_text="How many lines of each level.")
    upload_attempts = models.PositiveIntegerField(default=0)
    upload_error = models.CharField(max_length=300, blank=True)
    upload_due_at = models.DateTimeField(null=True, blank=True, help_text="When storing it is tried again.")
    uploaded_at = models.DateTimeField(null=True, blank=True, help_text="When the log was stored.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="When the log may be deleted.")
    findings_file = models.FileField(
        storage=uploads, max_length=255, blank=True, help_text="All findings as CSV, compressed."
    )
    findings_stored_bytes = models.BigIntegerField(null=True, blank=True)
    told_at = models.DateTimeField(
        null=True, blank=True, help_text="When a mail about its end was begun; there is one at most."
    )

    class Meta:
        verbose_name = "parse run"
        ordering = ["-queued_at", "-pk"]
        permissions = [
            ("view_parselog", "Can read the logs of parse runs"),
            ("download_parselog", "Can download the logs of parse runs"),
            ("reparse_datafile", "Can parse files again, and cancel runs"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["data_file", "attempt"], name="parserun_attempt_once"),
            models.UniqueConstraint(
                fields=["data_file"], condition=Q(state__in=ACTIVE), name="parserun_one_active"
            ),
            models.CheckConstraint(
                condition=Q(state__in=ACTIVE, finished_at__isnull=True)
                | (~Q(state__in=ACTIVE) & Q(finished_at__isnull=False)),
                name="parserun_end_when_ended",
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(claim_token__isnull=False),
                name="parserun_running_is_claimed",
            ),
            models.CheckConstraint(
                condition=~Q(log_state="uploaded") | ~Q(log_file=""), name="parserun_stored_log_has_a_name"
            ),
        ]
        indexes = [
            models.Index(fields=["-queued_at", "-id"], name="parserun_time"),
            models.Index(fields=["state"], condition=Q(state__in=ACTIVE), name="parserun_open"),
            models.Index(
                fields=["log_state"],
                condition=Q(log_state__in=["spooling", "pending_upload", "upload_failed"]),
                name="parserun_log_open",
            ),
            models.Index(fields=["expires_at"], condition=Q(log_state="uploaded"), name="parserun_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.data_file_id}, attempt {self.attempt}"

    @property
    def is_active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ACTIVE

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from its start to its end; None while it runs, or where it never began."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(self.finished_at - self.started_at, timedelta(0)).total_seconds()
