"""How one value of a mirrored row shows, in lists and on its page: by the type of its field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.admin import display
from django.contrib.admin.utils import quote
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.urls import reverse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join, strip_tags
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from canvas.admin.listings import children
from canvas.models import CanvasRow, User
from easel.ids import canvas_id
from syncmetrics.display import (
    BAD,
    CARE,
    GOOD,
    NEWS,
    NOTHING,
    PLAIN,
    badge,
    link,
    moment,
    number,
    one_line,
    words,
    yes_or_no,
)

Show = Callable[[Any], Any]
Column = Callable[[Any], Any]

NAME_CHARACTERS = 70
TEXT_CHARACTERS = 2_000
SHORT_CHARACTERS = 24

STATE_COLOURS = {
    "active": GOOD,
    "available": GOOD,
    "registered": GOOD,
    "published": GOOD,
    "graded": GOOD,
    "submitted": NEWS,
    "accepted": GOOD,
    "invited": NEWS,
    "requested": NEWS,
    "completed": NEWS,
    "creation_pending": NEWS,
    "pre_registered": NEWS,
    "pending_review": CARE,
    "unpublished": CARE,
    "inactive": CARE,
    "rejected": BAD,
    "deleted": BAD,
}


@display(description="name", ordering="name")
def name(row: CanvasRow) -> SafeString | str:
    """Return the row's name, struck through when Canvas no longer has it."""
    text = Truncator(str(row)).chars(NAME_CHARACTERS)
    return format_html('<s class="gone">{}</s>', text) if row.deleted_at else text


@display(description="name", ordering="sortable_name")
def sortable_name(row: CanvasRow) -> SafeString | str:
    """Return a person's name, sorted by the family name."""
    return name(row)


@display(description="Canvas id", ordering="pk")
def canvas_id_column(row: CanvasRow) -> str:
    """Return the id as Canvas writes it."""
    return str(row.canvas_id)


@display(description="state")
def state(row: CanvasRow) -> SafeString | str:
    """Return Canvas's word for the row's state, or that Canvas no longer has it."""
    if row.deleted_at:
        return badge("deleted", BAD, title=f"Seen missing from Canvas {localize(row.deleted_at)}")
    if not row.workflow_state:
        return NOTHING
    word = row.workflow_state.replace("_", " ")
    return badge(word, STATE_COLOURS.get(row.workflow_state, PLAIN))


@display(description="holds")
def contents(row: CanvasRow) -> SafeString:
    """Return links to the lists of what belongs to the row."""
    lists = ((_list_of_children(row, key),) for key in children(type(row)))
    return format_html_join(", ", "{}", lists)


def _list_of_children(row: CanvasRow, key: models.ForeignKey[Any, Any]) -> SafeString:
    meta = key.model._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return link(f"{url}?{key.name}__id__exact={row.pk}", meta.verbose_name_plural)


def _page_url(model: type[models.Model], key: int) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[quote(key)])


def parent_column(field: models.ForeignKey[Any, Any]) -> Column:
    """Return the column that links to a row's parent, or says that the parent is not here yet."""

    def show(row: CanvasRow) -> SafeString | str | None:
        key = getattr(row, field.attname)
        if key is None:
            return None
        if (parent := _parent(row, field)) is None:
            return f"{field.related_model._meta.verbose_name} {canvas_id(key)}, not in the copy"
        return link(_page_url(field.related_model, key), Truncator(str(parent)).chars(NAME_CHARACTERS))

    order = f"{field.name}__name" if _has_field(field.related_model, "name") else None
    return _named(field, show, order)


def _parent(row: CanvasRow, field: models.ForeignKey[Any, Any]) -> models.Model | None:
    """Return the parent row. On a page of its own nothing was joined, and a missing one raises."""
    try:
        found: models.Model | None = getattr(row, field.name)
    except ObjectDoesNotExist:
        return None
    return found


def column(field: models.Field[Any, Any]) -> Column | str:
    """Return how a field shows: its name where Django's own way is good."""
    if isinstance(field, models.ForeignKey):
        return parent_column(field)
    show = _SHOW_BY_NAME.get(field.name) or _show_by_kind(field)
    return _value_column(field, show) if show else field.name


def _value_column(field: models.Field[Any, Any], show: Show) -> Column:
    def value_of(row: CanvasRow) -> Any:
        value = getattr(row, field.attname)
        return None if value is None else show(value)

    return _named(field, value_of, field.name)


def _named(field: models.Field[Any, Any], show: Column, order: str | None) -> Column:
    show.__name__ = field.name  # Django finds the field's help text by it
    named: Column = display(description=field.verbose_name, ordering=order)(show)
    return named


def _show_by_kind(field: models.Field[Any, Any]) -> Show | None:
    if isinstance(field, models.BigIntegerField) and field.name.endswith("_id"):
        return lambda key: str(canvas_id(key))
    if field.name.startswith("sis_"):
        return _short_text
    return next((show for kind, show in _SHOW_BY_TYPE.items() if isinstance(field, kind)), None)


def _flag(word: str) -> Show:
    return lambda value: badge(word, CARE) if value else NOTHING


def _short_text(text: str) -> str:
    # SIS ids are full of hyphens, and narrow columns break there.
    return one_line(text) if len(text) <= SHORT_CHARACTERS else text


def _plain_text(html: str) -> str:
    return Truncator(strip_tags(html)).chars(TEXT_CHARACTERS)


def _web_link(url: str) -> SafeString | str:
    if not url.startswith(("https://", "http://")):
        return url
    return format_html('<a href="{}" class="text-link" rel="noopener noreferrer">{}</a>', url, url)


def _grader(key: int) -> SafeString | str:
    return link(_page_url(User, key), f"user {canvas_id(key)}") if key > 0 else "automatic"


_SHOW_BY_TYPE: dict[type[models.Field[Any, Any]], Show] = {
    models.BigIntegerField: number,
    models.FloatField: number,
    models.BooleanField: yes_or_no,
    models.DateTimeField: moment,
    models.JSONField: words,
}
_SHOW_BY_NAME: dict[str, Show] = {
    "description": _plain_text,
    "grader_id": _grader,
    "html_url": _web_link,
    "late": _flag("late"),
    "missing": _flag("missing"),
}


def _has_field(model: type[models.Model], wanted: str) -> bool:
    return any(field.name == wanted for field in model._meta.concrete_fields)


def title(model: type[models.Model]) -> Column | None:
    """Return the column that names a row, for models whose rows have names."""
    if _has_field(model, "sortable_name"):
        return sortable_name
    return name if _has_field(model, "name") else None
