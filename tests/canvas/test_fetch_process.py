"""Canvas read by a process of its own: the same data, one clear end whoever dies, and no token in sight."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from canvas.errors import NotFound, Unavailable
from canvas.fetch_process import FetchProcess, Task
from canvas.fetcher import Event, Listing, ListingDone, ListingFailed, PageFetched
from canvas.mapping import ID, TEXT, Column, Mapper
from canvas.models import Connection
from canvas.pages import RequestRecord
from canvas.sync import sync
from easel.ids import Folder
from syncmetrics.models import SyncRun
from tests.canvas.conftest import EventfulSandbox
from tests.canvas.scripted import DATE, Reply, scripted_canvas

COMPLETED = SyncRun.Status.COMPLETED
TOKEN = "7~SecretOfTheReader"
PATIENCE_SECONDS = 30.0
SHOWN = ("cmdline", "environ")
AS_OF = datetime.strptime(DATE, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)


@pytest.fixture
def elsewhere(settings: Any, connection: Connection) -> None:
    """Syncs of this test read in a process of their own."""
    settings.CANVAS_FETCH_PROCESS = True


def started(
    url: str, records: list[RequestRecord] | None = None, mappers: Mapping[str, Mapper] | None = None
) -> FetchProcess:
    arguments = {"base_url": url, "token": TOKEN, "max_tries": 1}
    observer = (lambda record: None) if records is None else records.append
    return FetchProcess(Task(arguments, concurrency=5, workers=5, queue_pages=10), mappers or {}, observer)


def drain(fetching: FetchProcess) -> list[Event]:
    events = []
    while fetching.outstanding:
        event = fetching.next_event(PATIENCE_SECONDS)
        if event:
            events.append(event)
    return events


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that waits to be reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- the process itself ------------------------------------------------------------------------------


def test_pages_objects_wrapped_lists_and_failures_come_back_with_their_listing() -> None:
    key = object()
    with scripted_canvas() as canvas:
        canvas.on("rows?per_page=100", Reply([{"id": 1, "name": "a \0 b"}, 7, None]))
        canvas.on("one", Reply({"id": 2}))
        canvas.on("wrapped?per_page=100", Reply({"enrollment_terms": [{"id": 3}]}))
        canvas.on("none?per_page=100", Reply({"errors": [{"message": "gone"}]}, 404))
        records: list[RequestRecord] = []
        with started(canvas.url, records) as fetching:
            fetching.submit(Listing(key, "rows"))
            fetching.submit(Listing("one", "one", single=True))
            fetching.submit(Listing("wrapped", "wrapped", wrapper="enrollment_terms"))
            fetching.submit(Listing("none", "none"))
            assert fetching.outstanding == 4
            events = drain(fetching)
            assert fetching.waiting == 0
    pages = {event.listing.key: event.page for event in events if isinstance(event, PageFetched)}
    assert {key: page.rows for key, page in pages.items()} == {
        key: [{"id": 1, "name": "a  b"}, 7, None],
        "one": [{"id": 2}],
        "wrapped": [{"id": 3}],
    }
    assert {page.as_of for page in pages.values()} == {AS_OF}
    done = {event.listing.key for event in events if isinstance(event, ListingDone)}
    assert done == {key, "one", "wrapped"}
    (failed,) = (event for event in events if isinstance(event, ListingFailed))
    assert (failed.listing.key, type(failed.error)) == ("none", NotFound)
    assert sorted((record.path, record.status) for record in records) == [
        ("/api/v1/none", 404),
        ("/api/v1/one", 200),
        ("/api/v1/rows", 200),
        ("/api/v1/wrapped", 200),
    ]


def test_listings_wait_in_the_count_until_they_are_begun() -> None:
    go = threading.Event()

    def held(handler: Any) -> None:
        go.wait(PATIENCE_SECONDS)
        Reply([]).send(handler)

    with scripted_canvas() as canvas:
        canvas.on("slow?per_page=100", Reply(act=held))
        with started(canvas.url) as fetching:
            for number in range(12):
                fetching.submit(Listing(number, "slow"))
            assert fetching.waiting == 12
            go.set()
            drain(fetching)
            assert (fetching.waiting, fetching.outstanding) == (0, 0)


def test_token_is_in_no_command_line_and_no_environment_of_it() -> None:
    with scripted_canvas() as canvas:
        canvas.on("rows?per_page=100", Reply([]))
        with started(canvas.url) as fetching:
            fetching.submit(Listing("rows", "rows"))
            drain(fetching)
            folders = [Path(f"/proc/{pid}") for pid in fetching.pids]
            shown = b"".join((folder / name).read_bytes() for folder in folders for name in SHOWN)
    assert TOKEN.encode() not in shown


def test_it_ends_soon_with_requests_under_way() -> None:
    with scripted_canvas() as canvas:
        canvas.on("slow?per_page=100", Reply(act=lambda handler: time.sleep(PATIENCE_SECONDS)))
        with started(canvas.url) as fetching:
            fetching.submit(Listing("slow", "slow"))
            wait_until(lambda: bool(canvas.seen))
            began = time.monotonic()
        assert time.monotonic() - began < PATIENCE_SECONDS / 2
        assert all(map(is_gone, fetching.pids))


def test_signals_of_a_terminal_and_of_a_service_manager_are_left_to_the_sync() -> None:
    with scripted_canvas() as canvas:
        canvas.on("rows?per_page=100", Reply([]))
        with started(canvas.url) as fetching:
            fetching.submit(Listing("before", "rows"))
            drain(fetching)
            for pid in fetching.pids:
                os.kill(pid, signal.SIGINT)
                os.kill(pid, signal.SIGTERM)
            fetching.submit(Listing("after", "rows"))
            assert isinstance(drain(fetching)[-1], ListingDone)
            assert os.getpgid(fetching.pids[0]) != os.getpgid(0)


@pytest.mark.parametrize("number", [0, 1])
def test_death_of_either_process_is_said_and_ends_the_other(number: int) -> None:
    with scripted_canvas() as canvas:
        with started(canvas.url) as fetching:
            os.kill(fetching.pids[number], signal.SIGKILL)
            with pytest.raises(Unavailable, match=r"The processes that read from Canvas ended.*: sync again"):
                fetching.next_event(PATIENCE_SECONDS)
        assert all(map(is_gone, fetching.pids))


def test_order_that_nobody_takes_is_said() -> None:
    with scripted_canvas() as canvas, started(canvas.url) as fetching:
        os.kill(fetching.pids[0], signal.SIGKILL)
        wait_until(lambda: is_gone(fetching.pids[0]))
        with pytest.raises(Unavailable, match="sync again"):
            fetching.submit(Listing("rows", "rows"))


def test_pages_are_mapped_on_their_way_unless_an_id_wants_a_number_from_the_database() -> None:
    columns = (Column("workflow_state", "state", TEXT), Column("user_id", "user_id", ID))
    folder = Folder(1, known={7: 2}).reader()
    mappers = {"things": Mapper(columns, folder, 5, source="rest")}
    known, unknown = {"id": 1, "state": "on", "user_id": "7~3"}, {"id": 2, "state": "on", "user_id": "8~3"}
    with scripted_canvas() as canvas:
        canvas.on("known?per_page=100", Reply([known, "no record"]))
        canvas.on("unknown?per_page=100", Reply([unknown]))
        with started(canvas.url, mappers=mappers) as fetching:
            for path in ("known", "unknown"):
                fetching.submit(Listing(path, path, ahead=("things", {})))
            events = drain(fetching)
    pages = {event.listing.key: event for event in events if isinstance(event, PageFetched)}
    here = mappers["things"].map([known, "no record"], AS_OF)
    assert (pages["known"].mapped, pages["known"].page.rows) == (here, [])
    assert here.rows[0][3] == 2 * 10**13 + 3
    assert len(here.rejected) == 1
    assert (pages["unknown"].mapped, pages["unknown"].page.rows) == (None, [unknown])


# --- syncs that read in it ---------------------------------------------------------------------------


def test_full_and_incremental_syncs_equal_canvas(
    elsewhere: None, connection: Connection, canvas: EventfulSandbox, wrong: Callable[..., list[str]]
) -> None:
    canvas.clear_requests()
    first = sync(connection)
    assert (first.sync_status, wrong(connection)) == (COMPLETED, [])
    assert first.api_calls_made == len(canvas.requests())
    assert canvas.edit("grade")["changes"]
    second = sync(connection)
    assert (second.sync_status, second.mode, wrong(connection)) == (COMPLETED, "incremental", [])


def test_failures_that_pass_are_tried_again_and_counted(
    elsewhere: None, connection: Connection, canvas: EventfulSandbox, wrong: Callable[..., list[str]]
) -> None:
    canvas.set_faults("500:1:1@submissions,truncated:1:1@enrollments")
    run = sync(connection)
    assert (run.sync_status, wrong(connection)) == (COMPLETED, [])
    assert run.api_retries == 2


def test_death_of_the_reader_fails_the_run_and_the_next_goes_on(
    elsewhere: None,
    connection: Connection,
    canvas: EventfulSandbox,
    wrong: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pids = []
    begin = FetchProcess.__init__

    def noting(self: FetchProcess, *arguments: Any) -> None:
        begin(self, *arguments)
        pids.append(self.pids[0])

    monkeypatch.setattr(FetchProcess, "__init__", noting)
    canvas.before("/submissions", lambda: os.kill(pids[0], signal.SIGKILL))
    run = sync(connection)
    assert (run.sync_status, run.error_class) == (SyncRun.Status.FAILED, "Unavailable")
    assert "The processes that read from Canvas ended" in (run.error_message or "")
    again = sync(connection, resume=run)
    assert (again.sync_status, wrong(connection)) == (COMPLETED, [])
