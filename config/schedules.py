"""The schedules Easel brings. They belong to the operator: made where missing, never changed afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from canvas.models import Connection


@dataclass(frozen=True, slots=True)
class Daily:
    """Once a day at a time of day (UTC)."""

    hour: int
    minute: int = 0


@dataclass(frozen=True, slots=True)
class Weekly:
    """Once a week at a time of day (UTC); `day` 0 is Sunday."""

    day: int
    hour: int
    minute: int = 0


@dataclass(frozen=True, slots=True)
class Monthly:
    """Once a month, on a day of it, at a time of day (UTC)."""

    date: int
    hour: int
    minute: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is done how often. `{name}` in its name is the connection's; such are off until switched on."""

    name: str
    task: str
    when: timedelta | Daily | Weekly | Monthly
    what: str
    enabled: bool = True
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


UPKEEP = (
    Schedule(
        "Find lost runs",
        "syncmetrics.close_lost_runs",
        timedelta(seconds=30),
        "Marks syncs as lost whose process died, or that no worker took.",
    ),
    Schedule(
        "Resume lost syncs",
        "canvas.resume_lost_runs",
        timedelta(seconds=30),
        "Queues what a worker left unfinished when it died.",
    ),
    Schedule(
        "Tidy the job log",
        "syncmetrics.tidy_job_log",
        timedelta(minutes=5),
        "Marks background jobs as lost that nobody works on.",
    ),
    Schedule(
        "Watch for incidents",
        "syncmetrics.watch_incidents",
        timedelta(minutes=1),
        "Opens and closes incidents, and sends alerts to the channels.",
    ),
    Schedule(
        "Weekly report",
        "syncmetrics.send_report",
        Weekly(day=1, hour=7),
        "Sends the report of last week to its recipients.",
        args=("weekly",),
    ),
    Schedule(
        "Monthly report",
        "syncmetrics.send_report",
        Monthly(date=1, hour=7),
        "Sends the report of last month to its recipients.",
        args=("monthly",),
    ),
    Schedule(
        "Send reports again",
        "syncmetrics.send_reports_again",
        timedelta(hours=1),
        "Sends what the mail server did not take.",
    ),
    Schedule(
        "Clean up logs",
        "logmonitor.clean_logs",
        Daily(hour=2),
        "Shortens the logs of the syncs, archives old files and deletes old archives.",
        kwargs={"max_log_lines": 10_000, "archive_age_days": 7, "delete_age_days": 30},
    ),
    Schedule(
        "Delete old records",
        "syncmetrics.prune_records",
        Daily(hour=2, minute=30),
        "Deletes old runs, jobs, incidents, lines of transfer logs and the like; the figures of days stay.",
    ),
    Schedule(
        "Find lost parse runs",
        "parselogs.sweep_runs",
        timedelta(minutes=1),
        "Marks parse runs as lost whose process died, stores logs that wait, sends runs again.",
    ),
    Schedule(
        "Delete old uploads",
        "parselogs.purge_uploads",
        Daily(hour=3),
        "Deletes logs of parse runs and uploaded files whose time is over (PARSE_LOG_DAYS, UPLOAD_DAYS).",
    ),
    Schedule(
        "Read transfer logs",
        "logmonitor.drain_transfers",
        timedelta(minutes=1),
        "Reads what SFTPGo has logged; nothing is done while watch_transfers follows the logs.",
    ),
    Schedule(
        "Verify the figures of transfers",
        "logmonitor.verify_transfers",
        Daily(hour=3, minute=20),
        "Compares the figures behind the charts with the lines that are kept; fails where they differ.",
    ),
    Schedule(
        "Delete old exports",
        "canvas.delete_expired_exports",
        timedelta(hours=24),
        "Deletes exported files whose time is over.",
    ),
)


