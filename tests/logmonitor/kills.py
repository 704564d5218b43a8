"""Kills a clean-up at every line of it, and the next clean-up too: `python -m tests.logmonitor.kills FOLDER`.

Prints a JSON list of [line killed at, what was wrong]; and as its last item how many lines there were.
Its own process, because it forks and traces.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from logmonitor import archive, cleanup, live
from logmonitor.live import LiveLog
from tests.logmonitor.folders import lines_in

TRACED = {module.__file__ for module in (archive, cleanup, live)}
LIMITS = cleanup.Limits(max_log_lines=2, archive_age_days=1, delete_age_days=1)
LONG_AGO = 1_700_000_000


def prepare(folder: Path) -> None:
    """Make two live logs that are too long, and old rotated files, compressed and not."""
    shutil.rmtree(folder, ignore_errors=True)
    for log in ("operations", "errors"):
        for line in range(4):
            LiveLog(folder / f"{log}.log", 10**6).append(f"{log} {line}\n".encode())
    (folder / "database.log.20260101-000000-000001").write_text("".join(f"old {line}\n" for line in range(2)))
    with gzip.open(folder / "progress.log.20260101-000000-000002.gz", "wt") as packed:
        packed.write("".join(f"older {line}\n" for line in range(2)))
    for file in folder.glob("*.log.*"):
        os.utime(file, (LONG_AGO, LONG_AGO))


def in_child(work: Callable[[], object]) -> None:
    """Do something in a forked process; however that ends."""
    if pid := os.fork():
        os.waitpid(pid, 0)
        return
    work()
    os._exit(0)


def clean(folder: Path, lines_until_killed: int, log: Path) -> None:
    """Clean up, and be killed before the line of that number; tell each line that is reached."""
    left = lines_until_killed

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                log.write_text(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
                os._exit(9)
        return trace

    sys.settrace(trace)
    cleanup.clean_logs(folder, LIMITS)
    sys.settrace(None)
    log.write_text("")


def main(folder: Path) -> None:
    """Kill at every line in turn."""
    os.fsync = lambda _: None  # a kill, unlike a power cut, loses nothing that was written
    wrong, number, where = [], 0, folder.with_name("where")
    while True:
        prepare(folder)
        before = lines_in(folder)
        in_child(lambda: clean(folder, number, where))  # noqa: B023 - called at once
        if not (line := where.read_text()):
            break
        # A sync goes on writing, and the next clean-up may be killed too.
        LiveLog(folder / "operations.log", 10**6).append(b"written after the kill\n")
        in_child(lambda: clean(folder, number // 2, where))  # noqa: B023
        cleanup.clean_logs(folder, LIMITS)
        after = lines_in(folder)
        before[b"written after the kill\n"] += 1
        left = [str(path) for path in folder.rglob("*") if path.suffix in (".part", ".pending")]
        left += [str(path) for path in folder.glob("*.cut*")]
        if after != before or left:
            wrong.append([line, f"lost {before - after}, doubled {after - before}, left {left}"])
        number += 1
    json.dump([*wrong, number], sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
