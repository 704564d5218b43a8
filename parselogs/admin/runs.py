"""The console's pages of parse runs: how each one went, what it found, its log, what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import action, display
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter, DropdownFilter
from unfold.views import ChangeList

from parselogs.admin.columns import (
    attempt_link,
    batch_link,
    byte_size,
    file_link,
    findings_in_words,
    log_badge,
    severity_badge,
    state_badge,
    url_of,
)
from parselogs.admin.reparsing import REPARSE_RUN, ReparsingAdmin
from parselogs.downloads import TooMuch, send_zip
from parselogs.installed import known_parsers
from parselogs.logs import retry_upload
from parselogs.models import ParsedPart, ParseFileMeta, RowMessage
from parselogs.parsing import SEVERAL
from parselogs.permissions import MAY_DOWNLOAD_LOGS, MAY_READ_LOGS, MAY_REPARSE
from parselogs.runs import cancel
from parselogs.views import VIEWS, RunView
from parselogs.wording import CodeCount, codes_of, text_of
from syncmetrics.actions import ActingAdmin, Action, Outcome
from syncmetrics.admin.parts import Part
from syncmetrics.display import NOTHING, ago, duration, link, moment, number, one_line
from syncmetrics.process import host_name

NOT_STORED = (ParseFileMeta.LogState.PENDING_UPLOAD, ParseFileMeta.LogState.UPLOAD_FAILED)

# --- what can be done -----------------------------------------------------------------------------


def cancel_run(request: HttpRequest, run: ParseFileMeta, asked: dict[str, Any]) -> Outcome:
    """End a queued run, or ask one at work to stop."""
    if not cancel(run):
        return Outcome("The run had ended already.", level=messages.WARNING)
    run.refresh_from_db()
    ended = "The run is canceled." if not run.is_active else "The run stops in a few seconds."
    return Outcome(f"{ended} What earlier runs found stays.", "Canceled the run.")


def store_log(request: HttpRequest, run: ParseFileMeta, asked: dict[str, Any]) -> Outcome:
    """Try to store the log now."""
    if retry_upload(run):
        return Outcome("The log is stored.", "Stored the log.")
    run.refresh_from_db()
    host = host_name(run.worker_host) or "the host of its worker"
    why = f" ({run.upload_error})" if run.upload_error else ""
    text = f"The log is not stored yet{why}. It is kept on {host}, which goes on trying by itself."
    return Outcome(text, "Tried to store the log.", level=messages.WARNING)


RUN_ACTIONS = (
    REPARSE_RUN,
    Action(
        name="cancel",
        title="Cancel",
        icon="stop_circle",
        permission=MAY_REPARSE,
        perform=cancel_run,
        offered=lambda run: run.is_active and not run.cancel_requested,
        question="The run stops; its log says how far it came.",
    ),
    Action(
        name="store",
        title="Store the log now",
        icon="cloud_upload",
        permission=MAY_REPARSE,
        perform=store_log,
        offered=lambda run: not run.is_active and run.log_state in NOT_STORED,
        question="The log is put into storage now, and not only when its time comes.",
    ),
)

# --- tables on a run's page -----------------------------------------------------------------------


def _code_cells(found: CodeCount) -> list[Any]:
    return [
        severity_badge(found.severity),
        link(f"?code={found.code}#findings", number(found.count)) if found.first else number(found.count),
        found.text,
        found.advice or NOTHING,
    ]


def _part_cells(part: ParsedPart) -> list[Any]:
    parser = f"{part.parser} {part.parser_version}".strip() or "nothing knows it"
    rows = (part.rows_read, part.rows_accepted, part.rows_rejected)
    return [part.name, part.kind.replace("_", " "), parser, *map(number, rows)]


def _finding_cells(message: RowMessage) -> list[Any]:
    return [
        severity_badge(message.severity),
        message.file or NOTHING,
        number(message.row),
        message.column or NOTHING,
        text_of(message),
    ]


def _attempts(run: ParseFileMeta) -> QuerySet[ParseFileMeta]:
    others = ParseFileMeta.objects.filter(data_file=run.data_file_id).exclude(pk=run.pk)
    return others.order_by("-attempt").only(
        *("uuid", "data_file_id", "attempt", "state", "failure_text", "queued_at", "errors", "warnings")
    )


CODES = Part(
    title="What was found",
    name="codes",
    headers=("severity", "how often", "what, in the first of them", "what to do"),
    rows=codes_of,
    cells=_code_cells,
)
PARTS = Part(
    title="Files in it",
    name="parts",
    headers=("file", "kind", "parser", "rows", "accepted", "rejected"),
    rows=lambda run: run.parts.order_by("position"),
    cells=_part_cells,
)
FINDINGS = Part(
    title="Findings",
    name="findings",
    headers=("severity", "file", "row", "column", "what"),
    rows=lambda run: run.messages.order_by("pk"),
    cells=_finding_cells,
    note="The first of each kind, without what the cells say; all of them are in the list to download. Rows"
    " are counted from 1, the header.",
)
ATTEMPTS = Part(
    title="Other runs of this file",
    name="attempts",
    headers=("run", "state", "queued", "found"),
    rows=_attempts,
    cells=lambda run: [attempt_link(run), state_badge(run), moment(run.queued_at), findings_in_words(run)],
)


def _findings_of(code: str) -> Part:
    """Return the table of findings, of one code where one is asked for."""
    if not code:
        return FINDINGS
    return replace(
        FINDINGS,
        rows=lambda run: run.messages.filter(code=code).order_by("pk"),
        title=f"Findings: {code.replace('_', ' ')}",
    )


# --- the pages ------------------------------------------------------------------------------------

OUTCOME = (
    ("state_now", "of_file", "attempt"),
    ("rows", "accepted", "rejected"),
    ("found", "log", "log_size"),
)
TIMING = (("queued", "started", "ended"), ("waited", "took", "stored"))
ORIGIN = (
    ("trigger", "triggered_by", "batch"),
    ("parser_used", "log_level", "worker"),
    ("input_size_now", "input_sha256", "exception_class"),
    ("uuid", "celery_task_id", "heartbeat"),
)


class QueuedFilter(DropdownFilter):  # type: ignore[misc]  # the theme has no types
    """Runs of the last days."""

    title = "queued"
    parameter_name = "days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the numbers of days to choose from."""
        return [
            ("1", "in the last 24 hours"),
            *((str(days), f"in the last {days} days") for days in (7, 30, 365)),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the runs queued since then."""
        chosen = dict(self.lookup_choices)
        if self.value() not in chosen:
            return queryset
        return queryset.filter(queued_at__gte=timezone.now() - timedelta(days=int(self.value())))


class ParserFilter(DropdownFilter):  # type: ignore[misc]
    """Runs whose file one parser has read, or several."""

    title = "parser"
    parameter_name = "parser"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the parsers that there are, without asking the table."""
        return [(name, name) for name in [*dict.fromkeys(one.name for one in known_parsers()), SEVERAL]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the runs of the chosen parser."""
        known = self.value() in dict(self.lookup_choices)
        return queryset.filter(parser=self.value()) if known else queryset


class FoundFilter(DropdownFilter):  # type: ignore[misc]
    """Runs by the worst that they found."""

    title = "found"
    parameter_name = "found"
    conditions: Mapping[str, Q] = {
        "errors": Q(errors__gt=0),
        "warnings only": Q(errors=0, warnings__gt=0),
        "nothing": Q(errors=0, warnings=0),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return what there is to choose from."""
        return [(word, word) for word in self.conditions]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the runs that have ended, and found that."""
        chosen = self.conditions.get(self.value() or "")
        return queryset.filter(chosen, finished_at__isnull=False) if chosen else queryset


class RunList(ChangeList):  # type: ignore[misc]  # the theme has no types
    """Finds the keys of its page first: only these rows are joined, and not all that stand before them."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the page's keys, then their rows."""
        super().get_results(request)
        keys = list(self.result_list.values_list("pk", flat=True))
        rows = self.model_admin.get_queryset(request).in_bulk(keys)
        self.result_list = [rows[key] for key in keys if key in rows]


class RunAdmin(ActingAdmin, ReparsingAdmin):
    """Parse runs: is it fine, of which file, why, when, how long, how much, its log."""

    console_actions = RUN_ACTIONS
    actions = ("reparse_selected", "download_logs")
    reparse_key = "data_file"
    list_display = (
        "run",
        "state_now",
        "of_file",
        "trigger",
        "queued_ago",
        "took",
        "rows",
        "found",
        "log",
        "by",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("log_state", ChoicesDropdownFilter),
        ("trigger", ChoicesDropdownFilter),
        ParserFilter,
        FoundFilter,
        ("log_truncated", BooleanRadioFilter),
        QueuedFilter,
    )
    search_fields = ("data_file__name", "=uuid", "=data_file__sha256", "triggered_by__username")
    search_help_text = "file, run's id, SHA-256, person"
    ordering = ("-queued_at", "-pk")
    sortable_by = ("queued_ago",)
    list_per_page = 50
    show_full_result_count = False
    change_form_outer_before_template = "admin/parselogs/run_before.html"
    change_form_outer_after_template = "admin/syncmetrics/run_parts.html"
    compressed_fields = False

    class Media:
        js = ("easel/refresh.js",)

    def get_fieldsets(self, request: HttpRequest, obj: ParseFileMeta | None = None) -> tuple[Any, ...]:
        """Return the outcome first; what did not happen takes no room."""
        happened = {
            "failure_text": obj and obj.failure_text,
            "upload_error": obj and obj.upload_error,
            "dropped": obj and (obj.lines_dropped or obj.log_truncated),
        }
        shown = [field for field, true in happened.items() if true]
        return (
            (None, {"fields": (OUTCOME[0], *shown, *OUTCOME[1:])}),
            ("Timing", {"fields": TIMING}),
            ("Where it came from", {"classes": ("collapse",), "fields": ORIGIN}),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ParseFileMeta]:
        """Bring along the file and the person."""
        runs: QuerySet[ParseFileMeta] = super().get_queryset(request)
        return runs.select_related("data_file", "triggered_by")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that joins no more than it shows."""
        return RunList

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses around the log, which go by the run's uuid."""
        own = [
            path(
                f"<uuid:uuid>/{one.route}",
                self.admin_site.admin_view(require_safe(self._guarded(one))),
                name=f"parselogs_parsefilemeta_{one.name}",
            )
            for one in VIEWS
        ]
        return [*own, *super().get_urls()]

    def _guarded(self, asked: RunView) -> Any:
        def view(request: HttpRequest, uuid: UUID) -> HttpResponseBase:
            if not (request.user.has_perm(asked.permission) and self.has_view_permission(request)):
                raise PermissionDenied
            run = self.get_queryset(request).filter(uuid=uuid).first()
            if run is None:
                raise Http404
            return asked.view(request, run)

        return view

    def has_download_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person may download logs, and see these runs."""
        return request.user.has_perm(MAY_DOWNLOAD_LOGS) and self.has_view_permission(request)

    @action(description="Download the logs", permissions=["download"])
    def download_logs(self, request: HttpRequest, runs: QuerySet[ParseFileMeta]) -> HttpResponseBase | None:
        """Send the logs of the chosen runs as a zip."""
        chosen = list(runs.select_related("data_file")[:10_000])
        try:
            return send_zip(request, chosen, "parse-logs.zip", recorded_on=chosen)
        except TooMuch as refused:
            messages.error(request, str(refused))
            return None

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        """Add the tables, and the links that this person may follow."""
        findings = _findings_of(request.GET.get("code", "")[:60].replace("\x00", ""))
        context["parts"] = [part.fill(obj, request.GET) for part in (CODES, PARTS, ATTEMPTS, findings)]
        context["links"] = [
            {"title": title, "icon": icon, "url": url_of(name, obj)}
            for name, title, icon, permission, there in LINKS
            if request.user.has_perm(permission) and there(obj)
        ]
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    @display(description="run", ordering="pk")
    def run(self, run: ParseFileMeta) -> SafeString:
        """Return which attempt it is."""
        return one_line(f"Attempt {run.attempt}")

    @display(description="state")
    def state_now(self, run: ParseFileMeta) -> SafeString | str:
        """Return the state as colour and word."""
        return state_badge(run)

    @display(description="file")
    def of_file(self, run: ParseFileMeta) -> SafeString:
        """Return a link to the file."""
        return file_link(run.data_file)

    @display(description="queued", ordering="queued_at")
    def queued_ago(self, run: ParseFileMeta) -> SafeString | str:
        """Return how long ago it was queued."""
        return ago(run.queued_at)

    @display(description="queued")
    def queued(self, run: ParseFileMeta) -> SafeString | str:
        """Return when it was queued."""
        return moment(run.queued_at)

    @display(description="started")
    def started(self, run: ParseFileMeta) -> SafeString | str:
        """Return when it began."""
        return moment(run.started_at)

    @display(description="ended")
    def ended(self, run: ParseFileMeta) -> SafeString | str:
        """Return when it ended."""
        return moment(run.finished_at)

    @display(description="last sign of life")
    def heartbeat(self, run: ParseFileMeta) -> SafeString | str:
        """Return when its process last said that it lives."""
        return moment(run.heartbeat_at)

    @display(description="waited for a worker")
    def waited(self, run: ParseFileMeta) -> SafeString | str:
        """Return how long it waited."""
        return duration((run.started_at - run.queued_at).total_seconds()) if run.started_at else NOTHING

    @display(description="took")
    def took(self, run: ParseFileMeta) -> SafeString | str:
        """Return how long it ran."""
        return duration(run.duration_seconds)

    @display(description="log stored")
    def stored(self, run: ParseFileMeta) -> SafeString | str:
        """Return when its log came into storage."""
        return moment(run.uploaded_at)

    @display(description="rows")
    def rows(self, run: ParseFileMeta) -> str:
        """Return how many rows it read."""
        return number(run.rows_read)

    @display(description="accepted")
    def accepted(self, run: ParseFileMeta) -> str:
        """Return how many of them it accepted."""
        return number(run.rows_accepted)

    @display(description="rejected")
    def rejected(self, run: ParseFileMeta) -> str:
        """Return how many of them it rejected."""
        return number(run.rows_rejected)

    @display(description="found")
    def found(self, run: ParseFileMeta) -> SafeString | str:
        """Return what it found."""
        return findings_in_words(run)

    @display(description="log")
    def log(self, run: ParseFileMeta) -> SafeString | str:
        """Return how its log stands."""
        return log_badge(run)

    @display(description="length of the log")
    def log_size(self, run: ParseFileMeta) -> SafeString | str:
        """Return its lines and its size."""
        if run.log_lines is None:
            return NOTHING
        return format_html("{} lines, {}", number(run.log_lines), byte_size(run.log_bytes))

    @display(description="not in the log")
    def dropped(self, run: ParseFileMeta) -> str:
        """Return what its log lacks, and why."""
        lost = f"{number(run.lines_dropped)} lines could not be written. " if run.lines_dropped else ""
        cut = "The middle was left out, to keep it within the limit." if run.log_truncated else ""
        return lost + cut

    @display(description="by")
    def by(self, run: ParseFileMeta) -> str:
        """Return who started it."""
        return str(run.triggered_by or NOTHING)

    @display(description="batch")
    def batch(self, run: ParseFileMeta) -> SafeString | str:
        """Return a link to the batch it belongs to."""
        return batch_link(run.parse_meta)

    @display(description="parser")
    def parser_used(self, run: ParseFileMeta) -> str:
        """Return parser and version."""
        return f"{run.parser} {run.parser_version}".strip() or NOTHING

    @display(description="size of the input")
    def input_size_now(self, run: ParseFileMeta) -> SafeString | str:
        """Return how much it had to read."""
        return byte_size(run.input_size)

    @display(description="process")
    def worker(self, run: ParseFileMeta) -> str:
        """Return where it ran."""
        return f"process {run.worker_pid} on {host_name(run.worker_host)}" if run.worker_host else NOTHING


def _has_log(run: ParseFileMeta) -> bool:
    return run.log_state != ParseFileMeta.LogState.NONE


LINKS: tuple[tuple[str, str, str, str, Any], ...] = (
    ("log", "Log", "article", MAY_READ_LOGS, _has_log),
    ("log_download", "Download the log", "download", MAY_DOWNLOAD_LOGS, _has_log),
    (
        "findings_download",
        "All findings (CSV)",
        "table_view",
        MAY_DOWNLOAD_LOGS,
        lambda run: run.findings_file,
    ),
    ("compare", "Compare with the run before", "difference", MAY_READ_LOGS, lambda run: run.attempt > 1),
)
"""What a run's page links to: name, title, icon, permission, whether there is something to see."""