def _of_connection(connection: Connection) -> tuple[Schedule, ...]:
    return (
        Schedule(
            f"Sync {connection.name}: what changed",
            "canvas.sync_connection",
            timedelta(minutes=30),
            "Full until one full sync has completed, incremental afterwards.",
            enabled=False,
            args=(connection.pk,),
        ),
        Schedule(
            f"Sync {connection.name}: everything",
            "canvas.sync_connection",
            Weekly(day=0, hour=2, minute=15),
            "Finds what no filter of Canvas shows: deletions, excused work, posted grades.",
            enabled=False,
            args=(connection.pk,),
            kwargs={"mode": "full"},
        ),
    )


def make_schedules_of(connection: Connection) -> None:
    """Make the schedules of a new connection; they are off until somebody switches them on."""
    for schedule in _of_connection(connection):
        if find(schedule) is None:
            create(schedule)


def declared() -> Iterator[Schedule]:
    """Yield every schedule Easel brings to this installation."""
    yield from UPKEEP
    for connection in Connection.objects.order_by("pk"):
        yield from _of_connection(connection)


def find(schedule: Schedule) -> PeriodicTask | None:
    """Return the row of a schedule, renamed or not; None when there is none."""
    args, kwargs = json.dumps(schedule.args), json.dumps(schedule.kwargs)
    same = Q(name=schedule.name) | Q(task=schedule.task, args=args, kwargs=kwargs)
    return PeriodicTask.objects.filter(same).order_by("pk").first()


def create(schedule: Schedule) -> PeriodicTask:
    """Make a schedule's row."""
    return PeriodicTask.objects.create(name=schedule.name, **_columns(schedule))


def reset(row: PeriodicTask, schedule: Schedule) -> None:
    """Make a row what Easel brought, whatever an operator made of it."""
    for column, value in {"crontab": None, "interval": None, **_columns(schedule)}.items():
        setattr(row, column, value)
    row.name = schedule.name
    row.save()


def differences(row: PeriodicTask, schedule: Schedule) -> list[str]:
    """Return in words where an operator has changed what Easel brought."""
    found = {
        "name": (row.name, schedule.name),
        "switched": (_on(row.enabled), _on(schedule.enabled)),
        "when": (str(row.scheduler), str(_when(schedule))),
        "task": (row.task, schedule.task),
        "arguments": (
            f"{row.args} {row.kwargs}",
            f"{json.dumps(schedule.args)} {json.dumps(schedule.kwargs)}",
        ),
    }
    return [f"{what} {now}, not {brought}" for what, (now, brought) in found.items() if now != brought]


def _on(enabled: bool) -> str:
    return "on" if enabled else "off"


def _columns(schedule: Schedule) -> dict[str, Any]:
    when = _when(schedule)
    when.save()
    return {
        "interval" if isinstance(when, IntervalSchedule) else "crontab": when,
        "task": schedule.task,
        "args": json.dumps(schedule.args),
        "kwargs": json.dumps(schedule.kwargs),
        "enabled": schedule.enabled,
        "description": schedule.what,
    }


def _when(schedule: Schedule) -> IntervalSchedule | CrontabSchedule:
    """Return the row that says when: one there already where possible, unsaved otherwise."""
    when = schedule.when
    if isinstance(when, timedelta):
        seconds = int(when.total_seconds())
        every, period = (seconds // 60, "minutes") if seconds % 60 == 0 else (seconds, "seconds")
        interval = {"every": every, "period": period}
        return IntervalSchedule.objects.filter(**interval).first() or IntervalSchedule(**interval)
    weekly = {
        "minute": str(when.minute),
        "hour": str(when.hour),
        "day_of_week": str(when.day) if isinstance(when, Weekly) else "*",
        "day_of_month": str(when.date) if isinstance(when, Monthly) else "*",
        "month_of_year": "*",
        "timezone": "UTC",
    }
    return CrontabSchedule.objects.filter(**weekly).first() or CrontabSchedule(**weekly)
