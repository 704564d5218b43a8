"""The server: sockets, threads, latency, throttle and request log around the API.

A thread for each connection, HTTP/1.1 with keep-alive, written on the socket itself: faults must be able to
reset it, stop half-way or drip, and a general HTTP library would stand in between.
"""

from __future__ import annotations

import itertools
import select
import socket
import socketserver
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http import HTTPStatus
from io import BufferedIOBase
from types import TracebackType
from typing import Any, Self

from sandbox import control, edits
from sandbox.access import Tokens
from sandbox.api import Api, Reply, Request
from sandbox.clock import Clock
from sandbox.faults import THROTTLED_TEXT, THROTTLES, WIRES, Faults, Rule, parse_rules
from sandbox.ids import Row
from sandbox.state import RESOURCES
from sandbox.throttle import Reservation, Throttle
from sandbox.world import World

COST_PER_LATENCY_SECOND = 0.6
LOG_ENTRIES = 200_000
MAX_LINE_BYTES = 65_536
# How soon the server notices that it is to stop.
POLL_SECONDS = 0.02
DRIP_SECONDS = 0.2
SILENCE_SECONDS = 3_600.0
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Settings:
    """What can be changed while it runs."""

    latency_ms: float = 0
    throttle: bool = False
    permission_status: int = 403
    clock_offset_seconds: float = 0


@dataclass(slots=True)
class Exchange:
    """One request on its way, for the log."""

    request: Request
    started: float
    in_flight: int
    status: int | None = None
    throttled: bool = False
    fault: str | None = None
    number: int = 0
    at: str = ""
    duration: float = 0.0

    def entry(self) -> Row:
        """What the log says about it; `status` is null where no answer was sent."""
        return {
            "n": self.number,
            "at": self.at,
            "method": self.request.method,
            "path": self.request.path,
            "query": self.request.query,
            "status": self.status,
            "duration_ms": round(self.duration * 1000, 3),
            "in_flight": self.in_flight,
            "throttled": self.throttled,
            "fault": self.fault,
        }


