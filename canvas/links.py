"""Foreign keys that dangle: rows that name a parent which is not in the copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.models import Count, Exists, OuterRef, QuerySet

from canvas.models import CanvasRow
from canvas.resources import RESOURCES
from easel.ids import canvas_id

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Link:
    """A foreign key and what it lacks: `rows` name `missing` different parents; some of their Canvas ids."""

    model: str
    column: str
    parent: str
    rows: int
    missing: int
    examples: tuple[str, ...]


def check_links() -> Iterator[Link]:
    """Yield every foreign key of every mirrored table, those that dangle nowhere too.

    Two statements a key at most, however many rows: the database looks for rows without a parent.
    """
    for resource in RESOURCES.values():
        for key in resource.model._meta.concrete_fields:
            if isinstance(key, models.ForeignKey):
                yield _check(resource.model, key)


def _check(model: type[CanvasRow], key: models.ForeignKey[Any, Any]) -> Link:
    parent: type[models.Model] = key.related_model
    dangling = _dangling(model, key, parent)
    counts = dangling.aggregate(rows=Count("pk"), missing=Count(key.attname, distinct=True))
    absent = dangling.order_by(key.attname).values_list(key.attname, flat=True).distinct()
    examples = (str(canvas_id(one)) for one in absent[:EXAMPLES]) if counts["missing"] else ()
    return Link(model.__name__, key.name, parent.__name__, counts["rows"], counts["missing"], tuple(examples))


def _dangling(
    model: type[CanvasRow], key: models.ForeignKey[Any, Any], parent: type[models.Model]
) -> QuerySet[CanvasRow]:
    there = parent._default_manager.filter(pk=OuterRef(key.attname))
    return model._default_manager.filter(~Exists(there), **{f"{key.attname}__isnull": False})
