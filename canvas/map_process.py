"""The process between fetching and the sync: maps pages on their way. Imports little, as it only maps."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from canvas.fetcher import Listing, ListingDone, ListingFailed
from canvas.mapping import Mapper
from canvas.pages import Page, RequestRecord
from easel.ids import UnknownShard


class PackedPage(NamedTuple):
    """A page on its way: decoding its JSON again is cheaper than pickling what came of it."""

    number: int
    json: bytes
    wrapper: str | None
    as_of: datetime
    url: str
    ahead: tuple[str, Mapping[str, int]] | None

    @classmethod
    def of(cls, listing: Listing, page: Page) -> PackedPage:
        """Pack a page of the listing of a number."""
        return cls(listing.key, page.json, page.wrapper, page.as_of, page.url, listing.ahead)


class MappedPage(NamedTuple):
    """A page that was mapped on its way; its records are not kept."""

    number: int
    rows: list[Any]
    rejected: list[Any]
    as_of: datetime
    url: str


class Report(NamedTuple):
    """What the children have to say: an event, the requests made since, and where the queue stands.

    `submitted` is the number of listings received when `waiting` requests were queued.
    """

    event: PackedPage | MappedPage | ListingDone | ListingFailed | None
    records: list[RequestRecord]
    waiting: int
    submitted: int


def map_pages(events_from: int, results_to: int) -> None:
    """Map the pages that may be mapped on their way, and hand everything on in its order."""
    ignore_signals()
    events, results = Connection(events_from), Connection(results_to)
    try:
        mappers: Mapping[str, Mapper] = results.recv()
        while True:
            report: Report = events.recv()
            send(results, report._replace(event=_mapped(report.event, mappers)))
    except (EOFError, OSError):
        os._exit(0)


def _mapped(event: Any, mappers: Mapping[str, Mapper]) -> Any:
    if not isinstance(event, PackedPage) or event.ahead is None:
        return event
    resource, context = event.ahead
    page = Page.read_again(event.json, event.wrapper, event.as_of, event.url)
    try:
        mapped = mappers[resource].map(page.rows, event.as_of, context)
    except UnknownShard:
        return event  # a number for it is allotted by the sync, which has the database
    return MappedPage(event.number, mapped.rows, mapped.rejected, event.as_of, event.url)


def ignore_signals() -> None:
    """Leave Ctrl-C and SIGTERM to the sync, which then closes the pipes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def send(connection: Connection, report: Report) -> None:
    """Send a report; when nobody is there to take it, end: there is nothing to tidy up."""
    try:
        connection.send(report)
    except OSError:
        os._exit(0)
