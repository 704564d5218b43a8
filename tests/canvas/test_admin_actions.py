"""What operators do from the console: who may, what it does, what it says, what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from canvas import tasks
from canvas.admin.actions import CONNECTION_ACTIONS, COURSE_ACTIONS, RUN_ACTIONS
from canvas.models import Connection, Instance, InstanceLimit
from canvas.tasks import QueueUnreachable
from syncmetrics.models import SyncRun
from tests.canvas.conftest import EventfulSandbox
from tests.console import client_of, staff, text_of
from tests.factories import ConnectionFactory, CourseFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A queue that takes everything, and does nothing: the keys of the runs handed to it."""
    handed: list[int] = []
    monkeypatch.setattr(tasks, "_check_queue", lambda: None)
    monkeypatch.setattr(tasks.transaction, "on_commit", lambda send, **_: send())
    monkeypatch.setattr(
        tasks, "sync_instance", SimpleNamespace(apply_async=lambda args, **_: handed.append(*args))
    )
    return handed


def person(*roles: str, **permissions: Any) -> Client:
    user = staff("somebody", **permissions)
    user.groups.set(Group.objects.filter(name__in=roles))
    return client_of(user)


@pytest.fixture
def operator() -> Client:
    return person("Operator")


@pytest.fixture
def administrator() -> Client:
    return person("Administrator")


def address(action: str, subject: Any) -> str:
    meta = subject._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{action}", args=[subject.pk])


def page(subject: Any) -> str:
    return address("change", subject)


def said(response: Any) -> str:
    """Return the messages that an answer leaves for the next page."""
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def history(subject: Any) -> list[str]:
    return [
        entry.change_message
        for entry in LogEntry.objects.filter(
            object_id=str(subject.pk), content_type__model=subject._meta.model_name
        )
    ]


def ended_run(connection: Connection, **columns: Any) -> SyncRun:
    started = SyncRun._meta.get_field("sync_start_time").get_default()
    options = {"models": ["courses"], "courses": [], "term_scope": "all", "user": ""}
    return SyncRun.objects.create(
        connection_key=connection.pk,
        connection_name=connection.name,
        instance_key=connection.instance_id,
        **{"sync_status": "failed", "sync_end_time": started, "options": options, **columns},
    )


# --- syncs --------------------------------------------------------------------------------------------


def test_sync_now_queues_what_the_form_asks_and_leads_to_the_run(operator, queue):
    connection = ConnectionFactory()
    response = operator.post(
        address("sync", connection),
        {
            "mode": "full",
            "courses": "42, 7~43 sis_course_id:X",
            "models": ["courses", "sections"],
            "dry_run": "on",
        },
    )

    run = SyncRun.objects.get()
    assert response.url == page(run)
    assert queue == [run.pk]
    assert (run.sync_status, run.mode, run.dry_run, run.trigger) == ("queued", "full", True, "console")
    assert run.options["courses"] == ["42", "7~43", "sis_course_id:X"]
    assert run.options["models"] == ["courses", "sections"]
    assert f'href="{page(run)}"' in said(response)
    assert history(connection) == [f"Started run {run.pk}."]


def test_sync_now_with_nothing_filled_in_syncs_everything_as_is_due(operator, queue):
    connection = ConnectionFactory()
    operator.post(address("sync", connection))

    run = SyncRun.objects.get()
    assert (run.mode, run.sync_type, run.dry_run) == ("full", "all", False)
    assert "submissions" in run.options["models"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"courses": "Compilers"}, "is no course id: write 42, 123~42 or sis_course_id:X"),
        ({"courses": "42", "user": "ada"}, "not both"),
        ({"models": ["grades"]}, "grades is not one of the available choices"),
        ({"mode": "sideways"}, "sideways is not one of the available choices"),
    ],
)
def test_what_cannot_be_synced_is_said_on_the_form(operator, queue, asked, words):
    response = operator.post(address("sync", ConnectionFactory()), asked)

    assert words in text_of(response)
    assert not SyncRun.objects.exists()
    assert queue == []


def test_five_clicks_start_one_run_and_the_others_name_it(operator, queue):
    connection = ConnectionFactory()
    responses = [operator.post(address("sync", connection)) for _ in range(5)]

    run = SyncRun.objects.get()
    assert queue == [run.pk]
    assert [response.url for response in responses] == [page(run), *[page(connection)] * 4]
    for response in responses:
        assert f'href="{page(run)}"' in said(response)
    assert history(connection) == [f"Started run {run.pk}."]


