"""The benchmarks run: one quick round of the writer's, figures kept, no times judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.installation import ROOT


def test_quick_writer_benchmark_keeps_its_figures(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    arguments = ["--quick", "--only", "writer", "--databases", "sqlite", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = {figure["what"]: figure for figure in json.loads(output.read_text())["figures"]}
    ratio = figures["SQLite: new rows / bare executemany"]
    assert ratio["target"] == 0.75
    assert ratio["median"] > 0
