"""What the home page finds wrong, and what it counts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from canvas import overview
from canvas.freshness import freshness
from canvas.models import Connection, Promise, Scope
from canvas.overview import check_all, check_promises, overviews, row_counts
from syncmetrics.models import SyncCount, SyncRun
from tests.factories import ConnectionFactory, CourseFactory, SubmissionFactory

pytestmark = pytest.mark.django_db


def make_run(connection, *, days=0.0, **changes):
    start = timezone.now() - timedelta(days=days, minutes=1)
    ended = {} if changes.get("sync_status") == "in_progress" else {"sync_end_time": start}
    values = {"sync_status": "completed", "mode": "full", "heartbeat_at": start} | ended | changes
    return SyncRun.objects.create(
        connection_key=connection.pk,
        connection_name=connection.name,
        instance_key=connection.instance_id,
        sync_start_time=start,
        **values,
    )


def problems():
    return [(problem.text, problem.grave) for problem in check_all(overviews())]


def test_a_working_connection_synced_today_has_no_problem():
    make_run(ConnectionFactory())

    assert problems() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"state": Connection.State.REJECTED, "state_message": "401"}, ("Token rejected: 401", True)),
        ({"state": Connection.State.UNREACHABLE}, ("Canvas unreachable", True)),
        ({"token_expires_at": timedelta(days=-3, hours=-1)}, ("The token expired 3\xa0days ago", True)),
        ({"token_expires_at": timedelta(days=3, hours=1)}, ("The token expires in 3\xa0days", False)),
    ],
)
def test_a_token_that_needs_a_person_is_named(changes, expected):
    if isinstance(after := changes.get("token_expires_at"), timedelta):
        changes = changes | {"token_expires_at": timezone.now() + after}
    make_run(ConnectionFactory(**changes))

    assert problems() == [expected]


def test_a_token_that_ends_in_a_month_is_no_problem():
    make_run(ConnectionFactory(token_expires_at=timezone.now() + timedelta(days=30)))

    assert problems() == []


@pytest.mark.parametrize(
    ("status", "word", "grave"),
    [
        ("failed", "failed", True),
        ("lost", "lost", True),
        ("partial", "partial", False),
        ("cancelled", "cancelled", False),
    ],
)
def test_a_last_run_that_ended_badly_is_named(status, word, grave):
    connection = ConnectionFactory()
    make_run(connection, days=0.5)
    make_run(connection, sync_status=status)

    [(text, is_grave)] = problems()
    assert word in text
    assert is_grave is grave


def test_a_completed_run_after_a_failed_one_is_fine():
    connection = ConnectionFactory()
    make_run(connection, days=0.5, sync_status="failed")
    make_run(connection)

    assert problems() == []


def test_a_silent_run_is_named_and_a_busy_one_is_not(settings):
    connection = ConnectionFactory()
    make_run(connection, days=0.5)
    run = make_run(connection, sync_status="in_progress", heartbeat_at=timezone.now())
    assert problems() == []

    late = timezone.now() - timedelta(seconds=settings.SYNC_LEASE_SECONDS + 60)
    SyncRun.objects.filter(pk=run.pk).update(heartbeat_at=late)
    [(text, grave)] = problems()
    assert text.startswith("The sync at work has been silent for")
    assert not grave


def test_age_is_judged_by_promises_alone():
    connection = ConnectionFactory(account_admin=True)
    make_run(connection, days=9)
    read = timezone.now() - timedelta(days=9)
    Scope.objects.create(connection=connection, resource="terms", last_complete_at=read)
    assert problems() == []
    [broken] = check_promises(freshness())
    assert (broken.text, broken.grave) == ("Older than promised: terms (216 h, promised 48 h)", True)

    Promise.objects.create(instance=connection.instance, hours=None)
    assert check_promises(freshness()) == []


def test_a_connection_without_a_full_sync_is_named():
    connection = ConnectionFactory()
    make_run(connection, dry_run=True)
    make_run(connection, sync_type="course")

    assert problems() == [("No full sync has completed yet", False)]


def test_grave_problems_come_first():
    ConnectionFactory(name="a")
    ConnectionFactory(name="b", state=Connection.State.REJECTED)

    assert [grave for _, grave in problems()] == [True, False, False]


def test_latest_runs_are_found_in_two_queries(django_assert_num_queries):
    for _ in range(3):
        connection = ConnectionFactory()
        make_run(connection, days=2)
        full = make_run(connection, days=1)
        incremental = make_run(connection, mode="incremental")

    with django_assert_num_queries(2):
        found = overviews()
    last = next(each for each in found if each.connection == connection)
    assert (last.last_run, last.last_full, last.last_incremental) == (incremental, full, incremental)


def counted(instance):
    return {count.resource.name: (count.number, count.exact) for count in row_counts(instance)}


def test_live_rows_of_the_instance_are_counted():
    course = CourseFactory()
    CourseFactory(instance=course.instance, deleted_at=timezone.now())
    CourseFactory()

    assert counted(course.instance)["courses"] == (1, True)
    assert counted(course.instance)["users"] == (0, True)


def test_rows_are_counted_in_one_statement(django_assert_num_queries):
    instance = CourseFactory().instance

    with django_assert_num_queries(2):  # the other one: in which range its keys are
        counted(instance)


def test_the_home_page_asks_no_more_for_more_connections(admin_client, django_assert_max_num_queries):
    connection = ConnectionFactory(account_admin=True)
    admin_client.get("/admin/")
    for each in (connection, *ConnectionFactory.create_batch(3, instance=connection.instance)):
        make_run(each)

    with django_assert_max_num_queries(17):  # two of them are the other apps' panels
        assert admin_client.get("/admin/").status_code == 200


def test_a_large_table_says_what_the_last_full_sync_listed(monkeypatch):
    monkeypatch.setattr(overview, "EXACT_ROWS", 2)
    connection = ConnectionFactory()
    SubmissionFactory.create_batch(4, instance=connection.instance)
    assert counted(connection.instance)["submissions"] == (2, False)

    run = make_run(connection)
    SyncCount.objects.create(run=run, entity="submissions", processed=4)
    assert counted(connection.instance)["submissions"] == (4, False)
