"""What the client hands over: an answer, a page of a listing, the record of a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from canvas import answers
from canvas.errors import BrokenListing


class RequestRecord(NamedTuple):
    """One HTTP attempt, for whoever counts them.

    `failed`: it gave no usable answer; `retried`: and it will be made again; `throttled`: because Canvas
    refused for too many requests. `status` is None where no answer came. `bytes` as received, compressed.
    `waited_ms`: how long it was held back before it was sent, because others were refused, or failed.
    `paginated`: it asked for a further page of a listing. `ended_at` in POSIX seconds.
    """

    method: str
    path: str
    status: int | None
    duration_ms: float
    throttled: bool
    retried: bool
    failed: bool
    bytes: int
    waited_ms: float = 0.0
    paginated: bool = False
    ended_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded JSON body, when Canvas said it (aware, UTC), and the headers worth keeping.

    `json` is the body before it was decoded.
    """

    body: Any
    as_of: datetime
    headers: dict[str, str]
    url: str
    json: bytes = b""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing. `rows` are as decoded, whatever they are; `fan_out` are pages 2 to last.

    `json` is what the rows were decoded from, under the key `wrapper` where there is one.
    """

    rows: list[Any]
    as_of: datetime
    next_url: str | None
    fan_out: tuple[str, ...]
    url: str
    json: bytes = b""
    wrapper: str | None = None

    @classmethod
    def read_again(cls, json: bytes, wrapper: str | None, as_of: datetime, url: str) -> Page:
        """Return a page from what was kept of it, without the links that were followed already."""
        return cls(rows_of(answers.decode(json), wrapper), as_of, None, (), url, json, wrapper)


def rows_of(body: Any, wrapper: str | None) -> list[Any]:
    """Return the rows of a decoded body, under the key `wrapper` where there is one.

    Raises `BrokenListing` when they are no list.
    """
    rows = body.get(wrapper) if wrapper and isinstance(body, dict) else body
    if not isinstance(rows, list):
        raise BrokenListing(
            f"Canvas sent no list{f' under {wrapper!r}' if wrapper else ''} where one belongs:"
            " check that the base URL is Canvas itself and that its version is supported."
        )
    return rows
