"""Lists of tables with a million rows: fetched lean, counted only as far as anybody pages."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

MOST_ROWS = 10_000
"""Nobody pages further; who looks for something searches or filters."""


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable
    """Stops counting at `MOST_ROWS`: an exact count of a large table takes longer than its page."""

    template_name = "admin/pagination_capped.html"

    @cached_property
    def _counted(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin pages querysets
        return rows.order_by()[: MOST_ROWS + 1].count()

    @property
    def count(self) -> int:
        """How many rows can be paged through."""
        return min(self._counted, MOST_ROWS)

    @property
    def count_text(self) -> str:
        """The count for people; a plus says that there are more."""
        return f"{self.count:,}{'+' if self._counted > MOST_ROWS else ''}"


class CappedChangeList(ChangeList):  # type: ignore[misc]  # the theme has no types
    """Counts once: what pages say is what the paginator counted."""

    def get_results(self, request: HttpRequest) -> None:
        """Take the paginator's count for that of all rows."""
        super().get_results(request)
        self.full_result_count = self.result_count


class LeanChangeList(CappedChangeList):
    """Fetches only the columns its list shows: some rows carry a page of HTML."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """Return the rows with the columns of the list."""
        rows: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return rows.only(*self.model_admin.lean_fields)
