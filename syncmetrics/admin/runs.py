"""The console's pages of sync runs: what each one did, step by step, and what it cost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, JsonResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from easel.events import LOGS
from syncmetrics.admin.parts import PARTS
from syncmetrics.admin.timeline import timeline_of
from syncmetrics.display import (
    NOTHING,
    ReadOnlyAdmin,
    duration,
    link,
    moment,
    number,
    one_line,
    run_badge,
)
from syncmetrics.models import SyncRun
from syncmetrics.process import host_name
from syncmetrics.progress import progress_of

ERROR_CHARACTERS = 60  # of an error in a list
SPANS = (7, 30, 90, 365)


def run_link(run: SyncRun | None) -> SafeString | str:
    """Return a link to a run's page."""
    if run is None:
        return NOTHING
    return link(reverse("admin:syncmetrics_syncrun_change", args=[quote(run.pk)]), one_line(f"Run {run.pk}"))


def rows_processed(run: SyncRun) -> int:
    """Return how many live records a run has listed; wants its counts prefetched."""
    return sum(count.processed for count in run.counts.all())


def short_error(run: SyncRun) -> str:
    """Return what fits into a list of a run's error."""
    return Truncator(run.error_message or NOTHING).chars(ERROR_CHARACTERS)


class StartedFilter(DropdownFilter):  # type: ignore[misc]  # the theme has no types
    """Runs of the last days. A hierarchy of dates would look through years of runs for every page."""

    title = "started"
    parameter_name = "days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("1", "in the last 24 hours"), *((str(days), f"in the last {days} days") for days in SPANS)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SyncRun]) -> QuerySet[SyncRun]:
        """Keep the runs that started so many times 24 hours ago, or later."""
        chosen = str(self.value() or "")
        if not (chosen.isascii() and chosen.isdecimal() and len(chosen) < 5):
            return queryset
        return queryset.filter(sync_start_time__gte=timezone.now() - timedelta(days=int(chosen)))


OUTCOME = (
    ("state", "connection", "kind"),
    ("started", "ended", "took"),
    ("rows", "rows_written", "requests"),
)
COST = (
    ("request_time", "failed_requests", "throttled", "retries"),
    ("statement_time", "statements"),
)
ORIGIN = (
    ("trigger", "user", "genre"),
    ("sync_task_id", "worker", "heartbeat"),
    ("error_class", "canvas_said"),
    "what",
)


