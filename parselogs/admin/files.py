"""The console's pages of uploaded files: uploading one, how its last parse went, all of its runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe
from unfold.contrib.filters.admin import DropdownFilter
from unfold.views import ChangeList

from parselogs.admin.columns import (
    attempt_link,
    byte_size,
    findings_in_words,
    log_badge,
    page_of,
    state_badge,
)
from parselogs.admin.forms import DeleteForm, UploadForm
from parselogs.admin.reparsing import REPARSE_FILE, ReparsingFilesAdmin
from parselogs.downloads import send_file
from parselogs.errors import LogUnavailable, UploadRefused
from parselogs.models import DataFile, ParseFileMeta
from parselogs.models.runs import ACTIVE
from parselogs.permissions import MAY_DELETE_FILES, MAY_DOWNLOAD_FILES
from parselogs.receiving import is_too_large
from parselogs.retention import delete_file
from parselogs.uploads import accept
from syncmetrics.actions import ActingAdmin, Action, Outcome
from syncmetrics.admin.parts import Part
from syncmetrics.audit import record
from syncmetrics.display import NOTHING, ago, duration, moment, number

LISTED_OF_RUNS = (
    *("uuid", "data_file_id", "attempt", "state", "failure_text", "rows_read", "rows_rejected"),
    *("errors", "warnings", "log_state", "upload_error", "started_at", "finished_at"),
)
"""What lists show of a run; its counts by code and level stay where they are."""


def last_run_of(column: str) -> Subquery:
    """Return a column of the last run of each file."""
    runs = ParseFileMeta.objects.filter(data_file=OuterRef("pk")).order_by("-attempt")
    return Subquery(runs.values(column)[:1])


def attach_last_runs(files: Iterable[Any]) -> None:
    """Give each file its last run as `last_run`, in one query for all of them."""
    keys = [one.last_run_id for one in files if one.last_run_id]
    runs = ParseFileMeta.objects.only(*LISTED_OF_RUNS).in_bulk(keys)
    for one in files:
        one.last_run = runs.get(one.last_run_id)


class FileList(ChangeList):  # type: ignore[misc]  # the theme has no types
    """Brings the last run of each file of the page along."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the page, then the runs of what it shows."""
        super().get_results(request)
        files: list[Any] = list(self.result_list)
        attach_last_runs(files)
        self.result_list = files


class LastStateFilter(DropdownFilter):  # type: ignore[misc]
    """Files by how their last run went."""

    title = "last run"
    parameter_name = "last_state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Return the states."""
        return ParseFileMeta.State.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the files whose last run is in the chosen state."""
        known = self.value() in ParseFileMeta.State.values
        return queryset.filter(last_state=self.value()) if known else queryset


class KindFilter(DropdownFilter):  # type: ignore[misc]
    """Files of one kind."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the kinds that there are."""
        kinds = DataFile.objects.exclude(kind="").order_by("kind").values_list("kind", flat=True).distinct()
        return [(kind, kind.replace("_", " ")) for kind in kinds]

    def queryset(self, request: HttpRequest, queryset: QuerySet[DataFile]) -> QuerySet[DataFile]:
        """Keep the files of the chosen kind."""
        known = self.value() in dict(self.lookup_choices)
        return queryset.filter(kind=self.value()) if known else queryset


def _run_cells(run: ParseFileMeta) -> list[Any]:
    waited = run.started_at and (run.started_at - run.queued_at).total_seconds()
    return [
        attempt_link(run),
        state_badge(run),
        run.get_trigger_display(),
        moment(run.queued_at),
        duration(waited or None),
        duration(run.duration_seconds),
        number(run.rows_read),
        findings_in_words(run),
        log_badge(run),
    ]


RUNS = Part(
    title="Runs",
    name="runs",
    headers=("run", "state", "started by", "queued", "waited", "took", "rows", "found", "log"),
    rows=lambda data_file: data_file.runs.order_by("-attempt"),
    cells=_run_cells,
    note="Every time the file was parsed, the latest first. No run takes anything from another.",
)