def test_without_a_queue_nothing_is_started_and_the_form_says_why(operator, monkeypatch):
    def unreachable() -> None:
        raise QueueUnreachable

    monkeypatch.setattr(tasks, "_check_queue", unreachable)
    connection = ConnectionFactory()
    response = operator.post(address("sync", connection))

    assert "Redis does not answer, so nothing was started" in text_of(response)
    assert not SyncRun.objects.exists()
    assert history(connection) == []


def test_a_course_is_synced_with_the_connection_that_sees_most(operator, queue):
    teacher = ConnectionFactory(authoritative=False)
    dead = ConnectionFactory(instance=teacher.instance, state=Connection.State.REJECTED)
    best = ConnectionFactory(instance=teacher.instance)
    elsewhere = ConnectionFactory()
    course = CourseFactory(instance=teacher.instance, canvas=4711)
    operator.post(address("sync", course))

    run = SyncRun.objects.get()
    assert run.connection_key == best.pk
    assert run.connection_key not in (teacher.pk, dead.pk, elsewhere.pk)
    assert (run.sync_type, run.options["courses"]) == ("course", ["4711"])
    assert history(course) == [f"Started run {run.pk}."]


def test_a_course_that_canvas_no_longer_has_is_not_synced(operator, queue):
    course = CourseFactory(deleted_at="2026-01-01T00:00Z")
    ConnectionFactory(instance=course.instance)

    assert "Sync this course now" not in text_of(operator.get(page(course)))
    operator.post(address("sync", course))
    assert not SyncRun.objects.exists()


# --- runs ---------------------------------------------------------------------------------------------


def test_resume_queues_a_run_that_goes_on(operator, queue):
    stopped = ended_run(ConnectionFactory())
    response = operator.post(address("resume", stopped))

    run = SyncRun.objects.get(resumed_from=stopped)
    assert response.url == page(run)
    assert run.options["models"] == ["courses"]
    assert history(stopped) == [f"Started run {run.pk}."]
    assert "Resume" not in [
        each["action"].title for each in operator.get(page(stopped)).context["console_actions"]
    ]


@pytest.mark.parametrize("status", ["completed", "in_progress"])
def test_what_left_nothing_undone_is_not_resumed(operator, queue, status):
    end = {"sync_end_time": None} if status == "in_progress" else {}
    run = ended_run(ConnectionFactory(), sync_status=status, **end)
    operator.post(address("resume", run))

    assert SyncRun.objects.count() == 1


def test_cancel_asks_a_run_at_work_to_stop(operator):
    run = ended_run(ConnectionFactory(), sync_status="in_progress", sync_end_time=None)
    response = operator.post(address("cancel", run))

    run.refresh_from_db()
    assert run.cancel_requested
    assert "stops at its next sign of life" in said(response)
    assert history(run) == ["Cancelled the run."]


def test_cancel_ends_a_queued_run_at_once(operator, queue):
    operator.post(address("sync", ConnectionFactory()))
    run = SyncRun.objects.get()
    response = operator.post(address("cancel", run))

    run.refresh_from_db()
    assert run.sync_status == "cancelled"
    assert "The run is cancelled" in said(response)


def test_an_ended_run_is_not_cancelled(operator):
    run = ended_run(ConnectionFactory(), sync_status="completed")
    operator.post(address("cancel", run))

    run.refresh_from_db()
    assert (run.sync_status, run.cancel_requested) == ("completed", False)


# --- tokens -------------------------------------------------------------------------------------------


@pytest.fixture
def connect_with(canvas: EventfulSandbox, administrator: Client, secrecy: None) -> Callable[..., Any]:
    """Return a function that sends the form which connects a Canvas."""

    def send(token: str, **asked: str) -> Any:
        given = {"name": "main", "base_url": canvas.url, "token": token, **asked}
        return administrator.post(reverse("admin:canvas_connection_add"), given)

    return send