@admin.register(SyncRun)
class RunAdmin(ReadOnlyAdmin):
    """Runs: is it fine, when, of what, how much, how long, why not."""

    list_display = (
        "run",
        "state",
        "connection",
        "kind",
        "trigger",
        "started",
        "took",
        "rows",
        "requests",
        "error",
    )
    list_filter: tuple[Any, ...] = (
        ("sync_status", ChoicesDropdownFilter),
        StartedFilter,
        ("mode", ChoicesDropdownFilter),
    )
    show_full_result_count = False
    ordering = ("-sync_start_time", "-pk")
    sortable_by = ("started",)
    list_per_page = 50
    change_form_outer_after_template = "admin/syncmetrics/run_parts.html"
    compressed_fields = False

    class Media:
        js = ("easel/progress.js",)
        css = {"all": ("easel/dashboard.css",)}

    def get_fieldsets(self, request: HttpRequest, obj: SyncRun | None = None) -> tuple[Any, ...]:
        """Return the outcome first; what did not happen takes no room."""
        happened = {
            "error_message": obj and obj.error_message,
            "continues": obj and (obj.resumed_from_id or obj.resumed_by.exists()),
        }
        shown = [field for field, true in happened.items() if true]
        return (
            (None, {"fields": (*OUTCOME[:1], *shown, *OUTCOME[1:], "log_lines")}),
            ("What it cost", {"fields": COST}),
            ("Where it came from", {"classes": ("collapse",), "fields": ORIGIN}),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncRun]:
        """Bring the counts along."""
        runs: QuerySet[SyncRun] = super().get_queryset(request)
        return runs.prefetch_related("counts")

    def get_urls(self) -> list[URLPattern]:
        """Add the address that the page of a run at work asks how far it is."""
        view = self.admin_site.admin_view(self.progress)
        return [
            path("<path:object_id>/progress.json", view, name="syncmetrics_syncrun_progress"),
            *super().get_urls(),
        ]

    def progress(self, request: HttpRequest, object_id: str) -> JsonResponse:
        """Return how far a run is, to those who may see it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self.get_object(request, unquote(object_id))
        if run is None:
            raise Http404
        return JsonResponse(progress_of(run))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: SyncRun, **kwargs: Any
    ) -> Any:
        """Add the timeline and the tables below the run's fields and, until it has ended, how far it is."""
        context["timeline"] = timeline_of(obj)
        context["parts"] = [part.fill(obj, request.GET) for part in PARTS]
        if obj.sync_end_time is None:
            context["progress"] = progress_of(obj)["progress"]
            context["progress_url"] = reverse("admin:syncmetrics_syncrun_progress", args=[quote(obj.pk)])
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    @display(description="run", ordering="pk")
    def run(self, run: SyncRun) -> SafeString:
        """Return its number."""
        return one_line(f"Run {run.pk}")

    @display(description="state")
    def state(self, run: SyncRun) -> SafeString:
        """Return the state as colour and word."""
        return run_badge(run)

    @display(description="connection")
    def connection(self, run: SyncRun) -> SafeString | str:
        """Return a link to the connection, by its name at the time."""
        if run.connection_key is None:
            return run.connection_name or NOTHING
        # By name, not by import: this app knows no other.
        url = reverse("admin:canvas_connection_change", args=[quote(run.connection_key)])
        return link(url, run.connection_name)

    @display(description="mode")
    def kind(self, run: SyncRun) -> str:
        """Return the mode, and whether anything was written."""
        return f"{run.get_mode_display()}, dry run" if run.dry_run else run.get_mode_display()

    @display(description="started", ordering="sync_start_time")
    def started(self, run: SyncRun) -> SafeString | str:
        """Return when it started."""
        return moment(run.sync_start_time)

    @display(description="ended")
    def ended(self, run: SyncRun) -> SafeString | str:
        """Return when it ended."""
        return moment(run.sync_end_time)

    @display(description="last sign of life")
    def heartbeat(self, run: SyncRun) -> SafeString | str:
        """Return when the process last said that it lives."""
        return moment(run.heartbeat_at)

    @display(description="Canvas's own clock at the start")
    def canvas_said(self, run: SyncRun) -> SafeString | str:
        """Return what incremental syncs reckon with."""
        return moment(run.canvas_clock)

    @display(description="asked for")
    def what(self, run: SyncRun) -> str:
        """Return the options in words."""
        options = run.options if isinstance(run.options, dict) else {}
        models = ", ".join(map(str, options.get("models", ()))).replace("_", " ")
        courses = ", ".join(map(str, options.get("courses", ())))
        scope = f"courses {courses}" if courses else f"terms: {options.get('term_scope', 'all')}"
        return f"{models} ({scope})" if models else run.sync_type

    @display(description="took")
    def took(self, run: SyncRun) -> SafeString | str:
        """Return how long it took."""
        return duration(run.total_duration_seconds)

    @display(description="rows")
    def rows(self, run: SyncRun) -> str:
        """Return how many records it listed."""
        return number(rows_processed(run))

    @display(description="error")
    def error(self, run: SyncRun) -> str:
        """Return the error in short."""
        return short_error(run)

    @display(description="log lines on this host")
    def log_lines(self, run: SyncRun) -> SafeString | str:
        """Return links to the last lines that each log has of the run."""
        try:  # by name, not by import: the app of the logs is above this one
            url = reverse("logmonitor:lines")
        except NoReverseMatch:
            return NOTHING
        logs = sorted(LOGS, key=lambda log: log != "errors")  # first what one comes for
        links = (
            (f"{url}?run={run.pk}&log={log}", log.replace("_", " ").replace("api", "API")) for log in logs
        )
        return format_html_join(", ", '<a class="text-link" href="{}">{}</a>', links)

    @display(description="resumes / resumed by")
    def continues(self, run: SyncRun) -> SafeString | str:
        """Return links to the run it went on from and to those that went on from it."""
        relatives = [("resumes", run.resumed_from)] if run.resumed_from else []
        relatives += [("resumed by", later) for later in run.resumed_by.all()]
        return format_html_join(", ", "{} {}", ((word, run_link(other)) for word, other in relatives))

    @display(description="requests")
    def requests(self, run: SyncRun) -> str:
        """Return how many requests it made."""
        return number(run.api_calls_made)

    @display(description="failed requests")
    def failed_requests(self, run: SyncRun) -> str:
        """Return how many of them failed."""
        return number(run.api_calls_failed)

    @display(description="throttled by Canvas")
    def throttled(self, run: SyncRun) -> str:
        """Return how many were refused for the rate limit."""
        return number(run.api_rate_limit_hits)

    @display(description="retried requests")
    def retries(self, run: SyncRun) -> str:
        """Return how many were repeats."""
        return number(run.api_retries)

    @display(description="mean time of a request")
    def request_time(self, run: SyncRun) -> str:
        """Return how long one request took."""
        return _mean(run.total_api_duration_ms, run.api_calls_made)

    @display(description="rows written")
    def rows_written(self, run: SyncRun) -> str:
        """Return how many data rows were new or changed."""
        return number(run.db_rows_written)

    @display(description="statements")
    def statements(self, run: SyncRun) -> str:
        """Return how many statements it sent to the database."""
        return number(run.db_operations)

    @display(description="time in the database")
    def statement_time(self, run: SyncRun) -> SafeString | str:
        """Return how long the database was at work."""
        return duration(run.db_duration_ms / 1000)

    @display(description="on behalf of")
    def user(self, run: SyncRun) -> str:
        """Return the console's user it ran for."""
        found = get_user_model()._default_manager.filter(pk=run.user_id or 0).first()
        return str(found) if found else NOTHING

    @display(description="process")
    def worker(self, run: SyncRun) -> str:
        """Return where it ran."""
        return f"process {run.pid} on {host_name(run.host)}" if run.host else NOTHING


def _mean(total_ms: float, count: int) -> str:
    return f"{number(round(total_ms / count, 1))} ms" if count else NOTHING
