"""Which files the analyser reads, each line once, and what becomes of those that are damaged or hostile."""

from __future__ import annotations

import gzip
import io
import os
import resource
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logmonitor.analysis import plan as plan_of_files
from logmonitor.analysis import sources
from logmonitor.analysis.engine import analyse
from logmonitor.analysis.follow import Follower
from logmonitor.analysis.selection import Selection
from logmonitor.analysis.sources import Folder, FolderError
from logmonitor.live import LiveLog
from logmonitor.rotated import tidy_rotated
from tests.logmonitor.log_folder import (
    analysed,
    calls,
    line,
    problems,
    request,
    requests,
    write,
    write_archive,
)

API = "api_calls.log"


# --- what is read ------------------------------------------------------------------------------------


def test_plain_rotated_compressed_and_archived_files_are_read(tmp_path: Path) -> None:
    write(tmp_path, API, requests(10, start=0))
    write(tmp_path, f"{API}.1", requests(10, start=10))
    write(tmp_path, f"{API}.20261122-081530-123456.gz", requests(10, start=20))
    packed = gzip.compress(requests(10, start=40))
    write_archive(tmp_path, "a.tar.gz", [(f"logs/{API}.3", requests(10, start=30)), (f"{API}.4.gz", packed)])
    write_archive(tmp_path, "b.tar.gz.pending", [(API, requests(10, start=50))])
    found = analysed(tmp_path)
    assert found["api"]["calls"] == 60
    assert found["api"]["duration"]["total_ms"] == sum(range(60))
    assert (found["input"]["files"], found["input"]["problems"]) == (5, {})


def test_what_is_not_ours_is_not_read(tmp_path: Path) -> None:
    for name in (
        "other.log",
        "api_calls.txt",
        "my_api_calls.log",
        f".{API}.lock",
        f"{API}.part",
        f"{API}.gz.part",
    ):
        write(tmp_path, name, request())  # fmt: skip
    assert analysed(tmp_path)["input"]["files"] == 0


def test_compressed_file_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / f"{API}.1").write_bytes(gzip.compress(requests(3)))
    (tmp_path / f"{API}.2.gz").write_bytes(requests(3, start=10))
    (tmp_path / f"{API}.3.gz").write_bytes(gzip.compress(requests(3, 20)) + gzip.compress(requests(3, 30)))
    assert calls(tmp_path) == 12


def test_last_line_without_an_end_counts(tmp_path: Path) -> None:
    write(tmp_path, API, requests(3).rstrip(b"\n"))
    assert calls(tmp_path) == 3


def test_windows_line_ends_and_blank_lines_are_no_problem(tmp_path: Path) -> None:
    write(tmp_path, API, b"\n\r\n".join(requests(3).splitlines()))
    assert (calls(tmp_path), problems(tmp_path)) == (3, {})


# --- once each ---------------------------------------------------------------------------------------


def test_file_that_is_there_compressed_and_archived_too_counts_once(tmp_path: Path) -> None:
    content = requests(50)
    write(tmp_path, f"{API}.1", content)
    write(tmp_path, f"{API}.1.gz", content)
    write_archive(tmp_path, "a.tar.gz", [(f"{API}.1", content), (f"{API}.9", requests(5, start=900))])
    write_archive(tmp_path, "b.tar.gz", [(f"{API}.1.gz", gzip.compress(content))])
    found = analysed(tmp_path)
    assert found["api"]["calls"] == 55
    assert found["input"]["duplicates"] == 3


