"""Finds rows by their ids: those of one Canvas site, and one Canvas id in any spelling. Index-friendly."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q

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


def on_shards(numbers: Iterable[int]) -> Q:
    """Return the condition for rows on these of our shards: ranges of the primary key."""
    condition = Q(pk__in=[])
    for number in numbers:
        condition |= Q(pk__gte=number * SHARD_SIZE, pk__lt=(number + 1) * SHARD_SIZE)
    return condition
