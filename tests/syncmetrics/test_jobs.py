"""The job log: what each background job leaves, whatever happens to it, and that it never gets in the way."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.exceptions import Ignore, Reject
from celery.signals import task_failure, task_prerun, task_revoked, task_unknown
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from canvas.connect import connect
from canvas.sync import SyncOptions
from canvas.tasks import enqueue_sync, sync_connection
from config import celery_app
from easel.redaction import MASK
from sandbox.server import Sandbox
from syncmetrics.jobs import life
from syncmetrics.jobs.arguments import ALL_VALUES, TEXT_CHARACTERS, keepable, keepable_text
from syncmetrics.jobs.life import Message, begun, close_lost_jobs, ended, queued
from syncmetrics.models import JobRun, SyncRun
from syncmetrics.process import ThisProcess
from syncmetrics.tasks import close_lost_runs
from tests.canvas.conftest import Ended, EventfulSandbox, command, quick, said  # noqa: F401 - fixtures
from tests.console import client_of, person, staff, text_of
from tests.factories import InstanceFactory
from tests.servers import RedisServer
from tests.workers import Background, wait_for, waiting

State = JobRun.State
SECRET = "1234~Zz9Yy8Xx7Ww6Vv5Uu4Tt3Ss2Rr1Qq0Pp"
Run = Callable[..., Ended]


@celery_app.task(name="tests.add", bind=True, max_retries=3)
def add(self: Any, how: str = "", api_token: str = "", **more: Any) -> Any:
    """End as it is told to."""
    if how == "fail":
        raise ValueError(f"Token {SECRET} of ada@example.edu is wrong.")
    if how == "retry":
        raise self.retry(exc=ConnectionError("Canvas is away."), countdown=0)
    if how == "ignore":
        raise Ignore
    if how == "reject":
        raise Reject("not here", requeue=True)
    if how == "mute":
        raise Mute
    return {"rows": 3, "token": SECRET}


class Mute(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


def message(task_id: str = "one", **columns: Any) -> Message:
    return Message(task_id=task_id, name="tests.add", **columns)


def only_job() -> JobRun:
    return JobRun.objects.get()


# --- what is kept of arguments --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["token", "API_TOKEN", "password", "passphrase", "pwd", "secret_key", "apiKey", "api-key", "auth", "jwt"],
)
def test_what_has_a_secrets_name_is_masked_however_deep(name: str) -> None:
    assert keepable({"outer": [{name: "hunter2"}]}) == {"outer": [{name: MASK}]}
    assert keepable({name: {"inner": "hunter2"}}) == {name: MASK}


@pytest.mark.parametrize("name", ["course_key", "author", "keyboard", "passed", "connection_id", "mode"])
def test_what_only_sounds_like_a_secret_stays(name: str) -> None:
    assert keepable({name: 7}) == {name: 7}


def test_texts_are_redacted_before_they_are_cut() -> None:
    long = f"{'x' * (TEXT_CHARACTERS - 20)} {SECRET}"
    assert "Zz9Yy8" not in keepable(long)
    assert keepable_text("redis://user:hunter2@localhost/0") == f"redis://{MASK}@localhost/0"
    assert "ada@example.edu" not in keepable(["mail ada@example.edu"])[0]
    assert len(keepable("y" * 10_000_000)) == TEXT_CHARACTERS


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.frozensets(st.text())
    ),
    max_leaves=50,
)


@given(json_like)
def test_whatever_comes_is_json_without_control_characters_and_bounded(value: Any) -> None:
    kept = json.dumps(keepable({"value": value}), allow_nan=False)
    kept.encode("utf-8")
    assert "\\u0000" not in kept
    assert len(kept) < ALL_VALUES * (TEXT_CHARACTERS * 2 + 20) * 6


def test_huge_arguments_are_cut_in_width_and_depth() -> None:
    deep: Any = "end"
    for _ in range(3000):
        deep = {"x": deep}
    wide = {str(number): list(range(100)) for number in range(1000)}
    kept = json.dumps(keepable([deep, wide, [wide] * 100, 10**5000, object()]))
    assert len(kept) < 5000
    assert "…" in keepable(list(range(100)))


# --- one process ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_job_is_one_row_from_its_queue_to_its_end() -> None:
    at = timezone.now() - timedelta(seconds=5)
    queued(
        message(kwargs={"api_token": SECRET, "how": ""}, queued_at=at, trigger="console", triggered_by="ada")
    )
    job = only_job()
    assert (job.state, job.attempts, job.started_at, job.wait_seconds) == (State.QUEUED, 0, None, None)
    began = timezone.now()
    begun(message(), began)
    job = only_job()
    process = ThisProcess()
    assert (job.state, job.attempts, job.started_at) == (State.IN_PROGRESS, 1, began)
    assert (job.host, job.pid, job.process_started) == (process.host, process.pid, process.started)
    assert ended("one", State.COMPLETED, began=began, result={"rows": 3, "token": SECRET})
    job = only_job()
    assert (job.state, job.trigger, job.triggered_by) == (State.COMPLETED, "console", "ada")
    assert job.arguments == {"api_token": MASK, "how": ""}
    assert job.metadata["result"] == {"rows": 3, "token": MASK}
    assert job.wait_seconds == pytest.approx(5, abs=1)
    assert job.duration_seconds is not None


@pytest.mark.django_db
def test_arguments_without_names_get_those_of_the_task() -> None:
    queued(message("one", args=["fail", SECRET, 3]))
    assert only_job().arguments == {"how": "fail", "api_token": MASK, "argument 3": 3}
    queued(Message(task_id="two", name="unknown.task", args=[1, "x"]))
    assert JobRun.objects.get(task_id="two").arguments == {"argument 1": 1, "argument 2": "x"}


@pytest.mark.django_db
def test_a_worker_that_is_quicker_than_the_publisher_makes_the_row() -> None:
    began = timezone.now()
    begun(message(queued_at=began), began)
    queued(message(queued_at=began))
    assert (only_job().state, only_job().attempts) == (State.IN_PROGRESS, 1)


@pytest.mark.django_db
def test_the_first_of_two_twins_cannot_end_what_the_second_does() -> None:
    first = timezone.now()
    second = first + timedelta(seconds=1)
    begun(message(), first)
    begun(message(), second)
    assert not ended("one", State.FAILED, began=first, error=ValueError("late"))
    assert (only_job().state, only_job().attempts, only_job().error_class) == (State.IN_PROGRESS, 2, "")
    assert ended("one", State.COMPLETED, began=second)
    assert only_job().state == State.COMPLETED


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("how", "state", "error"),
    [
        ("", State.COMPLETED, ""),
        ("fail", State.FAILED, "ValueError"),
        ("mute", State.FAILED, "Mute"),
        ("ignore", State.COMPLETED, "Ignore"),
        ("reject", State.RETRIED, "Reject"),
    ],
)
def test_signals_write_what_happened(how: str, state: str, error: str) -> None:
    add.apply(kwargs={"how": how, "api_token": SECRET})
    job = only_job()
    assert (job.state, job.error_class, job.attempts) == (state, error, 1)
    assert (job.name, job.arguments) == ("tests.add", {"how": how, "api_token": MASK})
    everything = str(JobRun.objects.values().get())
    assert "Zz9Yy8" not in everything
    assert "ada@example.edu" not in everything


@pytest.mark.django_db
def test_a_job_that_is_tried_again_is_one_row_with_its_attempts() -> None:
    seen = []

    def look(**_: Any) -> None:
        seen.append(JobRun.objects.values_list("state", "attempts").get())

    task_prerun.connect(look)
    add.apply(kwargs={"how": "retry"}, task_id="one")
    task_prerun.disconnect(look)
    job = only_job()
    assert seen == [("in_progress", number) for number in (1, 2, 3, 4)]
    assert (job.state, job.attempts, job.error_class) == (State.FAILED, 4, "ConnectionError")


@pytest.mark.django_db
def test_an_attempt_that_failed_for_a_passing_reason_says_why_until_the_next() -> None:
    began = timezone.now()
    begun(message(), began)
    assert ended("one", State.RETRIED, began=began, error=ConnectionError("Canvas is away."))
    job = only_job()
    assert (job.state, job.ended_at, job.error_message) == (State.RETRIED, None, "Canvas is away.")
    begun(message(), timezone.now())
    assert (only_job().state, only_job().attempts, only_job().error_message) == (State.IN_PROGRESS, 2, "")


@pytest.mark.django_db
def test_a_task_that_logs_only_errors_leaves_a_row_only_when_it_fails(settings: Any) -> None:
    settings.JOB_LOG_ERRORS_ONLY = ["tests.add"]
    add.apply()
    add.apply(kwargs={"how": "ignore"})
    assert not JobRun.objects.exists()
    add.apply(kwargs={"how": "fail"})
    job = only_job()
    assert (job.state, job.error_class, job.arguments) == (State.FAILED, "ValueError", {"how": "fail"})
    assert job.started_at is not None
    assert job.duration_seconds is not None
    assert job.host == ThisProcess().host


def test_what_runs_every_few_seconds_is_declared_quiet(settings: Any) -> None:
    from config.schedules import UPKEEP

    often = {
        one.task for one in UPKEEP if isinstance(one.when, timedelta) and one.when <= timedelta(minutes=5)
    }
    assert often <= set(settings.JOB_LOG_ERRORS_ONLY)
    celery_app.loader.import_default_modules()
    assert set(settings.JOB_LOG_ERRORS_ONLY) <= set(celery_app.tasks)


@pytest.mark.django_db
def test_a_database_that_is_away_fails_no_task(monkeypatch: Any, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise DatabaseError(f"connection refused for {SECRET}")

    for name in ("queued", "begun", "ended", "link_run"):
        monkeypatch.setattr(life, name, refuse)
    with caplog.at_level(logging.WARNING):
        assert add.apply().result == {"rows": 3, "token": SECRET}
        assert add.apply(kwargs={"how": "fail"}).state == "FAILURE"
    told = [record.getMessage() for record in caplog.records if record.name == "syncmetrics.jobs.signals"]
    assert len(told) == 4
    assert all("The job log misses" in text and "Zz9Yy8" not in text for text in told)


@pytest.mark.django_db
def test_a_database_that_was_away_at_the_start_is_caught_up_at_the_end(monkeypatch: Any) -> None:
    real, calls = life.begun, []

    def refuse_once(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) == 1:
            raise DatabaseError("away")
        real(*args, **kwargs)

    monkeypatch.setattr(life, "begun", refuse_once)
    add.apply(task_id="one")
    assert (only_job().state, only_job().attempts) == (State.COMPLETED, 1)


@pytest.mark.django_db(transaction=True)
def test_an_entry_that_cannot_be_written_spoils_no_transaction(monkeypatch: Any) -> None:
    def break_it(row: Any) -> None:
        JobRun.objects.bulk_create([row, JobRun(task_id=row.task_id)])

    monkeypatch.setattr(life, "_ensure", break_it)
    with transaction.atomic():
        InstanceFactory(name="kept")
        add.apply()
        assert type(InstanceFactory()).objects.filter(name="kept").exists()
    assert not JobRun.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "end", "allowed"),
    [("queued", False, True), ("queued", True, False), ("failed", False, False), ("failed", True, True)],
)
def test_a_job_has_an_end_when_it_has_ended(state: str, end: bool, allowed: bool) -> None:
    columns = {"task_id": "x", "state": state, "ended_at": timezone.now() if end else None}
    if allowed:
        JobRun.objects.create(**columns)
        return
    with pytest.raises(IntegrityError), transaction.atomic():
        JobRun.objects.create(**columns)


# --- what the worker's own process tells ----------------------------------------------------------


@pytest.mark.django_db
def test_revoked_expired_unknown_and_killed_jobs_end() -> None:
    class Request:
        id = "revoked"

    for task_id in ("revoked", "expired", "unknown", "killed"):
        queued(message(task_id))
    task_revoked.send(sender=add, request=Request, terminated=False, signum=None, expired=False)
    Request.id = "expired"
    task_revoked.send(sender=add, request=Request, terminated=False, signum=None, expired=True)
    task_unknown.send(sender=None, message=None, exc=KeyError("tests.add"), name="tests.add", id="unknown")
    begun(message("killed"), timezone.now())
    task_failure.send(sender=add, task_id="killed", exception=TimeoutError(21660), args=[], kwargs={})
    found = dict(JobRun.objects.values_list("task_id", "state"))
    assert found == {"revoked": "cancelled", "expired": "expired", "unknown": "failed", "killed": "failed"}
    assert JobRun.objects.get(task_id="killed").error_class == "TimeoutError"


@pytest.mark.django_db
def test_the_sweep_finds_what_nobody_works_on(settings: Any) -> None:
    now = timezone.now()
    here = ThisProcess()
    mine = {"host": here.host, "pid": here.pid, "process_started": here.started}
    at_work = {"state": "in_progress", "started_at": now - timedelta(hours=1)}
    limit = timedelta(seconds=settings.TASK_LIMIT_SECONDS)
    rows = {
        "alive": at_work | mine,
        "gone": at_work | mine | {"process_started": "1"},
        "elsewhere": at_work | {"host": "elsewhere/1-1", "pid": 5},
        "elsewhere too long": at_work | {"host": "elsewhere/1-1", "started_at": now - 2 * limit},
        "waits": {"logged_at": now - timedelta(hours=20)},
        "forgotten": {"logged_at": now - timedelta(hours=30)},
        "late": {"expires_at": now - timedelta(hours=1)},
        "in time": {"expires_at": now + timedelta(hours=1), "logged_at": now - timedelta(days=3)},
        "done": {"state": "completed", "ended_at": now, "logged_at": now - timedelta(days=3)},
    }
    for task_id, columns in rows.items():
        JobRun.objects.create(task_id=task_id, name="x", **columns)

    assert close_lost_jobs() == 4
    found = dict(JobRun.objects.values_list("task_id", "state"))
    assert found == {
        "alive": "in_progress",
        "gone": "lost",
        "elsewhere": "in_progress",
        "elsewhere too long": "lost",
        "waits": "queued",
        "forgotten": "lost",
        "late": "expired",
        "in time": "queued",
        "done": "completed",
    }
    assert "worker" in JobRun.objects.get(task_id="late").error_message
    assert close_lost_jobs() == 0


# --- who started it -------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_press_in_the_console_is_recorded_with_its_person(redis: RedisServer) -> None:
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    every = IntervalSchedule.objects.create(every=1, period="hours")
    task = PeriodicTask.objects.create(name="Tidy", task="syncmetrics.send_nothing", interval=every)
    olga = person("olga", "Operator")
    client_of(olga).post(
        reverse("admin:django_celery_beat_periodictask_run", args=[task.pk]), {"post": "yes"}
    )
    job = only_job()
    assert (job.name, job.trigger, job.triggered_by) == ("syncmetrics.send_nothing", "console", "olga")
    assert job.state == State.QUEUED
    assert job.queued_at is not None


@pytest.mark.django_db(transaction=True)
def test_schedules_commands_and_code_are_told_apart(redis: RedisServer, monkeypatch: Any) -> None:
    celery_app.send_task("a", task_id="1", headers={"periodic_task_name": "Nightly"})
    celery_app.send_task("b", task_id="2")
    monkeypatch.setattr("sys.argv", ["/x/manage.py", "sync_canvas", "--full"])
    celery_app.send_task("c", task_id="3")
    found = {job.name: (job.trigger, job.triggered_by) for job in JobRun.objects.all()}
    assert found == {"a": ("schedule", "Nightly"), "b": ("code", ""), "c": ("command", "sync_canvas")}


@pytest.mark.django_db(transaction=True)
def test_the_message_says_what_the_row_needs(redis: RedisServer) -> None:
    expires = datetime(2030, 1, 1, tzinfo=UTC)
    celery_app.send_task("a", [1], {"token": SECRET}, expires=expires, headers={"easel_run": "7"})
    with celery_app.connection_for_read() as broker:
        (raw,) = broker.default_channel.client.lrange("celery", 0, -1)
    origin = json.loads(raw)["headers"]["easel_origin"]
    assert (origin["trigger"], origin["by"]) == ("code", "")
    job = only_job()
    assert (job.run_id, job.expires_at, job.arguments) == (7, expires, {"argument 1": 1, "token": MASK})


# --- real workers ---------------------------------------------------------------------------------


@pytest.fixture
def canvas(transactional_db: None, quick: None) -> Iterator[EventfulSandbox]:  # noqa: F811
    with EventfulSandbox() as sandbox:
        yield sandbox


def test_a_scheduled_sync_leaves_two_jobs_linked_to_its_run(canvas: Sandbox, background: Background) -> None:
    shared = connect(name="main", base_url=canvas.url, token=canvas.token)[0]
    sync_connection.apply_async((shared.pk,), headers={"periodic_task_name": "Every hour"})
    close_lost_runs.delay()
    background.start("worker")
    done = JobRun.objects.filter(state=State.COMPLETED)
    wait_for(lambda: done.count() == 2, "two jobs to complete")
    asked, did = JobRun.objects.order_by("pk")
    run = SyncRun.objects.get()
    assert (asked.name, asked.trigger, asked.triggered_by) == (
        "canvas.sync_connection",
        "schedule",
        "Every hour",
    )
    assert (did.name, did.trigger, did.triggered_by) == ("canvas.sync_instance", "job", asked.name)
    assert asked.run == did.run == run
    assert did.arguments == {"run_id": run.pk}
    assert did.metadata["parent"] == asked.task_id
    assert did.wait_seconds is not None
    assert did.pid == run.pid

    page = text_of(client_of(staff("root", superuser=True)).get(change_page(run)))
    assert "Background jobs" in page
    assert "canvas.sync_instance" in page


def test_a_job_whose_process_is_killed_is_one_row_with_two_attempts(
    canvas: EventfulSandbox, background: Background
) -> None:
    shared = connect(name="main", base_url=canvas.url, token=canvas.token)[0]

    def kill_its_process() -> None:
        os.kill(SyncRun.objects.get().pid, signal.SIGKILL)
        connection.close()  # of the sandbox's thread, which nobody else would

    canvas.before("103/students/submissions", kill_its_process)
    enqueue_sync(shared, SyncOptions(mode="full"), trigger="console")
    background.start("worker")
    wait_for(lambda: JobRun.objects.filter(state=State.COMPLETED).exists(), "the job to complete")
    job = only_job()
    assert job.attempts == 2
    assert job.run == SyncRun.objects.get(sync_status="completed")


def test_a_message_delivered_twice_is_one_row(canvas: EventfulSandbox, background: Background) -> None:
    shared = connect(name="main", base_url=canvas.url, token=canvas.token)[0]
    reached, go_on = threading.Event(), threading.Event()
    canvas.before("accounts/1/users", lambda: (reached.set(), go_on.wait(60)))
    enqueue_sync(shared, trigger="console")
    with celery_app.connection_for_read() as broker:
        (raw,) = broker.default_channel.client.lrange("celery", 0, -1)
        background.start("worker")
        assert reached.wait(40)
        broker.default_channel.client.lpush("celery", raw)
    wait_for(lambda: JobRun.objects.filter(attempts=2).exists(), "the twin to be taken")
    go_on.set()
    wait_for(lambda: SyncRun.objects.filter(sync_status="completed").exists(), "the sync to end")
    wait_for(lambda: only_job().state == State.COMPLETED, "the job to end")
    assert only_job().attempts == 2


def test_what_expired_or_is_unknown_is_told_by_the_worker(background: Background) -> None:
    celery_app.send_task("canvas.resume_nothing", task_id="unknown")
    sync_connection.apply_async((1,), task_id="late", expires=timezone.now() - timedelta(hours=1))
    background.start("worker")
    wait_for(lambda: waiting() == 0, "the worker to take them")
    late = JobRun.objects.filter(task_id="late", state=State.EXPIRED)
    unknown = JobRun.objects.filter(task_id="unknown", state=State.FAILED)
    wait_for(lambda: late.exists() and unknown.exists(), "both to end")
    assert unknown.get().error_class == "NotRegistered"


# --- pages ----------------------------------------------------------------------------------------


def change_page(row: Any) -> str:
    return reverse(f"admin:syncmetrics_{row._meta.model_name}_change", args=[row.pk])


@pytest.fixture
def two_jobs(db: None) -> list[JobRun]:
    """A failed job of a run of one site, and one of another site's."""
    found = []
    for name in ("North", "South"):
        run = SyncRun.objects.create(instance_key=InstanceFactory(name=name).pk, connection_name=name)
        now = timezone.now()
        found.append(
            JobRun.objects.create(
                task_id=name,
                name=f"canvas.sync_{name.lower()}",
                run=run,
                state="failed",
                trigger="schedule",
                triggered_by=f"Nightly {name}",
                queued_at=now - timedelta(seconds=7),
                started_at=now - timedelta(seconds=5),
                ended_at=now,
                attempts=2,
                error_class="Unavailable",
                error_message="<b>Canvas</b> is away.",
                arguments={"run_id": 12, "options": {"mode": "full"}},
                metadata={"queue": "celery"},
            )
        )
    return found


