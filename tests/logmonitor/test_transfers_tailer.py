"""Following transfer logs: each line once, whatever befalls the files and the process that reads them."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import time
from pathlib import Path

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from logmonitor.models import BadLine, Gap, LogLine, LogSource, Segment
from logmonitor.transfers.tailer import Tailer
from tests.logmonitor.transfer_lines import message, transfer
from tests.logmonitor.transfer_world import World, drain, settle, stored, wander

pytestmark = pytest.mark.django_db

SOAK = int(os.environ.get("SOAK", "1"))
"""`make soak` makes this many times as much happen, and other things than the last time."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A log folder with a source."""
    return World(tmp_path / "logs")


def test_rotated_while_down_is_read_on_where_it_was(world: World) -> None:
    world.write(5)
    world.drain()
    world.write(5)
    world.rotate()
    world.write(5)
    world.rotate(pack=True)
    world.write(5)
    world.check()


def test_compressed_while_down_is_read_on_in_the_middle(world: World) -> None:
    world.write(50)
    world.drain()
    world.write(50)
    world.rotate(pack=True)
    world.write(1)
    world.check()
    assert Segment.objects.filter(state="ended").count() == 1


def test_a_compressed_file_is_left_alone_while_the_plain_one_is_there(world: World) -> None:
    world.write(5)
    world.rotate()
    world.write(1)
    world.pack(keep_plain=True)
    world.drain()
    assert {segment.path.endswith(".gz") for segment in Segment.objects.all()} == {False}
    world.pack()
    world.check()