def test_file_that_is_being_compressed_counts_once(tmp_path: Path) -> None:
    content = requests(3000)
    write(tmp_path, f"{API}.1", content)
    half = gzip.compress(content)
    write(tmp_path, f"{API}.1", content)
    (tmp_path / f"{API}.1.gz").write_bytes(half[: len(half) // 2])
    assert (calls(tmp_path), problems(tmp_path)) == (3000, {})


@pytest.mark.parametrize("longer_first", [False, True])
def test_archive_of_a_files_beginning_counts_once(longer_first: bool, tmp_path: Path) -> None:
    short, long = requests(10), requests(30)
    write(tmp_path, API, long if longer_first else short)
    write_archive(tmp_path, "a.tar.gz", [(API, short if longer_first else long)])
    assert calls(tmp_path) == 30


def test_each_of_many_files_that_begin_alike_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, other = requests(3000), requests(2000) + request(path="a") * 2000
    archived = [
        (f"{API}.{number}", content[: content.rindex(b"\n", 0, -number * 1000) + 1]) for number in range(1, 9)
    ]
    write_archive(tmp_path, "a.tar.gz", archived)
    write_archive(tmp_path, "b.tar.gz", [*archived, (f"{API}.20", content), (f"{API}.21", other)])
    write(tmp_path, f"{API}.30.gz", content)
    reads = []
    keep = plan_of_files.log_files
    monkeypatch.setattr(plan_of_files, "log_files", lambda *of: reads.append(of) or keep(*of))
    found = analysed(tmp_path)

    assert (found["api"]["calls"], found["input"]["duplicates"]) == (3000 + 4000, 17)
    assert len(reads) == 6, "each archive: for the first lines, for the lengths, for what they hold"


def test_of_very_many_lengths_the_same_files_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_of_files, "MOST_LENGTHS", 2)
    for number in range(1, 6):
        write(tmp_path, f"{API}.{number}", requests(number * 10))
        write(tmp_path, f"{API}.{number}0", requests(number * 10))
    assert calls(tmp_path) == 30 + 40 + 50


def test_files_that_only_begin_alike_all_count(tmp_path: Path) -> None:
    write(tmp_path, API, requests(10) + request(path="a"))
    write(tmp_path, f"{API}.1.gz", requests(10) + request(path="b"))
    assert calls(tmp_path) == 22


def test_same_file_by_two_names_counts_once(tmp_path: Path) -> None:
    file = write(tmp_path, API, requests(10))
    os.link(file, tmp_path / f"{API}.20261122-081530-123456.cut100")
    assert calls(tmp_path) == 10


def test_log_that_was_being_cut_when_a_kill_came_counts_once(tmp_path: Path) -> None:
    head, tail = requests(10), requests(5, start=10)
    write(tmp_path, f"{API}.20261122-081530-123456.cut{len(head)}", head + tail)
    write(tmp_path, API, tail + requests(1, start=99))
    assert calls(tmp_path) == 16


def renaming(folder: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Have something done to the folder after its first file was opened."""
    keep, done = Folder._keep, []

    def kept(self: Folder, *arguments: Any) -> bool:
        result = keep(self, *arguments)
        if not done:
            done.append(1)
            act()
        return result

    monkeypatch.setattr(Folder, "_keep", kept)


def test_rotation_while_files_are_opened_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, API, requests(10))
    write(tmp_path, f"{API}.1", requests(10, start=10))

    def rotate() -> None:
        os.rename(tmp_path / f"{API}.1", tmp_path / f"{API}.2")
        os.rename(tmp_path / API, tmp_path / f"{API}.1")
        write(tmp_path, API, requests(10, start=20))

    renaming(tmp_path, monkeypatch, rotate)
    assert calls(tmp_path) == 30


def test_cut_while_files_are_read_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, API, requests(100))
    renaming(tmp_path, monkeypatch, lambda: LiveLog(tmp_path / API, 10**9).cut(30) and None)
    assert calls(tmp_path) == 100


# --- damage ------------------------------------------------------------------------------------------

DAMAGE = {
    "damaged": [
        b"Traceback (most recent call last):",
        b"\x00\x01\xff",
        b"{'ts': 1}",
        b'{"a":' * 100_000,
        request()[:-2] + b"}}",
    ],
    "half_written": [request()[:40], request()[:-2]],
    "foreign": [b"{}", b"1", b"[" * 100_000, b'{"event": 1}', b'{"event": "login"}', line("flush").strip()],
    "wrong_type": [
        b'{"event": "request"}',
        request(duration_ms="3").strip(),
        request(duration_ms=-1).strip(),
        request(duration_ms=1e300).strip(),
        request(path=None).strip(),
        request(paginated="yes").strip(),
        request(run="one").strip(),
        request().replace(b"2026", b"soon").strip(),
        request().replace(b"Z", b"").strip(),
    ],
    "too_long": [b"x" * 10_000_000, request(path="x" * 2_000_000).strip()],
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_bad_lines_are_counted_by_kind_and_cost_no_other(kind: str, tmp_path: Path) -> None:
    bad = DAMAGE[kind]
    content = b"".join(each + b"\n" + request() for each in bad)
    write(tmp_path, API, request() + content)
    write(tmp_path, f"{API}.1.gz", content)
    found = analysed(tmp_path)
    assert found["api"]["calls"] == 2 * len(bad) + 1
    assert found["input"]["problems"] == {kind: 2 * len(bad)}
    assert {(one["file"], one["kind"], one["count"]) for one in found["input"]["problems_by_file"]} == {
        (API, kind, len(bad)),
        (f"{API}.1.gz", kind, len(bad)),
    }


def test_two_records_in_one_line_and_one_over_two_are_damaged(tmp_path: Path) -> None:
    one = request().strip()
    write(tmp_path, API, one + one + b"\n" + one.replace(b", ", b",\n", 1) + b"\n" + request())
    assert calls(tmp_path) == 1
    assert sum(problems(tmp_path).values()) == 3


def test_what_stands_before_the_damage_of_a_compressed_file_counts(tmp_path: Path) -> None:
    whole = gzip.compress(requests(5000))
    (tmp_path / f"{API}.1.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / f"{API}.2.gz").write_bytes(gzip.compress(requests(10, start=9000)) + b"garbage")
    found = analysed(tmp_path)
    assert 1000 < found["api"]["calls"] < 5000
    assert found["input"]["problems"] | {"half_written": 1} == {
        "truncated": 1, "damaged_file": 1, "half_written": 1,
    }  # fmt: skip


def test_archive_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    file = write_archive(
        tmp_path, "a.tar.gz", [(f"{API}.1", requests(2000)), (f"{API}.2", requests(2000, 5000))]
    )
    plain = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(plain[: len(plain) * 3 // 4]))
    (tmp_path / "archive" / "b.tar.gz").write_bytes(b"no archive at all" * 100)
    found = analysed(tmp_path)
    assert 2000 < found["api"]["calls"] < 4000
    assert found["input"]["problems"]["damaged_file"] == 2


def test_archive_members_of_odd_names_and_kinds_are_passed_over(tmp_path: Path) -> None:
    names = ["../operations.log", f"/etc/{API}", f"x/../../{API}", "passwd", "n" * 300, "a\nb", ""]
    write_archive(tmp_path, "a.tar.gz", [*((name, request()) for name in names), (API, requests(3))])
    link = tarfile.TarInfo(f"{API}.2")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "archive" / "links.tar", "w") as archive:
        archive.addfile(link)
    found = analysed(tmp_path)
    assert found["api"]["calls"] == 3
    assert found["input"]["problems"] == {"foreign_member": len(names)}


def test_long_names_of_members_are_read(tmp_path: Path) -> None:
    deep = "/".join(["folder" * 10] * 4)
    for kind, name in ((tarfile.GNU_FORMAT, "gnu"), (tarfile.PAX_FORMAT, "pax")):
        (tmp_path / "archive").mkdir(exist_ok=True)
        with tarfile.open(tmp_path / "archive" / f"{name}.tar", "w", format=kind) as archive:
            about = tarfile.TarInfo(f"{deep}/{API}")
            content = requests(3, start=10 * kind)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    assert calls(tmp_path) == 6


def test_header_that_claims_gigabytes_is_not_held(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 50_000_000
    content = header.tobuf(tarfile.USTAR_FORMAT) + bytes(50_000_000 + -50_000_000 % 512)
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "a.tar.gz").write_bytes(gzip.compress(content, 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert calls(tmp_path) == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_more_logs_than_a_process_may_open_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        write(tmp_path, f"{API}.{number}", request())
    monkeypatch.setattr(sources, "_raise_file_limit", lambda: sources.SPARE_FILES + 5)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FolderError, match=r"than a process may open here \(69\): raise `ulimit -n`"):
        Folder(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_decompression_bomb_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BOMB_BYTES", 1_000_000)
    zeros, ends = gzip.compress(bytes(20_000_000)), gzip.compress(b"\n" * 20_000_000)
    write(tmp_path, API, requests(3))
    (tmp_path / f"{API}.1.gz").write_bytes(zeros)
    write_archive(tmp_path, "a.tar.gz", [(f"{API}.5.gz", ends)])
    found = analysed(tmp_path)
    assert found["api"]["calls"] == 3
    assert found["input"]["problems"]["bomb"] == 2


def test_many_small_bombs_in_one_archive_are_one_large_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BOMB_BYTES", 1_000_000)
    monkeypatch.setattr(sources, "BOMB_RATIO", 1)
    bombs = [(f"{API}.{number}.gz", gzip.compress(b"\n" * 300_000)) for number in range(9)]
    write_archive(tmp_path, "a.tar.gz", bombs)
    found = analysed(tmp_path)
    assert found["input"]["problems"]["bomb"] == 6
    assert found["input"]["bytes"] < 1_100_000


def test_bytes_that_were_read_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "READ_BYTES", 1_000)  # lines reach over what is read at once
    contents = requests(50) + b"{no end"
    write(tmp_path, API, contents)
    write_archive(tmp_path, "a.tar.gz", [(f"{API}.5", requests(20, 50))])
    assert analysed(tmp_path)["input"]["bytes"] == len(contents) + len(requests(20, 50))


def test_archive_of_very_many_files_is_left(tmp_path: Path) -> None:
    write_archive(tmp_path, "a.tar.gz", [(f"{API}.{index}", requests(1, index)) for index in range(1010)])
    assert (calls(tmp_path), problems(tmp_path)) == (1000, {"bomb": 1})


def test_nothing_outside_the_folder_is_read(tmp_path: Path) -> None:
    secret = write(tmp_path / "elsewhere", API, requests(5))
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / API).symlink_to(secret)
    (folder / "archive").symlink_to(secret.parent)
    os.mkfifo(folder / f"{API}.1")
    (folder / f"{API}.2").mkdir()
    found = analysed(folder)
    assert found["input"]["files"] == found["api"]["calls"] == 0
    assert found["input"]["problems"] == {"unreadable": 4}


@pytest.mark.parametrize("name", ["missing", "a_file", "nul\0byte"])
def test_folder_that_cannot_be_opened_is_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "a_file").write_bytes(b"")
    with pytest.raises(FolderError) as raised:
        analyse(tmp_path / name, Selection())
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


@given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([request(), request()[:50], b"\n"]))))
def test_random_bytes_are_counted_and_never_fatal(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("random")
    content = b"".join(parts)
    write(folder, API, content)
    found = analysed(folder)
    said = sum(found["input"]["problems"].values()) + found["input"]["lines"]
    if content[:2] != b"\x1f\x8b":
        assert said == sum(bool(each.strip()) for each in content.split(b"\n"))


@given(st.integers(0, 2000), st.integers(0, 255), st.booleans())
def test_damaged_gzip_and_archives_are_never_fatal(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    for file in (
        write(folder, f"{API}.1.gz", requests(200)),
        write_archive(folder, "a.tar.gz", [(f"{API}.2", requests(200, start=500))]),
        write_archive(folder, "b.tar", [(f"{API}.3.gz", gzip.compress(requests(200, start=900)))]),
    ):
        content = bytearray(file.read_bytes())
        content[at % len(content)] = byte
        file.write_bytes(content[: at % len(content)] if cut else content)
    assert calls(folder) <= 600


@given(st.binary(max_size=2000))
def test_random_archives_are_never_fatal(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("archives")
    write(folder, "archive/a.tar", content)
    header = tarfile.TarInfo(API)
    header.size = len(content)
    write(folder, "archive/b.tar", header.tobuf() + content)
    assert calls(folder) == 0


# --- following ---------------------------------------------------------------------------------------


def test_following_counts_every_line_once_through_rotation_cut_and_compression(tmp_path: Path) -> None:
    log = LiveLog(tmp_path / API, 20_000)
    follower = Follower(tmp_path, Selection())
    written, seen = 0, 0
    for step in range(12):
        for _ in range(40):
            log.append(request(at=written, duration_ms=float(written)))
            written += 1
        if step in (4, 9):
            log.cut(10)
        if step in (6, 10):
            tidy_rotated(tmp_path, "api_calls", 100)
        if found := follower.look():
            seen = found.counts["api_calls"].lines
        assert seen == written
    assert len(list(tmp_path.iterdir())) > 3


def test_following_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    follower = Follower(tmp_path, Selection())
    write(tmp_path, API, request() + request()[:30])
    found = follower.look()
    assert found
    assert (found.counts["api_calls"].lines, found.problems) == (1, {})
    write(tmp_path, API, request() * 2)
    found = follower.look()
    assert found
    assert found.counts["api_calls"].lines == 2
    assert follower.look() is None
