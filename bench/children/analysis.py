"""The analyser, measured: a folder counted with one core or with all; nothing is printed but the figures."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from bench.children.process import answer, peak_memory_mb, read_options, spending
from logmonitor.analysis.engine import analyse
from logmonitor.analysis.selection import Selection


def main() -> None:
    """Count `folder` on `cores` cores; print seconds, lines and the most memory of all processes together."""
    options = read_options(with_django=False)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options["cores"]])
    with spending() as spent:
        found = analyse(Path(options["folder"]), Selection())
    # The mark of children is that of the largest; each began as a copy of this process.
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024 * (options["cores"] - 1)
    answer(
        {
            "wall": spent.wall,
            "cpu": spent.cpu,
            "lines": sum(counted.lines for counted in found.counts.values()),
            "peak_mb": peak_memory_mb() + children,
        }
    )


if __name__ == "__main__":
    main()
