"""The console's pages of files and runs: what they show, what they cost, who may have what is behind them."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from parselogs import downloads, storage
from parselogs.models import DataFile, ParseFileMeta, ParseMeta, RowMessage
from parselogs.runs import claim
from parselogs.spool import Spool
from parselogs.sweeper import sweep
from tests.console import client_of, person, staff, text_of
from tests.parselogs.files import again, log_of, parsed, upload, users

pytestmark = pytest.mark.django_db

STORAGE_CALLS = ("open", "save", "delete", "exists", "listdir", "size", "url", "get_modified_time")


@pytest.fixture
def root() -> Client:
    return client_of(staff("root", superuser=True))


def page(name: str, *args: object) -> str:
    """Return the address of a page of this app."""
    return reverse(f"admin:parselogs_{name}", args=args)


def body_of(response: Any) -> bytes:
    """Return what was downloaded."""
    assert response.status_code == 200, response.status_code
    return b"".join(response.streaming_content)


def send(client: Client, content: bytes, name: str, **fields: Any) -> Any:
    """Send the upload form as a browser does."""
    return client.post(page("datafile_add"), {"file": SimpleUploadedFile(name, content), **fields})


# --- uploading ------------------------------------------------------------------------------------


def test_a_file_is_uploaded_and_its_page_shows_that_it_waits(root):
    response = send(root, users(), "autumn users.csv")

    data_file = DataFile.objects.get()
    assert response.url == page("datafile_change", data_file.pk)
    assert data_file.uploaded_by.username == "root"
    shown = text_of(root.get(response.url))
    assert "autumn users.csv was uploaded" in shown
    assert "Attempt 1" in shown


def test_the_same_content_again_is_said_and_makes_no_second_file(root):
    send(root, users(), "first.csv")
    response = send(root, users(), "second.csv")

    shown = text_of(root.get(response.url))
    assert "This content was uploaded before, as first.csv" in shown
    assert DataFile.objects.count() == ParseFileMeta.objects.count() == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("grades.xlsx", b"PK", "is neither .csv nor .zip"),
        ("empty.csv", b"", "The file is empty"),
        ("large.csv", b"a" * 2_000, "The file is larger than"),
    ],
)
def test_what_is_not_taken_is_said_on_the_form(root, settings, name, content, said):
    settings.UPLOAD_MEGABYTES = 0.001
    shown = text_of(send(root, content, name))

    assert said in shown
    assert not DataFile.objects.exists()


def test_a_hostile_name_is_shown_as_text_and_is_no_path(root, tmp_path):
    response = send(root, users(), "../../<script>alert(1)</script>\n.csv")
    body = root.get(response.url).content.decode()

    assert "<script>alert(1)" not in body
    assert ".." not in DataFile.objects.get().file.name
    assert not list(tmp_path.parent.glob("*script*"))


# --- lists and pages ------------------------------------------------------------------------------


@pytest.fixture
def storage_calls(monkeypatch, settings) -> list[str]:
    """The calls that the storage of uploads got."""
    calls: list[str] = []
    folder = str(settings.STORAGES["uploads"]["OPTIONS"]["location"])
    for name in STORAGE_CALLS:
        real = getattr(FileSystemStorage, name)

        def counted(self: Any, *args: Any, real: Any = real, name: str = name, **options: Any) -> Any:
            if str(self.location) == folder:  # others find the static files
                calls.append(name)
            return real(self, *args, **options)

        monkeypatch.setattr(FileSystemStorage, name, counted)
    return calls


def test_no_list_and_no_page_asks_the_storage(root, storage_calls):
    run = parsed(upload())
    batch = ParseMeta.objects.create(kind="reparse")
    parsed(again(run.data_file, meta=batch))
    assert "save" in storage_calls
    storage_calls.clear()

    for address in (
        page("datafile_changelist"),
        page("datafile_change", run.data_file_id),
        page("parsefilemeta_changelist"),
        page("parsefilemeta_change", run.pk),
        page("parsemeta_changelist"),
        page("parsemeta_change", batch.pk),
        page("datafile_reparse_many"),
    ):
        assert root.get(address).status_code == 200
    assert storage_calls == []

    root.get(page("parsefilemeta_log", run.uuid))
    assert storage_calls == ["open"]


def make_files(count: int) -> None:
    """Make files, each with two runs in a batch of its own."""
    now = timezone.now()
    for number in range(count):
        owner = User.objects.get_or_create(username=f"owner{number}")[0]
        data_file = DataFile.objects.create(
            name=f"{number}.csv", size=1, sha256=f"{number:064}", uploaded_by=owner
        )
        batch = ParseMeta.objects.create(kind="reparse", created_by=owner)
        for attempt in (1, 2):
            ParseFileMeta.objects.create(
                data_file=data_file,
                attempt=attempt,
                state="failed",
                finished_at=now,
                parse_meta=batch,
                triggered_by=owner,
            )


@pytest.mark.parametrize("name", ["datafile", "parsefilemeta", "parsemeta"])
def test_a_list_costs_the_same_for_any_number_of_rows(name):
    client = client_of(person("olga", "Operator"))
    spent = []
    for count in (2, 20):
        DataFile.objects.all().delete()
        make_files(count)
        client.get(page(f"{name}_changelist"))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(page(f"{name}_changelist"))
        spent.append(len(queries))

    assert spent[0] == spent[1] <= 9


def test_the_list_of_runs_takes_at_most_eight_queries(root):
    make_files(60)
    with CaptureQueriesContext(connection) as queries:
        assert "120 parse runs" in text_of(root.get(page("parsefilemeta_changelist")))

    assert len(queries) <= 8


def test_the_list_of_files_shows_the_last_run_and_filters_by_it(root):
    fine = parsed(upload(users(wrong=0), "fine.csv"))
    doubtful = parsed(upload(users(wrong=2), "doubtful.csv"))
    parsed(again(doubtful.data_file))

    shown = text_of(root.get(page("datafile_changelist")))
    assert "Attempt 2" in shown
    assert "2 errors" in shown
    only = root.get(page("datafile_changelist"), {"last_state": "succeeded"}).context["cl"].result_list
    assert [one.pk for one in only] == [fine.data_file_id]
    kinds = root.get(page("datafile_changelist"), {"kind": "users"}).context["cl"].result_list
    assert len(kinds) == 2


def test_runs_are_filtered_by_parser_and_by_what_they_found(root):
    fine, bad = parsed(upload(users(wrong=0))), parsed(upload(users(wrong=2)))
    doubtful = parsed(upload(b"\xef\xbb\xbf" + users(wrong=0), "mark.csv"))
    other = parsed(upload(b"a,b\n1,2\n", "other.csv"))

    def shown(**query: str) -> set[int]:
        return {one.pk for one in root.get(page("parsefilemeta_changelist"), query).context["cl"].result_list}

    assert shown(parser="SIS import") == {fine.pk, bad.pk, doubtful.pk}
    assert shown(parser="gradebook") == set()
    assert shown(found="errors") == {bad.pk, other.pk}
    assert shown(found="warnings only") == {doubtful.pk}
    assert shown(found="nothing") == {fine.pk}


@pytest.mark.parametrize("name", ["datafile", "parsefilemeta", "parsemeta"])
def test_lists_bear_any_search_filter_and_page(root, name):
    run = parsed(upload())
    queries = (
        "q=users",
        "q=foo%27%22",
        "q=%00x",
        f"q={run.uuid}",
        "o=-1.2.x",
        "p=99999",
        "p=x",
        "q=" + "x" * 3_000,
    )
    filters = ("days=7", "days=x%00", "state__exact=nothing", "last_state=x%00", "log_state__exact=lost")
    filters = (*filters, "parser=x%00", "found=x%00")
    for query in (*queries, *filters):
        response = root.get(f"{page(f'{name}_changelist')}?{query}", follow=True)
        assert response.status_code == 200, query
    assert root.get(page("datafile_changelist"), {"kind": "x\x00"}).status_code == 200
    found = root.get(page("parsefilemeta_changelist"), {"q": str(run.uuid), "days": "7"})
    assert [one.pk for one in found.context["cl"].result_list] == [run.pk]


def test_the_page_of_a_run_says_what_was_found_and_what_to_do(root):
    run = parsed(upload(users(rows=60, wrong=55)))
    shown = text_of(root.get(page("parsefilemeta_change", run.pk)))

    assert "Succeeded with errors" in shown
    assert "status must be one of active, suspended, deleted." in shown
    assert "Correct it; case does not matter, spelling does." in shown
    assert "secretstatus" not in shown
    assert "55 in all" in shown
    second = text_of(root.get(page("parsefilemeta_change", run.pk), {"findings": "2"}))
    assert "status must be one of" in second
    other = text_of(root.get(page("parsefilemeta_change", run.pk), {"code": "\x00nothing"}))
    assert "Findings:" not in other


def test_a_finding_of_an_unknown_code_or_detail_still_shows(root):
    run = parsed(upload(users(wrong=0)))
    run.messages.create(code="thing_of_ours", severity="warning", detail={"x": "{y}"})
    run.messages.create(code="not_utf8", severity="file", detail={})
    ParseFileMeta.objects.filter(pk=run.pk).update(
        finding_counts={"thing_of_ours": 1, "not_utf8": 1, "gone": 3}
    )

    shown = text_of(root.get(page("parsefilemeta_change", run.pk)))
    for words in ("Thing of ours", "Not utf8", "Gone"):
        assert words in shown


# --- the log --------------------------------------------------------------------------------------


def store_log(run: ParseFileMeta, text: str) -> None:
    """Put another log in the place of a run's."""
    name = storage.uploads().save("other.log.gz", ContentFile(gzip.compress(text.encode())))
    ParseFileMeta.objects.filter(pk=run.pk).update(log_file=name)


