"""Figures of many runs added up: from the runs themselves or from their days, with the same result."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from syncmetrics.histogram import bucket_of, percentile
from syncmetrics.models import DayFigures, SyncRun
from syncmetrics.serializer import COUNTS

ENDS = ("completed", "partial", "failed", "cancelled", "lost")
"""The states a run ends in, each a column of a day."""

MEASURED = frozenset({"completed", "partial"})
"""Whose durations tell how long a sync takes: the others stopped early, or nobody knows when."""

COSTS = (
    "api_calls_made",
    "api_calls_failed",
    "total_api_duration_ms",
    "api_wait_ms",
    "api_rate_limit_hits",
    "api_retries",
    "db_operations",
    "db_duration_ms",
    "db_rows_written",
    "grades_processed",
)
"""What a run cost: columns of a run and, in whole numbers, of a day."""

NUMBERS = (*ENDS, "duration_ms", *COSTS)
MERGED = (*NUMBERS, "durations", "entities")
"""The columns of a day that add up."""


@dataclass(slots=True)
class Figures:
    """What some runs came to: `numbers` by column of a day, the histogram of durations, entities' counts."""

    numbers: Counter[str] = field(default_factory=Counter)
    durations: Counter[str] = field(default_factory=Counter)
    entities: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    first_start: datetime | None = None

    @classmethod
    def of_runs(cls, runs: Iterable[SyncRun]) -> Figures:
        """Add up runs that have ended; wants their counts prefetched."""
        figures = cls()
        for run in runs:
            figures.add_run(run)
        return figures

    def add_run(self, run: SyncRun) -> None:
        """Add one run that has ended."""
        self.numbers[run.sync_status] += 1
        for name in COSTS:
            self.numbers[name] += round(getattr(run, name))
        if run.sync_status in MEASURED and run.total_duration_seconds is not None:
            milliseconds = round(run.total_duration_seconds * 1000)
            self.numbers["duration_ms"] += milliseconds
            self.durations[bucket_of(milliseconds)] += 1
        for count in run.counts.all():
            self.entities[count.entity].update({name: getattr(count, name) for name in COUNTS})
        self.first_start = min(self.first_start or run.sync_start_time, run.sync_start_time)

    def add(self, columns: dict[str, Any]) -> None:
        """Add columns of a day, named as in `MERGED`."""
        self.numbers.update({name: columns[name] for name in NUMBERS})
        self.durations.update(columns["durations"])
        for entity, counts in columns["entities"].items():
            self.entities[entity].update(counts)

    def add_day(self, row: DayFigures) -> None:
        """Add what a row of a day holds already."""
        self.add({name: getattr(row, name) for name in MERGED})
        self.first_start = min(self.first_start or row.first_start, row.first_start)

    def columns(self) -> dict[str, Any]:
        """Return the columns of a day, in one spelling: zeros are left out of the JSON, keys are sorted."""
        entities = {name: _present(counts) for name, counts in sorted(self.entities.items())}
        return {
            **{name: self.numbers[name] for name in NUMBERS},
            "durations": _present(self.durations),
            "entities": {name: counts for name, counts in entities.items() if counts},
            "first_start": self.first_start,
        }

    @property
    def ended(self) -> int:
        """How many runs there are."""
        return sum(self.numbers[state] for state in ENDS)

    @property
    def measured(self) -> int:
        """How many of them went to their end, so that their durations say something."""
        return self.durations.total()

    @property
    def success_rate(self) -> float | None:
        """The share of completed runs among those that ended, in percent; None without any."""
        return 100 * self.numbers["completed"] / self.ended if self.ended else None

    @property
    def mean_seconds(self) -> float | None:
        """The mean duration of completed and partial runs."""
        return self.numbers["duration_ms"] / self.measured / 1000 if self.measured else None

    def seconds(self, share: float) -> float | None:
        """Return a percentile of the durations of completed and partial runs, to within 1 %."""
        milliseconds = percentile(self.durations, share)
        return None if milliseconds is None else milliseconds / 1000

    def per_call(self, column: str) -> float | None:
        """Return a cost per HTTP request."""
        calls = self.numbers["api_calls_made"]
        return self.numbers[column] / calls if calls else None

    def counted(self, entity: str, count: str = "processed") -> int:
        """Return a count of an entity."""
        return self.entities[entity][count] if entity in self.entities else 0


def _present(counts: Counter[str]) -> dict[str, int]:
    return {name: number for name, number in sorted(counts.items()) if number}
