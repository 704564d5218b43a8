"""A report that keeps everything, and short ways to upload bytes and archives."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from parselogs.parsers import CODES, Finding, Upload, parse


@dataclass
class Collected:
    """What one parse reported, checked for consistency on the way."""

    findings: list[Finding] = field(default_factory=list)
    files: list[tuple[str, ...]] = field(default_factory=list)
    counts: list[tuple[int, int, int]] = field(default_factory=list)
    total: tuple[int, int, int] = (0, 0, 0)

    def begin_file(self, *began: str) -> None:
        assert len(self.files) == len(self.counts), "a file begins within another"
        self.files.append(began)

    def finding(self, finding: Finding) -> None:
        assert finding.code in CODES or finding.declared
        assert finding.row is None or finding.row >= 1
        self.findings.append(finding)

    def progress(self, read: int, accepted: int, rejected: int) -> None:
        assert read == accepted + rejected
        assert accepted >= 0
        assert rejected >= 0
        self.total = (read, accepted, rejected)

    def end_file(self, read: int, accepted: int, rejected: int) -> None:
        assert read == accepted + rejected
        self.counts.append((read, accepted, rejected))

    @property
    def codes(self) -> list[str]:
        return [finding.code for finding in self.findings]

    def places(self, code: str) -> list[tuple[int | None, str | None]]:
        """Return (row, column) of each finding of a code."""
        return [(finding.row, finding.column) for finding in self.findings if finding.code == code]


class Forwards(io.RawIOBase):
    """A stream as a storage may give it: small reads, no way back."""

    def __init__(self, data: bytes, at_most: int) -> None:
        self._inner, self._at_most = io.BytesIO(data), at_most

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._inner.read(self._at_most if size < 0 else min(size, self._at_most))


def collect(content: bytes | str, name: str = "file.csv", *, at_most: int = 0, **options: Any) -> Collected:
    """Parse a file of this content; with `at_most` its stream gives so many bytes at a time."""
    data, report = content.encode() if isinstance(content, str) else content, Collected()

    def opened() -> BinaryIO:
        return Forwards(data, at_most) if at_most else io.BytesIO(data)  # type: ignore[return-value]

    parse(Upload(name, len(data), opened), report, **options)
    assert len(report.files) == len(report.counts)
    assert tuple(map(sum, zip(*report.counts, strict=True))) in ((), report.total)
    return report


def archive(entries: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive of these entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as writer:
        for name, content in entries.items():
            writer.writestr(name, content)
    return buffer.getvalue()
