"""Programs that run together: order, restarts, and an end that leaves nobody behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from config import children
from config.children import Child, ChildFailed, Family
from syncmetrics.process import host_identity, is_gone
from tests.workers import wait_for

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
DIES = [sys.executable, "-c", "raise SystemExit(1)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True);"
    " time.sleep(60)",
]


@pytest.fixture(autouse=True)
def handlers_stay() -> object:
    """Put back the signal handlers a family replaces."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def is_alive(pid: int | None) -> bool:
    return pid is not None and is_gone(host_identity(), pid, "") is False


def test_children_start_in_order_and_end_together() -> None:
    seen: list[str] = []
    first = Child("first", SLEEPER, lambda: not seen.append("first"))
    second = Child("second", SLEEPER, lambda: not seen.append("second"))
    with Family([first, second]) as family:
        assert seen == ["first", "second"]
        assert is_alive(first.pid)
        assert is_alive(second.pid)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        family.watch()
    assert not is_alive(first.pid)
    assert not is_alive(second.pid)


def test_child_that_dies_is_started_again() -> None:
    child = Child("sleeper", SLEEPER)
    with Family([Child("other", SLEEPER), child]) as family:
        before = child.pid
        assert before
        os.kill(before, signal.SIGKILL)

        def end_when_it_is_back() -> None:
            wait_for(lambda: child.pid != before, "the child to be started again", 10)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=end_when_it_is_back).start()
        family.watch()
        assert child.pid != before


def test_child_that_dies_again_and_again_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LOOK_SECONDS", 0.05)
    other = Child("other", SLEEPER)
    family = Family([other, Child("mayfly", DIES)])
    with pytest.raises(ChildFailed, match="The mayfly died 6 times in a minute"), family:
        family.watch()
    assert not is_alive(other.pid)


def test_child_that_does_not_become_ready_ends_all() -> None:
    other = Child("other", SLEEPER)
    mute = Child("mute", SLEEPER, lambda: False)
    with pytest.raises(ChildFailed, match="The mute did not start"), Family([other, mute]):
        pass
    assert not is_alive(other.pid)


def test_child_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "GRACE_SECONDS", 0.5)
    deaf = Child("deaf", DEAF)
    with Family([Child("other", SLEEPER), deaf]):
        time.sleep(0.3)
    assert not is_alive(deaf.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_children_end_when_their_parent_is_killed() -> None:
    program = (
        "import sys; from config.children import *\n"
        f"with Family([Child('one', {SLEEPER!r}), Child('two', {SLEEPER!r})]) as family:\n"
        "    print(*[child.pid for child in family._children], flush=True); family.watch()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert [is_alive(pid) for pid in pids] == [True, True]
        parent.kill()
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "the children to end", 10)
