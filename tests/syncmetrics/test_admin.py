"""The console's pages of runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from syncmetrics.listings import MOST_LISTINGS, OTHERS, Listings
from syncmetrics.models import SyncRejection, SyncRun, SyncStep
from tests.console import client_of, staff, text_of
from tests.factories import ConnectionFactory

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LIST = "admin:syncmetrics_syncrun_changelist"


@pytest.fixture
def client():
    return client_of(staff("root", superuser=True))


def make_run(**changes):
    values = {
        "sync_start_time": START,
        "sync_end_time": START + timedelta(seconds=65),
        "total_duration_seconds": 65.0,
        "sync_status": "completed",
        "connection_key": 7,
        "connection_name": "prod",
        "trigger": "command",
    }
    return SyncRun.objects.create(**(values | changes))


def page(client, run, **query):
    return client.get(reverse("admin:syncmetrics_syncrun_change", args=[run.pk]), query)


def listed(client, **query):
    return list(client.get(reverse(LIST), query).context["cl"].result_list)


def test_a_list_says_how_each_run_went(client):
    run = make_run(
        sync_status="partial",
        api_calls_made=1_234,
        error_message="Canvas was away. " * 20,
        mode="incremental",
    )
    run.counts.create(entity="courses", processed=1_500)
    run.counts.create(entity="users", processed=500)
    shown = text_of(client.get(reverse(LIST)))

    for expected in (f"Run {run.pk}", "Partial", "prod", "Incremental", "Command", "2026-03-04 05:06 UTC"):
        assert expected in shown
    for expected in ("1 min 5 s", "2,000", "1,234", "Canvas was away. Canvas"):
        assert expected in shown
    assert run.error_message not in shown


def test_runs_are_listed_newest_first(client):
    old = make_run(sync_start_time=START - timedelta(days=1))
    new = make_run()

    assert listed(client) == [new, old]


def test_a_list_costs_the_same_for_any_number_of_runs(client):
    def queries():
        with CaptureQueriesContext(database) as captured:
            client.get(reverse(LIST))
        return len(captured)

    make_run().counts.create(entity="courses")
    few = queries()
    for _ in range(10):
        make_run().counts.create(entity="courses")

    assert queries() == few <= 12


def test_filters_narrow_by_state_connection_mode_and_time(client):
    good = make_run()
    test = ConnectionFactory(name="test").pk
    bad = make_run(sync_status="failed", connection_key=test, connection_name="test", mode="incremental")
    old = make_run(sync_start_time=START - timedelta(days=400), connection_key=9)

    assert listed(client, sync_status__exact="failed") == [bad]
    assert listed(client, connection=test) == [bad]
    assert listed(client, mode__exact="incremental") == [bad]
    assert set(listed(client, sync_start_time__year=2026)) == {good, bad}
    for odd in ({"connection": "x"}, {"connection": "9" * 5000}, {"days": "x"}, {"days": "9" * 5000}):
        assert set(listed(client, **odd)) == {good, bad, old}


def test_runs_of_the_last_days_are_chosen_by_when_they_started(client):
    now = timezone.now()
    runs = {ago: make_run(sync_start_time=now - timedelta(days=ago, minutes=1)) for ago in (0, 1, 6, 29, 400)}

    for days, expected in ((1, [0]), (7, [0, 1, 6]), (30, [0, 1, 6, 29]), ("", [0, 1, 6, 29, 400])):
        assert listed(client, days=days) == [runs[ago] for ago in expected]


def test_a_connection_is_chosen_by_its_name_now(client):
    connection = ConnectionFactory(name="new name")
    make_run(connection_key=connection.pk, connection_name="old name")
    body = client.get(reverse(LIST)).content.decode()

    assert f'<option value="{connection.pk}">new name</option>' in " ".join(body.split())
    assert "old name</option>" not in body


def test_a_page_shows_counts_costs_and_relatives(client):
    first = make_run(sync_status="lost")
    run = make_run(
        resumed_from=first,
        api_calls_made=2_000,
        api_calls_failed=3,
        total_api_duration_ms=91_000,
        db_operations=22,
        db_duration_ms=1_500,
        db_rows_written=26_551,
        options={"models": ["assignment_groups", "courses"], "term_scope": "active"},
        host="mill/boot",
        pid=4711,
    )
    later = make_run(resumed_from=run)
    run.counts.create(entity="assignment_groups", processed=1_200, created=7, rejected=1)
    shown = text_of(page(client, run))

    for expected in ("assignment groups 1,200 7 0 0 0 1", "45.5 ms", "2,000", "26,551", "1.5 s"):
        assert expected in shown
    assert f"resumes Run {first.pk} , resumed by Run {later.pk}" in shown
    assert "assignment groups, courses (terms: active)" in shown
    assert "process 4711 on mill" in shown
    assert reverse("admin:canvas_connection_change", args=[7]) in page(client, run).content.decode()


def test_a_page_says_which_listing_took_how_long(client):
    listings = Listings()
    for path, took in (
        ("/api/v1/courses/7/sections", 30),
        ("/api/v1/courses/8/sections", 50),
        ("users/1", 9),
    ):
        listings.add(path, duration_ms=took, wait_ms=1500, failed=path.endswith("8/sections"))
    shown = text_of(page(client, make_run(listings=listings.as_json())))

    assert "courses/:id/sections 2 1 40 ms 50 ms 0.08 s 3.0 s users/:id 1 0 9 ms 9 ms 0.01 s 1.5 s" in shown
    assert "Requests by listing" not in text_of(page(client, make_run()))


def test_listings_that_a_site_makes_up_count_together():
    listings = Listings()
    for number in range(MOST_LISTINGS + 50):
        listings.add(f"courses/{'x' * (number + 1)}", duration_ms=1, wait_ms=0, failed=False)
    kept = listings.as_json()

    assert len(kept) == MOST_LISTINGS + 1
    assert kept[OTHERS]["requests"] == 50


def test_a_page_shows_the_whole_error(client):
    run = make_run(sync_status="failed", error_message="Canvas was away. " * 20, error_class="Unavailable")

    assert run.error_message.strip() in text_of(page(client, run))


def test_failed_steps_come_first_and_pages_bound_the_rest(client):
    run = make_run()
    SyncStep.objects.bulk_create(
        SyncStep(run=run, key=f"course:{n}", title=f"Course no. {n}.", position=n, state="completed")
        for n in range(120)
    )
    SyncStep.objects.filter(key="course:77").update(
        state="failed", error_message="Canvas answered 503.", counters={"submissions": 12_000}
    )
    steps = [text_of(page(client, run, steps=number)) for number in (1, 2, 3)]

    assert "Course no. 77. Failed 0 12,000 submissions Canvas answered 503." in steps[0]
    assert "Course no. 0." in steps[0]
    assert "Course no. 100." not in steps[0] + steps[1]
    assert "Course no. 100." in steps[2]


def test_a_page_shows_why_records_were_rejected(client):
    run = make_run()
    SyncRejection.objects.create(run=run, entity="users", record_id="9~0", reason="id out of range")

    assert "users 9~0 id out of range" in text_of(page(client, run))


def test_a_run_of_code_without_a_connection_has_a_page(client):
    run = make_run(connection_key=None, connection_name="", sync_status="in_progress", sync_end_time=None)

    assert "In progress" in text_of(page(client, run))


def test_nobody_changes_history(client):
    run = make_run()
    url = reverse("admin:syncmetrics_syncrun_change", args=[run.pk])

    assert client.post(url, {"sync_status": "failed"}).status_code == 403
    assert client.get(reverse("admin:syncmetrics_syncrun_add")).status_code == 403
    delete = reverse("admin:syncmetrics_syncrun_delete", args=[run.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403
    run.refresh_from_db()
    assert run.sync_status == "completed"
