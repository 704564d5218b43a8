"""Exporting from the console: a page beside every list, and the page of what was exported."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from import_export.admin import ExportMixin  # type: ignore[import-untyped]
from import_export.formats.base_formats import CSV, JSON, XLSX  # type: ignore[import-untyped]
from import_export.resources import ModelResource  # type: ignore[import-untyped]
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.contrib.import_export.forms import ExportForm

from canvas import exports
from canvas.access import MAY_EXPORT, MAY_SEE_ALL_EXPORTS, allowed_instances
from canvas.admin.limited import LimitedAdmin
from canvas.export_files import resource_of
from canvas.export_tasks import enqueue_export
from canvas.exports import ExportUnavailable
from canvas.models import Export
from canvas.tasks import QueueUnreachable
from syncmetrics.audit import record
from syncmetrics.display import BAD, GOOD, NEWS, NOTHING, ReadOnlyAdmin, ago, badge, link, number

STATE_COLOURS = {
    Export.State.QUEUED: NEWS,
    Export.State.IN_PROGRESS: NEWS,
    Export.State.COMPLETED: GOOD,
    Export.State.FAILED: BAD,
}
LIST_PARAMETERS = frozenset({"o", "p", "e", "all", "_changelist_filters"})
"""What a list's address holds beside search and filters: order, page and the like."""


