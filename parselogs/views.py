"""The console's pages around the log of a run: reading, following, downloading it, comparing two runs.

Their addresses go by the run's uuid, never by a path. `VIEWS` says what each of them asks of a person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES

from parselogs.admin.columns import file_link, log_badge, page_of, severity_badge, state_badge, url_of
from parselogs.differences import EXAMPLES, findings_difference, log_difference
from parselogs.downloads import send_findings, send_log
from parselogs.errors import LogUnavailable
from parselogs.excerpts import LEVELS, LINES_SHOWN, Excerpt, excerpt
from parselogs.logs import open_log
from parselogs.models import ParseFileMeta
from parselogs.parsers.findings import title_of
from parselogs.permissions import MAY_DOWNLOAD_LOGS, MAY_READ_LOGS
from parselogs.wording import severity_of
from syncmetrics.display import NOTHING, number

ATTEMPTS_SHOWN = 20
SEARCH_CHARACTERS = 200
MOST_NUMBER = 10**12


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lines of a log the address asks for."""

    level: str
    search: str
    before: int | None
    after: int

    @classmethod
    def by(cls, request: HttpRequest) -> Asked:
        """Read it; what makes no sense is left out."""
        query = request.GET
        level = query.get("level", "")
        return cls(
            level=level if level in LEVELS else "",
            search=query.get("q", "")[:SEARCH_CHARACTERS].replace("\x00", ""),
            before=_number(query.get("before", "")),
            after=_number(query.get("after", "")) or 0,
        )

    def read(self, run: ParseFileMeta) -> Excerpt:
        """Return these lines; raises LogUnavailable."""
        with open_log(run) as log:
            return excerpt(log, level=self.level, search=self.search, before=self.before, after=self.after)


def _number(text: str) -> int | None:
    return min(int(text), MOST_NUMBER) if text.isascii() and text.isdecimal() and len(text) < 16 else None


def show_log(request: HttpRequest, run: ParseFileMeta) -> HttpResponse:
    """Show the end of a run's log, of a level, with a text; the page follows a run at work."""
    asked, problem, found = Asked.by(request), "", None
    try:
        found = asked.read(run)
    except LogUnavailable as why:
        problem = str(why)
    attempts = run.data_file.runs.order_by("-attempt").only("uuid", "attempt", "state")[:ATTEMPTS_SHOWN]
    context = {
        "title": f"Log of attempt {run.attempt}: {run.data_file.name}",
        "run": run,
        "asked": asked,
        "found": found,
        "problem": problem,
        "levels": LEVELS,
        "attempts": [(one, url_of("log", one), one.pk == run.pk) for one in attempts],
        "file": file_link(run.data_file),
        "state": state_badge(run),
        "log_state": log_badge(run),
        "run_url": page_of(run),
        "lines_url": url_of("lines", run) if run.is_active and asked.before is None else "",
        "download_url": url_of("log_download", run) if request.user.has_perm(MAY_DOWNLOAD_LOGS) else "",
        "lines_shown": LINES_SHOWN,
        "input_classes": " ".join(INPUT_CLASSES),
        "select_classes": " ".join(SELECT_CLASSES),
    }
    return _page(request, "admin/parselogs/log.html", context)


def new_lines(request: HttpRequest, run: ParseFileMeta) -> JsonResponse:
    """Return the lines after `?after=`, and the state of the run: what the page of a log asks for."""
    asked, state = Asked.by(request), run.state
    try:
        found = asked.read(run)
    except LogUnavailable:
        return JsonResponse({"lines": [], "last": asked.after, "state": state})
    return JsonResponse(
        {"lines": [asdict(line) for line in found.lines], "last": found.total, "state": state}
    )


def download_log(request: HttpRequest, run: ParseFileMeta) -> HttpResponseBase:
    """Send the log."""
    return _sent(request, run, send_log)


def download_findings(request: HttpRequest, run: ParseFileMeta) -> HttpResponseBase:
    """Send the list of all findings."""
    return _sent(request, run, send_findings)


def _sent(
    request: HttpRequest, run: ParseFileMeta, send: Callable[[HttpRequest, ParseFileMeta], HttpResponseBase]
) -> HttpResponseBase:
    try:
        return send(request, run)
    except LogUnavailable as why:
        messages.error(request, str(why))
        return HttpResponseRedirect(page_of(run))


def compare(request: HttpRequest, run: ParseFileMeta) -> HttpResponse:
    """Show how a run differs from another one of its file, `?with=` an attempt or the one before it."""
    others = run.data_file.runs.exclude(pk=run.pk).order_by("-attempt")
    wanted = _number(request.GET.get("with", ""))
    earlier = others.filter(attempt=wanted) if wanted is not None else others.filter(attempt__lt=run.attempt)
    other = earlier.first()
    context: dict[str, Any] = {
        "title": f"Attempt {run.attempt} compared: {run.data_file.name}",
        "run": run,
        "other": other,
        "run_url": page_of(run),
        "state": state_badge(run),
        "file": file_link(run.data_file),
        "others": [(one, one == other) for one in others.only("uuid", "attempt", "state")[:ATTEMPTS_SHOWN]],
    }
    if other:
        context |= _compared(*sorted((run, other), key=lambda one: one.attempt))
    return _page(request, "admin/parselogs/compare.html", context)


def _compared(before: ParseFileMeta, after: ParseFileMeta) -> dict[str, Any]:
    findings = findings_difference(before, after)
    context: dict[str, Any] = {
        "before": before,
        "after": after,
        "before_url": page_of(before),
        "after_url": page_of(after),
        "findings": findings,
        "examples_shown": EXAMPLES,
        "same_input": before.input_sha256 == after.input_sha256,
        "totals": {word: number(findings.total(word)) for word in ("new", "gone", "same")},
        "codes": {
            "headers": ("severity", "what", "new", "gone", "the same"),
            "rows": [
                [
                    severity_badge(severity_of(one.code)),
                    title_of(one.code),
                    *map(number, (one.new, one.gone, one.same)),
                ]
                for one in findings.codes
            ],
        },
        "examples": {
            "headers": ("", "what", "file", "row", "column"),
            "rows": [
                [word, title_of(spot.code), spot.file or NOTHING, spot.row or NOTHING, spot.column or NOTHING]
                for one in findings.codes
                for word, spot in one.examples
            ],
        },
    }
    try:
        with open_log(before) as old, open_log(after) as new:
            context["log"] = log_difference(old, new)
    except LogUnavailable as why:
        context["no_log"] = str(why)
    return context


def _page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    response = render(request, template, {**admin.site.each_context(request), **context})
    response["Cache-Control"] = "no-store"
    return response


@dataclass(frozen=True, slots=True)
class RunView:
    """A page of a run: the end of its name, where it is below the run's uuid, what a person needs for it."""

    name: str
    route: str
    view: Callable[[HttpRequest, ParseFileMeta], HttpResponseBase]
    permission: str


VIEWS = (
    RunView("log", "log/", show_log, MAY_READ_LOGS),
    RunView("lines", "log/lines.json", new_lines, MAY_READ_LOGS),
    RunView("log_download", "log/download/", download_log, MAY_DOWNLOAD_LOGS),
    RunView("findings_download", "findings/download/", download_findings, MAY_DOWNLOAD_LOGS),
    RunView("compare", "compare/", compare, MAY_READ_LOGS),
)
