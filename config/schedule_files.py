"""Schedules as files: which connection is synced how and when, without a task's raw arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from import_export.fields import Field  # type: ignore[import-untyped]
from import_export.resources import ModelResource  # type: ignore[import-untyped]
from import_export.widgets import BooleanWidget  # type: ignore[import-untyped]

from canvas.export_files import BY_HAND, Value
from canvas.models import Connection
from config.timetable import MODES, SYNC, connection_of, make_interval, mode_of

TIMES = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year", "timezone")


class Told(Field):  # type: ignore[misc]  # the library has no types
    """A column that is worked out from a schedule."""

    def __init__(self, column_name: str, tell: Callable[[PeriodicTask], Any]) -> None:
        super().__init__(column_name=column_name, widget=Value(), readonly=True)
        self._tell = tell

    def get_value(self, instance: PeriodicTask) -> Any:
        """Return what the column says."""
        return self._tell(instance)


class Enabled(BooleanWidget):  # type: ignore[misc]
    """On or off, as a truth value in files that have such."""

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        """Return it as it is."""
        return value


def _connection(task: PeriodicTask) -> str | None:
    return Connection.objects.filter(pk=connection_of(task) or 0).values_list("name", flat=True).first()


def _time(name: str) -> Callable[[PeriodicTask], str | None]:
    return lambda task: str(getattr(task.crontab, name)) if task.crontab else None


class ScheduleSettings(ModelResource):  # type: ignore[misc]
    """Schedules by their names. New ones sync a connection; of those Easel brings, only the time changes."""

    connection = Told("connection", _connection)
    mode = Told("mode", mode_of)
    every = Told("every", lambda task: task.interval and task.interval.every)
    period = Told("period", lambda task: task.interval and str(task.interval.period))
    minute, hour, day_of_week, day_of_month, month_of_year, timezone = (
        Told(name, _time(name)) for name in TIMES
    )
    enabled = Field("enabled", "enabled", widget=Enabled())

    class Meta:
        model = PeriodicTask
        fields = ("name", "connection", "mode", "every", "period", *TIMES, "enabled")
        export_order = fields
        import_id_fields = ("name",)
        clean_model_instances = True
        skip_unchanged = True
        report_skipped = True
        use_transactions = True

    def get_user_visible_fields(self) -> list[Field]:
        """Show all columns in the preview, those too that are worked out."""
        fields: list[Field] = self.get_export_fields()
        return fields

    def skip_row(self, instance: Any, original: Any, row: Any, import_validation_errors: Any = None) -> bool:
        """Leave out what a file does not change."""
        fields = self.get_export_fields()
        return (
            not import_validation_errors
            and all(field.get_value(instance) == field.get_value(original) for field in fields if original.pk)
            and bool(original.pk)
        )

    def import_instance(self, instance: PeriodicTask, row: Any, **kwargs: Any) -> None:
        """Fill a schedule from a line; ValueError with a sentence where that cannot be."""
        super().import_instance(instance, row, **kwargs)
        line = {name: str(value or "").strip() for name, value in row.items()}
        _fill_when(instance, line)
        if instance.pk is None or instance.task == SYNC:
            _fill_what(instance, line)


def _fill_what(task: PeriodicTask, line: dict[str, str]) -> None:
    connection = Connection.objects.filter(name=line.get("connection", "")).first()
    mode = line.get("mode") or None
    if connection is None:
        raise ValueError(f"There is no connection named {line.get('connection', '')!r}.")
    if mode not in MODES:
        raise ValueError(f"There is no mode {mode!r}: leave it empty, or say full or incremental.")
    task.task = SYNC
    task.args = json.dumps([connection.pk])
    task.kwargs = json.dumps({"mode": mode} if mode else {})


def _fill_when(task: PeriodicTask, line: dict[str, str]) -> None:
    if line.get("every"):
        task.interval, task.crontab = _interval(line), None
    elif line.get("hour") or line.get("minute"):
        task.interval, task.crontab = None, _crontab(line)
    else:
        raise ValueError("Say when: every and period, or minute and hour.")


def _interval(line: dict[str, str]) -> IntervalSchedule:
    periods = [str(name) for name, _ in IntervalSchedule.PERIOD_CHOICES]
    if not line["every"].isdecimal() or not 0 < int(line["every"]) <= 1000:
        raise ValueError("every is a whole number from 1 to 1000.")
    if line.get("period") not in periods:
        raise ValueError(f"period is one of {', '.join(periods)}.")
    return make_interval(int(line["every"]), line["period"])


def _crontab(line: dict[str, str]) -> CrontabSchedule:
    wanted = {name: line.get(name) or ("UTC" if name == "timezone" else "*") for name in TIMES}
    crontab = CrontabSchedule.objects.filter(**wanted).first() or CrontabSchedule(**wanted)
    crontab.full_clean()
    crontab.save()
    return crontab


BY_HAND[PeriodicTask] = ScheduleSettings
