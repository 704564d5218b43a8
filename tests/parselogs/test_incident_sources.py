"""Failed and lost parses and logs that are not stored become incidents, and are over when that is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from parselogs.incident_sources import FAILED, KINDS, LOST, NOT_STORED
from parselogs.models import ParseFileMeta, ParseMeta
from parselogs.reparse import Scope, reparse
from parselogs.runs import cancel
from syncmetrics.alerts.incidents import mark_as_over, watch
from syncmetrics.models import Incident
from tests.parselogs.files import again, parsed, upload, users

pytestmark = pytest.mark.django_db


def failed(run: ParseFileMeta, **columns: Any) -> ParseFileMeta:
    """Let a queued run have failed just now."""
    ended = {"state": "failed", "finished_at": timezone.now(), "failure_text": "Why."}
    ParseFileMeta.objects.filter(pk=run.pk).update(**ended | columns)
    run.refresh_from_db()
    return run


def open_ones() -> list[tuple[str, str]]:
    """Look, and return the kinds and subjects of the incidents that are open."""
    watch()
    return sorted(Incident.objects.filter(ended_at=None).values_list("kind", "subject"))


def test_a_file_whose_parse_failed_is_an_incident_until_one_works():
    run = parsed(upload(b"a,b\n1,2\n", "Ada Lovelace.csv"))
    assert run.state == "failed"
    assert open_ones() == [(FAILED, f"file:{run.data_file_id}")]
    incident = Incident.objects.get()
    assert incident.text == f"Attempt 1 of file {run.data_file_id}: {run.failure_text}"
    assert incident.started_at == run.finished_at
    assert incident.page == f"/admin/parselogs/parsefilemeta/{run.pk}/change/"
    assert "Ada" not in incident.about + incident.text

    second = again(run.data_file)
    assert len(open_ones()) == 1  # a run that waits has mended nothing
    cancel(second)
    assert len(open_ones()) == 1  # nor has one that somebody canceled
    failed(again(run.data_file))
    assert open_ones() == [(FAILED, f"file:{run.data_file_id}")]
    assert "Attempt 3" in Incident.objects.get().text

    ParseFileMeta.objects.filter(attempt=3).update(state="succeeded")
    assert open_ones() == []
    assert Incident.objects.get().ending


def test_a_lost_run_and_a_failed_one_are_told_apart():
    lost = failed(upload(), state="lost", failure_code="lost")
    assert open_ones() == [(LOST, f"file:{lost.data_file_id}")]
    lost.data_file.delete()
    assert open_ones() == []


def test_the_files_of_a_batch_are_one_incident():
    batch = ParseMeta.objects.create(kind="reparse")
    runs = [again(parsed(upload(users(rows))).data_file, meta=batch) for rows in (2, 3, 4)]
    for run in runs:
        failed(run)
    assert open_ones() == [(FAILED, f"batch:{batch.pk}")]
    incident = Incident.objects.get()
    assert incident.about == f"parse batch {batch.pk}"
    assert incident.text == f"3 files, the last of them: Attempt 2 of file {runs[2].data_file_id}: Why."


def test_a_file_that_fails_again_goes_on_whatever_its_run_is_a_part_of():
    run, other = failed(upload()), parsed(upload(users(9)))
    assert open_ones() == [(FAILED, f"file:{run.data_file_id}")]
    for keys in ((run.data_file_id,), (run.data_file_id, other.data_file_id)):
        failed(reparse(Scope(keys), send=False).runs.get(data_file=run.data_file))
        assert open_ones() == [(FAILED, f"file:{run.data_file_id}")]
        ParseFileMeta.objects.filter(state="queued").update(state="succeeded", finished_at=timezone.now())
    assert Incident.objects.count() == 1


def test_a_file_that_was_reparsed_alone_is_an_incident_of_its_own():
    run = parsed(upload())
    failed(reparse(Scope((run.data_file_id,)), send=False).runs.get())
    assert open_ones() == [(FAILED, f"file:{run.data_file_id}")]


def test_an_outage_is_one_incident_whatever_waits_for_it():
    for rows in (2, 3):
        failed(upload(users(rows)), failure_code="storage_unavailable")
    failed(upload(users(4)), failure_code="dispatch")
    assert open_ones() == [(FAILED, "cause:dispatch"), (FAILED, "cause:storage_unavailable")]


def test_what_was_marked_as_over_stays_so_until_it_fails_again():
    run = failed(upload())
    watch()
    assert mark_as_over(Incident.objects.get())
    assert open_ones() == []
    failed(again(run.data_file))
    assert len(open_ones()) == 1


def test_failures_of_long_ago_are_told_only_where_they_are_open():
    run = failed(upload())
    watch()
    old = timezone.now() - timedelta(days=30)
    ParseFileMeta.objects.update(queued_at=old, finished_at=old)
    failed(upload(users(9)), queued_at=old, finished_at=old)
    assert open_ones() == [(FAILED, f"file:{run.data_file_id}")]


def test_logs_that_storage_does_not_take_are_one_incident():
    assert open_ones() == []
    for rows in (2, 3):
        run = parsed(upload(users(rows, wrong=0)))
        ParseFileMeta.objects.filter(pk=run.pk).update(
            log_state="upload_failed", upload_error="OSError: full"
        )
    assert open_ones() == [(NOT_STORED, "storage")]
    assert Incident.objects.get().text.startswith("2 logs wait on the workers' disks")
    ParseFileMeta.objects.update(log_state="uploaded")
    assert open_ones() == []


def test_a_look_takes_the_same_queries_for_any_number_of_failed_runs(django_assert_max_num_queries):
    for rows in range(2, 14):
        failed(upload(users(rows)))
    watch()
    with django_assert_max_num_queries(8):
        for kind in KINDS:
            list(kind.source(timezone.now()))
