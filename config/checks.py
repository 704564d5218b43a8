"""System checks: settings that contradict each other, endanger data or make Canvas slower.

Tagged `easel`, so that the commands that sync make these and not Django's own, which load the console.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

CANVAS_ADMITS = 11
"""Requests in flight that an idle token's bucket holds: 600 units, 50 reserved for each (canvas-lms)."""

FIRST_SOUND_SQLITE = (3, 51, 3)
"""Older ones may, very rarely, corrupt a WAL database that several connections write or checkpoint."""

Apps = Sequence[AppConfig] | None


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A number that a setting may not go below, and why."""

    setting: str
    minimum: float
    why: str


AT_LEAST = (
    AtLeast("CANVAS_CONCURRENCY", 1, "Without a request in flight no sync ever ends."),
    AtLeast("CANVAS_MAX_TRIES", 1, "Each request is tried at least once."),
    AtLeast("CANVAS_CONNECT_TIMEOUT_SECONDS", 0.1, "Canvas is given no time to answer."),
    AtLeast("CANVAS_READ_TIMEOUT_SECONDS", 1, "Canvas is given no time to answer."),
    AtLeast("CANVAS_BATCH_ROWS", 1, "A batch holds at least one row."),
    AtLeast("CANVAS_CURSOR_OVERLAP_SECONDS", 0, "A negative overlap would skip what changed meanwhile."),
    AtLeast("CELERY_WORKER_CONCURRENCY", 1, "WORKER_PROCESSES: a worker without a process does nothing."),
    AtLeast("SYNC_QUEUE_SECONDS", 60, "A worker needs some seconds to start and take a run."),
    AtLeast("JOB_LOG_DAYS", 1, "What ran today would be deleted while somebody looks for it."),
    AtLeast("ALERT_SEND_SECONDS", 3, "The process that sends needs a second to start."),
    AtLeast("ALERT_ERROR_RATE_HOURS", 0.1, "In so short a time no sync ends, and no rate is known."),
    AtLeast("ALERT_ERROR_RATE_PERCENT", 0, "No share is below nothing: every connection would alarm."),
    AtLeast("INCIDENT_DAYS", 1, "What ended today would be deleted while somebody looks for it."),
    AtLeast("CANVAS_SYNC_LOG_MEGABYTES", 0.1, "A log would be rotated every few lines."),
    AtLeast("CANVAS_SYNC_LOG_FILES", 1, "Every rotated log would be deleted at once."),
    AtLeast("RUN_DAYS", 1, "Runs would be deleted as soon as they end."),
    AtLeast("UPLOAD_MEGABYTES", 0.001, "Every upload would be refused."),
    AtLeast("UPLOAD_DAYS", 0, "0 keeps files; a negative number would delete those of tomorrow."),
    AtLeast("PARSE_LOG_DAYS", 1, "Logs would be deleted while somebody looks for them."),
    AtLeast("PARSE_LOG_MEGABYTES", 0.1, "A log would lose its middle after some hundred lines."),
    AtLeast("PARSE_FINDINGS_PER_CODE", 1, "No finding could be looked at."),
    AtLeast("PARSE_QUEUE_SECONDS", 30, "A worker needs some seconds to start and take a run."),
    AtLeast("PARSE_LEASE_SECONDS", 30, "A run beats every 5 s and may wait 20 s for the database."),
    AtLeast("TASK_LIMIT_SECONDS", 60, "No sync ends in so short a time."),
    AtLeast(
        "SYNC_LEASE_SECONDS",
        30,
        "A run beats every 5 s and may wait 20 s for the database: with a shorter lease a healthy run is"
        " taken for lost, and a second one starts beside it.",
    ),
)


@register("easel")
def check_minimums(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Refuse numbers that no sync can work with."""
    return [
        Error(
            f"{limit.setting} is {getattr(settings, limit.setting)}, below {limit.minimum}.",
            hint=limit.why,
            id="easel.E001",
        )
        for limit in AT_LEAST
        if getattr(settings, limit.setting) < limit.minimum
    ]


