"""The console's pages of schedules, for people who need not know Celery."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import Any
from zoneinfo import available_timezones

from celery import current_app
from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django_celery_beat.admin import CrontabScheduleAdmin, IntervalScheduleAdmin
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from kombu.exceptions import OperationalError
from unfold.admin import ModelAdmin
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleTimeWidget,
    UnfoldAdminTextInputWidget,
)

from canvas.access import MAY_SYNC, allowed_instances, limit
from canvas.admin.actions import start_sync
from canvas.admin.exports import ExportPages
from canvas.admin.imports import ImportPages
from canvas.admin.limited import LimitedAdmin
from canvas.models import Connection
from canvas.sync import SyncOptions
from canvas.tasks import QueueUnreachable
from config.schedule_files import ScheduleSettings
from config.timetable import (
    MODES,
    SYNC,
    connection_of,
    how_often,
    make_daily,
    make_interval,
    mode_of,
    next_run,
    what,
)
from syncmetrics.actions import ActingAdmin, Action, ActionForm, Outcome
from syncmetrics.audit import record
from syncmetrics.display import GOOD, NOTHING, PLAIN, ConsoleAdmin, ago, badge, link, one_line

MAY_SCHEDULE = "django_celery_beat.change_periodictask"
WORDS = {
    "name": ("Name", ""),
    "enabled": ("On", ""),
    "interval": ("Every so often", "One of the two: this, or times of day."),
    "crontab": ("At times of day", "As cron writes them: minute, hour, day, month, weekday."),
    "description": ("Note", ""),
}
"""Labels and help of the fields, in words that need no Celery."""
HIDDEN = (SolarSchedule, ClockedSchedule)
"""What nobody schedules a sync by; beat goes on obeying such rows."""


class ScheduleForm(ActionForm):
    """A new schedule of a connection's syncs."""

    connection = forms.ModelChoiceField(
        queryset=Connection.objects.none(), widget=UnfoldAdminSelectWidget, empty_label=None
    )
    mode = forms.ChoiceField(
        required=False,
        choices=[(mode or "", words.capitalize()) for mode, words in MODES.items()],
        widget=UnfoldAdminSelectWidget,
        label="Kind of sync",
    )
    how = forms.ChoiceField(
        choices=[("minutes", "Every so many minutes"), ("hours", "Every so many hours"), ("daily", "Daily")],
        widget=UnfoldAdminSelectWidget,
        label="How often",
    )
    every = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=1000,
        initial=30,
        widget=UnfoldAdminIntegerFieldWidget,
        label="How many minutes or hours",
    )
    at = forms.TimeField(
        required=False,
        widget=UnfoldAdminSingleTimeWidget,
        label="Daily at",
        help_text="Hours and minutes, such as 03:00.",
    )
    zone = forms.ChoiceField(
        required=False,
        choices=lambda: [(zone, zone) for zone in sorted(available_timezones())],
        initial=settings.TIME_ZONE,
        widget=UnfoldAdminSelectWidget,
        label="Time zone",
    )
    name = forms.CharField(
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Empty: what it does and how often.",
    )

    def __init__(self, *args: Any, connections: QuerySet[Connection], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["connection"].queryset = connections  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """See that the one or the other time is given."""
        given = super().clean() or self.cleaned_data
        needed = "at" if given.get("how") == "daily" else "every"
        if given.get(needed) is None and needed not in self.errors:
            self.add_error(needed, "Say when." if needed == "at" else "Say how many.")
        return given


def make_schedule(asked: dict[str, Any]) -> PeriodicTask:
    """Write the schedule that a form asks for; ValidationError when its name is taken."""
    task = PeriodicTask(
        task=SYNC,
        args=json.dumps([asked["connection"].pk]),
        kwargs=json.dumps({"mode": asked["mode"]} if asked["mode"] else {}),
    )
    if asked["how"] == "daily":
        task.crontab = make_daily(asked["at"].hour, asked["at"].minute, asked["zone"] or settings.TIME_ZONE)
    else:
        task.interval = make_interval(asked["every"], asked["how"])
    kind = f", {asked['mode']}" if asked["mode"] else ""
    task.name = asked["name"] or f"Sync {asked['connection'].name}{kind}, {how_often(task)}"
    if PeriodicTask.objects.filter(name=task.name).exists():
        raise ValidationError(f"There is a schedule named {task.name!r} already.")
    task.save()
    return task


def run_now(request: HttpRequest, task: PeriodicTask, asked: dict[str, Any]) -> Outcome:
    """Do at once what a schedule does when it is due."""
    if task.task == SYNC:
        found = limit(Connection.objects.select_related("instance"), request.user)
        connection = found.filter(pk=connection_of(task) or 0).first()
        if connection is None:
            raise ValidationError("The connection of this schedule is gone.")
        return start_sync(request, connection, SyncOptions(mode=mode_of(task)))
    try:
        current_app.send_task(task.task, json.loads(task.args), json.loads(task.kwargs), retry=False)
    except (OperationalError, OSError):
        raise ValidationError(str(QueueUnreachable())) from None
    return Outcome("It was handed to a worker.", "Ran it at once.")


def switch(enabled: bool, request: HttpRequest, task: PeriodicTask, asked: dict[str, Any]) -> Outcome:
    """Switch a schedule on or off."""
    task.enabled = enabled
    task.save()
    word = "on" if enabled else "off"
    return Outcome(f"The schedule is {word}.", f"Switched the schedule {word}.")


SCHEDULE_ACTIONS = (
    Action(
        name="run",
        title="Run now",
        icon="play_arrow",
        permission=MAY_SYNC,
        perform=run_now,
        question="What the schedule does is done at once; when it is due next does not change.",
        in_lists=True,
    ),
    Action(
        name="switch_on",
        title="Switch on",
        icon="toggle_on",
        permission=MAY_SCHEDULE,
        perform=partial(switch, True),
        offered=lambda task: not task.enabled,
        in_lists=True,
    ),
    Action(
        name="switch_off",
        title="Switch off",
        icon="toggle_off",
        permission=MAY_SCHEDULE,
        perform=partial(switch, False),
        offered=lambda task: task.enabled,
        in_lists=True,
    ),
)


class SchedulePages(LimitedAdmin, ImportPages, ExportPages, ActingAdmin, ConsoleAdmin):
    """Schedules: what, of which connection, how often, when last, when next, on or off."""

    open_to_limited = True
    import_resource = ScheduleSettings
    console_actions = SCHEDULE_ACTIONS
    add_title = "Add a schedule"
    show_add_link = False
    list_display = ("name", "state", "does", "connection", "often", "last", "upcoming")
    list_filter = ("enabled",)
    search_fields = ("name", "task")
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "enabled")}),
        ("What", {"fields": (("does", "connection"),)}),
        ("When", {"fields": (("often", "last", "upcoming"), ("interval", "crontab"))}),
        ("Note", {"fields": ("description",)}),
    )
    readonly_fields = ("does", "connection", "often", "last", "upcoming")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        """Bring the times along; who is limited to sites sees the schedules of those."""
        tasks: QuerySet[PeriodicTask] = super().get_queryset(request)
        tasks = tasks.select_related("interval", "crontab", "solar", "clocked")
        if allowed_instances(request.user) is None:
            return tasks
        seen = set(limit(Connection.objects.all(), request.user).values_list("pk", flat=True))
        return tasks.filter(pk__in=[task.pk for task in tasks if connection_of(task) in seen])

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Say it in our words."""
        label, help_text = WORDS.get(db_field.name, (None, None))
        said = {} if label is None else {"label": label, "help_text": help_text}
        return super().formfield_for_dbfield(db_field, request, **said, **kwargs)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Look up the names of all connections once for the list."""
        found = super().get_changelist_instance(request)
        names = dict(Connection.objects.values_list("pk", "name"))
        for task in found.result_list:
            task.connection_names = names
        return found

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Add a schedule by the plain form."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        connections = limit(Connection.objects.order_by("name"), request.user)
        return self.answer(
            request,
            ScheduleForm(request.POST if request.method == "POST" else None, connections=connections),
            perform=partial(self._add, request),
            context={"title": self.add_title},
            back=reverse("admin:django_celery_beat_periodictask_changelist"),
        )

    def _add(self, request: HttpRequest, asked: dict[str, Any]) -> Outcome:
        task = make_schedule(asked)
        record(request, task, "Added the schedule.")
        return Outcome(f"Added: {task.name}.")

    @display(description="state", ordering="enabled")
    def state(self, task: PeriodicTask) -> SafeString:
        """Return whether it is on."""
        return badge("on", GOOD) if task.enabled else badge("off", PLAIN)

    @display(description="what")
    def does(self, task: PeriodicTask) -> str:
        """Return what it does."""
        return what(task)

    @display(description="connection")
    def connection(self, task: Any) -> SafeString | str:
        """Return a link to the connection it syncs."""
        key = connection_of(task)
        if key is None:
            return NOTHING
        names = getattr(task, "connection_names", None)
        if names is None:
            names = dict(Connection.objects.filter(pk=key).values_list("pk", "name"))
        url = reverse("admin:canvas_connection_change", args=[key])
        return link(url, names[key]) if key in names else "gone"

    @display(description="how often")
    def often(self, task: PeriodicTask) -> SafeString:
        """Return how often it is due."""
        return one_line(how_often(task))

    @display(description="last run", ordering="last_run_at")
    def last(self, task: PeriodicTask) -> SafeString | str:
        """Return when it was last due."""
        return ago(task.last_run_at)

    @display(description="next run")
    def upcoming(self, task: PeriodicTask) -> SafeString | str:
        """Return when it is due next."""
        now = timezone.now()
        due = next_run(task, now)
        return "within a minute" if due and due - now < timedelta(minutes=1) else ago(due)


class IntervalPages(LimitedAdmin, IntervalScheduleAdmin, ModelAdmin):  # type: ignore[misc]
    """Lengths of time between two runs."""

    inlines = ()


class CrontabPages(LimitedAdmin, CrontabScheduleAdmin, ModelAdmin):  # type: ignore[misc]
    """Times of day and days."""

    inlines = ()


PAGES: dict[type, type[admin.ModelAdmin[Any]]] = {
    PeriodicTask: SchedulePages,
    IntervalSchedule: IntervalPages,
    CrontabSchedule: CrontabPages,
}
