"""The console's pages of batches: files that were parsed together, how far that is, how it went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.views import ChangeList

from parselogs.admin.columns import (
    attempt_link,
    file_link,
    findings_in_words,
    log_badge,
    page_of,
    state_badge,
)
from parselogs.downloads import TooMuch, send_zip
from parselogs.models import ParseFileMeta, ParseMeta
from parselogs.permissions import MAY_DOWNLOAD_LOGS
from parselogs.reparse import progress_of
from syncmetrics.admin.parts import Part
from syncmetrics.display import (
    BAD,
    CARE,
    GOOD,
    NEWS,
    NOTHING,
    ReadOnlyAdmin,
    ago,
    badge,
    duration,
    moment,
    number,
)


def _run_cells(run: ParseFileMeta) -> list[Any]:
    return [
        file_link(run.data_file),
        attempt_link(run),
        state_badge(run),
        duration(run.duration_seconds),
        number(run.rows_read),
        findings_in_words(run),
        log_badge(run),
    ]


RUNS = Part(
    title="Runs",
    name="runs",
    headers=("file", "run", "state", "took", "rows", "found", "log"),
    rows=lambda batch: batch.runs.select_related("data_file").order_by("pk"),
    cells=_run_cells,
)


def attach_progress(batches: Sequence[Any]) -> None:
    """Give each batch how far it is as `so_far`."""
    found = progress_of(batches)
    for batch in batches:
        batch.so_far = found[batch.pk]


class BatchList(ChangeList):  # type: ignore[misc]  # the theme has no types
    """Brings along how far the batches of the page are."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the page, then the counts of what it shows."""
        super().get_results(request)
        batches: list[Any] = list(self.result_list)
        attach_progress(batches)
        self.result_list = batches


class BatchAdmin(ReadOnlyAdmin):
    """Batches: how far, how many went wrong, why, who, when."""

    list_display = ("batch", "progress", "runs_in_all", "unsuccessful", "reason", "made", "by")
    list_filter = (("kind", ChoicesDropdownFilter),)
    search_fields = ("reason", "created_by__username", "=uuid")
    search_help_text = "reason, person"
    list_select_related = ("created_by",)
    ordering = ("-created_at", "-pk")
    sortable_by = ("made",)
    list_per_page = 50
    show_full_result_count = False
    change_form_outer_before_template = "admin/parselogs/batch_before.html"
    change_form_outer_after_template = "admin/syncmetrics/run_parts.html"
    compressed_fields = False

    class Media:
        js = ("easel/refresh.js",)

    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("progress", "runs_in_all", "unsuccessful"),
                    ("made_on", "by", "due"),
                    ("reason", "asked"),
                )
            },
        ),
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that counts runs at once."""
        return BatchList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return a batch with how far it is."""
        found = super().get_object(request, object_id, from_field)
        attach_progress([found] if found else [])
        return found

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the logs."""
        view = self.admin_site.admin_view(require_safe(self.logs))
        return [path("<uuid:uuid>/logs.zip", view, name="parselogs_parsemeta_logs"), *super().get_urls()]

    def logs(self, request: HttpRequest, uuid: Any) -> HttpResponseBase:
        """Send the logs of all runs of a batch as a zip."""
        if not (request.user.has_perm(MAY_DOWNLOAD_LOGS) and self.has_view_permission(request)):
            raise PermissionDenied
        batch = self.get_queryset(request).filter(uuid=uuid).first()
        if batch is None:
            raise Http404
        runs = batch.runs.select_related("data_file").exclude(log_state=ParseFileMeta.LogState.NONE)
        try:
            return send_zip(request, runs.order_by("pk"), f"batch-{batch.pk}-logs.zip", recorded_on=[batch])
        except TooMuch as refused:
            messages.error(request, str(refused))
            return HttpResponseRedirect(page_of(batch))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        """Add the table of runs, how far it is, and the link to the logs."""
        context["parts"] = [RUNS.fill(obj, request.GET)]
        context["so_far"] = obj.so_far
        if request.user.has_perm(MAY_DOWNLOAD_LOGS):
            context["logs_url"] = reverse("admin:parselogs_parsemeta_logs", args=[obj.uuid])
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return response

    @display(description="batch", ordering="pk")
    def batch(self, batch: ParseMeta) -> str:
        """Return its name."""
        return str(batch)

    @display(description="state")
    def progress(self, batch: Any) -> SafeString:
        """Return how far it is, in colour and words."""
        so_far = batch.so_far
        if so_far.at_work:
            late = batch.deadline is not None and batch.deadline < timezone.now()
            far = f"{so_far.done:,} of {so_far.total:,} done"
            return badge(f"late: {far}", CARE) if late else badge(far, NEWS)
        return badge("done, not all well", BAD) if so_far.unsuccessful else badge("done", GOOD)

    @display(description="runs")
    def runs_in_all(self, batch: Any) -> str:
        """Return how many runs it has."""
        return number(batch.so_far.total)

    @display(description="failed, lost or canceled")
    def unsuccessful(self, batch: Any) -> str:
        """Return how many did not succeed."""
        return number(batch.so_far.unsuccessful)

    @display(description="made", ordering="created_at")
    def made(self, batch: ParseMeta) -> SafeString | str:
        """Return how long ago it was made."""
        return ago(batch.created_at)

    @display(description="made")
    def made_on(self, batch: ParseMeta) -> SafeString | str:
        """Return when it was made."""
        return moment(batch.created_at)

    @display(description="should be done by")
    def due(self, batch: ParseMeta) -> SafeString | str:
        """Return its deadline."""
        return moment(batch.deadline)

    @display(description="by")
    def by(self, batch: ParseMeta) -> str:
        """Return who made it."""
        return str(batch.created_by or NOTHING)

    @display(description="asked for")
    def asked(self, batch: ParseMeta) -> str:
        """Return what was asked for and what was left out, in words."""
        skipped = batch.scope.get("skipped", {}).items()
        left_out = (f"{number(count)} left out: {reason}" for reason, count in skipped)
        return "; ".join(filter(None, (batch.scope.get("asked"), *left_out))) or NOTHING
