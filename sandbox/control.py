"""The control endpoints under `/__sandbox__/`: the truth, the request log, edits, faults and settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from sandbox.api import Reply, Request, json_reply
from sandbox.edits import EditError
from sandbox.faults import FaultError
from sandbox.state import RESOURCES

if TYPE_CHECKING:
    from sandbox.server import Sandbox

PREFIX = "/__sandbox__/"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_CHUNK_ROWS = 500


def answer(sandbox: Sandbox, request: Request) -> Reply | Iterator[bytes]:
    """The answer to a control request; the truth comes in pieces, being too large for one."""
    # A page in somebody's browser could reach loopback under a name of its own.
    if request.headers.get("host", "").rpartition(":")[0] not in LOOPBACK:
        return _error(403, "The control endpoints answer on loopback only.")
    handler = ROUTES.get((request.method, request.path.removeprefix(PREFIX).rstrip("/")))
    if handler is None:
        known = ", ".join(f"{method} {PREFIX}{name}" for method, name in ROUTES)
        return _error(404, f"There are {known}.")
    try:
        return handler(sandbox, request)
    except (EditError, FaultError, ValueError) as error:
        return _error(400, str(error))


def _error(status: int, message: str) -> Reply:
    return json_reply(status, orjson.dumps({"error": message}))


def _json(body: Any) -> Reply:
    return json_reply(200, orjson.dumps(body))


def _decoded(request: Request) -> Any:
    return orjson.loads(request.body or b"{}")


def _state(sandbox: Sandbox, request: Request) -> Iterator[bytes]:
    wanted = [value for name, value in parse_qsl(request.query) if name == "resource"] or list(RESOURCES)
    unknown = [name for name in wanted if name not in RESOURCES]
    if unknown:
        raise ValueError(f"No resource {unknown[0]!r}; there are {', '.join(RESOURCES)}.")
    return _written(sandbox, wanted)


def _written(sandbox: Sandbox, wanted: list[str]) -> Iterator[bytes]:
    yield b"{"
    for place, name in enumerate(wanted):
        yield (b"," if place else b"") + orjson.dumps(name) + b":["
        separator, rows = b"", []
        for row in sandbox.rows(name):
            rows.append(orjson.dumps(row))
            if len(rows) == _CHUNK_ROWS:
                yield separator + b",".join(rows)
                separator, rows = b",", []
        yield (separator if rows else b"") + b",".join(rows) + b"]"
    yield b"}"


def _requests(sandbox: Sandbox, request: Request) -> Reply:
    after = int(dict(parse_qsl(request.query)).get("after", 0))
    entries = sandbox.requests(after)
    return _json({"requests": entries, "last": entries[-1]["n"] if entries else after})


def _clear_requests(sandbox: Sandbox, request: Request) -> Reply:
    sandbox.clear_requests()
    return _json({"requests": []})


def _edits(sandbox: Sandbox, request: Request) -> Reply:
    wanted = _decoded(request).get("edits", [])
    if not isinstance(wanted, list) or not all(isinstance(edit, dict) and "kind" in edit for edit in wanted):
        raise ValueError('Send {"edits": [{"kind": "grade"}, …]}.')
    return _json({"edits": [sandbox.edit(**edit) for edit in wanted]})


def _faults(sandbox: Sandbox, request: Request) -> Reply:
    if request.method == "POST":
        sandbox.set_faults(_decoded(request).get("faults", []))
    return _json({"faults": sandbox.faults()})


def _settings(sandbox: Sandbox, request: Request) -> Reply:
    if request.method == "POST":
        sandbox.set(**_decoded(request))
    return _json(sandbox.settings())


ROUTES: dict[tuple[str, str], Callable[[Sandbox, Request], Reply | Iterator[bytes]]] = {
    ("GET", "state"): _state,
    ("GET", "requests"): _requests,
    ("DELETE", "requests"): _clear_requests,
    ("POST", "edits"): _edits,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _faults,
    ("GET", "settings"): _settings,
    ("POST", "settings"): _settings,
}
