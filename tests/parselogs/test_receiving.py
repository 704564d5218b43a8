"""Uploads that are too large, or a stranger's: stopped before anything of them is on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.test import Client
from django.urls import reverse

from parselogs import receiving
from parselogs.models import DataFile
from tests.console import client_of, person, text_of
from tests.parselogs.files import users

pytestmark = pytest.mark.django_db

LARGE = b"x" * 40_000


@pytest.fixture(autouse=True)
def files(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that reach the disk; every upload goes there."""
    made: list[str] = []
    begin = TemporaryUploadedFile.__init__

    def watched(self: Any, name: str, *args: Any) -> None:
        made.append(name)
        begin(self, name, *args)

    monkeypatch.setattr(TemporaryUploadedFile, "__init__", watched)
    monkeypatch.setattr(receiving, "FORM_BYTES", 1_000)
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 0
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path
    settings.UPLOAD_MEGABYTES = 0.02
    return made


def send(client: Client, content: bytes, **fields: str) -> Any:
    """Send the upload form."""
    form = {**fields, "file": SimpleUploadedFile("users.csv", content)}
    return client.post(reverse("admin:parselogs_datafile_add"), form)


@pytest.fixture
def operator() -> Client:
    return client_of(person("olga", "Operator"))


def test_what_fits_comes_through(operator: Client, files: list[str]) -> None:
    assert send(operator, users()).status_code == 302
    assert DataFile.objects.get().size == len(users())
    assert files == ["users.csv"]


@pytest.mark.parametrize("drained", [100_000, 10], ids=["read to its end", "broken off"])
def test_what_is_too_large_is_refused_before_it_is_on_the_disk(
    operator: Client, files: list[str], monkeypatch: pytest.MonkeyPatch, drained: int
) -> None:
    monkeypatch.setattr(receiving, "DRAINED_BYTES", drained)
    shown = text_of(send(operator, LARGE))
    assert "The file is larger than" in shown
    assert "Choose a file" not in shown
    assert files == []
    assert not DataFile.objects.exists()


def test_a_form_without_a_file_says_so(operator: Client) -> None:
    assert "Choose a file." in text_of(operator.post(reverse("admin:parselogs_datafile_add"), {}))


def test_files_of_strangers_are_not_taken(files: list[str]) -> None:
    stranger = Client(
        enforce_csrf_checks=True
    )  # so that the body is read for its token before anybody asks who
    stranger.get(reverse("admin:login"))
    token = stranger.cookies["csrftoken"].value
    response = send(stranger, users(), csrfmiddlewaretoken=token)
    assert response.status_code == 302
    assert "login" in response.url
    assert files == []


def test_the_form_tells_browsers_the_limit(operator: Client) -> None:
    body = operator.get(reverse("admin:parselogs_datafile_add")).content.decode()
    assert 'data-most-bytes="20000"' in body
    assert "easel/upload.js" in body
