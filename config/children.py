"""Programs that run together: started in order, started again when one dies, ended together.

A child ends with its parent even when that is killed: the kernel sends it SIGTERM (Linux; elsewhere a
parent killed with -9 leaves its children to be ended by hand).
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

GRACE_SECONDS = 15.0
RESTARTS = 5
RESTARTS_WITHIN_SECONDS = 60.0
LOOK_SECONDS = 0.2

_PR_SET_PDEATHSIG = 1  # prctl(2)

log = logging.getLogger(__name__)


class ChildFailed(Exception):
    """A child does not stay alive; the message says which, in one sentence."""


@dataclass(slots=True)
class Child:
    """One program: its name for people, its command line, what it waits for before the next one starts."""

    name: str
    command: Sequence[str]
    ready: Callable[[], bool] = lambda: True
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _starts: deque[float] = field(default_factory=deque)

    def start(self) -> None:
        """Start it; ChildFailed when it was started too often of late, or does not become ready."""
        now = time.monotonic()
        self._starts = deque(at for at in self._starts if now - at < RESTARTS_WITHIN_SECONDS)
        if len(self._starts) > RESTARTS:
            raise ChildFailed(f"The {self.name} died {len(self._starts)} times in a minute; see above.")
        self._starts.append(now)
        self._process = subprocess.Popen(  # noqa: S603 - our own programs
            self.command,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent, who ends its children in order
            preexec_fn=_end_with(os.getpid()),
        )
        if not self.ready():
            raise ChildFailed(f"The {self.name} did not start; see above.")

    @property
    def pid(self) -> int | None:
        """Its process id, if it was started."""
        return self._process.pid if self._process else None

    def has_died(self) -> bool:
        """Tell whether it was started and is gone."""
        return self._process is not None and self._process.poll() is not None

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def end(self, seconds: float) -> None:
        """Wait for its end so long, then kill it and whatever it left in its session."""
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(seconds, 0))
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Family:
    """Children, in the order in which they need each other."""

    def __init__(self, children: Iterable[Child]) -> None:
        """Start nothing yet."""
        self._children = list(children)
        self._ending = False

    def __enter__(self) -> Family:
        """Start all; SIGTERM, SIGINT and SIGHUP end `watch` from now on."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._be_asked_to_end)
        try:
            for child in self._children:
                if not self._ending:
                    child.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all."""
        self.end()

    def watch(self) -> None:
        """Start again what dies, until asked to end; ChildFailed when one dies again and again."""
        while not self._ending:
            for child in self._children:
                if child.has_died() and not self._ending:
                    log.warning("The %s ended by itself; it is started again.", child.name)
                    child.end(0)
                    child.start()
            time.sleep(LOOK_SECONDS)

    def end(self) -> None:
        """End all, those first that need others."""
        first, *others = self._children
        for child in others:
            child.ask_to_end()
        deadline = time.monotonic() + GRACE_SECONDS
        for child in others:
            child.end(deadline - time.monotonic())
        first.ask_to_end()
        first.end(GRACE_SECONDS)

    def _be_asked_to_end(self, *_: object) -> None:
        self._ending = True


def _end_with(parent: int) -> Callable[[], None] | None:
    """Return what a child does before it becomes its program, so that it ends with its parent."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask_the_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask_the_kernel
