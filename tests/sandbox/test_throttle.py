"""The arithmetic of Canvas's bucket, and what a client sees of it."""

from __future__ import annotations

import threading

import pytest

from sandbox.server import Sandbox
from sandbox.throttle import Bucket, Throttle
from tests.sandbox.conftest import Client


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_eleven_requests_fit_and_the_twelfth_does_not() -> None:
    bucket = Bucket(Clock())
    assert [bucket.reserve() for _ in range(12)] == [True] * 11 + [False]
    assert bucket.remaining == 50


def test_a_settled_request_leaves_only_its_cost_which_leaks_away() -> None:
    clock = Clock()
    bucket = Bucket(clock)
    assert bucket.reserve()
    assert bucket.settle(cost=5) == 595
    clock.now = 0.3
    assert bucket.remaining == 598
    clock.now = 10
    assert bucket.remaining == 600


def test_a_busy_token_gets_fewer_than_eleven() -> None:
    bucket = Bucket(Clock())
    assert bucket.reserve()
    bucket.settle(cost=120)
    assert [bucket.reserve() for _ in range(10)] == [True] * 9 + [False]


def test_the_bucket_does_not_grow_past_its_maximum() -> None:
    bucket = Bucket(Clock())
    assert bucket.reserve()
    bucket.settle(cost=5_000)
    assert bucket.remaining == -200


def test_each_token_has_its_own_bucket() -> None:
    throttle = Throttle(Clock())
    for _ in range(11):
        throttle.bucket("a").reserve()
    assert not throttle.bucket("a").reserve()
    assert throttle.bucket("b").reserve()


def test_a_reservation_settles_once() -> None:
    bucket = Bucket(Clock())
    assert bucket.reserve()
    assert bucket.reserve()
    with bucket.reservation(cost=1) as reservation:
        assert reservation.settle() == 549
    assert bucket.remaining == 549


def ask_at_once(canvas: Sandbox, count: int, token: str | None = None) -> list:
    barrier, answers = threading.Barrier(count), []

    def ask() -> None:
        client = Client(canvas, token)
        with client.session:
            barrier.wait()
            answers.append(client.get("users/self"))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize(("count", "refused"), [(11, 0), (12, 1), (14, 3)])
def test_requests_in_flight_are_limited(count: int, refused: int) -> None:
    with Sandbox(throttle=True, latency_ms=1_500) as canvas:  # by then all are in flight
        answers = ask_at_once(canvas, count)
        throttled = [answer for answer in answers if answer.status_code == 403]
        assert len(throttled) == refused
        for answer in throttled:
            assert answer.text == "403 Forbidden (Rate Limit Exceeded)\n"
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert "X-Request-Cost" not in answer.headers
            assert "Retry-After" not in answer.headers
        assert [entry["throttled"] for entry in canvas.requests()].count(True) == refused


def test_answers_say_what_they_cost_and_what_remains() -> None:
    with Sandbox(throttle=True, latency_ms=50) as canvas:
        client = Client(canvas)
        with client.session:
            headers = client.get("users/self").headers
        assert float(headers["X-Request-Cost"]) == pytest.approx(0.6 * 0.05)
        assert 599.9 < float(headers["X-Rate-Limit-Remaining"]) < 600


def test_without_throttle_nothing_is_refused_and_no_header_sent() -> None:
    with Sandbox(latency_ms=200) as canvas:
        answers = ask_at_once(canvas, 14)
        assert {answer.status_code for answer in answers} == {200}
        assert "X-Rate-Limit-Remaining" not in answers[0].headers
