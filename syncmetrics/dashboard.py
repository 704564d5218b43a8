"""The dashboard's figures: a range of days cut into points, the charts drawn of them, runs at work now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.utils.safestring import SafeString

from syncmetrics.display import NOTHING, duration, number
from syncmetrics.figures import ENDS, MERGED, Figures
from syncmetrics.models import SyncDay, SyncRun, SyncStep
from syncmetrics.progress import COURSE

DAYS = 30
"""How many days are shown where nobody asks for others."""

QUICK_DAYS = (7, 30, 90, 365)
MOST_DAYS = 1830
"""Five years: more would be too many points to see anything."""

DAYS_AS_POINTS = 100
"""Longer ranges are shown by week."""

ENTITIES_SHOWN = 6
STEPS_SHOWN = 8


# --- what is asked for ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Span:
    """Days from `first` to `last`, both included; `asked` is how many days up to today, if so asked for."""

    first: date
    last: date
    asked: int | None = None

    @property
    def days(self) -> int:
        """How many days there are."""
        return (self.last - self.first).days + 1

    @property
    def by_week(self) -> bool:
        """Whether a point stands for a week."""
        return self.days > DAYS_AS_POINTS

    @classmethod
    def until(cls, today: date, days: int = DAYS) -> Span:
        """Return the last so many days, today included."""
        return cls(today - timedelta(days=days - 1), today, days)


def parse_span(query: Mapping[str, str], today: date) -> Span:
    """Return the days that an address asks for: `from` and `to`, or `days`, else the last 30.

    Raises ValueError with a sentence for people when it asks for no such thing.
    """
    if not (query.get("from") or query.get("to")):
        return Span.until(today, _days(query.get("days") or str(DAYS)))
    last = min(_date(query["to"]), today) if query.get("to") else today
    first = _date(query["from"]) if query.get("from") else last - timedelta(days=DAYS - 1)
    if first > last:
        raise ValueError("The first day is after the last one: choose them the other way round.")
    if (last - first).days >= MOST_DAYS:
        raise ValueError(f"Choose at most {MOST_DAYS:,} days.")
    return Span(first, last)


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MOST_DAYS):
        raise ValueError(f"The number of days is 1 to {MOST_DAYS:,}.")
    return int(text)


def _date(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise ValueError("Write days as 2026-01-31.") from None
    if found.year < 2000:
        raise ValueError("Choose days since 2000.")
    return found


# --- what the days come to ------------------------------------------------------------------------


@dataclass(slots=True)
class Point:
    """A day, or a week, of a chart."""

    label: str
    figures: Figures = field(default_factory=Figures)


@dataclass(slots=True)
class History:
    """What the runs of a span came to: in all, by point of a chart, and by key of a connection."""

    total: Figures
    points: list[Point]
    by_week: bool
    connections: dict[int, Figures]


def read_history(days: QuerySet[SyncDay], span: Span) -> History:
    """Read the days of a span in one query. `days` are those that may be seen and are asked for."""
    starts = _starts(span)
    points = {start: Point(f"{start:%Y-%m-%d}") for start in starts}
    history = History(Figures(), list(points.values()), span.by_week, defaultdict(Figures))
    rows = days.filter(day__gte=span.first, day__lte=span.last).order_by()
    cells: dict[tuple[date, int], Figures] = defaultdict(Figures)
    for row in rows.values("day", "connection_key", *MERGED).iterator(chunk_size=2000):
        start = max(_week(row["day"]), span.first) if span.by_week else row["day"]
        cells[start, row["connection_key"]].add(row)
    for (start, connection), cell in cells.items():
        columns = cell.columns()
        for figures in (history.total, points[start].figures, history.connections[connection]):
            figures.add(columns)
    return history


def _starts(span: Span) -> list[date]:
    days = [span.first + timedelta(days=offset) for offset in range(span.days)]
    return [day for day in days if day == span.first or not span.by_week or day == _week(day)]


def _week(day: date) -> date:
    return day - timedelta(days=day.weekday())


# --- the charts -----------------------------------------------------------------------------------

Value = Callable[[Figures], float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one part of the bars. A second axis is at the right; `unit` is s, ms, % or nothing."""

    label: str
    value: Value
    unit: str = ""
    kind: str = "line"
    second_axis: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: what it is called, what to know about it, what is drawn (of all figures of the span)."""

    name: str
    title: str
    note: str
    series: Callable[[Figures], tuple[Series, ...]]

    def draw(self, history: History) -> dict[str, Any]:
        """Return the chart as the page's script takes it, and the table of the same figures, newest first."""
        series = self.series(history.total)
        first_header = "week from" if history.by_week else "day"
        values = [[_value(one, point.figures) for point in history.points] for one in series]
        rows = [
            [point.label, *(_cell(one, column[place]) for one, column in zip(series, values, strict=True))]
            if point.figures.ended
            else [point.label, "no sync", *[NOTHING] * (len(series) - 1)]
            for place, point in enumerate(history.points)
        ]
        return {
            "name": self.name,
            "script": f"chart-{self.name}",
            "title": self.title,
            "note": self.note,
            "table": {"headers": [first_header, *(_header(one) for one in series)], "rows": rows[::-1]},
            "data": {
                "labels": [point.label for point in history.points],
                "empty": [not point.figures.ended for point in history.points],
                "series": [
                    {
                        "label": one.label,
                        "unit": one.unit,
                        "kind": one.kind,
                        "secondAxis": one.second_axis,
                        "values": column,
                    }
                    for one, column in zip(series, values, strict=True)
                ],
            },
        }


