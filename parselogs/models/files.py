"""Uploaded files, the batches in which they are parsed again, and objects that storage shall let go."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from parselogs.storage import uploads


class DataFile(models.Model):
    """One content that somebody uploaded. The same content again is the same file."""

    file = models.FileField(storage=uploads, max_length=255, help_text="Its name in storage.")
    name = models.CharField(max_length=255, help_text="As the uploader named it; never used as a path.")
    size = models.BigIntegerField("size in bytes")
    sha256 = models.CharField("SHA-256", max_length=64, unique=True)
    kind = models.CharField(
        max_length=40, blank=True, help_text="What it was recognised as; empty until it was parsed."
    )
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    uploaded_at = models.DateTimeField(default=timezone.now)
    notify_uploader = models.BooleanField(
        default=False, help_text="The uploader gets an e-mail when a run of this file has ended."
    )
    self_contained = models.BooleanField(
        "complete",
        default=False,
        help_text="The archive holds everything its rows refer to: what is not in it is an error.",
    )
    result_run = models.ForeignKey(
        "parselogs.ParseFileMeta",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The run whose results count: the latest that succeeded.",
    )

    class Meta:
        verbose_name = "data file"
        ordering = ["-uploaded_at", "-pk"]
        permissions = [("download_datafile", "Can download uploaded files, with all that is in them")]
        constraints = [
            models.CheckConstraint(condition=models.Q(size__gte=0), name="datafile_size_not_negative"),
        ]
        indexes = [
            models.Index(fields=["-uploaded_at", "-id"], name="datafile_time"),
            models.Index(fields=["kind", "-uploaded_at"], name="datafile_kind_time"),
        ]

    def __str__(self) -> str:
        return self.name


class ParseMeta(models.Model):
    """One event that parses files: an upload, a command, or a reparse of many. Its counts are its runs'."""

    class Kind(models.TextChoices):
        """What made the batch."""

        UPLOAD = "upload", "Upload"
        REPARSE = "reparse", "Reparse"
        COMMAND = "command", "Command"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    reason = models.CharField(max_length=255, blank=True)
    deadline = models.DateTimeField(
        null=True, blank=True, help_text="When it should be done; later it is shown as late."
    )
    scope = models.JSONField(default=dict, blank=True, help_text="What was asked for, such as a kind.")

    class Meta:
        verbose_name = "parse batch"
        verbose_name_plural = "parse batches"
        ordering = ["-created_at", "-pk"]
        indexes = [models.Index(fields=["-created_at", "-id"], name="parsemeta_time")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"


class DiscardedObject(models.Model):
    """A name in storage that no row needs, or that is being written: the purge removes it when it is due.

    Written before an upload begins and removed with the transaction that keeps the file, so that what a
    kill leaves in storage is always known.
    """

    name = models.CharField(max_length=255, unique=True)
    due_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["due_at", "pk"]

    def __str__(self) -> str:
        return self.name
