"""The figures a benchmark gives, with their targets; shown as a table and kept as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

VERDICTS = {None: "", True: "[green]met[/green]", False: "[red]missed[/red]"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, sampled once a round; `target` bounds its median, from above or from below."""

    part: str
    what: str
    unit: str
    samples: tuple[float, ...]
    target: float | None = None
    at_most: bool = True

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(self.samples)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target

    def as_json(self) -> dict[str, Any]:
        """Return the figure as plain values."""
        return {
            "part": self.part,
            "what": self.what,
            "unit": self.unit,
            "median": self.value,
            "samples": self.samples,
            "target": self.target,
            "at_most": self.at_most,
            "met": self.met,
        }


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Return ours / theirs round by round: what disturbs the machine disturbs both of a round."""
    return tuple(our / their for our, their in zip(ours, theirs, strict=True))


def show(figures: Sequence[Figure]) -> None:
    """Print the figures, a table for each part."""
    console = Console(width=110)
    for part, own in groupby(figures, key=lambda figure: figure.part):
        table = Table(title=part, title_justify="left", box=box.SIMPLE)
        table.add_column("", ratio=1)
        for name in ("median", "lowest", "highest", "", "target"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("")
        for figure in own:
            table.add_row(figure.what, *_cells(figure), VERDICTS[figure.met])
        console.print(table)


def _cells(figure: Figure) -> tuple[str, ...]:
    spread = (figure.value, min(figure.samples), max(figure.samples))
    return (*map(_number, spread), figure.unit, _target(figure))


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{'≤' if figure.at_most else '≥'} {figure.target:g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
