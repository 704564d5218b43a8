"""Whole syncs against the null client: wall, CPU, memory; then what a second sync of the same takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.decoding import Bodies, read_bodies
from bench.figures import Figure, ratios
from bench.stage import KINDS, CanvasProcess, Stage, measure, targets, wait_a_moment

MODELS = ("courses", "assignments", "submissions")
LATENCY_MS = 50.0
IN_FLIGHT = 10
WALL_TARGETS = {"bench": 1.20, "big_course": 1.35}
CPU_TARGETS_US = {"postgresql": 45.0, "sqlite": 60.0}
PEAK_TARGET_MB = 200.0
# The machine the CPU targets were taken on decoded a submission of 920 bytes in this time.
REFERENCE_DECODE_US = 1.3


@dataclass(slots=True)
class Rounds:
    """What the rounds of one size gave: the null client, each database, the sandbox, the yardstick."""

    null: list[dict[str, Any]] = field(default_factory=list)
    syncs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    canvas_cpu: list[float] = field(default_factory=list)
    decode_us: list[float] = field(default_factory=list)
    full_decode_us: list[float] = field(default_factory=list)
    second: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Measure each size. The sandbox, the client and the database share the machine's cores.

    Then the walls again with a Canvas that is as many times slower as this machine decodes slower than
    the one the targets were taken on: what is left of a miss then is Easel's, not the machine's.
    """
    slowness = 1.0
    for size in ("small",) if quick else WALL_TARGETS:
        with _canvas(stage, size, LATENCY_MS) as canvas:
            found, same, full = _rounds(stage, canvas, rounds)
        slowness = median(found.full_decode_us) / REFERENCE_DECODE_US
        yield from _figures(size, found, same, full)
    latency_ms = round(LATENCY_MS * slowness)
    for size in ("small",) if quick else WALL_TARGETS:
        with _canvas(stage, size, latency_ms) as canvas:
            found, _, _ = _rounds(stage, canvas, rounds, second=False)
        yield from _walls(f"end to end, {size}, latency in proportion ({latency_ms} ms)", size, found)


@contextmanager
def _canvas(stage: Stage, size: str, latency_ms: float) -> Iterator[CanvasProcess]:
    with CanvasProcess(stage.folder, size, latency_ms=latency_ms, throttle=True) as canvas:
        stage.connect(canvas)
        yield canvas


def _walls(part: str, size: str, found: Rounds) -> Iterator[Figure]:
    null = [sample["wall"] for sample in found.null]
    yield Figure(part, "null client, wall", "s", tuple(null))
    for kind, syncs in found.syncs.items():
        walls = [sync["wall"] for sync in syncs]
        yield Figure(part, f"{KINDS[kind][0]}: wall", "s", tuple(walls))
        what = f"{KINDS[kind][0]}: wall / null client"
        yield Figure(part, what, "×", ratios(walls, null), WALL_TARGETS.get(size))


def _rounds(
    stage: Stage, canvas: CanvasProcess, rounds: int, *, second: bool = True
) -> tuple[Rounds, Bodies, Bodies]:
    found = Rounds(syncs={kind: [] for kind in stage.databases})
    asked = _requests_of_a_sync(stage, canvas)
    same, full = (read_bodies(canvas, asked, all_fields=all_fields) for all_fields in (False, True))
    for number in range(rounds):
        wait_a_moment()
        found.decode_us.append(same.decode_us())
        found.full_decode_us.append(full.decode_us())
        before = canvas.cpu_seconds()
        found.null.append(
            measure("null_client", url=canvas.url, token=canvas.token, targets=asked, in_flight=IN_FLIGHT)
        )
        found.canvas_cpu.append(canvas.cpu_seconds() - before)
        for kind in stage.databases:
            with stage.fresh(kind) as name:
                wait_a_moment()
                found.syncs[kind].append(_sync(stage, kind, name, "full"))
                if second and number == rounds - 1:
                    found.second[kind] = {
                        mode: _sync(stage, kind, name, mode) for mode in ("full", "incremental")
                    }
    return found, same, full


