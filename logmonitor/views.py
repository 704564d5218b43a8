"""The console's pages of the logs on this host: the files, and the last lines of one log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from easel.events import COMMON, LOGS
from logmonitor.status import log_status
from logmonitor.tail import lines_of_run
from syncmetrics.display import BAD, CARE, NEWS, NOTHING, badge, link, number, one_line
from syncmetrics.models import SyncRun
from syncmetrics.process import host_identity, host_name

LINES_SHOWN = 200
LEVEL_COLOURS: Mapping[str, str] = {"ERROR": BAD, "WARNING": CARE, "INFO": NEWS}
MaySeeAll = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Choice:
    """A link to one of the logs."""

    title: str
    url: str
    chosen: bool


@require_GET
def log_files(request: HttpRequest, may_see_all: MaySeeAll) -> HttpResponse:
    """Show the files of this host, to those who may see runs, and all of them."""
    if not (_runs().has_view_permission(request) and may_see_all(request.user)):
        raise PermissionDenied
    status = log_status(Path(settings.CANVAS_SYNC_LOG_DIR))
    headers = ("log", "lines", "MB", "rotated files", "MB of these", "last written (UTC)")
    rows = [_file_cells(name, log) for name, log in status["logs"].items()]
    context = {"title": "Log files", "status": status, "table": {"headers": headers, "rows": rows}}
    return _page(request, "admin/logmonitor/files.html", context)


@require_GET
def log_lines(request: HttpRequest, may_see_all: MaySeeAll) -> HttpResponse:
    """Show the last lines of `?log=`, of one run with `&run=`, to those who may see that run, or all."""
    log = request.GET.get("log") or "errors"
    if log not in LOGS:
        raise Http404
    run = _run(request, may_see_all)
    tail = lines_of_run(run, log, LINES_SHOWN, folder=Path(settings.CANVAS_SYNC_LOG_DIR))
    context = {
        "title": f"Log lines of run {run.pk}" if run else "Log lines",
        "run": run,
        "log": log,
        "what": LOGS[log],
        "host": host_name(host_identity()),
        "choices": [Choice(_words(name), lines_url(name, run), name == log) for name in LOGS],
        "files_url": reverse("logmonitor:files") if may_see_all(request.user) else "",
        "run_url": reverse("admin:syncmetrics_syncrun_change", args=[run.pk]) if run else "",
        "more": tail.more,
        "table": {"headers": _headers(run), "rows": [_line_cells(line, run) for line in tail.lines]},
    }
    return _page(request, "admin/logmonitor/lines.html", context)


def lines_url(log: str, run: SyncRun | None = None) -> str:
    """Return the address of the last lines of a log."""
    query = {"log": log} | ({"run": run.pk} if run else {})
    return f"{reverse('logmonitor:lines')}?{urlencode(query)}"


def _runs() -> Any:
    return admin.site.get_model_admin(SyncRun)


def _run(request: HttpRequest, may_see_all: MaySeeAll) -> SyncRun | None:
    """Return the run asked for; None where lines of all runs are. Raises PermissionDenied and Http404."""
    pages, asked = _runs(), request.GET.get("run", "")
    if not pages.has_view_permission(request) or not (asked or may_see_all(request.user)):
        raise PermissionDenied
    if not asked:
        return None
    run: SyncRun | None = pages.get_object(request, asked)
    if run is None:
        raise Http404
    return run


def _page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return render(request, template, {**admin.site.each_context(request), **context})


def _words(name: str) -> str:
    return name.replace("_", " ").replace("api", "API")


def _file_cells(name: str, log: dict[str, Any]) -> list[Any]:
    return [
        link(lines_url(name), _words(name)),
        number(log["lines"]),
        f"{log['size_mb']:,.2f}",
        number(log["rotated_files"]),
        f"{log['rotated_size_mb']:,.2f}",
        one_line(_time(log["last_written"])) if log["last_written"] else NOTHING,
    ]


def _headers(run: SyncRun | None) -> tuple[str, ...]:
    return ("time (UTC)", "level", "event", *(() if run else ("run",)), "what it says")


def _line_cells(line: dict[str, Any], run: SyncRun | None) -> list[Any]:
    level = str(line.get("level", ""))
    told = {name: value for name, value in line.items() if name not in COMMON and value not in (None, "")}
    return [
        one_line(_time(str(line["ts"]))),
        badge(level, LEVEL_COLOURS.get(level, "")),
        one_line(str(line.get("event", "")).replace("_", " ")),
        *(() if run else (line.get("run") or NOTHING,)),
        _told(told),
    ]


def _time(timestamp: str) -> str:
    return timestamp.replace("T", " ").removesuffix("Z")


def _told(fields: Mapping[str, Any]) -> SafeString | str:
    """Return an event's own fields; what was said first, in full."""
    message = str(fields.get("message", ""))
    rest = "; ".join(f"{_words(name)} {_value(value)}" for name, value in fields.items() if name != "message")
    if not message:
        return rest
    return format_html("<strong>{}</strong> {}", message, rest)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{_value(amount)} {_words(str(name))}" for name, amount in value.items()) or "none"
    return number(value) if isinstance(value, int | float) else str(value)
