"""Parsing files again from the console: one file, the chosen ones of a list, all of a kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.contrib.admin import action
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from parselogs.admin.columns import attempt_link, batch_link, page_of
from parselogs.admin.forms import ManyForm, ReparseForm
from parselogs.errors import ParselogsError
from parselogs.models import DataFile, ParseFileMeta
from parselogs.permissions import MAY_REPARSE
from parselogs.reparse import BATCH_FILES, Scope, plan, reparse
from syncmetrics.actions import Action, Outcome
from syncmetrics.audit import record
from syncmetrics.display import ReadOnlyAdmin


def reparse_file(request: HttpRequest, subject: DataFile | ParseFileMeta, asked: dict[str, Any]) -> Outcome:
    """Queue one more run of a file and lead to it. `subject` is the file, or a run of it."""
    key = subject.pk if isinstance(subject, DataFile) else subject.data_file_id
    try:
        batch = reparse(Scope((key,)), by=request.user, **asked)
    except ParselogsError as refused:
        raise ValidationError(str(refused)) from None
    run = batch.runs.get()
    return Outcome(
        format_html("{} is queued.", attempt_link(run)),
        f"Reparsed the file (attempt {run.attempt}).",
        url=page_of(run),
    )


REPARSE_FILE = Action(
    name="reparse",
    title="Reparse",
    icon="replay",
    permission=MAY_REPARSE,
    perform=reparse_file,
    form=ReparseForm,
    offered=lambda data_file: not _is_busy(data_file.last_run),
    question="A new run with a log of its own. Earlier runs and their logs stay, and their results count"
    " until the new run has succeeded.",
)
REPARSE_RUN = replace(REPARSE_FILE, offered=lambda run: not run.is_active)


def _is_busy(run: ParseFileMeta | None) -> bool:
    return run is not None and run.is_active


class ReparsingAdmin(ReadOnlyAdmin):
    """A list whose chosen rows can be parsed again; of files, or of runs, whose files are meant."""

    actions: Any = ("reparse_selected",)
    reparse_key = "pk"
    """What holds the file's key in a row of the list."""

    def has_reparse_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person may parse files again, and see these."""
        return request.user.has_perm(MAY_REPARSE) and self.has_view_permission(request)

    @action(description="Reparse the files", permissions=["reparse"])
    def reparse_selected(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        """Say how many of the chosen files can be parsed again, and ask."""
        chosen = rows.order_by().values_list(self.reparse_key, flat=True).distinct()
        keys = sorted(chosen[: BATCH_FILES + 1])
        if len(keys) > BATCH_FILES:
            messages.error(request, f"Choose at most {BATCH_FILES:,} files, or a kind of file.")
            return None
        form = ManyForm({"keys": ",".join(map(str, keys)), "log_level": ParseFileMeta.LogLevel.INFO})
        return self._confirm(request, form)

    def _confirm(self, request: HttpRequest, form: ManyForm) -> HttpResponse:
        planned = plan(form.scope) if form.is_valid() else None
        page = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Reparse files",
            "form": form,
            "plan": planned,
            "scope": str(form.scope) if planned else "",
            "media": self.media + form.media,
            "action_url": reverse("admin:parselogs_datafile_reparse_many"),
            "back": reverse("admin:parselogs_datafile_changelist"),
        }
        return render(request, "admin/parselogs/reparse.html", page)


class ReparsingFilesAdmin(ReparsingAdmin):
    """The list of files, with the page where many are chosen by what they are."""

    def get_urls(self) -> list[URLPattern]:
        """Add the address of that page."""
        view = self.admin_site.admin_view(self.reparse_many)
        return [path("reparse/", view, name="parselogs_datafile_reparse_many"), *super().get_urls()]

    def reparse_many(self, request: HttpRequest) -> HttpResponse:
        """Ask which files (GET), say how many of them can be parsed (POST), do it (POST with `confirmed`)."""
        if not self.has_reparse_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._confirm(request, ManyForm())
        form = ManyForm(request.POST)
        if form.is_valid() and self._is_confirmed(request, form):
            try:
                return self._reparse(request, form)
            except ParselogsError as refused:
                form.add_error(None, str(refused))
        return self._confirm(request, form)

    def _is_confirmed(self, request: HttpRequest, form: ManyForm) -> bool:
        """Tell whether the person has seen the number of files that it is now."""
        confirmed = request.POST.get("confirmed")
        return confirmed is not None and confirmed == str(len(plan(form.scope).eligible))

    def _reparse(self, request: HttpRequest, form: ManyForm) -> HttpResponse:
        asked = {name: form.cleaned_data[name] for name in ("reason", "log_level", "within_hours")}
        batch = reparse(form.scope, by=request.user, **asked)
        count = batch.runs.count()
        record(request, batch, f"Reparsed {count:,} file{'s' if count != 1 else ''}: {form.scope}.")
        messages.success(request, format_html("{} is queued.", batch_link(batch)))
        return HttpResponseRedirect(page_of(batch))
