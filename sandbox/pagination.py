"""Canvas's two families of pages and the Link header (canvas_contract.md, part 1)."""

from __future__ import annotations

import base64
import bisect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

PER_PAGE = 10
MAX_PER_PAGE = 100
LINK_CAP_BYTES = 6144
EMISSION_ORDER = ("current", "next", "prev", "first", "last")
# Which links stay when all of them together are longer than the cap.
LINK_PRIORITY = ("next", "last", "prev", "current", "first")
_NOT_ECHOED = frozenset(("page", "per_page", "access_token", "api_key"))

Key = Callable[[Any], list[Any]]


@dataclass(frozen=True, slots=True)
class PageOf:
    """The items of one page and the page tokens it links to."""

    items: Sequence[Any]
    tokens: dict[str, str]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a listing is cut: `holes` puts an empty page first, `overlap` repeats the row before each page."""

    per_page: int
    holes: bool = False
    overlap: bool = False


def clamp_per_page(text: str | None) -> int:
    """Rows a page: 10 if not asked for, otherwise 1 to 100, whatever was asked for."""
    if text is None:
        return PER_PAGE
    digits = text.strip()
    asked = int(digits) if digits.lstrip("-").isdigit() else 0
    return min(max(asked, 1), MAX_PER_PAGE)


def encode_bookmark(key: list[Any]) -> str:
    """`bookmark:` and the URL-safe base64, without padding, of the key's JSON."""
    text = json.dumps(key, separators=(",", ":"))
    return "bookmark:" + base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode_bookmark(token: str | None) -> list[Any] | None:
    """The key of a bookmark; None, hence the first page, for anything that is none, a number included."""
    prefix, _, text = (token or "").partition(":")
    if prefix != "bookmark":
        return None
    try:
        key = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        return None
    return key if isinstance(key, list) else None


def ordinal_page(items: Sequence[Any], token: str | None, layout: Layout, *, counted: bool) -> PageOf:
    """A numbered page; `counted` listings say which page is the last. Beyond the end there are no rows."""
    number = int(token) if token and token.isdigit() and int(token) > 0 else 1
    size = layout.per_page
    last = max(1, -(-len(items) // size)) + (1 if layout.holes else 0)
    start = (number - (2 if layout.holes else 1)) * size
    shown = items[max(0, start - (1 if layout.overlap else 0)) : max(0, start + size)]
    tokens = {"current": str(number), "first": "1"}
    if number > 1:
        tokens["prev"] = str(number - 1)
    if number < last:
        tokens["next"] = str(number + 1)
    if counted:
        tokens["last"] = str(last)
    return PageOf(shown, tokens)


def _after(items: Sequence[Any], mark: list[Any], key: Key) -> int:
    try:
        return bisect.bisect_right(items, mark, key=key)
    except TypeError:  # a bookmark of another listing
        return 0


def bookmark_page(items: Sequence[Any], key: Key, token: str | None, layout: Layout) -> PageOf:
    """The page behind a bookmark; `items` are sorted by `key`. There is no last page and no way to count."""
    mark = decode_bookmark(token)
    tokens = {"current": token if mark is not None and token else "first", "first": "first"}
    if layout.holes and mark is None:
        # A mark before every key: the same rows again, under another token.
        return PageOf([], {**tokens, "next": encode_bookmark([])})
    start = _after(items, mark, key) if mark else 0
    end = start + layout.per_page
    if end < len(items):
        tokens["next"] = encode_bookmark(key(items[end - 1]))
    return PageOf(items[start - (1 if layout.overlap and start else 0) : end], tokens)


def page_links(
    base: str, query: Sequence[tuple[str, str]], tokens: dict[str, str], per_page: int
) -> dict[str, str]:
    """The addresses of the pages linked to, by name; `base` is the listing's without a query."""
    kept = [(name, value) for name, value in query if name not in _NOT_ECHOED]
    stem = base + "?" + (urlencode(kept, quote_via=quote, safe="") + "&" if kept else "")
    return {
        name: f"{stem}page={quote(token, safe=':')}&per_page={per_page}" for name, token in tokens.items()
    }


def link_header(links: dict[str, str]) -> str:
    """The Link header; past 6 KB links are dropped by priority, so that even `next` may be missing."""
    kept, room = [], LINK_CAP_BYTES
    for name in LINK_PRIORITY:
        room -= len(links.get(name, ""))
        if room < 0:
            break
        kept.append(name)
    return ",".join(
        f'<{links[name]}>; rel="{name}"' for name in EMISSION_ORDER if name in links and name in kept
    )
