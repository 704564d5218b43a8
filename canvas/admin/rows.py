"""The console's pages of every mirrored table, registered from the resource table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from canvas.access import limit
from canvas.admin import columns
from canvas.admin.actions import COURSE_ACTIONS
from canvas.admin.exports import ExportPages
from canvas.admin.filters import DeletedFilter, InstanceFilter, ParentFilter, StateFilter
from canvas.admin.limited import LimitedAdmin
from canvas.admin.listings import LISTINGS, Listing, children, parents
from canvas.admin.paging import CappedPaginator, LeanChangeList
from canvas.lookup import keys_of
from canvas.models import Course, Instance, User
from canvas.resources import RESOURCES
from syncmetrics.actions import ActingAdmin, Action
from syncmetrics.display import ReadOnlyAdmin

PEOPLE = LISTINGS["users"].search
ACTIONS: Mapping[type[Model], tuple[Action, ...]] = {Course: COURSE_ACTIONS}
MOST_PEOPLE = 100  # with one SIS id
HEADING = (columns.state, columns.canvas_id_column, "instance")
OUR_OWN = ("as_of", "deleted_at")
SHOWN_ELSEWHERE = frozenset({"id", "canvas_id", "instance", "workflow_state", "row_hash", "name", *OUR_OWN})


class RowAdmin(LimitedAdmin, ExportPages, ActingAdmin, ReadOnlyAdmin):
    """A mirrored table: its rows belong to Canvas, nobody changes them here."""

    listing: Listing
    lean_fields: tuple[str, ...]
    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    ordering = ("-pk",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[LeanChangeList]:
        """Fetch only what the list shows."""
        return LeanChangeList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Name the instance where there is more than one."""
        shown = list(super().get_list_display(request))
        return [*shown, "instance"] if limit(Instance.objects.all(), request.user).count() > 1 else shown

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find rows in which every word is a Canvas id or part of a text."""
        for word in search_term.split():
            queryset = queryset.filter(_matches(self.listing, word))
        return queryset, False


def _matches(listing: Listing, word: str) -> Q:
    keys = keys_of(word)
    found = Q(pk__in=keys) | _in_text(listing.search, "icontains", word)
    if not listing.people:
        return found
    if keys:
        # A number may be a SIS id too. The keys are fetched: two index lookups, where OR with a
        # subquery reads the whole table.
        people = User.objects.filter(_in_text(("sis_user_id", "login_id"), "exact", word))
        return found | Q(user__in=list(people.values_list("pk", flat=True)[:MOST_PEOPLE]))
    return found | Q(user__in=User.objects.filter(_in_text(PEOPLE, "icontains", word)).values("pk"))


def _in_text(names: tuple[str, ...], how: str, word: str) -> Q:
    return reduce(or_, (Q(**{f"{name}__{how}": word}) for name in names), Q())


def _options(model: type[Model], listing: Listing) -> dict[str, Any]:
    """Return the admin options that follow from a model and the declaration of its list."""
    above = parents(model)
    title = columns.title(model)
    fields = {field.name: field for field in model._meta.concrete_fields}
    heading = [column for column in (title, columns.canvas_id_column) if column]
    middle = [columns.column(field) for field in (*above, *(fields[name] for name in listing.columns))]
    return {
        "listing": listing,
        "console_actions": ACTIONS.get(model, ()),
        "list_display": (*heading, *middle, columns.state),
        "list_select_related": ("instance", *(key.name for key in above)),
        "lean_fields": (
            *("canvas_id", "workflow_state", "deleted_at", "instance", "instance__name"),
            *(["name"] if title else []),
            *listing.columns,
            *(key.name for key in above),
            *(f"{key.name}__{name}" for key in above for name in ("canvas_id", "name")),
        ),
        "list_filter": (
            StateFilter,
            DeletedFilter,
            *((name, ParentFilter) for name in listing.filters),
            InstanceFilter,
        ),
        "sortable_by": _indexed(title) if listing.large else (*heading, *middle),
        "search_fields": listing.search or ("pk",),  # shows the box; get_search_results does the work
        "search_help_text": _search_help(listing),
        "fieldsets": _fieldsets(model),
    }


def _indexed(title: Any) -> tuple[Any, ...]:
    """Return the columns that a large table can be sorted by without reading all of it."""
    return (columns.canvas_id_column, *([title] if title is columns.sortable_name else []))


def _search_help(listing: Listing) -> str:
    texts = ("person's name", "login", "SIS id") if listing.people else ("name", "SIS id")
    return f"Canvas id, {', '.join(texts)}"


def _fieldsets(model: type[Model]) -> tuple[Any, ...]:
    title = [column for column in [columns.title(model)] if column]
    above = parents(model)
    known = SHOWN_ELSEWHERE | {key.name for key in above}
    rest = [field for field in model._meta.concrete_fields if field.name not in known]
    links = [*map(columns.column, above), *([columns.contents] if children(model) else [])]
    return (
        (None, {"fields": _in_pairs([*title, *HEADING, *links])}),
        ("From Canvas", {"fields": _in_pairs([columns.column(field) for field in rest])}),
        ("In this copy", {"fields": _in_pairs(OUR_OWN)}),
    )


def _in_pairs(fields: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [tuple(fields[start : start + 2]) for start in range(0, len(fields), 2)]


for _name, _resource in RESOURCES.items():
    _listing = LISTINGS.get(_name, Listing())
    admin.site.register(_resource.model, RowAdmin, **_options(_resource.model, _listing))