def test_connecting_probes_the_token_and_says_what_it_found(canvas, connect_with):
    response = connect_with(canvas.token, expires_at="2030-01-31")

    connection = Connection.objects.get()
    assert response.url == page(connection)
    assert connection.token == canvas.token
    assert (connection.authoritative, connection.account_admin) == (True, True)
    assert f"Connected main to {canvas.url}. Token of Canvas user 1001, account administrator." in said(
        response
    )
    assert canvas.token.partition("~")[2] not in said(response)
    assert history(connection) == ["Connected a Canvas."]


def test_the_end_of_a_token_is_believed_where_canvas_does_not_tell(canvas, connect_with):
    connect_with(canvas.tokens["narrow"], expires_at="2030-01-31")

    connection = Connection.objects.get()
    assert connection.token_expiry == Connection.Expiry.KNOWN
    assert f"{connection.token_expires_at:%Y-%m-%d}" == "2030-01-31"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"token": "7~WrongWrongWrongWrongWrong"}, "Canvas does not accept the token"),
        ({"token": "two words"}, "The token must be one word"),
        ({"token": ""}, "This field is required"),
        ({"base_url": "http://canvas.example.edu"}, "https"),
        ({"base_url": "nonsense"}, "give it as https://canvas.example.edu"),
        ({"name": "no good"}, "Enter a valid"),
    ],
)
def test_what_cannot_be_connected_is_said_in_the_commands_words(canvas, connect_with, asked, words):
    response = connect_with(
        asked.get("token", canvas.token), **{k: v for k, v in asked.items() if k != "token"}
    )
    shown = response.content.decode()

    assert words in text_of(response)
    assert not Connection.objects.exists()
    assert not Instance.objects.exists()
    assert not [
        token for token in ("WrongWrong", canvas.token.partition("~")[2], "two words") if token in shown
    ]


def test_a_connection_is_not_replaced_by_connecting_another_of_its_name(canvas, connect_with):
    ConnectionFactory(name="main")
    assert "a connection of this name already" in text_of(connect_with(canvas.token))
    assert Connection.objects.get().token != canvas.token


def test_a_token_is_replaced_once_canvas_accepts_the_new_one(canvas, connection, administrator, secrecy):
    new = canvas.new_admin_token()
    wrong = administrator.post(address("token", connection), {"token": "7~WrongWrongWrongWrongWrong"})
    assert "Canvas does not accept the token" in text_of(wrong)
    connection.refresh_from_db()
    assert connection.token == canvas.token

    response = administrator.post(address("token", connection), {"token": new, "authoritative": "on"})
    connection.refresh_from_db()
    assert response.url == page(connection)
    assert connection.token == new
    assert history(connection) == ["Stored a token that Canvas accepts."]


def test_testing_keeps_what_canvas_says(canvas, connection, operator, secrecy):
    Connection.objects.update(state=Connection.State.UNREACHABLE, capabilities={})
    response = operator.post(address("test", connection))

    connection.refresh_from_db()
    assert (connection.state, connection.capabilities["courses"]) == (Connection.State.OK, "allowed")
    assert "It works. Token of Canvas user 1001" in said(response)
    assert history(connection) == ["Tested the token: it works."]


def test_testing_a_dead_token_says_so_and_keeps_it(canvas, connection, operator, secrecy):
    canvas.edit("revoke_token")
    response = operator.post(address("test", connection))

    connection.refresh_from_db()
    assert connection.state == Connection.State.REJECTED
    assert connection.state_message in said(response)
    assert history(connection)[0].startswith("Tested the token: ")


def test_testing_a_canvas_that_is_away_says_so(canvas, connection, operator, secrecy):
    canvas.set_faults("502")
    operator.post(address("test", connection))

    connection.refresh_from_db()
    assert connection.state == Connection.State.UNREACHABLE


# --- who may ------------------------------------------------------------------------------------------


def every_action() -> list[tuple[Any, Any]]:
    run = lambda: ended_run(ConnectionFactory())  # noqa: E731
    return [
        *((action, ConnectionFactory) for action in CONNECTION_ACTIONS),
        *((action, lambda: ConnectionFactory() and CourseFactory()) for action in COURSE_ACTIONS),
        *((action, run) for action in RUN_ACTIONS),
    ]


