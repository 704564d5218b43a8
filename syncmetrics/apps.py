"""The app registration of `syncmetrics`: where the job log begins to listen to Celery."""

from __future__ import annotations

from django.apps import AppConfig


class SyncmetricsConfig(AppConfig):
    """Runs, steps and counts of syncs; background jobs."""

    name = "syncmetrics"
    verbose_name = "Syncs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the job log's receivers, once there are models."""
        from syncmetrics.jobs import signals  # noqa: F401, PLC0415
