"""The console's pages of transfer logs: how far each is followed, its bad lines, and its gaps."""

from __future__ import annotations

import os
from shlex import quote
from typing import Any

from django.contrib import messages
from django.contrib.admin import RelatedOnlyFieldListFilter, display
from django.core.exceptions import ValidationError
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from kombu.exceptions import OperationalError
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from logmonitor.models import BadLine, Gap, LogSource, Segment
from logmonitor.tasks import drain_transfers
from logmonitor.transfers import lease
from logmonitor.transfers.api import PERMISSION
from logmonitor.transfers.reparse import reparse
from logmonitor.transfers.standing import Standing, standing_of, trouble
from syncmetrics.actions import ActingAdmin, Action, Outcome
from syncmetrics.display import (
    BAD,
    CARE,
    GOOD,
    NOTHING,
    PLAIN,
    ConsoleAdmin,
    ReadOnlyAdmin,
    ago,
    badge,
    duration,
    link,
    moment,
    number,
)

MAY_READ = "logmonitor.drain_logsource"
STANDING_COLOURS = {
    Standing.OFF: PLAIN,
    Standing.UNREADABLE: BAD,
    Standing.SILENT: BAD,
    Standing.BEHIND: CARE,
    Standing.UP_TO_DATE: GOOD,
}
CLOCK_SECONDS = 60
"""Two clocks may differ by so much."""

RAW_CHARACTERS = 20_000


def read_now(request: HttpRequest, source: LogSource, asked: dict[str, Any]) -> Outcome:
    """Have a worker read what is there."""
    try:
        drain_transfers.apply_async((source.pk,), retry=False)
    except (OperationalError, OSError):
        raise ValidationError(
            "Redis does not answer, so nothing was started: background work needs `make run`, or a Redis that"
            f" REDIS_URL names. `manage.py watch_transfers --once --source {quote(source.name)}` needs none."
        ) from None
    return Outcome(f"A worker reads {source} now.", "Had it read.")


def reparse_bad_lines(request: HttpRequest, source: LogSource, asked: dict[str, Any]) -> Outcome:
    """Read the bad lines of a source again."""
    done = reparse(source)
    text = f"{done.tried:,} bad lines were read again; {done.mended:,} are lines now."
    return Outcome(text, text, level=messages.SUCCESS if done.mended or not done.tried else messages.WARNING)


def accept_gap(request: HttpRequest, gap: Gap, asked: dict[str, Any]) -> Outcome:
    """Keep that the lines of a gap are lost, so that nobody is told of it any more."""
    Gap.open().filter(pk=gap.pk).update(accepted_at=timezone.now())
    return Outcome("The gap stays on record; nobody is told of it any more.", "Accepted that lines are lost.")