class Broken(Exception):
    """The connection is to be dropped, without a word (`reset`) or after what was said."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset


class Sandbox:
    """A Canvas on a loopback port, as a context manager; see docs/sandbox.md for what it can do."""

    def __init__(
        self,
        size: str = "tiny",
        seed: int = 1,
        token: str | None = None,
        latency_ms: float = 0,
        throttle: bool = False,
        faults: str | list[str | Row] | None = None,
        clock_offset_seconds: float = 0,
        port: int = 0,
    ) -> None:
        """Make the Canvas; raises FaultError for a bad rule, OSError when the port is taken."""
        self.clock = Clock(clock_offset_seconds)
        self._settings = Settings(latency_ms, throttle, clock_offset_seconds=clock_offset_seconds)
        self._world = World(size, seed, self.clock)
        self._tokens = Tokens(self._world, token)
        self._api = Api(self._world, self._tokens)
        self._faults = Faults(parse_rules(faults), seed)
        self._throttle = Throttle()
        self._log: deque[Exchange] = deque(maxlen=LOG_ENTRIES)
        self._numbers = itertools.count(1)
        self._flight = 0
        self._flight_lock = threading.Lock()
        self.stopping = threading.Event()
        self._server = _Server(self, port)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), name="sandbox-canvas", daemon=True
        )

    # --- for tests and commands --------------------------------------------------------------------

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering and drop every connection."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.drop_connections()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def token(self) -> str:
        """The administrator's token."""
        return self._tokens.by_name["admin"].value

    @property
    def tokens(self) -> dict[str, str]:
        """All declared tokens by name."""
        return {name: token.value for name, token in self._tokens.by_name.items()}

    def state(self, *resources: str) -> dict[str, list[Row]]:
        """The truth: `{resource: [rows]}`, of all resources or those named."""
        return {name: [dict(row) for row in self.rows(name)] for name in resources or RESOURCES}

    def rows(self, resource: str) -> Iterator[Row]:
        """The truth of one resource, row by row."""
        return RESOURCES[resource](self._world)

    def requests(self, after: int = 0) -> list[Row]:
        """The log of API requests with a number above `after`."""
        return [exchange.entry() for exchange in list(self._log) if exchange.number > after]

    def clear_requests(self) -> None:
        """Empty the request log; numbers go on."""
        self._log.clear()

    def edit(self, kind: str, **args: Any) -> Row:
        """Make an edit; returns `{kind, target, changes}`. Raises EditError."""
        return edits.apply(self._world, self._tokens, kind, args)

    def faults(self) -> list[Row]:
        """The rules in force and how often each struck."""
        return [rule.report() for rule in self._faults.rules]

    def set_faults(self, rules: str | list[str | Row] | None = None) -> None:
        """Put these rules in force instead of those before; none without any. Raises FaultError."""
        self._faults.rules = parse_rules(rules)

    def settings(self) -> Row:
        """The settings, the size and the seed."""
        return {**asdict(self._settings), "size": self._world.size_name, "seed": self._world.seed}

    def set(self, **changes: float | bool) -> None:
        """Change settings while it runs; raises ValueError for one there is not."""
        for name, value in changes.items():
            if name not in Settings.__slots__:
                raise ValueError(f"No setting {name!r}; there are {', '.join(Settings.__slots__)}.")
            setattr(self._settings, name, value)
        self.clock.offset_seconds = self._settings.clock_offset_seconds
        self._api.permission_status = self._settings.permission_status

    # --- for connections ---------------------------------------------------------------------------

    def exchange(self, request: Request, wire: Wire) -> None:
        """Answer one API request on the wire and log it; raises Broken when the connection must go."""
        with self._flight_lock:
            self._flight += 1
            exchange = Exchange(request, time.monotonic(), self._flight)
        try:
            self._throttled(exchange, wire)
        finally:
            self._end(exchange)

    def _throttled(self, exchange: Exchange, wire: Wire) -> None:
        if not self._settings.throttle:
            return self._answer(exchange, wire, None)
        bucket = self._throttle.bucket(exchange.request.token or "")
        if not bucket.reserve():
            return self._refuse(exchange, wire, 403, None, bucket.remaining)
        cost = COST_PER_LATENCY_SECOND * self._settings.latency_ms / 1000
        with bucket.reservation(cost) as reservation:
            self._answer(exchange, wire, reservation)

    def _refuse(
        self, exchange: Exchange, wire: Wire, status: int, retry_after: float | None, remaining: float
    ) -> None:
        exchange.status, exchange.throttled = status, True
        lines = b"Content-Type: text/plain; charset=utf-8\r\nX-Rate-Limit-Remaining: %.2f\r\n" % remaining
        if retry_after is not None:
            lines += b"Retry-After: %g\r\n" % retry_after
        body = THROTTLED_TEXT.replace(b"403", b"%d" % status)
        self._end(exchange)
        wire.send(self.head(Reply(status, lines, body)), body)

    def _answer(self, exchange: Exchange, wire: Wire, reservation: Reservation | None) -> None:
        request = exchange.request
        rule = self._faults.pick(request.target, request.listing) if self._faults.rules else None
        exchange.fault = rule.kind if rule else None
        if rule and rule.kind in THROTTLES:
            return self._refuse(exchange, wire, THROTTLES[rule.kind], rule.retry_after, 0.0)
        if rule and rule.kind in ("reset", "timeout"):
            return wire.fail(rule)
        reply = self._api.answer(request, rule)
        self._wait(exchange.started)
        exchange.status = reply.status
        head = self.head(reply, _throttle_lines(reservation))
        if rule and rule.kind in WIRES - {"cut_json"}:
            return wire.fail(rule, head, reply.body)
        self._end(exchange)
        wire.send(head, reply.body)

    def _wait(self, started: float) -> None:
        """Latency is a deadline with the work inside it."""
        left = started + self._settings.latency_ms / 1000 - time.monotonic()
        if left > 0:
            time.sleep(left)

    def head(self, reply: Reply, lines: bytes = b"") -> bytes:
        """Status line and headers of an answer; `lines` are more of them."""
        return b"HTTP/1.1 %d %s\r\nDate: %s\r\n%s%sContent-Length: %d\r\n\r\n" % (
            reply.status,
            _REASONS.get(reply.status, "Unknown").encode(),
            self.clock.http_date().encode(),
            reply.head,
            lines,
            len(reply.body),
        )

    def _end(self, exchange: Exchange) -> None:
        """Take the request out of flight and into the log, once, before the client can have the answer."""
        if exchange.number:
            return
        with self._flight_lock:
            self._flight -= 1
        exchange.duration = time.monotonic() - exchange.started
        exchange.at = self.clock.stamp()
        exchange.number = next(self._numbers)
        self._log.append(exchange)


