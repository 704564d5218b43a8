"""The app registration of `parselogs`."""

from __future__ import annotations

from django.apps import AppConfig


class ParselogsConfig(AppConfig):
    """Uploaded files and their parse runs."""

    name = "parselogs"
    verbose_name = "Uploaded files"
    default_auto_field = "django.db.models.BigAutoField"
