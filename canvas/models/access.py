"""Who may see which Canvas sites, and the files that people exported from them."""

from __future__ import annotations

import uuid
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.files.storage import FileSystemStorage, Storage
from django.db import models
from django.db.models import Q
from django.utils import timezone

from canvas.models.instances import Instance


class InstanceLimit(models.Model):
    """One Canvas site that a person, or everybody in a group, is limited to.

    Who has none of these sees all sites. Who has some, of their own or through any group, sees those.
    Hence a site or a group with limits is not deleted before they are: nobody shall see more by that.
    """

    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="limits")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="limits"
    )
    group = models.ForeignKey(
        "auth.Group", null=True, blank=True, on_delete=models.PROTECT, related_name="limits"
    )

    class Meta:
        verbose_name = "limit to an instance"
        verbose_name_plural = "limits to instances"
        constraints = [
            models.CheckConstraint(
                condition=Q(user=None, group__isnull=False) | Q(user__isnull=False, group=None),
                name="limit_of_a_person_or_a_group",
            ),
            models.UniqueConstraint(fields=["user", "instance"], name="limit_once_per_person"),
            models.UniqueConstraint(fields=["group", "instance"], name="limit_once_per_group"),
        ]

    def __str__(self) -> str:
        return f"{self.user or self.group}: {self.instance}"


def export_storage() -> Storage:
    """Return where exported files lie: a folder that no web server knows."""
    return FileSystemStorage(location=settings.VAR_DIR / "exports", file_permissions_mode=0o600)


def export_path(export: Export, name: str) -> str:
    """Return a name that nobody chose and nobody can guess."""
    return f"{uuid.uuid4()}{Path(name).suffix}"


class Export(models.Model):
    """Rows that a person took out of the console: which, when, how many, and the file if one was kept."""

    class State(models.TextChoices):
        """How an export stands."""

        QUEUED = "queued", "Queued"
        IN_PROGRESS = "in_progress", "In progress"
        COMPLETED = "completed", "Completed"
        FAILED = "failed", "Failed"

    class Format(models.TextChoices):
        """Kinds of files."""

        CSV = "csv", "CSV"
        XLSX = "xlsx", "XLSX"
        JSON = "json", "JSON"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="exports"
    )
    table = models.CharField(max_length=100, help_text="app.model")
    format = models.CharField(max_length=4, choices=Format.choices)
    query = models.TextField(blank=True, help_text="Search and filters of the list, as in its address.")
    instances = models.JSONField(null=True, help_text="The sites its owner was limited to; empty: none.")
    state = models.CharField(max_length=20, choices=State.choices, default=State.QUEUED)
    rows = models.BigIntegerField(null=True)
    error_message = models.TextField(blank=True)
    file = models.FileField(storage=export_storage, upload_to=export_path, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True, help_text="When the file is deleted.")

    class Meta:
        default_permissions = ()
        permissions = [
            ("export_rows", "Can export rows to files"),
            ("see_all_exports", "Can see and download what others exported"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "in_progress"], ended_at=None)
                | Q(state__in=["completed", "failed"], ended_at__isnull=False),
                name="export_end_when_ended",
            ),
        ]
        indexes = [models.Index(fields=["expires_at"], name="export_expiry")]

    def __str__(self) -> str:
        return f"Export {self.pk} of {self.what}"

    @property
    def what(self) -> str:
        """The table's rows in words, `courses` for `canvas.course`."""
        return str(apps.get_model(self.table)._meta.verbose_name_plural)
