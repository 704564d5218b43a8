"""The JSON of a run: its keys are a promise to people who script against them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from syncmetrics.models import SyncCount, SyncRun, SyncStep
from syncmetrics.serializer import COUNTS, ENTITIES

pytestmark = pytest.mark.django_db
START = datetime(2025, 12, 22, 10, 15, tzinfo=UTC)
ZEROS = dict.fromkeys(("processed", "created", "updated", "unchanged", "deleted", "rejected"), 0)


def test_finished_run_has_every_key_and_value():
    earlier = SyncRun.objects.create(sync_status="lost", sync_end_time=START, sync_start_time=START)
    run = SyncRun.objects.create(
        sync_task_id="abc123",
        user_id=42,
        sync_type="all",
        sync_start_time=START,
        sync_end_time=START + timedelta(seconds=210.5),
        total_duration_seconds=210.5,
        sync_status="partial",
        error_message="One step failed.",
        error_class="StepsFailed",
        instance_key=1,
        connection_key=7,
        connection_name="Main university",
        trigger="command",
        mode="incremental",
        resumed_from=earlier,
        api_calls_made=1240,
        api_calls_failed=2,
        total_api_duration_ms=8450.5,
        api_wait_ms=9.5,
        api_rate_limit_hits=3,
        api_retries=4,
        db_operations=5,
        db_duration_ms=6.25,
        db_rows_written=7,
        grades_processed=8,
    )
    SyncCount.objects.create(run=run, entity="courses", processed=25, created=2, updated=23)
    SyncCount.objects.create(run=run, entity="modules", processed=9, unchanged=4, deleted=3, rejected=1)
    for position, state in enumerate(("completed", "completed", "failed", "pending")):
        SyncStep.objects.create(run=run, key=str(position), state=state)

    assert run.to_dict() == {
        "id": run.pk,
        "sync_task_id": "abc123",
        "user_id": 42,
        "sync_type": "all",
        "queued_at": None,
        "sync_start_time": "2025-12-22T10:15:00.000Z",
        "sync_end_time": "2025-12-22T10:18:30.500Z",
        "total_duration_seconds": 210.5,
        "sync_status": "partial",
        "error_message": "One step failed.",
        "error_class": "StepsFailed",
        "connection": "Main university",
        "mode": "incremental",
        "genre": "all",
        "trigger": "command",
        "dry_run": False,
        "resumed_from": earlier.pk,
        **{
            entity: ZEROS
            for entity in (
                "accounts",
                "terms",
                "users",
                "sections",
                "enrollments",
                "assignment_groups",
                "assignments",
                "submissions",
                "module_items",
                "group_categories",
                "groups",
                "group_memberships",
            )
        },
        "courses": ZEROS | {"processed": 25, "created": 2, "updated": 23},
        "modules": ZEROS | {"processed": 9, "unchanged": 4, "deleted": 3, "rejected": 1},
        "grades_processed": 8,
        "steps": {"total": 4, "completed": 2, "failed": 1},
        "api_metrics": {
            "calls_made": 1240,
            "calls_failed": 2,
            "total_duration_ms": 8450.5,
            "wait_ms": 9.5,
            "rate_limit_hits": 3,
            "retries": 4,
        },
        "database": {"operations": 5, "duration_ms": 6.25, "rows_written": 7},
    }


def test_run_in_progress_has_nulls_and_zeros_and_is_json():
    run = SyncRun.objects.create(trigger=SyncRun.Trigger.CONSOLE, mode=SyncRun.Mode.FULL)
    values = json.loads(json.dumps(run.to_dict()))
    assert [
        values[key] for key in ("sync_end_time", "total_duration_seconds", "error_message", "user_id")
    ] == [None] * 4
    assert (values["trigger"], values["mode"], values["sync_status"]) == ("console", "full", "in_progress")
    assert all(values[entity] == ZEROS for entity in ENTITIES)
    assert values["steps"] == {"total": 0, "completed": 0, "failed": 0}


def test_times_of_any_zone_are_given_in_utc():
    east = timezone(timedelta(hours=9))
    run = SyncRun(sync_start_time=datetime(2026, 1, 1, 3, tzinfo=east))
    run.save()
    assert run.to_dict()["sync_start_time"] == "2025-12-31T18:00:00.000Z"


def test_counts_of_the_json_are_the_columns_of_the_table():
    columns = [field.name for field in SyncCount._meta.fields]
    assert columns[-len(COUNTS) :] == list(COUNTS)


def test_run_costs_two_queries(django_assert_num_queries):
    run = SyncRun.objects.create()
    with django_assert_num_queries(2):
        run.to_dict()