def line(number: int, level: str = "INFO", text: str = "something") -> str:
    """Return a line as logs have it."""
    return f"2026-11-22T08:00:{number % 60:02}.000Z {level:<8} {text} {number}\n"


def test_the_log_shows_its_end_first_and_goes_back(root):
    run = parsed(upload())
    store_log(run, "".join(line(number) for number in range(1, 1_201)))
    address = page("parsefilemeta_log", run.uuid)

    shown = text_of(root.get(address))
    assert "500 of 1200 lines" in shown
    assert "something 1200" in shown
    assert "something 700 " not in shown
    back = text_of(root.get(address, {"before": "701"}))
    assert "something 700 " in back
    assert "something 701 " not in back


def test_the_log_is_searched_and_filtered_by_level(root):
    run = parsed(upload())
    log = line(1) + line(2, "ERROR", "It broke") + "    | ValueError\n" + line(4, "WARNING", "a doubt")
    store_log(run, log)
    address = page("parsefilemeta_log", run.uuid)

    errors = text_of(root.get(address, {"level": "ERROR"}))
    assert "It broke" in errors
    assert "ValueError" in errors  # a continued line is of the level of its first
    assert "a doubt" not in errors
    found = text_of(root.get(address, {"q": "IT BROKE"}))
    assert "1 of 1 matching lines (4 in all)" in found
    assert "like that, of 4" in text_of(root.get(address, {"q": "nowhere"}))


