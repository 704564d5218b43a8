"""Exports: what is in the files, what a spreadsheet makes of them, and who gets them."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from kombu.exceptions import OperationalError
from openpyxl import load_workbook

from canvas import export_files, exports
from canvas.access import set_limits
from canvas.export_files import escape, resource_of
from canvas.export_tasks import delete_expired_exports, export_rows
from canvas.models import Course, Export, Submission
from canvas.resources import RESOURCES
from syncmetrics.models import SyncRun
from tests import factories
from tests.console import client_of, person, staff, text_of
from tests.factories import (
    AssignmentFactory,
    CourseFactory,
    InstanceFactory,
    SubmissionFactory,
    TermFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db
FORMATS = {"csv": "0", "xlsx": "1", "json": "2"}
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1+1", "\uff1d1"]


def export_url(model: type[Any], **query: Any) -> str:
    """Return the address of a list's export page."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_export")
    return f"{url}?{'&'.join(f'{key}={value}' for key, value in query.items())}"


def body_of(response: Any) -> bytes:
    """Return a downloaded file."""
    assert response.status_code == 200, response.status_code
    assert "attachment" in response["Content-Disposition"], text_of(response)
    return b"".join(response.streaming_content)


def exported(client: Any, model: type[Any], file_format: str, **query: Any) -> list[dict[str, Any]]:
    """Export a list and read the file back as rows, with a library that knows the format."""
    body = body_of(client.post(export_url(model, **query), {"format": FORMATS[file_format], "resource": "0"}))
    return read(body, file_format)


def read(body: bytes, file_format: str) -> list[dict[str, Any]]:
    """Return a file's rows."""
    if file_format == "csv":
        return list(csv.DictReader(io.StringIO(body.decode())))
    if file_format == "json":
        return json.loads(body)
    rows = []
    for sheet in load_workbook(io.BytesIO(body), read_only=True):
        header, *values = sheet.iter_rows(values_only=True)
        rows += [dict(zip_longest(header, row)) for row in values]  # empty cells at a row's end are left out
    return rows


@pytest.fixture
def client():
    return client_of(person("operator", "Operator"))


@pytest.fixture
def course():
    site = InstanceFactory(name="Example University", canvas_shard=7)
    term = TermFactory(instance=site, canvas=31)
    return CourseFactory(
        instance=site,
        canvas=4711,
        name="Compilers",
        enrollment_term=term,
        is_public=True,
        grading_standard_id=site.folder().fold(99),
        start_at=datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
    )


# --- what is in the files -------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_holds_canvas_ids_and_utc_times(client, course, file_format):
    [row] = exported(client, Course, file_format)
    kept = {"csv": str}.get(file_format, lambda value: value)

    assert row["canvas_id"] == kept(4711)
    assert row["enrollment_term_canvas_id"] == kept(31)
    assert row["grading_standard_canvas_id"] == kept(99)
    assert row["instance"] == "Example University"
    assert row["name"] == "Compilers"
    assert row["start_at"] == "2026-02-03T04:05:06Z"
    assert row["is_public"] == ("true" if file_format == "csv" else True)
    assert row["end_at"] == ("" if file_format == "csv" else None)


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda resource: resource.name)
def test_no_table_exports_a_packed_id(client, resource):
    site = InstanceFactory()
    fold = site.folder().fold
    keys = {
        key.attname: fold(900 + number)
        for number, key in enumerate(resource.model._meta.concrete_fields)
        if key.is_relation and key.name != "instance"
    }
    row = getattr(factories, f"{resource.model.__name__}Factory")(instance=site, canvas=77, **keys)
    [found] = exported(client, resource.model, "json")

    assert found["canvas_id"] == row.canvas_id == 77
    for name in keys:
        assert 900 <= found[f"{name.removesuffix('_id')}_canvas_id"] < 1000
    packed = [name for name, value in found.items() if isinstance(value, int) and value >= 10**13]
    assert packed == []
    assert not {"id", "row_hash", "instance_id"} & set(found)


