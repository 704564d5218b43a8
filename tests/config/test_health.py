"""`/healthz`: what a load balancer is told, what a monitor is told, what nobody is told."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from canvas.models import InstanceLimit
from config import health
from syncmetrics.models import SyncRun
from tests.console import client_of, staff
from tests.factories import InstanceFactory
from tests.workers import Background, wait_for

TOKEN = {"Authorization": "Bearer open sesame"}


@pytest.fixture(autouse=True)
def token(settings: Any) -> None:
    settings.HEALTH_TOKEN = "open sesame"


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let broker and worker answer."""
    monkeypatch.setattr(health, "broker", lambda: health.OK)
    monkeypatch.setattr(health, "worker", lambda: health.OK)


def ask(client: Client | None = None, **headers: str) -> Any:
    return (client or Client()).get(reverse("healthz"), headers=headers)


def completed_sync(instance: Any, ago: timedelta, **columns: Any) -> None:
    end = timezone.now() - ago
    given = {"sync_status": "completed", "sync_start_time": end, "sync_end_time": end, **columns}
    SyncRun.objects.create(instance_key=instance.pk, **given)


@pytest.mark.django_db
def test_anybody_is_told_that_it_serves_and_no_more():
    InstanceFactory()
    for response in (ask(), ask(Authorization="Bearer wrong"), ask(Authorization="Basic open sesame")):
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        assert "no-store" in response["Cache-Control"]


@pytest.mark.django_db
def test_without_a_token_set_none_is_accepted(settings: Any):
    settings.HEALTH_TOKEN = ""
    assert ask(Authorization="Bearer ").json() == {"status": "ok"}


@pytest.mark.django_db
def test_only_reading_is_answered():
    assert Client().post(reverse("healthz")).status_code == 405
    assert Client().head(reverse("healthz")).status_code == 200


@pytest.mark.django_db
def test_a_load_balancer_is_not_sent_to_https(settings: Any):
    settings.SECURE_SSL_REDIRECT = True
    assert ask().status_code == 200
    assert Client().get(reverse("admin:login")).status_code == 301


@pytest.mark.django_db
def test_who_knows_the_token_is_told_of_every_part(parts: None):
    stale, fresh = InstanceFactory(name="Stale"), InstanceFactory(name="Fresh")
    InstanceFactory(name="New")
    completed_sync(stale, timedelta(days=3))
    completed_sync(fresh, timedelta(days=3))
    completed_sync(fresh, timedelta(minutes=5))
    completed_sync(stale, timedelta(minutes=1), sync_type="course")
    completed_sync(stale, timedelta(minutes=1), dry_run=True)
    answer = ask(**TOKEN).json()

    ages = answer.pop("last_completed_sync_seconds_ago")
    assert answer == {"status": "ok", "database": "ok", "broker": "ok", "worker": "ok", "beat": "unknown"}
    assert ages["Fresh"] == pytest.approx(300, abs=20)
    assert ages["Stale"] == pytest.approx(3 * 86_400, abs=20)
    assert ages["New"] is None


@pytest.mark.django_db
def test_details_follow_permissions_and_limits(parts: None):
    mine, other = InstanceFactory(name="Mine"), InstanceFactory(name="Other")
    viewer = staff("vera")
    viewer.groups.set(Group.objects.filter(name="Viewer"))
    InstanceLimit.objects.create(user=viewer, instance=mine)

    assert ask(client_of(staff("nobody"))).json() == {"status": "ok"}
    assert set(ask(client_of(viewer)).json()["last_completed_sync_seconds_ago"]) == {mine.name}
    assert other.name in ask(client_of(staff("root", superuser=True))).content.decode()


@pytest.mark.django_db
def test_without_a_database_nobody_is_sent_here(parts: None, monkeypatch: pytest.MonkeyPatch):
    def refuse() -> Any:
        raise DatabaseError("connection to server at 10.0.0.1 failed for user easel")

    monkeypatch.setattr(health.connection, "cursor", refuse)
    for response, told in (
        (ask(), {"status": "failed"}),
        (ask(**TOKEN), {"status": "failed", "database": "failed", "broker": "ok"}),
    ):
        assert (response.status_code, response.json()) == (503, told)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("enabled", "seconds", "ago", "says"),
    [
        (True, 30, 20, "ok"),
        (True, 30, 200, "failed"),
        (True, 30, None, "failed"),
        (False, 30, 20, "unknown"),
        (True, 3600, 20, "unknown"),
    ],
)
def test_beat_is_alive_while_it_sends_what_is_due(enabled: bool, seconds: int, ago: int | None, says: str):
    every = IntervalSchedule.objects.create(every=seconds, period="seconds")
    last = None if ago is None else timezone.now() - timedelta(seconds=ago)
    PeriodicTask.objects.create(name="x", task="x", interval=every, enabled=enabled, last_run_at=last)

    assert health.beat(timezone.now()) == says


@pytest.mark.django_db
def test_a_broker_that_is_away_is_told_within_seconds_and_the_console_serves(settings: Any, redis: Any):
    redis.kill()
    try:
        response = ask(**TOKEN)
    finally:
        redis.start()
    assert response.status_code == 200
    assert (response.json()["broker"], response.json()["worker"]) == ("failed", "unknown")


def test_a_worker_that_runs_is_seen(background: Background):
    assert ask(**TOKEN).json()["worker"] == "failed"
    background.start("worker")
    wait_for(lambda: ask(**TOKEN).json()["worker"] == "ok", "the worker's answer")


PRODUCTION = {
    "HTTPS": "true",
    "SECRET_KEY": "b7Vt2mQ9sLx4Zp8Wk3Rn6Yd1Fh5Jc0Ga-Ee_UuIiOoTtKkMm-XyZ4321",
    "ALLOWED_HOSTS": "easel.example.edu",
    "CSRF_TRUSTED_ORIGINS": "https://easel.example.edu",
}


@pytest.mark.sqlite
def test_production_settings_are_clean(manage: Callable[..., subprocess.CompletedProcess[str]]):
    done = manage("check", "--deploy", "--fail-level", "WARNING", env=PRODUCTION)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no issues" in done.stdout
