"""The sockets under the client: one pooled adapter per Canvas, bounded in time, guarded, interruptible."""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.models import PreparedRequest, Response
from requests.structures import CaseInsensitiveDict
from requests.utils import select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from canvas.errors import CanvasError, TokenRejected, Unavailable, WrongAddress
from canvas.pagination import origin_of
from easel.addresses import is_loopback, is_private

POOL_COUNT = 10
BUFFER_BYTES = 65_536
STAND_IN = "/"
_PLAIN_TARGET = re.compile(r"/[!-\"$-~]*")  # visible ASCII without a fragment: sent as it is
_TLS_CUTS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_NO_SUCH_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
_UNUSABLE = (requests.exceptions.InvalidURL, urllib3.exceptions.LocationValueError)
_TIMEOUTS = (TimeoutError, urllib3.exceptions.TimeoutError, requests.Timeout)

# How a connection can fail, the surest sign first; whatever is not here is an outage that may pass.
_FAILURES: tuple[tuple[Callable[[BaseException], bool], type[CanvasError], str], ...] = (
    (
        lambda cause: isinstance(cause, ssl.SSLCertVerificationError),
        WrongAddress,
        "The certificate of {origin} is not trusted: check the base URL, or the CA bundle of this machine.",
    ),
    (
        lambda cause: isinstance(cause, ssl.SSLError) and not isinstance(cause, _TLS_CUTS),
        WrongAddress,
        "{origin} does not speak TLS as it should: check scheme and port of the base URL.",
    ),
    (
        lambda cause: isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_NAME,
        WrongAddress,
        "There is no host of the name in {origin}: check the base URL.",
    ),
    (
        lambda cause: isinstance(cause, _UNUSABLE),
        WrongAddress,
        "{origin} is no usable address: check the base URL.",
    ),
    (
        lambda cause: isinstance(cause, _TIMEOUTS) and not isinstance(cause, NewConnectionError),
        Unavailable,
        "{origin} did not answer in time: try later.",
    ),
)


def canvas_origin(base_url: str, allow_insecure_hosts: Collection[str] = ()) -> str:
    """Return the origin of a Canvas base URL in one spelling.

    Raises `WrongAddress` unless it is only scheme and host, https, and not in a private network.
    Loopback, and hosts in `allow_insecure_hosts` ("host" or "host:port"), may be either.
    """
    origin = origin_of(base_url.strip())
    parts = urlsplit(base_url.strip())
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise WrongAddress(f"The base URL is only scheme and host: give {origin}.")
    host = parts.hostname or ""
    if admits_any_address(origin, allow_insecure_hosts):
        return origin
    if not origin.startswith("https://"):
        raise WrongAddress(
            "Plain http would show the token to everyone on the way: give the https address of Canvas,"
            f" or list {host} in CANVAS_ALLOWED_INSECURE_HOSTS."
        )
    if is_private(host):
        raise WrongAddress(_private_address(host))
    return origin


def admits_any_address(origin: str, hosts: Collection[str]) -> bool:
    """Say whether the operator vouches for wherever this origin leads: loopback, or a listed host."""
    return is_loopback(urlsplit(origin).hostname or "") or is_listed(origin, hosts)


def is_listed(origin: str, hosts: Collection[str]) -> bool:
    """Say whether the host of `origin`, with or without its port, is among `hosts`."""
    parts = urlsplit(origin)
    return not {parts.hostname, parts.netloc}.isdisjoint(host.strip().lower() for host in hosts)


