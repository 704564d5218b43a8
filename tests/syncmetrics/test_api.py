"""The JSON API: what it answers, to whom, what it refuses, and that its document is true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import convert
from openapi_spec_validator import validate

from config.api import ENDPOINTS, describe
from syncmetrics.api import KEY, MOST_RUNS, Dashboard, Run, RunPage, State, Summary
from syncmetrics.daily import add_run
from syncmetrics.endpoints import BadParameter, Problem, read_query
from syncmetrics.models import ApiToken, SyncCount, SyncRun, SyncStep
from syncmetrics.tokens import PREFIX, digest, make_token
from tests.console import client_of, person, staff, text_of
from tests.factories import ConnectionFactory, InstanceFactory

pytestmark = pytest.mark.django_db
NOW = timezone.now()
SYNCS = "/api/syncs/"
SUMMARY = "/api/syncs/summary/"
METRICS = "/api/canvas/sync/metrics/"


@pytest.fixture
def connection() -> Any:
    """A connection whose runs there are."""
    return ConnectionFactory(name="main")


@pytest.fixture
def viewer(connection: Any) -> Client:
    """Somebody who may see runs, logged in."""
    return client_of(person("vera", "Viewer"))


def ended(
    connection: Any, status: str = "completed", ago: timedelta = timedelta(hours=1), **more: Any
) -> Any:
    """Return a run that has ended, with counts, a step, and its part in its day."""
    start = NOW - ago
    columns = {
        "instance_key": connection.instance_id,
        "connection_key": connection.pk,
        "connection_name": connection.name,
        "sync_status": status,
        "sync_start_time": start,
        "sync_end_time": start + timedelta(seconds=60),
        "total_duration_seconds": 60.0,
        "api_calls_made": 10,
        **more,
    }
    run = SyncRun.objects.create(**columns)
    SyncCount.objects.create(run=run, entity="courses", processed=3, created=1, updated=2)
    SyncStep.objects.create(run=run, key="course:1", state="completed")
    add_run(run)
    return run


def ids(response: Any) -> list[int]:
    assert response.status_code == 200, response.content
    return [run["id"] for run in response.json()["syncs"]]


# --- answers --------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_as_the_serializer_writes_them(viewer: Client, connection: Any) -> None:
    old, new = ended(connection, ago=timedelta(days=2)), ended(connection, "failed", error_message="No.")
    answer = viewer.get(SYNCS).json()
    assert answer == {"syncs": [new.to_dict(), old.to_dict()], "next": None}
    assert answer["syncs"][0]["courses"]["processed"] == 3
    assert answer["syncs"][0]["steps"] == {"total": 1, "completed": 1, "failed": 0}


def test_one_run_has_its_address(viewer: Client, connection: Any) -> None:
    run = ended(connection)
    assert viewer.get(f"{SYNCS}{run.pk}/").json() == run.to_dict()


@pytest.mark.parametrize("key", [0, 4711, 2**63, 10**40])
def test_a_run_that_is_not_there_is_a_sentence(viewer: Client, key: int) -> None:
    response = viewer.get(f"{SYNCS}{key}/")
    assert (response.status_code, response.json()["error"]) == (
        404,
        f"There is no run {key} that you may see.",
    )


def test_pages_hold_every_run_once_and_keep_the_filters(viewer: Client, connection: Any) -> None:
    runs = [ended(connection, "failed" if number % 2 else "completed") for number in range(7)]
    seen, address = [], f"{SYNCS}?status=failed,partial&limit=2&connection=main"
    while address:
        response = viewer.get(address)
        seen += ids(response)
        ended(connection, "failed")  # what is new meanwhile moves nothing
        address = response.json()["next"]
    assert seen == [run.pk for run in reversed(runs) if run.sync_status == "failed"]


def test_a_page_costs_the_same_however_many_runs(
    viewer: Client, connection: Any, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        ended(connection)
    with django_assert_max_num_queries(9):  # five of them: who asks, and what they may see
        assert len(ids(viewer.get(f"{SYNCS}?limit=30&connection=main"))) == 30
    with django_assert_max_num_queries(14):
        assert len(viewer.get(METRICS).json()["recent_syncs"]) == 10


FILTERS = {
    "status=failed": "failed",
    "status=failed,lost": "failed lost",
    "user=42": "user",
    "connection=second": "second",
    "since=2020-01-01&until=2020-01-02": "old",
    "until=2020-01-01T12:00:01Z": "old",
    "until=2020-01-01T12:00:00Z": "",
    "since=2020-01-01T14:00:00%2B02:00&until=2020-01-02": "old",
    "since=2020-01-01T14:00:00+02:00&until=2020-01-02": "old",
    "since=2020-01-01T14:00:01%2B02:00&until=2020-01-02": "",
    "user=43": "",
}


@pytest.mark.parametrize("query", FILTERS)
def test_filters_keep_what_they_name(viewer: Client, connection: Any, query: str) -> None:
    second = ConnectionFactory(name="second")
    noon = datetime(2020, 1, 1, 12, tzinfo=UTC)
    runs = {
        "failed": ended(connection, "failed"),
        "lost": ended(connection, "lost"),
        "user": ended(connection, user_id=42),
        "second": ended(second),
        "old": ended(connection, sync_start_time=noon, sync_end_time=noon),
    }
    assert {*ids(viewer.get(f"{SYNCS}?{query}"))} == {runs[name].pk for name in FILTERS[query].split()}


def test_a_connection_is_found_by_number_and_after_it_was_renamed(viewer: Client, connection: Any) -> None:
    run = ended(connection)
    type(connection).objects.filter(pk=connection.pk).update(name="renamed")
    for name in ("renamed", connection.pk):
        assert ids(viewer.get(f"{SYNCS}?connection={name}")) == [run.pk]
    assert viewer.get(f"{SYNCS}?connection=main").status_code == 400


def test_a_summary_is_of_days_user_and_connection(viewer: Client, connection: Any) -> None:
    ended(connection, user_id=42)
    ended(connection, "failed", user_id=43)
    ended(ConnectionFactory(name="second"), ago=timedelta(days=20))
    expected = {
        "": (2, 50.0, 2, 6),
        "?days=30": (3, 66.67, 2, 9),
        "?user=42": (1, 100.0, 1, 3),
        "?connection=second": (0, 0, 0, 0),
        "?days=30&connection=second": (1, 100.0, 0, 3),
    }
    for query, numbers in expected.items():
        answer = viewer.get(SUMMARY + query).json()
        names = ("total_syncs", "success_rate", "unique_users", "total_courses_processed")
        assert tuple(answer[name] for name in names) == numbers, query


def test_the_dashboard_is_a_summary_and_the_last_ten(viewer: Client, connection: Any) -> None:
    runs = [ended(connection, ago=timedelta(hours=number)) for number in range(12)]
    answer = viewer.get(METRICS).json()
    assert set(answer) == {"summary", "recent_syncs"}
    assert [run["id"] for run in answer["recent_syncs"]] == [run.pk for run in runs[:10]]
    assert answer["summary"]["days"] == 7
    assert answer["summary"]["total_syncs"] == 12


def test_answers_are_not_kept_by_browsers_and_head_is_answered(viewer: Client) -> None:
    assert "no-store" in viewer.get(SYNCS)["Cache-Control"]
    assert viewer.head(SYNCS).status_code == 200


# --- refusals -------------------------------------------------------------------------------------

WRONG = {
    "days=0": "`days` cannot be '0': it is a number of days from 1 to 3660.",
    "days=3661": "`days` cannot be '3661'",
    "days=x": "`days` cannot be 'x'",
    "days=7&days=8": "`days` cannot be ['7', '8']: it is given once.",
    "dayz=7": "There is no parameter 'dayz'; known are: days, user, connection.",
    "user=": "`user` cannot be ''",
    "user=ada": "`user` cannot be 'ada': it is the number of a person of this console.",
    f"user={2**63}": "`user` cannot be",
    "user=%00": "`user` cannot be '\\x00'",
    "connection=nowhere": "`connection` cannot be 'nowhere': it is the name or the number of a",
    "connection=%ef%bc%91": "`connection` cannot be",
    f"connection={'9' * 40}": "`connection` cannot be",
}


@pytest.mark.parametrize("query", WRONG)
@pytest.mark.parametrize("address", [SUMMARY, METRICS])
def test_what_cannot_be_is_said_in_a_sentence(viewer: Client, address: str, query: str) -> None:
    response = viewer.get(f"{address}?{query}")
    assert response.status_code == 400
    assert response.json()["error"].startswith(WRONG[query])
    assert response["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "query",
    [
        "status=done",
        "status=",
        "status=failed,",
        "status=failed&status=lost",
        "limit=0",
        f"limit={MOST_RUNS + 1}",
        "before=-1",
        "since=yesterday",
        "since=2026-13-01",
        "since=0001-01-01T00:00:00%2B14:00",
        "until=9999-12-31T23:59:59-12:00",
        f"since={'9' * 5000}",
    ],
)
def test_impossible_filters_are_refused(viewer: Client, query: str) -> None:
    response = viewer.get(f"{SYNCS}?{query}")
    assert response.status_code == 400
    assert len(response.json()["error"]) < 400


@given(name=st.sampled_from([*ENDPOINTS]), texts=st.dictionaries(st.text(), st.lists(st.text()), max_size=3))
def test_no_parameters_break_the_reader(name: Any, texts: dict[str, list[str]]) -> None:
    fields = list(name.query.__struct_fields__)
    texts = {fields[len(key) % len(fields)] if fields else key: value for key, value in texts.items()}
    try:
        said = read_query(name.query, texts)
    except BadParameter as bad:
        said = str(bad)
    assert isinstance(said, name.query) or said.endswith(".")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: one.name)
def test_who_is_not_logged_in_is_told_so_in_json(endpoint: Any, connection: Any) -> None:
    url = reverse(f"api:{endpoint.name}", kwargs=dict.fromkeys(endpoint.parts, 1))
    response = Client().get(url)
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert "Authorization: Bearer" in response.json()["error"]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: one.name)
def test_who_may_not_see_it_is_refused_in_json(endpoint: Any, connection: Any) -> None:
    url = reverse(f"api:{endpoint.name}", kwargs=dict.fromkeys(endpoint.parts, 1))
    response = client_of(staff("nora")).get(url)
    assert response.status_code == 403
    assert endpoint.permission in response.json()["error"]


@pytest.mark.parametrize("address", [SYNCS, f"{SYNCS}1/", SUMMARY, METRICS, "/api/openapi.json"])
def test_nothing_is_written_by_the_api(viewer: Client, address: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = viewer.cookies
    for method in ("post", "put", "patch", "delete", "options"):
        response = getattr(strict, method)(address)
        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
        assert "use GET" in response.json()["error"]


@pytest.mark.parametrize("address", ["/api/nothing/", "/api/nothing", f"{SYNCS}x/", "/api/canvas/sync/"])
def test_an_address_that_there_is_not_is_refused_in_json(viewer: Client, address: str) -> None:
    response = viewer.get(address, follow=True)
    assert response.status_code == 404
    assert "/api/openapi.json" in response.json()["error"]


@pytest.mark.parametrize("address", [SUMMARY, METRICS])
def test_an_address_without_its_slash_leads_to_the_one_with_it(viewer: Client, address: str) -> None:
    response = viewer.get(f"{address[:-1]}?days=3")
    assert (response.status_code, response.url) == (301, f"{address}?days=3")


def test_limits_to_instances_hold_everywhere(connection: Any) -> None:
    other = ConnectionFactory(instance=InstanceFactory(), name="other")
    own, foreign = ended(connection), ended(other)
    nowhere = ended(connection, instance_key=None, connection_key=None)
    ada = client_of(person("ada", "Viewer", only=[connection.instance]))

    assert ids(ada.get(SYNCS)) == [own.pk]
    assert ada.get(f"{SYNCS}{foreign.pk}/").status_code == 404
    assert ada.get(f"{SYNCS}{nowhere.pk}/").status_code == 404
    assert ada.get(SUMMARY).json()["total_syncs"] == 1
    metrics = ada.get(METRICS).json()
    assert [run["id"] for run in metrics["recent_syncs"]] == [own.pk]
    assert metrics["summary"]["total_syncs"] == 1
    for name in ("other", other.pk):
        for address in (SYNCS, SUMMARY, METRICS):
            response = ada.get(f"{address}?connection={name}")
            assert response.status_code == 400, address
    assert client_of(person("bob", "Viewer")).get(SUMMARY).json()["total_syncs"] == 3


# --- tokens ---------------------------------------------------------------------------------------


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_a_token_reads_as_its_person_and_is_kept_as_digest(connection: Any) -> None:
    run, foreign = ended(connection), ended(ConnectionFactory())
    ada = person("ada", "Viewer", only=[connection.instance])
    _, text = make_token(ada, "nightly", days=30)

    assert ids(Client().get(SYNCS, headers=bearer(text))) == [run.pk]
    assert Client().get(f"{SYNCS}{foreign.pk}/", headers=bearer(text)).status_code == 404
    stored = str(ApiToken.objects.values().get())
    assert text.startswith(PREFIX)
    assert text not in stored
    assert text[len(PREFIX) :] not in stored
    assert ApiToken.objects.get().last_used_at is not None


def test_a_token_that_is_expired_revoked_or_wrong_is_refused(connection: Any) -> None:
    ada = person("ada", "Viewer")
    token, text = make_token(ada, "nightly", days=30)
    logged_in = client_of(ada)
    for wrong in ("", "x", text[:-1], f"{text}x", "\x00", "é" * 10, token.digest):
        # Nor does the session help out: who sends a token means it.
        response = logged_in.get(SYNCS, headers=bearer(quote(wrong)))
        assert response.status_code == 401, wrong
        assert "make a new one" in response.json()["error"]
    assert logged_in.get(SYNCS, headers={"Authorization": f"Basic {text}"}).status_code == 401

    ApiToken.objects.update(expires_at=NOW - timedelta(seconds=1))
    assert Client().get(SYNCS, headers=bearer(text)).status_code == 401
    ApiToken.objects.update(expires_at=None)
    assert Client().get(SYNCS, headers=bearer(text)).status_code == 200
    ApiToken.objects.all().delete()
    assert Client().get(SYNCS, headers=bearer(text)).status_code == 401


def test_a_token_ends_with_the_rights_of_its_person(connection: Any) -> None:
    ada = person("ada", "Viewer")
    _, text = make_token(ada, "nightly", days=None)
    ada.groups.clear()
    assert Client().get(SYNCS, headers=bearer(text)).status_code == 403
    ada.is_active = False
    ada.save()
    assert Client().get(SYNCS, headers=bearer(text)).status_code == 401


def test_a_token_opens_no_page_of_the_console(connection: Any) -> None:
    _, text = make_token(staff("root", superuser=True), "nightly", days=None)
    assert Client().get(reverse("admin:index"), headers=bearer(text)).status_code == 302


def test_the_use_of_a_token_is_noted_seldom(connection: Any, django_assert_num_queries: Any) -> None:
    _, text = make_token(staff("root", superuser=True), "nightly", days=None)
    Client().get(SYNCS, headers=bearer(text))
    first = ApiToken.objects.get().last_used_at
    Client().get(SYNCS, headers=bearer(text))
    assert ApiToken.objects.get().last_used_at == first


def test_a_token_is_made_shown_once_and_revoked_in_the_console() -> None:
    ada = person("ada", "Viewer")
    client = client_of(ada)
    made = client.post(reverse("admin:syncmetrics_apitoken_add"), {"name": "nightly", "days": "90"})
    shown = text_of(made)
    token = ApiToken.objects.get()
    text = next(word for word in shown.split() if word.startswith(PREFIX))
    assert (digest(text), token.user) == (token.digest, ada)
    assert "no-store" in made["Cache-Control"]
    assert token.expires_at is not None
    assert token.expires_at - NOW > timedelta(days=89)
    page = reverse("admin:syncmetrics_apitoken_change", args=[token.pk])
    for address in (reverse("admin:syncmetrics_apitoken_changelist"), page):
        assert "nightly" in text_of(client.get(address))
        assert text not in client.get(address).content.decode()
        assert token.digest not in client.get(address).content.decode()

    bob = client_of(person("bob", "Viewer"))
    revoke = reverse("admin:syncmetrics_apitoken_revoke", args=[token.pk])
    assert bob.post(revoke, {"post": "yes"}).status_code == 404
    assert "nightly" not in text_of(bob.get(reverse("admin:syncmetrics_apitoken_changelist")))
    assert client.post(revoke, {"post": "yes"}).status_code == 302
    assert not ApiToken.objects.exists()


def test_a_token_wants_a_name() -> None:
    client = client_of(person("ada", "Viewer"))
    response = client.post(reverse("admin:syncmetrics_apitoken_add"), {"name": "", "days": "12345"})
    assert response.status_code == 200
    assert not ApiToken.objects.exists()


# --- the document ---------------------------------------------------------------------------------


@pytest.fixture
def document() -> dict[str, Any]:
    response = Client().get("/api/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def test_the_document_is_openapi_and_names_every_endpoint(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) >= {SYNCS, f"{SYNCS}{{pk}}/", SUMMARY, METRICS}
    assert len(document["paths"]) == len(ENDPOINTS)
    assert document == describe(ENDPOINTS)


def schema_of(document: dict[str, Any], path: str, status: int) -> Draft202012Validator:
    answer = document["paths"][path]["get"]["responses"][str(status)]["content"]["application/json"]["schema"]
    return Draft202012Validator(
        {**answer, "components": document["components"]},
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


def test_answers_are_what_the_document_says(
    viewer: Client, connection: Any, document: dict[str, Any]
) -> None:
    run = ended(connection, "partial", error_message="Half.", user_id=42)
    SyncCount.objects.create(run=run, entity="scores", processed=1)  # of an entity not in the document
    SyncRun.objects.create(sync_status="queued", queued_at=NOW, instance_key=5, genre="course")
    calls = [
        (SYNCS, SYNCS, viewer, 200),
        (SYNCS, f"{SYNCS}?limit=1", viewer, 200),
        (f"{SYNCS}{{pk}}/", f"{SYNCS}{run.pk}/", viewer, 200),
        (SUMMARY, SUMMARY, viewer, 200),
        (METRICS, METRICS, viewer, 200),
        (SYNCS, f"{SYNCS}?limit=x", viewer, 400),
        (SUMMARY, SUMMARY, Client(), 401),
        (METRICS, METRICS, client_of(staff("nora")), 403),
        (f"{SYNCS}{{pk}}/", f"{SYNCS}0/", viewer, 404),
    ]
    for path, address, client, status in calls:
        response = client.get(address)
        assert response.status_code == status, address
        schema_of(document, path, status).validate(response.json())
    with pytest.raises(Exception, match="is a required property"):
        schema_of(document, SYNCS, 200).validate({"syncs": [{}], "next": None})


def test_the_document_leaves_out_no_key_of_an_answer(viewer: Client, connection: Any) -> None:
    run = ended(connection)
    answers = {RunPage: SYNCS, Run: f"{SYNCS}{run.pk}/", Summary: SUMMARY, Dashboard: METRICS}
    for form, address in answers.items():
        answer = viewer.get(address).json()
        assert set(answer) == set(form.__struct_fields__)
        convert(answer, form)
    assert convert(viewer.get(f"{SYNCS}0/").json(), Problem).error


def test_the_states_of_the_document_are_those_of_a_run() -> None:
    assert set(State.__args__) == set(SyncRun.Status.values)
    assert KEY == 2**63 - 1


def test_parameters_of_the_document_are_those_that_are_taken(
    viewer: Client, document: dict[str, Any]
) -> None:
    for path in (SYNCS, SUMMARY, METRICS):
        for parameter in document["paths"][path]["get"]["parameters"]:
            bad = viewer.get(path, {parameter["name"]: "\x00"}).json()["error"]
            assert parameter["name"] in bad
            assert parameter["description"][1:].partition(".")[0] in bad or "that you may see" in bad
