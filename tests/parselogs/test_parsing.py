"""A run from its claim to its stored log: however it ends, the log says so, and nobody's data is in it."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from django.core.files.storage import storages
from django.db import DatabaseError, connection

from parselogs import heartbeat, parsing
from parselogs.logs import open_findings
from parselogs.models import DataFile, ParsedPart, ParseFileMeta, ParseMeta, RowMessage
from parselogs.parsing import perform
from parselogs.runs import State, cancel, close_lost
from parselogs.sweeper import sweep
from tests.parselogs.files import again, log_of, marks, marks_in, parsed, spool_files, upload, users

pytestmark = pytest.mark.django_db
LogState = ParseFileMeta.LogState


def stored_bytes(run: ParseFileMeta) -> bytes:
    with storages["uploads"].open(run.log_file.name) as file:
        return bytes(file.read())


def test_run_counts_keeps_and_says_what_it_found(settings: Any) -> None:
    content = users(10, wrong=3)
    run = parsed(upload(content))
    assert run.state == State.SUCCEEDED_WITH_ERRORS
    assert (run.rows_read, run.rows_accepted, run.rows_rejected) == (10, 7, 3)
    assert (run.errors, run.warnings, run.finding_counts) == (3, 0, {"value_not_allowed": 3})
    assert (run.input_sha256, run.input_size) == (hashlib.sha256(content).hexdigest(), len(content))
    part = ParsedPart.objects.get(run=run)
    assert (part.name, part.kind, part.rows_read, part.rows_rejected) == ("users.csv", "users", 10, 3)
    assert part.parser == run.parser != ""
    assert DataFile.objects.get().kind == "users"
    rows = RowMessage.objects.filter(run=run).values_list("row", "column", "code", "severity")
    assert list(rows) == [(row, "status", "value_not_allowed", "row") for row in (2, 3, 4)]
    assert spool_files(settings.PARSE_SPOOL_DIR) == []


def test_log_has_a_head_the_findings_and_an_end() -> None:
    run = parsed(upload(users(10, wrong=3)))
    lines = log_of(run).splitlines()
    assert f"Run {run.uuid}, attempt 1 of file {run.data_file_id} (upload)" in lines[0]
    assert any(f"SHA-256 {run.input_sha256}, stored as {run.data_file.file.name}" in line for line in lines)
    assert sum("ERROR    value_not_allowed in users.csv, row " in line for line in lines) == 3
    assert "Ended: succeeded_with_errors. 10 rows read, 7 accepted, 3 rejected; 3 errors" in lines[-2]
    assert lines[-1].endswith("Findings: value_not_allowed 3")


def test_columns_of_the_log_are_those_of_what_is_stored() -> None:
    run = parsed(upload())
    packed = stored_bytes(run)
    text = gzip.decompress(packed)
    assert run.log_state == LogState.UPLOADED
    assert run.log_sha256 == hashlib.sha256(packed).hexdigest()
    assert (run.log_stored_bytes, run.log_bytes) == (len(packed), len(text))
    assert run.log_lines == text.count(b"\n") == sum(run.level_counts.values())
    assert (run.log_truncated, run.lines_dropped) == (False, 0)


def test_neither_log_nor_findings_nor_tables_hold_what_is_in_a_cell() -> None:
    run = parsed(upload(users(50, wrong=20, name="Xanthippe")))
    kept = json.dumps(list(RowMessage.objects.values("file", "column", "code", "detail")))
    with open_findings(run) as file:
        listed = file.read().decode()
    for text in (log_of(run), listed, kept, json.dumps(run.finding_counts)):
        assert "Xanthippe" not in text
        assert "secretstatus" not in text


def test_findings_beyond_the_first_are_counted_and_all_are_in_the_list(settings: Any) -> None:
    settings.PARSE_FINDINGS_PER_CODE = 5
    run = parsed(upload(users(40, wrong=30)))
    assert RowMessage.objects.filter(run=run).count() == 5
    assert run.finding_counts == {"value_not_allowed": 30}
    text = log_of(run)
    assert text.count("ERROR    value_not_allowed") == 5
    assert "value_not_allowed: 25 more of this code are not shown here" in text
    with open_findings(run) as file:
        assert len(file.read().splitlines()) == 31
    loud = parsed(again(run.data_file, log_level="DEBUG"))
    assert log_of(loud).count("value_not_allowed in users.csv") == 30


def test_list_of_findings_has_a_limit_and_says_so(settings: Any) -> None:
    settings.PARSE_FINDINGS_IN_FILE = 7
    run = parsed(upload(users(40, wrong=30)))
    with open_findings(run) as file:
        assert len(file.read().splitlines()) == 8
    assert "Findings that are not in the list of all findings: 23" in log_of(run)
    assert run.errors == 30


def test_clean_file_succeeds_without_a_list_of_findings() -> None:
    run = parsed(upload(users(5, wrong=0)))
    assert run.state == State.SUCCEEDED
    assert run.findings_file.name == ""


def test_file_of_which_nothing_can_be_read_fails() -> None:
    run = parsed(upload(b"\x00\x01\x02 no table at all\n" * 9))
    assert (run.state, run.failure_code) == (State.FAILED, "nothing_read")
    assert run.log_state == LogState.UPLOADED
    assert DataFile.objects.get().result_run is None


def test_reparse_keeps_the_first_log_byte_for_byte() -> None:
    first = parsed(upload())
    name, packed = first.log_file.name, stored_bytes(first)
    batch = ParseMeta.objects.create(kind=ParseMeta.Kind.REPARSE)
    second = parsed(again(first.data_file, meta=batch))
    first.refresh_from_db()
    assert (first.log_file.name, stored_bytes(first)) == (name, packed)
    assert second.log_file.name.endswith(f"/0002-b{batch.pk}-{second.uuid}.log.gz")
    assert second.log_file.name.rpartition("/")[0] == name.rpartition("/")[0]
    assert RowMessage.objects.filter(run=first).count() == RowMessage.objects.filter(run=second).count() == 1


def test_message_that_comes_twice_parses_once() -> None:
    run = parsed(upload())
    assert perform(run.uuid) is None
    assert ParsedPart.objects.filter(run=run).count() == 1


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let parsing raise something, after a row or two."""

    def breaking(error: BaseException) -> None:
        def parse(upload: Any, report: Any, **_: Any) -> None:
            report.begin_file("users.csv", "users", "SIS", "1")
            report.progress(2, 1, 1)
            raise error

        monkeypatch.setattr(parsing, "parse", parse)

    return breaking


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (ValueError("could not convert 'Ada Lovelace'"), State.FAILED, "crashed"),
        (MemoryError(), State.FAILED, "crashed"),
        (SoftTimeLimitExceeded(), State.FAILED, "time_limit"),
        (OSError(5, "Input/output error", "Ada.csv"), State.FAILED, "crashed"),
    ],
    ids=["value", "memory", "time", "disk"],
)
def test_parse_that_breaks_off_is_in_its_log(broken: Any, error: Exception, state: str, code: str) -> None:
    broken(error)
    run = parsed(upload())
    assert (run.state, run.failure_code, run.exception_class) == (state, code, type(error).__name__)
    assert (run.rows_read, run.rows_accepted, run.rows_rejected) == (2, 1, 1)
    text = log_of(run)
    assert f"| {type(error).__name__}" in text
    assert "tests.parselogs.test_parsing" in text
    assert "Ended: failed" in text
    assert "Ada" not in text + run.failure_text
    assert run.log_state == LogState.UPLOADED


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)], ids=["interrupt", "exit"])
def test_what_ends_the_process_is_recorded_and_goes_on(broken: Any, error: BaseException) -> None:
    broken(error)
    run = upload()
    with pytest.raises(type(error)):
        perform(run.uuid)
    run.refresh_from_db()
    assert (run.state, run.failure_code, run.log_state) == (State.CANCELED, "interrupted", LogState.UPLOADED)


