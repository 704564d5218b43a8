"""Easel's wiring: settings, URLs, the Celery application. Knows every app; no app knows it."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
