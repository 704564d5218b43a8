"""Canvas ids in every spelling, folded into one 64-bit key per row.

Canvas itself folds ids as `shard * 10**13 + local`; so do we, with shard numbers of our own, so that
several Canvas sites share one set of tables (docs/adr/0003-ids-fold-shards.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

SHARD_SIZE = 10**13
"""Local ids lie below this (canvas-lms `Shard::IDS_PER_SHARD`)."""

MAX_SHARD_NUMBER = 899
"""Our own shard numbers stay below 900, so that every key is exact in a browser (below 2**53)."""

_INT64 = 2**63
_LAST_SHARD = _INT64 // SHARD_SIZE
_SPELLING = re.compile(r"\s*(?:(\d{1,19})~)?(-?\d{1,19})\s*", re.ASCII)


class InvalidId(ValueError):
    """A value that is no Canvas id; the message says what was wrong with it."""


def split_id(value: Any) -> tuple[int | None, int]:
    """Return (Canvas shard or None for the home shard, local id) of one id in any spelling.

    Accepts ints, digit strings, `shard~local` and global ids (`shard * 10**13 + local`). Negative ids
    (automatic graders) have no shard and stay as they are. Raises InvalidId for anything else.
    """
    shard: int | None = None
    if isinstance(value, str):
        match = _SPELLING.fullmatch(value)
        if not match:
            raise InvalidId("not a Canvas id")
        shard = int(match[1]) if match[1] else None
        value = int(match[2])
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidId(f"an id cannot be a {type(value).__name__}")
    if value == 0 or not -_INT64 <= value < _INT64:
        raise InvalidId("id out of range")
    if value < 0:
        if shard is not None:
            raise InvalidId("a negative id has no shard")
        return None, value
    upper, local = divmod(value, SHARD_SIZE)
    if upper and shard is not None:
        raise InvalidId("id names two shards")
    if local == 0 or (shard is not None and not 0 < shard <= _LAST_SHARD):
        raise InvalidId("id out of range")
    return (upper or None) if shard is None else shard, local


class UnknownShard(InvalidId):
    """An id of a shard that has no number of ours yet, and nobody to allot one."""


class Folder:
    """Folds the ids of one Canvas site into keys.

    `home` is our number for the site's own shard, `canvas_shard` the number Canvas gives it (None
    when unknown). Foreign shards met in data are looked up in `known` (Canvas shard -> our number)
    and, when new, allotted by `allot`.
    """

    def __init__(
        self,
        home: int,
        *,
        canvas_shard: int | None = None,
        known: Mapping[int, int] | None = None,
        allot: Callable[[int], int] | None = None,
    ) -> None:
        self.base = home * SHARD_SIZE
        self._numbers = dict(known or {})
        if canvas_shard is not None:
            self._numbers[canvas_shard] = home
        self._allot = allot

    def reader(self) -> Folder:
        """Return a folder that knows what this one knows now, and allots nothing: for other processes.

        It raises UnknownShard where this one would allot a number.
        """
        return Folder(self.base // SHARD_SIZE, known=self._numbers)

    def fold(self, value: Any) -> int:
        """Return the key for one id in any spelling; InvalidId when it has none."""
        shard, local = split_id(value)
        if local < 0:
            return local
        if shard is None:
            return self.base + local
        if shard not in self._numbers:
            if self._allot is None:
                raise UnknownShard("id of an unknown shard")
            self._numbers[shard] = self._allot(shard)
        return self._numbers[shard] * SHARD_SIZE + local

    def spell(self, key: int) -> str:
        """Return a key as this site's URLs take it: the local id, or `shard~local` for a foreign shard."""
        number, local = divmod(key, SHARD_SIZE)
        if number * SHARD_SIZE == self.base or key < 0:
            return str(canvas_id(key))
        shard = next((canvas for canvas, ours in self._numbers.items() if ours == number), None)
        if shard is None:
            raise InvalidId("key of another site")
        return f"{shard}~{local}"

    def fold_own(self, value: Any) -> int:
        """Return the key for a row's own id, which is never negative."""
        key = self.fold(value)
        if key < 0:
            raise InvalidId("id out of range")
        return key


def canvas_id(key: int) -> int:
    """Return the local Canvas id that a key was folded from."""
    return key % SHARD_SIZE if key > 0 else key