@pytest.mark.parametrize(("action", "make"), every_action(), ids=lambda value: getattr(value, "title", ""))
def test_a_viewer_sees_no_buttons_and_a_forged_post_is_refused(action, make, queue):
    viewer, subject = person("Viewer"), make()
    shown = viewer.get(page(subject))

    assert shown.status_code == 200
    assert shown.context["console_actions"] == []
    assert action.title not in text_of(shown)
    for response in (viewer.get(address(action.name, subject)), viewer.post(address(action.name, subject))):
        assert response.status_code == 403
    assert queue == []
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(("action", "make"), every_action(), ids=lambda value: getattr(value, "title", ""))
def test_an_action_needs_a_post_with_its_csrf_token(action, make, queue):
    subject = make()
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff("root", superuser=True), backend="django.contrib.auth.backends.ModelBackend")
    before = SyncRun.objects.count()

    assert client.post(address(action.name, subject)).status_code == 403
    client.get(address(action.name, subject))
    client.put(address(action.name, subject))
    assert SyncRun.objects.count() == before
    assert queue == []
    assert not LogEntry.objects.exists()


def test_a_rows_menu_offers_what_one_may_do(operator):
    connection = ConnectionFactory()
    url = reverse("admin:canvas_connection_changelist")
    links = [address(name, connection) for name in ("sync", "test")]
    body = operator.get(url).content.decode()

    assert all(f'href="{link}"' in body for link in links)
    assert address("token", connection) not in body
    User.objects.get().groups.set(Group.objects.filter(name="Viewer"))
    assert not any(link in operator.get(url).content.decode() for link in links)


def test_who_is_limited_to_sites_acts_on_those_and_connects_none(queue):
    mine, other = ConnectionFactory(), ConnectionFactory()
    limited = person("Administrator")
    InstanceLimit.objects.create(user=User.objects.get(), instance=mine.instance)

    assert limited.post(address("sync", other)).status_code == 404
    assert limited.post(address("resume", ended_run(other))).status_code == 404
    assert limited.get(address("progress", ended_run(other))).status_code == 404
    assert limited.get(reverse("admin:canvas_connection_add")).status_code == 403
    assert queue == []
    assert limited.post(address("sync", mine)).status_code == 302


def test_a_viewer_cannot_replace_a_token_or_connect():
    viewer = person("Viewer")
    assert viewer.post(address("token", ConnectionFactory()), {"token": "x"}).status_code == 403
    assert viewer.post(reverse("admin:canvas_connection_add"), {}).status_code == 403
    assert viewer.get(reverse("admin:canvas_connection_add")).status_code == 403


# --- progress -----------------------------------------------------------------------------------------


def test_progress_tells_how_far_a_run_is(operator):
    run = ended_run(ConnectionFactory(), sync_status="in_progress", sync_end_time=None, api_calls_made=7)
    run.counts.create(entity="courses", processed=3)
    run.counts.create(entity="submissions", processed=40)
    run.steps.create(key="courses", title="Courses", state="completed", ended_at="2026-01-01T00:00Z")
    run.steps.create(key="course:1", title="Compilers", state="completed", ended_at="2026-01-01T00:00Z")
    run.steps.create(key="course:2", title="Logic", state="in_progress")
    run.steps.create(key="course:3", title="Ethics")
    found = operator.get(address("progress", run)).json()

    assert found["id"] == str(run.pk)
    assert found["sync_status"] == "in_progress"
    assert found["submissions"]["processed"] == 40
    assert found["progress"] == {
        "state": "In progress",
        "ended": False,
        "cancelling": False,
        "courses_done": 1,
        "courses_total": 3,
        "at_work": ["Logic"],
        "rows": 43,
        "requests": 7,
    }


def test_progress_is_for_those_who_may_see_the_run():
    run = ended_run(ConnectionFactory())
    url = address("progress", run)

    assert Client().get(url).status_code == 302
    assert client_of(staff("nobody")).get(url).status_code == 403
    assert person("Viewer").get(url).status_code == 200
    assert client_of(staff("root", superuser=True)).get(url.replace(str(run.pk), "0")).status_code == 404


def test_a_run_that_has_ended_asks_for_no_progress(operator):
    run = ended_run(ConnectionFactory())
    assert "data-url" not in operator.get(page(run)).content.decode()
    SyncRun.objects.update(sync_status="in_progress", sync_end_time=None)
    assert f'data-url="{address("progress", run)}"' in operator.get(page(run)).content.decode()
