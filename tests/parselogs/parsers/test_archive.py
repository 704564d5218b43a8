"""Zip archives, honest and hostile."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import BinaryIO

import pytest

from parselogs.parsers import Limits, Upload, parse
from tests.parselogs.parsers.collect import Collected, Forwards, archive, collect

USERS = "user_id,login_id,full_name,status\nU1,ann,Ann,active\n"


def test_archives_are_known_by_content_not_by_name() -> None:
    data = archive({"folder/users.csv": USERS})
    assert collect(data, "users.csv").files == collect(data, "users.zip", at_most=3).files
    assert collect(USERS, "users.zip").codes == ["archive_damaged"]


def test_what_systems_leave_behind_is_passed_over() -> None:
    entries = {"__MACOSX/._users.csv": "x", ".DS_Store": "x", "a/Thumbs.db": "x", "a/users.csv": USERS}
    report = collect(archive(entries))
    assert (report.codes, [began[0] for began in report.files]) == ([], ["a/users.csv"])


@pytest.mark.parametrize(
    "name", ["/etc/users.csv", "../users.csv", "a/../../users.csv", "C:\\users.csv", "..\\u.csv"]
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    report = collect(archive({name: USERS}))
    assert report.codes == ["entry_unsafe_name"]
    assert report.files == []


def test_names_are_shown_without_control_characters() -> None:
    report = collect(archive({"us\x1b[31mers\u202e.csv": "x,y\n"}))
    assert report.findings[0].file.isprintable()
    assert len(collect(archive({f"{'n' * 5000}.csv": "x,y\n"})).findings[0].file) <= 200


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.csv.gz", "a.xlsx"])
def test_archives_within_archives_are_not_opened(name: str) -> None:
    assert collect(archive({"u.csv": USERS, name: b"x"})).codes == ["nested_archive"]


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    data = archive({"users.csv": "0" * 20_000_000})
    assert len(data) < 40_000
    assert collect(data).codes == ["entry_ratio"]


def test_a_total_that_is_too_large_is_refused() -> None:
    data = archive({f"{number}.csv": USERS for number in range(5)})
    assert collect(data, limits=Limits(max_unpacked_bytes=200)).codes == ["archive_too_large"]


def test_a_directory_of_millions_is_not_read() -> None:
    count = 30_000
    data = archive({})[:-22] + b"PK\x01\x02" + b"\0" * (46 * count)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 3, 3, len(data), 0, 0)
    assert collect(b"PK\x03\x04" + data + end).codes in (["archive_too_many_entries"], ["archive_damaged"])


def test_sizes_that_lie_are_damage() -> None:
    data = bytearray(archive({"users.csv": USERS * 100}))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<L", 60)
    assert collect(bytes(data)).codes == ["entry_damaged"]


def test_damage_within_a_file_is_told_with_the_row() -> None:
    rows = "".join(f"U{number},l{number},N,active\n" for number in range(2, 20_000))
    data = bytearray(archive({"users.csv": USERS + rows}, zipfile.ZIP_STORED))
    data[data.index(b"U19999")] = ord("V")
    report = collect(bytes(data))
    [finding] = report.findings
    assert finding.code == "entry_damaged"
    assert finding.row
    assert report.total[0] == finding.row - 2 > 10_000


def test_a_large_entry_goes_through_a_temporary_file() -> None:
    rows = "".join(f"U{number},l{number},N,active\n" for number in range(50_000))
    report = collect(archive({"users.csv": "user_id,login_id,full_name,status\n" + rows}, zipfile.ZIP_STORED))
    assert report.total == (50_000, 50_000, 0)


def test_errors_of_the_storage_come_through() -> None:
    class Failing(Forwards):
        def read(self, size: int = -1, /) -> bytes:
            data = super().read(size)
            if not data:
                raise ConnectionResetError("the storage went away")
            return data

    for content in (USERS.encode(), archive({"users.csv": USERS})):

        def opened(content: bytes = content) -> BinaryIO:
            return Failing(content, 10)  # type: ignore[return-value]

        with pytest.raises(ConnectionResetError):
            parse(Upload("users.csv", len(content), opened), Collected())


class Stop(BaseException):
    """What a report raises to end a parse."""


@pytest.mark.parametrize("content", [USERS.encode(), archive({"users.csv": USERS})])
def test_what_the_report_raises_ends_the_parse(content: bytes) -> None:
    class Cancelled(Collected):
        def progress(self, read: int, accepted: int, rejected: int) -> None:
            raise Stop

    streams: list[io.BytesIO] = []

    def opened() -> io.BytesIO:
        streams.append(io.BytesIO(content))
        return streams[-1]

    with pytest.raises(Stop):
        parse(Upload("users.csv", len(content), opened), Cancelled())
    assert streams
    assert all(stream.closed for stream in streams)


def test_what_systems_leave_behind_does_not_count_against_the_limit() -> None:
    junk = {f"__MACOSX/._{number}.csv": "x" for number in range(5)}
    limits = Limits(max_entries=1)
    assert collect(archive({**junk, "users.csv": USERS}), limits=limits).codes == []
    more = archive({**junk, "users.csv": USERS, "more.csv": USERS})
    assert collect(more, limits=limits).codes == ["archive_too_many_entries"]