def _throttle_lines(reservation: Reservation | None) -> bytes:
    if reservation is None:
        return b""
    values = (reservation.cost, reservation.settle())
    return b"X-Request-Cost: %r\r\nX-Rate-Limit-Remaining: %r\r\n" % values


class Wire(socketserver.StreamRequestHandler):
    """One connection: reads requests until the client goes, sends answers or fails as told."""

    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        """Answer one request after the other."""
        self.server.connections.add(self.connection)
        try:
            while self._next_request():
                pass
        except Broken as broken:
            if broken.reset:
                # Closing with a linger of nothing sends RST instead of FIN.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (ConnectionError, TimeoutError, OSError):
            pass  # the client went away
        finally:
            self.server.connections.discard(self.connection)

    def _next_request(self) -> bool:
        try:
            request = read_request(self.rfile)
        except ValueError:
            self.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", b"")
            return False
        if request is None:
            return False
        if request.path.startswith(control.PREFIX):
            self._control(request)
        else:
            self.server.sandbox.exchange(request, self)
        return request.headers.get("connection", "").lower() != "close"

    def _control(self, request: Request) -> None:
        answer = control.answer(self.server.sandbox, request)
        if isinstance(answer, Reply):
            self.send(self.server.sandbox.head(answer), answer.body)
            return
        self.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", b""
        )
        for piece in answer:
            if piece:
                self.send(b"%x\r\n" % len(piece), piece + b"\r\n")
        self.send(b"0\r\n\r\n", b"")

    def send(self, head: bytes, body: bytes) -> None:
        """Send an answer whole."""
        self.connection.sendall(head + body)

    def fail(self, rule: Rule, head: bytes = b"", body: bytes = b"") -> None:
        """Break this answer as the rule says; raises Broken."""
        if rule.kind == "reset":
            raise Broken(reset=True)
        if rule.kind == "timeout":
            self._idle(rule.seconds or SILENCE_SECONDS)
            raise Broken
        if rule.kind == "truncated":
            self.send(head, body[: len(body) // 2])
            raise Broken
        self.send(head, b"")
        for place in range(len(body)):
            if self._idle(DRIP_SECONDS if rule.seconds is None else rule.seconds):
                raise Broken
            self.send(body[place : place + 1], b"")

    def _idle(self, seconds: float) -> bool:
        """Do nothing for a while; True when the client left or the sandbox stops before it is over."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            readable, _, _ = select.select([self.connection], [], [], min(left, 0.1))
            if (
                readable and not self.connection.recv(1, socket.MSG_PEEK)
            ) or self.server.sandbox.stopping.is_set():
                return True
        return False


def read_request(stream: BufferedIOBase) -> Request | None:
    """The next request of a connection, None at its end; raises ValueError for what is no HTTP."""
    line = stream.readline(MAX_LINE_BYTES)
    if not line:
        return None
    method, target, _ = line.decode("latin-1").split()
    headers = {}
    while (line := stream.readline(MAX_LINE_BYTES)) not in (b"\r\n", b"\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", 0))
    return Request(method, target, headers, stream.read(length) if length else b"")


class _Server(socketserver.ThreadingTCPServer):
    """Listens on loopback with a thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1_024

    def __init__(self, sandbox: Sandbox, port: int) -> None:
        self.sandbox = sandbox
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Wire)

    def drop_connections(self) -> None:
        """End every connection there is."""
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it ended by itself

    def shutdown_request(self, request: Any) -> None:
        """Close at once: the usual polite shutdown before would turn every reset into an ordinary end."""
        self.close_request(request)
