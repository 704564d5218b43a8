"""`/metrics`: off unless wanted, told to whoever has the token, readable, and never going back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from canvas.freshness import Freshness, freshness
from canvas.models import Connection
from config import celery_app, prometheus
from syncmetrics.models import Incident, JobRun, SyncRun
from syncmetrics.runs import finish_run, start_run
from tests.console import client_of, staff
from tests.factories import ConnectionFactory, InstanceFactory
from tests.servers import RedisServer
from tests.workers import use_broker

pytestmark = pytest.mark.django_db
TOKEN = {"Authorization": "Bearer open sesame"}


@pytest.fixture(autouse=True)
def switched_on(settings: Any) -> Iterator[None]:
    settings.PROMETHEUS_TOKEN = "open sesame"
    cache.clear()
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def no_broker() -> Iterator[None]:
    """Point the queue where nobody answers; a test that wants one says so."""
    before = celery_app.conf.broker_url
    use_broker("redis://127.0.0.1:1")
    yield
    use_broker(before)


def ask(**headers: str) -> Any:
    return Client().get("/metrics", headers=TOKEN | headers)


def read(response: Any | None = None) -> dict[str, dict[tuple[str, ...], float]]:
    """Return samples by name and the values of their labels."""
    response = response or ask()
    assert response.status_code == 200, response.content
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in plain_text(response.content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def run_once(connection: Any, status: str = "completed", **columns: Any) -> SyncRun:
    run = start_run(
        sync_type="all",
        genre="all",
        mode="full",
        trigger="command",
        instance_key=connection.instance_id,
        connection_key=connection.pk,
        connection_name=connection.name,
        dry_run=columns.pop("dry_run", False),
    )
    SyncRun.objects.filter(pk=run.pk).update(**columns)
    finish_run(run, status)
    return run


# --- who is told ----------------------------------------------------------------------------------


def test_without_a_token_set_there_is_no_such_page(settings: Any) -> None:
    settings.PROMETHEUS_TOKEN = ""
    for headers in ({}, TOKEN, {"Authorization": "Bearer "}):
        response = Client().get("/metrics", headers=headers)
        assert response.status_code == 404
        assert "PROMETHEUS_TOKEN" in response.content.decode()


@pytest.mark.parametrize(
    "given", [None, "Bearer", "Bearer ", "Bearer wrong", "Basic open sesame", "Bearer é"]
)
def test_without_the_right_token_nothing_is_told(given: str | None) -> None:
    ConnectionFactory(name="main")
    headers = {"Authorization": given} if given is not None else {}
    for client in (Client(), client_of(staff("root", superuser=True))):
        response = client.get("/metrics", headers=headers)
        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Bearer")
        assert "main" not in response.content.decode()


def test_it_is_only_read() -> None:
    for method in ("post", "put", "delete"):
        response = getattr(Client(enforce_csrf_checks=True), method)("/metrics", headers=TOKEN)
        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
    assert Client().head("/metrics", headers=TOKEN).status_code == 200
    assert "no-store" in ask()["Cache-Control"]


def test_a_scraper_is_not_sent_to_https(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert ask().status_code == 200


def test_a_database_that_is_away_is_said(monkeypatch: Any) -> None:
    def refuse(*_: Any) -> Any:
        raise DatabaseError("connection to 10.0.0.1 failed for user easel")

    monkeypatch.setattr(prometheus, "_of_days", refuse)
    response = ask()
    assert (response.status_code, response.content) == (503, b"The database does not answer.\n")


# --- what is told ---------------------------------------------------------------------------------


def test_both_forms_are_as_their_parsers_want_them() -> None:
    run_once(ConnectionFactory(name="main"))
    response = ask()
    assert response["Content-Type"].startswith("text/plain; version=")
    families = {family.name: family for family in plain_text(response.content.decode())}
    assert families["easel_sync_runs"].type == "counter"
    assert families["easel_sync_duration_seconds"].type == "summary"
    assert all(family.documentation.endswith(".") for family in families.values())
    asked = ask(Accept="application/openmetrics-text; version=1.0.0")
    assert asked["Content-Type"].startswith("application/openmetrics-text")
    assert {family.name for family in open_metrics(asked.content.decode())} == set(families)


def test_runs_and_what_they_cost_are_counted_when_they_end() -> None:
    main, other = ConnectionFactory(name="main"), ConnectionFactory(name="other")
    cost = {
        "api_calls_made": 10,
        "api_calls_failed": 2,
        "api_rate_limit_hits": 1,
        "total_api_duration_ms": 5000,
        "db_duration_ms": 250,
    }
    for _ in range(2):
        run_once(main, **cost)
    run_once(main, "failed")
    run_once(other, "partial", **cost)
    run_once(main, dry_run=True, **cost)
    start_run(
        sync_type="course",
        genre="course",
        mode="full",
        trigger="command",
        instance_key=main.instance_id,
        connection_key=main.pk,
        connection_name="main",
    )
    SyncRun.objects.create(sync_status="queued", connection_key=other.pk)
    found = read()

    runs = found["easel_sync_runs_total"]
    assert {key: number for key, number in runs.items() if number} == {
        ("main", "completed"): 2,
        ("main", "failed"): 1,
        ("other", "partial"): 1,
    }
    assert ("main", "lost") in runs
    assert found["easel_canvas_requests_total"] == {("main",): 20, ("other",): 10}
    assert found["easel_canvas_requests_failed_total"][("main",)] == 4
    assert found["easel_canvas_rate_limited_total"][("main",)] == 2
    assert found["easel_canvas_request_seconds_total"][("main",)] == 10
    assert found["easel_database_seconds_total"][("main",)] == 0.5
    assert found["easel_sync_duration_seconds_count"] == {("main",): 2, ("other",): 1}
    assert found["easel_syncs_running"] == {("main",): 1, ("other",): 0}
    assert found["easel_syncs_queued"] == {("main",): 0, ("other",): 1}


def test_counters_do_not_go_back_when_runs_are_deleted() -> None:
    run_once(ConnectionFactory(name="main"), api_calls_made=10)
    before = read()
    SyncRun.objects.all().delete()
    after = read()
    for name in before:
        if name.endswith(("_total", "_sum", "_count")):
            assert after[name] == before[name], name


def test_runs_of_no_connection_and_of_deleted_ones_have_labels_too() -> None:
    gone = ConnectionFactory(name="gone")
    run_once(gone)
    SyncRun.objects.create(sync_status="queued")
    Connection.objects.all().delete()
    ConnectionFactory(name="none")
    found = read()
    assert found["easel_sync_runs_total"][(f"(deleted {gone.pk})", "completed")] == 1
    assert found["easel_syncs_queued"] == {("(none)",): 1, ("none",): 0}


def test_the_last_success_and_the_end_of_the_token_are_moments() -> None:
    end = timezone.now() + timedelta(days=30)
    main = ConnectionFactory(name="main", token_expires_at=end)
    ConnectionFactory(name="new")
    run = run_once(main)
    run_once(main, "failed")
    run.refresh_from_db()
    found = read()
    last = found["easel_sync_last_success_timestamp_seconds"]
    assert run.sync_end_time is not None
    assert last == {("main",): pytest.approx(run.sync_end_time.timestamp(), abs=0.01)}
    assert found["easel_token_expiry_timestamp_seconds"] == {
        ("main",): pytest.approx(end.timestamp(), abs=0.01)
    }


def test_freshness_is_told_in_seconds_and_asked_for_once_a_minute(monkeypatch: Any) -> None:
    site = InstanceFactory(name="North")
    unknown = {"oldest": None, "scopes": 1, "unread": 0, "refused": 0}
    found = [
        Freshness(site, "courses", promised_hours=48, age_hours=1.5, **unknown),
        Freshness(site, "groups", promised_hours=None, age_hours=None, **unknown),
    ]
    monkeypatch.setattr(prometheus, "freshness", lambda: found)
    for _ in range(2):
        told = read()
        assert told["easel_data_age_seconds"] == {("North", "courses"): 5400}
        assert told["easel_data_promised_age_seconds"] == {("North", "courses"): 172_800}
        monkeypatch.setattr(prometheus, "freshness", lambda: pytest.fail("asked again within a minute"))


def test_freshness_is_that_of_the_console() -> None:
    ConnectionFactory(name="main", authoritative=True, account_admin=True)
    expected = {(one.instance.name, one.resource) for one in freshness() if one.age_hours is not None}
    assert set(read().get("easel_data_age_seconds", {})) == expected


def test_jobs_and_incidents_that_are_open_are_counted_and_none_is_zero() -> None:
    JobRun.objects.create(task_id="1", name="x")
    JobRun.objects.create(task_id="2", name="x", state="failed", ended_at=timezone.now())
    Incident.objects.create(kind="failed", subject="a", about="a")
    hence = timezone.now() + timedelta(hours=1)
    Incident.objects.create(kind="failed", subject="b", about="b", ended_at=hence)
    found = read()
    assert found["easel_jobs"] == {("queued",): 1, ("in_progress",): 0, ("retried",): 0}
    assert found["easel_incidents_open"][("failed",)] == 1
    assert found["easel_incidents_open"][("stale",)] == 0


def test_the_queue_is_measured_and_its_absence_told(redis: RedisServer) -> None:
    found = read()
    assert (found["easel_broker_up"][()], found["easel_queue_depth"][("celery",)]) == (1, 0)
    celery_app.send_task("canvas.resume_lost_runs")
    assert read()["easel_queue_depth"][("celery",)] == 1
    redis.kill()
    try:
        found = read()
    finally:
        redis.start()
    assert found["easel_broker_up"][()] == 0
    assert "easel_queue_depth" not in found


def test_names_that_are_no_plain_words_do_not_break_the_form() -> None:
    connection = ConnectionFactory(name="main")
    Connection.objects.filter(pk=connection.pk).update(name='a"b\\c\nd{e}')
    run_once(Connection.objects.get())
    assert read()["easel_sync_runs_total"][('a"b\\c\nd{e}', "completed")] == 1


def test_a_scrape_costs_the_same_however_many_runs_and_connections(
    django_assert_max_num_queries: Any,
) -> None:
    for number in range(10):
        connection = ConnectionFactory(name=f"c{number}")
        run_once(connection)
        run_once(connection, "failed")
    cache.set("prometheus_freshness", [], 60)
    with django_assert_max_num_queries(5):
        found = read()
    assert len(found["easel_sync_runs_total"]) == 50
