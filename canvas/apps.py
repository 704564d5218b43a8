"""The app registration of `canvas`."""

from __future__ import annotations

from django.apps import AppConfig


class CanvasConfig(AppConfig):
    """Canvas data and the syncs that fill it."""

    name = "canvas"
    verbose_name = "Canvas"
    default_auto_field = "django.db.models.BigAutoField"
