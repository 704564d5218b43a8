"""The charts of transfers, each with a table of the same figures; sizes and speeds in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from msgspec.structs import replace

from logmonitor.transfers.asked import Asked, address_of
from logmonitor.transfers.figures import Figures, Moved, Part, add_parts, ordered, unusual_name
from logmonitor.transfers.rollup import DIRECTIONS
from logmonitor.transfers.unusual import Verdict
from syncmetrics.display import BAD, CARE, NOTHING, badge, link, number, one_line

LABELS = {"upload": "uploads", "download": "downloads"}
UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB")
BYTES = "B"
NO_NAME = "(no name)"

Measure = Callable[[Moved], int | None]
MEASURES: dict[str, Measure] = {
    "transfers": lambda moved: moved.transfers,
    "bytes": lambda moved: moved.bytes,
    "average": lambda moved: moved.average_bytes,
}


def size(value: float | None) -> SafeString | str:
    """Return bytes as people read them, `1.5 MB` for 1,500,000; the exact number under the pointer."""
    if value is None:
        return NOTHING
    rest, unit = float(value), UNITS[0]
    for unit in UNITS:
        if round(rest, 1) < 1000 or unit == UNITS[-1]:
            break
        rest /= 1000
    if unit == BYTES:
        return one_line(f"{round(rest)} B")
    shown = f"{rest:,.1f} {unit}"
    return format_html('<span class="nowrap" title="{} bytes">{}</span>', f"{value:,.0f}", shown)


def speed(value: float | None) -> SafeString | str:
    """Return bytes per second as people read them."""
    return NOTHING if value is None else format_html("{}/s", size(float(f"{value:.3g}")))


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of users or of days: what is measured of uploads and of downloads apart."""

    name: str
    title: str
    note: str
    measure: str
    of_days: bool = False

    @property
    def unit(self) -> str:
        """What the values are: bytes, or nothing but a number."""
        return "" if self.measure == "transfers" else BYTES

    def draw(self, asked: Asked, figures: Figures, *, logarithmic: bool) -> dict[str, Any]:
        """Return the chart as the page's script takes it, and the table of the same figures."""
        rows = _days(figures) if self.of_days else list(_users(asked, figures, self.measure))
        ways = asked.ways
        marks = [self._verdicts(figures, day) for day, _ in figures.days] if self.of_days else []
        return {
            **_names(self.name, self.title, self.note),
            "wide": self.of_days and self.measure == "bytes",
            "data": {
                "labels": [row.label for row in rows],
                "days": self.of_days,
                "logarithmic": logarithmic and not self.of_days,
                "unit": self.unit,
                "series": [
                    {
                        "label": LABELS[way],
                        "unit": self.unit,
                        "kind": "line" if self.of_days else "bar",
                        "values": [_plain(self._value(getattr(row.part, way))) for row in rows],
                        "unusual": [way in mark for mark in marks],
                    }
                    for way in ways
                ],
            },
            "table": self._table(rows, ways, [_in_words(mark) for mark in marks]),
        }

    def _value(self, moved: Moved) -> int | None:
        return MEASURES[self.measure](moved)

    def _cell(self, moved: Moved) -> SafeString | str:
        value = self._value(moved)
        return size(value) if self.unit else number(value)

    def _table(
        self, rows: Sequence[_Row], ways: Sequence[str], marks: Sequence[SafeString | str]
    ) -> dict[str, Any]:
        shown = [*ways, *(["both"] if len(ways) > 1 else [])]
        cells = [
            [row.head, *(self._cell(getattr(row.part, way)) for way in shown), *marks[place : place + 1]]
            for place, row in enumerate(rows)
        ]
        headers = ["day" if self.of_days else "user", *(LABELS.get(way, "both") for way in shown)]
        return {
            "headers": [*headers, *(["beside the same weekday before"] if marks else [])],
            # The newest day first; the users are in order already.
            "rows": cells[::-1] if self.of_days else cells,
        }

    def _verdicts(self, figures: Figures, day: date) -> dict[str, Verdict]:
        """Return what of this chart was unusual on a day, by direction."""
        found = figures.unusual.get(day, {})
        names = {way: unusual_name(way, self.measure) for way in DIRECTIONS}
        return {way: found[name] for way, name in names.items() if name in found}


