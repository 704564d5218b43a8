"""From a request to the bytes of its answer, which are kept while nothing changes."""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from sandbox import errors
from sandbox.access import Tokens, Viewer
from sandbox.call import Call, Listing
from sandbox.errors import Refusal
from sandbox.faults import ANSWERS, BODIES, LAYOUTS, LINKS, LONE_SURROGATE, Rule, respell_ids
from sandbox.pagination import Layout, bookmark_page, clamp_per_page, link_header, ordinal_page, page_links
from sandbox.params import Params
from sandbox.routes import PREFIX, resolve
from sandbox.world import World

CACHE_BYTES = 256 * 1024 * 1024
# Below this a body is not worth compressing.
GZIP_FROM_BYTES = 512
STRING_IDS = "application/json+canvas-string-ids"
JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; header names are in small letters."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query without its question mark."""
        return self.target.partition("?")[2]

    @property
    def token(self) -> str | None:
        """The token, from the header or else the query."""
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and value.strip():
            return value.strip()
        if "access_token=" in self.query:
            return dict(parse_qsl(self.query)).get("access_token")
        return None

    @property
    def takes_gzip(self) -> bool:
        """Whether the answer may be compressed."""
        return "gzip" in self.headers.get("accept-encoding", "")

    @property
    def listing(self) -> str:
        """The address without its page, which all pages of a listing share."""
        kept = [pair for pair in self.query.split("&") if not pair.startswith("page=")]
        return f"{self.path}?{'&'.join(sorted(kept))}"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its header lines (but those that differ every time) and its body."""

    status: int
    head: bytes
    body: bytes


class PageCache:
    """Rendered pages, the oldest leaving when they are more than `limit` bytes."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._pages: dict[tuple[Any, ...], Reply] = {}
        self._bytes = 0
        self._version = 0
        self._lock = threading.Lock()

    def get(self, key: tuple[Any, ...], version: int) -> Reply | None:
        """The page, if it was rendered from this version of the world."""
        return self._pages.get(key) if version == self._version else None

    def put(self, key: tuple[Any, ...], version: int, reply: Reply) -> None:
        """Keep a page; those of another version go."""
        with self._lock:
            if version != self._version:
                self._pages.clear()
                self._bytes, self._version = 0, version
            self._pages[key] = reply
            self._bytes += len(reply.body)
            while self._bytes > self._limit:
                self._bytes -= len(self._pages.pop(next(iter(self._pages))).body)


class Api:
    """Answers the requests to `/api/v1`."""

    def __init__(self, world: World, tokens: Tokens) -> None:
        self._world, self._tokens = world, tokens
        self._cache = PageCache()
        # What a caller without permission gets: 401 on an older Canvas.
        self.permission_status = 403

    def answer(self, request: Request, rule: Rule | None = None) -> Reply:
        """The answer, refusals included; `rule` is the fault that hits this request."""
        try:
            if rule and rule.kind in ANSWERS:
                raise ANSWERS[rule.kind]()
            if request.method != "GET" or not request.path.startswith(PREFIX + "/"):
                raise errors.not_found()
            token = self._tokens.authenticate(request.token, self._world.clock.stamp())
            viewer = Viewer(self._world, token)
            return self._render(request, viewer, rule) if rule else self._cached(request, viewer)
        except Refusal as refusal:
            return refuse(refusal)

    def _cached(self, request: Request, viewer: Viewer) -> Reply:
        headers = request.headers
        key = (
            viewer.token.value, headers.get("host"), headers.get("accept"), request.takes_gzip,
            self.permission_status, request.target,
        )  # fmt: skip
        version = self._world.version
        reply = self._cache.get(key, version)
        if reply is None:
            reply = self._render(request, viewer, None)
            self._cache.put(key, version, reply)
        return reply

    def _render(self, request: Request, viewer: Viewer, rule: Rule | None) -> Reply:
        with self._world.lock:
            pairs = parse_qsl(request.query, keep_blank_values=True)
            route, path = resolve(request.path.removeprefix(PREFIX))
            if viewer.token.scopes and route.scope not in viewer.token.scopes:
                raise errors.insufficient_scopes()
            params = Params(pairs)
            call = Call(self._world, self._tokens, viewer, params, path, self.permission_status)
            answer = route.handler(call)
            body, links = (
                _page(answer, params, request, rule) if isinstance(answer, Listing) else (answer, {})
            )
            data = _encode(body, request, rule)
        lines = [("Link", link_header(links))] if links else []
        return json_reply(200, data, lines, gzipped=request.takes_gzip)


def _page(answer: Listing, params: Params, request: Request, rule: Rule | None) -> tuple[Any, dict[str, str]]:
    per_page = clamp_per_page(params.one("per_page"))
    token, layout = params.one("page"), _layout(per_page, rule)
    page = (
        ordinal_page(answer.items, token, layout, counted=answer.counted)
        if answer.key is None
        else bookmark_page(answer.items, answer.key, token, layout)
    )
    rows = [answer.show(item) for item in page.items]
    base = f"http://{request.headers.get('host', 'localhost')}{request.path}"
    links = page_links(base, params.pairs, page.tokens, per_page)
    if rule and rule.kind in LINKS:
        links = LINKS[rule.kind](links)
    return ({answer.wrapper: rows} if answer.wrapper else rows), links


def _layout(per_page: int, rule: Rule | None) -> Layout:
    cut = LAYOUTS.get(rule.kind) if rule else None
    if cut == "short":
        return Layout(max(1, per_page // 2))
    return Layout(per_page, holes=cut == "holes", overlap=cut == "overlap")


def _encode(body: Any, request: Request, rule: Rule | None) -> bytes:
    if rule and rule.kind in BODIES:
        body = BODIES[rule.kind](body)
    if STRING_IDS in request.headers.get("accept", ""):
        body = respell_ids(body, str)
    data = orjson.dumps(body)
    if rule and rule.kind == "cut_json":
        return data[: len(data) // 2]
    return data.replace(LONE_SURROGATE.encode(), b"\\ud83d") if rule else data


def refuse(refusal: Refusal) -> Reply:
    """The answer to what is refused: JSON, or the bytes as they are (HTML)."""
    if isinstance(refusal.body, bytes):
        kind = "text/html; charset=utf-8"
        return Reply(refusal.status, _head([("Content-Type", kind), *refusal.headers]), refusal.body)
    return json_reply(refusal.status, orjson.dumps(refusal.body), list(refusal.headers))


def json_reply(
    status: int, data: bytes, lines: list[tuple[str, str]] | None = None, *, gzipped: bool = False
) -> Reply:
    """A JSON answer, compressed where the caller takes that and it pays."""
    headers = [
        ("Content-Type", JSON),
        ("Cache-Control", "max-age=0, private, must-revalidate"),
        *(lines or []),
    ]
    if gzipped and len(data) >= GZIP_FROM_BYTES:
        data = gzip.compress(data, compresslevel=1, mtime=0)
        headers += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
    return Reply(status, _head(headers), data)


def _head(lines: list[tuple[str, str]]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in lines).encode("latin-1")
