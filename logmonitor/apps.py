"""The app registration of `logmonitor`."""

from __future__ import annotations

from django.apps import AppConfig


class LogmonitorConfig(AppConfig):
    """The log files of syncs."""

    name = "logmonitor"
    verbose_name = "Logs"
