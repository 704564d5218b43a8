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
    """What a piece of work took: seconds of wall, and of CPU here and in processes that ended meanwhile."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def spending() -> Iterator[Spent]:
    """Measure a piece of work; the result is filled in at its end."""
    spent, wall, cpu = Spent(), time.perf_counter(), _cpu_seconds()
    yield spent
    spent.wall, spent.cpu = time.perf_counter() - wall, _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def read_options(*, with_django: bool = True) -> dict[str, Any]:
    """Return the options of this process; sets Django up first."""
    if with_django:
        django.setup()
    options: dict[str, Any] = json.load(sys.stdin)
    return options


def answer(values: Mapping[str, Any]) -> None:
    """Print the one line the benchmark reads."""
    print(json.dumps(values))


def peak_memory_mb(process: int | str = "self") -> float:
    """Return the most memory a process has had resident.

    Linux's own mark, because `ru_maxrss` is inherited from the process that started us.
    """
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
