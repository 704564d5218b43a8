"""An incremental sync after a few edits: it writes what changed and asks for little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.end_to_end import MODELS
from bench.figures import Figure
from bench.stage import KINDS, CanvasProcess, Stage

EDITS = ("grade", "submit") * 5
SHARE_TARGET = 0.20


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Sync `small` in full, make ten edits that filters show, sync incrementally: counts, no times."""
    for kind in stage.databases:
        with CanvasProcess(stage.folder, "small") as canvas:
            stage.connect(canvas)
            yield from _figures(stage, canvas, kind)


def _figures(stage: Stage, canvas: CanvasProcess, kind: str) -> Iterator[Figure]:
    with stage.fresh(kind) as name:
        canvas.clear_requests()
        stage.measure(kind, name, "sync", models=MODELS, mode="full")
        full = _submission_requests(canvas)
        changed = {(change["resource"], change["id"]) for change in canvas.edit(*EDITS)}
        canvas.clear_requests()
        second = stage.measure(kind, name, "sync", models=MODELS, mode="incremental")
        asked = _submission_requests(canvas)
    label = KINDS[kind][0]
    expected = sum(resource in MODELS for resource, _ in changed)
    too_many = second["run"]["database"]["rows_written"] - expected
    yield Figure("incremental, small", f"{label}: rows changed", "", (expected,))
    yield Figure("incremental, small", f"{label}: rows written beyond those", "", (abs(too_many),), 0)
    what = f"{label}: submission requests / full sync's"
    yield Figure("incremental, small", what, "×", (asked / full,), SHARE_TARGET)


def _submission_requests(canvas: CanvasProcess) -> int:
    def counts(request: dict[str, Any]) -> bool:
        return str(request["path"]).endswith("/students/submissions")

    return sum(map(counts, canvas.requests()))
