"""How old the copy is, what was promised, and where both are shown."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from canvas.freshness import DEFAULT_HOURS, broken_promises, freshness
from canvas.models import Connection, Instance, Promise, Scope
from canvas.overview import check_promises
from canvas.resources import RESOURCES
from syncmetrics.models import SyncRun, SyncStep
from tests.console import client_of, person, staff, text_of
from tests.factories import ConnectionFactory, CourseFactory, InstanceFactory, TermFactory

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def connection() -> Connection:
    """An administrator's connection of a site that is a month old."""
    connection = ConnectionFactory(name="prod", account_admin=True)
    Instance.objects.update(created_at=NOW - timedelta(days=30))
    connection.refresh_from_db()
    return connection


def course(connection, **changes):
    values = {"workflow_state": "available", "created_at": NOW - timedelta(days=100)}
    return CourseFactory(instance=connection.instance, **(values | changes))


def read(connection, resource, hours=None, *, of=None, refused=False):
    """Write down that a scope was read so many hours ago."""
    return Scope.objects.create(
        connection=connection,
        resource=resource,
        course_id=of.pk if of else 0,
        last_complete_at=None if hours is None else NOW - timedelta(hours=hours),
        refused_at=NOW if refused else None,
    )


def found(resource, **changes):
    """Return the freshness of a resource of the one instance."""
    [one] = [each for each in freshness(now=NOW, **changes) if each.resource == resource]
    return one


def test_a_resource_is_as_old_as_the_oldest_scope_needed(connection):
    for hours in (3, 50, 7):
        read(connection, "submissions", hours, of=course(connection))

    one = found("submissions")
    assert one.age_hours == pytest.approx(50)
    assert (one.scopes, one.unread, one.refused, one.promised_hours) == (3, 0, 0, DEFAULT_HOURS)
    assert one.broken


@pytest.mark.parametrize(
    "over",
    [
        {"workflow_state": "completed"},
        {"workflow_state": "unpublished"},
        {"deleted_at": NOW},
        {"end_at": NOW - timedelta(days=1)},
    ],
)
def test_courses_that_are_over_do_not_count(connection, over):
    read(connection, "submissions", 1, of=course(connection))
    read(connection, "submissions", 900, of=course(connection, **over))

    assert found("submissions").age_hours == pytest.approx(1)


def test_courses_of_a_term_that_is_over_do_not_count(connection):
    over = TermFactory(instance=connection.instance, end_at=NOW - timedelta(days=1))
    on = TermFactory(instance=connection.instance, end_at=NOW + timedelta(days=1))
    read(connection, "submissions", 900, of=course(connection, enrollment_term=over))
    read(connection, "submissions", 2, of=course(connection, enrollment_term=on))

    assert found("submissions").age_hours == pytest.approx(2)


def test_an_administrators_users_are_one_scope_and_a_teachers_one_per_course(connection):
    read(connection, "users", 5)
    course(connection)
    assert (found("users").age_hours, found("users").scopes) == (pytest.approx(5), 1)

    Connection.objects.update(account_admin=False)
    assert found("users").unread == 1
    assert [each.resource for each in freshness()] == [
        name for name in RESOURCES if name not in ("accounts", "terms")
    ]


def test_a_course_never_read_is_as_old_as_it_could_have_been_read(connection):
    read(connection, "sections", 1, of=course(connection))
    course(connection, created_at=NOW - timedelta(hours=10))
    assert (found("sections").age_hours, found("sections").unread) == (pytest.approx(10), 1)

    course(connection)  # older than the site is connected
    assert found("sections").age_hours == pytest.approx(30 * 24)


def test_what_was_never_asked_for_is_under_no_default(connection):
    course(connection)

    one = found("modules")
    assert (one.promised_hours, one.broken) == (None, False)
    Promise.objects.create(instance=connection.instance, resource="modules", hours=24)
    assert found("modules").broken


def test_a_scope_closed_to_our_token_is_no_part_of_the_promise(connection):
    read(connection, "modules", 2, of=course(connection))
    read(connection, "modules", 900, of=course(connection), refused=True)

    one = found("modules")
    assert (one.age_hours, one.scopes, one.unread, one.refused) == (pytest.approx(2), 1, 0, 1)


def test_a_listing_refused_to_every_token_is_not_watched(connection):
    Connection.objects.update(capabilities={"terms": "refused", "courses": "refused"})

    names = [each.resource for each in freshness()]
    assert "terms" not in names
    assert "courses" in names  # every token sees its own


def test_the_newest_of_several_connections_counts(connection):
    other = ConnectionFactory(instance=connection.instance, account_admin=True)
    shared, own = course(connection), course(connection)
    read(connection, "submissions", 90, of=shared)
    read(other, "submissions", 4, of=shared)
    read(connection, "submissions", None, of=own, refused=True)
    read(other, "submissions", 6, of=own)

    one = found("submissions")
    assert (one.age_hours, one.unread, one.refused) == (pytest.approx(6), 0, 0)