class Transport(HTTPAdapter):
    """Sends GET requests to one origin, and to no other.

    The requests of one client differ in their path only, so what `HTTPAdapter` works out for each of
    them (pool, TLS settings, target, cookies) is worked out once: a page of 100 submissions costs
    1.1 ms CPU in all, where `requests.Session` with the same decoding costs 1.7 and bare urllib3 0.9.
    """

    def __init__(
        self,
        origin: str,
        headers: Mapping[str, str],
        *,
        pool_size: int,
        timeouts: tuple[float, float],
        total_seconds: float,
        any_address: bool,
    ) -> None:
        """Open no connection yet. `timeouts` are connect and read; `any_address` lifts the address guard."""
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise TokenRejected("The token holds characters no Canvas token has: copy it again.")
        super().__init__(POOL_COUNT, pool_size, max_retries=0)
        self.origin = origin
        self._headers = CaseInsensitiveDict(headers)
        self._timeouts = timeouts
        self._settings = _environment(origin)
        self._proxied = bool(select_proxy(origin, self._settings["proxies"]))
        self._sockets = Sockets(total_seconds, any_address or self._proxied)
        self._wanted = _Wanted()
        self._pool: Any = None
        self._pool_made = threading.Lock()

    def get(self, target: str) -> Response:
        """Send one GET and return the answer with its body unread. Follows no redirect, retries nothing."""
        request = PreparedRequest()
        request.method, request.url = "GET", self.origin + target
        request.headers = self._headers
        return self.send(request, stream=True, timeout=self._timeouts, **self._settings)

    def interrupt(self) -> None:
        """Shut every connection: reads in progress end at once, and so does all that begins later."""
        self._sockets.shut()

    def close(self) -> None:
        """Close the idle connections now; urllib3 alone would wait for its pool to be garbage."""
        if self._pool is not None:
            self._pool.close()
        super().close()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the one pool, made by the parent class at the first request."""
        with self._pool_made:
            if self._pool is None:
                pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
                super().cert_verify(  # type: ignore[no-untyped-call]
                    pool, self.origin, self._settings["verify"], self._settings["cert"]
                )
                kind = _WatchedSecure if self.origin.startswith("https:") else _Watched
                pool.ConnectionCls = partial(kind, sockets=self._sockets, wanted=self._wanted)
                self._pool = pool
        return self._pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing more: the pool was given its TLS settings when it was made."""

    def request_url(self, request: PreparedRequest, proxies: Mapping[str, str] | None) -> str:
        """Return what urllib3 is told to ask for: the whole URL only where a proxy forwards plain http.

        urllib3 encodes a target byte by byte in Python, twice: half a millisecond for the 2,000 characters
        of ours. So it sees a stand-in, and the connection sends what is wanted.
        """
        if self._proxied:
            return super().request_url(request, proxies)
        target = (request.url or "")[len(self.origin) :]
        self._wanted.target = target if _PLAIN_TARGET.fullmatch(target) else None
        return STAND_IN if self._wanted.target else target

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Wrap the answer, without the cookies nobody will send back."""
        response = Response()
        response.status_code, response.headers, response.raw = resp.status, resp.headers, resp
        response.url = req.url or ""
        return response


class Sockets:
    """The open sockets of one transport, and the rules they are under."""

    def __init__(self, total_seconds: float, any_address: bool) -> None:
        """Bound each answer to `total_seconds`; refuse private addresses unless `any_address`."""
        self.total_seconds = total_seconds
        self._any_address = any_address
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._shut = False

    def check_peer(self, sock: socket.socket) -> None:
        """Refuse a peer in a private network: a public name may lead there, and the token must not."""
        peer = sock.getpeername()[0]
        if not self._any_address and is_private(peer):
            sock.close()
            raise WrongAddress(_private_address(peer))

    def add(self, sock: socket.socket) -> None:
        """Watch a connected socket."""
        with self._lock:
            self._open.add(sock)
            if self._shut:
                _shut(sock)

    def shut(self) -> None:
        """Shut all sockets, and any that is added later."""
        with self._lock:
            self._shut = True
            for sock in list(self._open):
                _shut(sock)


def failure_of(error: Exception, origin: str) -> CanvasError:
    """Return the error that says what to do about a failed connection; holds nothing of the request."""
    causes = list(_causes(error))
    for is_it, family, text in _FAILURES:
        if any(is_it(cause) for cause in causes):
            return family(text.format(origin=origin))
    return Unavailable(f"The connection to {origin} failed ({type(causes[-1]).__name__}): try later.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Go from an error to what it wraps, outermost first; requests and urllib3 keep it in three places."""
    waiting, seen = [error], set()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        waiting += [item for item in inner if isinstance(item, BaseException)]


class _Wanted(threading.local):
    """The target each thread is asking for, where urllib3 sees only a stand-in."""

    target: str | None = None


class _Watched(HTTPConnection):
    """A connection under the rules of `Sockets`."""

    def __init__(self, *args: Any, sockets: Sockets, wanted: _Wanted, **kwargs: Any) -> None:
        self._sockets = sockets
        self._wanted = wanted
        super().__init__(*args, **kwargs)

    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        super().putrequest(method, self._wanted.target or url, *args, **kwargs)

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._sockets.check_peer(sock)
        return sock

    def connect(self) -> None:
        super().connect()
        self._sockets.add(self.sock)

    def getresponse(self) -> Any:
        deadline = time.monotonic() + self._sockets.total_seconds
        self.response_class = partial(_BoundedResponse, deadline=deadline)  # type: ignore[assignment]
        return super().getresponse()


class _WatchedSecure(_Watched, HTTPSConnection):
    """The same over TLS."""


class _BoundedResponse(http.client.HTTPResponse):
    """An answer whose headers and body must be complete before a deadline, however slowly they drip."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_DeadlineReader(raw, deadline), BUFFER_BYTES)


@dataclass(eq=False)
class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a deadline; each single read is bounded by the socket's own timeout."""

    raw: io.RawIOBase
    deadline: float

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self.deadline:
            raise TimeoutError("the answer was not complete in time")
        return self.raw.readinto(buffer)

    def close(self) -> None:
        self.raw.close()
        super().close()


def _environment(origin: str) -> dict[str, Any]:
    """Return proxies, CA bundle and client certificate of the environment; loopback needs no proxy."""
    with requests.Session() as session:
        settings = session.merge_environment_settings(origin, {}, None, None, None)
    proxies = {} if is_loopback(urlsplit(origin).hostname or "") else settings["proxies"]
    return {"proxies": proxies, "verify": settings["verify"], "cert": settings["cert"]}


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # already closed
        # The plain socket's method: TLS's own would first drop its session under the reading thread.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _private_address(host: str) -> str:
    return (
        f"{host} is an address in a private network: check the base URL, or list its host in"
        " CANVAS_ALLOWED_INSECURE_HOSTS if your Canvas is really there."
    )
