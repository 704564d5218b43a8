"""The parsers alone: users.csv with all checks against a bare `csv.reader` loop, and memory for each id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figures import Figure, ratios
from bench.stage import BenchError, Stage, measure

RATIO_TARGET = 3.0
BYTES_PER_ID_TARGET = 100.0
HEADER = (
    "user_id,login_id,authentication_provider_id,first_name,last_name,short_name,email,integration_id,status,"
    "pronouns,declared_user_type\n"
)


def run(stage: Stage, rounds: int, *, quick: bool = False) -> Iterator[Figure]:
    """Read 200,000 users both ways, turn about; then parse files of 1 MB and of 1 GB once."""
    rows = 5_000 if quick else 200_000
    file = write(stage.folder / "users.csv", rows)
    samples: dict[str, list[Any]] = {"bare": [], "parsed": []}
    for _ in range(rounds):
        for how, taken in samples.items():
            taken.append(measure("parsing", how=how, file=str(file)))
    if {(each["rows"], each["findings"]) for taken in samples.values() for each in taken} != {(rows, 0)}:
        raise BenchError("The parser and the bare loop did not see the same rows.")
    part = f"parsers, users.csv of {rows:,} rows ({file.stat().st_size // 10**6} MB), three ids a row"
    yield from _speeds(part, samples)
    yield from _memory(stage.folder, *((10_000, 60_000) if quick else (10_000, 10_000_000)))


def write(file: Path, rows: int) -> Path:
    """Write a users.csv without mistakes."""
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(HEADER)
        stream.writelines(
            f"U{n:08d},login{n:08d},,First{n % 977},Last{n % 1999},First Last,"
            f"login{n:08d}@campus.example.edu,I{n:08d},active,,student\n"
            for n in range(rows)
        )
    return file


def _speeds(part: str, samples: dict[str, list[Any]]) -> Iterator[Figure]:
    def of(name: str, key: str) -> tuple[float, ...]:
        return tuple(sample[key] for sample in samples[name])

    yield Figure(part, "bare csv.reader loop", "s", of("bare", "wall"))
    yield Figure(part, "with all checks", "s", of("parsed", "wall"))
    for key, what in (("wall", "checks / bare loop"), ("cpu", "checks / bare loop, CPU")):
        yield Figure(part, what, "×", ratios(of("parsed", key), of("bare", key)), RATIO_TARGET)


def _memory(folder: Path, few: int, many: int) -> Iterator[Figure]:
    peaks = []
    for rows in (few, many):
        file = write(folder / "many_users.csv", rows)
        peaks.append(measure("parsing", how="parsed", file=str(file))["peak_mb"])
        file.unlink()
    part = f"parsers, memory from {few:,} to {many:,} rows"
    yield Figure(part, "peak of the large file", "MB", (peaks[1],))
    per_id = (peaks[1] - peaks[0]) * 2**20 / (many - few)
    yield Figure(part, "more, for each row of three ids", "bytes", (per_id,), BYTES_PER_ID_TARGET)
