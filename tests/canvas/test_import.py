"""Importing settings: the preview, what is stored, and what rubbish is answered with."""

from __future__ import annotations

import json
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from canvas.admin import imports
from canvas.models import Instance
from canvas.resources import RESOURCES
from syncmetrics.models import SyncRun
from tests.console import client_of, person, text_of
from tests.factories import ConnectionFactory

pytestmark = pytest.mark.django_db
IMPORT = "admin:canvas_instance_import"
CSV, JSON = "0", "1"


@pytest.fixture
def client():
    return client_of(person("boss", "Administrator"))


@pytest.fixture
def site() -> Instance:
    return ConnectionFactory(instance__name="Old name", instance__base_url="https://a.example.edu").instance


def upload(client: Any, content: bytes | str, file_format: str = CSV) -> Any:
    """Send a file, as the import page does."""
    data = content.encode() if isinstance(content, str) else content
    file = SimpleUploadedFile("settings", data)
    return client.post(reverse(IMPORT), {"import_file": file, "format": file_format, "resource": "0"})


def confirm(client: Any, preview: Any) -> Any:
    """Press the button under a preview."""
    form = preview.context["confirm_form"]
    return client.post(reverse("admin:canvas_instance_process_import"), form.initial)


def test_a_file_is_previewed_then_stored_and_recorded(client, site):
    preview = upload(client, "base_url,name\nhttps://a.example.edu,New name\n")
    assert "New name" in text_of(preview)
    site.refresh_from_db()
    assert site.name == "Old name"

    assert confirm(client, preview).url == reverse("admin:canvas_instance_changelist")
    site.refresh_from_db()
    assert site.name == "New name"
    assert LogEntry.objects.get().object_id == str(site.pk)


def test_what_was_exported_can_be_imported(client, site):
    url = reverse("admin:canvas_instance_export")
    body = b"".join(client.post(url, {"format": "2", "resource": "0"}).streaming_content)
    rows = [row | {"name": "Renamed"} for row in json.loads(body)]

    confirm(client, upload(client, json.dumps(rows), JSON))
    site.refresh_from_db()
    assert site.name == "Renamed"


def test_a_new_site_is_refused(client, site):
    shown = text_of(upload(client, "base_url,name\nhttps://evil.example,Evil\n"))

    assert "no instance with the base URL https://evil.example" in shown
    assert "Nothing was imported" in shown
    assert Instance.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00rubbish\x00\x80", "cannot be read"),
        (b"", "empty"),
        (b"base_url,name\n", "No valid data"),
        (b"a,b\n1,2\n", "base_url"),
        (b"base_url,name\nhttps://a.example.edu," + b"x" * 300 + b"\n", "at most 100 characters"),
        (b"x" * (imports.MOST_BYTES + 1), "no file of settings"),
    ],
    ids=["bytes", "empty", "no-rows", "other-columns", "too-long", "too-large"],
)
def test_rubbish_is_answered_readably(client, site, content, said):
    shown = text_of(upload(client, content))

    assert said in shown
    assert "Traceback" not in shown
    site.refresh_from_db()
    assert site.name == "Old name"


def test_rubbish_json_is_answered_readably(client, site):
    assert "cannot be read" in text_of(upload(client, "{not json", JSON))


def test_a_preview_cannot_be_forged_or_kept(client, site):
    preview = upload(client, "base_url,name\nhttps://a.example.edu,New name\n")
    form = preview.context["confirm_form"].initial
    url = reverse("admin:canvas_instance_process_import")

    for name in (form["import_file_name"][:-1] + "x", "passwd", "../../etc/passwd"):
        assert client.post(url, form | {"import_file_name": name}).url == reverse(IMPORT)
    with time_machine.travel(timezone.now().timestamp() + imports.PREVIEW_SECONDS + 1, tick=False):
        assert client.post(url, form).status_code == 302
    site.refresh_from_db()
    assert site.name == "Old name"


def test_importing_is_for_administrators_of_all_sites(site):
    people = {"viewer": "Viewer", "operator": "Operator"}
    for someone in (*(person(name, role) for name, role in people.items()),):
        assert upload(client_of(someone), "base_url,name\n").status_code == 403
    limited = person("limited", "Administrator", only=[site])
    assert upload(client_of(limited), "base_url,name\n").status_code == 403


@pytest.mark.parametrize(
    "model", [*(one.model for one in RESOURCES.values()), SyncRun], ids=lambda m: m.__name__
)
def test_what_canvas_owns_cannot_be_imported(model):
    from django.urls import NoReverseMatch

    with pytest.raises(NoReverseMatch):
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_import")


def test_no_secret_leaves_with_an_export(client, site):
    token = site.connections.get()
    url = reverse("admin:canvas_instance_export")
    for number in ("0", "2"):
        body = b"".join(client.post(url, {"format": number, "resource": "0"}).streaming_content).decode()
        assert token.token not in body
        assert token.token_ciphertext not in body