class _Pages:
    """Bad lines and gaps tell of people, as lines do: the same permission shows all of them."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the person may see who transferred what."""
        return bool(request.user.has_perm(PERMISSION))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Tell whether the table shows among the others."""
        return self.has_view_permission(request)


class SourceAdmin(_Pages, ActingAdmin, ConsoleAdmin):
    """Transfer logs: is each of them followed, how far behind is it, and what is missing."""

    list_display = ("name", "state", "behind", "last_line", "lag", "lines", "gaps", "bad_lines", "folder")
    list_per_page = 50
    sortable_by = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "folder", "live_name", "time_zone")}),
        ("Following", {"fields": ("enabled", "poll_seconds", "keep_lines_days")}),
        (
            "How it stands",
            {
                "fields": (
                    ("state", "behind"),
                    ("last_line", "lag"),
                    ("gaps", "bad_lines"),
                    "follower",
                    "wrong",
                )
            },
        ),
    )
    readonly_fields = ("state", "behind", "last_line", "lag", "gaps", "bad_lines", "follower", "wrong")
    add_title = "Add a transfer log"
    console_actions = (
        Action(
            name="read",
            title="Read now",
            icon="sync",
            permission=MAY_READ,
            perform=read_now,
            question="A worker reads what has been written since the last look.",
            in_lists=True,
        ),
        Action(
            name="reparse",
            title="Read bad lines again",
            icon="restart_alt",
            permission=MAY_READ,
            perform=reparse_bad_lines,
            offered=lambda source: bool(source.all_bad_lines),
            question="Each that this version of Easel can read becomes a line, and is counted on its day.",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Bring along what the list shows of each, in one statement for all of them."""
        rows: QuerySet[LogSource] = super().get_queryset(request)
        segments = Segment.objects.filter(source=OuterRef("pk")).order_by().values("source")
        gaps = Gap.open().filter(source=OuterRef("pk")).order_by().values("source")
        return rows.annotate(
            all_lines=Subquery(segments.annotate(all=Sum("lines")).values("all")),
            all_bytes=Subquery(segments.annotate(all=Sum("offset")).values("all")),
            all_bad_lines=Subquery(segments.annotate(all=Sum("bad_lines")).values("all")),
            open_gaps=Subquery(gaps.annotate(all=Count("pk")).values("all")),
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: lines and figures would stay behind without it. It can be switched off."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: LogSource | None = None) -> tuple[str, ...]:
        """Hold the folder fast once anything of it was read: what is in another one is another log."""
        was_read = obj is not None and obj.segments.exists()
        return (*self.readonly_fields, "folder") if was_read else self.readonly_fields

    def get_fieldsets(self, request: HttpRequest, obj: LogSource | None = None) -> Any:
        """Leave out how it stands while there is nothing to say."""
        return self.fieldsets if obj else self.fieldsets[:2]

    @display(description="state")
    def state(self, source: LogSource) -> SafeString:
        """Return whether it is followed, in a word; why not stands on its page."""
        return state_badge(source)

    @display(description="behind")
    def behind(self, source: Any) -> SafeString | str:
        """Return how much is not read yet, and how much of all that is there was."""
        left, done = source.behind_bytes, source.all_bytes or 0
        if not left:
            return NOTHING
        share = format_html(", {} % read", 100 * done // (done + left)) if done else ""
        return format_html("{} bytes, {}{}", number(left), duration(source.behind_seconds), share)

    @display(description="last line")
    def last_line(self, source: LogSource) -> SafeString | str:
        """Return when the last line was written."""
        return ago(source.last_line_at)

    @display(description="lag")
    def lag(self, source: LogSource) -> SafeString | str:
        """Return how long the last line took from being written to being stored."""
        lag = source.lag_seconds
        if lag is None or lag > -CLOCK_SECONDS:
            return NOTHING if lag is None else duration(max(0.0, lag))
        return badge(
            f"{number(round(-lag / 3600, 1))} h ahead",
            CARE,
            title="Is the time zone right, and are the clocks?",
        )

    @display(description="lines")
    def lines(self, source: Any) -> str:
        """Return how many lines were stored."""
        return number(source.all_lines or 0)

    @display(description="gaps")
    def gaps(self, source: Any) -> SafeString | str:
        """Return how often lines may be missing."""
        found = source.open_gaps
        url = f"{_list('gap')}?source__id__exact={source.pk}&state=open"
        return link(url, number(found)) if found else NOTHING

    @display(description="bad lines")
    def bad_lines(self, source: Any) -> SafeString | str:
        """Return how many lines could not be read."""
        found = source.all_bad_lines
        url = f"{_list('badline')}?segment__source__id__exact={source.pk}&state__exact=bad"
        return link(url, number(found)) if found else NOTHING

    @display(description="what is wrong")
    def wrong(self, source: LogSource) -> str:
        """Return what is wrong and what to do."""
        return trouble(source, timezone.now()) or "nothing"

    @display(description="followed by")
    def follower(self, source: LogSource) -> str:
        """Return which process follows it."""
        return lease.holder(source) or "nobody just now"


def state_badge(source: LogSource) -> SafeString:
    """Return whether a log is followed, in a word; what is wrong is its title."""
    now = timezone.now()
    standing = standing_of(source, now)
    return badge(standing.value, STANDING_COLOURS[standing], title=trouble(source, now))


def _list(model: str) -> str:
    return reverse(f"admin:logmonitor_{model}_changelist")


class BadLineAdmin(_Pages, ReadOnlyAdmin):
    """Bytes that are no line: why, where they stand, and what they are."""

    list_display = (
        "seen_at",
        "source",
        "file",
        "offset_in_file",
        "length_in_file",
        "reason",
        "is_now",
        "begins",
    )
    list_filter = (("segment__source", RelatedOnlyFieldListFilter), ("state", ChoicesDropdownFilter))
    list_select_related = ("segment__source",)
    list_per_page = 50
    ordering = ("-seen", "-pk")
    sortable_by = ()
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": (("seen_at", "is_now"), ("tried", "reason"))}),
        ("Where it stands", {"fields": (("source", "file"), ("offset_in_file", "length_in_file"))}),
        ("What it is", {"fields": ("bytes_of_it",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[BadLine]:
        """Bring along what the list shows."""
        rows: QuerySet[BadLine] = super().get_queryset(request)
        return rows.select_related("segment__source")

    @display(description="found")
    def seen_at(self, bad: BadLine) -> SafeString | str:
        """Return when it was found."""
        return moment(bad.seen)

    @display(description="read again")
    def tried(self, bad: BadLine) -> SafeString | str:
        """Return when it was last tried."""
        return moment(bad.tried_at)

    @display(description="transfer log")
    def source(self, bad: BadLine) -> str:
        """Return the transfer log."""
        return str(bad.segment.source)

    @display(description="file")
    def file(self, bad: BadLine) -> str:
        """Return the file, by the name last seen."""
        return bad.segment.path

    @display(description="at byte")
    def offset_in_file(self, bad: BadLine) -> str:
        """Return where it begins in the unpacked file."""
        return number(bad.offset)

    @display(description="bytes")
    def length_in_file(self, bad: BadLine) -> str:
        """Return how long it is in the file."""
        return number(bad.length)

    @display(description="state")
    def is_now(self, bad: BadLine) -> SafeString:
        """Return whether it was read later."""
        return badge(bad.get_state_display(), GOOD if bad.state == BadLine.State.MENDED else CARE)

    @display(description="begins with")
    def begins(self, bad: BadLine) -> str:
        """Return its first characters."""
        return Truncator(shown(bytes(bad.raw[:200]))).chars(60)

    @display(description="bytes, as they are")
    def bytes_of_it(self, bad: BadLine) -> SafeString:
        """Return what is kept of it."""
        text = shown(bytes(bad.raw))
        more = "…" if len(text) > RAW_CHARACTERS or len(bad.raw) < bad.length else ""
        return format_html('<code style="overflow-wrap: anywhere">{}{}</code>', text[:RAW_CHARACTERS], more)


def shown(raw: bytes) -> str:
    """Return bytes as text that moves no cursor and turns nothing around: the rest is spelled `\\x00`."""
    return (
        raw.decode(errors="backslashreplace").encode("unicode_escape").decode("ascii").replace("\\\\", "\\")
    )


class GapStateFilter(DropdownFilter):  # type: ignore[misc]  # the theme has no types
    """Gaps that somebody ought to look at, or the others."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("open", "Open"), ("settled", "Closed or accepted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Gap]) -> QuerySet[Gap]:
        """Keep the gaps of the chosen state."""
        chosen = {"open": queryset.filter, "settled": queryset.exclude}.get(str(self.value()))
        return chosen(closed_at=None, accepted_at=None) if chosen else queryset


class GapAdmin(_Pages, ActingAdmin, ReadOnlyAdmin):
    """Times of which lines may be missing."""

    list_display = ("seen_at", "source", "since_when", "until_when", "unread", "reason", "is_now")
    list_filter = (("source", RelatedOnlyFieldListFilter), GapStateFilter)
    list_select_related = ("source",)
    show_full_result_count = False
    console_actions = (
        Action(
            name="accept",
            title="Accept the loss",
            icon="check",
            permission=MAY_READ,
            perform=accept_gap,
            offered=lambda gap: bool(gap.is_open),
            question="There is no copy of the file: its lines are lost for good. The gap stays on record, and"
            " nobody is told of it any more.",
            in_lists=True,
        ),
    )
    ordering = ("-seen", "-pk")
    sortable_by = ()
    fieldsets = (
        (
            None,
            {"fields": (("source", "is_now"), ("since_when", "until_when"), ("seen_at", "unread"), "reason")},
        ),
        ("What to do", {"fields": ("advice",)}),
    )

    @display(description="noticed")
    def seen_at(self, gap: Gap) -> SafeString | str:
        """Return when it was noticed."""
        return moment(gap.seen)

    @display(description="from")
    def since_when(self, gap: Gap) -> SafeString | str:
        """Return when the last line was written that was read."""
        return moment(gap.since)

    @display(description="to")
    def until_when(self, gap: Gap) -> SafeString | str:
        """Return when the first line was written that is there again."""
        return moment(gap.until)

    @display(description="bytes known to be missing")
    def unread(self, gap: Gap) -> str:
        """Return how much was there and not read."""
        return number(gap.unread_bytes) if gap.unread_bytes else "none; more may be"

    @display(description="state")
    def is_now(self, gap: Gap) -> SafeString:
        """Return whether the file came back, or somebody said that it will not."""
        if gap.closed_at:
            return badge("closed", GOOD, title="The file was there again.")
        if gap.accepted_at:
            return badge("accepted", PLAIN, title="These lines are lost.")
        return badge("open", CARE)

    @display(description="if there is a backup of the file")
    def advice(self, gap: Gap) -> str:
        """Return how the lines can come back."""
        return (
            f"Put it into {gap.source.folder} under a name such as"
            f" {os.path.splitext(gap.source.live_name)[0]}-restored.log: Easel reads on where it stopped, and"
            " closes the gap. Otherwise accept the loss."
        )
