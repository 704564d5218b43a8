"""Signals: what they do within a body, and that they do again afterwards what they did before."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from easel.interrupts import asked_to_end, held_back, terminable

CONTEXTS = [asked_to_end, held_back, terminable]


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Let SIGINT raise, whatever started these tests ignores it or not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_signal_in_the_middle_of_a_transaction_waits_for_its_end() -> None:
    reached = []

    def interrupted() -> None:
        with held_back():
            signal.raise_signal(signal.SIGINT)
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reached == ["the end"]


def test_signal_is_delivered_after_a_body_that_failed() -> None:
    def interrupted() -> None:
        with held_back():
            signal.raise_signal(signal.SIGINT)
            raise ZeroDivisionError

    with pytest.raises(KeyboardInterrupt):
        interrupted()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_terminated_is_interrupted(number: int) -> None:
    with pytest.raises(KeyboardInterrupt), terminable(signal.SIGHUP):
        signal.raise_signal(number)


def test_who_is_asked_to_end_goes_on_and_knows() -> None:
    with asked_to_end() as asked:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert asked == [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("context", CONTEXTS)
def test_handlers_are_put_back(context: Callable[[], AbstractContextManager[object]]) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]

    def stumble() -> None:
        with context():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stumble()
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize("context", CONTEXTS)
def test_other_threads_are_left_alone(context: Callable[[], AbstractContextManager[object]]) -> None:
    seen, before = [], signal.getsignal(signal.SIGTERM)

    def work() -> None:
        with context():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
