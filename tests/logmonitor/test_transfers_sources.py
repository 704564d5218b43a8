"""Transfer logs in the console and in the background: state, bad lines read again, rows that are refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from logmonitor.models import BadLine, Gap, LogLine, LogSource, Segment
from logmonitor.tasks import drain_transfers
from logmonitor.transfers import store
from logmonitor.transfers.lines import Line
from logmonitor.transfers.reparse import reparse
from logmonitor.transfers.source_pages import shown
from tests.console import client_of, person, text_of
from tests.logmonitor.transfer_lines import fields_of_plugin, transfer
from tests.logmonitor.transfer_world import World, drain, stored

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A log folder with a source."""
    return World(tmp_path / "logs")


# --- the list --------------------------------------------------------------------------------------------


def listed(client: Client, **changes: Any) -> str:
    """Return what the list says of one source."""
    LogSource.objects.all().delete()
    LogSource.objects.create(name="campus", folder="/srv/sftp", **changes)
    return text_of(client.get(reverse("admin:logmonitor_logsource_changelist")))


def test_the_list_says_of_each_log_whether_it_is_followed() -> None:
    now, client = timezone.now(), client_of(person("olga", "Operator"))
    assert "not followed" in listed(client)
    assert "up to date" in listed(client, last_polled_at=now, last_line_at=now, lag_seconds=0.4)
    assert "not followed" in listed(client, last_polled_at=now - timedelta(hours=1))
    assert "cannot be read" in listed(client, last_polled_at=now, error="The folder is gone.")
    assert "off" in listed(client, enabled=False)
    assert "2 h ahead" in listed(client, last_polled_at=now, lag_seconds=-7_200.0)
    behind = listed(client, last_polled_at=now, behind_bytes=123_456, behind_seconds=3_725)
    assert "behind" in behind
    assert "123,456 bytes, 1 h 2 min" in behind


def test_the_list_asks_no_more_for_more_logs(django_assert_num_queries: Any) -> None:
    client, url = client_of(person("olga", "Operator")), reverse("admin:logmonitor_logsource_changelist")
    LogSource.objects.create(name="one", folder="/srv/one")
    with CaptureQueriesContext(connection) as asked:
        client.get(url)
    for name in ("two", "three", "four"):
        source = LogSource.objects.create(name=name, folder=f"/srv/{name}")
        for lines in (1_000, 200):
            segment = Segment.objects.create(
                source=source, path="sftpgo.log", head=b"x", head_len=1, lines=lines
            )
            Gap.objects.create(source=source, segment=segment, reason="rotated")
    with django_assert_num_queries(len(asked)):
        assert "1,200" in text_of(client.get(url))


def test_pages_show_gaps_and_bad_lines(world: World) -> None:
    world.live.write_bytes(transfer(1)[:60] + b"\x1b[31m\xff\n" + transfer(2))
    drain(world.source)
    world.live.unlink()
    world.write(1)
    drain(world.source)
    client = client_of(person("olga", "Operator"))
    source = text_of(client.get(reverse("admin:logmonitor_logsource_change", args=[world.source.pk])))
    assert "Read now" in source
    assert "Read bad lines again" in source
    gap = Gap.objects.get()
    assert "sftpgo-restored.log" in text_of(client.get(reverse("admin:logmonitor_gap_change", args=[gap.pk])))
    for name, key in (("gap", gap.pk), ("badline", BadLine.objects.get().pk)):
        page = client.get(reverse(f"admin:logmonitor_{name}_changelist"))
        assert page.status_code == 200
        detail = text_of(client.get(reverse(f"admin:logmonitor_{name}_change", args=[key])))
        assert ("was emptied, replaced or deleted" if name == "gap" else r"\x1b[31m\xff") in detail


def test_a_folder_can_be_mended_until_something_of_it_was_read(world: World) -> None:
    client = client_of(person("ada", "Administrator"))
    url = reverse("admin:logmonitor_logsource_change", args=[world.source.pk])
    folder = world.source.folder
    form = {"name": "x", "live_name": "sftpgo.log", "time_zone": "UTC", "enabled": "on", "poll_seconds": "1"}
    client.post(url, form | {"folder": "/srv//mistyped/", "keep_lines_days": ""})
    world.source.refresh_from_db()
    assert (world.source.folder, world.source.keep_lines_days) == ("/srv/mistyped", None)
    assert drain(world.source).errors
    client.post(url, form | {"folder": folder})
    world.write(1)
    assert drain(LogSource.objects.get()).counts.rows == 1
    client.post(url, form | {"folder": "/srv/elsewhere", "name": "y"})
    world.source.refresh_from_db()
    assert (world.source.folder, world.source.name) == (folder, "y")