def test_a_compressed_file_without_its_end_waits_and_says_so(world: World) -> None:
    world.write(500)
    world.rotate(pack=True)
    packed = next(world.folder.glob("*.gz"))
    whole = packed.read_bytes()
    packed.write_bytes(whole[: len(whole) // 2])
    summary = world.drain()
    assert "is not a whole gzip file" in summary.errors[world.source.name]
    assert not LogLine.objects.exists()
    packed.write_bytes(whole)
    world.check()


def test_what_was_read_packed_is_not_unpacked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(5)
    world.rotate(pack=True)
    world.write(1)
    world.drain()
    opened: list[Path] = []
    monkeypatch.setattr("logmonitor.transfers.tailer.Packed", lambda path: opened.append(path))
    world.drain()
    assert opened == []


@pytest.mark.parametrize("lines", [3, 10, 30])
def test_emptied_and_grown_again_while_down_is_read_from_its_start(world: World, lines: int) -> None:
    world.write(10)
    world.drain()
    world.truncate()
    world.write(lines)
    world.check()


def test_emptied_and_grown_to_the_same_size_is_read_from_its_start(world: World) -> None:
    world.live.write_bytes(transfer(1) + transfer(2))
    drain(world.source)
    world.live.write_bytes(transfer(3) + transfer(4))
    drain(world.source)
    assert sorted(stored(world.source)) == [1, 2, 3, 4]


def test_one_that_begins_as_another_does_is_told_apart_by_what_follows(world: World) -> None:
    first = transfer(1, file_path="/" + "x" * 5_000)
    world.live.write_bytes(first + transfer(2))
    drain(world.source)
    world.live.rename(world.folder / "sftpgo-1.log")
    world.live.write_bytes(first + transfer(3) + transfer(4))
    drain(world.source)
    assert sorted(stored(world.source).elements()) == [1, 1, 2, 3, 4]


@pytest.mark.parametrize("holes", [False, True])
def test_copied_and_emptied_is_read_to_the_end_of_the_copy(world: World, holes: bool) -> None:
    world.write(10)
    world.drain()
    world.write(5)
    world.copy_and_truncate(holes=holes)
    world.write(5)
    world.drain()
    world.copy_and_truncate(holes=holes)
    world.write(5)
    world.check()
    assert not Gap.objects.exists()
    assert not BadLine.objects.exists()


def test_a_copy_that_is_being_made_is_no_log_of_its_own(world: World) -> None:
    world.write(40)
    world.drain()
    data = world.live.read_bytes()
    copy = world.folder / "sftpgo.log.1"
    copy.write_bytes(data[: len(data) // 2])
    world.drain()
    assert Segment.objects.count() == 1
    copy.write_bytes(data)
    world.check()


def test_a_deleted_file_made_anew_on_the_same_inode_is_another(world: World) -> None:
    for _ in range(5):
        world.write(4)
        world.drain()
        world.delete_live()
    world.write(4)
    world.check()
    assert Segment.objects.count() == 6


def test_a_line_without_its_end_waits_for_it(world: World) -> None:
    line = transfer(7)
    world.live.write_bytes(transfer(6) + line[:50])
    drain(world.source)
    assert list(stored(world.source)) == [6]
    world.live.write_bytes(transfer(6) + line)
    drain(world.source)
    assert sorted(stored(world.source)) == [6, 7]


def test_a_last_line_without_an_end_is_taken_once_nobody_writes_it(world: World) -> None:
    world.live.write_bytes(transfer(6) + transfer(7).rstrip(b"\n"))
    world.live.rename(world.folder / "sftpgo-1.log")
    drain(world.source)
    assert list(stored(world.source)) == [6]
    world.live.write_bytes(transfer(8))
    settle(world.folder)
    drain(world.source)
    drain(world.source)
    assert sorted(stored(world.source)) == [6, 7, 8]
    assert LogLine.objects.get(size_bytes=7).flags == LogLine.Flag.UNTERMINATED


def test_a_line_glued_to_a_torn_one_is_recovered(world: World) -> None:
    world.live.write_bytes(transfer(1)[:70] + transfer(2) + transfer(3))
    drain(world.source)
    assert sorted(stored(world.source)) == [2, 3]
    assert LogLine.objects.get(size_bytes=2).flags == LogLine.Flag.RECOVERED
    bad = BadLine.objects.get()
    assert (bytes(bad.raw), bad.offset, bad.length, bad.reason) == (transfer(1)[:70], 0, 70, "torn")


def test_a_first_line_longer_than_the_head_is_followed(world: World) -> None:
    long = transfer(1, file_path="/" + "x" * 50_000)
    world.live.write_bytes(long[:20_000])
    drain(world.source)
    assert not Segment.objects.exists()
    world.live.write_bytes(long)
    drain(world.source)
    world.live.write_bytes(long + transfer(2))
    drain(world.source)
    assert sorted(stored(world.source).elements()) == [1, 2]


def test_a_line_too_long_for_memory_is_bad_and_the_next_is_read(world: World) -> None:
    huge = message(message="y" * 10_000_000)
    world.live.write_bytes(transfer(1) + huge[:6_000_000])
    drain(world.source)
    assert list(stored(world.source)) == [1]
    world.live.write_bytes(transfer(1) + huge + transfer(2))
    drain(world.source)
    assert sorted(stored(world.source).elements()) == [1, 2]
    bad = BadLine.objects.get()
    assert (bad.length, len(bad.raw), bad.reason) == (len(huge) - 1, 65_536, "the line is too long")


def test_zeros_are_skipped_and_counted(world: World) -> None:
    world.live.write_bytes(b"\0" * 211_438 + transfer(1) + b"\0" * 3_000_000 + transfer(2))
    drain(world.source)
    assert sorted(stored(world.source)) == [1, 2]
    segment = Segment.objects.get()
    assert (segment.head_start, segment.hole_bytes) == (211_438, 3_211_438)
    assert not BadLine.objects.exists()


def test_files_of_sub_folders_are_followed_too(world: World) -> None:
    inner = World(world.folder / "eu" / "1", world.source)
    world.write(3)
    world.drain()
    inner.folder.mkdir(parents=True)
    inner._number = 100
    inner.write(3)
    inner.rotate()
    inner.write(2)
    world.expected += inner.expected
    world.check()


def test_other_files_are_left_alone(world: World) -> None:
    for name in ("other.log", "sftpgo.db", "sftpgo.log.zst", "sftpgo-1.log.part", "sftpgolog", "xsftpgo.log"):
        (world.folder / name).write_bytes(transfer(1))
    (world.folder / "sftpgo-pipe.log").mkdir()
    os.mkfifo(world.folder / "sftpgo-2.log")
    drain(world.source)
    assert not LogLine.objects.exists()


# --- gaps and what cannot be read --------------------------------------------------------------------


def test_what_was_rotated_away_unread_is_a_gap(world: World) -> None:
    world.write(3)
    world.drain()
    world.write(3)
    world.rotate()
    world.delete_oldest()
    world.drain()
    assert not Gap.objects.exists()  # nothing is known yet: the folder may not be mounted
    world.write(2)
    world.check()
    gap = Gap.objects.get()
    numbers = LogLine.objects.order_by("at", "pk").values_list("size_bytes", "at")
    known = dict(numbers)
    assert (gap.since, gap.until) == (known[3], known[7])
    assert gap.segment.state == "lost"
    world.drain()
    assert Gap.objects.count() == 1


def test_what_was_read_to_its_end_may_go(world: World) -> None:
    world.write(3)
    world.rotate()
    world.write(3)
    world.drain()
    world.delete_oldest()
    world.write(1)
    world.check()
    assert not Gap.objects.exists()


def test_a_gap_closes_when_the_file_is_there_again(world: World, tmp_path: Path) -> None:
    world.write(3)
    world.drain()
    world.write(3)
    shutil.move(world.live, tmp_path / "away.log")
    world.live.write_bytes(transfer(100))
    world.expected[100] += 1
    world.drain()
    assert Gap.objects.get().closed_at is None
    shutil.move(tmp_path / "away.log", world.folder / "sftpgo-back.log")
    world.check()
    assert Gap.objects.get().closed_at is not None


def test_an_accepted_gap_that_comes_back_and_is_lost_again_is_open(world: World, tmp_path: Path) -> None:
    world.write(3)
    world.drain()
    world.write(3)
    shutil.move(world.live, tmp_path / "away.log")
    world.live.write_bytes(transfer(100))
    world.drain()
    Gap.objects.update(accepted_at=timezone.now(), closed_at=timezone.now())
    Segment.objects.filter(pk=Gap.objects.get().segment_id).update(state=Segment.State.FOLLOWED)
    world.drain()
    assert Gap.open().count() == 1


def test_a_folder_that_is_not_there_is_said_and_is_no_gap(world: World, tmp_path: Path) -> None:
    world.write(3)
    world.drain()
    world.folder.rename(tmp_path / "unmounted")
    summary = world.drain()
    assert "cannot be read: no such file or directory" in summary.errors[world.source.name]
    world.folder.mkdir()
    world.drain()
    assert not Gap.objects.exists()
    world.folder.rmdir()
    (tmp_path / "unmounted").rename(world.folder)
    world.write(1)
    world.check()
    assert LogSource.objects.get().error == ""
    assert not Gap.objects.exists()


def test_a_file_that_cannot_be_read_is_said_and_read_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(3)
    world.rotate()
    world.write(3)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("logmonitor.transfers.tailer.Plain", refuse)
        summary = world.drain()
    assert "sftpgo.log: permission denied" in summary.errors[world.source.name]
    world.check()


def test_a_live_file_deleted_under_way_is_read_to_its_end(world: World) -> None:
    world.write(3)
    tailer = Tailer(world.source)
    tailer.poll()
    with open(world.live, "ab") as server:
        world.live.unlink()
        server.write(transfer(50))
        server.flush()
        tailer.poll()
        server.write(transfer(51))
    tailer.poll()
    tailer.close()
    assert sorted(stored(world.source)) == [1, 2, 3, 50, 51]


# --- kills ---------------------------------------------------------------------------------------------


@pytest.mark.timeout(300 * SOAK)
@pytest.mark.django_db(transaction=True)
def test_two_hundred_kills_lose_and_double_no_line(tmp_path: Path) -> None:
    kills, seed = 0, int(time.time()) if SOAK > 1 else 0
    while kills < 200 * SOAK:
        seed += 1
        world = World(tmp_path / f"logs{seed}")
        try:
            wander(world, 40, random.Random(seed))
        except AssertionError as wrong:
            raise AssertionError(f"seed {seed}: {wrong}") from wrong
        kills += world.kills


class Machine(RuleBasedStateMachine):
    """Anything in any order; hypothesis looks for the shortest way to break it."""

    folder: Path
    number = 0

    def __init__(self) -> None:
        super().__init__()
        Machine.number += 1
        self.world = World(self.folder / f"logs{Machine.number}")

    @rule(lines=st.integers(1, 8), length=st.sampled_from([10, 10, 5_000]))
    def write(self, lines: int, length: int) -> None:
        self.world.write(lines, path_length=length)

    @rule()
    def write_twice(self) -> None:
        self.world.write_twice()

    @rule(part=st.floats(0, 0.95))
    def write_torn(self, part: float) -> None:
        self.world.write_torn(part)

    @rule(seconds=st.integers(-5_000, 5_000))
    def step_clock(self, seconds: int) -> None:
        self.world.step_clock(seconds)

    @rule(pack=st.booleans())
    def rotate(self, pack: bool) -> None:
        self.world.rotate(pack=pack)

    @rule(keep=st.booleans())
    def pack(self, keep: bool) -> None:
        self.world.pack(keep_plain=keep)

    @rule(holes=st.booleans())
    def copy_and_truncate(self, holes: bool) -> None:
        self.world.copy_and_truncate(holes=holes)

    @rule()
    def truncate(self) -> None:
        self.world.truncate()

    @rule()
    def delete_live(self) -> None:
        self.world.delete_live()

    @rule()
    def delete_oldest(self) -> None:
        self.world.delete_oldest()

    @rule()
    def drain(self) -> None:
        self.world.drain()

    @precondition(lambda self: self.world.live.exists())
    @rule(steps=st.integers(0, 1_500))
    def kill(self, steps: int) -> None:
        self.world.killed(steps)

    @precondition(lambda self: self.world.live.exists())
    @rule(steps=st.integers(0, 1_500))
    def two_at_once(self, steps: int) -> None:
        self.world.two_at_once(steps)

    def teardown(self) -> None:
        self.world.check()


@pytest.mark.timeout(300 * SOAK)
@pytest.mark.django_db(transaction=True)
def test_anything_in_any_order_is_stored_once(tmp_path: Path) -> None:
    Machine.folder = tmp_path
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=20 * SOAK,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_segment_is_one_file_packed_or_not(world: World) -> None:
    world.write(3)
    world.rotate()
    world.write(1)
    world.drain()
    before = Segment.objects.count()
    world.pack()
    world.drain()
    assert Segment.objects.count() == before
    assert gzip.decompress(next(world.folder.glob("*.gz")).read_bytes()).count(b"\n") == 3