def draw_failures(days: Sequence[tuple[date, int]]) -> dict[str, Any]:
    """Return the chart of failed logins by day, and the table of the same figures."""
    labels, values = [day.isoformat() for day, _ in days], [failures for _, failures in days]
    series = {"label": "failed logins", "unit": "", "kind": "line", "values": values, "unusual": []}
    return {
        **_names(
            "failures",
            "Failed logins per day",
            "These numbers are kept for ever, also when the lines are gone.",
        ),
        "wide": True,
        "data": {"labels": labels, "days": True, "logarithmic": False, "unit": "", "series": [series]},
        "table": {
            "headers": ["day", "failed logins"],
            "rows": [[label, number(value)] for label, value in zip(labels, values, strict=True)][::-1],
        },
    }


def _names(name: str, title: str, note: str) -> dict[str, Any]:
    return {"name": name, "script": f"chart-{name}", "title": title, "note": note}


def _plain(value: int | None) -> float | None:
    """Return a value to draw: browsers round whole numbers beyond 2^53 anyway."""
    return None if value is None else float(value) if value > 2**53 else value


def _in_words(verdicts: Mapping[str, Verdict]) -> SafeString:
    return format_html_join(
        " ",
        "{}",
        (
            (badge(f"{LABELS[way]} unusually {verdict}", BAD if verdict == "high" else CARE),)
            for way, verdict in verdicts.items()
        ),
    )


class _Row(NamedTuple):
    """A bar or a point: what the chart calls it, what the table does, and its figures."""

    label: str
    head: SafeString | str
    part: Part


def _days(figures: Figures) -> list[_Row]:
    return [_Row(day.isoformat(), day.isoformat(), part) for day, part in figures.days]


def _users(asked: Asked, figures: Figures, measure: str) -> Iterator[_Row]:
    """Yield the users of whom there is most, each leading to its own charts, and all others in one."""
    found = ordered(figures.users, measure)
    shown, rest = found[: asked.query.top], found[asked.query.top :]
    for name, part in shown:
        yield _Row(name or NO_NAME, user_link(asked, name), part)
    if rest:
        others = f"{number(len(rest))} others"
        yield _Row(others, others, add_parts(part for _, part in rest))


def user_link(asked: Asked, name: str, page: str = "") -> SafeString | str:
    """Return a user's name as a link to the charts of that user, otherwise as asked for."""
    return link(f"{page}?{address_of(replace(asked.query, user=name))}", name) if name else NO_NAME


CHARTS = (
    Chart("transfers", "Transfers per user", "How often each user uploaded and downloaded.", "transfers"),
    Chart("bytes", "Bytes per user", "How much each user moved in all.", "bytes"),
    Chart("average", "Average bytes of a transfer, per user", "", "average"),
    Chart(
        "days",
        "Activity per day",
        "Transfers by the day on which they ended; days without any stand at zero. Triangles mark unusual"
        " days: far from the median of the same weekday in the 12 weeks before.",
        "transfers",
        of_days=True,
    ),
    Chart(
        "day-bytes",
        "Bytes per day",
        "Triangles mark unusual days, as above.",
        "bytes",
        of_days=True,
    ),
)


def note_of_averages(asked: Asked) -> str:
    """Return which transfers averages count."""
    if asked.averaged == ("succeeded",):
        return "Of transfers that succeeded."
    if len(asked.averaged) == 1:
        return f"Of transfers that are {asked.averaged[0]}."
    return "Of all transfers, those that broke off with what they had moved."


def tiles(asked: Asked, figures: Figures) -> list[tuple[str, str | SafeString]]:
    """Return the figures above the charts: (what, how much)."""
    total = figures.total
    found: list[tuple[str, str | SafeString]] = [("Users", number(figures.active_users))]
    for way in asked.ways:
        moved: Moved = getattr(total, way)
        speeds = figures.speeds[way]
        found += [
            (LABELS[way].capitalize(), number(moved.transfers)),
            (f"Bytes of {LABELS[way]}", size(moved.bytes)),
            (f"Speed of {LABELS[way]}, median", speed(speeds["p50"])),
            (f"Speed of {LABELS[way]}, 95th percentile", speed(speeds["p95"])),
        ]
    return found