def remove_file(request: HttpRequest, data_file: DataFile, asked: dict[str, Any]) -> Outcome:
    """Delete a file with all its runs, and lead to the list."""
    with transaction.atomic():
        DataFile.objects.select_for_update().get(pk=data_file.pk)  # who queues a run waits here
        if data_file.runs.filter(state__in=ACTIVE).exists():
            raise ValidationError("A run of the file waits or is at work: cancel it first.")
        name, runs = data_file.name, data_file.runs.count()
        why = f" Reason: {asked['reason']}" if asked["reason"] else ""
        record(request, data_file, f"Deleted the file with its {runs} runs.{why}")
        delete_file(data_file)
    url = reverse("admin:parselogs_datafile_changelist")
    return Outcome(f"{name} is deleted, with its {number(runs)} runs and their logs.", url=url)


REMOVE_FILE = Action(
    name="remove",
    title="Delete",
    icon="delete",
    permission=MAY_DELETE_FILES,
    perform=remove_file,
    form=DeleteForm,
    offered=lambda data_file: not (data_file.last_run and data_file.last_run.is_active),
    question="The file, all its runs, their logs and their lists of findings are deleted, here and in"
    " storage. Nothing changes in Canvas. This cannot be undone.",
)


class FileAdmin(ActingAdmin, ReparsingFilesAdmin):
    """Uploaded files: is it fine, what is it, how often parsed, what was found, whose."""

    console_actions = (REPARSE_FILE, REMOVE_FILE)
    add_title = "Upload a file"
    list_before_template = "admin/parselogs/file_list_bar.html"
    list_display = ("name", "state", "what", "attempts", "rows", "found", "log", "uploaded", "by")
    list_filter = (LastStateFilter, KindFilter)
    search_fields = ("name", "=sha256", "uploaded_by__username")
    search_help_text = "name, SHA-256, person"
    list_select_related = ("uploaded_by",)
    ordering = ("-uploaded_at", "-pk")
    sortable_by = ("name", "uploaded")
    list_per_page = 50
    show_full_result_count = False
    show_add_link = False
    change_form_outer_before_template = "admin/parselogs/file_before.html"
    change_form_outer_after_template = "admin/syncmetrics/run_parts.html"
    compressed_fields = False

    class Media:
        js = ("easel/refresh.js",)

    fieldsets = (
        (None, {"fields": (("state", "what", "result"), ("rows", "found", "log"))}),
        ("The file", {"fields": (("length", "uploaded_on", "by"), ("sha256", "complete", "told"))}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DataFile]:
        """Bring along which run is the last, and how it went."""
        files: QuerySet[DataFile] = super().get_queryset(request)
        return files.annotate(last_run_id=last_run_of("pk"), last_state=last_run_of("state"))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that fetches runs at once."""
        return FileList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Offer those who may to choose files by what they are."""
        may = self.has_reparse_permission(request)
        url = reverse("admin:parselogs_datafile_reparse_many") if may else ""
        return super().changelist_view(request, {"reparse_url": url, **(extra_context or {})})

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return a file with its last run."""
        found = super().get_object(request, object_id, from_field)
        attach_last_runs([found] if found else [])
        return found

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Whoever may upload."""
        return request.user.has_perm("parselogs.add_datafile") and self.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the file's content."""
        view = self.admin_site.admin_view(require_safe(self.download))
        return [path("<int:pk>/download/", view, name="parselogs_datafile_download"), *super().get_urls()]

    def download(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Send what was uploaded to those who may see what is in it."""
        if not (request.user.has_perm(MAY_DOWNLOAD_FILES) and self.has_view_permission(request)):
            raise PermissionDenied
        data_file = self.get_queryset(request).filter(pk=pk).first()
        if data_file is None:
            raise Http404
        try:
            return send_file(request, data_file)
        except LogUnavailable as why:
            messages.error(request, str(why))
            return HttpResponseRedirect(page_of(data_file))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Ask for a file (GET), or take it and lead to its page (POST)."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        sent = (request.POST, request.FILES) if request.method == "POST" else ()
        form = UploadForm(*sent, too_large=bool(sent) and is_too_large(request))
        if form.is_valid():
            try:
                return self._accept(request, form.cleaned_data)
            except UploadRefused as refused:
                form.add_error("file", str(refused))
        page = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": self.add_title,
            "form": form,
            "media": self.media + form.media,
            "back": reverse("admin:parselogs_datafile_changelist"),
        }
        return render(request, "admin/parselogs/upload.html", page)

    def _accept(self, request: HttpRequest, asked: dict[str, Any]) -> HttpResponse:
        upload = asked["file"]
        person: Any = request.user  # who may upload has logged in
        complete = asked["self_contained"] or None
        accepted = accept(upload, upload.name, by=person, notify=asked["notify"], self_contained=complete)
        record(request, accepted.data_file, "Uploaded the file.")
        messages.success(request, accepted.sentence)
        return HttpResponseRedirect(page_of(accepted.data_file))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        """Add the table of runs and, for those who may have it, the link to the file."""
        context["parts"] = [RUNS.fill(obj, request.GET)]
        if request.user.has_perm(MAY_DOWNLOAD_FILES):
            context["download_url"] = reverse("admin:parselogs_datafile_download", args=[obj.pk])
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    @display(description="state")
    def state(self, data_file: Any) -> SafeString | str:
        """Return how the last run stands."""
        return state_badge(data_file.last_run)

    @display(description="kind")
    def what(self, data_file: DataFile) -> str:
        """Return what it was recognised as."""
        return data_file.kind.replace("_", " ") or NOTHING

    @display(description="attempts")
    def attempts(self, data_file: Any) -> SafeString | str:
        """Return how often it was parsed, as a link to the last time."""
        run = data_file.last_run
        return attempt_link(run) if run else NOTHING

    @display(description="results of")
    def result(self, data_file: Any) -> SafeString | str:
        """Return a link to the run whose results count."""
        run = data_file.result_run
        return attempt_link(run) if run else "none yet"

    @display(description="rows")
    def rows(self, data_file: Any) -> str:
        """Return how many rows the last run read."""
        return number(data_file.last_run.rows_read) if data_file.last_run else NOTHING

    @display(description="found")
    def found(self, data_file: Any) -> SafeString | str:
        """Return what the last run found."""
        return findings_in_words(data_file.last_run)

    @display(description="log")
    def log(self, data_file: Any) -> SafeString | str:
        """Return how the log of the last run stands."""
        return log_badge(data_file.last_run)

    @display(description="size", ordering="size")
    def length(self, data_file: DataFile) -> SafeString | str:
        """Return how large it is."""
        return byte_size(data_file.size)

    @display(description="uploaded", ordering="uploaded_at")
    def uploaded(self, data_file: DataFile) -> SafeString | str:
        """Return how long ago it came."""
        return ago(data_file.uploaded_at)

    @display(description="uploaded")
    def uploaded_on(self, data_file: DataFile) -> SafeString | str:
        """Return when it came."""
        return moment(data_file.uploaded_at)

    @display(description="by")
    def by(self, data_file: DataFile) -> str:
        """Return who uploaded it."""
        return str(data_file.uploaded_by or NOTHING)

    @display(description="complete archive")
    def complete(self, data_file: DataFile) -> str:
        """Return whether it is said to hold all that its rows refer to."""
        return "yes" if data_file.self_contained else "not said to be"

    @display(description="uploader is told by e-mail")
    def told(self, data_file: DataFile) -> str:
        """Return whether the uploader asked for a mail."""
        return "yes" if data_file.notify_uploader else "no"
