"""Finds rows again by what they stand for, where Canvas's ids of them come and go or are not shown.

A user who comes back to a group has a new membership, and the report of memberships shows no ids at all:
the copy keeps one row for each group and user, under the key it had first.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from canvas.mapping import Mapped
from canvas.models import CanvasRow
from canvas.writer import Table

Natural = tuple[Any, ...]


class NaturalKeys:
    """The keys of a table's rows by their natural key, as far as they were asked for."""

    def __init__(self, model: type[CanvasRow], columns: tuple[str, ...]) -> None:
        """Take the columns of the natural key, those of its unique index; the first is searched by."""
        self._model = model
        self._columns = columns
        order = Table.of(model).columns
        self._natural_of = itemgetter(*(order.index(column) for column in columns))
        self._keys: dict[Natural, int] = {}
        self._holders: dict[int, Natural] = {}
        self._looked_up: set[Any] = set()

    def adopt(self, mapped: Mapped) -> Mapped:
        """Return the rows under the keys that the copy has them by.

        A rejected record has no key: which row it is cannot be told.
        """
        self._look_up({self._natural_of(row)[0] for row in mapped.rows})
        rows = [(self._key(self._natural_of(row), row[0]), *row[1:]) for row in mapped.rows]
        rejected = [(None, spelled, reason) for _, spelled, reason in mapped.rejected]
        return Mapped(rows, [*rejected])

    def _key(self, natural: Natural, own: int) -> int:
        if None in natural:
            return own
        if natural not in self._keys:
            # Canvas gave this id to somebody else meanwhile (users were merged): the row follows it.
            self._keys.pop(self._holders.get(own, ()), None)
            self._remember(natural, own)
        return self._keys[natural]

    def _remember(self, natural: Natural, key: int) -> None:
        self._keys[natural] = key
        self._holders[key] = natural

    def _look_up(self, wanted: Iterable[Any]) -> None:
        new = set(wanted) - self._looked_up
        self._looked_up |= new
        if new:
            rows = self._model._default_manager.filter(**{f"{self._columns[0]}__in": new})
            for key, *natural in rows.values_list("pk", *self._columns):
                self._remember(tuple(natural), key)
