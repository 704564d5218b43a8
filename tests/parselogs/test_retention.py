"""How files and logs go: by their time, by hand, and from a storage that is away at first."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.utils import timezone

from parselogs import parsing
from parselogs.errors import LogUnavailable
from parselogs.logs import open_log, store
from parselogs.models import DataFile, DiscardedObject, ParseFileMeta
from parselogs.parsing import perform
from parselogs.retention import Purged, delete_file, purge, remove_discarded
from tests.parselogs.files import again, log_of, parsed, spool_files, upload
from tests.parselogs.test_uploads import stored

pytestmark = pytest.mark.django_db
LogState = ParseFileMeta.LogState
DISCARDED = 4  # the file, its log, the list of findings, a live copy if there was one
LONG_AGO = timezone.now() - timedelta(days=2000)


def test_expired_logs_go_but_a_files_last_one_stays() -> None:
    first = parsed(upload())
    second = parsed(again(first.data_file))
    ParseFileMeta.objects.update(expires_at=LONG_AGO)
    assert purge(dry_run=True) == Purged(0, 1, 0)
    assert len(stored()) == 5
    assert purge() == Purged(0, 1, 2)
    first.refresh_from_db()
    assert (first.log_state, first.log_file.name, first.findings_file.name) == (LogState.EXPIRED, "", "")
    with pytest.raises(LogUnavailable, match="its time was over"):
        open_log(first)
    assert log_of(second)
    assert len(stored()) == 3
    assert purge() == Purged()


def test_log_within_its_time_stays() -> None:
    first = parsed(upload())
    parsed(again(first.data_file))
    assert purge() == Purged()


def test_files_without_a_recent_run_go_with_all_they_have(
    settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.UPLOAD_DAYS = 30
    old, recent = parsed(upload()), parsed(upload(b"user_id,login_id,status\nu,l,active\n"))
    DataFile.objects.update(uploaded_at=LONG_AGO)
    ParseFileMeta.objects.filter(pk=old.pk).update(queued_at=LONG_AGO)
    with django_capture_on_commit_callbacks(execute=True):
        assert purge().deleted_files == 1
    assert list(DataFile.objects.all()) == [recent.data_file]
    assert not [name for name in stored() if str(old.uuid) in name]
    settings.UPLOAD_DAYS = 0
    ParseFileMeta.objects.update(queued_at=LONG_AGO)
    assert purge().deleted_files == 0


def test_file_deleted_by_hand_leaves_nothing_in_storage_and_spool(
    settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    run = parsed(upload())
    with django_capture_on_commit_callbacks(execute=True):
        delete_file(run.data_file)
    assert stored() == []
    assert spool_files(settings.PARSE_SPOOL_DIR) == []
    assert not DiscardedObject.objects.exists()


def test_deletion_that_does_not_commit_removes_nothing() -> None:
    run = parsed(upload())
    delete_file(run.data_file)  # the transaction of this test is never committed
    assert len(stored()) == 3


def test_storage_that_is_away_lets_go_later(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    run = parsed(upload())
    with monkeypatch.context() as patch:
        patch.setattr(type(storages["uploads"]), "delete", lambda *_: 1 / 0)
        with django_capture_on_commit_callbacks(execute=True):
            delete_file(run.data_file)
    assert len(stored()) == 3
    assert remove_discarded() == DISCARDED
    assert not DiscardedObject.objects.exists()
    assert stored() == []


def test_purge_uploads_says_what_it_would_do_and_does_it() -> None:
    first = parsed(upload())
    parsed(again(first.data_file))
    ParseFileMeta.objects.update(expires_at=LONG_AGO)
    out = StringIO()
    call_command("purge_uploads", "--dry-run", stdout=out)
    assert out.getvalue() == (
        "0 files and 1 logs would be deleted; 0 objects would be removed from storage.\n"
    )
    out = StringIO()
    call_command("purge_uploads", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"deleted_files": 0, "expired_logs": 1, "removed_objects": 2}


def test_log_stored_after_its_file_was_deleted_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    run = upload()
    monkeypatch.setattr(parsing, "store", lambda run: (run.data_file.delete(), store(run)))
    perform(run.uuid)
    assert remove_discarded() == 2
    assert [name for name in stored() if "parse_logs" in name] == []
