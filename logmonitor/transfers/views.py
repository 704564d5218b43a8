"""The console's pages of transfers: charts, users, failed logins, one session, files to take away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES

from logmonitor.models import LogLine, LogSource
from logmonitor.transfers.api import PERMISSION
from logmonitor.transfers.asked import MOST_DAYS, TOP, Asked, TransferQuery, make_whole
from logmonitor.transfers.charts import (
    CHARTS,
    LABELS,
    draw_failures,
    note_of_averages,
    size,
    tiles,
    user_link,
)
from logmonitor.transfers.exports import TABLES, WRITERS, in_blocks
from logmonitor.transfers.figures import Part, Visits, protocols, read_figures, read_visits
from logmonitor.transfers.kept_lines import sources_of
from logmonitor.transfers.logins import (
    SHOWN,
    Failures,
    failed_logins,
    failures_per_day,
    login_protocols,
)
from logmonitor.transfers.rollup import DIRECTIONS, OUTCOMES
from logmonitor.transfers.sessions import begin_of, session_of
from syncmetrics.audit import record
from syncmetrics.display import BAD, CARE, GOOD, NOTHING, badge, duration, link, moment, number, one_line
from syncmetrics.endpoints import BadParameter, read_query

EXPORT = "logmonitor.export_transfers"
LOGIN_DAYS = 30
"""Who failed to log in is counted line by line: so many days where nobody asks for others."""

PAGE_ONLY = frozenset({"scale", "live"})
"""What a page's address has beside what is asked for."""

OUTCOME_COLOURS = {"succeeded": GOOD, "partial": CARE, "failed": BAD}
MaySeeAll = Callable[[Any], bool]


def may_see_transfers(request: HttpRequest, may_see_all: MaySeeAll) -> bool:
    """Tell whether a person may see who transferred what: transfers belong to no Canvas instance."""
    return request.user.has_perm(PERMISSION) and may_see_all(request.user)


@dataclass(frozen=True, slots=True)
class Page:
    """What an address asks for; `problems` says what of it cannot be, and is left out."""

    asked: Asked
    problems: tuple[str, ...]

    @classmethod
    def read(cls, request: HttpRequest) -> Page:
        """Read an address. A filter left empty in the form is none."""
        given = {name: texts for name, texts in request.GET.lists() if name not in PAGE_ONLY and any(texts)}
        try:
            query = read_query(TransferQuery, given)
            assert isinstance(query, TransferQuery)
            return cls(make_whole(query), ())
        except BadParameter as bad:
            return cls(make_whole(TransferQuery()), (f"{bad} No filter is in force.",))


# --- charts ---------------------------------------------------------------------------------------


@require_GET
def charts(request: HttpRequest, may_see_all: MaySeeAll) -> HttpResponse:
    """Show the charts of the days and filters that the address asks for."""
    _require(request, may_see_all)
    page = Page.read(request)
    asked = page.asked
    figures = read_figures(asked)
    logarithmic = request.GET.get("scale") != "linear"
    notes = {"average": note_of_averages(asked)}
    shown = [
        replace(chart, note=notes.get(chart.name, chart.note)).draw(asked, figures, logarithmic=logarithmic)
        for chart in CHARTS
    ]
    context = {
        "title": "Transfers",
        "page": page,
        "asked": asked,
        "form": _form(asked, protocols()),
        "logarithmic": logarithmic,
        "tiles": tiles(asked, figures),
        "charts": shown,
        "empty": not figures.total.both.transfers,
        "json_url": f"{reverse('api:show_transfers')}?{_address(request)}",
        "users_url": f"{reverse('logmonitor:transfer_users')}?{_address(request)}",
        "logins_url": f"{reverse('logmonitor:transfer_logins')}?{_address(request)}",
        "export_urls": _export_urls(request),
        "sources": LogSource.objects.exists(),
        "now": moment(timezone.now()),
    }
    return _render(request, "admin/logmonitor/transfers.html", context)


def _form(asked: Asked, known: list[str]) -> dict[str, Any]:
    """Return what the form of filters offers; `known` are the protocols."""
    return {
        "sources": list(LogSource.objects.order_by("name").values_list("name", flat=True)),
        "protocols": known,
        "directions": {way: LABELS[way].capitalize() for way in DIRECTIONS},
        "outcomes": {outcome: outcome.capitalize() for outcome in OUTCOMES},
        "tops": sorted({5, 10, TOP, 50, 100, asked.query.top}),
        "input_classes": " ".join(INPUT_CLASSES),
        "select_classes": " ".join(SELECT_CLASSES),
    }


def _address(request: HttpRequest) -> str:
    """Return what the address asks for, without what only the page understands."""
    return urlencode(
        [(name, str(text)) for name, text in request.GET.items() if text and name not in PAGE_ONLY]
    )


def _export_urls(request: HttpRequest) -> list[tuple[str, str]]:
    if not request.user.has_perm(EXPORT):
        return []
    return [
        (
            f"{table.title} as {ending.upper()}",
            f"{reverse('logmonitor:transfer_export', args=[name, ending])}?{_address(request)}",
        )
        for name, table in TABLES.items()
        for ending in WRITERS
    ]


