"""The app registration of `config`: where settings are checked."""

from __future__ import annotations

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """The project's own wiring; no models."""

    name = "config"

    def ready(self) -> None:
        """Register the system checks, once Django is ready to take them."""
        from config import checks  # noqa: F401, PLC0415