@register("easel")
def check_token_keys(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Refuse keys that encrypt nothing; they are counted, never shown."""
    return [
        Error(
            f"Key {position} of CANVAS_TOKEN_KEYS is not a Fernet key.",
            hint="It takes 32 random bytes in URL-safe base64. To make one: python -c"
            ' "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"',
            id="easel.E002",
        )
        for position, key in enumerate(settings.CANVAS_TOKEN_KEYS, start=1)
        if not _is_fernet_key(key)
    ]


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


@register("easel")
def check_debug(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Refuse DEBUG on a site that is served to others."""
    if not (settings.DEBUG and settings.HTTPS):
        return []
    return [
        Error(
            "DEBUG and HTTPS are both on.",
            hint="DEBUG shows settings and data to whoever meets an error, and its server speaks no TLS."
            " In production set DEBUG=false; on your own machine set HTTPS=false.",
            id="easel.E003",
        )
    ]


@register("easel")
def check_hsts(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Warn of a promise that is never sent."""
    if settings.HTTPS or not settings.SECURE_HSTS_SECONDS:
        return []
    return [
        Warning(
            "HSTS_SECONDS is set but HTTPS is off.",
            hint="The header is sent over https only: set HTTPS=true behind a proxy with TLS, or drop it.",
            id="easel.W001",
        )
    ]


@register("easel")
def check_console_url(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Refuse an address that makes no link."""
    if not settings.CONSOLE_URL or settings.CONSOLE_URL.startswith(("https://", "http://")):
        return []
    return [
        Error(
            f"CONSOLE_URL is {settings.CONSOLE_URL!r}, which makes no link in alerts and reports.",
            hint="Give the whole address, such as CONSOLE_URL=https://easel.example.edu, or none.",
            id="easel.E005",
        )
    ]


@register("easel")
def check_sender(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Warn of mail that other servers refuse for its sender."""
    if not settings.MAIL_SERVER_SET or not settings.DEFAULT_FROM_EMAIL.endswith("@localhost"):
        return []
    return [
        Warning(
            f"EMAIL_URL is set, and DEFAULT_FROM_EMAIL is {settings.DEFAULT_FROM_EMAIL}.",
            hint="Most mail servers refuse such a sender: set DEFAULT_FROM_EMAIL to an address of yours.",
            id="easel.W005",
        )
    ]


@register("easel")
def check_concurrency(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """Warn of more requests in flight than Canvas admits."""
    if settings.CANVAS_CONCURRENCY <= CANVAS_ADMITS:
        return []
    return [
        Warning(
            f"CANVAS_CONCURRENCY is {settings.CANVAS_CONCURRENCY}: Canvas admits {CANVAS_ADMITS}.",
            hint="Canvas reserves 50 of a token's 600 units for each request in flight and refuses what"
            " goes beyond, so that more requests take longer (20: half as long again). Keep the default,"
            " 10, unless your Canvas has raised the token's limits.",
            id="easel.W002",
        )
    ]


@register(Tags.database)
def check_sqlite(
    app_configs: Apps, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn of a SQLite with the WAL-reset bug. Said by `migrate` and `check --database`, not every time."""
    return list(_old_sqlites(databases or ()))


def _old_sqlites(databases: Sequence[str]) -> Iterator[CheckMessage]:
    for alias in databases:
        database: Any = connections[alias]
        if database.vendor != "sqlite" or database.is_in_memory_db():
            continue
        version = database.Database.sqlite_version_info
        if version < FIRST_SOUND_SQLITE:
            yield Warning(
                f"SQLite {'.'.join(map(str, version))} can, very rarely, damage a database that several"
                " processes write at once.",
                hint="Use PostgreSQL where more than one process writes (DATABASE_URL), or a Python with"
                f" SQLite {'.'.join(map(str, FIRST_SOUND_SQLITE))} or later. One process at a time is safe.",
                id="easel.W003",
            )
