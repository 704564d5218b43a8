"""The timeline on a run's page: which step took how long, and where the run spent its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.safestring import SafeString

from syncmetrics.display import PLAIN, STEP_COLOURS, badge, duration, number
from syncmetrics.models import SyncRun, SyncStep
from syncmetrics.progress import COURSE

STEPS_SHOWN = 25
"""The longest ones; a run over a whole institution has thousands."""

MUCH = 0.5
"""From this share of a run's time on, something is named as its cause."""

ALONE = 0.25
"""So much of a run is long for one course to be read with nothing beside it."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A step in the timeline: where it begins and how wide it is, in percent of the run."""

    title: str
    state: SafeString
    begins: SafeString | str
    took: SafeString | str
    left: float
    width: float


def timeline_of(run: SyncRun) -> dict[str, Any]:
    """Return what the run's page shows of its time: `bars`, `facts` as (what, how much, meaning), `verdict`.

    `bars` are the longest steps in the order in which they began; `left_out` says how many others there are.
    """
    end = run.sync_end_time or timezone.now()
    seconds = max((end - run.sync_start_time).total_seconds(), 0.001)
    begun = run.steps.filter(started_at__isnull=False)
    longest = list(begun.annotate(took=_took(end)).order_by("-took", "position")[:STEPS_SHOWN])
    return {
        "bars": [_bar(run, step, seconds) for step in sorted(longest, key=_beginning)],
        "left_out": begun.count() - len(longest),
        "facts": list(_facts(run, seconds)),
        "verdict": _verdict(run, seconds),
    }


def _took(end: datetime) -> Any:
    # A step that the run's end cut short has no end of its own.
    ended = Coalesce(F("ended_at"), Value(end), output_field=DateTimeField())
    return ExpressionWrapper(ended - F("started_at"), output_field=DurationField())


def _beginning(step: SyncStep) -> tuple[datetime, int]:
    return (step.started_at or step.run.sync_start_time, step.position)


def _bar(run: SyncRun, step: Any, seconds: float) -> Bar:
    after = max((step.started_at - run.sync_start_time).total_seconds(), 0.0)
    took = max(step.took.total_seconds(), 0.0)
    left = min(100 * after / seconds, 100.0)
    return Bar(
        title=step.title or step.key,
        state=badge(step.get_state_display(), STEP_COLOURS.get(step.state, PLAIN)),
        begins=duration(after),
        took=duration(took),
        left=round(left, 2),
        width=round(min(100 * took / seconds, 100.0 - left), 2),
    )


def _facts(run: SyncRun, seconds: float) -> Iterator[tuple[str, Any, str]]:
    if run.queued_at:
        waited = (run.sync_start_time - run.queued_at).total_seconds()
        yield "Waited for a worker", duration(max(waited, 0.0)), "before it began; no part of the run"
    yield "The run", duration(seconds), "from its beginning to its end"
    yield (
        "At work in the database",
        duration(run.db_duration_ms / 1000),
        f"{_percent(run.db_duration_ms / 1000 / seconds)} of the run, {number(run.db_operations)} statements",
    )
    if run.api_calls_made:
        yield (
            "Waiting for Canvas's answers",
            duration(run.total_api_duration_ms / 1000),
            f"added up over requests side by side: {_in_flight(run, seconds)} in flight on average, "
            f"{_mean_ms(run)} each",
        )
        yield (
            "Held back before asking",
            duration(run.api_wait_ms / 1000),
            f"added up likewise: {number(run.api_rate_limit_hits)} refused for the rate limit, "
            f"{number(_repeated(run))} others made again after they failed",
        )


def _verdict(run: SyncRun, seconds: float) -> str:
    """Return in a sentence what took the time; empty where too little is known."""
    if not run.api_calls_made:
        return ""
    asked = run.api_wait_ms + run.total_api_duration_ms
    database = run.db_duration_ms / 1000 / seconds
    if asked and run.api_wait_ms / asked >= MUCH:
        return (
            "Canvas held this run back: requests waited longer for their turn, after refusals and failures, "
            "than for answers. See whether another program uses the same token, and whether Canvas is well."
        )
    if database >= MUCH:
        return f"The database was the limit: it was at work for {_percent(database)} of the run."
    last, alone = _last_alone(run, seconds)
    if last and alone >= ALONE:
        return f"One course was the limit: for the last {_percent(alone)} of the run only {last} was read."
    in_flight = _in_flight(run, seconds)
    return f"Canvas's answers were the limit: {_mean_ms(run)} each, {in_flight} in flight on average."


def _last_alone(run: SyncRun, seconds: float) -> tuple[str, float]:
    """Return the course that ended last, and for which share of the run it was the only step at work."""
    ended = run.steps.filter(ended_at__isnull=False).order_by("-ended_at")
    ends: list[Any] = list(ended.values_list("key", "title", "started_at", "ended_at")[:2])
    if len(ends) < 2 or not ends[0][0].startswith(COURSE):
        return "", 0.0
    (key, title, started, end), (*_, before) = ends
    since = max(filter(None, (started, before)))
    return title or key, (end - since).total_seconds() / seconds


def _repeated(run: SyncRun) -> int:
    return max(run.api_retries - run.api_rate_limit_hits, 0)


def _percent(share: float) -> str:
    return f"{number(round(100 * share))} %"


def _mean_ms(run: SyncRun) -> str:
    return f"{number(round(run.total_api_duration_ms / run.api_calls_made))} ms"


def _in_flight(run: SyncRun, seconds: float) -> str:
    return number(round(run.total_api_duration_ms / 1000 / seconds, 1))
