"""The rules that the database itself holds about runs, and what a run tells about itself."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from syncmetrics.models import SyncCount, SyncRejection, SyncRun, SyncStep

pytestmark = pytest.mark.django_db
ENDS = [("completed", False), ("lost", False), ("in_progress", True), ("queued", True)]


def test_one_run_in_progress_per_instance_and_genre():
    SyncRun.objects.create(instance_key=1)
    SyncRun.objects.create(instance_key=1, genre="course:5")
    SyncRun.objects.create(instance_key=2)
    SyncRun.objects.create(instance_key=1, sync_status="failed", sync_end_time=timezone.now())
    with pytest.raises(IntegrityError), transaction.atomic():
        SyncRun.objects.create(instance_key=1)


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_queued_run_counts_as_active(status: str):
    SyncRun.objects.create(instance_key=1, sync_status="queued")
    with pytest.raises(IntegrityError), transaction.atomic():
        SyncRun.objects.create(instance_key=1, sync_status=status)


def test_runs_of_no_instance_do_not_exclude_each_other():
    SyncRun.objects.create()
    SyncRun.objects.create()
    assert SyncRun.objects.count() == 2


@pytest.mark.parametrize(("status", "ended"), ENDS)
def test_runs_have_an_end_time_when_they_ended(status: str, ended: bool):
    end = timezone.now() if ended else None
    with pytest.raises(IntegrityError), transaction.atomic():
        SyncRun.objects.create(sync_status=status, sync_end_time=end)


def test_task_id_is_unique_and_made_when_not_given():
    run = SyncRun.objects.create()
    assert len(run.sync_task_id) == 36
    with pytest.raises(IntegrityError), transaction.atomic():
        SyncRun.objects.create(sync_task_id=run.sync_task_id)


def test_one_count_per_entity_and_one_step_per_key():
    run = SyncRun.objects.create()
    SyncCount.objects.create(run=run, entity="courses")
    SyncStep.objects.create(run=run, key="terms")
    with pytest.raises(IntegrityError), transaction.atomic():
        SyncCount.objects.create(run=run, entity="courses")
    with pytest.raises(IntegrityError), transaction.atomic():
        SyncStep.objects.create(run=run, key="terms")


def test_deleting_a_run_takes_its_children_and_leaves_those_who_resumed_it():
    run = SyncRun.objects.create(sync_status="lost", sync_end_time=timezone.now())
    heir = SyncRun.objects.create(resumed_from=run)
    SyncCount.objects.create(run=run, entity="courses")
    SyncStep.objects.create(run=run, key="terms")
    SyncRejection.objects.create(run=run, entity="courses", reason="no id")
    assert list(run.resumed_by.all()) == [heir]

    run.delete()
    heir.refresh_from_db()
    assert heir.resumed_from is None
    assert not SyncCount.objects.exists()
    assert not SyncStep.objects.exists()
    assert not SyncRejection.objects.exists()


def test_processed_numbers_have_the_published_names():
    run = SyncRun.objects.create()
    for number, entity in enumerate(("courses", "assignments", "submissions"), start=1):
        SyncCount.objects.create(run=run, entity=entity, processed=number)
    assert (run.courses_processed, run.assignments_processed, run.submissions_processed) == (1, 2, 3)
    assert run.processed("users") == 0


def test_rows_describe_themselves():
    run = SyncRun.objects.create(connection_name="Main")
    assert str(run) == f"Run {run.pk}: Main, in_progress"
    assert str(SyncStep(key="terms", title="Terms")) == "Terms: pending"
    assert str(SyncCount(entity="users", processed=3)) == "users: 3 processed"
    assert str(SyncRejection(entity="users", record_id="5", reason="no id")) == "users 5: no id"