def test_the_loss_of_a_gap_is_accepted_once_and_recorded(world: World) -> None:
    segment = Segment.objects.create(source=world.source, path="sftpgo.log", head_len=1, head=b"x")
    gap = Gap.objects.create(source=world.source, segment=segment, reason="rotated")
    client = client_of(person("olga", "Operator"))
    gaps = reverse("admin:logmonitor_gap_changelist")
    assert len(client.get(gaps, {"state": "open"}).context["cl"].result_list) == 1

    accept = reverse("admin:logmonitor_gap_accept", args=[gap.pk])
    assert "stays on record" in text_of(client.post(accept, follow=True))
    gap.refresh_from_db()
    assert gap.accepted_at is not None
    assert LogEntry.objects.get().get_edited_object() == gap
    assert "not possible now" in text_of(client.post(accept, follow=True))
    assert not client.get(gaps, {"state": "open"}).context["cl"].result_list
    assert "accepted" in text_of(client.get(gaps, {"state": "settled"}))
    sources = text_of(client.get(reverse("admin:logmonitor_logsource_changelist")))
    assert "state=open" not in sources


def test_bytes_are_shown_without_doing_anything() -> None:
    assert shown(b'a\\"\x00\x1b[31m\xff<b>\xe2\x80\xae') == 'a\\"\\x00\\x1b[31m\\xff<b>\\u202e'


def test_reading_now_without_workers_says_what_to_do(world: World, settings: Any) -> None:
    world.write(1)
    client = client_of(person("olga", "Operator"))
    page = client.post(reverse("admin:logmonitor_logsource_read", args=[world.source.pk]))
    assert "Redis does not answer" in text_of(page)


def test_the_task_reads_all_that_are_enabled(world: World) -> None:
    world.write(2)
    assert drain_transfers()["rows"] == 2
    world.write(1)
    LogSource.objects.update(enabled=False)
    assert drain_transfers()["sources"] == []
    assert drain_transfers(world.source.pk)["rows"] == 1


# --- rules about data ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"time_zone": "Europe/Nowhere"}, "time_zone"),
        ({"folder": "relative/folder"}, "folder"),
        ({"folder": "//"}, "folder"),
        ({"folder": "/srv/a\nb"}, "folder"),
        ({"folder": "/srv/\0"}, "folder"),
        ({"folder": "/srv/\udcff"}, "folder"),
        ({"name": "a\nb"}, "name"),
        ({"live_name": "../x"}, "live_name"),
        ({"live_name": "a\nb"}, "live_name"),
        ({"live_name": "sftpgo.log.gz"}, "live_name"),
        ({"poll_seconds": 0}, "poll_seconds"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], field: str) -> None:
    source = LogSource(**{"name": "x", "folder": "/srv/x"} | changes)
    with pytest.raises(ValidationError) as refused:
        source.full_clean()
    assert field in refused.value.message_dict


@pytest.mark.parametrize(
    "folder", ["/srv/sftp", "/srv/sftp/eu", "/srv", "//srv/sftp", "/srv/x/../sftp/", "/srv/./sftp"]
)
def test_a_folder_within_another_is_refused(folder: str) -> None:
    LogSource.objects.create(name="campus", folder="/srv/sftp")
    with pytest.raises(ValidationError, match=r"already exists|lines would be counted twice"):
        LogSource(name="x", folder=folder).full_clean()
    LogSource(name="x", folder="/srv/sftp2").full_clean()


def test_a_link_into_the_folder_of_another_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logs" / "eu").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "logs" / "eu")
    LogSource.objects.create(name="campus", folder=str(tmp_path / "logs"))
    with pytest.raises(ValidationError, match="lines would be counted twice"):
        LogSource(name="x", folder=str(tmp_path / "link")).full_clean()
    other = LogSource(name="x", folder=f"{tmp_path}//other/")
    other.full_clean()
    assert other.folder == str(tmp_path / "other")


