"""The fetcher in a process of its own, so that reading Canvas and writing the database use two cores.

```
FetchProcess (the sync) ── listings ──► main() ─ Fetcher ─ threads ─► Canvas
                        ◄── events ───
```
Python runs one thread at a time: with both in one process, requests wait for a batch being written, and
a thread that waits for its turn holds a place in the throttle (docs/adr/0009-fetch-process.md). The child
knows neither Django nor the database. It is told the token through its pipe, and ends when that closes.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from canvas.client import CanvasClient, Page, RequestRecord
from canvas.errors import CanvasError, Unavailable
from canvas.fetcher import Event, Fetcher, Listing, ListingDone, ListingFailed, PageFetched
from canvas.throttle import Throttle

REPORT_SECONDS = 0.5
END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Task:
    """What the child is to do: the client's arguments, and how many requests and pages at once."""

    client: dict[str, Any] = field(repr=False)  # with the token
    concurrency: int
    workers: int
    queue_pages: int


class PackedPage(NamedTuple):
    """A page on its way: decoding its JSON again is cheaper than pickling what came of it."""

    number: int
    json: bytes
    wrapper: str | None
    as_of: datetime
    url: str

    @classmethod
    def of(cls, listing: Listing, page: Page) -> PackedPage:
        """Pack a page of the listing of a number."""
        return cls(listing.key, page.json, page.wrapper, page.as_of, page.url)


class Report(NamedTuple):
    """What the child has to say: an event, the requests made since, and where its queue stands.

    `submitted` is the number of listings it had received when `waiting` requests were queued.
    """

    event: PackedPage | ListingDone | ListingFailed | None
    records: list[RequestRecord]
    waiting: int
    submitted: int


class FetchProcess:
    """A `Fetcher` elsewhere. It starts at once; a context manager, ended on leaving."""

    def __init__(self, task: Task, observer: Callable[[RequestRecord], None]) -> None:
        """Start the process. `observer` is called for every request, from `next_event`."""
        self._observer = observer
        self._listings: dict[int, Listing] = {}
        self._submitted = self._known = self._waiting = 0
        ours, theirs = socket.socketpair()
        with theirs:
            # As a script its classes would be named after __main__, and nobody could unpickle them.
            program = f"from canvas.fetch_process import main; main({theirs.fileno()})"
            # Ctrl-C and SIGTERM are for the sync, which then ends this process.
            self._process = subprocess.Popen(  # noqa: S603 - this very interpreter
                [sys.executable, "-c", program],
                cwd=Path(__file__).resolve().parent.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())
        self._ready = select.poll()  # Connection.poll() would make one for every call
        self._ready.register(self._connection, select.POLLIN)
        self._connection.send(task)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id, for who wants to know what it takes."""
        return self._process.pid

    @property
    def outstanding(self) -> int:
        """Listings whose end the consumer has not seen."""
        return len(self._listings)

    @property
    def waiting(self) -> int:
        """Requests queued and not begun, as last reported, and the listings it has not seen yet."""
        return self._waiting + self._submitted - self._known

    def submit(self, listing: Listing) -> None:
        """Queue a listing. Raises `Unavailable` when the process is gone."""
        self._submitted += 1
        self._listings[self._submitted] = listing
        try:
            self._connection.send(replace(listing, key=self._submitted))
        except OSError:
            raise self._gone() from None

    def next_event(self, timeout: float) -> Event | None:
        """Return the next event, or None when there was none for `timeout` seconds.

        Raises `Unavailable` when the process is gone.
        """
        try:
            if not self._ready.poll(timeout * 1000):
                return None
            report: Report = self._connection.recv()
        except (EOFError, OSError):
            raise self._gone() from None
        self._waiting, self._known = report.waiting, report.submitted
        for record in report.records:
            self._observer(record)
        return self._restored(report.event) if report.event else None

    def stop(self) -> None:
        """End the process, and drop what was not delivered."""
        self._listings.clear()
        self._connection.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _restored(self, event: PackedPage | ListingDone | ListingFailed) -> Event:
        if isinstance(event, PackedPage):
            page = Page.read_again(event.json, event.wrapper, event.as_of, event.url)
            return PageFetched(self._listings[event.number], page)
        return replace(event, listing=self._listings.pop(event.listing.key))

    def _gone(self) -> Unavailable:
        status = self._process.poll()
        return Unavailable(f"The process that reads from Canvas ended (status {status}): sync again.")


def main(descriptor: int) -> None:
    """Read what the other end of the pipe asks for, until it closes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    connection = Connection(descriptor)
    task: Task = connection.recv()
    records: deque[RequestRecord] = deque()
    client = CanvasClient(**task.client, throttle=Throttle(task.concurrency), observer=records.append)
    with Fetcher(client, task.workers, task.queue_pages, PackedPage.of) as fetcher:
        receiver = _Receiver(connection, fetcher)
        receiver.start()
        while True:
            event: Any = fetcher.next_event(REPORT_SECONDS)
            made = [records.popleft() for _ in range(len(records))]
            if event or made:
                _send(connection, Report(_portable(event), made, fetcher.waiting, receiver.submitted))


class _Receiver(threading.Thread):
    """Takes listings in. When the other end is gone there is nothing to tidy up, and nobody to tell."""

    def __init__(self, connection: Connection, fetcher: Fetcher) -> None:
        super().__init__(name="canvas-receive", daemon=True)
        self.submitted = 0
        self._connection = connection
        self._fetcher = fetcher

    def run(self) -> None:
        try:
            while True:
                self._fetcher.submit(self._connection.recv())
                self.submitted += 1
        except (EOFError, OSError):
            os._exit(0)


def _send(connection: Connection, report: Report) -> None:
    try:
        connection.send(report)
    except OSError:
        os._exit(0)


def _portable(event: Any) -> Any:
    """Return an event that can be pickled: an error that is no `CanvasError` may hold anything."""
    if isinstance(event, ListingFailed) and not isinstance(event.error, CanvasError):
        return replace(event, error=RuntimeError(f"{type(event.error).__name__}: {event.error}"))
    return event
