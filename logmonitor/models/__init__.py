"""The tables of the transfer logs: sources, segments, lines, and what they add up to."""

from __future__ import annotations

from logmonitor.models.lines import LogLine
from logmonitor.models.rollups import AllTransfers, FailedLogins, UserTransfers
from logmonitor.models.sources import BadLine, Gap, LogSource, Segment

__all__ = [
    "AllTransfers",
    "BadLine",
    "FailedLogins",
    "Gap",
    "LogLine",
    "LogSource",
    "Segment",
    "UserTransfers",
]
