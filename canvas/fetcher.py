"""Walks listings side by side on a pool of threads and hands their pages to one consumer.

```
submit() ─► work queue (FIFO, unbounded) ─► worker threads ─► events (bounded) ─► next_event()
```
The consumer never blocks in `submit()`, and workers wait only for room among the events, so the two
queues cannot wait for each other.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from canvas.errors import BrokenListing, Interrupted
from canvas.mapping import Mapped
from canvas.pages import Answer, Page
from canvas.pagination import Walk

JOIN_SECONDS = 2.0


class Reader(Protocol):
    """What the fetcher needs of a `CanvasClient`."""

    def url(self, path: str, params: Any = (), *, listing: bool = True) -> str:
        """Return the URL to begin with."""

    def get_json(self, path_or_url: str, params: Any = ()) -> Answer:
        """Read one object."""

    def get_page(self, url: str, *, wrapper: str | None = None) -> Page:
        """Read one page."""

    def interrupt(self) -> None:
        """End all reading at once."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What to read: a listing, or with `single` one object, which is delivered as a page of one row.

    `key` is the consumer's own mark. `ahead` (resource, context) lets pages be mapped on their way, where
    nobody needs their records; a fetcher in threads leaves that to the consumer.
    """

    key: Any
    path: str
    params: tuple[tuple[str, str | tuple[str, ...]], ...] = ()
    wrapper: str | None = None
    single: bool = False
    ahead: tuple[str, Mapping[str, int]] | None = None


@dataclass(frozen=True, slots=True)
class PageFetched:
    """A page is here, or what it was mapped to; pages of one listing come in any order."""

    listing: Listing
    page: Page
    mapped: Mapped | None = None


@dataclass(frozen=True, slots=True)
class ListingDone:
    """All pages of a listing were delivered, and the listing was read to its end."""

    listing: Listing
    pages: int


@dataclass(frozen=True, slots=True)
class ListingFailed:
    """A listing could not be read to its end; pages delivered before stay delivered."""

    listing: Listing
    error: Exception


Event = PageFetched | ListingDone | ListingFailed


@dataclass(eq=False, slots=True)
class _Reading:
    """A listing being read.

    `pending` are requests not begun. `tail` is the page whose `next` leads on; only the worker that
    reads it touches `walk`.
    """

    listing: Listing
    tail: str
    pending: deque[str] = field(default_factory=deque)
    walk: Walk = field(default_factory=Walk)
    active: int = 0
    pages: int = 0
    error: Exception | None = None


class Fetching(Protocol):
    """Listings read side by side, as one consumer sees it: by threads here, or in a process of their own."""

    @property
    def outstanding(self) -> int:
        """Listings whose end the consumer has not seen."""

    @property
    def waiting(self) -> int:
        """Requests queued and not begun."""

    def submit(self, listing: Listing) -> None:
        """Queue a listing."""

    def next_event(self, timeout: float) -> Event | None:
        """Return the next event, or None when there was none for `timeout` seconds."""

    def stop(self) -> None:
        """End all reading, and drop what was not delivered."""


class Fetcher:
    """Reads submitted listings with `workers` threads; a context manager, stopped on leaving."""

    def __init__(
        self,
        client: Reader,
        workers: int,
        queue_pages: int = 24,
        page_event: Callable[[Listing, Page], Any] = PageFetched,
    ) -> None:
        """Start no thread yet. At most `queue_pages` pages wait for the consumer, then workers wait.

        `page_event` makes the event of a page, in the thread that read it.
        """
        self._client = client
        self._page_event = page_event
        self._queue_pages = queue_pages
        self._lock = threading.Lock()
        self._work_there = threading.Condition(self._lock)
        self._event_there = threading.Condition(self._lock)
        self._room_there = threading.Condition(self._lock)
        self._readings: deque[_Reading] = deque()
        self._events: deque[Event] = deque()
        self._waiting = self._outstanding = 0
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._work, name=f"canvas-fetch-{number}", daemon=True)
            for number in range(1, workers + 1)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def outstanding(self) -> int:
        """Listings whose end the consumer has not seen."""
        return self._outstanding

    @property
    def waiting(self) -> int:
        """Requests queued and not begun."""
        return self._waiting

    def submit(self, listing: Listing) -> None:
        """Queue a listing; never blocks. Raises `Interrupted` once stopped."""
        url = self._client.url(listing.path, listing.params, listing=not listing.single)
        reading = _Reading(listing, tail=url)
        with self._lock:
            self._check_running()
            self._outstanding += 1
            self._enqueue(reading, (url,))

    def next_event(self, timeout: float) -> Event | None:
        """Return the next event, or None when there was none for `timeout` seconds."""
        with self._lock:
            self._event_there.wait_for(lambda: self._events or self._stopped, timeout)
            if not self._events:
                return None
            event = self._events.popleft()
            if isinstance(event, ListingDone | ListingFailed):
                self._outstanding -= 1
            self._room_there.notify()
            return event

    def stop(self) -> None:
        """End all threads, and drop what was not delivered.

        Requests under way are interrupted, which ends the client too; a fetcher with nothing left to do
        leaves its client alone.
        """
        with self._lock:
            unfinished = self._outstanding > 0 and not self._stopped
            self._stopped = True
            self._readings.clear()
            self._events.clear()
            self._waiting = self._outstanding = 0
            for condition in (self._work_there, self._event_there, self._room_there):
                condition.notify_all()
        if unfinished:
            self._client.interrupt()
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        try:
            while True:
                self._follow(*self._take())
        except Interrupted:
            return

    def _take(self) -> tuple[_Reading, str]:
        """Wait for the next request of the first listing in the queue."""
        with self._lock:
            self._work_there.wait_for(lambda: self._readings or self._stopped)
            self._check_running()
            reading = self._readings[0]
            url = reading.pending.popleft()
            if not reading.pending:
                self._readings.popleft()
            self._waiting -= 1
            reading.active += 1
            return reading, url

    def _follow(self, reading: _Reading, url: str) -> None:
        """Deliver the page of a URL and those its links lead to; then the end of the listing, if it was."""
        following: str | None = url
        try:
            while following and not reading.error:
                following = self._deliver(reading, following)
        except Interrupted:
            raise
        except Exception as error:  # whatever it is, it is this listing's end and not the others'
            self._fail(reading, error)
        self._finish(reading)

    def _deliver(self, reading: _Reading, url: str) -> str | None:
        """Read one page, hand it over, and return the URL to go on with in this thread."""
        page = self._read(reading, url)
        self._put(self._page_event(reading.listing, page))
        with self._lock:
            reading.pages += 1
            if url != reading.tail:
                return None
            if page.fan_out:
                reading.tail = page.fan_out[-1]
                self._enqueue(reading, page.fan_out)
                return None
            if page.next_url:
                reading.tail = reading.walk.step(page.next_url)
            return page.next_url

    def _read(self, reading: _Reading, url: str) -> Page:
        listing = reading.listing
        if not listing.single:
            return self._client.get_page(url, wrapper=listing.wrapper)
        answer = self._client.get_json(url)
        if not isinstance(answer.body, dict):
            raise BrokenListing("Canvas sent no object where one belongs: check the base URL.")
        return Page([answer.body], answer.as_of, None, (), url, b"[%b]" % answer.json)

    def _enqueue(self, reading: _Reading, urls: Sequence[str]) -> None:
        """Put requests of one listing at the end of the queue; they take one place there."""
        for url in urls:
            reading.pending.append(reading.walk.step(url))
        self._readings.append(reading)
        self._waiting += len(urls)
        self._work_there.notify(len(urls))

    def _put(self, event: Event) -> None:
        """Hand an event to the consumer, waiting for room."""
        with self._lock:
            self._room_there.wait_for(lambda: len(self._events) < self._queue_pages or self._stopped)
            self._check_running()
            self._events.append(event)
            self._event_there.notify()

    def _fail(self, reading: _Reading, error: Exception) -> None:
        """Keep the first error of a listing and drop its requests not begun."""
        with self._lock:
            reading.error = reading.error or error
            if reading.pending and not self._stopped:
                self._readings.remove(reading)
                self._waiting -= len(reading.pending)
                reading.pending.clear()

    def _finish(self, reading: _Reading) -> None:
        """Leave a listing; the last to leave says how it ended, after all its pages."""
        with self._lock:
            reading.active -= 1
            if reading.active or reading.pending:
                return
        listing, error = reading.listing, reading.error
        self._put(ListingFailed(listing, error) if error else ListingDone(listing, reading.pages))

    def _check_running(self) -> None:
        if self._stopped:
            raise Interrupted("The fetcher was stopped.")
