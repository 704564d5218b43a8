"""What a line of SFTPGo says: decoded by type, sorted by kind, made a row.

The fields of each kind, and since which version, are those of SFTPGo's `internal/logger` from 0.9 to
2.7; docs/transfers.md lists what becomes of each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from logmonitor.models import LogLine

MARKER = b'{"level":"'
"""How every line begins. Within a text quotes are escaped, so it is nowhere else."""

MOST = 1 << 60
"""A size beyond this is no size; sums of such numbers would not fit 64 bits."""

SHORT_LINE = 1_000
"""A line of so many bytes holds no text that is too long for its column."""

LIMITS = {"connection_id": 200, "username": 255, "address": 64, "sender": 100, "level": 20, "protocol": 40}
LONGEST_TEXT = 4_000
LONGEST_LINE = 1 << 20
LONGEST_RAW = 65_536
"""Of the bytes of a bad line, so many are kept."""

MASK = "[redacted]"

Flag = LogLine.Flag
# Plain numbers: arithmetic with members of an enumeration takes ten times as long.
CLAMPED, CUT, CLEANED, RECOVERED = int(Flag.CLAMPED), int(Flag.CUT), int(Flag.CLEANED), int(Flag.RECOVERED)


class Line(NamedTuple):
    """A row of `LogLine`, in the order of its columns.

    `at` is UTC as `2026-11-22 08:15:30.123000`, `day` the local day as `2026-11-22`, `kind` and
    `outcome` the values of their choices. Texts hold no control characters.
    """

    id: int
    source_id: int
    at: str
    day: str
    kind: str
    sender: str
    level: str
    username: str
    address: str
    protocol: str
    outcome: str
    size_bytes: int | None
    elapsed_ms: int | None
    path: str
    target_path: str
    connection_id: str
    message: str
    flags: int


# fmt: off
Row = tuple[
    int, int, str, str, str, str, str, str, str, str, str, int | None, int | None, str, str, str, str, int,
]
# fmt: on
"""A `Line`, or a plain tuple of its values: SQLite's driver takes those in three quarters of the time."""


@dataclass(frozen=True, slots=True)
class Bad:
    """Bytes that are no line: where they stand in the file, how many they are, the first of them."""

    offset: int
    length: int
    raw: bytes
    reason: str


@dataclass(slots=True)
class Decoded:
    """What a run of bytes holds: lines, what is none, and how many zeros stood between them."""

    lines: list[Row] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    hole_bytes: int = 0


# In the order in which SFTPGo writes them: the decoder then finds each at its first guess.
class Wire(msgspec.Struct, gc=False):
    """The fields that we read, of all kinds and versions; what else a line holds is skipped."""

    level: str = ""
    time: str = ""
    sender: str = ""
    local_addr: str = ""
    remote_addr: str = ""
    elapsed_ms: int | None = None
    size_bytes: int | None = None
    username: str = ""
    file_path: str = ""
    virtual_path: str = ""
    target_path: str = ""
    virtual_target_path: str = ""
    connection_id: str = ""
    protocol: str = ""
    error: str = ""
    message: str = ""
    size: int | None = None
    elapsed: int | None = None
    method: str = ""
    uri: str = ""
    resp_status: int | None = None
    resp_size: int | None = None
    panic: Any = None
    client_ip: str = ""
    host: str = ""
    login_type: str = ""
    ip: str = ""
    client: str = ""
    event: str = ""
    score: int | None = None
    clientIp: str = ""
    line: str = ""
    err: str = ""


class Loose(msgspec.Struct, gc=False):
    """A message whose other fields are not of the types that SFTPGo gives them: plugins add their own."""

    level: str = ""
    time: str = ""
    sender: str = ""
    message: Any = None
    connection_id: Any = None


decode_wire = msgspec.json.Decoder(Wire).decode
decode_loose = msgspec.json.Decoder(Loose).decode
REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

COMMANDS = (
    "Rename",
    "Rmdir",
    "Mkdir",
    "Symlink",
    "Remove",
    "Chmod",
    "Chown",
    "Chtimes",
    "Truncate",
    "Copy",
    "SSHCommand",
)
TRANSFERS = ("Upload", "Download")
STRICT = frozenset([*COMMANDS, *TRANSFERS])

