"""Log folders for the analyser's tests: lines of all events, written plain, compressed or into archives."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from easel.events import EVENTS
from logmonitor.analysis.engine import analyse
from logmonitor.analysis.report import report
from logmonitor.analysis.selection import Selection

BEGIN = datetime(2026, 11, 22, 8, tzinfo=UTC)
NEUTRAL: dict[str, Any] = {
    "status": 200,
    "method": "GET",
    "path": "courses/1/sections",
    "message": "No.",
    "course": None,
    "records": {},
}
WORDS = {"entity", "step", "mode", "sync_type", "trigger", "state", "error_class"}
FLAGS = {"paginated", "throttled", "retried", "failed", "dry_run"}


def line(
    event: str, *, at: float = 0.0, run: int | None = 1, user: int | None = None, **fields: Any
) -> bytes:
    """Return a line with all declared fields, `at` seconds after BEGIN."""
    declared = EVENTS[event].fields
    assert fields.keys() <= declared.keys(), f"{event} has no {fields.keys() - declared.keys()}"
    stamp = (BEGIN + timedelta(seconds=at)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    common = {"ts": stamp, "level": "INFO", "event": event, "run": run, "connection": "main", "user": user}
    own = {name: _neutral(event, name) for name in declared} | fields
    return json.dumps(common | own).encode() + b"\n"


def _neutral(event: str, name: str) -> Any:
    if name in FLAGS:
        return False
    if name in WORDS or (event, name) == ("sync_ended", "status"):
        return ""
    return NEUTRAL.get(name, 0)


def request(at: float = 0.0, **fields: Any) -> bytes:
    """Return a line of api_calls.log."""
    return line("request", at=at, **fields)


def requests(number: int, start: int = 0) -> bytes:
    """Return so many different lines of api_calls.log."""
    return b"".join(request(at=index, duration_ms=float(index)) for index in range(start, start + number))


def write(folder: Path, name: str, content: bytes) -> Path:
    """Write a file of the folder; gzip it when its name says so."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return file


def write_archive(folder: Path, name: str, contents: Iterable[tuple[str, bytes]]) -> Path:
    """Write a tar.gz under `archive/` with these files in it."""
    file = folder / "archive" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz") as archive:
        for member, content in contents:
            about = tarfile.TarInfo(member)
            about.size, about.mtime = len(content), 1234567890.5  # type: ignore[assignment]
            archive.addfile(about, io.BytesIO(content))
    return file


def analysed(folder: Path, *, top: int = 10, **selection: Any) -> dict[str, Any]:
    """Return the report on a folder."""
    chosen = Selection(**selection)
    return report(analyse(folder, chosen), str(folder), chosen, top, BEGIN)


def calls(folder: Path) -> int:
    """Return how many requests are counted in a folder."""
    return int(analysed(folder)["api"]["calls"])


def problems(folder: Path) -> dict[str, int]:
    """Return what is wrong in a folder: kind to number."""
    return dict(analysed(folder)["input"]["problems"])
