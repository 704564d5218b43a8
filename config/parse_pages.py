"""The pages of uploaded files and their runs, held to the limits of people and with exports.

`parselogs` itself knows neither Canvas sites nor exports. Its files belong to no site, so that who is limited
to some sites sees none of them.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from canvas.admin.exports import ExportPages
from canvas.admin.limited import LimitedAdmin
from canvas.export_files import BY_HAND
from parselogs.admin.batches import BatchAdmin
from parselogs.admin.files import FileAdmin
from parselogs.admin.runs import RunAdmin
from parselogs.exports import JOINED, RunResource
from parselogs.models import DataFile, ParseFileMeta, ParseMeta


class LimitedFileAdmin(LimitedAdmin, FileAdmin):
    """Uploaded files."""


class LimitedRunAdmin(LimitedAdmin, ExportPages, RunAdmin):
    """Parse runs, and the history of them as a file."""

    def get_export_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the list's runs with what their columns name."""
        return super().get_export_queryset(request).select_related(*JOINED)


class LimitedBatchAdmin(LimitedAdmin, BatchAdmin):
    """Batches of runs."""


BY_HAND[ParseFileMeta] = RunResource

PAGES: dict[type, type[admin.ModelAdmin[Any]]] = {
    DataFile: LimitedFileAdmin,
    ParseFileMeta: LimitedRunAdmin,
    ParseMeta: LimitedBatchAdmin,
}
