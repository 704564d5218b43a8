"""Reading transfer logs: a million lines from the beginning, decoding alone, and live."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, ratios
from bench.stage import KINDS, Stage
from tests.logmonitor.transfer_lines import mixed

BARE = {"postgresql": "raw COPY", "sqlite": "bare executemany"}


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Measure side by side: prepared rows into the same table with its indexes, and the log read."""
    lines = 20_000 if quick else 1_000_000
    file = stage.folder / "transfer_log" / "sftpgo.log"
    write(file, lines)
    yield from _decoding(stage, file, lines, rounds)
    for kind in stage.databases:
        yield from _backfill(stage, kind, file, lines, rounds)
        yield from _live(stage, kind, 2 if quick else 20)
    shutil.rmtree(file.parent)


def write(file: Path, lines: int) -> None:
    """Write a log of so many lines of all kinds, of ninety days."""
    file.parent.mkdir()
    with file.open("wb") as log:
        log.writelines(mixed(lines))


def _decoding(stage: Stage, file: Path, lines: int, rounds: int) -> Iterator[Figure]:
    part = f"backfill, {lines:,} lines decoded, CPU"
    kind = next(iter(stage.databases))
    taken = [stage.measure(kind, "empty", "backfill", do="decode", file=str(file)) for _ in range(rounds)]
    bare, kinds, rows = ([one[name] for one in taken] for name in ("bare", "kinds", "rows"))
    yield Figure(part, "bare typed decode", "µs", tuple(one / lines * 1e6 for one in bare))
    yield Figure(part, "decoded and kind told / bare typed decode", "×", ratios(kinds, bare), 1.6)
    yield Figure(part, "made into rows / bare typed decode", "×", ratios(rows, bare))


def _backfill(stage: Stage, kind: str, file: Path, lines: int, rounds: int) -> Iterator[Figure]:
    part = f"backfill, {lines:,} lines, {KINDS[kind][0]}"
    theirs, ours, memory, cpu = [], [], [], []
    for _ in range(rounds):
        with stage.fresh(kind, "empty") as name:
            found = stage.measure(kind, name, "backfill", do="bare", file=str(file))
            theirs.append(found["rows"] / found["seconds"])
        with stage.fresh(kind, "empty") as name:
            found = stage.measure(kind, name, "backfill", do="ours", file=str(file))
            ours.append(found["rows"] / found["seconds"])
            memory.append(found["memory"])
            cpu.append(found["cpu"] / found["rows"] * 1e6)
    yield Figure(part, f"{BARE[kind]} of prepared rows", "rows/s", tuple(theirs))
    yield Figure(part, "watch_transfers", "rows/s", tuple(ours))
    yield Figure(part, f"watch_transfers / {BARE[kind]}", "×", ratios(ours, theirs), 0.6, at_most=False)
    yield Figure(part, "its CPU for a line", "µs", tuple(cpu))
    yield Figure(part, "its memory", "MB", tuple(memory), 150.0)


def _live(stage: Stage, kind: str, seconds: int) -> Iterator[Figure]:
    part = f"following 1,000 lines/s, {KINDS[kind][0]}"
    with stage.fresh(kind, "empty") as name:
        folder = stage.folder / f"live_{kind}"
        options = {"do": "live", "folder": str(folder), "seconds": seconds, "a_second": 1000}
        found = stage.measure(kind, name, "backfill", **options)
    yield Figure(part, "the latest line", "s", (found["lag"],), 2.0)
    yield Figure(part, "lines lost", "", (found["lost"],), 0)
    yield Figure(part, "its CPU a second", "ms", (found["cpu"] / seconds * 1000,))
