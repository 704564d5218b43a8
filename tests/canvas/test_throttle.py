from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas.errors import Interrupted
from canvas.throttle import LONGEST_PAUSE_SECONDS, RECOVERY_SECONDS, Throttle


class FakeTime:
    def __init__(self):
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def fake():
    return FakeTime()


@pytest.fixture
def throttle(fake):
    return Throttle(10, clock=fake.clock, sleep=fake.sleep, random=lambda: 1.0)


def test_twelve_threads_never_exceed_the_limit():
    throttle = Throttle(5)
    lock, now, most = threading.Lock(), [0], [0]

    def work():
        for _ in range(20):
            with throttle.slot():
                with lock:
                    now[0] += 1
                    most[0] = max(most[0], now[0])
                time.sleep(0.0005)
                with lock:
                    now[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 5
    assert throttle.in_flight == 0


def test_a_slot_is_given_back_when_the_request_fails(throttle):
    with pytest.raises(ValueError, match="boom"), throttle.slot():
        raise ValueError("boom")
    assert throttle.in_flight == 0


def test_a_refusal_halves_the_limit_and_pauses_everyone(throttle, fake):
    throttle.throttled()
    assert (throttle.limit, throttle.hits) == (5, 1)
    with throttle.slot():
        assert fake.slept == [1.0]


def test_refusals_of_one_epoch_halve_once(throttle, fake):
    epoch = throttle._epoch
    for _ in range(8):
        throttle.throttled(epoch=epoch)
    fake.now += 30  # slow answers to requests begun before the first refusal
    throttle.throttled(epoch=epoch)
    assert (throttle.limit, throttle.hits) == (5, 9)


def test_a_slot_knows_its_epoch(throttle):
    with throttle.slot() as before:
        throttle.throttled(epoch=before)
    with throttle.slot() as after:
        throttle.throttled(epoch=after)
    assert throttle.limit == 2


def test_the_limit_never_falls_below_one_and_pauses_grow_to_a_minute(throttle, fake):
    for _ in range(12):
        with throttle.slot() as epoch:
            throttle.throttled(epoch=epoch)
    assert throttle.limit == 1
    assert fake.slept == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


def test_pauses_have_jitter(fake):
    throttle = Throttle(10, clock=fake.clock, sleep=fake.sleep, random=lambda: 0.0)
    throttle.throttled()
    with throttle.slot():
        assert fake.slept == [0.5]


@pytest.mark.parametrize(("asked", "waited"), [(7.0, 7.0), (0.1, 1.0), (10_000.0, LONGEST_PAUSE_SECONDS)])
def test_retry_after_is_the_least_pause(throttle, fake, asked, waited):
    throttle.throttled(retry_after=asked)
    with throttle.slot():
        assert fake.slept == [waited]


def test_the_limit_recovers_slowly_and_never_above_the_cap(throttle, fake):
    throttle.throttled()
    fake.now += 1.0
    throttle.succeeded()
    assert throttle.limit == 5
    limits = []
    for _ in range(8):
        fake.now += RECOVERY_SECONDS
        throttle.succeeded(remaining=10.0)
        throttle.succeeded(remaining=10.0)
        limits.append(throttle.limit)
    assert limits == [6, 7, 8, 9, 10, 10, 10, 10]
    assert throttle.remaining == 10.0


def test_every_setback_makes_the_recovery_more_patient(throttle, fake):
    throttle.throttled()
    fake.now += 10
    throttle.throttled()
    fake.now += RECOVERY_SECONDS * 1.5
    throttle.succeeded()
    assert throttle.limit == 2
    fake.now += RECOVERY_SECONDS
    throttle.succeeded()
    assert throttle.limit == 3


def test_a_low_remaining_alone_changes_nothing(throttle, fake):
    throttle.succeeded(remaining=0.0)
    with throttle.slot():
        assert (throttle.limit, fake.slept) == (10, [])


@given(st.lists(st.one_of(st.just("hit"), st.just("ok"), st.floats(0, 100)), max_size=60))
@settings(max_examples=60)
def test_the_limit_stays_between_one_and_the_cap(events):
    fake = FakeTime()
    throttle = Throttle(10, clock=fake.clock, sleep=fake.sleep)
    for event in events:
        if event == "hit":
            throttle.throttled()
        elif event == "ok":
            throttle.succeeded()
        else:
            fake.now += event
        assert 1 <= throttle.limit <= 10


@pytest.mark.parametrize("state", ["full", "paused", "sleeping"])
def test_close_wakes_every_waiter_at_once(state):
    throttle = Throttle(1)
    ended = []

    def wait():
        try:
            if state == "sleeping":
                throttle.wait(60)
            with throttle.slot():
                ended.append("admitted")
        except Interrupted:
            ended.append("interrupted")

    with throttle.slot():
        if state == "paused":
            throttle.throttled(retry_after=60)
        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        began = time.monotonic()
        throttle.close()
        for thread in threads:
            thread.join(5)
    assert ended == ["interrupted"] * 4
    assert time.monotonic() - began < 5
    with pytest.raises(Interrupted), throttle.slot():
        pass


def test_a_token_that_admits_only_four_settles_there_and_loses_nothing():
    """Canvas's bucket in small: requests beyond four in flight are refused. A second here lasts 2 ms."""
    pace = 500
    throttle = Throttle(
        10, clock=lambda: time.monotonic() * pace, sleep=lambda seconds: time.sleep(seconds / pace)
    )
    lock, in_flight, done = threading.Lock(), [0], []

    def fetch(number):
        while True:
            with throttle.slot() as epoch:
                with lock:
                    admitted = in_flight[0] < 4
                    in_flight[0] += admitted
                if not admitted:
                    throttle.throttled(epoch=epoch)
                    continue
                time.sleep(0.001)
                with lock:
                    in_flight[0] -= 1
                throttle.succeeded()
            return done.append(number)

    threads = [threading.Thread(target=lambda k=k: [fetch(k * 20 + n) for n in range(20)]) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == list(range(240))
    assert throttle.hits < 60
