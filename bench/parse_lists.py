"""The console's lists of files and runs, with 10,000 runs: database time and statements of each page."""

from __future__ import annotations

from collections.abc import Iterator

from bench.figures import Figure
from bench.stage import KINDS, Stage

RUNS, QUICK_RUNS = 10_000, 200
DATABASE_TARGET_MS = 50.0
STATEMENTS_TARGET = 8


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Fill the tables and ask for the lists, once per database; the list of runs is judged."""
    runs = QUICK_RUNS if quick else RUNS
    for kind in stage.databases:
        with stage.fresh(kind, "empty") as name:
            pages = stage.measure(kind, name, "parse_lists", runs=runs, rounds=rounds)["pages"]
        part = f"lists of files and runs, {runs:,} runs, {KINDS[kind][0]}"
        for page, spent in pages.items():
            judged = page.startswith("runs")
            target = DATABASE_TARGET_MS if judged else None
            yield Figure(part, f"{page}: database", "ms", tuple(spent["database_ms"]), target)
            most = STATEMENTS_TARGET if judged else None
            yield Figure(part, f"{page}: statements", "", (spent["statements"],), most)