@pytest.mark.parametrize(
    "query", [{"before": "x"}, {"before": "9" * 30}, {"level": "'"}, {"q": "\x00" * 500}]
)
def test_a_garbled_address_shows_the_log_all_the_same(root, query):
    run = parsed(upload())

    assert root.get(page("parsefilemeta_log", run.uuid), query).status_code == 200


def test_markup_in_a_log_is_shown_as_text(root):
    run = parsed(upload())
    store_log(run, line(1, text="<img src=x onerror=alert(1)>"))

    body = root.get(page("parsefilemeta_log", run.uuid)).content.decode()
    assert "<img src=x" not in body
    assert "&lt;img src=x" in body


def test_a_run_at_work_is_followed(root):
    run = claim(upload().uuid)
    assert run
    from parselogs.runlog import run_log

    with run_log(run.uuid) as own:
        import logging

        logging.getLogger("parselogs.tests").info("It has begun")
        assert own.has_spool
        answer = root.get(page("parsefilemeta_lines", run.uuid), {"after": "0"}).json()
        later = root.get(page("parsefilemeta_lines", run.uuid), {"after": answer["last"]}).json()
    assert answer["state"] == "running"
    assert "It has begun" in answer["lines"][-1]["text"]
    assert later["lines"] == []


def test_a_log_that_is_not_to_be_had_says_why(root):
    run = upload()
    assert "There is no log yet" in text_of(root.get(page("parsefilemeta_log", run.uuid)))
    run = parsed(run)
    storage.uploads().delete(run.log_file.name)

    shown = text_of(root.get(page("parsefilemeta_log", run.uuid)))
    assert "no longer in storage" in shown
    response = root.get(page("parsefilemeta_log_download", run.uuid), follow=True)
    assert "no longer in storage" in text_of(response)
    assert not LogEntry.objects.filter(change_message__contains="Downloaded").exists()


