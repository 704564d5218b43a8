"""The app registration of `syncmetrics`."""

from __future__ import annotations

from django.apps import AppConfig


class SyncmetricsConfig(AppConfig):
    """Runs, steps and counts of syncs."""

    name = "syncmetrics"
    verbose_name = "Syncs"
    default_auto_field = "django.db.models.BigAutoField"
