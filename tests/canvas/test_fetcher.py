from __future__ import annotations

import datetime as dt
import threading
import time
from collections import defaultdict

import pytest

from canvas.client import CanvasClient
from canvas.errors import BrokenListing, Interrupted, NotFound, Unavailable
from canvas.fetcher import Fetcher, Listing, ListingDone, ListingFailed, PageFetched
from canvas.pages import Answer, Page
from canvas.throttle import Throttle
from tests.canvas.scripted import Reply, scripted_canvas

NOW = dt.datetime(2026, 1, 3, tzinfo=dt.UTC)


class Canvas:
    """A reader without a network: `pages[url]` is a page, an exception, or a function of no arguments."""

    def __init__(self, pages):
        self.pages = dict(pages)
        self.asked: list[str] = []
        self.threads = defaultdict(set)
        self.interrupted = threading.Event()

    def url(self, path, params=(), *, listing=True):
        return path

    def get_page(self, url, *, wrapper=None):
        self.asked.append(url)
        self.threads[url.partition("?")[0]].add(threading.get_ident())
        found = self.pages[url]
        found = found() if callable(found) else found
        if self.interrupted.is_set():
            raise Interrupted
        if isinstance(found, Exception):
            raise found
        return found

    def get_json(self, url, params=()):
        return Answer(self.pages[url], NOW, {}, url)

    def interrupt(self):
        self.interrupted.set()


def chain(path, count):
    """A listing of `count` bookmark pages."""
    urls = [path, *(f"{path}?page=bookmark:{number}" for number in range(1, count))]
    return {
        url: Page([f"{path} {number}"], NOW, urls[number + 1] if number + 1 < count else None, (), url)
        for number, url in enumerate(urls)
    }


def fan(path, count):
    """A listing of `count` ordinal pages with rel=last."""
    urls = [path, *(f"{path}?page={number}" for number in range(2, count + 1))]
    pages = {
        url: Page([f"{path} {number}"], NOW, urls[number + 1] if number + 1 < count else None, (), url)
        for number, url in enumerate(urls)
    }
    pages[path] = Page([f"{path} 0"], NOW, urls[1], tuple(urls[1:]), path)
    return pages


def drain(fetcher):
    events = []
    while fetcher.outstanding:
        event = fetcher.next_event(5)
        assert event is not None, "nothing happened for five seconds"
        events.append(event)
    return events


def rows_of(events, key):
    rows = [
        row
        for event in events
        if isinstance(event, PageFetched) and event.listing.key == key
        for row in event.page.rows
    ]
    return sorted(rows, key=str)


def ends_of(events):
    return {event.listing.key: event for event in events if not isinstance(event, PageFetched)}


def test_every_page_of_every_listing_is_delivered_and_then_its_end():
    canvas = Canvas({**chain("a", 5), **fan("b", 7), **chain("c", 1)})
    with Fetcher(canvas, workers=4) as fetcher:
        for path in "abc":
            fetcher.submit(Listing(path, path))
        events = drain(fetcher)
    assert {path: len(rows_of(events, path)) for path in "abc"} == {"a": 5, "b": 7, "c": 1}
    assert {key: end.pages for key, end in ends_of(events).items()} == {"a": 5, "b": 7, "c": 1}
    for path in "abc":
        own = [event for event in events if event.listing.key == path]
        assert [type(event) for event in own] == [PageFetched] * (len(own) - 1) + [ListingDone]
    assert not canvas.interrupted.is_set()


def test_a_chain_stays_in_its_worker_and_ordinal_pages_spread():
    meet = threading.Barrier(3)
    pages = fan("b", 4)
    for number in (2, 3, 4):
        page = pages[f"b?page={number}"]
        pages[page.url] = lambda page=page: (meet.wait(5) and page) or page
    canvas = Canvas({**chain("a", 6), **pages})
    with Fetcher(canvas, workers=4) as fetcher:
        fetcher.submit(Listing("a", "a"))
        fetcher.submit(Listing("b", "b"))
        ends = ends_of(drain(fetcher))
    assert all(isinstance(end, ListingDone) for end in ends.values())
    assert len(canvas.threads["a"]) == 1
    assert len(canvas.threads["b"]) >= 3