def test_a_storage_that_fails_while_it_is_read_is_a_sentence(root):
    run = parsed(upload())
    name = storage.uploads().save("torn.log.gz", ContentFile(gzip.compress(b"x" * 9_000)[:40]))
    ParseFileMeta.objects.filter(pk=run.pk).update(log_file=name)

    assert "The storage does not give the log" in text_of(root.get(page("parsefilemeta_log", run.uuid)))


# --- downloads ------------------------------------------------------------------------------------


def test_downloads_are_attached_private_and_recorded(root):
    run = parsed(upload(users(), 'a "strange" name.csv'))
    for name, args, ending in (
        ("parsefilemeta_log_download", run.uuid, ".log"),
        ("parsefilemeta_findings_download", run.uuid, "-findings.csv"),
        ("datafile_download", run.data_file_id, ".csv"),
    ):
        response = root.get(page(name, args))
        body_of(response)
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "no-store" in response["Cache-Control"]
        assert response["Content-Disposition"].startswith("attachment; filename=")
        assert ending in response["Content-Disposition"]
    said = list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))
    assert said == ["Downloaded the log.", "Downloaded the list of findings.", "Downloaded the file."]


def test_the_log_and_the_list_hold_no_value_of_the_file_but_the_file_does(root):
    run = parsed(upload(users(rows=5, wrong=2)))
    log = body_of(root.get(page("parsefilemeta_log_download", run.uuid))).decode()
    found = body_of(root.get(page("parsefilemeta_findings_download", run.uuid))).decode()
    whole = body_of(root.get(page("datafile_download", run.data_file_id))).decode()

    assert log == log_of(run)
    for secret in ("secretstatus", "person0", "Ada", "example.edu"):
        assert secret not in log + found
        assert secret in whole
    assert found.splitlines()[0] == "file,row,column,severity,code,what it says,what to do"
    assert len(found.splitlines()) == 3


def test_a_zip_holds_the_logs_and_names_those_it_lacks(root):
    first, second = parsed(upload(users(2))), parsed(upload(users(3), "other.csv"))
    storage.uploads().delete(second.log_file.name)
    chosen = {"action": "download_logs", "_selected_action": [first.pk, second.pk]}

    response = root.post(page("parsefilemeta_changelist"), chosen)
    archive = zipfile.ZipFile(io.BytesIO(body_of(response)))
    assert archive.namelist() == [f"{downloads.name_of(first)}.log", "NOT-INCLUDED.txt"]
    assert archive.read(archive.namelist()[0]).decode() == log_of(first)
    assert f"other-{second.data_file_id}" in archive.read("NOT-INCLUDED.txt").decode()
    assert LogEntry.objects.filter(change_message__contains="parse-logs.zip").count() == 2


