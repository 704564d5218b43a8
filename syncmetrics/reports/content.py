"""What a report says: the figures of a period against the period before, days as charts, connections."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Max
from django.template.loader import render_to_string

from syncmetrics.alerts.messages import plain
from syncmetrics.figures import MERGED, Figures
from syncmetrics.models import Incident, SyncDay, SyncRun
from syncmetrics.reports.pictures import Series, bars

GREEN, RED, BLUE = (22, 128, 61), (190, 40, 40), (59, 91, 219)
NOTHING = "-"
MOST_INCIDENTS = 10
SMALL_COUNT = 100


@dataclass(frozen=True, slots=True)
class Period:
    """Whole UTC days, from `first` to before `end`, of a weekly or monthly report."""

    report: str
    first: date
    end: date

    @property
    def name(self) -> str:
        """The period in words."""
        if self.report == "monthly":
            return f"{self.first:%B %Y}"
        last = self.end - timedelta(days=1)
        return f"{self.first:%d %B} to {last:%d %B %Y}"

    @property
    def before(self) -> Period:
        """The period before."""
        return STARTS[self.report](self.first)

    @property
    def days(self) -> list[date]:
        """Its days."""
        return [self.first + timedelta(days=n) for n in range((self.end - self.first).days)]


def _week_before(day: date) -> Period:
    end = day - timedelta(days=day.weekday())
    return Period("weekly", end - timedelta(days=7), end)


def _month_before(day: date) -> Period:
    end = day.replace(day=1)
    return Period("monthly", (end - timedelta(days=1)).replace(day=1), end)


STARTS: Mapping[str, Callable[[date], Period]] = {"weekly": _week_before, "monthly": _month_before}
"""By report: the last period, Monday to Sunday or a calendar month, that ended by a day."""


def last_period(report: str, now: datetime) -> Period:
    """Return the period of a report that ended last; ValueError for a report there is not."""
    if report not in STARTS:
        raise ValueError(f"There is no {report!r} report: reports are {' and '.join(STARTS)}.")
    return STARTS[report](now.date())


@dataclass(frozen=True, slots=True)
class Line:
    """A figure of the report: its value, that of the period before, and the change in words."""

    label: str
    now: str
    before: str
    change: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture of bars, one per day, and what it says in words."""

    name: str
    title: str
    png: bytes
    words: str
    legend: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Content:
    """A whole report."""

    period: Period
    lines: tuple[Line, ...]
    charts: tuple[Chart, ...]
    connections: tuple[Mapping[str, Any], ...]
    incidents: tuple[Mapping[str, str], ...]
    more_incidents: int

    @property
    def title(self) -> str:
        """The subject of the mail."""
        return f"Easel: {self.period.report} report, {self.period.name}"

    def text(self) -> str:
        """Return the report as plain text."""
        return render_to_string("reports/report.txt", self._context())

    def html(self, pictures: Mapping[str, str] | None = None) -> str:
        """Return the report as HTML; `pictures` are their addresses by name, else they stand in the page."""
        inside = {
            chart.name: f"data:image/png;base64,{base64.b64encode(chart.png).decode()}"
            for chart in self.charts
        }
        addresses = pictures or inside
        charts = [(chart, addresses[chart.name]) for chart in self.charts]
        return render_to_string("reports/report.html", {**self._context(), "charts": charts})

    def _context(self) -> dict[str, Any]:
        return {
            "report": self,
            "days": len(self.period.days),
            "console_url": settings.CONSOLE_URL,
            "charts": [(chart, "") for chart in self.charts],
        }


def content_of(period: Period) -> Content:
    """Return the report of a period."""
    now, before = _rows(period), _rows(period.before)
    incidents = list(_incidents(period))
    return Content(
        period=period,
        lines=tuple(_lines(period, _total(now), _total(before))),
        charts=_charts(period, now),
        connections=tuple(_connections(now)),
        incidents=tuple(_incident(one) for one in incidents[:MOST_INCIDENTS]),
        more_incidents=max(len(incidents) - MOST_INCIDENTS, 0),
    )


def _rows(period: Period) -> list[dict[str, Any]]:
    days = SyncDay.objects.filter(day__gte=period.first, day__lt=period.end)
    return list(days.order_by("day").values("day", "connection_key", *MERGED))


def _total(rows: Iterable[Mapping[str, Any]]) -> Figures:
    figures = Figures()
    for row in rows:
        figures.add(dict(row))
    return figures


