"""The console's list of the lines of transfer logs, and the page of one: what it says and where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from django.contrib.admin import display
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from logmonitor.models import LogLine, LogSource, Segment
from logmonitor.transfers.api import PERMISSION
from logmonitor.transfers.asked import EARLIEST
from logmonitor.transfers.charts import size, speed
from logmonitor.transfers.kept_lines import of_days
from logmonitor.transfers.views import outcome_badge, what_of
from syncmetrics.display import NOTHING, ReadOnlyAdmin, duration, link, number, one_line

DAYS = 7
"""So many days up to the last line are listed where nobody asks for others: there may be years of them."""

EVERYTHING = "all"
PATH_CHARACTERS = 60
SESSION_CHARACTERS = 12


class SourceFilter(DropdownFilter):  # type: ignore[misc]  # the theme has no types
    """Lines of one transfer log: the first one, where nobody chose. The index begins with it."""

    title = "transfer log"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the transfer logs."""
        sources = LogSource.objects.order_by("name")
        return [(str(key), name) for key, name in sources.values_list("pk", "name")]

    def has_output(self) -> bool:
        """Show it where there is something to choose."""
        return len(self.lookup_choices) > 1

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogLine]) -> QuerySet[LogLine]:
        """Keep the lines of the chosen log."""
        return queryset.filter(source=chosen_source(request))


class WhenFilter(DropdownFilter):  # type: ignore[misc]  # the theme has no types
    """Lines of the last days; `2026-01-01:2026-01-31` in the address names others."""

    title = "when"
    parameter_name = "when"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        days = [(str(days), f"The last {days} days") for days in (1, 30, 90)]
        own = str(request.GET.get(self.parameter_name, ""))
        between = [(own, own.replace(":", " to "))] if _between(own) else []
        return [(str(DAYS), f"The last {DAYS} days"), *days, *between, (EVERYTHING, "Ever")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogLine]) -> QuerySet[LogLine]:
        """Keep the lines of the chosen days."""
        chosen, source = str(self.value() or ""), chosen_source(request)
        if chosen == EVERYTHING or source is None:
            return queryset
        first, last = _between(chosen) or _last_days(source, chosen)
        return queryset.filter(of_days([source], first, last))


def chosen_source(request: HttpRequest) -> LogSource | None:
    """Return the transfer log whose lines the address asks for; the first where it names none."""
    asked = str(request.GET.get(SourceFilter.parameter_name, ""))
    if asked.isascii() and asked.isdecimal() and len(asked) < 19:
        return LogSource.objects.filter(pk=int(asked)).first()
    return LogSource.objects.order_by("name").first()


def _between(text: str) -> tuple[date, date] | None:
    first, _, last = text.partition(":")
    try:
        return _possible(date.fromisoformat(first)), _possible(date.fromisoformat(last))
    except ValueError:
        return None


def _possible(day: date) -> date:
    """Return a day around which there are others."""
    return min(max(day, EARLIEST), date(9000, 1, 1))


def _last_days(source: LogSource, chosen: str) -> tuple[date, date]:
    days = int(chosen) if chosen.isascii() and chosen.isdecimal() and len(chosen) < 5 else DAYS
    newest = LogLine.objects.filter(source=source).order_by("-at").values_list("day", flat=True).first()
    last = _possible(newest or EARLIEST)
    return _possible(last - timedelta(days=days - 1)), last


def lines_url(source: LogSource, **query: Any) -> str:
    """Return the address of the list, narrowed."""
    address = "&".join(f"{name}={value}" for name, value in {"source": source.pk, **query}.items())
    return f"{reverse('admin:logmonitor_logline_changelist')}?{address}"


