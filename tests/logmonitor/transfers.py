"""Lines of transfer logs to test with: rows of the table of lines, added up as the tailer does it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from logmonitor.models import LogLine, LogSource, Segment
from logmonitor.transfers import rollup
from logmonitor.transfers.lines import Line

_numbers = count(1)


def make_source(name: str = "sftp", **changes: Any) -> LogSource:
    """Return a source with one segment."""
    source = LogSource.objects.create(name=name, folder=f"/srv/{name}", **changes)
    Segment.objects.create(source=source, path="sftpgo.log", head_len=1, head=b"x")
    return source


def line_of(source: LogSource, at: datetime, **changes: Any) -> Line:
    """Return a line that ends at an instant: an upload by alice of 1,000 bytes in 100 ms, if not changed."""
    segment = changes.pop("segment", None) or Segment.objects.filter(source=source).earliest("pk")
    at = at.astimezone(UTC)
    values = {
        "id": segment.pk << 41 | next(_numbers) * 400 << 1,
        "source_id": source.pk,
        "at": at.replace(tzinfo=None).isoformat(" ", "microseconds"),
        "day": str(at.astimezone(ZoneInfo(source.time_zone)).date()),
        "kind": "transfer",
        "sender": "Upload",
        "level": "info",
        "username": "alice",
        "address": "192.0.2.7",
        "protocol": "SFTP",
        "outcome": "succeeded",
        "size_bytes": 1_000,
        "elapsed_ms": 100,
        "path": "/data/report.csv",
        "target_path": "",
        "connection_id": "SFTP_1_1",
        "message": "",
        "flags": 0,
    }
    return Line(**(values | changes))


def store(lines: list[Line]) -> None:
    """Store lines and add them to their days, in one transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        LogLine.objects.bulk_create(LogLine(**_columns(line)) for line in lines)
        rollup.add(cursor, lines)


def _columns(line: Line) -> dict[str, Any]:
    at = datetime.fromisoformat(line.at).replace(tzinfo=UTC)
    return line._asdict() | {"at": at}


def days_ago(days: float, now: datetime | None = None) -> datetime:
    """Return the instant so many days ago."""
    return (now or datetime.now(UTC)) - timedelta(days=days)
