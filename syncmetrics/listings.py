"""What the requests of a run took, by listing: gathered while it is at work, kept with it when it ends."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

from easel.paths import endpoint

MOST_LISTINGS = 100
"""A sync knows some thirty; what a site makes up beyond that counts together."""
OTHERS = "(others)"


@dataclass(slots=True)
class Listing:
    """The requests of one listing: how many, how many gave no usable answer, and times in milliseconds."""

    requests: int = 0
    failed: int = 0
    duration_ms: float = 0.0
    slowest_ms: float = 0.0
    wait_ms: float = 0.0


class Listings:
    """The listings of one run, by their path without ids. Safe under threads."""

    def __init__(self) -> None:
        self._found: dict[str, Listing] = {}
        self._lock = threading.Lock()

    def add(self, path: str, *, duration_ms: float, wait_ms: float, failed: bool) -> None:
        """Count one request: how long it took, for how long it was held back, whether it failed."""
        name = endpoint(path)
        with self._lock:
            if name not in self._found and len(self._found) >= MOST_LISTINGS:
                name = OTHERS
            one = self._found.setdefault(name, Listing())
            one.requests += 1
            one.failed += failed
            one.duration_ms += duration_ms
            one.wait_ms += wait_ms
            one.slowest_ms = max(one.slowest_ms, duration_ms)

    def as_json(self) -> dict[str, dict[str, Any]]:
        """Return what was counted, as a run keeps it."""
        with self._lock:
            return {name: _rounded(asdict(one)) for name, one in sorted(self._found.items())}


def _rounded(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 1) for name, value in columns.items()}
