"""The console's pages of transfer logs and their lines: closed to who is limited to instances."""

from __future__ import annotations

from canvas.admin.limited import LimitedAdmin
from canvas.admin.paging import CappedPaginator
from logmonitor.models import BadLine, Gap, LogSource
from logmonitor.transfers.line_pages import LineAdmin
from logmonitor.transfers.source_pages import BadLineAdmin, GapAdmin, SourceAdmin


class LimitedLineAdmin(LimitedAdmin, LineAdmin):
    """Lines belong to no Canvas instance; nobody pages through ten million of them."""

    paginator = CappedPaginator


class LimitedSourceAdmin(LimitedAdmin, SourceAdmin):
    """Transfer logs belong to no Canvas instance."""


class LimitedBadLineAdmin(LimitedAdmin, BadLineAdmin):
    """Nor do their bad lines, of which there may be many."""

    paginator = CappedPaginator


class LimitedGapAdmin(LimitedAdmin, GapAdmin):
    """Nor do their gaps."""


SOURCE_PAGES = {LogSource: LimitedSourceAdmin, BadLine: LimitedBadLineAdmin, Gap: LimitedGapAdmin}
