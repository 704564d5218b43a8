"""Does parse runs in children that are killed, and sweeps: `python -m tests.parselogs.kills HOW RUN…`.

HOW is one of
- `together`: each run in a child of its own, all at once, and nobody is killed;
- `moments`: a child does run after run and is killed at a random moment;
- `lines`: a child does one run and is killed before one of its lines, the sweep after it at some line too.

Prints how often it has killed. Its own process, because it forks and traces.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()

from django.db import connections  # noqa: E402

from parselogs import logs, parsing, runlog, runs, spool, sweeper  # noqa: E402
from parselogs.models import ParseFileMeta  # noqa: E402

TRACED = {module.__file__ for module in (logs, parsing, runlog, runs, spool, sweeper)}
SEVERAL = 12
"""Of so many lines, one is killed at: each run of this begins at another one."""


def in_child(work: Callable[[], object]) -> int:
    """Do something in a forked process and return its id."""
    connections.close_all()
    if pid := os.fork():
        return pid
    try:
        work()
    finally:
        os._exit(0)


def was_killed(pid: int) -> bool:
    """Wait for a child, and say whether it was killed."""
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def at_moments(left: list[str], chance: random.Random) -> int:
    """Kill at random moments until no run is left; return how often."""
    kills = 0
    while left:
        child = in_child(lambda todo=left: [parsing.perform(run) for run in todo])  # type: ignore[misc]
        time.sleep(chance.random() * 0.4)
        os.kill(child, signal.SIGKILL)
        kills += was_killed(child)
        sweeper.sweep(send=False)
        waiting = ParseFileMeta.objects.filter(uuid__in=left, state__in=("queued", "running"))
        left = [str(run) for run in waiting.order_by("pk").values_list("uuid", flat=True)]
    return kills


def killed_at(line: int, work: Callable[[], object]) -> Callable[[], None]:
    """Return work that is killed before its line of that number."""
    left = line

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def traced() -> None:
        sys.settrace(trace)
        work()

    return traced


def at_lines(todo: list[str], chance: random.Random) -> int:
    """Kill one run after the other, each some lines further; return how often."""
    kills, line = 0, 0
    for run in todo:
        killed = was_killed(in_child(killed_at(line, lambda run=run: parsing.perform(run))))  # type: ignore[misc]
        kills += killed
        line = line + chance.randrange(1, SEVERAL) if killed else chance.randrange(SEVERAL)
        kills += was_killed(in_child(killed_at(chance.randrange(150), lambda: sweeper.sweep(send=False))))
        sweeper.sweep(send=False)
        if ParseFileMeta.objects.filter(uuid=run, state="queued").exists():
            parsing.perform(run)  # killed before it was claimed
    return kills


def together(todo: list[str], chance: random.Random) -> int:
    """Do all runs at once."""
    children = [in_child(lambda run=run: parsing.perform(run)) for run in todo]  # type: ignore[misc]
    return sum(map(was_killed, children))


if __name__ == "__main__":
    how = {"moments": at_moments, "lines": at_lines, "together": together}[sys.argv[1]]
    sys.stdout.write(str(how(sys.argv[2:], random.Random(6))))
