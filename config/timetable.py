"""Schedules in plain words: what is done, of which connection, how often, when next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

SYNC = "canvas.sync_connection"
MODES: Mapping[str | None, str] = {
    None: "full the first time, incremental afterwards",
    "full": "full",
    "incremental": "incremental",
}
LONGER: Mapping[str, tuple[tuple[str, int], ...]] = {
    "minutes": (("days", 1440), ("hours", 60)),
    "hours": (("days", 24),),
}
"""What a period is said in where it comes out even."""

DAYS = ("Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


def what(task: PeriodicTask) -> str:
    """Return what a schedule does: as it was described, or else the task's own name."""
    if task.task == SYNC:
        return f"Sync: {MODES.get(mode_of(task), mode_of(task))}"
    return str(task.description or task.task)


def connection_of(task: PeriodicTask) -> int | None:
    """Return the key of the connection that a schedule syncs; None where it syncs none."""
    if task.task != SYNC:
        return None
    args, kwargs = _arguments(task)
    found = kwargs.get("connection_id", args[0] if args else None)
    return found if isinstance(found, int) else None


def mode_of(task: PeriodicTask) -> str | None:
    """Return the mode that a schedule's syncs have; None: as is due."""
    args, kwargs = _arguments(task)
    found = kwargs.get("mode", args[1] if len(args) > 1 else None)
    return None if found is None else str(found)


def _arguments(task: PeriodicTask) -> tuple[list[Any], dict[str, Any]]:
    """Return what a task is called with; nothing where somebody typed what is no JSON."""
    try:
        args, kwargs = json.loads(task.args or "[]"), json.loads(task.kwargs or "{}")
    except ValueError:
        return [], {}
    return (args if isinstance(args, list) else []), (kwargs if isinstance(kwargs, dict) else {})


def how_often(task: PeriodicTask) -> str:
    """Return how often a schedule is due: `every 30 minutes`, `daily at 03:00 Europe/Vienna`."""
    if task.interval:
        return _every(task.interval)
    if task.crontab:
        return _at(task.crontab)
    if task.clocked:
        return f"once, at {task.clocked.clocked_time:%Y-%m-%d %H:%M} UTC"
    return str(task.scheduler)


def _every(interval: IntervalSchedule) -> str:
    every, period = interval.every, str(interval.period)
    for longer, times in LONGER.get(period, ()):
        if every % times == 0:
            every, period = every // times, longer
            break
    return f"every {period.removesuffix('s')}" if every == 1 else f"every {every} {period}"


def _at(crontab: CrontabSchedule) -> str:
    minute, hour = crontab.minute, crontab.hour
    days = _days(crontab)
    if not (days and minute.isdecimal() and hour.isdecimal()):
        return f"{crontab.human_readable}"
    return f"{days} at {int(hour):02}:{int(minute):02} {crontab.timezone}"


def _days(crontab: CrontabSchedule) -> str:
    """Return the days in words where they are easily said, else nothing."""
    date, day = crontab.day_of_month, crontab.day_of_week
    if crontab.month_of_year != "*":
        return ""
    if day == "*" and date.isdecimal():
        return f"monthly, on day {int(date)},"
    if date != "*":
        return ""
    return "daily" if day == "*" else DAYS[int(day)] if day in tuple("01234567") else ""


def next_run(task: PeriodicTask, now: datetime) -> datetime | None:
    """Return when a schedule is due next, as far as that is known; None where it is off or over."""
    if not task.enabled or (task.one_off and task.total_run_count):
        return None
    if task.clocked:
        moment: datetime = task.clocked.clocked_time
        return max(now, moment)
    last = task.last_run_at or task.date_changed or now
    left: timedelta = task.schedule.remaining_estimate(timezone.localtime(last))
    return now + max(left, timedelta(0))


def make_interval(every: int, period: str) -> IntervalSchedule:
    """Return the row of `every N minutes` or `hours`, one there already where possible."""
    wanted = {"every": every, "period": period}
    return IntervalSchedule.objects.filter(**wanted).first() or IntervalSchedule.objects.create(**wanted)


def make_daily(hour: int, minute: int, zone: str) -> CrontabSchedule:
    """Return the row of `daily at HH:MM` in a time zone, one there already where possible."""
    anything = dict.fromkeys(("day_of_week", "day_of_month", "month_of_year"), "*")
    wanted = {"hour": str(hour), "minute": str(minute), "timezone": ZoneInfo(zone), **anything}
    return CrontabSchedule.objects.filter(**wanted).first() or CrontabSchedule.objects.create(**wanted)
