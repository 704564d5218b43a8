"""The app registration of `sandbox`."""

from __future__ import annotations

from django.apps import AppConfig


class SandboxConfig(AppConfig):
    """The sandbox Canvas and the demo."""

    name = "sandbox"
    verbose_name = "Sandbox Canvas"
    default_auto_field = "django.db.models.BigAutoField"
