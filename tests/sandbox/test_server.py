"""The server under many hands: threads, keep-alive, malformed requests, the end."""

from __future__ import annotations

import itertools
import socket
import threading
import time

import pytest
import requests

from sandbox.server import Sandbox
from tests.sandbox.conftest import ALL, BULK, Client


def talk(canvas: Sandbox, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", int(canvas.url.rpartition(":")[2])), timeout=5) as connection:
        connection.sendall(text)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_one_connection_carries_many_requests(still_canvas: Sandbox) -> None:
    request = (
        b"GET /api/v1/users/self HTTP/1.1\r\nHost: x:1\r\nAuthorization: Bearer %s\r\n"
        % still_canvas.token.encode()
    )
    answers = talk(still_canvas, (request + b"\r\n") * 2 + request + b"Connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 3


def test_what_is_no_http_is_refused(still_canvas: Sandbox) -> None:
    assert talk(still_canvas, b"hello\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_readers_and_editors_do_not_disturb_each_other(canvas: Sandbox, client: Client) -> None:
    kinds = itertools.cycle(
        ["grade", "drop_student", "enroll", "new_assignment", "move", "reactivate_enrollment"]
    )
    done, statuses = threading.Event(), []

    def read() -> None:
        reader = Client(canvas)
        with reader.session:
            while not done.is_set():
                for path in (
                    BULK,
                    "courses/101/enrollments",
                    "courses/101/assignment_groups?include[]=assignments",
                ):
                    statuses.extend(page.status_code for page in reader.walk(path, ALL))
                reader.control("GET", "state?resource=enrollments&resource=submissions")

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for kind in itertools.islice(kinds, 24):
        canvas.edit(kind, course_id=101)
        time.sleep(0.01)
    done.set()
    for reader in readers:
        reader.join()
    assert len(statuses) >= 4
    assert set(statuses) == {200}
    published = {row["id"] for row in canvas.state("assignments")["assignments"] if row["published"]}
    truth = {
        row["id"]: row["score"]
        for row in canvas.state("submissions")["submissions"]
        if row["course_id"] == 101
        and row["workflow_state"] != "deleted"
        and row["assignment_id"] in published
    }
    assert {row["id"]: row["score"] for row in client.rows(BULK, ALL)} == truth


def test_stopping_frees_the_port_and_wakes_who_waits() -> None:
    canvas = Sandbox(faults="timeout").start()
    failed: list[Exception] = []

    def ask() -> None:
        try:
            requests.get(f"{canvas.url}/api/v1/users/self", timeout=20)
        except requests.ConnectionError as error:
            failed.append(error)

    waiting = threading.Thread(target=ask)
    waiting.start()
    while not canvas._flight:
        time.sleep(0.005)
    started = time.monotonic()
    canvas.stop()
    waiting.join()
    assert failed
    assert time.monotonic() - started < 10
    with pytest.raises(requests.ConnectionError):
        requests.get(canvas.url, timeout=2)