class LineAdmin(ReadOnlyAdmin):
    """Lines: who, what, how much, whether it worked; a page of each says in which file it stands."""

    list_display = (*("when", "what", "user", "address", "protocol", "ended", "moved", "place", "session"),)
    list_filter = (
        SourceFilter,
        WhenFilter,
        ("kind", ChoicesDropdownFilter),
        ("outcome", ChoicesDropdownFilter),
    )
    search_fields = ("username",)  # shows the box; get_search_results does the work
    search_help_text = "user name, address, session, or part of a path"
    ordering = ("-at", "-pk")
    sortable_by = ()
    list_per_page = 50
    show_full_result_count = False
    fieldsets = (
        (
            None,
            {"fields": (("when", "what"), ("user", "address"), ("protocol", "session"), ("ended", "level"))},
        ),
        ("What was moved", {"fields": (("moved", "took"), "speed_of", "path", "target_path", "message")}),
        ("Where it stands", {"fields": (("source", "file"), ("offset_in_file", "odd"))}),
    )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the person may see who transferred what."""
        return request.user.has_perm(PERMISSION)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Tell whether the table shows among the others."""
        return self.has_view_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[LogLine]:
        """Bring the sources along."""
        lines: QuerySet[LogLine] = super().get_queryset(request)
        return lines.select_related("source")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find lines of a user, an address or a session, or with a part of a path."""
        term = search_term.strip()
        if term:
            exact = Q(username=term) | Q(address=term) | Q(connection_id=term)
            queryset = queryset.filter(exact | Q(path__icontains=term))
        return queryset, False

    @display(description="time (UTC)")
    def when(self, line: LogLine) -> SafeString:
        """Return when it was written."""
        return one_line(f"{line.at:%Y-%m-%d %H:%M:%S}.{line.at.microsecond // 1000:03}")

    @display(description="what")
    def what(self, line: LogLine) -> SafeString:
        """Return what it tells of."""
        return one_line(what_of(line))

    @display(description="user")
    def user(self, line: LogLine) -> SafeString:
        """Return the user's name."""
        return one_line(line.username or NOTHING)

    @display(description="outcome")
    def ended(self, line: LogLine) -> SafeString | str:
        """Return how it ended."""
        return outcome_badge(line)

    @display(description="bytes")
    def moved(self, line: LogLine) -> SafeString | str:
        """Return how much was moved."""
        return size(line.size_bytes)

    @display(description="took")
    def took(self, line: LogLine) -> SafeString | str:
        """Return how long it took."""
        return NOTHING if line.elapsed_ms is None else duration(line.elapsed_ms / 1000)

    @display(description="speed")
    def speed_of(self, line: LogLine) -> SafeString | str:
        """Return how fast it was."""
        if line.kind != LogLine.Kind.TRANSFER or not line.elapsed_ms:
            return NOTHING
        return speed((line.size_bytes or 0) * 1000 / line.elapsed_ms)

    @display(description="path or message")
    def place(self, line: LogLine) -> str:
        """Return which file it was, or what was said."""
        return Truncator(line.path or line.message or NOTHING).chars(PATH_CHARACTERS)

    @display(description="session")
    def session(self, line: LogLine) -> SafeString | str:
        """Return a link to the session."""
        if not line.connection_id:
            return NOTHING
        name = Truncator(line.connection_id).chars(SESSION_CHARACTERS)
        return link(reverse("logmonitor:transfer_session", args=[line.pk]), one_line(name))

    @display(description="file")
    def file(self, line: LogLine) -> str:
        """Return the file it stands in, by the name last seen."""
        segment = Segment.objects.filter(pk=line.segment_id).first()
        return segment.path if segment else f"file {line.segment_id}, no longer known"

    @display(description="at byte")
    def offset_in_file(self, line: LogLine) -> str:
        """Return where it begins in the unpacked file."""
        return number(line.offset)

    @display(description="notes")
    def odd(self, line: LogLine) -> str:
        """Return what is odd about it."""
        return "; ".join(_odd(line)) or NOTHING


def _odd(line: LogLine) -> Iterator[str]:
    return (str(flag.label) for flag in LogLine.Flag if line.flags & flag)
