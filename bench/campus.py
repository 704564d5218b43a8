"""A whole campus: 200 courses, 20,000 users, 1,000,000 submissions, all there is of them; and its lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.children.process import peak_memory_mb
from bench.decoding import read_bodies
from bench.end_to_end import IN_FLIGHT, REFERENCE_DECODE_US
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
        with CanvasProcess(stage.folder, size, throttle=True) as canvas:
            stage.connect(canvas)
            part = f"campus, {KINDS[kind][0]}"
            asked = _requests_of_a_sync(stage, canvas, kind)
            yield from _figures(stage, canvas, kind, part, asked)
            latency_ms = (
                LATENCY_MS * read_bodies(canvas, asked, all_fields=True).decode_us() / REFERENCE_DECODE_US
            )
            yield from _in_proportion(stage, canvas, kind, part, asked, round(latency_ms))


def _requests_of_a_sync(stage: Stage, canvas: CanvasProcess, kind: str) -> list[str]:
    """Sync once, unmeasured and without latency, and return what it asked for; the data are made by then."""
    with stage.fresh(kind) as name:
        canvas.clear_requests()
        stage.measure(kind, name, "sync", mode="full")
        return targets(canvas.requests())


def _null_client(canvas: CanvasProcess, asked: list[str]) -> float:
    """Return the requests a second of the null client."""
    wait_a_moment()
    null = measure("null_client", url=canvas.url, token=canvas.token, targets=asked, in_flight=IN_FLIGHT)
    wait_a_moment()
    return len(asked) / float(null["wall"])


def _in_proportion(
    stage: Stage, canvas: CanvasProcess, kind: str, part: str, asked: list[str], latency_ms: int
) -> Iterator[Figure]:
    """Measure with a Canvas as many times slower as this machine is (`bench.end_to_end.run`)."""
    canvas.set(latency_ms=latency_ms)
    floor = _null_client(canvas, asked)
    with stage.fresh(kind) as name:
        sync = stage.measure(kind, name, "sync", mode="full")
    ratio = sync["run"]["api_metrics"]["calls_made"] / sync["wall"] / floor
    what = f"sync / null client, latency in proportion ({latency_ms} ms)"
    yield Figure(part, what, "×", (ratio,), RATE_TARGET, at_most=False)


def _figures(stage: Stage, canvas: CanvasProcess, kind: str, part: str, asked: list[str]) -> Iterator[Figure]:
    canvas.set(latency_ms=LATENCY_MS)
    floor = _null_client(canvas, asked)
    with stage.fresh(kind) as name:
        first = stage.measure(kind, name, "sync", mode="full")
        wait_a_moment()
        second = stage.measure(kind, name, "sync", mode="incremental")
        pages = stage.measure(kind, name, "console")["pages"]
    calls = first["run"]["api_metrics"]["calls_made"]
    again = second["run"]["api_metrics"]["calls_made"]
    ours = calls / first["wall"]
    rows = sum(first["run"][entity]["processed"] for entity in ("users", "enrollments", "submissions"))
    yield Figure(part, f"rows of users, enrollments and submissions in {calls:,} requests", "", (rows,))
    yield Figure(part, "null client", "requests/s", (floor,))
    yield Figure(part, "sync", "requests/s", (ours,))
    yield Figure(part, "sync / null client", "×", (ours / floor,), RATE_TARGET, at_most=False)
    yield Figure(part, "peak memory of the sync, all processes", "MB", (first["peak_mb"],), PEAK_TARGET_MB)
    yield Figure(part, "peak memory of the sandbox", "MB", (peak_memory_mb(canvas.pid),))
    yield Figure(part, f"incremental ({again:,} requests) / full", "×", (again / calls,), SHARE_TARGET)
    yield from _of_lists(part, pages)


def _of_lists(part: str, pages: list[dict[str, Any]]) -> Iterator[Figure]:
    """Say what the worst list of the console takes; the server's time counts for the main pages."""
    main = [page for page in pages if page["main"]]
    lists = [page for page in pages if page["page"] != "home"]
    for what, unit, target, among in (
        ("database_ms", "ms", DATABASE_TARGET_MS, lists),
        ("statements", "", STATEMENTS_TARGET, lists),
        ("server_ms", "ms", SERVER_TARGET_MS, main),
    ):
        worst = max(among, key=lambda page: page[what])
        said = {"database_ms": "database time", "server_ms": "server time, p95"}.get(what, what)
        yield Figure(part, f"lists, worst {said}: {worst['page']}", unit, (worst[what],), target)
