"""Both families of pages, as a client meets them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.pagination import (
    LINK_CAP_BYTES,
    Layout,
    bookmark_page,
    clamp_per_page,
    decode_bookmark,
    encode_bookmark,
    link_header,
    ordinal_page,
    page_links,
)
from tests.sandbox.conftest import ALL, BULK, COURSE, Client


@pytest.mark.parametrize(
    ("asked", "given_"), [(None, 10), ("50", 50), ("1000", 100), ("0", 1), ("-3", 1), ("many", 1)]
)
def test_per_page_is_clamped_and_never_an_error(asked: str | None, given_: int) -> None:
    assert clamp_per_page(asked) == given_


def test_ordinal_pages_have_a_last_and_none_beyond_it(still: Client) -> None:
    first = still.get("accounts/1/users", {"per_page": 6, "sort": "id"})
    assert list(first.links) == ["current", "next", "first", "last"]
    assert first.links["last"]["url"].endswith("page=4&per_page=6")
    beyond = still.get("accounts/1/users", {"per_page": 6, "page": 9})
    assert (beyond.status_code, beyond.json(), "next" in beyond.links) == (200, [], False)


def test_link_header_is_written_as_canvas_writes_it(still: Client) -> None:
    answer = still.get("accounts/1/courses", {"include[]": "term", "per_page": 2, "access_token": "secret"})
    header = answer.headers["Link"]
    base = f"{still.canvas.url}/api/v1/accounts/1/courses?include%5B%5D=term"
    assert header.startswith(
        f'<{base}&page=1&per_page=2>; rel="current",<{base}&page=2&per_page=2>; rel="next",'
    )
    assert "secret" not in header


def test_searches_are_not_counted(still: Client) -> None:
    answer = still.get("accounts/1/users", {"search_term": "user0", "per_page": 5})
    assert "next" in answer.links
    assert "last" not in answer.links


def test_bookmarked_pages_have_no_last_and_yield_every_row_once(still: Client) -> None:
    pages = still.walk(BULK, {**ALL, "per_page": 7})
    ids = [row["id"] for page in pages for row in page.json()]
    assert ids == sorted(set(ids))
    assert len(pages) == -(-len(ids) // 7)
    assert all("last" not in page.links and "prev" not in page.links for page in pages)
    assert "page=bookmark:" in pages[0].links["next"]["url"]


@pytest.mark.parametrize("token", ["2", "bookmark:!!", "bookmark:bm90IGpzb24", "bookmark:WyJhIl0", "first"])
def test_a_page_that_is_no_bookmark_is_the_first_again(still: Client, token: str) -> None:
    first = still.get(BULK, ALL).json()
    assert still.get(BULK, {**ALL, "page": token}).json() == first


def test_bookmarks_survive_rows_that_go(canvas, client: Client) -> None:
    first = client.get(BULK, {**ALL, "per_page": 10})
    gone = first.json()[-1]
    canvas.edit("drop_student", course_id=COURSE, user_id=gone["user_id"])
    second = client.get(first.links["next"]["url"]).json()
    assert second[0]["id"] > gone["id"]


def test_past_six_kilobytes_of_links_only_next_is_left_and_then_nothing(still: Client) -> None:
    def links(count: int) -> set[str]:
        answer = still.get(
            BULK, [("student_ids[]", "all"), ("per_page", 5)] + [("assignment_ids[]", 5000001)] * count
        )
        assert answer.status_code == 200
        return set(answer.links)

    assert links(40) == {"current", "next", "first"}
    assert links(80) == {"current", "next"}
    assert links(120) == {"next"}
    assert links(240) == set()


def test_descending_order_falls_back_to_numbered_pages(still: Client) -> None:
    pages = still.walk(BULK, {**ALL, "per_page": 20, "order_direction": "descending"})
    assert "last" in pages[0].links
    ids = [row["id"] for page in pages for row in page.json()]
    assert ids == sorted(ids, reverse=True)


def test_order_by_graded_at_is_bookmarked_too(still: Client) -> None:
    rows = still.rows(BULK, {**ALL, "per_page": 9, "order": "graded_at"})
    keys = [(row["graded_at"] or "", row["id"]) for row in rows]
    assert keys == sorted(keys)
    assert {row["id"] for row in rows} == {row["id"] for row in still.rows(BULK, ALL)}


@settings(max_examples=50)
@given(st.lists(st.one_of(st.integers(), st.text())))
def test_bookmarks_can_be_read_back(key: list) -> None:
    token = encode_bookmark(key)
    assert re.fullmatch(r"bookmark:[\w-]*", token)
    assert decode_bookmark(token) == key


@settings(max_examples=50)
@given(st.integers(0, 60), st.integers(1, 20), st.booleans())
def test_any_layout_yields_every_row(count: int, per_page: int, holes: bool) -> None:
    items = list(range(count))
    layout = Layout(per_page, holes=holes)
    seen: dict[str, list[int]] = {"ordinal": [], "bookmark": []}
    token: str | None = "1"
    while token:
        page = ordinal_page(items, token, layout, counted=True)
        seen["ordinal"] += page.items
        token = page.tokens.get("next")
    token = "first"
    while token:
        page = bookmark_page(items, lambda item: [item], token, layout)
        seen["bookmark"] += page.items
        token = page.tokens.get("next")
    assert seen == {"ordinal": items, "bookmark": items}


@settings(max_examples=50)
@given(st.integers(0, 400))
def test_links_never_pass_the_cap_together(length: int) -> None:
    tokens = {"current": "1", "next": "2", "first": "1", "last": "9"}
    links = page_links("http://x/y", [("a[]", "b" * 20)] * length, tokens, 100)
    kept = re.findall(r"<([^>]*)>", link_header(links))
    assert sum(map(len, kept)) <= LINK_CAP_BYTES
