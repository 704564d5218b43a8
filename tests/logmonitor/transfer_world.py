"""A folder that a server logs into, all that can happen to it, and a ledger of what must be stored."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from django.db import connection

from logmonitor.models import BadLine, Gap, LogLine, LogSource, Segment
from logmonitor.transfers import tailer as tailer_module
from logmonitor.transfers.watch import Summary, Watch, only
from tests.logmonitor.transfer_lines import BEGIN, transfer

PACKAGE = str(Path(tailer_module.__file__).parent)
LONG_AGO = time.time() - 3600


def source_of(folder: Path, **values: Any) -> LogSource:
    """Make a source of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return LogSource.objects.create(name=f"{folder.name} {folder.parent.name}", folder=str(folder), **values)


def drain(source: LogSource) -> Summary:
    """Read what is there, as `--once` does."""
    return Watch(only(source.pk)).drain()


def stored(source: LogSource) -> Counter[int]:
    """Return the numbers of the lines that are stored, and how often each is."""
    return Counter(LogLine.objects.filter(source=source).values_list("size_bytes", flat=True))


def settle(folder: Path) -> None:
    """Make files look as if nobody had written them for long."""
    for file in folder.rglob("*"):
        if file.is_file():
            os.utime(file, (LONG_AGO, LONG_AGO))


class World:
    """A server's log folder. `expected` counts the lines that must be stored, by their numbers."""

    def __init__(self, folder: Path, source: LogSource | None = None) -> None:
        self.folder, self.source = folder, source or source_of(folder)
        self.expected: Counter[int] = Counter()
        self.torn = 0
        self.kills = 0
        self.lost = 0
        self._number = 0
        self._rotations = 0
        self._now = BEGIN
        self._holes = False  # the server writes at its old offset when its log is emptied
        self._place = 0
        self._contents: dict[Path, list[int]] = {}

    @property
    def live(self) -> Path:
        """The file that is written."""
        return self.folder / "sftpgo.log"

    # --- what a server does ---------------------------------------------------------------------

    def write(self, lines: int, *, path_length: int = 20) -> None:
        """Write whole lines."""
        for _ in range(lines):
            self._append(self._line(path_length), whole=True)

    def write_twice(self) -> None:
        """Write two lines that do not differ in a byte."""
        line = self._line()
        for _ in range(2):
            self._append(line, whole=True)

    def write_torn(self, part: float = 0.5) -> None:
        """Write the beginning of a line, as a full disk leaves it; what comes next stands right behind it."""
        line = self._line()
        # Without its last brace at least: what lacks only its end of line is read all the same.
        self._append(line[: max(1, min(int(len(line) * part), len(line) - 2))], whole=False)
        self.torn += 1

    def step_clock(self, seconds: int) -> None:
        """Put the server's clock forward or back."""
        self._now += timedelta(seconds=seconds)

    def rotate(self, *, pack: bool = False) -> None:
        """Rename the live file, as SFTPGo does; compress it if asked to."""
        if not self.live.exists():
            return
        self._end_torn_line()
        self._rotations += 1
        stamp = datetime(2026, 3, 2) + timedelta(milliseconds=self._rotations)
        new = self.folder / f"sftpgo-{stamp.isoformat('T', 'milliseconds').replace(':', '-')}.log"
        self.live.rename(new)
        self._contents[new] = self._contents.pop(self.live, [])
        self._place = 0
        if pack:
            self.pack(new)

    def pack(self, file: Path | None = None, *, keep_plain: bool = False) -> None:
        """Compress a rotated file; with `keep_plain` be killed before the plain one is removed."""
        file = file or next(iter(self._rotated(".log")), None)
        if file is None:
            return
        packed = Path(f"{file}.gz")
        packed.write_bytes(gzip.compress(file.read_bytes()))
        self._contents[packed] = self._contents.get(file, [])
        if not keep_plain:
            del self._contents[file]
            file.unlink()

    def copy_and_truncate(self, *, holes: bool = False) -> None:
        """Copy the live file and empty it, as logrotate does; `holes`: the server writes on at its place."""
        if not self.live.exists():
            return
        self._end_torn_line()
        self._rotations += 1
        copy = self.folder / f"sftpgo.log.{self._rotations}"
        shutil.copy(self.live, copy)
        self._contents[copy] = self._contents.pop(self.live, [])
        place = self.live.stat().st_size
        os.truncate(self.live, 0)
        self._place = place if holes else 0

    def truncate(self) -> None:
        """Empty the live file; what was not read is lost."""
        if self.live.exists():
            self._lose(self.live)
            os.truncate(self.live, 0)
            self._place = 0

    def delete_live(self) -> None:
        """Delete the live file, which is then made anew, mostly on the same inode."""
        if self.live.exists():
            self._lose(self.live)
            self.live.unlink()
            self._place = 0

    def delete_oldest(self) -> None:
        """Delete the oldest rotated file, as retention does."""
        for file in self._rotated("")[:1]:
            self._lose(file)
            file.unlink()

    # --- what befalls the reader ------------------------------------------------------------------

    def drain(self) -> Summary:
        """Read what is there."""
        return drain(self.source)

    def killed(self, steps: int) -> None:
        """Read in another process, and kill it (SIGKILL) before so many of its steps are done."""
        self.kills += _in_children([lambda: _die_after(steps, lambda: drain(self.source))])

    def two_at_once(self, steps: int) -> None:
        """Read in two processes, one of which is killed; the lease is not asked."""
        one = lambda: _die_after(steps, lambda: _drain_without_lease(self.source))  # noqa: E731
        self.kills += _in_children([one, lambda: _drain_without_lease(self.source)])

    # --- the comparison ---------------------------------------------------------------------------

    def check(self) -> None:
        """Read all that is left, then compare with the ledger, line by line."""
        self._end_torn_line()
        settle(self.folder)
        summary = self.drain()
        assert not summary.errors, summary.errors
        found = stored(self.source)
        assert found == self.expected, f"lost {self.expected - found}, doubled {found - self.expected}"
        sums = Segment.objects.filter(source=self.source).values_list("lines", flat=True)
        assert sum(sums) == sum(found.values())
        assert BadLine.objects.filter(segment__source=self.source).count() <= self.torn
        assert (
            not self.lost or not self._wrote_since_loss() or Gap.objects.filter(source=self.source).exists()
        )

    # --- within -----------------------------------------------------------------------------------

    def _line(self, path_length: int = 20) -> bytes:
        self._number += 1
        self._now += timedelta(milliseconds=self._number % 3)
        return transfer(self._number, self._now, file_path="/" + "x" * path_length)

    def _append(self, data: bytes, *, whole: bool) -> None:
        with open(self.live, "r+b" if self.live.exists() else "w+b") as file:
            if self._place:
                file.seek(self._place)
            else:
                file.seek(0, os.SEEK_END)
            file.write(data)
            self._place = file.tell() if self._place else 0
        if whole:
            self.expected[self._number] += 1
            self._contents.setdefault(self.live, []).append(self._number)

    def _end_torn_line(self) -> None:
        if self.live.exists() and (data := self.live.read_bytes()) and not data.endswith(b"\n"):
            self.write(1)

    def _rotated(self, ending: str) -> list[Path]:
        return sorted(file for file in self._contents if file != self.live and str(file).endswith(ending))

    def _lose(self, file: Path) -> None:
        """Take off the ledger what nobody can read any more; it may be that all of it was read."""
        left = Counter(self._contents.pop(file, []))
        elsewhere: Counter[int] = sum((Counter(one) for one in self._contents.values()), Counter())
        missing = self.expected - stored(self.source) - elsewhere
        lost = left & missing
        self.expected -= lost
        if lost and left & stored(self.source):  # of what nobody ever saw, nobody can know
            self.lost = self._number

    def _wrote_since_loss(self) -> bool:
        return bool(self._contents.get(self.live)) and self._contents[self.live][-1] > self.lost