def _requests_of_a_sync(stage: Stage, canvas: CanvasProcess) -> list[str]:
    """Sync once, unmeasured, and return what it asked for; the sandbox has made its data then, too."""
    kind = next(iter(stage.databases))
    canvas.clear_requests()
    with stage.fresh(kind) as name:
        _sync(stage, kind, name, "full")
    return targets(canvas.requests())


def _sync(stage: Stage, kind: str, name: str, mode: str) -> dict[str, Any]:
    result: dict[str, Any] = stage.measure(kind, name, "sync", models=MODELS, mode=mode)
    if result["run"]["sync_status"] != "completed":
        raise RuntimeError(f"A measured sync is {result['run']['sync_status']}: no figures from it.")
    return result


def _figures(size: str, found: Rounds, same: Bodies, full: Bodies) -> Iterator[Figure]:
    part = f"end to end, {size}"
    null = [sample["wall"] for sample in found.null]
    yield Figure(part, "null client, wall", "s", tuple(null))
    yield Figure(part, "null client, CPU", "s", tuple(sample["cpu"] for sample in found.null))
    yield Figure(part, "sandbox, CPU while the null client reads", "s", tuple(found.canvas_cpu))
    yield Figure(
        part, f"orjson, a submission as asked for ({same.bytes_each:.0f} bytes)", "µs", tuple(found.decode_us)
    )
    yield Figure(
        part,
        f"orjson, a submission with all fields ({full.bytes_each:.0f} bytes)",
        "µs",
        tuple(found.full_decode_us),
    )
    for kind, syncs in found.syncs.items():
        yield from _of_database(part, size, KINDS[kind][0], kind, syncs, null, found)


def _of_database(
    part: str,
    size: str,
    label: str,
    kind: str,
    syncs: list[dict[str, Any]],
    null: list[float],
    found: Rounds,
) -> Iterator[Figure]:
    walls = [sync["wall"] for sync in syncs]
    cpu_us = [sync["cpu"] / sync["run"]["submissions"]["processed"] * 1e6 for sync in syncs]
    calibrated = [
        us * REFERENCE_DECODE_US / decode for us, decode in zip(cpu_us, found.full_decode_us, strict=True)
    ]
    yield Figure(part, f"{label}: wall", "s", tuple(walls))
    yield Figure(part, f"{label}: wall / null client", "×", ratios(walls, null), WALL_TARGETS.get(size))
    yield Figure(part, f"{label}: client CPU a submission, here", "µs", tuple(cpu_us))
    yield Figure(part, f"{label}: client CPU / orjson decode", "×", ratios(cpu_us, found.decode_us))
    target = CPU_TARGETS_US[kind] if size in WALL_TARGETS else None
    yield Figure(
        part, f"{label}: client CPU a submission, at 1.3 µs a decode", "µs", tuple(calibrated), target
    )
    yield Figure(
        part, f"{label}: peak memory", "MB", tuple(sync["peak_mb"] for sync in syncs), PEAK_TARGET_MB
    )
    for mode, sync in found.second.get(kind, {}).items():
        requests = sync["run"]["api_metrics"]["calls_made"]
        yield Figure(part, f"{label}: second sync, {mode}, wall ({requests} requests)", "s", (sync["wall"],))


def run_large(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Sync a million submissions, once: memory that grows with the rows shows here."""
    with CanvasProcess(stage.folder, "small" if quick else "campus") as canvas:
        stage.connect(canvas)
        for kind in stage.databases:
            with stage.fresh(kind) as name:
                result = _sync(stage, kind, name, "full")
            rows = result["run"]["submissions"]["processed"]
            what = f"{KINDS[kind][0]}: peak memory, {rows:,} submissions"
            yield Figure("memory", what, "MB", (result["peak_mb"],), PEAK_TARGET_MB)