def test_a_nested_value_is_json_in_a_cell(client):
    AssignmentFactory(instance=InstanceFactory(), submission_types=["online_upload", "on_paper"])
    model = RESOURCES["assignments"].model

    assert exported(client, model, "json")[0]["submission_types"] == ["online_upload", "on_paper"]
    for file_format in ("csv", "xlsx"):
        text = exported(client, model, file_format)[0]["submission_types"]
        assert json.loads(text) == ["online_upload", "on_paper"]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
def test_a_formula_stays_a_text(client, course, file_format, formula):
    Course.objects.update(name=formula, course_code="a=1")
    [row] = exported(client, Course, file_format)

    assert row["name"] in (f"'{formula}", f"'{formula}".replace("\r", "\n"))
    assert row["course_code"] == "a=1"


def test_no_cell_of_a_workbook_is_a_formula(client, course):
    Course.objects.update(name='=HYPERLINK("http://evil.example","x")')
    body = body_of(client.post(export_url(Course), {"format": FORMATS["xlsx"], "resource": "0"}))

    cells = [cell for row in load_workbook(io.BytesIO(body)).active.iter_rows() for cell in row]
    assert [cell for cell in cells if cell.data_type == "f"] == []


def test_a_number_stays_a_number(client):
    SubmissionFactory(instance=InstanceFactory(), score=-1.5)

    assert exported(client, Submission, "csv")[0]["score"] == "-1.5"
    assert exported(client, Submission, "xlsx")[0]["score"] == -1.5


def test_json_is_left_as_it_is(client, course):
    Course.objects.update(name="=1+1")
    assert exported(client, Course, "json")[0]["name"] == "=1+1"


def test_text_that_no_workbook_can_hold_is_cut(client, course):
    Course.objects.update(name="bell \x07" + "x" * 40_000)
    [row] = exported(client, Course, "xlsx")

    assert row["name"].startswith("bell xxx")
    assert len(row["name"]) == export_files.CELL_CHARACTERS


def test_a_full_sheet_goes_on_in_the_next(client, monkeypatch):
    monkeypatch.setattr(export_files, "SHEET_ROWS", 4)
    UserFactory.create_batch(7, instance=InstanceFactory())

    rows = exported(client, RESOURCES["users"].model, "xlsx")
    assert len({row["canvas_id"] for row in rows}) == 7


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_empty_list_gives_an_empty_file(client, file_format):
    assert exported(client, Course, file_format) == []


def test_escape_leaves_ordinary_text_alone():
    for text in ("", "Essay", "5-1", "a@b.example", "1=1"):
        assert escape(text) == text


def test_runs_are_exported_with_their_counts(client):
    run = SyncRun.objects.create(
        connection_name="prod", instance_key=1, sync_status="completed", sync_end_time=timezone.now()
    )
    run.counts.create(entity="courses", processed=12, created=3)
    [row] = exported(client, SyncRun, "json")

    assert (row["id"], row["connection_name"], row["sync_status"]) == (run.pk, "prod", "completed")
    assert (row["courses_processed"], row["courses_created"], row["users_processed"]) == (12, 3, 0)
    assert row["sync_end_time"].endswith("Z")
    assert not {"claim", "host", "pid", "instance_key"} & set(row)


def test_every_table_of_the_copy_has_its_columns_from_the_model():
    for resource in RESOURCES.values():
        headers = resource_of(resource.model)().get_export_headers()
        assert headers[:2] == ["canvas_id", "instance"]
        assert {column.name.removesuffix("_id") for column in resource.columns} <= {
            header.removesuffix("_canvas_id").removesuffix("_id") for header in headers
        }


# --- which rows -----------------------------------------------------------------------------------


def test_search_and_filters_of_the_list_apply(client, course):
    CourseFactory(instance=course.instance, name="Botany", workflow_state="unpublished")
    CourseFactory(instance=InstanceFactory(), name="Compilers elsewhere")

    def names(**query: Any) -> set[str]:
        return {row["name"] for row in exported(client, Course, "json", **query)}

    assert len(names()) == 3
    assert names(q="compilers") == {"Compilers", "Compilers elsewhere"}
    assert names(q="compilers", instance=course.instance_id) == {"Compilers"}
    assert names(state="unpublished") == {"Botany"}
    assert names(enrollment_term__id__exact=course.enrollment_term_id, o="-1", p="2") == {"Compilers"}


