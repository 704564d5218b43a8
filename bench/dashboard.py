"""The dashboard on three years of daily aggregates of 20 connections and 500 users each."""

from __future__ import annotations

from collections.abc import Iterator

from bench.figures import Figure
from bench.stage import KINDS, Stage

TARGET_MS = 100.0
JUDGED = "page, 30 days, database"


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Ask for the page and for summaries; every user has a row for each day and connection."""
    days, connections, users = (60, 3, 5) if quick else (3 * 365, 20, 500)
    for kind in stage.databases:
        with stage.fresh(kind, "empty") as name:
            result = stage.measure(
                kind, name, "dashboard", days=days, connections=connections, users=users, rounds=rounds
            )
        part = f"dashboard, {result['days']:,} days of connections, {result['user_days']:,} of users"
        for what, samples in result["milliseconds"].items():
            target = TARGET_MS if what == JUDGED else None
            yield Figure(part, f"{KINDS[kind][0]}: {what}", "ms", tuple(samples), target)