def _incidents(period: Period) -> Iterable[Incident]:
    return Incident.objects.filter(
        started_at__gte=_midnight(period.first), started_at__lt=_midnight(period.end)
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _incident(incident: Incident) -> dict[str, str]:
    began, ended = (when and f"{when:%d %b %H:%M}" for when in (incident.started_at, incident.ended_at))
    return {
        "what": incident.get_kind_display(),
        "about": plain(incident.about, 100),
        "when": f"{began} to {ended}" if ended else f"since {began}, still open",
    }


def _failed_share(figures: Figures) -> float | None:
    share = figures.per_call("api_calls_failed")
    return None if share is None else 100 * share


Value = float | int | None
FIGURES: tuple[tuple[str, Callable[[Figures], Value], str], ...] = (
    ("Syncs ended", lambda figures: figures.ended, ""),
    ("Completed", lambda figures: figures.numbers["completed"], ""),
    ("Partial", lambda figures: figures.numbers["partial"], ""),
    ("Failed", lambda figures: figures.numbers["failed"], ""),
    ("Lost", lambda figures: figures.numbers["lost"], ""),
    ("Cancelled", lambda figures: figures.numbers["cancelled"], ""),
    ("Success rate", lambda figures: figures.success_rate, "%"),
    ("Mean duration", lambda figures: figures.mean_seconds, "s"),
    ("95 of 100 syncs took at most", lambda figures: figures.seconds(0.95), "s"),
    ("Rows written", lambda figures: figures.numbers["db_rows_written"], ""),
    ("Courses processed", lambda figures: figures.counted("courses"), ""),
    ("Submissions processed", lambda figures: figures.counted("submissions"), ""),
    ("Grades processed", lambda figures: figures.numbers["grades_processed"], ""),
    ("Requests to Canvas", lambda figures: figures.numbers["api_calls_made"], ""),
    ("Failed requests", _failed_share, "%"),
    ("Refused for the rate limit", lambda figures: figures.numbers["api_rate_limit_hits"], ""),
)
"""The lines of a report: label, value, unit."""


def _lines(period: Period, now: Figures, before: Figures) -> Iterable[Line]:
    for label, value, unit in FIGURES:
        yield _line(label, value(now), value(before), unit)
    counts = [len(list(_incidents(one))) for one in (period, period.before)]
    yield _line("Incidents", counts[0], counts[1], "")


def _line(label: str, now: Value, before: Value, unit: str) -> Line:
    return Line(label, _words(now, unit), _words(before, unit), _change(now, before, unit))


def _words(value: Value, unit: str) -> str:
    if value is None:
        return NOTHING
    if unit == "s":
        return _length(value)
    return f"{value:,.1f} %" if unit else f"{value:,}"


def _length(seconds: float) -> str:
    """Return a length of time to two figures: `45 s`, `12 min 5 s`, `2 h 4 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes and rest else f"{minutes * 60 + rest} s"


def _change(now: Value, before: Value, unit: str) -> str:
    """Return a change: of shares in points, of small counts as a number, of all else in percent."""
    if now is None or before is None:
        return NOTHING
    if not round(now - before, 1):
        return "same"
    if unit == "%":
        return f"{now - before:+.1f} points"
    if not unit and max(now, before) < SMALL_COUNT:
        return f"{now - before:+,}"
    return f"{100 * (now - before) / before:+,.0f} %" if before else "new"


def _charts(period: Period, rows: list[dict[str, Any]]) -> tuple[Chart, ...]:
    days = {day: _total(row for row in rows if row["day"] == day) for day in period.days}
    completed = [figures.numbers["completed"] for figures in days.values()]
    others = [figures.ended - figures.numbers["completed"] for figures in days.values()]
    minutes = [(figures.mean_seconds or 0) / 60 for figures in days.values()]
    return (
        _chart(
            "syncs",
            "Syncs per day",
            f"{sum(completed):,} completed, {sum(others):,} not. The most on one day: "
            f"{max(map(sum, zip(completed, others, strict=True))):,}.",
            Series("completed", GREEN, completed),
            Series("on top: partial, failed, lost or cancelled", RED, others),
        ),
        _chart(
            "duration",
            "Mean duration per day",
            f"The longest: {max(minutes):,.1f} min.",
            Series("minutes", BLUE, minutes),
        ),
    )


def _chart(name: str, title: str, words: str, *series: Series) -> Chart:
    legend = tuple((f"#{bytes(one.colour).hex()}", one.name) for one in series)
    return Chart(name, title, bars(series), words, legend)


def _connections(rows: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Yield a line per connection, those that did worst first."""
    keys = sorted({row["connection_key"] for row in rows})
    runs = SyncRun.objects.filter(connection_key__in=keys).order_by()
    latest = runs.values("connection_key").annotate(last=Max("pk")).values("last")
    names = dict(SyncRun.objects.filter(pk__in=latest).values_list("connection_key", "connection_name"))
    found = {key: _total(row for row in rows if row["connection_key"] == key) for key in keys}
    for key in sorted(keys, key=lambda one: (found[one].success_rate or 0, one)):
        figures = found[key]
        yield {
            "name": plain(names.get(key) or (f"connection {key}" if key else "no connection"), 60),
            "ended": f"{figures.ended:,}",
            "success": _words(figures.success_rate, "%"),
            "mean": _words(figures.mean_seconds, "s"),
            "rows": _words(figures.numbers["db_rows_written"], ""),
        }