def test_file_that_is_gone_from_storage_fails_with_a_sentence() -> None:
    run = upload()
    storages["uploads"].delete(run.data_file.file.name)
    run = parsed(run)
    assert (run.state, run.failure_code) == (State.FAILED, "input_missing")
    assert "upload it again" in run.failure_text
    assert "not in storage any more" in log_of(run)


def test_file_that_was_changed_in_storage_is_not_parsed() -> None:
    run = upload()
    Path(storages["uploads"].path(run.data_file.file.name)).write_bytes(users(99))
    run = parsed(run)
    assert (run.state, run.failure_code) == (State.FAILED, "input_changed")
    assert run.rows_read == 0


@pytest.mark.django_db(transaction=True)
def test_run_at_work_is_canceled_at_its_next_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    run = upload()
    begun, canceled = threading.Event(), threading.Event()

    def parse(upload: Any, report: Any, **_: Any) -> None:
        report.begin_file("users.csv", "users", "SIS", "1")
        begun.set()
        canceled.wait(10)
        for row in range(1000):
            report.progress(row, row, 0)
            threading.Event().wait(0.02)

    monkeypatch.setattr(parsing, "parse", parse)
    work = threading.Thread(target=lambda: (perform(run.uuid), connection.close()))
    work.start()
    assert begun.wait(10)
    assert cancel(run)
    canceled.set()
    work.join()
    run.refresh_from_db()
    assert (run.state, run.failure_code, run.log_state) == (State.CANCELED, "canceled", LogState.UPLOADED)
    assert run.rows_read > 0


