"""The console's pages of Canvas data: who may see them, what they show, what they cost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from canvas.admin import paging
from canvas.admin.listings import LISTINGS, children, parents
from canvas.admin.rows import RowAdmin
from canvas.models import Connection, Course, GroupMembership, Instance, Submission
from canvas.resources import RESOURCES
from syncmetrics.models import SyncRun
from tests import factories
from tests.console import client_of, staff, text_of
from tests.factories import (
    AccountFactory,
    AssignmentFactory,
    AssignmentGroupFactory,
    ConnectionFactory,
    CourseFactory,
    EnrollmentFactory,
    GroupCategoryFactory,
    GroupFactory,
    GroupMembershipFactory,
    InstanceFactory,
    ModuleFactory,
    ModuleItemFactory,
    SectionFactory,
    SubmissionFactory,
    TermFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db

ROW_MODELS = [resource.model for resource in RESOURCES.values()]
OUR_MODELS = [*ROW_MODELS, Instance, Connection, SyncRun]
QUERIES_PER_LIST = 12


def named(model):
    return model._meta.model_name


def list_url(model, **query):
    url = reverse(f"admin:{model._meta.app_label}_{named(model)}_changelist")
    return f"{url}?{'&'.join(f'{key}={value}' for key, value in query.items())}"


def page_url(row):
    return reverse(f"admin:{row._meta.app_label}_{named(type(row))}_change", args=[row.pk])


def listed(client, model, **query):
    """Return the rows that a list shows."""
    response = client.get(list_url(model, **query))
    assert response.status_code == 200, response.status_code
    return list(response.context["cl"].result_list)


@pytest.fixture
def client():
    return client_of(staff("root", superuser=True))


@pytest.fixture
def family():
    """Return one row of every table, each belonging to the others."""
    instance = InstanceFactory(name="Example University")
    rows = {"account": AccountFactory(instance=instance, name="Arts")}
    rows["term"] = TermFactory(instance=instance, name="Spring")
    rows["user"] = UserFactory(
        instance=instance, name="Grace Hopper", sortable_name="Hopper, Grace", login_id="ghopper"
    )
    rows["course"] = CourseFactory(
        instance=instance,
        name="Compilers",
        canvas=4711,
        account=rows["account"],
        enrollment_term=rows["term"],
        sis_course_id="SIS-C-1",
    )
    inside = {"instance": instance, "course": rows["course"]}
    rows["section"] = SectionFactory(name="Monday", **inside)
    rows["enrollment"] = EnrollmentFactory(user=rows["user"], course_section=rows["section"], **inside)
    rows["assignmentgroup"] = AssignmentGroupFactory(name="Essays", **inside)
    rows["assignment"] = AssignmentFactory(
        name="First essay", assignment_group=rows["assignmentgroup"], **inside
    )
    rows["submission"] = SubmissionFactory(user=rows["user"], assignment=rows["assignment"], **inside)
    rows["module"] = ModuleFactory(name="Unit 1", **inside)
    rows["moduleitem"] = ModuleItemFactory(title="Preface", module=rows["module"], **inside)
    rows["groupcategory"] = GroupCategoryFactory(name="Project groups", **inside)
    rows["group"] = GroupFactory(name="Team 1", group_category=rows["groupcategory"], **inside)
    rows["groupmembership"] = GroupMembershipFactory(user=rows["user"], group=rows["group"], **inside)
    return rows


# --- who may see what -----------------------------------------------------------------------------


@pytest.mark.parametrize("model", OUR_MODELS, ids=named)
def test_a_list_is_for_those_with_permission(model, client):
    anonymous = type(client)().get(list_url(model))
    assert anonymous.status_code == 302
    assert anonymous.url.startswith(reverse("admin:login"))
    assert client_of(staff("nobody")).get(list_url(model)).status_code == 403
    viewer = staff("viewer", f"view_{named(model)}")
    assert client_of(viewer).get(list_url(model)).status_code == 200


def test_a_page_is_for_those_with_permission(family):
    course = family["course"]

    assert client_of(staff("nobody")).get(page_url(course)).status_code == 403
    assert client_of(staff("other", "view_user")).get(page_url(course)).status_code == 403
    assert client_of(staff("viewer", "view_course")).get(page_url(course)).status_code == 200


@pytest.mark.parametrize("model", [*ROW_MODELS, SyncRun], ids=named)
def test_what_only_the_program_writes_is_read_only_for_everybody(model, rf):
    request = rf.get("/")
    request.user = staff("root", superuser=True)
    pages = admin.site.get_model_admin(model)

    assert pages.has_view_permission(request)
    assert not pages.has_add_permission(request)
    assert not pages.has_change_permission(request)
    assert not pages.has_delete_permission(request)
    assert pages.get_actions(request) == {}


def test_a_row_cannot_be_changed_by_posting(client, family):
    response = client.post(page_url(family["course"]), {"name": "Hacked", "_save": "1"})

    assert response.status_code == 403
    assert Course.objects.get().name == "Compilers"


# --- lists ----------------------------------------------------------------------------------------


def test_every_resource_has_a_list():
    assert set(LISTINGS) == set(RESOURCES)
    for model in ROW_MODELS:
        assert isinstance(admin.site.get_model_admin(model), RowAdmin)


@pytest.mark.parametrize("model", ROW_MODELS, ids=named)
def test_a_list_names_and_links_its_parents(model, client, family):
    response = client.get(list_url(model))
    shown = text_of(response)

    for key in parents(model):
        parent = getattr(family[named(model)], key.name)
        if parent is not None:
            assert str(parent) in shown
            assert f'href="{page_url(parent)}"' in response.content.decode()


@pytest.mark.parametrize("model", ROW_MODELS, ids=named)
def test_pages_show_canvas_ids_and_no_packed_ones(model, client, family):
    row = family[named(model)]

    for url in (list_url(model), page_url(row)):
        shown = text_of(client.get(url))
        assert str(row.canvas_id) in shown.split()
        assert "0000000000" not in shown


def orphan(model, instance):
    """Return a row whose parents are all missing."""
    factory = getattr(factories, f"{model.__name__}Factory")
    fold = instance.folder().fold
    keys = {key.attname: fold(900 + number) for number, key in enumerate(parents(model))}
    return factory(instance=instance, canvas=77, **keys)


@pytest.mark.parametrize("model", [model for model in ROW_MODELS if parents(model)], ids=named)
def test_rows_without_their_parents_show_in_lists_search_and_every_order(model, client):
    row = orphan(model, InstanceFactory())
    pages = admin.site.get_model_admin(model)

    assert listed(client, model) == [row]
    assert listed(client, model, q=77) == [row]
    for column in range(len(pages.list_display)):
        assert listed(client, model, o=column) == [row]
        assert listed(client, model, o=-column) == [row]
    assert f"{parents(model)[0].related_model._meta.verbose_name} 900, not in the copy" in text_of(
        client.get(list_url(model))
    )
    assert "900, not in the copy" in text_of(client.get(page_url(row)))


@pytest.mark.parametrize("model", ROW_MODELS, ids=named)
def test_a_list_costs_the_same_for_any_number_of_rows(model, client, family):
    def queries():
        with CaptureQueriesContext(database) as captured:
            client.get(list_url(model))
        return len(captured)

    few = queries()
    row = family[named(model)]
    factory = getattr(factories, f"{model.__name__}Factory")
    keys = {key.attname: getattr(row, key.attname) for key in parents(model)}
    if model is GroupMembership:
        keys["user_id"] = None  # one row only for each group and user
    factory.create_batch(20, instance=row.instance, **keys)

    assert queries() == few <= QUERIES_PER_LIST


def test_a_list_leaves_long_texts_in_the_database(client, family):
    with CaptureQueriesContext(database) as captured:
        client.get(list_url(Submission))

    assert not any("description" in query["sql"] for query in captured)


def test_a_row_that_canvas_no_longer_has_is_marked(client, family):
    Course.objects.update(deleted_at=timezone.now())
    response = client.get(list_url(Course))

    assert "deleted" in text_of(response)
    assert '<s class="gone">Compilers</s>' in response.content.decode()


def test_an_unknown_state_shows_as_canvas_says_it(client, family):
    Course.objects.update(workflow_state="hibernating_deeply")

    assert "hibernating deeply" in text_of(client.get(list_url(Course)))


def test_the_instance_is_named_when_there_are_several(client, family):
    def columns():
        return client.get(list_url(Course)).context["cl"].list_display

    assert "instance" not in columns()
    CourseFactory(instance=InstanceFactory())
    assert columns()[-1] == "instance"


def test_a_large_table_is_counted_only_as_far_as_one_pages(client, monkeypatch):
    monkeypatch.setattr(paging, "MOST_ROWS", 3)
    SubmissionFactory.create_batch(5, instance=InstanceFactory())

    with CaptureQueriesContext(database) as captured:
        shown = text_of(client.get(list_url(Submission)))

    counts = [query["sql"] for query in captured if "COUNT(" in query["sql"] and "submission" in query["sql"]]
    assert len(counts) == 1
    assert "LIMIT 4" in counts[0]
    assert "3+ submissions" in shown


# --- search and filters ---------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["Compilers", "compil", "SIS-C-1", "4711", "1~4711", "compilers SIS-C"])
def test_a_course_is_found_by_name_sis_id_and_canvas_id(words, client, family):
    Instance.objects.update(canvas_shard=1)
    CourseFactory(instance=family["course"].instance, name="Botany", canvas=471100)

    assert listed(client, Course, q=words) == [family["course"]]


def test_a_bare_number_finds_the_row_on_every_site(client, family):
    other = CourseFactory(canvas=4711)

    assert set(listed(client, Course, q="4711")) == {family["course"], other}


@pytest.mark.parametrize("words", ["hopper", "ghopper", "Grace Hopper", "1815"])
def test_submissions_and_enrollments_are_found_by_person(words, client, family):
    type(family["user"]).objects.filter(pk=family["user"].pk).update(sis_user_id="1815")
    other = UserFactory(instance=family["user"].instance, name="Alan Turing")
    SubmissionFactory(instance=other.instance, user=other)

    assert listed(client, Submission, q=words) == [family["submission"]]
    assert listed(client, type(family["enrollment"]), q=words) == [family["enrollment"]]


def test_ids_are_searched_in_the_index_not_as_text(client, family):
    with CaptureQueriesContext(database) as captured:
        client.get(list_url(Submission, q="42"))

    assert not any("LIKE" in query["sql"].upper() for query in captured if "submission" in query["sql"])


def test_filters_narrow_by_instance_state_and_presence(client, family):
    course = family["course"]
    gone = CourseFactory(
        instance=course.instance, workflow_state="deleted", deleted_at=timezone.now(), canvas=1000
    )
    elsewhere = CourseFactory(workflow_state="unpublished")

    assert set(listed(client, Course, instance=course.instance_id)) == {course, gone}
    assert listed(client, Course, state="unpublished") == [elsewhere]
    assert set(listed(client, Course, in_canvas="yes")) == {course, elsewhere}
    assert listed(client, Course, in_canvas="no") == [gone]
    assert len(listed(client, Course, instance="x", state="", in_canvas="x")) == 3


@pytest.mark.parametrize("name", ["section", "assignmentgroup", "assignment"])
def test_filters_narrow_by_term_through_the_course(name, client, family):
    row = family[name]
    other = TermFactory(instance=row.instance)

    term = "course__enrollment_term__id__exact"
    assert listed(client, type(row), **{term: family["term"].pk}) == [row]
    assert listed(client, type(row), **{term: other.pk}) == []


def test_courses_narrow_by_term(client, family):
    CourseFactory(instance=family["course"].instance)

    chosen = {"enrollment_term__id__exact": family["term"].pk}
    assert listed(client, Course, **chosen) == [family["course"]]


def test_declared_columns_and_filters_exist():
    for name, listing in LISTINGS.items():
        model = RESOURCES[name].model
        for path in (*listing.columns, *listing.search, *listing.filters):
            _field(model, path)  # raises when there is none


def _field(model, path):
    field = None
    for part in path.split("__"):
        if model is None:
            raise FieldDoesNotExist(path)
        field = model._meta.get_field(part)
        model = field.related_model
    return field


def test_ids_that_a_browser_reads_as_json_are_strings(client, family):
    chosen = {"app_label": "canvas", "model_name": "submission", "field_name": "course"}
    answer = client.get(reverse("admin:autocomplete"), {**chosen, "term": "Comp"}).json()

    assert answer["results"] == [{"id": str(family["course"].pk), "text": "Compilers"}]


# --- one row --------------------------------------------------------------------------------------


def test_a_page_links_to_what_belongs_to_the_row(client, family):
    course = family["course"]
    body = client.get(page_url(course)).content.decode()

    assert {key.model for key in children(Course)} >= {Submission, type(family["section"])}
    for key in children(Course):
        url = list_url(key.model, course__id__exact=course.pk)
        assert f'href="{url}"' in body
        assert listed(client, key.model, course__id__exact=course.pk) == [family[named(key.model)]]


def test_a_page_keeps_help_texts_and_names_the_time_zone(client, family):
    Submission.objects.update(submitted_at="2026-02-03T04:05:06Z", grader_id=-7)
    shown = text_of(client.get(page_url(family["submission"])))

    assert "2026-02-03 04:05 UTC" in shown
    assert "When Canvas was first seen without it." in shown
    assert "automatic" in shown


def test_a_page_shows_values_as_people_read_them(client, family):
    assignment = family["assignment"]
    type(assignment).objects.update(
        description="<p>Write <b>two</b> pages.</p>",
        submission_types=["online_upload", "online_url"],
        points_possible=1250.0,
        html_url="javascript:alert(1)",
        published=True,
    )
    response = client.get(page_url(assignment))
    shown = text_of(response)

    assert "Write two pages." in shown
    assert "online_upload, online_url" in shown
    assert "1,250" in shown
    assert 'href="javascript' not in response.content.decode()


# --- instances and connections --------------------------------------------------------------------


def test_connections_show_token_owner_and_last_sync(client):
    owner = staff("owner")
    connection = ConnectionFactory(
        name="prod",
        owner=owner,
        state=Connection.State.REJECTED,
        token_expires_at=timezone.now() + timedelta(days=10, hours=1),
    )
    start = timezone.now() - timedelta(hours=3)
    SyncRun.objects.create(
        connection_key=connection.pk,
        sync_status="completed",
        sync_start_time=start,
        sync_end_time=start,
    )
    shown = text_of(client.get(list_url(Connection)))

    for expected in ("prod", "token rejected", "owner", "in 1 week", "3 hours ago"):
        assert expected in shown


def test_a_token_is_never_shown(client):
    connection = ConnectionFactory(token="1~very-secret-token")
    body = client.get(page_url(connection)).content.decode()

    assert "very-secret-token" not in body
    assert connection.token_ciphertext not in body
    assert "stored encrypted and never shown" in body


def change(client, row, **values):
    response = client.post(page_url(row), values)
    assert response.status_code == 302, text_of(response)
    row.refresh_from_db()


def test_saving_a_connection_writes_only_what_was_changed(client):
    connection = ConnectionFactory(name="prod")
    before = connection.token_ciphertext

    with CaptureQueriesContext(database) as captured:
        change(
            client,
            connection,
            name="production",
            owner="",
            state="rejected",
            token_ciphertext="x",
            authoritative="",
            instance=InstanceFactory().pk,
        )

    [update] = [query["sql"] for query in captured if query["sql"].startswith('UPDATE "canvas_connection"')]
    assert update.partition(" WHERE ")[0].count(" = ") == 1
    assert connection.name == "production"
    assert (connection.token_ciphertext, connection.state) == (before, Connection.State.OK)
    assert connection.authoritative


@pytest.mark.parametrize(("expiry", "open_"), [("unknown", True), ("known", False), ("never", False)])
def test_the_end_of_a_token_is_entered_only_where_canvas_does_not_tell(client, expiry, open_):
    connection = ConnectionFactory(name="prod", token_expiry=expiry)
    end = {"token_expires_at_0": "2030-01-31", "token_expires_at_1": "12:00:00"}
    change(client, connection, name="prod", owner="", **end)

    assert bool(connection.token_expires_at) is open_


def test_an_instance_is_made_by_connecting_it(client):
    assert client.get(reverse("admin:canvas_instance_add")).status_code == 403


@pytest.mark.parametrize("model", [Connection, Instance], ids=named)
def test_connections_are_not_deleted_here(model, client):
    row = ConnectionFactory() if model is Connection else InstanceFactory()
    delete = reverse(f"admin:canvas_{named(model)}_delete", args=[row.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403


# --- home -----------------------------------------------------------------------------------------


def test_home_tells_a_newcomer_what_to_type(client):
    shown = text_of(client.get(reverse("admin:index")))

    assert "manage.py connect_canvas" in shown
    assert "manage.py sync_canvas" in shown
    assert "Everything is fine" not in shown


@pytest.fixture
def synced(family):
    connection = ConnectionFactory(name="prod", instance=family["course"].instance)
    start = timezone.now() - timedelta(hours=5)
    run = SyncRun.objects.create(
        connection_key=connection.pk,
        connection_name="prod",
        instance_key=connection.instance_id,
        sync_status="completed",
        sync_start_time=start,
        sync_end_time=start,
        total_duration_seconds=83,
        api_calls_made=12_345,
    )
    run.counts.create(entity="courses", processed=1_000)
    run.counts.create(entity="users", processed=500)
    return run


def test_home_says_that_everything_is_fine(client, synced):
    response = client.get(reverse("admin:index"))
    shown = text_of(response)

    for expected in ("Everything is fine", "prod", "working", "Completed", "5 hours ago", "1,500"):
        assert expected in shown
    for expected in ("1 min 23 s", "12,345", "courses 1", "expiry unknown"):
        assert expected in shown
    url = list_url(Course, instance=synced.instance_key, in_canvas="yes").replace("&", "&amp;")
    assert f'href="{url}"' in response.content.decode()


def test_home_says_what_is_wrong_and_links_there(client, synced):
    SyncRun.objects.update(sync_status="failed", error_message="Canvas said no.")
    response = client.get(reverse("admin:index"))
    shown = text_of(response)

    assert "2 things need attention" in shown
    assert "The last sync failed" in shown
    assert "Canvas said no." in shown
    assert f'href="{page_url(synced)}"' in response.content.decode()


def test_home_shows_nobody_more_than_they_may_see(synced):
    shown = text_of(client_of(staff("nobody")).get(reverse("admin:index")))
    assert "prod" not in shown
    assert "Ask an administrator" in shown

    some = staff("some", "view_connection", "view_syncrun", "view_course")
    shown = text_of(client_of(some).get(reverse("admin:index")))
    assert "courses 1" in shown
    assert "users 1" not in shown


def test_home_costs_the_same_for_any_number_of_runs(client, synced):
    def queries():
        with CaptureQueriesContext(database) as captured:
            client.get(reverse("admin:index"))
        return len(captured)

    few = queries()
    for _ in range(9):
        run = SyncRun.objects.create(
            connection_key=synced.connection_key, sync_status="completed", sync_end_time=timezone.now()
        )
        run.counts.create(entity="courses")
    assert queries() == few