Build = Callable[[Wire, int, int, str, str], Row]


def _transfer(wire: Wire, key: int, source: int, at: str, day: str) -> Row:
    size, elapsed = wire.size_bytes, wire.elapsed_ms
    if wire.message or size is None or elapsed is None:
        return _no_transfer(wire, key, source, at, day)
    flags = 0
    if not (0 <= size <= MOST and 0 <= elapsed <= MOST):
        size, elapsed, flags = min(max(size, 0), MOST), min(max(elapsed, 0), MOST), CLAMPED
    error, level = wire.error, wire.level
    address = _address(wire.remote_addr)
    outcome = "succeeded" if not error and level != "error" else "partial" if size else "failed"
    path = wire.file_path or wire.virtual_path
    # fmt: off
    return (
        key, source, at, day, "transfer", wire.sender, level, wire.username, address, wire.protocol,
        outcome, size, elapsed, path, "", wire.connection_id, error, flags,
    )
    # fmt: on


def _no_transfer(wire: Wire, key: int, source: int, at: str, day: str) -> Row:
    """Tell a message that calls itself by the name of a transfer from a broken transfer."""
    if wire.message:
        return build_message(wire, key, source, at, day)
    raise msgspec.ValidationError("a transfer without its size or its time")


def _command(wire: Wire, key: int, source: int, at: str, day: str) -> Row:
    if wire.message:
        return build_message(wire, key, source, at, day)
    size, elapsed, flags = wire.size, wire.elapsed, 0
    if size is not None and not 0 <= size <= MOST:
        size, flags = (None, 0) if size == -1 else (min(max(size, 0), MOST), CLAMPED)
    if elapsed is not None and not 0 <= elapsed <= MOST:
        elapsed, flags = min(max(elapsed, 0), MOST), CLAMPED
    address = _address(wire.remote_addr)
    path, target = wire.file_path or wire.virtual_path, wire.target_path or wire.virtual_target_path
    # fmt: off
    return (
        key, source, at, day, "command", wire.sender, wire.level, wire.username, address, wire.protocol,
        "succeeded", size, elapsed, path, target, wire.connection_id, "", flags,
    )
    # fmt: on


def _http(wire: Wire, key: int, source: int, at: str, day: str) -> Row:
    method, uri, status = wire.method, wire.uri, wire.resp_status
    if not uri and not method:
        return build_message(wire, key, source, at, day)
    size, elapsed, flags = wire.resp_size, wire.elapsed_ms, 0
    if not 0 <= (size or 0) <= MOST or not 0 <= (elapsed or 0) <= MOST:
        size, elapsed, flags = min(max(size or 0, 0), MOST), min(max(elapsed or 0, 0), MOST), CLAMPED
    message = f"{method} {uri}" if status is None else f"{method} {uri} {status}"
    failed = (status is not None and status >= 400) or wire.error or wire.panic is not None
    if wire.error:
        message += f" {wire.error}"
    if wire.panic is not None:
        message += f" panic: {wire.panic}"
    address = _address(wire.remote_addr)
    kind, outcome = "webdav" if wire.sender == "webdavd" else "http", "failed" if failed else "succeeded"
    # fmt: off
    return (
        key, source, at, day, kind, wire.sender, wire.level, wire.username, address, wire.protocol,
        outcome, size, elapsed, "", "", wire.connection_id, message, flags,
    )
    # fmt: on


def _login_failed(wire: Wire, key: int, source: int, at: str, day: str) -> Row:
    method, error = wire.login_type, wire.error
    if method == "no_auth_tryed":  # as it is spelled up to 2.5.0
        method = "no_auth_tried"
    message = f"{method}: {error}" if method and error else method or error
    address = _address(wire.client_ip or wire.host)
    # fmt: off
    return (
        key, source, at, day, "login_failed", wire.sender, wire.level, wire.username, address, wire.protocol,
        "failed", None, None, "", "", wire.connection_id, message, 0,
    )
    # fmt: on


