"""The charts of transfers on ten million of them: two years of a hundred users."""

from __future__ import annotations

from collections.abc import Iterator

from bench.figures import Figure
from bench.stage import KINDS, Stage

TARGETS_MS = {
    ("postgresql", "all dates, database"): 150.0,
    ("sqlite", "all dates, database"): 250.0,
    ("postgresql", "30 days, database"): 15.0,
    ("sqlite", "30 days, database"): 15.0,
}


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Ask for the charts. The transfers are generated and added up by the product itself, a day at a time.

    Their lines are not stored: no chart reads them.
    """
    days, transfers = (60, 20_000) if quick else (739, 10_000_000)
    for kind in stage.databases:
        with stage.fresh(kind, "empty") as name:
            result = stage.measure(
                kind, name, "transfers", days=days, transfers=transfers, users=100, rounds=max(rounds, 3)
            )
        part = f"transfers, {transfers:,} in {days} days: {result['user_rows']:,} rows of users"
        for what, samples in result["milliseconds"].items():
            target = TARGETS_MS.get((kind, what))
            yield Figure(part, f"{KINDS[kind][0]}: {what}", "ms", tuple(samples), target)