def test_the_list_and_the_page_say_what_happened(two_jobs: list[JobRun]) -> None:
    client = client_of(person("vera", "Viewer"))
    shown = text_of(client.get(reverse("admin:syncmetrics_jobrun_changelist")))
    for expected in (
        "canvas.sync_north",
        "Failed",
        "Schedule: Nightly North",
        "5.0 s",
        "2.0 s",
        "Unavailable",
    ):
        assert expected in shown
    response = client.get(change_page(two_jobs[0]))
    assert "<b>Canvas" not in response.content.decode()
    shown = text_of(response)
    for expected in ("run_id: 12", "mode: full", "queue: celery", f"Run {two_jobs[0].run_id}", "Unavailable"):
        assert expected in shown


def test_jobs_are_filtered_and_searched(two_jobs: list[JobRun]) -> None:
    client = client_of(person("vera", "Viewer"))
    for query in ("task=canvas.sync_north", "q=North", "q=Nightly+North", "state__exact=failed&q=North"):
        response = client.get(f"{reverse('admin:syncmetrics_jobrun_changelist')}?{query}")
        assert list(response.context["cl"].result_list) == two_jobs[:1], query


def test_who_is_limited_sees_jobs_of_their_own_sites(two_jobs: list[JobRun]) -> None:
    JobRun.objects.create(task_id="of nobody", name="canvas.delete_expired_exports")
    own, foreign = two_jobs
    site = type(InstanceFactory()).objects.get(name="North")
    client = client_of(person("ada", "Viewer", only=[site]))
    listed = client.get(reverse("admin:syncmetrics_jobrun_changelist"))
    assert list(listed.context["cl"].result_list) == [own]
    assert "sync_south" not in listed.content.decode()
    assert client.get(change_page(own)).status_code == 200
    assert client.get(change_page(foreign)).status_code == 302


def test_nobody_changes_the_log(two_jobs: list[JobRun]) -> None:
    root = client_of(staff("root", superuser=True))
    for what in ("add", "delete"):
        args = [two_jobs[0].pk] if what == "delete" else []
        assert root.get(reverse(f"admin:syncmetrics_jobrun_{what}", args=args)).status_code == 403
    assert root.post(change_page(two_jobs[0]), {"name": "x"}).status_code == 403


def test_a_list_costs_the_same_however_many_jobs(
    two_jobs: list[JobRun], django_assert_max_num_queries: Any
) -> None:
    client: Client = client_of(person("vera", "Viewer"))
    run = two_jobs[0].run
    JobRun.objects.bulk_create(JobRun(task_id=str(number), name="x", run=run) for number in range(60))
    with django_assert_max_num_queries(12):
        client.get(reverse("admin:syncmetrics_jobrun_changelist"))
