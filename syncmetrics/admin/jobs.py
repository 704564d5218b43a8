"""The console's pages of the job log: what ran in the background, why, how long, and what went wrong."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from syncmetrics.admin.runs import run_link
from syncmetrics.display import (
    JOB_COLOURS,
    NOTHING,
    PLAIN,
    ReadOnlyAdmin,
    ago,
    badge,
    duration,
    moment,
    number,
    one_line,
    words,
)
from syncmetrics.models import JobRun
from syncmetrics.process import host_name

ERROR_CHARACTERS = 60  # of an error in a list
LINE = '<div style="white-space: pre-line">{}: {}</div>'


class TaskFilter(DropdownFilter):  # type: ignore[misc]  # the theme has no types
    """Jobs of one task."""

    title = "task"
    parameter_name = "task"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the tasks of the jobs that the person may see."""
        jobs = model_admin.get_queryset(request).order_by("name")
        return [(name, name) for name in jobs.values_list("name", flat=True).distinct()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[JobRun]) -> QuerySet[JobRun]:
        """Keep the jobs of the chosen task."""
        return queryset.filter(name=self.value()) if self.value() else queryset


class JobAdmin(ReadOnlyAdmin):
    """Background jobs: how it went, what, started by whom, when, how long it waited and took, why not."""

    list_display = ("job", "state_now", "started_by", "sync", "logged", "wait", "took", "error")
    list_filter = (("state", ChoicesDropdownFilter), TaskFilter, ("trigger", ChoicesDropdownFilter))
    search_fields = ("=task_id", "triggered_by", "error_class", "error_message")
    search_help_text = "id, schedule, person, error"
    list_select_related = ("run",)
    ordering = ("-logged_at", "-pk")
    sortable_by = ("logged",)
    list_per_page = 50
    compressed_fields = False
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "state_now", "sync"),
                    ("queued", "started", "ended"),
                    ("wait", "took", "tries"),
                    "whole_error",
                )
            },
        ),
        ("What it was asked", {"fields": ("asked", "started_by")}),
        ("Where it ran", {"fields": (("worker", "task_id", "expires"), "more")}),
    )

    @display(description="task", ordering="name")
    def job(self, job: JobRun) -> SafeString:
        """Return the task's name."""
        return one_line(job.name)

    @display(description="state")
    def state_now(self, job: JobRun) -> SafeString:
        """Return the state."""
        return badge(job.get_state_display(), JOB_COLOURS.get(job.state, PLAIN))

    @display(description="started by")
    def started_by(self, job: JobRun) -> str:
        """Return what started it, and which one."""
        return job.started_by

    @display(description="sync")
    def sync(self, job: JobRun) -> SafeString | str:
        """Return a link to the sync it did."""
        return run_link(job.run)

    @display(description="logged", ordering="logged_at")
    def logged(self, job: JobRun) -> SafeString | str:
        """Return when it was written down."""
        return ago(job.logged_at)

    @display(description="queued")
    def queued(self, job: JobRun) -> SafeString | str:
        """Return when it was handed to the workers."""
        return moment(job.queued_at)

    @display(description="last attempt began")
    def started(self, job: JobRun) -> SafeString | str:
        """Return when its last attempt began."""
        return moment(job.started_at)

    @display(description="ended")
    def ended(self, job: JobRun) -> SafeString | str:
        """Return when it ended."""
        return moment(job.ended_at)

    @display(description="dropped if not begun by")
    def expires(self, job: JobRun) -> SafeString | str:
        """Return until when it waits for a worker."""
        return moment(job.expires_at)

    @display(description="waited")
    def wait(self, job: JobRun) -> SafeString | str:
        """Return how long it waited for a worker."""
        return duration(job.wait_seconds)

    @display(description="took")
    def took(self, job: JobRun) -> SafeString | str:
        """Return how long its last attempt took."""
        return duration(job.duration_seconds)

    @display(description="attempts")
    def tries(self, job: JobRun) -> str:
        """Return how often it was begun."""
        return number(job.attempts)

    @display(description="error")
    def error(self, job: JobRun) -> str:
        """Return the error in short."""
        return Truncator(_error(job)).chars(ERROR_CHARACTERS)

    @display(description="error")
    def whole_error(self, job: JobRun) -> str:
        """Return the error."""
        return _error(job)

    @display(description="arguments")
    def asked(self, job: JobRun) -> SafeString | str:
        """Return what it was called with."""
        return _lines(job.arguments)

    @display(description="more")
    def more(self, job: JobRun) -> SafeString | str:
        """Return what else is known of it."""
        return _lines(job.metadata)

    @display(description="process")
    def worker(self, job: JobRun) -> str:
        """Return where it ran."""
        return f"process {job.pid} on {host_name(job.host)}" if job.host else NOTHING


def _error(job: JobRun) -> str:
    if not job.error_class:
        return NOTHING
    return f"{job.error_class}: {job.error_message}"


def _lines(values: Any) -> SafeString | str:
    if not isinstance(values, dict) or not values:
        return NOTHING
    return format_html_join("", LINE, ((name, words(item)) for name, item in values.items()))
