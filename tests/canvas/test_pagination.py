from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas.errors import BrokenListing, WrongAddress
from canvas.pagination import (
    RELATIONS,
    PageLinks,
    Walk,
    may_have_lost_next,
    origin_of,
    page_token,
    page_urls,
    parse_links,
    path_on,
)

BASE = "https://canvas.example.edu/api/v1/courses"
HERE = f"{BASE}?per_page=100"


def ordinal(page: object) -> str:
    return f"{BASE}?page={page}&per_page=100"


def test_parse_links_reads_what_canvas_sends():
    header = ",".join(
        f'<{ordinal(page)}>; rel="{rel}"'
        for rel, page in [("current", 1), ("next", 2), ("first", 1), ("last", 9)]
    )
    assert parse_links(header, HERE) == PageLinks(
        current=ordinal(1), next=ordinal(2), first=ordinal(1), last=ordinal(9)
    )


@pytest.mark.parametrize(
    "header",
    [
        f"<{ordinal(2)}>;rel=next",
        f'  < {ordinal(2)} > ; REL = "Next" ',
        f'<{ordinal(2)}>; title="a, b; c"; rel="next"',
        f'<{ordinal(2)}>; rel="prefetch next"',
        f'<{ordinal(2)}>; rel="next", <{ordinal(3)}>; rel="next"',
        '</api/v1/courses?page=2&per_page=100>; rel="next"',
        '<?page=2&per_page=100>; rel="next"',
        f'<>; rel="next", <{ordinal(2)}>; rel="next"',
    ],
)
def test_parse_links_is_tolerant(header):
    assert parse_links(header, HERE) == PageLinks(next=ordinal(2))


@pytest.mark.parametrize("header", [None, "", "rubbish", "<", f"<{ordinal(2)}>", f'<{ordinal(2)}>; rel="up"'])
def test_parse_links_finds_nothing_where_nothing_is(header):
    assert parse_links(header, HERE) == PageLinks()


links = st.dictionaries(
    st.sampled_from(RELATIONS),
    st.tuples(st.text(max_size=20), st.text(min_size=1, max_size=30)).map(
        lambda parts: f"{BASE}/{quote(parts[0])}?page=bookmark:{quote(parts[1], safe=',;=')}"
    ),
)


@given(links, st.randoms(), st.sampled_from([",", ", ", " ,\t"]), st.sampled_from(["rel", "Rel"]))
def test_parse_links_round_trips(found, random, comma, rel):
    entries = [f'<{url}>; {rel}="{name}"' for name, url in found.items()]
    random.shuffle(entries)
    assert parse_links(comma.join(entries), HERE) == PageLinks(**found)


@given(st.text(max_size=200))
def test_parse_links_never_raises(header):
    parse_links(header, HERE)


def test_page_urls_counts_ordinal_pages():
    assert page_urls(PageLinks(next=ordinal(2), last=ordinal(4))) == (ordinal(2), ordinal(3), ordinal(4))


@pytest.mark.parametrize(
    "found",
    [
        PageLinks(),
        PageLinks(next=ordinal(2)),
        PageLinks(last=ordinal(1)),
        PageLinks(next=ordinal("bookmark:WzFd"), last=ordinal(4)),
        PageLinks(next=ordinal("bookmark:WzFd"), last=ordinal("bookmark:Wzld")),
        PageLinks(next=ordinal(3), last=ordinal(4)),
        PageLinks(next=ordinal(2), last=ordinal(10**8)),
        PageLinks(next=ordinal(2), last=ordinal("²")),
        PageLinks(next=ordinal(2), last="https://elsewhere.example/api/v1/courses?page=4&per_page=100"),
        PageLinks(next=ordinal(2), last=f"{BASE}/other?page=4&per_page=100"),
    ],
)
def test_page_urls_walks_whatever_cannot_be_counted(found):
    assert page_urls(found) == ()


def test_page_token_is_decoded_and_not_per_page():
    assert page_token(f"{BASE}?per_page=100&page=bookmark%3AWzFd") == "bookmark:WzFd"
    assert page_token(HERE) is None


def test_walk_refuses_a_page_it_has_seen_in_any_spelling():
    walk = Walk()
    assert walk.step(HERE) == HERE
    walk.step(ordinal("bookmark:a"))
    walk.step(ordinal("bookmark:b"))
    with pytest.raises(BrokenListing, match="back to a page"):
        walk.step(f"{BASE}?per_page=100&x=1&page=bookmark%3Aa")


def test_lost_next_is_suspected_only_near_the_cap():
    ids = "&".join(f"assignment_ids%5B%5D={1000 + number}" for number in range(60))
    assert not may_have_lost_next(f"{BASE}?{ids}")
    assert may_have_lost_next(f"{BASE}?{'x' * 6000}")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Canvas.Example.edu:443/x?y", "https://canvas.example.edu"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
    ],
)
def test_origin_has_one_spelling(url, origin):
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "canvas.example.edu",
        "ftp://canvas.example.edu",
        "https://",
        "https://user@canvas.example.edu",
        "https://canvas.example.edu\\@evil.example",
        "https://canvas.example.edu:x",
        "https://[::1",
    ],
)
def test_origin_of_anything_else_is_refused(url):
    with pytest.raises(WrongAddress):
        origin_of(url)


def test_path_on_gives_path_and_query():
    origin = "https://canvas.example.edu"
    assert path_on(f"{origin}/api/v1/x?page=2#f", origin) == "/api/v1/x?page=2"
    assert path_on("https://CANVAS.example.edu:443/api/v1/x?page=2", origin) == "/api/v1/x?page=2"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/api/v1/x",
        "http://canvas.example.edu/api/v1/x",
        "https://canvas.example.edu:8443/api/v1/x",
        "https://canvas.example.edu.evil.example/api/v1/x",
        "https://canvas.example.edu@evil.example/api/v1/x",
        "//evil.example/x",
    ],
)
def test_path_on_another_site_is_refused(url):
    with pytest.raises(BrokenListing, match="leaves"):
        path_on(url, "https://canvas.example.edu")
