"""A Canvas of few words for tests: answers each path with what the test scripted, over real sockets."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DATE = "Sat, 03 Jan 2026 10:00:00 GMT"


@dataclass
class Reply:
    """What to answer: `body` as JSON unless bytes; `act` instead does anything to the handler."""

    body: Any = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    compress: bool = False
    act: Callable[[BaseHTTPRequestHandler], None] | None = None

    def send(self, handler: BaseHTTPRequestHandler) -> None:
        if self.act:
            return self.act(handler)
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if self.compress:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        headers |= {"Content-Length": str(len(body)), "Date": DATE, **self.headers}
        handler.send_response_only(self.status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        return None


def reset(handler: BaseHTTPRequestHandler) -> None:
    """End the connection the hard way, with a TCP reset."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.rfile.close()
    handler.wfile.close()
    handler.connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients hanging up is what some tests are about."""


class ScriptedCanvas:
    """`script[target]` is a list of replies, the last of which repeats; `seen` is what was asked."""

    def __init__(self, certificate: tuple[str, str] | None = None) -> None:
        self.script: dict[str, list[Reply]] = defaultdict(list)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        scheme = "http"
        if certificate:
            scheme, context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def on(self, target: str, *replies: Reply) -> None:
        """Answer `/api/v1/<target>` (with query) with these replies in turn."""
        self.script[f"/api/v1/{target}"] = list(replies)

    def listing(
        self, path: str, *pages: list[Any], tokens: list[str] | None = None, last: bool = False
    ) -> None:
        """Script a listing of these pages, with ordinal or given page tokens."""
        tokens = tokens or [str(number) for number in range(1, len(pages) + 1)]
        for number, rows in enumerate(pages):
            links = []
            if number + 1 < len(pages):
                links.append(f'<{self.url}/api/v1/{path}?page={tokens[number + 1]}&per_page=100>; rel="next"')
            if last:
                links.append(f'<{self.url}/api/v1/{path}?page={tokens[-1]}&per_page=100>; rel="last"')
            reply = Reply(rows, headers={"Link": ",".join(links)} if links else {})
            query = "per_page=100" if number == 0 else f"page={tokens[number]}&per_page=100"
            self.on(f"{path}?{query}", reply)

    @property
    def targets(self) -> list[str]:
        return [target for target, _ in self.seen]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _next_reply(self, target: str, headers: dict[str, str]) -> Reply:
        with self._lock:
            self.seen.append((target, headers))
            replies = self.script.get(target)
            if not replies:
                return Reply({"errors": [{"message": "The specified resource does not exist."}]}, 404)
            return replies.pop(0) if len(replies) > 1 else replies[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        canvas = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    canvas._next_reply(self.path, dict(self.headers)).send(self)
                    self.wfile.flush()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        return Handler


@contextlib.contextmanager
def scripted_canvas(certificate: tuple[str, str] | None = None) -> Iterator[ScriptedCanvas]:
    server = ScriptedCanvas(certificate)
    try:
        yield server
    finally:
        server.close()
