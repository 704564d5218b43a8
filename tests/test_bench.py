"""The benchmarks run: one quick round of the writer's, figures kept, no times judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.installation import ROOT


def figures_of(part: str, folder: Path) -> dict[str, Any]:
    """Run one part quickly; return its figures by what they are of."""
    output = folder / "figures.json"
    arguments = ["--quick", "--only", part, "--databases", "sqlite", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {figure["what"]: figure for figure in json.loads(output.read_text())["figures"]}


def test_quick_writer_benchmark_keeps_its_figures(tmp_path: Path) -> None:
    figures = figures_of("writer", tmp_path)
    ratio = figures["SQLite: new rows / bare executemany"]
    assert ratio["target"] == 0.75
    assert ratio["median"] > 0


def test_quick_analyser_benchmark_keeps_its_figures(tmp_path: Path) -> None:
    figures = figures_of("analyser", tmp_path)
    targets = {what: figure["target"] for what, figure in figures.items() if figure["target"]}
    assert targets["one core / bare loop, CPU"] == 1.6
    assert targets["start of manage.py analyze_logs"] == 0.6
    assert all(figures[what]["median"] > 0 for what in targets)
