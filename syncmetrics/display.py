"""How the console shows things: read-only pages, states as colour and word, ages, durations, numbers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.contrib.admin import ShowFacets
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from unfold.admin import ModelAdmin

from syncmetrics.models import JobRun, SyncRun, SyncStep

GOOD, NEWS, CARE, BAD, PLAIN = "success", "info", "warning", "danger", ""
"""Colours of the admin theme, by what they tell an operator."""

RUN_COLOURS: Mapping[str, str] = {
    SyncRun.Status.COMPLETED: GOOD,
    SyncRun.Status.QUEUED: NEWS,
    SyncRun.Status.IN_PROGRESS: NEWS,
    SyncRun.Status.PARTIAL: CARE,
    SyncRun.Status.CANCELLED: CARE,
    SyncRun.Status.FAILED: BAD,
    SyncRun.Status.LOST: BAD,
}
STEP_COLOURS: Mapping[str, str] = {
    SyncStep.State.COMPLETED: GOOD,
    SyncStep.State.IN_PROGRESS: NEWS,
    SyncStep.State.FAILED: BAD,
}
JOB_COLOURS: Mapping[str, str] = {
    JobRun.State.COMPLETED: GOOD,
    JobRun.State.QUEUED: NEWS,
    JobRun.State.IN_PROGRESS: NEWS,
    JobRun.State.RETRIED: CARE,
    JobRun.State.CANCELLED: CARE,
    JobRun.State.EXPIRED: CARE,
    JobRun.State.FAILED: BAD,
    JobRun.State.LOST: BAD,
}

NOTHING = "-"


class ConsoleAdmin(ModelAdmin):  # type: ignore[misc]  # the theme has no types
    """What all lists of the console have in common."""

    actions = None
    list_filter_submit = True
    show_facets = ShowFacets.NEVER  # a count per filter reads the whole table


class ReadOnlyAdmin(ConsoleAdmin):
    """Pages of what only the program writes: nobody adds, changes or deletes it here."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        """Leave out the link to the history of changes by people: there are none."""
        extra_context = {"show_history": False, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, extra_context)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False


@lru_cache(maxsize=512)  # a list shows the same few states on every row
def badge(word: str, colour: str, *, title: str = "") -> SafeString:
    """Return a state as a coloured word; `title` shows under the pointer."""
    context = {"text": word, "type": colour, "label_title": title}
    return render_to_string("unfold/helpers/label.html", context)


def run_badge(run: SyncRun) -> SafeString:
    """Return a run's state."""
    return badge(run.get_sync_status_display(), RUN_COLOURS.get(run.sync_status, PLAIN))


def link(url: str, text: object) -> SafeString:
    """Return a link as the theme colours them."""
    return format_html('<a href="{}" class="text-link">{}</a>', url, text)


def one_line(text: object) -> SafeString:
    """Return a short text that narrow columns do not break."""
    return format_html('<span class="nowrap">{}</span>', text)


def yes_or_no(value: bool) -> str:
    """Return a boolean as a word: the theme's icons show every "no" as something wrong."""
    return "yes" if value else "no"


def number(value: float | None) -> str:
    """Return a number with thousands separators and at most two decimals."""
    if value is None:
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")


def duration(seconds: float | None) -> SafeString | str:
    """Return a length of time as exactly as is useful: `0.42 s`, `12 s`, `3 min 5 s`, `2 h 4 min`."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return one_line(f"{number(round(seconds, 2))} s" if seconds < 1 else f"{seconds:.1f} s")
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return one_line(f"{hours:,} h {minutes} min")
    return one_line(f"{minutes} min {rest} s" if minutes else f"{rest} s")


def moment(when: datetime | None) -> SafeString | str:
    """Return a point in time, with its zone, on one line."""
    return one_line(localize(when)) if when else NOTHING


def ago(when: datetime | None) -> SafeString | str:
    """Return how long ago a moment was, the moment itself under the pointer."""
    if when is None:
        return NOTHING
    distance = _distance(when, timezone.now())
    return format_html('<time class="nowrap" title="{}">{}</time>', localize(when), distance)


def _distance(when: datetime, now: datetime) -> str:
    if abs(now - when) < timedelta(minutes=1):
        return "just now"
    if when > now:
        return f"in {timesince(now, when, depth=1)}"
    return f"{timesince(when, now, depth=1)} ago"


def words(value: Any) -> str:
    """Return a JSON value as text for people: lists with commas, one line per key of an object."""
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {words(item)}" for key, item in value.items()) or NOTHING
    if isinstance(value, list | tuple):
        return ", ".join(words(item) for item in value) or NOTHING
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
