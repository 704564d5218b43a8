"""Taking files in: limits, names, the same content twice, a storage that is away."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import storages
from django.db import connection

from parselogs.errors import UploadRefused
from parselogs.models import DataFile, DiscardedObject, ParseFileMeta
from parselogs.uploads import accept, limits_sentence, shown_name
from tests.parselogs.files import again, log_of, parsed, upload, users
from tests.parselogs.parsers.collect import archive

pytestmark = pytest.mark.django_db


def stored() -> list[str]:
    """Return what is in storage, as paths below its folder."""
    folder = Path(storages["uploads"].path("."))
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_upload_is_stored_with_its_run() -> None:
    ada = User.objects.create_user("ada")
    accepted = accept(io.BytesIO(users()), "users.csv", ada, notify=True, send=False)
    data_file = DataFile.objects.get()
    assert (accepted.data_file, accepted.duplicate) == (data_file, False)
    assert (data_file.name, data_file.size, data_file.notify_uploader) == ("users.csv", len(users()), True)
    assert accepted.run == ParseFileMeta.objects.get(data_file=data_file, state="queued", attempt=1)
    assert stored() == [data_file.file.name]
    with storages["uploads"].open(data_file.file.name) as file:
        assert file.read() == users()
    assert not DiscardedObject.objects.exists()
    path = Path(storages["uploads"].path(data_file.file.name))
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_same_content_is_recognised_and_said_and_kept_once() -> None:
    first = upload(users())
    again = accept(io.BytesIO(users()), "other name.csv", send=False)
    assert again.duplicate
    assert again.run is None
    assert again.data_file == first.data_file
    assert "was uploaded before, as users.csv on 20" in again.sentence
    assert len(stored()) == 1


@pytest.mark.django_db(transaction=True)
def test_same_content_at_the_same_moment_is_kept_once() -> None:
    together = threading.Barrier(4)
    results = []

    def take() -> None:
        together.wait()
        results.append(accept(io.BytesIO(users(500)), "users.csv", send=False))
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.duplicate for one in results) == [False, True, True, True]
    assert DataFile.objects.count() == ParseFileMeta.objects.count() == 1
    kept = DataFile.objects.get().file.name
    assert set(stored()) - {kept} == set(DiscardedObject.objects.values_list("name", flat=True))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("users.xlsx", users(), "neither .csv nor .zip"),
        ("users", users(), "neither .csv nor .zip"),
        ("csv", users(), "neither .csv nor .zip"),
        ("users.csv", b"", "is empty"),
        ("users.csv", b"x" * 10_001, "larger than 0 MB"),
    ],
    ids=["spreadsheet", "no type", "only a type", "empty", "large"],
)
def test_what_is_not_taken_is_refused_with_a_sentence_and_leaves_nothing(
    settings: Any, name: str, content: bytes, says: str
) -> None:
    settings.UPLOAD_MEGABYTES = 0.01
    with pytest.raises(UploadRefused, match=says):
        accept(io.BytesIO(content), name, send=False)
    assert not DataFile.objects.exists()
    assert not DiscardedObject.objects.exists()


def test_limit_is_not_believed_but_read(settings: Any) -> None:
    class Endless(io.RawIOBase):
        size = 5

        def read(self, size: int = -1) -> bytes:
            return b"x" * size

        def seek(self, *_: int) -> int:
            return 0

    settings.UPLOAD_MEGABYTES = 3
    with pytest.raises(UploadRefused, match="larger than 3 MB"):
        accept(Endless(), "users.csv", send=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/users.csv", "users.csv"),
        ("..\\..\\users.csv", "users.csv"),
        ("/etc/passwd/", "passwd"),
        ("a\x00b\x1b[2J\n.csv", "a\\x00b\\x1b[2J\\n.csv"),
        ("", "unnamed"),
        ("..", ".."),
        ("x" * 400 + ".csv", "x" * 254 + "…"),
    ],
    ids=["parents", "windows", "folder", "controls", "none", "dots", "long"],
)
def test_name_is_shown_and_nothing_else(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_name_never_becomes_a_path() -> None:
    run = parsed(upload(users(), name="../../../evil/../users.csv"))
    names = stored()
    assert len(names) == 3
    assert all("evil" not in name and "users" not in name for name in names)
    assert run.data_file.name == "users.csv"


def test_long_name_keeps_being_taken() -> None:
    with pytest.raises(UploadRefused):  # its end, that says what it is, is not shown
        upload(users(), name="x" * 400 + ".csv")
    assert upload(users(), name="x" * 200 + ".csv").data_file.name.endswith(".csv")


def test_storage_that_does_not_answer_refuses_and_leaves_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = storages["uploads"]

    def fail(*_: Any) -> str:
        raise ConnectionError("ada.example.edu:9000 refused")

    monkeypatch.setattr(type(storage), "save", fail)
    with pytest.raises(UploadRefused, match="did not take the file") as refused:
        upload()
    assert "example" not in str(refused.value)
    assert not DataFile.objects.exists()
    assert DiscardedObject.objects.count() == 1  # whatever it left is removed later


def test_sentence_of_the_limits_says_both() -> None:
    assert limits_sentence() == "CSV files, or zip archives of them, of at most 1,024 MB."


ENROLLED = "user_id,course_id,role,status\nstranger,C1,student,active\n"


def test_an_archive_that_is_said_to_be_complete_may_refer_to_nothing_else() -> None:
    content = archive({"users.csv": users(1, wrong=0), "enrollments.csv": ENROLLED})
    unsaid = parsed(upload(content, "autumn.zip"))
    assert unsaid.finding_counts == {"reference_absent": 1}

    said = accept(io.BytesIO(content), "autumn.zip", self_contained=True, send=False)
    assert said.duplicate
    run = parsed(again(said.data_file))
    assert run.finding_counts == {"reference_missing": 1}
    assert "said to hold everything" in log_of(run)

    accept(io.BytesIO(content), "autumn.zip", send=False)  # says nothing of it
    assert parsed(again(said.data_file)).finding_counts == {"reference_missing": 1}
    accept(io.BytesIO(content), "autumn.zip", self_contained=False, send=False)
    assert parsed(again(said.data_file)).finding_counts == {"reference_absent": 1}


def test_a_new_archive_can_be_said_to_be_complete() -> None:
    content = archive({"users.csv": users(1, wrong=0), "enrollments.csv": ENROLLED})
    assert parsed(upload(content, "autumn.zip", self_contained=True)).rows_rejected == 1