# --- users ----------------------------------------------------------------------------------------

USER_HEADERS = (
    *("user", "first day", "last day", "days with transfers"),
    *("uploads", "bytes of uploads", "downloads", "bytes of downloads"),
)


@require_GET
def users(request: HttpRequest, may_see_all: MaySeeAll) -> HttpResponse:
    """Show who moved anything on the days asked for: since when, until when, how often, how much."""
    _require(request, may_see_all)
    page = Page.read(request)
    asked = page.asked
    found, visits = read_figures(asked).users, read_visits(asked)
    context = {
        "title": "Users of the transfer server",
        "page": page,
        "asked": asked,
        "form": _form(asked, protocols()),
        "total": _some(len(found), "user", "users"),
        "table": {
            "headers": USER_HEADERS,
            "rows": [
                _user_cells(asked, name, part, visits.get(name)) for name, part in found[: asked.query.top]
            ],
        },
        "left_out": _left_out(len(found), asked.query.top),
        "charts_url": f"{reverse('logmonitor:transfers')}?{_address(request)}",
        "export_urls": [each for each in _export_urls(request) if "/users." in each[1]],
    }
    return _render(request, "admin/logmonitor/transfer_users.html", context)


def _user_cells(asked: Asked, name: str, part: Part, visits: Visits | None) -> list[Any]:
    seen = (visits.first, visits.last, number(visits.days)) if visits else (NOTHING,) * 3
    return [
        user_link(asked, name, reverse("logmonitor:transfers")),
        *map(one_line, seen),
        *(cell for way in (part.upload, part.download) for cell in (number(way.transfers), size(way.bytes))),
    ]


# --- files ----------------------------------------------------------------------------------------


