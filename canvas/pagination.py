"""How a Canvas listing continues: the Link header, pages fetched side by side, and signs of breakage.

Rules from canvas-lms `lib/api.rb`: `next` until it is missing; page tokens are ordinal (`page=2`, with
`rel="last"`) or bookmarks (`page=bookmark:…`, never with `rel="last"`); a short or empty page is not the
end; all links together stay under 6 KB, and a `next` that does not fit is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

from canvas.errors import BrokenListing, WrongAddress

RELATIONS = ("current", "next", "prev", "first", "last")
LINK_CAP_BYTES = 6144
# What a bookmark may add to the URL we asked with.
BOOKMARK_ALLOWANCE_BYTES = 512
# Beyond this a `last` link is followed page by page rather than believed.
MAX_FAN_OUT_PAGES = 10_000

_ENTRY = re.compile(r"<([^>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:\"[^\"]*\"|[^\s;,]*))?)*)")
_REL = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,]*))", re.IGNORECASE)
_PAGE = re.compile(r"([?&]page=)([^&#]*)")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class PageLinks:
    """The links of one page as absolute URLs, `None` where Canvas sent none."""

    current: str | None = None
    next: str | None = None
    prev: str | None = None
    first: str | None = None
    last: str | None = None


def parse_links(header: str | None, request_url: str) -> PageLinks:
    """Read a Link header in any case, order and spacing; relative URLs are taken from `request_url`."""
    found: dict[str, str] = {}
    for address, parameters in _ENTRY.findall(header or ""):
        rel = _REL.search(parameters)
        for name in (rel.group(1) or rel.group(2) or "").lower().split() if rel else ():
            if name in RELATIONS and address.strip():
                found.setdefault(name, _absolute(address.strip(), request_url))
    return PageLinks(**found)


def page_token(url: str) -> str | None:
    """Return the decoded `page` parameter of a URL, which says where in the listing it stands."""
    match = _PAGE.search(url)
    return unquote(match.group(2)) if match else None


def is_further_page(url: str) -> bool:
    """Tell whether a URL asks for a page of a listing that is not its first."""
    return page_token(url) not in (None, "", "1", "first")


def page_urls(links: PageLinks) -> tuple[str, ...]:
    """Return the URLs of pages 2 to last of a first page, or nothing where the listing must be walked.

    Only ordinal tokens can be counted: a number put in place of a bookmark is read as "first page"
    again. So the second URL we would build must be exactly the `next` Canvas sent.
    """
    if not links.next or not links.last:
        return ()
    last = page_token(links.last) or ""
    if not _is_ordinal(last) or not 2 <= int(last) <= MAX_FAN_OUT_PAGES:
        return ()
    if _with_page(links.last, 2) != links.next:
        return ()
    return tuple(_with_page(links.last, number) for number in range(2, int(last) + 1))


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL in one spelling, such as `https://canvas.example.edu`.

    Raises `WrongAddress` when the URL has none, or holds a user name.
    """
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in _PORTS or not host or "@" in parts.netloc or "\\" in parts.netloc:
        raise WrongAddress("The address is not a web address: give it as https://canvas.example.edu.")
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if port in (None, _PORTS[scheme]) else f"{scheme}://{host}:{port}"


def path_on(url: str, origin: str) -> str:
    """Return path and query of a URL that stands on `origin`; raises `BrokenListing` for any other."""
    if url.startswith(origin) and url[len(origin) : len(origin) + 1] == "/":
        return url[len(origin) :].partition("#")[0]
    try:
        same = origin_of(url) == origin
    except WrongAddress:
        same = False
    if not same:
        raise BrokenListing(
            f"Canvas's next link leaves {origin}: the token is not sent there;"
            " check the base URL of the connection and the proxy in front of Canvas."
        )
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def may_have_lost_next(url: str) -> bool:
    """Say whether a page of this URL without `next` proves nothing.

    Canvas leaves out a `next` that does not fit under its cap on links. The link is our own URL with
    another page token, so a URL close to the cap cannot be told from a last page.
    """
    return len(url.encode()) + BOOKMARK_ALLOWANCE_BYTES > LINK_CAP_BYTES


def is_cut_short(links: PageLinks, url: str) -> bool:
    """Say whether a page has no `next` although its numbered listing goes on after it."""
    here, last = page_token(url) or "1", page_token(links.last or "") or ""
    return not links.next and _is_ordinal(here) and _is_ordinal(last) and int(here) < int(last)


class Walk:
    """The places one listing has been to; raises `BrokenListing` on coming back to any."""

    def __init__(self) -> None:
        """Begin with no page seen. Hashes are kept, not URLs: a chain has thousands of long ones."""
        self._seen: set[int] = set()

    def step(self, url: str) -> str:
        """Take note of a page about to be fetched, and return its URL."""
        place = hash(page_token(url) or url)
        if place in self._seen:
            raise BrokenListing(
                "Canvas's next link leads back to a page already read: sync again, and tell the Canvas"
                " administrator if it stays so."
            )
        self._seen.add(place)
        return url


def _absolute(address: str, request_url: str) -> str:
    if address.startswith(("https://", "http://")):
        return address
    try:
        return urljoin(request_url, address)
    except ValueError:
        return address


def _is_ordinal(token: str) -> bool:
    return token.isascii() and token.isdigit() and len(token) < 10


def _with_page(url: str, number: int) -> str:
    return _PAGE.sub(rf"\g<1>{number}", url, count=1)