def test_an_address_with_a_filter_that_does_not_exist_leads_back(client, course):
    response = client.post(export_url(Course, nonsense="1"), {"format": "0", "resource": "0"})
    assert response.url == reverse("admin:canvas_course_changelist")


def test_who_is_limited_exports_their_own_sites(course):
    CourseFactory(instance=InstanceFactory(), name="Elsewhere")
    client = client_of(person("ada", "Operator", only=[course.instance]))

    assert [row["name"] for row in exported(client, Course, "csv")] == ["Compilers"]


def test_the_page_says_what_will_be_exported(client, course):
    shown = text_of(client.get(export_url(Course, q="compilers")))
    assert "1 row." in shown
    assert "search: compilers" in shown
    assert "enrollment_term_canvas_id" in shown


def test_exporting_costs_the_same_queries_for_any_number_of_rows(
    client, course, django_assert_max_num_queries
):
    CourseFactory.create_batch(30, instance=course.instance)
    with django_assert_max_num_queries(25):
        assert len(exported(client, Course, "csv")) == 31


def test_every_export_is_recorded(client, course):
    exported(client, Course, "csv", q="compilers")
    export = Export.objects.get()

    assert (export.owner.username, export.rows, export.state) == ("operator", 1, "completed")
    assert not export.file
    said = LogEntry.objects.get().get_change_message()
    assert said == "Exported 1 courses as CSV (search: compilers)."
    assert "downloaded at once" in text_of(client.get(reverse("admin:canvas_export_changelist")))


# --- in the background ----------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch) -> list[int]:
    """Set the limit to three rows, and catch what would be handed to the workers."""
    caught: list[int] = []
    monkeypatch.setattr(exports, "AT_ONCE_ROWS", 3)
    monkeypatch.setattr(export_rows, "delay", caught.append)
    return caught


@pytest.fixture
def queued(client, course, sent, django_capture_on_commit_callbacks) -> Export:
    """An export of five courses that waits for a worker."""
    CourseFactory.create_batch(4, instance=course.instance, name="Compilers too")
    CourseFactory(instance=course.instance, name="Botany")
    with django_capture_on_commit_callbacks(execute=True):
        response = client.post(export_url(Course, q="compilers"), {"format": "0", "resource": "0"})
    assert response.url == reverse("admin:canvas_export_changelist")
    export = Export.objects.get()
    assert sent == [export.pk]
    assert export.state == "queued"
    return export


def download(client: Any, export: Export) -> Any:
    """Ask for a file."""
    return client.get(reverse("admin:canvas_export_download", args=[export.pk]))


def test_a_large_export_is_written_in_the_background_and_downloaded(client, queued, monkeypatch):
    monkeypatch.setattr(exports, "CHUNK_ROWS", 2)
    export_rows(queued.pk)
    queued.refresh_from_db()

    assert (queued.state, queued.rows) == ("completed", 5)
    rows = read(body_of(download(client, queued)), "csv")
    assert len({row["canvas_id"] for row in rows}) == 5
    assert all(row["name"].startswith("Compilers") for row in rows)
    assert "Downloaded 5 courses" in LogEntry.objects.latest("pk").get_change_message()


def test_a_message_that_comes_twice_writes_one_file(queued):
    export_rows(queued.pk)
    first = Export.objects.get().file.name
    export_rows(queued.pk)

    assert Export.objects.get().file.name == first


def test_a_claimed_export_is_left_alone_until_its_worker_is_silent(queued):
    Export.objects.update(state="in_progress", heartbeat_at=timezone.now())
    export_rows(queued.pk)
    assert Export.objects.get().state == "in_progress"

    Export.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    export_rows(queued.pk)
    assert Export.objects.get().state == "completed"