def test_a_course_that_a_teachers_token_lost_is_not_waited_for(connection):
    Connection.objects.update(account_admin=False, authoritative=False)
    kept, lost = course(connection), course(connection)
    read(connection, "submissions", 2, of=kept)
    read(connection, "submissions", 400, of=lost)
    run = SyncRun.objects.create(
        connection_key=connection.pk,
        instance_key=connection.instance_id,
        sync_status="completed",
        sync_end_time=NOW,
    )
    SyncStep.objects.create(run=run, key="courses", state="completed")
    SyncStep.objects.create(run=run, key=f"course:{kept.pk}", state="completed")

    assert found("submissions").age_hours == pytest.approx(2)


@pytest.mark.parametrize(
    ("promises", "hours"),
    [
        ({}, DEFAULT_HOURS),
        ({"": 12}, 12),
        ({"": 12, "terms": 6}, 6),
        ({"": None}, None),
        ({"": 12, "terms": None}, None),
        ({"users": 6}, DEFAULT_HOURS),
    ],
)
def test_a_promise_of_its_own_counts_before_that_for_all(connection, promises, hours):
    read(connection, "terms", 1)
    for resource, promised in promises.items():
        Promise.objects.create(instance=connection.instance, resource=resource, hours=promised)

    assert found("terms").promised_hours == hours


def test_broken_promises_of_all_instances_are_found(connection):
    other = ConnectionFactory(account_admin=True)
    read(connection, "terms", DEFAULT_HOURS + 1)
    read(connection, "accounts", DEFAULT_HOURS - 1)
    read(other, "terms", DEFAULT_HOURS + 2)

    broken = broken_promises(NOW)
    assert {(each.instance, each.resource) for each in broken} == {
        (connection.instance, "terms"),
        (other.instance, "terms"),
    }
    assert [each.age_hours for each in broken if each.instance == other.instance] == [pytest.approx(50)]


def test_many_courses_cost_as_many_queries_as_one(connection, django_assert_max_num_queries):
    for number in range(20):
        read(connection, "sections", number, of=course(connection))

    with django_assert_max_num_queries(6):
        list(freshness([connection.instance]))


# --- where people see it --------------------------------------------------------------------------


def test_a_broken_promise_is_a_problem_that_names_what_is_oldest(connection):
    for number, resource in enumerate(("accounts", "terms", "users", "courses")):
        read(connection, resource, 100 + number)

    [problem] = check_promises(freshness(now=NOW))
    assert problem.text == (
        "Older than promised: courses (103 h, promised 48 h), users (102 h, promised 48 h), "
        "terms (101 h, promised 48 h) and 1 more"
    )
    assert (problem.subject, problem.grave) == (connection.instance, True)


def test_home_says_how_fresh_the_copy_is_and_leads_to_more(connection):
    client = client_of(staff("root", superuser=True))
    read(connection, "terms", 5)
    home = text_of(client.get(reverse("admin:index")))
    assert re.search(r"Freshness: as promised oldest read 5 h \d+ min ago", home)

    Scope.objects.update(last_complete_at=NOW - timedelta(hours=60))
    response = client.get(reverse("admin:index"))
    assert "1 older than promised" in text_of(response)
    assert "Older than promised: terms (60 h, promised 48 h)" in text_of(response)
    page = reverse("admin:syncmetrics_syncday_changelist") + "#freshness"
    assert page in response.content.decode()
    shown = text_of(client.get(page))
    assert re.search(r"terms 60 h \d+ min 48 h older than promised", shown)


def test_a_promise_is_made_in_the_console(connection):
    client = client_of(person("ada", "Administrator"))
    page = reverse("admin:canvas_promise_add")
    answer = client.post(page, {"instance": connection.instance_id, "resource": "submissions", "hours": 6})

    assert answer.status_code == 302
    assert Promise.objects.get().hours == 6
    assert "submissions" in text_of(client.get(reverse("admin:canvas_promise_changelist")))


@pytest.mark.parametrize(
    "wrong", [{"hours": "0"}, {"hours": "-4"}, {"hours": "x"}, {"resource": "grades"}, {"instance": "999999"}]
)
def test_an_impossible_promise_is_refused(connection, wrong):
    client = client_of(person("ada", "Administrator"))
    asked = {"instance": connection.instance_id, "resource": "submissions", "hours": "6"} | wrong

    assert client.post(reverse("admin:canvas_promise_add"), asked).status_code == 200
    assert not Promise.objects.exists()


def test_somebody_limited_promises_nothing_for_another_site(connection):
    client = client_of(person("ada", "Administrator", only=[InstanceFactory()]))
    asked = {"instance": connection.instance_id, "resource": "", "hours": "6"}

    assert client.post(reverse("admin:canvas_promise_add"), asked).status_code == 200
    assert not Promise.objects.exists()