def _login(wire: Wire, key: int, source: int, at: str, day: str) -> Row:
    if wire.message and not wire.ip:
        return build_message(wire, key, source, at, day)
    message = f"{wire.method} {wire.client}" if wire.client else wire.method
    # fmt: off
    return (
        key, source, at, day, "login", wire.sender, wire.level, wire.username, _address(wire.ip),
        wire.protocol, "succeeded", None, None, "", "", wire.connection_id, message, 0,
    )
    # fmt: on


def _defender(wire: Wire, key: int, source: int, at: str, day: str) -> Row:
    if not wire.event:
        return build_message(wire, key, source, at, day)
    message = wire.event if wire.score is None else f"{wire.event}, score {wire.score}"
    # fmt: off
    return (
        key, source, at, day, "defender", wire.sender, wire.level, wire.username, _address(wire.client_ip),
        wire.protocol, "", None, None, "", "", wire.connection_id, message, 0,
    )
    # fmt: on


# Before 2.7.0 a login was a message; the two spellings are those of 2.x and 1.x.
_OLD_LOGIN = re.compile(
    r'User (?:"(?P<name>.*?)" logged in with "(?P<method>[^"]*)"(?:, from ip "(?P<ip>[^"]*)")?'
    r"|id: \d+, logged in with: \"(?P<method1>[^\"]*)\", username: \"?(?P<name1>[^\",]*)\"?)"
)


def build_message(wire: Wire, key: int, source: int, at: str, day: str) -> Row:
    """Return the row of what a part of SFTPGo says; before 2.7.0 logins are among it."""
    message, flags = wire.message, 0
    if "logged in with" in message and (login := _OLD_LOGIN.match(message)):
        wire.username, wire.ip = login["name"] or login["name1"] or "", login["ip"] or ""
        wire.message, wire.method = "", login["method"] or login["method1"] or ""
        return _login(wire, key, source, at, day)
    if wire.line or wire.err or wire.error or "PASS" in message:
        parts = [part for part in (message, wire.line, wire.err, wire.error) if part]
        masked = [mask_password(part) for part in parts]
        flags = CLEANED if masked != parts else 0
        message = " ".join(masked)
    client = wire.clientIp or wire.client_ip
    # fmt: off
    return (
        key, source, at, day, "app", wire.sender, wire.level, wire.username, client and _address(client),
        wire.protocol, "", None, None, "", "", wire.connection_id, message, flags,
    )
    # fmt: on


BUILDERS: dict[str, Build] = {
    **dict.fromkeys(TRANSFERS, _transfer),
    **dict.fromkeys(COMMANDS, _command),
    "httpd": _http,
    "webdavd": _http,
    "connection_failed": _login_failed,
    "login": _login,
    "defender": _defender,
}
"""Sender -> how its lines are read; any other sender is a part of SFTPGo that says something."""


def _address(text: str) -> str:
    """Return an address without its port: of `192.0.2.1:50022`, `[2001:db8::1]:50022` and bare ones."""
    host, colon, _ = text.rpartition(":")
    if ":" not in host:
        return host if colon else text
    return text[1:].partition("]")[0] if text.startswith("[") else text


# FTP clients send it in clear, and SFTPGo logs it at level debug. Within a text only capitals are the
# command; at its start any spelling is.
_PASS = re.compile(r"(^\s*(?i:PASS)|(?<![\w/])PASS)\s+(?!\[redacted\]).+", re.DOTALL)
_PASS_RAW = re.compile(
    rb'((?:^|")\s*(?i:PASS)|(?<![\w/])PASS)(?:\s|\\[tnr])+(?!\[redacted\])(?:[^"\\\n]|\\.)+'
)


def mask_password(text: str) -> str:
    """Return a text without what follows FTP's command PASS."""
    return _PASS.sub(rf"\1 {MASK}", text)


def mask_raw(raw: bytes) -> bytes:
    """Return the bytes of a line without what follows FTP's command PASS, up to the end of that text."""
    return _PASS_RAW.sub(rb"\1 " + MASK.encode(), raw)
