"""A users.csv read by a bare `csv.reader` loop, or parsed with all checks."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from bench.children.process import answer, peak_memory_mb, read_options, spending
from parselogs.parsers import Finding, Upload, parse


class Counting:
    """A report that counts."""

    def __init__(self) -> None:
        self.rows = self.findings = 0

    def begin_file(self, *_: str) -> None:
        """Take note of nothing."""

    def finding(self, finding: Finding) -> None:
        """Count a finding."""
        self.findings += 1

    def progress(self, read: int, accepted: int, rejected: int) -> None:
        """Take note of nothing."""

    def end_file(self, read: int, accepted: int, rejected: int) -> None:
        """Count the rows."""
        self.rows += read


def bare(file: Path) -> Counting:
    """Read the rows and drop them."""
    counted = Counting()
    with open(file, newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        next(reader)
        for _ in reader:
            counted.rows += 1
    return counted


def parsed(file: Path) -> Counting:
    """Parse the file."""
    counted = Counting()
    parse(Upload(file.name, file.stat().st_size, lambda: file.open("rb")), counted)
    return counted


def main() -> None:
    """Do one of the two with `file`; print seconds, memory, rows and findings."""
    options: dict[str, Any] = read_options(with_django=False)
    with spending() as spent:
        counted = {"bare": bare, "parsed": parsed}[options["how"]](Path(options["file"]))
    answer(
        {
            "wall": spent.wall,
            "cpu": spent.cpu,
            "peak_mb": peak_memory_mb(),
            "rows": counted.rows,
            "findings": counted.findings,
        }
    )


if __name__ == "__main__":
    main()