class ExportPages(ExportMixin):  # type: ignore[misc]  # the library has no types
    """A list with an export page: what the list shows at that address, all columns, as one file."""

    export_form_class = ExportForm
    export_template_name = "admin/easel/export.html"
    import_export_change_list_template = "admin/easel/change_list_export.html"
    formats = [CSV, XLSX, JSON]

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person may export, and see these rows at all."""
        return request.user.has_perm(MAY_EXPORT) and self.has_view_permission(request)

    def get_export_resource_classes(self, request: HttpRequest) -> list[type[ModelResource]]:
        """Return the columns, made from the model."""
        return [resource_of(self.model)]

    def get_export_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the list's rows whole, where the list itself fetches only what it shows."""
        rows: QuerySet[Any] = super().get_export_queryset(request).defer(None).select_related(None)
        names = [name for name in ("instance",) if hasattr(self.model, name)]
        return rows.select_related(*names) if names else rows

    def export_action(self, request: HttpRequest) -> HttpResponse:
        """Ask for the format (GET), or export (POST)."""
        try:
            response: HttpResponse = super().export_action(request)
        except IncorrectLookupParameters:
            messages.error(request, "The list's address had filters that do not exist.")
            return HttpResponseRedirect(self._list_url())
        return response

    def init_request_context_data(self, request: HttpRequest, form: Any) -> dict[str, Any]:
        """Say on the page how many rows there are, and what narrows them."""
        rows = self.get_export_queryset(request)
        large = exports.is_large(rows)
        return {
            **super().init_request_context_data(request, form),
            "title": f"Export {self.opts.verbose_name_plural}",
            "large": large,
            "row_count": number(exports.AT_ONCE_ROWS if large else rows.order_by().count()),
            "narrowed": narrowing(request.GET),
            "columns": resource_of(self.model)().get_export_headers(),
            "kept_days": exports.KEPT_DAYS,
            "back": f"{self._list_url()}?{request.GET.urlencode()}",
        }

    def _do_file_export(
        self, file_format: Any, request: HttpRequest, queryset: QuerySet[Any], export_form: Any = None
    ) -> Any:
        export = exports.begin(request.user, self.model, file_format.get_extension(), request.GET.urlencode())
        if exports.is_large(queryset):
            return self._queue(request, export)
        file = exports.write_at_once(export, queryset)
        record(request, export, f"Exported {_what(export)}.")
        return FileResponse(file, as_attachment=True, filename=file_name(export))

    def _queue(self, request: HttpRequest, export: Export) -> HttpResponse:
        try:
            enqueue_export(export)
        except QueueUnreachable as error:
            messages.error(request, str(error))
        else:
            record(request, export, f"Began to export {_what(export)} in the background.")
            messages.success(request, "The file is being written. It can be downloaded here when it is done.")
        return HttpResponseRedirect(reverse("admin:canvas_export_changelist"))

    def _list_url(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")


def narrowing(query: QueryDict) -> str:
    """Return a list's search and filters in words; empty where it shows everything."""
    narrow = {name: value for name, value in query.items() if value and name not in LIST_PARAMETERS}
    return ", ".join(
        f"{'search' if name == 'q' else name.replace('_', ' ')}: {value}" for name, value in narrow.items()
    )


def _what(export: Export) -> str:
    rows = f"{number(export.rows)} " if export.rows is not None else ""
    narrowed = narrowing(QueryDict(export.query))
    return f"{rows}{export.what} as {export.get_format_display()}" + (f" ({narrowed})" if narrowed else "")


def file_name(export: Export) -> str:
    """Return what a downloaded file is called."""
    return f"{export.table.rpartition('.')[2]}-{export.created_at:%Y-%m-%d}-{export.pk}.{export.format}"


@admin.register(Export)
class ExportAdmin(LimitedAdmin, ReadOnlyAdmin):
    """What was exported by whom; files of large exports are fetched here."""

    open_to_limited = True  # sees own exports only
    list_display = ("made_of", "state_now", "rows_exported", "format", "narrowed", "owner", "made", "fetch")
    list_display_links = None
    list_select_related = ("owner",)
    list_filter = (("state", ChoicesDropdownFilter), ("format", ChoicesDropdownFilter))
    ordering = ("-pk",)
    list_per_page = 50
    fields = ("made_of", "state_now", "rows_exported", "format", "narrowed", "owner", "made", "fetch")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Export]:
        """Return one's own exports; everybody's for an administrator of all instances."""
        rows: QuerySet[Export] = super().get_queryset(request)
        everything = request.user.has_perm(MAY_SEE_ALL_EXPORTS) and allowed_instances(request.user) is None
        return rows if everything else rows.filter(owner=request.user.pk)

    def has_view_permission(self, request: HttpRequest, obj: Export | None = None) -> bool:
        """Whoever may export sees exports; which ones, `get_queryset` says."""
        return request.user.has_perm(MAY_EXPORT) or request.user.has_perm(MAY_SEE_ALL_EXPORTS)

    def get_urls(self) -> list[URLPattern]:
        """Add the address of a file."""
        view = self.admin_site.admin_view(self.download)
        return [path("<int:pk>/download/", view, name="canvas_export_download"), *super().get_urls()]

    def download(self, request: HttpRequest, pk: int) -> FileResponse | HttpResponse:
        """Send a kept file to whoever may have it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        export = self.get_queryset(request).filter(pk=pk).first()
        if export is None:
            raise Http404
        try:
            file = exports.open_file(export, request.user)
        except ExportUnavailable as refused:
            messages.error(request, str(refused))
            return HttpResponseRedirect(reverse("admin:canvas_export_changelist"))
        record(request, export, f"Downloaded {_what(export)}.")
        return FileResponse(file, as_attachment=True, filename=file_name(export))

    @display(description="of", ordering="table")
    def made_of(self, export: Export) -> str:
        """Return what kind of rows it has."""
        return export.what

    @display(description="state", ordering="state")
    def state_now(self, export: Export) -> SafeString:
        """Return the state as colour and word."""
        colour = STATE_COLOURS[Export.State(export.state)]
        return badge(export.get_state_display(), colour, title=export.error_message)

    @display(description="rows")
    def rows_exported(self, export: Export) -> str:
        """Return how many rows it has."""
        return number(export.rows)

    @display(description="only")
    def narrowed(self, export: Export) -> str:
        """Return what narrowed the list."""
        return narrowing(QueryDict(export.query)) or NOTHING

    @display(description="made", ordering="created_at")
    def made(self, export: Export) -> SafeString | str:
        """Return when it was asked for."""
        return ago(export.created_at)

    @display(description="file")
    def fetch(self, export: Export) -> SafeString | str:
        """Return a link to the file, or why there is none."""
        if export.file:
            url = reverse("admin:canvas_export_download", args=[quote(export.pk)])
            return format_html("{}, deleted {}", link(url, "Download"), ago(export.expires_at))
        if export.state == Export.State.COMPLETED:
            return "deleted" if export.expires_at else "downloaded at once"
        return export.error_message or NOTHING