def test_too_many_logs_for_one_zip_is_a_sentence(root, monkeypatch):
    monkeypatch.setattr(downloads, "ZIP_LOGS", 1)
    runs = [parsed(upload(users(rows))) for rows in (2, 3)]
    chosen = {"action": "download_logs", "_selected_action": [run.pk for run in runs]}

    shown = text_of(root.post(page("parsefilemeta_changelist"), chosen, follow=True))
    assert "choose at most 1 of 500 MB" in shown


def test_the_logs_of_a_batch_come_as_a_zip(root):
    run = parsed(upload())
    batch = ParseMeta.objects.create(kind="reparse")
    parsed(again(run.data_file, meta=batch))

    archive = zipfile.ZipFile(io.BytesIO(body_of(root.get(page("parsemeta_logs", batch.uuid)))))
    assert len(archive.namelist()) == 1


def test_hostile_names_are_no_paths_in_a_zip():
    run = ParseFileMeta(data_file=DataFile(pk=7, name="../../etc/passwd.csv"), data_file_id=7, attempt=1)

    assert downloads.name_of(run) == "etc-passwd-7-attempt-0001"


# --- signed links ---------------------------------------------------------------------------------


class Signing(FileSystemStorage):
    """A storage that signs links, and says what for."""

    asked: list[Any] = []

    def url(self, name: str | None, parameters: Any = None, expire: Any = None) -> str:
        """Return a link."""
        self.asked.append((name, parameters, expire))
        return "https://s3.example.edu/signed"


@pytest.fixture
def signing(settings) -> type[Signing]:
    Signing.asked = []
    local = settings.STORAGES["uploads"]
    settings.STORAGES = settings.STORAGES | {"uploads": local | {"BACKEND": f"{__name__}.Signing"}}
    settings.UPLOADS_S3_BUCKET, settings.PARSE_SIGNED_LINK_SECONDS = "bucket", 3_600
    return Signing


def test_a_signed_link_comes_after_the_check_and_ends_soon(root, signing):
    run = parsed(upload())
    viewer = client_of(person("vera", "Viewer"))
    assert viewer.get(page("parsefilemeta_log_download", run.uuid)).status_code == 403
    assert signing.asked == []

    response = root.get(page("parsefilemeta_log_download", run.uuid))
    assert response.url == "https://s3.example.edu/signed"
    [(name, parameters, expire)] = signing.asked
    assert name == run.log_file.name
    assert expire == 120
    assert parameters["ResponseContentDisposition"].startswith("attachment")
    assert LogEntry.objects.get().change_message == "Downloaded the log."


def test_no_link_is_signed_where_none_is_wanted(root, signing, settings):
    settings.PARSE_SIGNED_LINK_SECONDS = 0
    run = parsed(upload())

    assert body_of(root.get(page("parsefilemeta_log_download", run.uuid)))
    assert signing.asked == []


# --- who may --------------------------------------------------------------------------------------


def test_reading_and_downloading_are_permissions_of_their_own():
    run = parsed(upload())
    reader = staff("reader", "view_parsefilemeta", "view_parselog")
    client = client_of(reader)

    assert client.get(page("parsefilemeta_log", run.uuid)).status_code == 200
    assert client.get(page("parsefilemeta_log_download", run.uuid)).status_code == 403
    assert "Download" not in text_of(client.get(page("parsefilemeta_log", run.uuid)))
    reader.user_permissions.remove(Permission.objects.get(codename="view_parsefilemeta"))
    assert client_of(reader).get(page("parsefilemeta_log", run.uuid)).status_code == 403


