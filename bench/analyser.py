"""The log analyser alone: a million lines against a bare decode loop, and what other tools need for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.children import log_lines
from bench.figures import Figure, ratios
from bench.stage import ROOT, BenchError, Stage, inherited, measure

ONE_CORE_TARGET = 1.6
ALL_CORES_TARGET = 1.0
START_SECONDS_TARGET = 0.6
MEMORY_MB_TARGET = 150.0
COUNT_IN_DUCKDB = (
    'import duckdb; duckdb.sql("SELECT event, status, count(*), avg(duration_ms)'
    " FROM read_json_auto('{}', union_by_name=true) GROUP BY ALL\").fetchall()"
)


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Write the lines, then measure round by round: bare loop, one core, all cores, starts, other tools."""
    lines, folder, empty = 10_000 if quick else 1_000_000, stage.folder / "logs", stage.folder / "no_logs"
    log_lines.write(folder, lines)
    empty.mkdir()
    cores = min(len(os.sched_getaffinity(0)), 2)
    samples: dict[str, list[Any]] = {"bare": [], "one": [], "all": []}
    for _ in range(rounds):
        samples["bare"].append(measure("bare_decode", folder=str(folder)))
        samples["one"].append(measure("analysis", folder=str(folder), cores=1))
        samples["all"].append(measure("analysis", folder=str(folder), cores=cores))
    part = f"analyser, {lines:,} lines, {sum(file.stat().st_size for file in folder.iterdir()) // 10**6} MB"
    yield from _own(part, samples, cores)
    yield from _starts(part, empty, rounds)
    yield from _others(part, sorted(folder.iterdir()), rounds)


def _own(part: str, samples: dict[str, list[Any]], cores: int) -> Iterator[Figure]:
    def of(name: str, key: str) -> tuple[float, ...]:
        return tuple(sample[key] for sample in samples[name])

    if len({sample["lines"] for each in samples.values() for sample in each}) != 1:
        raise BenchError("The analyser and the bare loop did not see the same lines.")
    for name, what in (("bare", "bare decode loop"), ("one", "one core"), ("all", f"{cores} cores")):
        yield Figure(part, what, "s", of(name, "wall"))
    for name, what, target in (
        ("one", "one core / bare loop", ONE_CORE_TARGET),
        ("all", f"{cores} cores / bare loop", ALL_CORES_TARGET),
    ):
        yield Figure(part, what, "×", ratios(of(name, "wall"), of("bare", "wall")), target)
    yield Figure(
        part, "one core / bare loop, CPU", "×", ratios(of("one", "cpu"), of("bare", "cpu")), ONE_CORE_TARGET
    )
    yield Figure(part, f"memory of {cores} processes", "MB", of("all", "peak_mb"), MEMORY_MB_TARGET)


def _starts(part: str, empty: Path, rounds: int) -> Iterator[Figure]:
    """Measure both ways to start on a folder without lines; Django's own start is most of the second."""
    variables = inherited() | {"EASEL_VAR_DIR": str(empty.parent), "EASEL_ENV_FILE": os.devnull}
    commands = {
        "start of python -m logmonitor.analysis": ["-m", "logmonitor.analysis"],
        "start of manage.py analyze_logs": ["manage.py", "analyze_logs"],
        "start of manage.py check_links --help, for comparison": ["manage.py", "check_links", "--help"],
    }
    for what, command in commands.items():
        options = [] if "--help" in command else ["--log-dir", str(empty)]
        seconds = [_timed([sys.executable, *command, *options], variables) for _ in range(rounds)]
        target = None if "--help" in command else START_SECONDS_TARGET
        yield Figure(part, what, "s", tuple(seconds), target)


def _others(part: str, files: Sequence[Path], rounds: int) -> Iterator[Figure]:
    names = [str(file) for file in files]
    pattern = str(files[0].parent / "*.log")
    for tool, command in {
        "wc": ["wc", "-l", *names],
        "lnav": ["lnav", "-n", "-c", ";SELECT count(*) FROM all_logs", *names],
        "DuckDB": [sys.executable, "-c", COUNT_IN_DUCKDB.format(pattern)],
    }.items():
        if shutil.which(command[0]):
            yield Figure(part, f"{tool}, for comparison", "s", tuple(_timed(command) for _ in range(rounds)))


def _timed(command: Sequence[str], variables: dict[str, str] | None = None) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=variables or inherited(), capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{command[0]} failed:\n{done.stderr.strip()[-2000:]}")
    return time.perf_counter() - began
