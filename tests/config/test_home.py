"""The home page's panels: transfer logs and uploaded files, for those who may see them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from logmonitor.models import Gap, LogSource, Segment
from parselogs.models import ParseFileMeta
from tests.console import client_of, person, text_of
from tests.factories import ConnectionFactory
from tests.parselogs.files import upload

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_folders(settings: Any, tmp_path: Any) -> None:
    settings.PARSE_SPOOL_DIR = tmp_path / "spool"
    settings.STORAGES = settings.STORAGES | {
        "uploads": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "uploads"},
        }
    }


def home(user: User) -> str:
    return text_of(client_of(user).get("/admin/"))


def fail(run: ParseFileMeta) -> None:
    ParseFileMeta.objects.filter(pk=run.pk).update(
        state="failed", finished_at=timezone.now(), failure_text="The input is gone."
    )


def test_without_logs_and_files_there_is_no_panel():
    ConnectionFactory()
    shown = home(person("olga", "Operator"))
    assert "Findings Log Queued" not in shown
    assert "Gaps of this week" not in shown


def test_a_file_whose_last_parse_failed_needs_attention_until_it_works():
    run = upload(name="autumn.csv")
    assert "Its last parse" not in home(person("olga", "Operator"))
    fail(run)
    shown = home(person("oscar", "Operator"))
    assert "Its last parse failed: The input is gone." in shown
    assert "Findings Log Queued" in shown

    ParseFileMeta.objects.create(data_file=run.data_file, attempt=2, trigger="reparse")
    assert "Its last parse" not in home(person("omar", "Operator"))


def test_a_log_that_cannot_be_read_and_a_new_gap_need_attention():
    source = LogSource.objects.create(name="west", folder="/nowhere", error="The folder is not there.")
    segment = Segment.objects.create(source=source, path="sftpgo.log", head=b"x", head_len=1)
    Gap.objects.create(source=source, segment=segment, reason="rotated")
    shown = home(person("olga", "Operator"))
    assert "The folder is not there." in shown
    assert "Lines may be missing" in shown

    LogSource.objects.update(enabled=False)
    assert "The folder is not there." not in home(person("oscar", "Operator"))


def test_who_may_not_see_transfers_is_not_told_of_them():
    LogSource.objects.create(name="west", folder="/nowhere", error="The folder is not there.")
    upload(name="autumn.csv")
    shown = home(person("vera", "Viewer"))
    assert "The folder is not there." not in shown
    assert "autumn.csv" in shown
    limited = home(person("lars", "Operator", only=[ConnectionFactory().instance]))
    assert "The folder is not there." not in limited
    assert "autumn.csv" not in limited
