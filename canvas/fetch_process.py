"""Reading in two processes of their own, so that requests, mapping and the database do not wait in turn.

```
FetchProcess (the sync) ── listings ──► fetch_pages() ─ Fetcher ─ threads ─► Canvas
                        ◄── events ───── map_pages() ◄── events ──┘
```
Python runs one thread at a time: with all in one process, requests wait for a batch being written, and
a thread that waits for its turn holds a place in the throttle (docs/adr/0009-fetch-process.md). The
children know neither Django nor the database. They are told the token and the mappers through their
pipes, and each ends when a pipe of its closes.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from canvas.client import CanvasClient
from canvas.errors import CanvasError, Unavailable
from canvas.fetcher import Event, Fetcher, Listing, ListingDone, ListingFailed, PageFetched
from canvas.map_process import MappedPage, PackedPage, Report, ignore_signals, map_pages, send
from canvas.mapping import Mapped, Mapper
from canvas.pages import Page, RequestRecord
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


class FetchProcess:
    """A `Fetcher` elsewhere, with mapping. It starts at once; a context manager, ended on leaving."""

    def __init__(
        self, task: Task, mappers: Mapping[str, Mapper], observer: Callable[[RequestRecord], None]
    ) -> None:
        """Start the processes. `observer` is called for every request, from `next_event`."""
        self._observer = observer
        self._listings: dict[int, Listing] = {}
        self._submitted = self._known = self._waiting = 0
        (ours, fetchers), (fetched, to_map), (mapped, results) = (socket.socketpair() for _ in range(3))
        with fetchers, fetched, to_map, mapped:
            self._processes = [_start(fetch_pages, fetchers, fetched), _start(map_pages, to_map, mapped)]
        self._orders, self._results = Connection(ours.detach()), Connection(results.detach())
        self._ready = select.poll()  # Connection.poll() would make one for every call
        self._ready.register(self._results, select.POLLIN)
        self._orders.send(task)
        self._results.send(mappers)

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
    def pids(self) -> list[int]:
        """The process ids, for who wants to know what it takes."""
        return [process.pid for process in self._processes]

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
            self._orders.send(replace(listing, key=self._submitted))
        except OSError:
            raise self._gone() from None

    def next_event(self, timeout: float) -> Event | None:
        """Return the next event, or None when there was none for `timeout` seconds.

        Raises `Unavailable` when the process is gone.
        """
        try:
            if not self._ready.poll(timeout * 1000):
                return None
            report: Report = self._results.recv()
        except (EOFError, OSError):
            raise self._gone() from None
        self._waiting, self._known = report.waiting, report.submitted
        for record in report.records:
            self._observer(record)
        return self._restored(report.event) if report.event else None

    def stop(self) -> None:
        """End the processes, and drop what was not delivered."""
        self._listings.clear()
        self._orders.close()
        self._results.close()
        for process in self._processes:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _restored(self, event: PackedPage | MappedPage | ListingDone | ListingFailed) -> Event:
        if isinstance(event, MappedPage):
            page = Page([], event.as_of, None, (), event.url)
            return PageFetched(self._listings[event.number], page, Mapped(event.rows, event.rejected))
        if isinstance(event, PackedPage):
            page = Page.read_again(event.json, event.wrapper, event.as_of, event.url)
            return PageFetched(self._listings[event.number], page)
        return replace(event, listing=self._listings.pop(event.listing.key))

    def _gone(self) -> Unavailable:
        self.stop()  # one of them may have outlived the other
        ends = " and ".join(str(process.returncode) for process in self._processes)
        return Unavailable(f"The processes that read from Canvas ended (status {ends}): sync again.")


def _start(work: Callable[[int, int], None], *pipes: socket.socket) -> subprocess.Popen[bytes]:
    """Start a function in a Python of its own, with its ends of pipes."""
    numbers = [pipe.fileno() for pipe in pipes]
    # As a script this module's classes would be named after __main__, and nobody could unpickle them.
    program = f"from {work.__module__} import {work.__name__}; {work.__name__}(*{numbers})"
    # Ctrl-C and SIGTERM are for the sync, which then ends this process.
    return subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", program],
        cwd=Path(__file__).resolve().parent.parent,
        env=os.environ | {"MALLOC_ARENA_MAX": "2"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=numbers,
        start_new_session=True,
    )


def fetch_pages(orders_from: int, events_to: int) -> None:
    """Read what is ordered, until nobody orders or takes it any more."""
    ignore_signals()
    orders, events = Connection(orders_from), Connection(events_to)
    task: Task = orders.recv()
    records: deque[RequestRecord] = deque()
    client = CanvasClient(**task.client, throttle=Throttle(task.concurrency), observer=records.append)
    with Fetcher(client, task.workers, task.queue_pages, PackedPage.of) as fetcher:
        receiver = _Receiver(orders, fetcher)
        receiver.start()
        while True:
            event: Any = fetcher.next_event(REPORT_SECONDS)
            made = [records.popleft() for _ in range(len(records))]
            if event or made:
                send(events, Report(_portable(event), made, fetcher.waiting, receiver.submitted))


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


def _portable(event: Any) -> Any:
    """Return an event that can be pickled: an error that is no `CanvasError` may hold anything."""
    if isinstance(event, ListingFailed) and not isinstance(event.error, CanvasError):
        return replace(event, error=RuntimeError(f"{type(event.error).__name__}: {event.error}"))
    return event
