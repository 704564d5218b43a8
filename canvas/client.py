"""The Canvas REST client: one token at one Canvas, polite, patient, and quick to stop."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from http.client import HTTPException
from typing import Any, TypeGuard
from urllib.parse import quote

import requests
import urllib3.exceptions

from canvas import answers
from canvas.answers import QUOTED_CHARACTERS, RawAnswer
from canvas.errors import (
    BrokenListing,
    CanvasError,
    Interrupted,
    Throttled,
    TokenRejected,
    Unavailable,
)
from canvas.pages import Answer, Page, RequestRecord, rows_of
from canvas.pagination import (
    Walk,
    is_cut_short,
    is_further_page,
    may_have_lost_next,
    page_urls,
    parse_links,
    path_on,
)
from canvas.throttle import LONGEST_PAUSE_SECONDS, Throttle
from canvas.transport import Transport, admits_any_address, canvas_origin, failure_of
from easel.redaction import clean, redact

Params = Iterable[tuple[str, str | tuple[str, ...]]]

PER_PAGE = 100  # Canvas's own maximum; more is clamped silently
FIRST_BACK_OFF_SECONDS = 0.5
LONGEST_BACK_OFF_SECONDS = 30.0
READ_TIMEOUTS_PER_ANSWER = 5
CHUNK_BYTES = 1024 * 1024
KEPT_HEADERS = ("Date", "Link", "X-Rate-Limit-Remaining", "X-Request-Cost")


class CanvasClient:
    """Reads from one Canvas with one token; safe to use from many threads.

    Every call raises a `CanvasError` of the family that says what to do, or `Interrupted`.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        throttle: Throttle,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        max_tries: int = 6,
        pool_size: int = 20,
        observer: Callable[[RequestRecord], None] | None = None,
        allow_insecure_hosts: Collection[str] = (),
    ) -> None:
        """Check address and token, and connect nowhere yet. Timeouts in seconds.

        `read_timeout` bounds each wait for data, five of them the whole of an answer. `observer` is called
        once per HTTP attempt, from the thread that made it. Raises `WrongAddress`, `TokenRejected`.
        """
        self.origin = canvas_origin(base_url, allow_insecure_hosts)
        if not token.strip():
            raise TokenRejected("The token is empty: make one in Canvas under Account, Settings.")
        self._token = token.strip()
        self._throttle = throttle
        self._max_tries = max_tries
        self._observer = observer or _unobserved
        self._interrupted = threading.Event()
        self._transport = Transport(
            self.origin,
            _headers(self._token),
            pool_size=pool_size,
            timeouts=(connect_timeout, read_timeout),
            total_seconds=READ_TIMEOUTS_PER_ANSWER * read_timeout,
            any_address=admits_any_address(self.origin, allow_insecure_hosts),
        )

    def __repr__(self) -> str:
        return f"<CanvasClient {self.origin}>"

    def url(self, path: str, params: Params = (), *, listing: bool = True) -> str:
        """Return the URL of an API path such as `courses/42/users`; a full URL comes back as it is.

        Tuples become array parameters (`include[]`), everything percent-encoded as Canvas does it, and
        listings ask for full pages. An id in the path that holds `%`, `?` or `#` is quoted by the caller.
        """
        if path.startswith(("https://", "http://")):
            return path
        query = "&".join(_pairs(params, listing))
        path = quote(path.removeprefix("/").removeprefix("api/v1/"), safe="/:~%@,")
        return f"{self.origin}/api/v1/{path}" + (f"?{query}" if query else "")

    def get_json(self, path_or_url: str, params: Params = ()) -> Answer:
        """Read one object."""
        return self._fetch(self.url(path_or_url, params, listing=False))

    def get_page(self, url: str, *, wrapper: str | None = None) -> Page:
        """Read one page of a listing; `wrapper` names the key the rows are under, where there is one.

        Raises `BrokenListing` when the body is no list, or the listing cannot be followed further.
        """
        answer = self._fetch(url)
        links = parse_links(answer.headers.get("Link"), url)
        if links.next:
            path_on(links.next, self.origin)
        elif may_have_lost_next(url):
            raise BrokenListing(
                "The URL is so long that Canvas may have left out the next link: ask for fewer ids at once."
            )
        elif is_cut_short(links, url):
            raise BrokenListing(
                "A page came without the next link although there are more: sync again, and look for a"
                " proxy in front of Canvas that changes its answers."
            )
        rows = rows_of(answer.body, wrapper)
        return Page(rows, answer.as_of, links.next, page_urls(links), url, answer.json, wrapper)

    def pages(self, path: str, params: Params = (), wrapper: str | None = None) -> Iterator[Page]:
        """Walk a listing page by page."""
        walk = Walk()
        url: str | None = self.url(path, params)
        while url:
            page = self.get_page(walk.step(url), wrapper=wrapper)
            yield page
            url = page.next_url

    def interrupt(self) -> None:
        """End everything this client does and will do, at once, with `Interrupted`. There is no way back."""
        self._interrupted.set()
        self._throttle.close()
        self._transport.interrupt()

    def close(self) -> None:
        """Give the idle connections back."""
        self._transport.close()

    def _fetch(self, url: str) -> Answer:
        """Read one URL, as often as it takes and is allowed."""
        target = path_on(url, self.origin)
        number = 1
        waited = 0.0
        while isinstance(
            outcome := self._attempt(url, target, last=number >= self._max_tries, waited=waited), CanvasError
        ):
            if number >= self._max_tries or not _is_worth_retrying(outcome):
                raise outcome
            waited = 0.0
            if not isinstance(outcome, Throttled):  # for those the throttle holds everyone back
                waited = _back_off(number, outcome.retry_after)
                self._throttle.wait(waited)
            number += 1
        return outcome

    def _attempt(self, url: str, target: str, *, last: bool, waited: float) -> Answer | CanvasError:
        """Send one request when it is its turn; `waited` is how many seconds it was held back already."""
        asked, held_back = time.perf_counter(), self._throttle.holds_back
        with self._throttle.slot() as epoch:
            started = time.perf_counter()
            if held_back or self._throttle.holds_back:
                waited += started - asked
            raw = self._exchange(target)
            duration_ms = (time.perf_counter() - started) * 1000
            if isinstance(raw, RawAnswer):
                self._tell_throttle(raw, epoch)
        outcome = raw if isinstance(raw, CanvasError) else self._judge(raw, url, target)
        interrupted = self._interrupted.is_set() and isinstance(outcome, CanvasError)
        retried = not last and not interrupted and _is_worth_retrying(outcome)
        self._observer(_record(target, raw, outcome, duration_ms, retried=retried, waited=waited))
        if interrupted:
            raise Interrupted("The request to Canvas was cancelled.")
        return outcome

    def _exchange(self, target: str) -> RawAnswer | CanvasError:
        """Send one request and read all of its answer.

        Errors are returned: raised here, they would carry the request, and so the token, as context.
        """
        try:
            return _read(self._transport.get(target))
        except CanvasError as error:
            return error
        except (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
            return failure_of(error, self.origin)

    def _tell_throttle(self, raw: RawAnswer, epoch: int) -> None:
        if raw.throttled:
            self._throttle.throttled(raw.retry_after, epoch)
        elif raw.status < 500:
            self._throttle.succeeded(_number(raw.headers.get("X-Rate-Limit-Remaining")))

    def _judge(self, raw: RawAnswer, url: str, target: str) -> Answer | CanvasError:
        path = clean(redact(_path(target).removeprefix("/api/v1/"), (self._token,)), QUOTED_CHARACTERS)
        if failure := answers.failure_of(raw, path, self.origin, self._token):
            return failure
        try:
            body = answers.decode(raw.body)
        except ValueError:
            return answers.undecodable(raw, path, self.origin)
        kept = {name: value for name in KEPT_HEADERS if (value := raw.headers.get(name)) is not None}
        return Answer(body, raw.as_of, kept, url, raw.body)


def _headers(token: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "User-Agent": "Easel",
    }


def _pairs(params: Params, listing: bool) -> Iterator[str]:
    for name, value in params:
        key = name if isinstance(value, str) or name.endswith("[]") else f"{name}[]"
        for item in (value,) if isinstance(value, str) else value:
            yield f"{quote(key, safe='')}={quote(item, safe='')}"
    if listing:
        yield f"per_page={PER_PAGE}"


def _read(response: requests.Response) -> RawAnswer:
    """Read an answer's body, bounded in size; the connection goes back to the pool, or is closed."""
    stream = response.raw
    try:
        body = _read_bounded(stream)
    except BaseException:
        stream.close()
        raise
    stream.release_conn()
    plain = answers.inflate(body, response.headers.get("Content-Encoding", "").lower())
    return RawAnswer(response.status_code, response.headers, plain, len(body))


def _read_bounded(stream: Any) -> bytes:
    chunks, size = [], 0
    while chunk := stream.read(CHUNK_BYTES, decode_content=False):
        chunks.append(chunk)
        size += len(chunk)
        if size > answers.MAX_BODY_BYTES:
            raise answers.too_large()
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _record(
    target: str,
    raw: RawAnswer | CanvasError,
    outcome: Answer | CanvasError,
    duration_ms: float,
    *,
    retried: bool,
    waited: float,
) -> RequestRecord:
    return RequestRecord(
        "GET",
        _path(target),
        raw.status if isinstance(raw, RawAnswer) else None,
        duration_ms,
        throttled=isinstance(outcome, Throttled),
        retried=retried,
        failed=isinstance(outcome, CanvasError),
        bytes=raw.received if isinstance(raw, RawAnswer) else 0,
        waited_ms=waited * 1000,
        paginated=is_further_page(target),
        ended_at=time.time(),
    )


def _is_worth_retrying(outcome: Answer | CanvasError) -> TypeGuard[Unavailable]:
    """Say whether waiting helps; a wait longer than ours is left to the caller, by `retry_after`."""
    return isinstance(outcome, Unavailable) and (outcome.retry_after or 0.0) <= LONGEST_PAUSE_SECONDS


def _back_off(number: int, retry_after: float | None) -> float:
    """Seconds to wait after the try of this number: doubling, with jitter, at least what Canvas asks."""
    delay = min(FIRST_BACK_OFF_SECONDS * 2.0 ** (number - 1), LONGEST_BACK_OFF_SECONDS)
    return max(delay * (0.5 + random.random() / 2), retry_after or 0.0)  # noqa: S311 - no secret


def _path(target: str) -> str:
    return target.partition("?")[0]


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _unobserved(record: RequestRecord) -> None:
    """Count nothing."""