@pytest.mark.django_db(transaction=True)
def test_run_that_was_taken_for_lost_changes_nothing_any_more(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    run = upload()

    def parse(upload: Any, report: Any, **_: Any) -> None:
        assert close_lost(ParseFileMeta.objects.get(pk=run.pk))
        assert sweep(send=False).stored == 0  # its spool is still held

    monkeypatch.setattr(parsing, "parse", parse)
    perform(run.uuid)
    run.refresh_from_db()
    assert (run.state, run.rows_read) == (State.LOST, 0)
    assert sweep(send=False).stored == 1
    text = log_of(run)
    assert "The outcome (succeeded) does not count" in text
    assert "Recovered after the worker was lost" in text.splitlines()[-1]


def test_database_that_refuses_the_outcome_leaves_a_log_for_the_sweep(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def refuse(*_: Any) -> None:
        raise DatabaseError("Key (name)=(Ada) already exists")

    monkeypatch.setattr(parsing, "finish", refuse)
    run = upload()
    perform(run.uuid)
    run.refresh_from_db()
    assert run.state == State.RUNNING
    assert sweep(send=False).stored == 1
    run.refresh_from_db()
    assert (run.state, run.log_state) == (State.LOST, LogState.UPLOADED)
    text = log_of(run)
    assert "could not be written down" in text
    assert "Ada" not in text


def test_disk_that_is_full_costs_lines_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from parselogs.spool import SpoolWriter

    write, left = SpoolWriter.write, 3

    def until_full(self: SpoolWriter, line: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        write(self, line)

    monkeypatch.setattr(SpoolWriter, "write", until_full)
    run = parsed(upload(users(20, wrong=10)))
    assert (run.state, run.rows_read, run.errors) == (State.SUCCEEDED_WITH_ERRORS, 20, 10)
    assert run.log_state == LogState.UPLOADED
    assert run.lines_dropped > 10
    assert run.spool_error == "OSError: No space left on device"
    text = log_of(run).splitlines()
    assert len(text) == 4
    assert f"{run.lines_dropped:,} lines could not be written (OSError: No space left on device)" in text[-1]


def test_spool_that_cannot_be_made_costs_the_log_only(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings.PARSE_SPOOL_DIR = tmp_path / "file" / "spool"
    run = parsed(upload())
    assert (run.state, run.log_state) == (State.SUCCEEDED_WITH_ERRORS, LogState.LOST)
    assert run.lines_dropped > 5
    assert run.errors == 1


def test_storage_that_does_not_take_the_log_changes_nothing_of_the_parse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = upload()
    storage = storages["uploads"]
    monkeypatch.setattr(type(storage), "save", lambda *_: (_ for _ in ()).throw(RuntimeError("odd")))
    run = parsed(run)
    assert (run.state, run.log_state) == (State.SUCCEEDED_WITH_ERRORS, LogState.PENDING_UPLOAD)
    assert DataFile.objects.get().result_run == run
    assert "The log could not be stored (RuntimeError)" in log_of(run)


def test_names_of_files_cannot_forge_lines_or_formulas() -> None:
    run = upload(users(), name="=cmd|' C calc'!A1\n2026-01-01T00:00:00.000Z INFO     Ended.csv")
    text = log_of(parsed(run))
    assert not any(line.endswith("Ended.csv") and line.startswith("2026-01-01") for line in text.splitlines())
    with open_findings(run) as file:
        rows = file.read().decode().splitlines()[1:]
    assert all(row.startswith("'=cmd") for row in rows)


def test_parser_that_is_not_there_is_named(settings: Any) -> None:
    settings.PARSELOGS_PARSERS = ["tests.parselogs.marks.NOBODY"]
    run = parsed(upload())
    assert (run.state, run.failure_code) == (State.FAILED, "crashed")
    assert "PARSELOGS_PARSERS names tests.parselogs.marks.NOBODY" in run.failure_text


def test_parsers_of_ones_own_are_used() -> None:
    run = parsed(upload(marks("m", 3), name="marks.csv"))
    assert (run.parser, run.rows_read) == ("Marks", 3)
    assert marks_in(log_of(run)) == ["m-0", "m-1", "m-2"]