def test_a_last_page_that_still_has_a_next_is_followed():
    pages = fan("b", 3)
    more = {
        "b?page=4": Page(["b 3"], NOW, "b?page=5", (), "b?page=4"),
        "b?page=5": Page(["b 4"], NOW, None, (), "b?page=5"),
    }
    pages["b?page=3"] = Page(["b 2"], NOW, "b?page=4", (), "b?page=3")
    with Fetcher(Canvas({**pages, **more}), workers=2) as fetcher:
        fetcher.submit(Listing("b", "b"))
        events = drain(fetcher)
    assert rows_of(events, "b") == [f"b {number}" for number in range(5)]
    assert ends_of(events)["b"].pages == 5


def test_one_object_is_a_page_of_one_row():
    with Fetcher(Canvas({"one": {"id": 1}, "odd": [1]}), workers=1) as fetcher:
        fetcher.submit(Listing("one", "one", single=True))
        fetcher.submit(Listing("odd", "odd", single=True))
        events = drain(fetcher)
    assert rows_of(events, "one") == [{"id": 1}]
    assert isinstance(ends_of(events)["odd"].error, BrokenListing)


def test_a_failed_listing_fails_alone_and_drops_what_was_not_begun():
    pages = fan("b", 50)
    pages["b?page=2"] = NotFound("gone")
    canvas = Canvas({**pages, **chain("a", 20)})
    with Fetcher(canvas, workers=1) as fetcher:
        fetcher.submit(Listing("b", "b"))
        fetcher.submit(Listing("a", "a"))
        events = drain(fetcher)
        assert fetcher.waiting == 0
    ends = ends_of(events)
    assert isinstance(ends["b"], ListingFailed)
    assert isinstance(ends["b"].error, NotFound)
    assert rows_of(events, "b") == ["b 0"]
    assert isinstance(ends["a"], ListingDone)
    assert "b?page=3" not in canvas.asked


def test_a_failed_side_page_ends_the_listing_after_its_siblings():
    """The end of a listing comes once, after pages that were under way when it failed."""
    under_way = threading.Event()
    pages = fan("b", 3)
    slow, failing = pages["b?page=2"], Unavailable("down")
    pages["b?page=2"] = lambda: (under_way.set(), time.sleep(0.05), slow)[-1]
    pages["b?page=3"] = lambda: (under_way.wait(5), failing)[-1]
    with Fetcher(Canvas(pages), workers=2) as fetcher:
        fetcher.submit(Listing("b", "b"))
        events = drain(fetcher)
    assert [type(event) for event in events] == [PageFetched, PageFetched, ListingFailed]


def test_an_unexpected_error_is_handed_over_too():
    with Fetcher(Canvas({}), workers=1) as fetcher:
        fetcher.submit(Listing("x", "x"))
        (end,) = drain(fetcher)
    assert isinstance(end.error, KeyError)


@pytest.mark.parametrize("target", ["a", "a?page=bookmark:1"])
def test_a_loop_fails_its_listing(target):
    pages = chain("a", 3)
    pages["a?page=bookmark:2"] = Page([], NOW, target, (), "")
    with Fetcher(Canvas(pages), workers=2) as fetcher:
        fetcher.submit(Listing("a", "a"))
        ends = ends_of(drain(fetcher))
    assert isinstance(ends["a"].error, BrokenListing)


def test_the_consumer_may_submit_while_everything_is_full():
    canvas = Canvas({page: value for n in range(60) for page, value in chain(f"c{n}", 3).items()})
    done = 0
    with Fetcher(canvas, workers=3, queue_pages=1) as fetcher:
        for number in range(30):
            fetcher.submit(Listing(number, f"c{number}"))
        while fetcher.outstanding:
            event = fetcher.next_event(5)
            if isinstance(event, ListingDone):
                done += 1
                if event.listing.key < 30:
                    fetcher.submit(Listing(event.listing.key + 30, f"c{event.listing.key + 30}"))
    assert done == 60


def test_workers_wait_for_the_consumer():
    canvas = Canvas(chain("a", 100))
    with Fetcher(canvas, workers=2, queue_pages=4) as fetcher:
        fetcher.submit(Listing("a", "a"))
        time.sleep(0.1)
        assert len(canvas.asked) <= 4 + 1
        assert len(rows_of(drain(fetcher), "a")) == 100