def test_the_database_refuses_what_the_key_cannot_hold(world: World) -> None:
    about = {"source": world.source, "path": "x", "head_len": 1, "head": b"x"}
    broken: list[tuple[type[Any], dict[str, Any]]] = [
        (Segment, about | {"offset": 1 << 40}),
        (Segment, about | {"offset": -1}),
        (Segment, about | {"id": 1 << 22}),
        (LogSource, {"name": "y", "folder": "/y", "poll_seconds": 0}),
        (LogSource, {"name": "y", "folder": "/y", "keep_lines_days": 0}),
        (LogSource, {"name": "y", "folder": ""}),
        (LogLine, {"source": world.source, "at": timezone.now(), "day": "2026-01-01", "size_bytes": -1}),
    ]
    for model, values in broken:
        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.create(**values)
    segment = Segment.objects.create(**about)
    BadLine.objects.create(segment=segment, offset=0, length=1, raw=b"x", reason="x")
    with pytest.raises(IntegrityError), transaction.atomic():
        BadLine.objects.create(segment=segment, offset=0, length=1, raw=b"x", reason="x")


# --- bad lines -------------------------------------------------------------------------------------------


def test_bad_lines_are_read_again_by_a_program_that_knows_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = transfer(2, elapsed_ms="125")
    world.live.write_bytes(transfer(1) + new + b"nonsense\n" + transfer(3))
    drain(world.source)
    assert reparse(world.source).mended == 0
    assert BadLine.objects.filter(tried_at=None).count() == 0
    bad = BadLine.objects.get(offset=len(transfer(1)))
    BadLine.objects.filter(pk=bad.pk).update(raw=transfer(2)[:-1], length=len(transfer(2)) - 1)
    done = reparse(world.source)
    assert (done.tried, done.mended) == (2, 1)
    assert sorted(stored(world.source).elements()) == [1, 2, 3]
    line = LogLine.objects.get(size_bytes=2)
    assert line.offset == bad.offset
    segment = Segment.objects.get()
    assert (segment.lines, segment.bad_lines) == (3, 1)
    assert reparse(world.source).tried == 1


def test_a_row_that_the_database_refuses_is_a_bad_line_and_the_rest_is_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = store._BACKENDS[connection.vendor]

    def refuse(cursor: Any, blocks: Any) -> None:
        blocks = list(blocks)
        if any(Line._make(line).size_bytes == 7 for lines in blocks for line in lines):
            raise DataError("poisoned")
        insert(cursor, blocks)

    monkeypatch.setitem(store._BACKENDS, connection.vendor, refuse)  # type: ignore[arg-type]
    world.write(20)
    drain(world.source)
    assert sorted(stored(world.source)) == [number for number in range(1, 21) if number != 7]
    bad = BadLine.objects.get()
    assert bad.reason == "the database refuses it"
    assert bytes(bad.raw) == world.live.read_bytes().splitlines()[6]


def test_hostile_text_reaches_the_database_whole(world: World) -> None:
    names = ["a\\b\tc\n\x00", "\\N", "'; DROP TABLE x; --", "\u2028\U0001f600", "</script>"]
    world.live.write_bytes(b"".join(transfer(number, username=name) for number, name in enumerate(names)))
    world.live.write_bytes(world.live.read_bytes() + fields_of_plugin())
    drain(world.source)
    assert not BadLine.objects.exists()
    found = dict(LogLine.objects.filter(kind="transfer").values_list("size_bytes", "username"))
    assert [found[number] for number in range(5)] == [
        "a\\b\u2409c\u240a\u2400",
        "\\N",
        "'; DROP TABLE x; --",
        "\ufffd\U0001f600",
        "</script>",
    ]


def test_sizes_beyond_reason_do_not_stop_the_reading(world: World) -> None:
    for round_ in range(2):
        lines = [transfer(1, size_bytes=2**62, file_path=f"/{round_}/{number}") for number in range(20)]
        with world.live.open("ab") as log:
            log.writelines(lines)
        drain(world.source)
    assert LogLine.objects.filter(size_bytes=2**60).count() == 40
