"""Parsers of the CSV files people upload: pure, streaming, declared as tables; `parse` is the way in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from parselogs.parsers.archive import SIGNATURES, Archive
from parselogs.parsers.findings import CODES, Code, Finding, Report, Severity
from parselogs.parsers.limits import Limits
from parselogs.parsers.parser import Parser, TableParser
from parselogs.parsers.reading import CsvFile, Reading, shown
from parselogs.parsers.registry import DEFAULT, Registry

__all__ = [
    "CODES",
    "DEFAULT",
    "Code",
    "Finding",
    "Limits",
    "Parser",
    "Registry",
    "Report",
    "Severity",
    "TableParser",
    "Upload",
    "parse",
]


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file. `open` is called more than once; its streams are read forwards only, and closed."""

    name: str
    size: int
    open: Callable[[], BinaryIO]


def parse(
    upload: Upload,
    report: Report,
    *,
    limits: Limits | None = None,
    registry: Registry = DEFAULT,
    self_contained: bool = False,
) -> None:
    """Read one uploaded file, a CSV or a zip archive of CSVs, and report what is found.

    Nothing the file holds raises; errors of the storage and the system do, and whatever the report raises.
    With `self_contained` the rows of an archive may refer to nothing outside of it.
    """
    reading = Reading(report, registry, limits or Limits(), self_contained)
    if _signature(upload) in SIGNATURES:
        with upload.open() as stream:
            Archive(upload.name, reading).read(stream)
    elif upload.size and upload.name.lower().endswith(".zip"):
        report.finding(Finding("archive_damaged", shown(upload.name)))
    else:
        with upload.open() as stream:
            file = CsvFile(upload.name, stream, reading)
            file.read(file.recognise())


def _signature(upload: Upload) -> bytes:
    with upload.open() as stream:
        start = b""
        while len(start) < 4 and (data := stream.read(4 - len(start))):
            start += data
        return start