def test_waiting_and_outstanding_count_what_is_left():
    gate = threading.Event()
    pages = chain("a", 1)
    page = pages["a"]
    canvas = Canvas({**chain("b", 1), **chain("c", 1), "a": lambda: (gate.wait(5), page)[-1]})
    with Fetcher(canvas, workers=1) as fetcher:
        fetcher.submit(Listing("a", "a"))
        while fetcher.waiting:
            time.sleep(0.001)
        fetcher.submit(Listing("b", "b"))
        fetcher.submit(Listing("c", "c"))
        assert (fetcher.waiting, fetcher.outstanding) == (2, 3)
        assert fetcher.next_event(0) is None
        gate.set()
        drain(fetcher)
        assert (fetcher.waiting, fetcher.outstanding) == (0, 0)


def test_stop_ends_workers_that_wait_for_room_or_work():
    fetcher = Fetcher(Canvas(chain("a", 100)), workers=3, queue_pages=2)
    with fetcher:
        fetcher.submit(Listing("a", "a"))
        while len(fetcher._events) < 2:
            time.sleep(0.001)
        began = time.monotonic()
        fetcher.stop()
    assert time.monotonic() - began < 10
    assert not any(thread.is_alive() for thread in fetcher._threads)
    assert (fetcher.next_event(5), fetcher.outstanding) == (None, 0)
    with pytest.raises(Interrupted):
        fetcher.submit(Listing("a", "a"))


@pytest.fixture
def server():
    with scripted_canvas() as server:
        yield server


def test_stop_interrupts_requests_under_way(server):
    server.on("x?per_page=100", Reply(act=lambda _: time.sleep(5)))
    client = CanvasClient(server.url, "token", throttle=Throttle())
    with Fetcher(client, workers=2) as fetcher:
        for number in range(4):
            fetcher.submit(Listing(number, "x"))
        while len(server.seen) < 2:
            time.sleep(0.001)
        began = time.monotonic()
    assert time.monotonic() - began < 4
    assert not any(thread.is_alive() for thread in fetcher._threads)


def test_with_a_real_client_listings_arrive_whole_and_the_client_lives_on(server):
    pages = [[{"id": 10 * page + row} for row in range(3)] for page in range(6)]
    server.listing("ordinal", *pages, last=True)
    tokens = ["first", *(f"bookmark:{number}" for number in range(5))]
    server.listing("marked", *pages, tokens=tokens)
    server.on("users/self", Reply({"id": 99}))
    client = CanvasClient(server.url, "token", throttle=Throttle())
    for _ in range(2):
        with Fetcher(client, workers=5) as fetcher:
            fetcher.submit(Listing("ordinal", "ordinal"))
            fetcher.submit(Listing("marked", "marked"))
            fetcher.submit(Listing("self", "users/self", single=True))
            events = drain(fetcher)
        ids = {
            key: sorted(row["id"] for row in rows_of(events, key)) for key in ("ordinal", "marked", "self")
        }
        everything = sorted(row["id"] for page in pages for row in page)
        assert ids == {"ordinal": everything, "marked": everything, "self": [99]}
    client.close()


def test_a_throttled_canvas_loses_no_page(server):
    """Half of all answers are refusals, and every row arrives all the same."""
    pages = [[{"id": number}] for number in range(8)]
    server.listing("x", *pages, last=True)
    refusal = Reply(b"403 Forbidden (Rate Limit Exceeded)\n", 403, {"Content-Type": "text/plain"})
    for replies in server.script.values():
        replies.insert(0, refusal)
    pace = 200
    throttle = Throttle(5, clock=lambda: time.monotonic() * pace, sleep=lambda s: time.sleep(s / pace))
    client = CanvasClient(server.url, "token", throttle=throttle)
    with Fetcher(client, workers=5) as fetcher:
        fetcher.submit(Listing("x", "x"))
        events = drain(fetcher)
    rows = [row["id"] for event in events if isinstance(event, PageFetched) for row in event.page.rows]
    assert sorted(rows) == list(range(8))
    assert throttle.hits == 8
    client.close()
