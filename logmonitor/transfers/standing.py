"""How a transfer log stands: followed or not, behind or not, and what is wrong in a sentence."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import TextChoices

from logmonitor.models import LogSource

SILENCE = timedelta(minutes=5)
"""Nobody has looked at a source for so long beyond its own pause: nobody follows it."""

BEHIND_SECONDS = 60


class Standing(TextChoices):
    """How a source stands, in the words that the console shows."""

    OFF = "off"
    UNREADABLE = "cannot be read"
    SILENT = "not followed"
    BEHIND = "behind"
    UP_TO_DATE = "up to date"


def standing_of(source: LogSource, now: datetime) -> Standing:
    """Return how a source stands; one that nobody has looked at yet is not followed."""
    if not source.enabled:
        return Standing.OFF
    if source.error:
        return Standing.UNREADABLE
    if source.last_polled_at is None or silent_since(source) < now:
        return Standing.SILENT
    if source.behind_bytes and source.behind_seconds > BEHIND_SECONDS:
        return Standing.BEHIND
    return Standing.UP_TO_DATE


def silent_since(source: LogSource) -> datetime:
    """Return from when on nobody follows a source, as far as is known now; it may be in the future."""
    looked = source.last_polled_at or source.added_at
    return looked + SILENCE + timedelta(seconds=source.poll_seconds)


def trouble(source: LogSource, now: datetime) -> str:
    """Return what is wrong with a source and what to do, in sentences; empty where nothing is."""
    return " ".join(filter(None, [source.error, _silence(source, now)])) if source.enabled else ""


def _silence(source: LogSource, now: datetime) -> str:
    if silent_since(source) >= now:
        return ""
    looked = source.last_polled_at
    when = f"Nobody has looked at it since {looked:%Y-%m-%d %H:%M} UTC" if looked else "Nobody reads it"
    return f"{when}: start a worker with beat, or watch_transfers."
