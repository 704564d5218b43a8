"""What every mirrored row has: its folded key, its Canvas id, its instance, and what the writer needs."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F

from canvas.models.instances import Instance
from easel.ids import SHARD_SIZE


def parent(to: str, *, related_name: str = "+", index: bool = True) -> models.ForeignKey[Any, Any]:
    """Return a foreign key to another mirrored table, without a database constraint and nullable.

    Rows may arrive before their parents. NOT NULL would make Django join lists with INNER JOIN, and
    rows whose parent is missing would vanish from them.
    """
    return models.ForeignKey(
        to,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=index,
        related_name=related_name,
    )


class CanvasRow(models.Model):
    """A row of Canvas. `id` is `our shard * 10**13 + Canvas id`; `canvas_id` is generated from it."""

    id = models.BigAutoField(primary_key=True)
    canvas_id = models.GeneratedField(
        expression=F("id") % SHARD_SIZE, output_field=models.BigIntegerField(), db_persist=True
    )
    instance = models.ForeignKey(
        Instance, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    workflow_state = models.TextField(null=True, blank=True)
    row_hash = models.BigIntegerField(editable=False)
    as_of = models.DateTimeField("as of", help_text="When Canvas said so, by Canvas's clock.")
    deleted_at = models.DateTimeField(
        null=True, blank=True, help_text="When Canvas was first seen without it."
    )

    class Meta:
        abstract = True