def _value(series: Series, figures: Figures) -> float | None:
    value = series.value(figures) if figures.ended else None
    return None if value is None else round(value, 3)


def _cell(series: Series, value: float | None) -> SafeString | str:
    if value is None:
        return NOTHING
    return duration(value) if series.unit == "s" else number(round(value, 1))


def _header(series: Series) -> str:
    return f"{series.label} ({series.unit})" if series.unit in ("ms", "%") else series.label


def _sum(column: str, *, scale: float = 1) -> Value:
    return lambda figures: figures.numbers[column] * scale


def _share(part: str, whole: str) -> Value:
    return lambda figures: (
        100 * figures.numbers[part] / figures.numbers[whole] if figures.numbers[whole] else None
    )


def _per_call(column: str) -> Value:
    return lambda figures: figures.per_call(column)


def _per_sync(*entities: str) -> Value:
    return lambda figures: sum(map(figures.counted, entities)) / figures.ended


def _not_completed(figures: Figures) -> float | None:
    rate = figures.success_rate
    return None if rate is None else 100 - rate


def _items(total: Figures) -> tuple[Series, ...]:
    """Return the entities of which most was read, and all others in one."""
    by_number = sorted(total.entities, key=lambda entity: (-total.counted(entity), entity))
    shown, rest = by_number[:ENTITIES_SHOWN], by_number[ENTITIES_SHOWN:]
    series = [Series(entity.replace("_", " "), _per_sync(entity), kind="bar") for entity in shown]
    return (*series, Series("others", _per_sync(*rest), kind="bar")) if rest else tuple(series)


CHARTS = (
    Chart(
        "duration",
        "How long syncs take",
        "Completed and partial runs, each figure within 1 %. The 95th percentile: 19 of 20 syncs are faster.",
        lambda total: (
            Series("median", lambda figures: figures.seconds(0.5), "s"),
            Series("95th percentile", lambda figures: figures.seconds(0.95), "s"),
        ),
    ),
    Chart(
        "outcomes",
        "How syncs end",
        "Error rate: the share of syncs that did not complete, whatever the reason.",
        lambda total: (
            *(Series(state, _sum(state), kind="bar") for state in ENDS),
            Series("error rate", _not_completed, "%", second_axis=True),
        ),
    ),
    Chart("items", "Items per sync", "Live records that Canvas listed, per sync, by what they are.", _items),
    Chart(
        "latency",
        "How fast Canvas answers",
        "Mean time of a request from sending to the last byte, and how long requests were held back before"
        " because Canvas had refused some or had failed.",
        lambda total: (
            Series("mean answer", _per_call("total_api_duration_ms"), "ms"),
            Series("mean held back", _per_call("api_wait_ms"), "ms"),
            Series("rate-limit hits", _sum("api_rate_limit_hits"), kind="bar", second_axis=True),
        ),
    ),
    Chart(
        "requests",
        "Requests, and how many fail",
        "A failed request gave no usable answer; most are made again and then succeed.",
        lambda total: (
            Series("requests", _sum("api_calls_made"), kind="bar"),
            Series("failed", _share("api_calls_failed", "api_calls_made"), "%", second_axis=True),
        ),
    ),
    Chart(
        "database",
        "Time in the database",
        "How long syncs were at work in the database, and the rows they wrote: new and changed ones.",
        lambda total: (
            Series("time in the database", _sum("db_duration_ms", scale=0.001), "s", kind="bar"),
            Series("rows written", _sum("db_rows_written"), second_axis=True),
        ),
    ),
)


