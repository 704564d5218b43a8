"""What the logs of a sync cost, and the proof that processes which write one lose and tear no line."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

from bench.end_to_end import LATENCY_MS, MODELS
from bench.figures import Figure, ratios
from bench.stage import KINDS, CanvasProcess, Stage, wait_a_moment
from tests.logmonitor import writers
from tests.logmonitor.folders import lines_in

COST_TARGET = 1.05
WRITERS, LINES, QUICK_LINES = 4, 50_000, 2_000
ROTATE_BYTES = 2_000_000


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Sync with logs and without, by turns; then let four processes write one log."""
    size = "small" if quick else "bench"
    with CanvasProcess(stage.folder, size, latency_ms=LATENCY_MS, throttle=True) as canvas:
        stage.connect(canvas)
        for kind in stage.databases:
            yield from _cost(stage, kind, size, rounds)
    yield from _proof(stage, QUICK_LINES if quick else LINES)


def _cost(stage: Stage, kind: str, size: str, rounds: int) -> Iterator[Figure]:
    before = _lines(stage)
    _sync(stage, kind, logs=True)  # the sandbox makes its data now
    lines = _lines(stage) - before
    found: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    alone: list[float] = []
    for number in range(rounds):
        for logs in (number % 2 == 0, number % 2 == 1):
            found[logs].append(_sync(stage, kind, logs=logs))
        alone.append(stage.measure(kind, "empty", "lines", lines=lines)["cpu"])
    part, label = f"logs, {size}, {lines:,} lines", KINDS[kind][0]
    for what in ("wall", "cpu"):
        with_logs, without = ([one[what] for one in found[logs]] for logs in (True, False))
        yield Figure(part, f"{label}: {what} with logs", "s", tuple(with_logs))
        yield Figure(
            part, f"{label}: {what} with logs / without", "×", ratios(with_logs, without), COST_TARGET
        )
    # The steady figure: two syncs differ by more than their logs cost.
    share = ratios(alone, [one["cpu"] for one in found[False]])
    yield Figure(part, f"{label}: cpu of the lines alone / of a sync without", "×", share, COST_TARGET - 1)


def _lines(stage: Stage) -> int:
    folder = stage.folder / "logs" / "canvas_sync"
    return sum(lines_in(folder).values()) if folder.exists() else 0


def _sync(stage: Stage, kind: str, *, logs: bool) -> dict[str, Any]:
    with stage.fresh(kind) as name:
        wait_a_moment()
        variables = {"CANVAS_SYNC_LOGS": str(logs)}
        result: dict[str, Any] = stage.measure(
            kind, name, "sync", variables=variables, models=MODELS, mode="full"
        )
    return result


def _proof(stage: Stage, lines: int) -> Iterator[Figure]:
    part = f"logs, {WRITERS} processes of {lines:,} lines, rotated every {ROTATE_BYTES // 10**6} MB"
    folder = stage.folder / "proof"
    started = time.perf_counter()
    for process in [writers.start(folder, number, lines, ROTATE_BYTES) for number in range(WRITERS)]:
        process.wait()
    seconds = time.perf_counter() - started
    told: dict[tuple[int, int], int] = {}
    torn = 0
    for line, times in lines_in(folder).items():
        try:
            found = json.loads(line)
        except ValueError:
            torn += times
            continue
        told[found["run"], found["number"]] = times
    lost = WRITERS * lines - len(told)
    shutil.rmtree(folder)
    yield Figure(part, "a line, all processes at once", "µs", (seconds / lines / WRITERS * 1e6,))
    yield Figure(part, "lines lost", "", (lost,), 0)
    yield Figure(part, "lines torn", "", (torn,), 0)
    yield Figure(part, "lines doubled", "", (sum(times - 1 for times in told.values()),), 0)