def test_without_a_queue_an_export_fails_and_says_so(
    client, course, sent, monkeypatch, django_capture_on_commit_callbacks
):
    CourseFactory.create_batch(4, instance=course.instance)

    def unreachable(key: int) -> None:
        raise OperationalError

    monkeypatch.setattr(export_rows, "delay", unreachable)
    monkeypatch.setattr("canvas.export_tasks.transaction.on_commit", lambda send: send())
    shown = text_of(client.post(export_url(Course), {"format": "0", "resource": "0"}, follow=True))

    assert "Redis does not answer" in shown
    assert Export.objects.get().state == "failed"


def test_who_may_no_longer_export_gets_no_file(queued):
    User.objects.get(username="operator").groups.clear()
    export_rows(queued.pk)

    export = Export.objects.get()
    assert export.state == "failed"
    assert "no longer export" in export.error_message
    assert not export.file


def test_limits_set_while_an_export_waits_apply_to_it(queued):
    set_limits(user=queued.owner, instances=[InstanceFactory()])
    export_rows(queued.pk)

    assert Export.objects.get().rows == 0


def test_what_goes_wrong_is_kept_and_raised(queued, monkeypatch):
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "write", full)
    with pytest.raises(OSError, match="No space left"):
        export_rows(queued.pk)

    export = Export.objects.get()
    assert (export.state, export.error_message) == ("failed", "OSError while writing the file.")


def test_a_file_is_for_its_owner_and_administrators(client, queued):
    export_rows(queued.pk)

    for allowed in (client, client_of(person("boss", "Administrator"))):
        assert len(read(body_of(download(allowed, queued)), "csv")) == 5
    assert download(client_of(person("colleague", "Operator")), queued).status_code == 404
    assert download(client_of(person("viewer", "Viewer")), queued).status_code == 403
    assert download(client_of(staff("nobody")), queued).status_code == 403
    assert download(type(client)(), queued).status_code == 302


def test_a_file_is_not_for_an_owner_who_was_limited_since(client, queued):
    export_rows(queued.pk)
    set_limits(user=queued.owner, instances=[InstanceFactory()])

    assert download(client, queued).url == reverse("admin:canvas_export_changelist")


def test_a_files_name_tells_nothing_and_is_no_path(client, queued):
    Export.objects.update(table="canvas.course", query="q=../../etc/passwd")
    export_rows(queued.pk)
    export = Export.objects.get()

    stored = export.file.storage.path(export.file.name)
    assert stored.startswith(export.file.storage.location)
    assert len(export.file.name) == len("01234567-0123-0123-0123-0123456789ab.csv")
    response = download(client, export)
    name = f"course-{export.created_at:%Y-%m-%d}-{export.pk}.csv"
    assert f'filename="{name}"' in response["Content-Disposition"]
    response.close()


def test_files_are_deleted_when_their_time_is_over_and_records_stay(client, queued):
    export_rows(queued.pk)
    export = Export.objects.get()
    storage, name = export.file.storage, export.file.name
    delete_expired_exports()
    assert storage.exists(name)

    with time_machine.travel(timezone.now() + timedelta(days=exports.KEPT_DAYS, minutes=1), tick=False):
        assert download(client_of(staff("root", superuser=True)), export).status_code == 302
        delete_expired_exports()

    assert not storage.exists(name)
    export.refresh_from_db()
    assert not export.file
    assert export.rows == 5


@pytest.mark.sqlite
def test_memory_does_not_grow_with_the_rows(tmp_path):
    site = InstanceFactory()
    users = RESOURCES["users"].model

    def peak(count: int, file_format: str) -> int:
        row = UserFactory.build(instance=site, id=10**13 + 1, name="x" * 500)
        chunks = ([row] * 100 for _ in range(count // 100))
        tracemalloc.start()
        with (tmp_path / "file").open("wb") as file:
            assert export_files.write(file, file_format, chunks, users) == count
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    for file_format in FORMATS:
        peak(100, file_format)  # what is loaded once
        assert peak(1_000, file_format) < peak(100, file_format) + 150_000
