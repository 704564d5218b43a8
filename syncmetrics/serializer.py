"""The one form in which a run leaves the database as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syncmetrics.models import SyncRun

# Always present in the JSON, with zeros where nothing was counted; others appear when counted.
ENTITIES = (
    "accounts",
    "terms",
    "users",
    "courses",
    "sections",
    "enrollments",
    "assignment_groups",
    "assignments",
    "submissions",
    "modules",
    "module_items",
    "group_categories",
    "groups",
    "group_memberships",
)
COUNTS = ("processed", "created", "updated", "unchanged", "deleted", "rejected")


def run_to_dict(run: SyncRun, steps: Mapping[str, int]) -> dict[str, Any]:
    """Return a run as plain JSON values, keys as people script against them; `to_dict` of a run gives it.

    `steps` says how many of its steps are in each state. Times are ISO 8601 in UTC ending in Z, durations
    seconds or milliseconds as named.
    """
    return {
        "id": run.pk,
        "sync_task_id": run.sync_task_id,
        "user_id": run.user_id,
        "sync_type": run.sync_type,
        "queued_at": _utc(run.queued_at),
        "sync_start_time": _utc(run.sync_start_time),
        "sync_end_time": _utc(run.sync_end_time),
        "total_duration_seconds": run.total_duration_seconds,
        "sync_status": str(run.sync_status),
        "error_message": run.error_message,
        "error_class": run.error_class,
        "connection": run.connection_name,
        "mode": str(run.mode),
        "genre": run.genre,
        "trigger": str(run.trigger),
        "dry_run": run.dry_run,
        "resumed_from": run.resumed_from_id,
        **_entities(run),
        "grades_processed": run.grades_processed,
        "steps": {
            "total": sum(steps.values()),
            "completed": steps.get("completed", 0),
            "failed": steps.get("failed", 0),
        },
        "api_metrics": {
            "calls_made": run.api_calls_made,
            "calls_failed": run.api_calls_failed,
            "total_duration_ms": round(run.total_api_duration_ms, 3),
            "wait_ms": round(run.api_wait_ms, 3),
            "rate_limit_hits": run.api_rate_limit_hits,
            "retries": run.api_retries,
        },
        "database": {
            "operations": run.db_operations,
            "duration_ms": round(run.db_duration_ms, 3),
            "rows_written": run.db_rows_written,
        },
    }


def _entities(run: SyncRun) -> dict[str, dict[str, int]]:
    counted = {row.entity: {name: getattr(row, name) for name in COUNTS} for row in run.counts.all()}
    return {entity: dict.fromkeys(COUNTS, 0) for entity in ENTITIES} | counted


def _utc(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
