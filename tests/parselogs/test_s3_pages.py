"""The console with a real S3 behind it: signed links that end, pages that open while it is away."""

from __future__ import annotations

import gzip
import time
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.test import Client
from django.urls import reverse

from parselogs import downloads
from tests.console import client_of, staff, text_of
from tests.parselogs.conftest import S3
from tests.parselogs.files import log_of, parsed, upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    return client_of(staff("root", superuser=True))


@pytest.fixture
def _signed(settings) -> None:
    settings.UPLOADS_S3_BUCKET, settings.PARSE_SIGNED_LINK_SECONDS = "bucket", 120


@pytest.mark.usefixtures("_signed")
def test_a_signed_link_fetches_this_log_and_no_other(s3: S3, root):
    run = parsed(upload())
    link = root.get(reverse("admin:parselogs_parsefilemeta_log_download", args=[run.uuid])).url
    answer = requests.get(link, timeout=10)

    assert gzip.decompress(answer.content).decode() == log_of(run)
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == ["120"]
    other = link.replace(str(run.log_file), str(run.data_file.file))
    assert other != link
    assert requests.get(other, timeout=10).status_code == 403


@pytest.mark.usefixtures("_signed")
def test_a_signed_link_ends(s3: S3, root, monkeypatch):
    page = reverse("admin:parselogs_datafile_download", args=[parsed(upload()).data_file_id])
    lasting = root.get(page).url
    monkeypatch.setattr(downloads, "SIGNED_SECONDS", 1)
    short = root.get(page).url

    time.sleep(2)
    assert requests.get(short, timeout=10).status_code == 403
    assert requests.get(lasting, timeout=10).status_code == 200


def test_lists_and_pages_open_while_the_storage_is_away(s3: S3, root):
    run = parsed(upload())
    s3.pause()
    started = time.monotonic()
    for name, *args in (
        ("datafile_changelist",),
        ("datafile_change", run.data_file_id),
        ("parsefilemeta_changelist",),
        ("parsefilemeta_change", run.pk),
    ):
        assert root.get(reverse(f"admin:parselogs_{name}", args=args)).status_code == 200
    assert time.monotonic() - started < 20

    shown = text_of(root.get(reverse("admin:parselogs_parsefilemeta_log", args=[run.uuid])))
    assert "The storage does not give the log" in shown
    answer = root.get(reverse("admin:parselogs_datafile_download", args=[run.data_file_id]), follow=True)
    assert "The storage does not give the file" in text_of(answer)
