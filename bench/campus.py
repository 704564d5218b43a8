"""A whole campus: 200 courses, 20,000 users, 1,000,000 submissions, all there is of them; and its lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.children.process import peak_memory_mb
from bench.end_to_end import IN_FLIGHT
from bench.figures import Figure
from bench.stage import KINDS, CanvasProcess, Stage, measure, targets, wait_a_moment

LATENCY_MS = 40.0
RATE_TARGET = 0.85
PEAK_TARGET_MB = 300.0
SHARE_TARGET = 0.15
DATABASE_TARGET_MS = 100.0
STATEMENTS_TARGET = 12
SERVER_TARGET_MS = 300.0


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Sync everything in full and then incrementally, once per database; the null client does the same."""
    size = "small" if quick else "campus"
    for kind in stage.databases:
        with CanvasProcess(stage.folder, size, latency_ms=LATENCY_MS, throttle=True) as canvas:
            stage.connect(canvas)
            yield from _figures(stage, canvas, kind, f"campus, {KINDS[kind][0]}")


def _figures(stage: Stage, canvas: CanvasProcess, kind: str, part: str) -> Iterator[Figure]:
    with stage.fresh(kind) as name:
        # The first sync has the sandbox make its data; the one that counts is the second.
        canvas.clear_requests()
        stage.measure(kind, name, "sync", mode="full")
        asked = targets(canvas.requests())
    with stage.fresh(kind) as name:
        wait_a_moment()
        null = measure("null_client", url=canvas.url, token=canvas.token, targets=asked, in_flight=IN_FLIGHT)
        wait_a_moment()
        first = stage.measure(kind, name, "sync", mode="full")
        wait_a_moment()
        second = stage.measure(kind, name, "sync", mode="incremental")
        pages = stage.measure(kind, name, "console")["pages"]
    calls = first["run"]["api_metrics"]["calls_made"]
    again = second["run"]["api_metrics"]["calls_made"]
    ours, floor = calls / first["wall"], len(asked) / null["wall"]
    rows = sum(first["run"][entity]["processed"] for entity in ("users", "enrollments", "submissions"))
    yield Figure(part, f"rows of users, enrollments and submissions in {calls:,} requests", "", (rows,))
    yield Figure(part, "null client", "requests/s", (floor,))
    yield Figure(part, "sync", "requests/s", (ours,))
    yield Figure(part, "sync / null client", "×", (ours / floor,), RATE_TARGET, at_most=False)
    yield Figure(part, "peak memory of the sync, both processes", "MB", (first["peak_mb"],), PEAK_TARGET_MB)
    yield Figure(part, "peak memory of the sandbox", "MB", (peak_memory_mb(canvas.pid),))
    yield Figure(part, f"incremental ({again:,} requests) / full", "×", (again / calls,), SHARE_TARGET)
    yield from _of_lists(part, pages)


def _of_lists(part: str, pages: list[dict[str, Any]]) -> Iterator[Figure]:
    """Say what the worst list of the console takes; the server's time counts for the main pages."""
    main = [page for page in pages if page["main"]]
    for what, unit, target, among in (
        ("database_ms", "ms", DATABASE_TARGET_MS, pages),
        ("statements", "", STATEMENTS_TARGET, pages),
        ("server_ms", "ms", SERVER_TARGET_MS, main),
    ):
        worst = max(among, key=lambda page: page[what])
        said = {"database_ms": "database time", "server_ms": "server time, p95"}.get(what, what)
        yield Figure(part, f"lists, worst {said}: {worst['page']}", unit, (worst[what],), target)
