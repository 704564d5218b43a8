"""The same job by canvasapi and the ORM's update_or_create, on one course."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.end_to_end import LATENCY_MS, MODELS
from bench.figures import Figure, ratios
from bench.stage import KINDS, CanvasProcess, Stage, wait_a_moment


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Sync one course of `bench` both ways, each time into a fresh database."""
    size = "tiny" if quick else "bench"
    with CanvasProcess(stage.folder, size, latency_ms=LATENCY_MS, throttle=True) as canvas:
        stage.connect(canvas)
        for kind in stage.databases:
            yield from _figures(stage, canvas, kind, size, rounds)


def _figures(stage: Stage, canvas: CanvasProcess, kind: str, size: str, rounds: int) -> Iterator[Figure]:
    peers, ours = [], []
    for _ in range(rounds):
        peers.append(_measure(stage, kind, "canvasapi", url=canvas.url, token=canvas.token))
        course = peers[-1]["course"]
        ours.append(_measure(stage, kind, "sync", models=MODELS, mode="full", courses=[course]))
    rows, same = peers[0]["submissions"], ours[0]["run"]["submissions"]["processed"]
    if rows != same:
        raise RuntimeError(f"canvasapi stored {rows} submissions and Easel {same}: not the same job.")
    part, label = f"peer, one course of {size}", KINDS[kind][0]
    for name, samples in (("canvasapi + update_or_create", peers), ("Easel", ours)):
        yield Figure(part, f"{label}: {name}, wall", "s", tuple(sample["wall"] for sample in samples))
        per_row = tuple(sample["cpu"] / rows * 1e6 for sample in samples)
        yield Figure(part, f"{label}: {name}, client CPU a submission", "µs", per_row)
    for key, what in (("wall", "wall"), ("cpu", "client CPU")):
        quotients = ratios([peer[key] for peer in peers], [our[key] for our in ours])
        yield Figure(part, f"{label}: {what}, canvasapi / Easel", "×", quotients)


def _measure(stage: Stage, kind: str, module: str, **options: Any) -> dict[str, Any]:
    wait_a_moment()
    with stage.fresh(kind) as name:
        result: dict[str, Any] = stage.measure(kind, name, module, **options)
        return result
