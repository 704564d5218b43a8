"""A real S3 as storage: names, outages, refused credentials, slow links; nothing is lost, all is seen."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.utils import timezone

from parselogs.errors import LogUnavailable, UploadRefused
from parselogs.logs import open_findings, open_log, retry_upload
from parselogs.models import DataFile, DiscardedObject, ParseFileMeta
from parselogs.parsing import perform
from parselogs.retention import delete_file, remove_discarded
from parselogs.runs import State, cancel
from parselogs.spool import Spool
from parselogs.sweeper import sweep
from tests.parselogs.conftest import S3
from tests.parselogs.files import again, log_of, marks, parsed, spool_files, upload, users
from tests.servers import S3Server
from tests.workers import wait_for

pytestmark = pytest.mark.django_db
LogState = ParseFileMeta.LogState


def notes(run: ParseFileMeta) -> list[str]:
    entries = LogEntry.objects.filter(object_id=str(run.pk)).order_by("pk")
    return [entry.change_message for entry in entries]


def due_now(run: ParseFileMeta) -> None:
    ParseFileMeta.objects.filter(pk=run.pk).update(upload_due_at=timezone.now())


def test_file_log_and_findings_stand_side_by_side_in_the_bucket(s3: S3, settings: Any) -> None:
    run = parsed(upload(users(10)))
    assert run.log_state == LogState.UPLOADED
    folder, _, name = run.data_file.file.name.rpartition("/")
    log_name = f"{folder}/parse_logs/{run.data_file_id}/0001-{run.uuid}.log.gz"
    assert run.log_file.name == log_name
    objects = s3.objects()
    assert set(objects) == {f"{folder}/{name}", log_name, run.findings_file.name}
    assert gzip.decompress(objects[log_name]).decode() == log_of(run)
    with open_findings(run) as file:
        assert gzip.decompress(objects[run.findings_file.name]) == file.read()
    assert spool_files(settings.PARSE_SPOOL_DIR) == []


def test_reparse_keeps_the_first_log_byte_for_byte(s3: S3) -> None:
    first = parsed(upload())
    before = s3.objects()
    parsed(again(first.data_file))
    after = s3.objects()
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2


def test_outage_after_the_upload_keeps_the_log_until_the_storage_is_back(s3: S3, settings: Any) -> None:
    run = upload(users(10, wrong=4))
    stop_when_the_log_is_stored(s3, run)
    assert (run.state, run.errors) == (State.SUCCEEDED_WITH_ERRORS, 4)
    assert DataFile.objects.get().result_run == run
    assert (run.log_state, run.upload_attempts) == (LogState.PENDING_UPLOAD, 1)
    assert "Timeout" in run.upload_error
    assert "could not be stored" in notes(run)[0]
    text = log_of(run)  # from the spool
    assert "Ended: succeeded_with_errors" in text
    assert sweep(send=False).not_stored == 0  # it waits a while before it tries again
    due_now(run)
    assert sweep(send=False).not_stored == 1
    s3.resume()
    assert sweep(send=False).stored == 0
    assert retry_upload(run)
    run.refresh_from_db()
    assert (run.log_state, run.upload_error) == (LogState.UPLOADED, "")
    assert "Stored the log at last, after 2 failures" in notes(run)[-1]
    assert log_of(run).startswith(text)
    assert len(s3.objects()) == 3
    assert spool_files(settings.PARSE_SPOOL_DIR) == []


def stop_when_the_log_is_stored(s3: S3, run: ParseFileMeta) -> None:
    """Parse; the storage stops answering after it has given the file."""
    from parselogs import parsing

    with pytest.MonkeyPatch.context() as patch:
        parse = parsing.parse
        patch.setattr(parsing, "parse", lambda *given, **named: (s3.pause(), parse(*given, **named)))
        parsed(run)


def test_outage_before_the_parse_fails_the_run_and_keeps_its_log(s3: S3) -> None:
    run = upload()
    s3.pause()
    parsed(run)
    assert (run.state, run.failure_code, run.log_state) == (
        State.FAILED,
        "storage_unavailable",
        LogState.PENDING_UPLOAD,
    )
    s3.resume()
    due_now(run)
    assert sweep(send=False).stored == 1
    assert "The storage did not give the file" in log_of(run)
    assert parsed(again(run.data_file)).state == State.SUCCEEDED_WITH_ERRORS


def test_outage_during_the_upload_says_so_and_leaves_no_row(s3: S3) -> None:
    s3.pause()
    with pytest.raises(UploadRefused, match="did not take the file"):
        upload()
    assert not DataFile.objects.exists()
    s3.resume()
    DiscardedObject.objects.update(due_at=timezone.now())
    assert remove_discarded() == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"secret_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"access_key": "nobody"}, "InvalidAccessKeyId"),
        ({"endpoint_url": "http://127.0.0.1:9"}, "EndpointConnectionError"),
    ],
    ids=["secret", "key", "nobody there"],
)
def test_refused_storage_keeps_the_log_and_names_the_reason(
    s3: S3, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], says: str
) -> None:
    from parselogs import parsing

    run = upload()
    parse = parsing.parse
    monkeypatch.setattr(parsing, "parse", lambda *given, **named: (s3.use(**options), parse(*given, **named)))
    run = parsed(run)
    assert (run.state, run.log_state) == (State.SUCCEEDED_WITH_ERRORS, LogState.PENDING_UPLOAD)
    assert says in run.upload_error
    assert says in notes(run)[0]
    for _ in range(4):
        retry_upload(run)
    run.refresh_from_db()
    assert (run.log_state, run.upload_attempts) == (LogState.UPLOAD_FAILED, 5)
    s3.use()
    assert retry_upload(run)
    run.refresh_from_db()
    assert run.log_state == LogState.UPLOADED


def test_log_is_said_to_be_unreadable_while_the_storage_is_away(s3: S3) -> None:
    run = parsed(upload())
    s3.pause()
    with pytest.raises(LogUnavailable, match="try again later"):
        open_log(run)
    s3.resume()
    s3.server.client().delete_object(Bucket=s3.server.bucket, Key=f"{s3.prefix}/{run.log_file.name}")
    with pytest.raises(LogUnavailable, match="no longer in storage"):
        open_log(run)


def test_file_deleted_while_the_storage_is_away_goes_later(
    s3: S3, django_capture_on_commit_callbacks: Any
) -> None:
    run = parsed(upload())
    with django_capture_on_commit_callbacks() as callbacks:
        delete_file(run.data_file)
    s3.pause()
    for callback in callbacks:
        callback()
    waiting = set(DiscardedObject.objects.values_list("name", flat=True))
    assert {run.data_file.file.name, run.log_file.name, run.findings_file.name} < waiting
    s3.resume()
    assert remove_discarded() == len(waiting)
    assert s3.objects() == {}


class SlowLink:
    """A way to a server on which everything comes in drops."""

    def __init__(self, server: S3Server, bytes_at_once: int, pause_seconds: float) -> None:
        """Listen; each connection goes through threads of its own."""
        host, port = server.url.removeprefix("http://").split(":")
        self._to, self._drop, self._pause = (host, int(port)), bytes_at_once, pause_seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._to)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pour, args=pair, daemon=True).start()

    def _pour(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), source, target:
            while drop := source.recv(self._drop):
                time.sleep(self._pause)
                target.sendall(drop)


@pytest.fixture
def slow_link(s3: S3) -> Iterator[SlowLink]:
    link = SlowLink(s3.server, 400, 0.01)
    s3.use(endpoint_url=link.url)
    yield link
    link.close()


def test_slow_link_takes_its_time_and_loses_nothing(slow_link: SlowLink, s3: S3) -> None:
    run = parsed(upload(users(150, wrong=120)))
    assert (run.state, run.log_state) == (State.SUCCEEDED_WITH_ERRORS, LogState.UPLOADED)
    assert run.rows_read == 150
    text = log_of(run)
    s3.use()
    assert gzip.decompress(s3.objects()[run.log_file.name]).decode() == text


def test_spool_is_kept_through_a_second_attempt_of_another_process(s3: S3) -> None:
    run = upload()
    stop_when_the_log_is_stored(s3, run)
    with Spool(run.uuid).locked() as ours:
        assert ours
        assert not retry_upload(run)  # somebody else is at it
    s3.resume()
    assert retry_upload(run)
    assert perform(run.uuid) is None


@pytest.mark.django_db(transaction=True)
def test_running_log_can_be_read_where_its_spool_is_not(s3: S3, settings: Any, tmp_path: Path) -> None:
    settings.PARSE_LIVE_COPY_SECONDS = 0.2
    run = upload(marks("m", 400, 10), name="marks.csv")
    work = threading.Thread(target=lambda: (perform(run.uuid), connection.close()))
    work.start()
    wait_for(lambda: any(name.endswith(".log.partial.gz") for name in s3.objects()), "a copy")
    spool, settings.PARSE_SPOOL_DIR = settings.PARSE_SPOOL_DIR, tmp_path / "another host"
    assert "Reading marks.csv" in log_of(run)
    settings.PARSE_SPOOL_DIR = spool
    cancel(run)
    work.join()
    wait_for(lambda: not any("partial" in name for name in s3.objects()), "the copy to go")
    wait_for(lambda: not DiscardedObject.objects.exists(), "its record to go")
    run.refresh_from_db()
    assert run.log_state == LogState.UPLOADED


@pytest.mark.django_db(transaction=True)  # the copies' thread writes by a connection of its own
def test_copies_that_a_storage_does_not_take_cost_nothing(s3: S3, settings: Any) -> None:
    settings.PARSE_LIVE_COPY_SECONDS = 0.01
    run = upload(marks("m", 20, 10), name="marks.csv")
    stop_when_the_log_is_stored(s3, run)
    assert (run.state, run.rows_read) == (State.SUCCEEDED, 20)
    assert run.log_state == LogState.PENDING_UPLOAD
    for thread in threading.enumerate():
        if thread.name == "parse-log-copy":
            thread.join()
