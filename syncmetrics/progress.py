"""How far a run is, as the JSON that its page asks for every two seconds while it is at work."""

from __future__ import annotations

from typing import Any

from syncmetrics.models import SyncRun, SyncStep

AT_WORK_SHOWN = 8
COURSE = "course:"
"""How the keys of steps begin that read one course each."""

IDS = ("id", "user_id", "resumed_from")
"""Keys that browsers would read as numbers, which end at 2^53 there."""


def progress_of(run: SyncRun) -> dict[str, Any]:
    """Return a run's JSON, ids as strings, and beside it what is being read and how much is done.

    `progress` has `state` in words, `ended`, `courses_done` of `courses_total`, `at_work` (titles, the
    oldest first, at most eight), `rows` and `requests`.
    """
    published = run.to_dict()
    courses = run.steps.filter(key__startswith=COURSE)
    at_work = run.steps.filter(state=SyncStep.State.IN_PROGRESS).order_by("started_at", "position")
    return {
        **published,
        **{key: None if published[key] is None else str(published[key]) for key in IDS},
        "progress": {
            "state": run.get_sync_status_display(),
            "ended": run.sync_end_time is not None,
            "cancelling": run.cancel_requested and run.sync_end_time is None,
            "courses_done": courses.filter(ended_at__isnull=False).count(),
            "courses_total": courses.count(),
            "at_work": [step.title or step.key for step in at_work[:AT_WORK_SHOWN]],
            "rows": sum(count.processed for count in run.counts.all()),
            "requests": run.api_calls_made,
        },
    }