@require_GET
def export(
    request: HttpRequest, table: str, ending: str, may_see_all: MaySeeAll
) -> HttpResponse | StreamingHttpResponse:
    """Send what the address asks for as a file, and record that."""
    _require(request, may_see_all)
    if not request.user.has_perm(EXPORT):
        raise PermissionDenied
    if table not in TABLES or ending not in WRITERS:
        raise Http404
    page = Page.read(request)
    if page.problems:  # a file of other things than those asked for would not be noticed
        return HttpResponse("\n".join(page.problems), status=400, content_type="text/plain; charset=utf-8")
    asked, chosen = page.asked, TABLES[table]
    what = f"Exported {chosen.title} of {asked.first} to {asked.last} as {ending.upper()}"
    narrowed = _address(request)
    for source in sources_of(asked):
        record(request, source, f"{what}{f' ({narrowed})' if narrowed else ''}.")
    write, content_type = WRITERS[ending]
    blocks = in_blocks(write(chosen.headers, chosen.rows(asked)))
    name = f"{table}-{asked.first}-{asked.last}.{ending}"
    return StreamingHttpResponse(
        blocks,
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


# --- failed logins --------------------------------------------------------------------------------

FAILURE_HEADERS = {
    "by_address": ("address", "failed logins", "user names tried", "first (UTC)", "last (UTC)"),
    "by_username": ("user name", "failed logins", "addresses", "first (UTC)", "last (UTC)"),
}


@require_GET
def logins(request: HttpRequest, may_see_all: MaySeeAll) -> HttpResponse:
    """Show failed logins by address and by user name."""
    _require(request, may_see_all)
    page = Page.read(request)
    asked = _until_now(page.asked)
    found = failed_logins(asked)
    tables = [
        {
            "title": title,
            "table": {
                "headers": FAILURE_HEADERS[name],
                "rows": [_failure_cells(asked, row) for row in getattr(found, name)],
            },
            "left_out": _left_out(number_of, SHOWN),
        }
        for title, name, number_of in (
            ("By address", "by_address", found.addresses),
            ("By user name", "by_username", found.usernames),
        )
    ]
    context = {
        "title": "Failed logins of the transfer server",
        "page": page,
        "asked": asked,
        "found": found,
        "total": number(found.total),
        "addresses": _some(found.addresses, "address", "addresses"),
        "usernames": _some(found.usernames, "user name", "user names"),
        "tables": tables,
        "chart": draw_failures(failures_per_day(asked)) if asked.query.user is None else None,
        "lines_since": _lines_since(asked),
        "form": _form(asked, login_protocols()),
        "charts_url": f"{reverse('logmonitor:transfers')}?{_same_days(asked)}",
    }
    return _render(request, "admin/logmonitor/transfer_logins.html", context)


def _same_days(asked: Asked) -> str:
    dates = {"start_date": asked.first.isoformat(), "end_date": asked.last.isoformat()}
    return urlencode(dates | ({"source": asked.source.name} if asked.source else {}))


def _until_now(asked: Asked) -> Asked:
    """Return the days asked for; where an end is not given up to today, which may be without a transfer.

    Where there is one log only, it is the one that is asked for.
    """
    query, last, sources = asked.query, asked.last, sources_of(asked)
    if query.end_date is None:
        now, zones = timezone.now(), {source.time_zone for source in sources}
        last = max((now.astimezone(ZoneInfo(zone)).date() for zone in zones), default=asked.today)
    first = asked.first if query.start_date else last - timedelta(days=LOGIN_DAYS - 1)
    last = min(max(last, first), first + timedelta(days=MOST_DAYS - 1))
    return replace(asked, first=first, last=last, source=sources[0] if len(sources) == 1 else asked.source)


def _lines_since(asked: Asked) -> date | None:
    """Return from which day on lines are kept, where some of the days asked for are before it."""
    cuts = [source.lines_kept_from for source in sources_of(asked) if source.lines_kept_from]
    return max((cut for cut in cuts if cut > asked.first), default=None)


def _left_out(count: int, shown: int) -> str:
    return number(count - shown) if count > shown else ""


def _some(count: int, one: str, more: str) -> str:
    return f"{number(count)} {one if count == 1 else more}"


def _failure_cells(asked: Asked, row: Failures) -> list[Any]:
    return [
        _lines_link(asked, row.name) if row.name and asked.source else row.name or "(none)",
        number(row.failures),
        number(row.others),
        moment(row.first),
        moment(row.last),
    ]


def _lines_link(asked: Asked, name: str) -> SafeString:
    """Return an address or a user name as a link to the lines of its failed logins, which one log has."""
    query = {
        "source": asked.source.pk if asked.source else "",
        "when": f"{asked.first}:{asked.last}",
        "kind__exact": LogLine.Kind.LOGIN_FAILED.value,
        "q": name,
    }
    return link(f"{reverse('admin:logmonitor_logline_changelist')}?{urlencode(query)}", name)


# --- a session ------------------------------------------------------------------------------------

SESSION_HEADERS = ("time (UTC)", "took", "what", "outcome", "bytes", "path or message")


@require_GET
def session(request: HttpRequest, pk: int, may_see_all: MaySeeAll) -> HttpResponse:
    """Show the session that a line belongs to, line by line."""
    _require(request, may_see_all)
    line = LogLine.objects.select_related("source").filter(pk=pk).first() if pk < 2**63 else None
    if line is None:
        raise Http404
    found = session_of(line)
    first = next((one for one in found.lines if one.username), line)
    context = {
        "title": f"Session {line.connection_id}" if line.connection_id else "A line of no session",
        "line": line,
        "session": found,
        "username": first.username or NOTHING,
        "address": next((one.address for one in found.lines if one.address), NOTHING),
        "took": duration((found.ends - found.begins).total_seconds()),
        "begins": moment(found.begins),
        "table": {
            "headers": SESSION_HEADERS,
            "rows": [_session_cells(one, chosen=one.pk == line.pk) for one in found.lines],
        },
        "bars": _bars(found.begins, found.ends, found.lines),
    }
    return _render(request, "admin/logmonitor/transfer_session.html", context)


def _bars(begins: Any, ends: Any, lines: Any) -> list[dict[str, Any]]:
    """Return the transfers as bars: where they begin and how wide they are, in percent of the session."""
    whole = max((ends - begins).total_seconds(), 0.001)
    return [
        {
            "title": line.path.rpartition("/")[2] or line.path,
            "direction": line.sender.lower(),
            "size": size(line.size_bytes),
            "took": duration((line.elapsed_ms or 0) / 1000),
            "left": 100 * (begin_of(line) - begins).total_seconds() / whole,
            "width": 100 * (line.at - begin_of(line)).total_seconds() / whole,
        }
        for line in lines
        if line.kind == LogLine.Kind.TRANSFER
    ]


def _session_cells(line: LogLine, *, chosen: bool) -> list[Any]:
    told = " → ".join(filter(None, [line.path, line.target_path]))
    what = what_of(line)
    url = reverse("admin:logmonitor_logline_change", args=[line.pk])
    return [
        link(url, f"{line.at:%Y-%m-%d %H:%M:%S}.{line.at.microsecond // 1000:03}"),
        NOTHING if line.elapsed_ms is None else duration(line.elapsed_ms / 1000),
        one_line(f"▸ {what}" if chosen else what),
        outcome_badge(line),
        size(line.size_bytes),
        ": ".join(filter(None, [told, line.message])) or NOTHING,
    ]


def what_of(line: LogLine) -> str:
    """Return what a line tells of: of a message, who of SFTPGo says it."""
    if line.kind in (LogLine.Kind.TRANSFER, LogLine.Kind.COMMAND):
        return line.sender
    of = f" of {line.sender}" if line.kind == LogLine.Kind.APP and line.sender else ""
    return f"{line.get_kind_display()}{of}"


def outcome_badge(line: LogLine) -> SafeString | str:
    """Return how what a line tells of ended, as colour and word."""
    return badge(line.get_outcome_display(), OUTCOME_COLOURS[line.outcome]) if line.outcome else NOTHING


def _require(request: HttpRequest, may_see_all: MaySeeAll) -> None:
    if not may_see_transfers(request, may_see_all):
        raise PermissionDenied


def _render(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return render(request, template, {**admin.site.each_context(request), **context})
