"""The bulk writer alone: ready rows against the barest way to write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.figures import Figure, ratios
from bench.stage import KINDS, Stage

NEW_ROWS_TARGETS = {"postgresql": 0.6, "sqlite": 0.75}
UNCHANGED_TARGET = 0.6
RAW = {"postgresql": "raw COPY", "sqlite": "bare executemany"}


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Write 100,000 submissions of all columns, in batches of 10,000; all in one process per database."""
    size, batch = ("tiny", 100) if quick else ("bench", 10_000)
    for kind in stage.databases:
        with stage.fresh(kind, "empty") as name:
            result = stage.measure(kind, name, "writer", size=size, batch=batch, rounds=rounds)
        yield from _figures(kind, result)


def _figures(kind: str, result: dict[str, Any]) -> Iterator[Figure]:
    part, label, speeds = f"writer, {result['rows']:,} rows", KINDS[kind][0], result["rows_per_second"]

    def against(ours: str, theirs: str, what: str, target: float | None) -> Figure:
        quotients = ratios(speeds[ours], speeds[theirs])
        return Figure(part, f"{label}: {what}", "×", quotients, target, at_most=False)

    for name, samples in speeds.items():
        yield Figure(part, f"{label}: {name.replace('raw', RAW[kind])}", "rows/s", tuple(samples))
    yield against("new", "raw", f"new rows / {RAW[kind]}", NEW_ROWS_TARGETS[kind])
    yield against("unchanged", "bare mapping", "unchanged rows / bare mapping", UNCHANGED_TARGET)
    yield against("unchanged", "mapper", "unchanged rows / our mapper alone", None)
