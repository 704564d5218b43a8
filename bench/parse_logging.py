"""What the log of a parse run costs: the same parse of the same file, with it and without, by turns."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, ratios
from bench.stage import BenchError, Stage, measure

ROWS, QUICK_ROWS = 200_000, 5_000
WRONG_PERCENT = 1
COST_TARGET = 1.10
MEMORY_TARGET_MB = 15.0


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Write the file, then parse it with the log and without."""
    rows = QUICK_ROWS if quick else ROWS
    folder = stage.folder / "parse_logging"
    folder.mkdir()
    write_users(folder / "users.csv", rows)
    found: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for number in range(rounds):
        for with_log in (number % 2 == 0, number % 2 == 1):
            result = measure("parse_logging", folder=str(folder), with_log=with_log)
            if result["rows"] != rows:
                raise BenchError(f"{result['rows']} of {rows} rows were parsed.")
            found[with_log].append(result)
    part = f"log of a parse run, users.csv of {rows:,} rows, {WRONG_PERCENT} % of them wrong"
    for what in ("cpu", "wall"):
        logged, bare = ([one[what] for one in found[with_log]] for with_log in (True, False))
        yield Figure(part, f"{what} of the parse with its log", "s", tuple(logged))
        yield Figure(part, f"{what} with log / without", "×", ratios(logged, bare), COST_TARGET)
    logged, bare = ([one["memory"] for one in found[with_log]] for with_log in (True, False))
    more = tuple(one - other for one, other in zip(logged, bare, strict=True))
    yield Figure(part, "memory more than without", "MB", more, MEMORY_TARGET_MB)
    yield Figure(part, "the log as stored", "kB", tuple(one["stored"] / 1000 for one in found[True]))


def write_users(path: Path, rows: int) -> None:
    """Write a users file; of each hundred rows, one has a status that does not exist."""
    chance = random.Random(6)
    with path.open("w", encoding="utf-8") as file:
        file.write("user_id,login_id,full_name,email,status\n")
        for row in range(rows):
            status = "gone" if chance.random() * 100 < WRONG_PERCENT else "active"
            file.write(f"u{row},login{row},Person Number {row},person{row}@example.edu,{status}\n")
