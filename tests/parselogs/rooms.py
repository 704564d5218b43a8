"""Parsers as somebody else would bring them: a table and a parser, each with codes of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parselogs.parsers import Code, Severity
from parselogs.parsers.checker import Counts
from parselogs.parsers.tables import Kind, Rule, Table, marks, required, texts

ROOMS = Table(
    name="rooms",
    family="timetable",
    marks=marks("room_id seats"),
    columns=(required("room_id"), required("seats", Kind.NUMBER), *texts("building campus")),
    rules=(Rule("no_place", ("building", "campus")),),
    codes={"no_place": Code(Severity.ROW, "A room needs one of {columns}.", "Say where it is.")},
)


class Hours:
    """Reads files with the columns `room` and `closes`."""

    name, kind, version, delimiters, mark_expected = "hours", "hours", "1", ",", False
    codes = {
        "room_closed": Code(
            Severity.ROW, "{column} is before {hour} o'clock.", "Choose another than {hour}."
        ),
        "missing_value": Code(Severity.WARNING, "Not what Easel says.", "Nothing."),
    }

    def recognises(self, header: Sequence[str]) -> bool:
        """Say whether it is such a file."""
        return {"room", "closes"} <= set(header)

    def begin(self, header: Sequence[str], context: Any) -> HoursChecker:
        """Take any header."""
        return HoursChecker(context)


class HoursChecker:
    """Finds something of every sort in each row."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def check(self, first_row: int, rows: list[Any], *_: Any) -> Counts:
        """Reject all."""
        for row in range(first_row, first_row + len(rows)):
            self._context.find("room_closed", row, "closes", hour=20)
            self._context.find("room_closed", row)  # a detail is missing
            self._context.find("missing_value", row, "room")
        return Counts(len(rows), len(rows))

    def finish(self) -> int:
        """Find nothing more."""
        return 0


PARSERS = [ROOMS, Hours()]
