"""Finds rows by their keys: those of one Canvas site, and one Canvas id in any spelling."""

from __future__ import annotations

from django.db.models import Max, Min, Q

from canvas.models import Shard
from easel.ids import SHARD_SIZE, InvalidId, split_id


def keys_of(spelling: str) -> list[int]:
    """Return every key that a Canvas id may have here: one per shard that the spelling leaves open.

    Empty when it is no Canvas id. A primary key lookup, where `canvas_id` would often scan.
    """
    try:
        canvas_shard, local = split_id(spelling)
    except InvalidId:
        return []
    shards = Shard.objects.order_by("number")
    if canvas_shard is not None:
        home = Q(canvas_shard=None, instance__canvas_shard=canvas_shard)
        shards = shards.filter(home | Q(canvas_shard=canvas_shard))
    numbers = shards.values_list("number", flat=True) if local > 0 else ()
    return [number * SHARD_SIZE + local for number in numbers]


def rows_of(instance: int) -> Q:
    """Return the condition for the rows of one Canvas site.

    Large tables have no index on the instance. The range of keys from its first shard to its last one
    narrows them down; the column decides about what other sites have in between.
    """
    numbers = Shard.objects.filter(instance=instance).aggregate(first=Min("number"), last=Max("number"))
    if numbers["first"] is None:
        return Q(pk__in=[])
    above = (numbers["last"] + 1) * SHARD_SIZE
    return Q(instance=instance, pk__gte=numbers["first"] * SHARD_SIZE, pk__lt=above)
