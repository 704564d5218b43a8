"""What a measured process reads and prints, and how it measures itself."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django


@dataclass(slots=True)
class Spent:
    """What a piece of work took: seconds of wall and of this process's CPU."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def spending() -> Iterator[Spent]:
    """Measure a piece of work; the result is filled in at its end."""
    spent, wall, cpu = Spent(), time.perf_counter(), time.process_time()
    yield spent
    spent.wall, spent.cpu = time.perf_counter() - wall, time.process_time() - cpu


def read_options(*, with_django: bool = True) -> dict[str, Any]:
    """Return the options of this process; sets Django up first."""
    if with_django:
        django.setup()
    options: dict[str, Any] = json.load(sys.stdin)
    return options


def answer(values: Mapping[str, Any]) -> None:
    """Print the one line the benchmark reads."""
    print(json.dumps(values))


def peak_memory_mb() -> float:
    """Return the most memory this process has had resident.

    Linux's own mark, because `ru_maxrss` is inherited from the process that started us.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