_inherited: list[object] = []


def _drain_without_lease(source: LogSource) -> None:
    tailer = tailer_module.Tailer(source)
    while tailer.poll():
        pass
    tailer.close()


def _in_children(jobs: list[Callable[[], object]]) -> int:
    """Do things in forked processes at once; return how many of them were killed."""
    children = [_fork(job) for job in jobs]
    ends = [os.waitpid(child, 0)[1] for child in children]
    assert all(os.WIFSIGNALED(end) or not os.WEXITSTATUS(end) for end in ends), ends
    return sum(os.WIFSIGNALED(end) and os.WTERMSIG(end) == signal.SIGKILL for end in ends)


def _fork(job: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        _open_own_connection()
        job()
        status = 0
    except BaseException as error:
        sys.__stderr__.write(f"{error!r}\n")
    finally:
        os._exit(status)


def _open_own_connection() -> None:
    """Let go of the parent's connection without closing it: its socket is still the parent's.

    Closing it in the parent is not enough. After a browser test asyncio's loop is known there, and not in
    the child: Django then keeps the two apart, and the child finds one that the parent did not see.
    """
    _inherited.append(connection.connection)
    connection.connection = None


def _die_after(steps: int, work: Callable[[], object]) -> None:
    """Do work, and be killed before the line of that number among the lines of the package."""
    left = steps

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    work()
    sys.settrace(None)


def wander(world: World, steps: int, random_: random.Random) -> None:
    """Let things happen at random, with a kill at every other step."""
    acts: list[Callable[[], object]] = [
        lambda: world.write(random_.randint(1, 12)),
        lambda: world.write(random_.randint(1, 12)),
        lambda: world.write(1, path_length=random_.choice([10, 5_000])),
        world.write_twice,
        lambda: world.write_torn(random_.random()),
        world.rotate,
        lambda: world.rotate(pack=True),
        lambda: world.pack(keep_plain=random_.random() < 0.5),
        lambda: world.copy_and_truncate(holes=random_.random() < 0.5),
        world.truncate,
        world.delete_live,
        world.delete_oldest,
        lambda: world.step_clock(random_.randint(-4000, 4000)),
        world.drain,
    ]
    for _ in range(steps):
        random_.choice(acts)()
        if random_.random() < 0.5:
            (world.killed if random_.random() < 0.8 else world.two_at_once)(int(random_.expovariate(1 / 400)))
    world.check()