def test_an_unknown_uuid_is_not_found_and_a_path_is_no_address(root):
    base = page("parsefilemeta_changelist")
    assert root.get(f"{base}00000000-0000-4000-8000-000000000000/log/").status_code == 404
    for path in ("../../etc/passwd", "1%2F..%2F2", "x"):
        assert root.get(f"{base}{path}/log/").status_code in (302, 404)


def test_a_viewer_sees_lists_and_findings_and_no_buttons():
    run = parsed(upload())
    client = client_of(person("vera", "Viewer"))

    shown = text_of(client.get(page("parsefilemeta_change", run.pk)))
    assert "What was found" in shown
    for title in ("Reparse", "Download", "All findings"):
        assert title not in shown
    assert "Upload a file" not in text_of(client.get(page("datafile_changelist")))


def test_findings_are_kept_by_the_run_they_are_of(root):
    one, other = parsed(upload(users(3, wrong=1))), parsed(upload(users(4, wrong=2)))

    assert RowMessage.objects.filter(run=one).count() == 1
    assert "2 in all" not in text_of(root.get(page("parsefilemeta_change", one.pk)))
    assert RowMessage.objects.filter(run=other).count() == 2


# --- actions --------------------------------------------------------------------------------------


def test_a_queued_run_is_canceled(root):
    run = upload()
    response = root.post(page("parsefilemeta_cancel", run.pk), follow=True)

    run.refresh_from_db()
    assert run.state == "canceled"
    assert "The run is canceled." in text_of(response)
    assert LogEntry.objects.get().change_message == "Canceled the run."


def test_a_log_that_was_not_stored_is_stored_by_a_button(root, monkeypatch):
    def refuse(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    run = upload()
    with monkeypatch.context() as broken:
        broken.setattr(FileSystemStorage, "save", refuse)
        parsed(run)
    run.refresh_from_db()
    assert run.log_state == "pending_upload"
    assert "No space left" in text_of(root.get(page("parsefilemeta_change", run.pk)))

    response = root.post(page("parsefilemeta_store", run.pk), follow=True)
    assert "The log is stored." in text_of(response)
    assert "Ended:" in log_of(run)


def test_a_file_is_deleted_with_all_it_has_after_a_question(root, django_capture_on_commit_callbacks):
    run = parsed(upload(users(), "autumn.csv"))
    address = page("datafile_remove", run.data_file_id)
    assert "This cannot be undone." in text_of(root.get(address))
    assert DataFile.objects.exists()

    with django_capture_on_commit_callbacks(execute=True):
        response = root.post(address, {"reason": "the wrong term"}, follow=True)
    assert "autumn.csv is deleted, with its 1 runs and their logs." in text_of(response)
    assert not DataFile.objects.exists()
    assert not ParseFileMeta.objects.exists()
    assert not storage.uploads().exists(str(run.log_file))
    assert "the wrong term" in LogEntry.objects.get().change_message


def test_a_file_that_is_being_parsed_is_not_deleted(root):
    run = upload()
    response = root.post(page("datafile_remove", run.data_file_id), {"reason": ""}, follow=True)
    assert "Delete: that is not possible now." in text_of(response)
    assert DataFile.objects.exists()


def test_a_run_that_began_while_the_person_was_asked_is_not_deleted(root, monkeypatch):
    run = parsed(upload())
    with monkeypatch.context() as patch:
        patch.setattr(ParseFileMeta, "is_active", False)  # as the page saw it
        again(run.data_file)
        response = root.post(page("datafile_remove", run.data_file_id), {"reason": ""})
    assert "cancel it first" in text_of(response)
    assert DataFile.objects.exists()


def test_logs_put_aside_are_told_on_the_home_page(root):
    parsed(upload())
    run = upload(users(9))
    spool = Spool(run.uuid)
    os.close(spool.create())
    assert "Logs put aside" not in text_of(root.get("/admin/"))
    run.data_file.delete()
    sweep(send=False)
    shown = text_of(root.get("/admin/"))
    assert "Logs put aside" in shown
    assert "Logs of runs that are in no table, as after restoring a backup: 1." in shown