def tiles(total: Figures) -> list[tuple[str, str | SafeString]]:
    """Return the figures above the charts: (what, how much)."""
    rate = total.success_rate
    mean = total.per_call("total_api_duration_ms")
    return [
        ("Syncs", number(total.ended)),
        ("Completed", NOTHING if rate is None else f"{number(round(rate, 1))} %"),
        ("Median duration", duration(total.seconds(0.5))),
        ("95th percentile", duration(total.seconds(0.95))),
        ("Requests", number(total.numbers["api_calls_made"])),
        ("Mean answer", NOTHING if mean is None else f"{number(round(mean, 1))} ms"),
        ("Rate-limit hits", number(total.numbers["api_rate_limit_hits"])),
        ("Rows written", number(total.numbers["db_rows_written"])),
    ]


CONNECTION_HEADERS = (
    "connection",
    "syncs",
    "completed",
    "median",
    "95th percentile",
    "requests",
    "rows written",
)


def connection_row(name: Any, figures: Figures) -> list[Any]:
    """Return a connection's row of the table below `CONNECTION_HEADERS`."""
    rate = figures.success_rate
    return [
        name,
        number(figures.ended),
        NOTHING if rate is None else f"{number(round(rate, 1))} %",
        duration(figures.seconds(0.5)),
        duration(figures.seconds(0.95)),
        number(figures.numbers["api_calls_made"]),
        number(figures.numbers["db_rows_written"]),
    ]


# --- now ------------------------------------------------------------------------------------------


def at_work(runs: QuerySet[SyncRun], page_of: Callable[[SyncRun], str]) -> list[dict[str, Any]]:
    """Return the runs at work, or queued, as the page's script draws them; `page_of` gives addresses.

    Ids are strings: browsers' numbers end at 2^53. `at_work` are the steps at work, the oldest first.
    """
    active = runs.filter(sync_end_time=None).order_by("sync_start_time", "pk").prefetch_related("counts")
    found = list(active[:50])
    courses = _courses(found)
    steps = _steps(found)
    return [
        {
            "id": str(run.pk),
            "url": page_of(run),
            "connection": run.connection_name,
            "state": run.get_sync_status_display(),
            "mode": run.get_mode_display(),
            "seconds": _seconds_since(run.sync_start_time),
            "courses_done": courses.get(run.pk, (0, 0))[0],
            "courses_total": courses.get(run.pk, (0, 0))[1],
            "rows": sum(count.processed for count in run.counts.all()),
            "requests": run.api_calls_made,
            "at_work": [_step(step) for step in steps[run.pk][:STEPS_SHOWN]],
        }
        for run in found
    ]


def _courses(runs: Iterable[SyncRun]) -> dict[int, tuple[int, int]]:
    counted = (
        SyncStep.objects.filter(run__in=[run.pk for run in runs], key__startswith=COURSE)
        .order_by()
        .values_list("run_id")
        .annotate(done=Count("pk", filter=Q(ended_at__isnull=False)), total=Count("pk"))
    )
    return {run: (done, total) for run, done, total in counted}


def _steps(runs: Iterable[SyncRun]) -> dict[int, list[SyncStep]]:
    found: dict[int, list[SyncStep]] = defaultdict(list)
    chosen = SyncStep.objects.filter(run__in=[run.pk for run in runs], state=SyncStep.State.IN_PROGRESS)
    for step in chosen.order_by("started_at", "position"):
        found[step.run_id].append(step)
    return found


def _step(step: SyncStep) -> dict[str, Any]:
    return {
        "title": step.title or step.key,
        "seconds": _seconds_since(step.started_at) if step.started_at else 0,
        "records": sum(count for count in step.counters.values() if isinstance(count, int)),
    }


def _seconds_since(moment: Any) -> int:
    return max(int((timezone.now() - moment).total_seconds()), 0)
