"""The tables on a run's page: what it did to each kind of record, its steps, what it rejected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.utils import quote
from django.core.paginator import Page, Paginator
from django.db.models import Case, QuerySet, When
from django.urls import reverse
from django.utils.safestring import SafeString

from syncmetrics.display import (
    JOB_COLOURS,
    NOTHING,
    PLAIN,
    STEP_COLOURS,
    badge,
    duration,
    link,
    moment,
    number,
)
from syncmetrics.models import JobRun, SyncCount, SyncRejection, SyncRun, SyncStep
from syncmetrics.serializer import COUNTS, ENTITIES

ROWS_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class Part:
    """A table on the page: its title, the name of its page number in the address, headers and cells."""

    title: str
    name: str
    headers: tuple[str, ...]
    rows: Callable[[Any], QuerySet[Any] | Sequence[Any]]
    cells: Callable[[Any], list[Any]]
    note: str = ""

    def fill(self, subject: Any, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the table as the theme's templates take it, with the rows of the page asked for.

        `subject` is what the page is about: a sync run, say.
        """
        page = Paginator(self.rows(subject), ROWS_PER_PAGE).get_page(query.get(self.name))
        return {
            "title": self.title,
            "total": number(page.paginator.count),
            "name": self.name,
            "note": self.note,
            "table": {"headers": self.headers, "rows": [self.cells(row) for row in page]},
            "page": page,
            "pages": _page_numbers(page),
        }


def _page_numbers(page: Page[Any]) -> list[int | str]:
    if not page.has_other_pages():
        return []
    return list(page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1))


def _counts(run: SyncRun) -> list[SyncCount]:
    """Return the counts in the order of a sync."""
    order = {entity: position for position, entity in enumerate(ENTITIES)}
    return sorted(run.counts.all(), key=lambda count: order.get(count.entity, len(order)))


def _steps(run: SyncRun) -> QuerySet[SyncStep]:
    """Return the steps: failed ones first, then those at work."""
    urgency = Case(
        When(state=SyncStep.State.FAILED, then=0),
        When(state=SyncStep.State.IN_PROGRESS, then=1),
        default=2,
    )
    return run.steps.order_by(urgency, "position", "pk")


def _count_cells(count: SyncCount) -> list[Any]:
    return [_words(count.entity), *(number(getattr(count, name)) for name in COUNTS)]


def _step_cells(step: SyncStep) -> list[Any]:
    return [
        step.title or step.key,
        badge(step.get_state_display(), STEP_COLOURS.get(step.state, PLAIN)),
        number(step.attempts),
        ", ".join(f"{number(count)} {_words(name)}" for name, count in step.counters.items()) or NOTHING,
        step.error_message or step.note or NOTHING,
        moment(step.started_at),
        _took(step),
    ]


def _job_cells(job: JobRun) -> list[Any]:
    return [
        link(reverse("admin:syncmetrics_jobrun_change", args=[quote(job.pk)]), job.name),
        badge(job.get_state_display(), JOB_COLOURS.get(job.state, PLAIN)),
        job.started_by,
        moment(job.queued_at),
        duration(job.wait_seconds),
        duration(job.duration_seconds),
        number(job.attempts),
        job.error_message or NOTHING,
    ]


def _listings(run: SyncRun) -> list[tuple[str, Any]]:
    """Return the listings, those first whose answers took longest in all."""
    return sorted(run.listings.items(), key=lambda item: (-item[1]["duration_ms"], item[0]))


def _listing_cells(listing: tuple[str, Any]) -> list[Any]:
    name, found = listing
    return [
        name,
        number(found["requests"]),
        number(found["failed"]),
        f"{number(round(found['duration_ms'] / found['requests'], 1))} ms",
        f"{number(found['slowest_ms'])} ms",
        duration(found["duration_ms"] / 1000),
        duration(found["wait_ms"] / 1000),
    ]


def _rejection_cells(rejection: SyncRejection) -> list[Any]:
    return [_words(rejection.entity), rejection.record_id, rejection.reason]


def _took(step: SyncStep) -> SafeString | str:
    if step.started_at is None or step.ended_at is None:
        return NOTHING
    return duration((step.ended_at - step.started_at).total_seconds())


def _words(name: str) -> str:
    return name.replace("_", " ")


def _meaning(column: str) -> str:
    return str(getattr(SyncCount._meta.get_field(column), "help_text", ""))


PARTS = (
    Part(
        title="Counts",
        name="counts",
        headers=("records", *COUNTS),
        rows=_counts,
        cells=_count_cells,
        note=" ".join(f"{name.capitalize()}: {_meaning(name)}" for name in COUNTS if _meaning(name)),
    ),
    Part(
        title="Requests by listing",
        name="listings",
        headers=("listing", "requests", "failed", "mean", "slowest", "in all", "held back"),
        rows=_listings,
        cells=_listing_cells,
        note="Requests are made side by side, so these times add up to more than the run took.",
    ),
    Part(
        title="Steps",
        name="steps",
        headers=("step", "state", "attempts", "records seen", "note or error", "started", "took"),
        rows=_steps,
        cells=_step_cells,
    ),
    Part(
        title="Background jobs",
        name="jobs",
        headers=("job", "state", "started by", "queued", "waited", "took", "attempts", "error"),
        rows=lambda run: run.jobs.order_by("pk"),
        cells=_job_cells,
        note="What queued this sync and what did it; nothing for a sync at a terminal.",
    ),
    Part(
        title="Rejected records",
        name="rejections",
        headers=("records", "id", "reason"),
        rows=lambda run: run.rejections.all(),
        cells=_rejection_cells,
        note="The first reasons of each kind are kept; the counts above are exact.",
    ),
)