# --- schedules ------------------------------------------------------------------------------------

COLUMNS = "name,connection,mode,every,period,minute,hour,timezone,enabled\n"


def upload_schedules(client: Any, *lines: str) -> Any:
    """Send a file of schedules and return the preview."""
    file = SimpleUploadedFile("schedules.csv", (COLUMNS + "\n".join(lines)).encode())
    url = reverse("admin:django_celery_beat_periodictask_import")
    return client.post(url, {"import_file": file, "format": CSV, "resource": "0"})


def store_schedules(client: Any, *lines: str) -> None:
    """Send a file of schedules and confirm its preview."""
    preview = upload_schedules(client, *lines)
    url = reverse("admin:django_celery_beat_periodictask_process_import")
    answer = client.post(url, preview.context["confirm_form"].initial)
    assert answer.url == reverse("admin:django_celery_beat_periodictask_changelist")


def test_schedules_are_imported_after_a_preview(client, site):
    connection = site.connections.get()
    lines = (
        f"Often,{connection.name},incremental,20,minutes,,,,1",
        f"Nightly,{connection.name},,,,15,3,Europe/Vienna,0",
    )
    shown = text_of(upload_schedules(client, *lines))
    assert "Often" in shown
    assert connection.name in shown
    assert not PeriodicTask.objects.filter(name="Often").exists()

    store_schedules(client, *lines)
    often, nightly = (PeriodicTask.objects.get(name=name) for name in ("Often", "Nightly"))
    assert (often.task, often.args) == ("canvas.sync_connection", f"[{connection.pk}]")
    assert (often.kwargs, str(often.interval), often.enabled) == (
        '{"mode": "incremental"}',
        "every 20 minutes",
        True,
    )
    assert (nightly.crontab.hour, str(nightly.crontab.timezone), nightly.enabled) == (
        "3",
        "Europe/Vienna",
        False,
    )


def test_a_schedule_that_is_there_is_changed_and_not_doubled(client, site):
    name = site.connections.get().name
    store_schedules(client, f"Often,{name},,20,minutes,,,,1")
    store_schedules(client, f"Often,{name},,2,hours,,,,0")

    often = PeriodicTask.objects.get(name="Often")
    assert (often.interval.every, often.interval.period, often.enabled) == (2, "hours", False)


def test_a_file_cannot_change_what_a_schedule_of_easels_own_does(client, site):
    interval = IntervalSchedule.objects.create(every=30, period="seconds")
    PeriodicTask.objects.create(name="Upkeep", task="syncmetrics.close_lost_runs", interval=interval)
    store_schedules(client, f"Upkeep,{site.connections.get().name},full,1,minutes,,,,1")

    upkeep = PeriodicTask.objects.get(name="Upkeep")
    assert (upkeep.task, upkeep.interval.period) == ("syncmetrics.close_lost_runs", "minutes")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("New,nowhere,,20,minutes,,,,1", "no connection named 'nowhere'"),
        ("New,{name},sideways,20,minutes,,,,1", "no mode 'sideways'"),
        ("New,{name},,0,minutes,,,,1", "whole number from 1"),
        ("New,{name},,20,fortnights,,,,1", "period is one of"),
        ("New,{name},,,,,,,1", "Say when"),
        ("New,{name},,,,x,99,UTC,1", "Row 1"),
        ("New,{name},,,,1,2,Nowhere/Land,1", "Row 1"),
    ],
    ids=["connection", "mode", "every", "period", "no-time", "crontab", "zone"],
)
def test_a_wrong_schedule_is_answered_readably(client, site, line, said):
    before = PeriodicTask.objects.count()
    shown = text_of(upload_schedules(client, line.format(name=site.connections.get().name)))

    assert said in shown
    assert "Nothing was imported" in shown
    assert PeriodicTask.objects.count() == before


def test_exported_schedules_can_be_imported_and_hold_no_arguments(client, site):
    store_schedules(client, f"Often,{site.connections.get().name},,20,minutes,,,,1")
    url = reverse("admin:django_celery_beat_periodictask_export") + "?q=Often"
    PeriodicTask.objects.filter(name="Often").update(headers='{"secret": "hush"}')
    body = b"".join(client.post(url, {"format": CSV, "resource": "0"}).streaming_content).decode()

    assert "hush" not in body
    header, _line = body.strip().split("\r\n")
    assert "args" not in header
    store = SimpleUploadedFile("schedules.csv", body.encode())
    form = {"import_file": store, "format": CSV, "resource": "0"}
    assert "unchanged" in text_of(client.post(reverse("admin:django_celery_beat_periodictask_import"), form))


def test_a_preview_shows_markup_as_text(client, site):
    response = upload(client, f"base_url,name\n{site.base_url},<img src=x onerror=alert(1)>\n")

    assert response.context["confirm_form"]
    assert b"<img src=x" not in response.content
