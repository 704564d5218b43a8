"""What Canvas's answer means: its decoded body and time, or the error that says what to do."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson

from canvas.errors import (
    BadRequest,
    BrokenListing,
    CanvasError,
    InvalidAssignmentIds,
    NotFound,
    NotPermitted,
    Throttled,
    TokenRejected,
    Unavailable,
    WrongAddress,
)
from easel.redaction import clean, redact

MAX_BODY_BYTES = 64 * 1024 * 1024
QUOTED_CHARACTERS = 200
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One HTTP answer: status, headers (looked up in any case), body after decompression, bytes received."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received: int = 0

    @property
    def throttled(self) -> bool:
        """Whether Canvas refused for too many requests: 429, or its older 403 whose body says so."""
        return self.status == 429 or (self.status == 403 and b"rate limit exceeded" in self.body.lower())

    @property
    def retry_after(self) -> float | None:
        """Seconds Canvas asks us to wait: `Retry-After` as a number or a date, counted by Canvas's clock."""
        value = self.headers.get("Retry-After", "").strip()
        if value.isascii() and value.isdigit():
            return float(value)
        until = _http_date(value)
        return max(0.0, (until - self.as_of).total_seconds()) if until else None

    @property
    def as_of(self) -> datetime:
        """When Canvas said this: its Date header, else our own clock."""
        return _http_date(self.headers.get("Date", "")) or datetime.now(UTC)


def inflate(body: bytes, encoding: str) -> bytes:
    """Undo the content encoding. Raises `Unavailable` when garbled, `BrokenListing` when too large."""
    if encoding in ("", "identity"):
        return body
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = stream.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise Unavailable("Canvas's answer is garbled, not the gzip it was asked for: try later.") from None
    if len(plain) > MAX_BODY_BYTES:
        raise too_large()
    if not stream.eof:
        raise Unavailable("Canvas's answer was cut short: try later.")
    return plain


def too_large() -> BrokenListing:
    """Return the error for a body nobody should hold in memory."""
    return BrokenListing(
        f"Canvas's answer is larger than {MAX_BODY_BYTES // 2**20} MB: ask for fewer fields or smaller pages."
    )


def decode(body: bytes) -> Any:
    """Decode JSON into values whose text holds no NUL and no lone surrogate, which databases refuse.

    Raises `ValueError` when it is no JSON. Integers beyond 64 bits come as floats from the fast decoder.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        # The strict decoder refuses a page for one student's lone surrogate, raw control or bad byte.
        try:
            value = json.loads(body.decode("utf-8", "replace"), strict=False, parse_constant=lambda _: None)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        return _clean_text(value)
    has_nul = b"\\" in body and b"\\u0000" in body  # one byte is found much faster than six
    return _clean_text(value) if has_nul else value


def failure_of(answer: RawAnswer, path: str, origin: str, token: str) -> CanvasError | None:
    """Return the error an answer stands for, or None for one with a usable status (2xx).

    Statuses and bodies as in canvas-lms `application_controller.rb` and `lib/api/errors.rb`.
    """
    if 200 <= answer.status < 300:
        return None
    if answer.throttled:
        return Throttled(
            "Canvas keeps refusing for too many requests at once: lower the concurrency, or wait for what"
            " else uses this token.",
            answer.retry_after,
        )
    if answer.status >= 500:
        return Unavailable(f"Canvas answers {answer.status} for {path}: try later.", answer.retry_after)
    if answer.status < 400:
        return _redirected(answer, origin)
    said = _quote(_said_by(answer), token)
    error = _refused(answer, path, origin, said)
    error.said = said
    return error


def undecodable(answer: RawAnswer, path: str, origin: str) -> CanvasError:
    """Return the error for a 2xx answer whose body is no JSON: cut short, or not Canvas's at all."""
    kind = answer.headers.get("Content-Type", "")
    if "json" in kind.lower() or answer.body[:1] in (b"", b"[", b"{"):
        return Unavailable(f"Canvas's answer for {path} was cut short or garbled: try later.")
    return _not_canvas(origin)


def _refused(answer: RawAnswer, path: str, origin: str, said: str) -> CanvasError:
    status, lower = answer.status, said.lower()  # the message decides where the status alone cannot
    if status == 401 and (answer.headers.get("WWW-Authenticate") or "invalid access token" in lower):
        return TokenRejected(f"Canvas does not accept the token{_because(said)}: make a new one in Canvas.")
    if "insufficient scopes" in lower:
        return NotPermitted(f"The token's scopes leave out {path}: add the scope to its developer key.")
    if status == 403 and "invalid assignment ids requested" in lower:
        return InvalidAssignmentIds(
            f"Canvas serves no submissions of some assignment asked of {path}: ask without unpublished ones."
        )
    if status in (403, 404) and _is_web_page(answer):
        return _not_canvas(origin)
    if status in (401, 403):
        return NotPermitted(f"The token may not read {path}{_because(said)}: its owner needs the permission.")
    if status == 404:
        return NotFound(f"Canvas has no {path}{_because(said)}: check the id.")
    return BadRequest(f"Canvas answers {status} for {path}{_because(said)}: check what was asked.")


def _redirected(answer: RawAnswer, origin: str) -> WrongAddress:
    target = urlsplit(answer.headers.get("Location", "")).hostname
    where = f" to {clean(target, QUOTED_CHARACTERS)}" if target else ""
    return WrongAddress(f"{origin} redirects{where}: give the address of Canvas itself as the base URL.")


def _not_canvas(origin: str) -> WrongAddress:
    return WrongAddress(
        f"What answers at {origin} is not Canvas's API but a web page:"
        " check the base URL and any proxy or firewall in front of it."
    )


def _is_web_page(answer: RawAnswer) -> bool:
    return "html" in answer.headers.get("Content-Type", "").lower()


def _because(said: str) -> str:
    return f" ({said})" if said else ""


def _quote(said: str, token: str) -> str:
    return clean(redact(said, (token,)), QUOTED_CHARACTERS).rstrip(".")


def _said_by(answer: RawAnswer) -> str:
    """Find Canvas's own short message in the shapes its controllers use."""
    try:
        body = decode(answer.body)
    except ValueError:
        return ""
    return _first_text(body) if isinstance(body, dict) else ""


def _first_text(value: Any, depth: int = 4) -> str:
    if isinstance(value, str) or not depth:
        return value if isinstance(value, str) else ""
    if isinstance(value, list):
        return _first_text(value[0], depth - 1) if value else ""
    if not isinstance(value, dict):
        return ""
    known = [value[name] for name in ("errors", "message", "error") if value.get(name)]
    return _first_text(known[0] if known else next(iter(value.values()), ""), depth - 1)


@lru_cache(maxsize=64)
def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _clean_text(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value.replace("\0", ""))
    if isinstance(value, list):
        return [_clean_text(item) for item in value]
    if isinstance(value, dict):
        return {_clean_text(key): _clean_text(item) for key, item in value.items()}
    return value
