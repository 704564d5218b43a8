"""Every kind of fault does what it says."""

from __future__ import annotations

import itertools
import json
import random
import socket
import time
from pathlib import Path

import pytest
import requests

from sandbox import edits
from sandbox.faults import ELSEWHERE, KINDS, FaultError, Faults, Rule, parse_rule, parse_rules
from sandbox.ids import HOME_SHARD, global_id
from sandbox.server import Sandbox
from tests.sandbox.conftest import ALL, BULK, COURSE, Client

USERS = "accounts/1/users"


def test_rules_are_read_from_text() -> None:
    rules = parse_rules("500:0.25:3@/courses/1\\d+,reset,drip::2")
    assert [(rule.kind, rule.rate, rule.count, rule.path) for rule in rules] == [
        ("500", 0.25, 3, "/courses/1\\d+"),
        ("reset", 1.0, None, ""),
        ("drip", 1.0, 2, ""),
    ]


@pytest.mark.parametrize("bad", ["nonsense", "500:often", "500:1:few", "500@(", {"kind": "500", "colour": 1}])
def test_a_rule_that_makes_no_sense_is_refused(bad: object) -> None:
    with pytest.raises(FaultError):
        parse_rules([bad])


def test_rates_are_kept_and_repeat_with_the_seed() -> None:
    def struck(seed: int) -> list[bool]:
        faults = Faults([parse_rule("500:0.2")], seed)
        return [faults.pick("/x", "/x") is not None for _ in range(1000)]

    assert struck(1) == struck(1) != struck(2)
    assert 150 < sum(struck(1)) < 250


def test_layout_faults_hit_all_pages_of_a_listing_or_none() -> None:
    rule, dice = Rule("short_page", rate=0.5), random.Random(1)
    hit = {listing: {rule.strikes("/x", listing, dice) for _ in range(5)} for listing in map(str, range(200))}
    assert all(len(outcomes) == 1 for outcomes in hit.values())
    assert 70 < sum(outcomes == {True} for outcomes in hit.values()) < 130


def test_counts_and_paths_limit_a_fault(canvas: Sandbox, client: Client) -> None:
    canvas.set_faults("500:1:2@/terms")
    statuses = [client.get(path).status_code for path in ("users/self", *["accounts/1/terms"] * 3)]
    assert statuses == [200, 500, 500, 200]
    assert canvas.faults()[0]["struck"] == 2
    assert [entry["fault"] for entry in canvas.requests()] == [None, "500", "500", None]


@pytest.mark.parametrize(
    ("kind", "status", "text", "headers"),
    [
        ("500", 500, '"error_code":"internal_server_error"', {}),
        ("502", 502, "<html>", {"Content-Type": "text/html; charset=utf-8"}),
        ("html503", 503, "<!DOCTYPE html>", {"Content-Type": "text/html; charset=utf-8"}),
        ("html200", 200, "<!DOCTYPE html>", {"Content-Type": "text/html; charset=utf-8"}),
        ("unauthorized", 401, "Invalid access token.", {"WWW-Authenticate": 'Bearer realm="canvas-lms"'}),
        ("unauthorized_scope", 401, "Insufficient scopes", {"WWW-Authenticate": None}),
        ("forbidden", 403, "user not authorized", {"Content-Type": "application/json; charset=utf-8"}),
        ("not_found", 404, "does not exist", {}),
        ("throttle403", 403, "403 Forbidden (Rate Limit Exceeded)\n", {"Retry-After": None}),
        ("throttle429", 429, "429 Forbidden (Rate Limit Exceeded)\n", {"Retry-After": None}),
        ("redirect", 302, "", {"Location": f"{ELSEWHERE}/login"}),
    ],
)
def test_answers_instead_of_the_page(
    canvas: Sandbox, client: Client, kind: str, status: int, text: str, headers: dict[str, str | None]
) -> None:
    canvas.set_faults(kind)
    answer = client.get(USERS)
    assert answer.status_code == status
    assert text in answer.text
    assert {name: answer.headers.get(name) for name in headers} == headers


def test_throttle429_may_say_when_to_come_back(canvas: Sandbox, client: Client) -> None:
    canvas.set_faults([{"kind": "throttle429", "retry_after": 7}])
    assert client.get(USERS).headers["Retry-After"] == "7"
    assert canvas.requests()[-1]["throttled"] is True


# --- the wire ----------------------------------------------------------------------------------------


def test_reset_breaks_the_connection_before_a_byte(canvas: Sandbox) -> None:
    canvas.set_faults("reset")
    with socket.create_connection(("127.0.0.1", int(canvas.url.rpartition(":")[2]))) as connection:
        connection.sendall(b"GET /api/v1/users/self HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    assert canvas.requests()[-1]["status"] is None


def test_timeout_says_nothing(canvas: Sandbox, client: Client) -> None:
    canvas.set_faults([{"kind": "timeout", "count": 1}])
    with pytest.raises(requests.ReadTimeout):
        client.session.get(f"{canvas.url}/api/v1/{USERS}", timeout=0.3)
    assert client.get(USERS).status_code == 200


def test_truncated_announces_more_than_it_sends(canvas: Sandbox, client: Client) -> None:
    canvas.set_faults("truncated")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        client.get(USERS, headers={"Accept-Encoding": "identity"})


def test_cut_json_is_a_whole_answer_with_half_a_body(canvas: Sandbox, client: Client) -> None:
    whole = client.get(USERS).content
    canvas.set_faults("cut_json")
    cut = client.get(USERS)
    assert cut.status_code == 200
    assert cut.content == whole[: len(whole) // 2]
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut.content)


def test_drip_takes_its_time_and_ends_when_the_client_leaves(canvas: Sandbox, client: Client) -> None:
    canvas.set_faults([{"kind": "drip", "seconds": 0.002}])
    started = time.monotonic()
    length = len(client.get("users/self").content)
    assert time.monotonic() - started > length * 0.001
    canvas.set_faults("drip")
    with pytest.raises(requests.ConnectionError):
        client.session.get(f"{canvas.url}/api/v1/users/self", timeout=0.1)
    deadline = time.monotonic() + 30
    while len(canvas.requests()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- listings and links ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "params"), [(BULK, ALL), (USERS, {"per_page": 6}), (USERS, {"per_page": 100})]
)
def test_an_empty_page_with_next_loses_no_row(
    canvas: Sandbox, client: Client, path: str, params: dict
) -> None:
    before = client.rows(path, params)
    canvas.set_faults("empty_page_with_next")
    pages = client.walk(path, params)
    assert pages[0].json() == []
    assert [row for page in pages for row in page.json()] == before


@pytest.mark.parametrize(("path", "params"), [(BULK, {**ALL, "per_page": 20}), (USERS, {"per_page": 6})])
def test_short_pages_lose_no_row(canvas: Sandbox, client: Client, path: str, params: dict) -> None:
    before = client.rows(path, params)
    canvas.set_faults("short_page")
    pages = client.walk(path, params)
    assert {len(page.json()) for page in pages[:-1]} == {params["per_page"] // 2}
    assert [row for page in pages for row in page.json()] == before


@pytest.mark.parametrize(("path", "params"), [(BULK, {**ALL, "per_page": 20}), (USERS, {"per_page": 6})])
def test_repeated_rows_stand_on_two_pages(canvas: Sandbox, client: Client, path: str, params: dict) -> None:
    before = client.rows(path, params)
    canvas.set_faults("repeat_rows")
    pages = [page.json() for page in client.walk(path, params)]
    assert all(later[0] == earlier[-1] for earlier, later in itertools.pairwise(pages))
    assert {row["id"] for page in pages for row in page} == {row["id"] for row in before}


def test_links_that_lie(canvas: Sandbox, client: Client) -> None:
    params = {"per_page": 6}
    honest = client.get(USERS, params).links
    canvas.set_faults("loop")
    assert client.get(USERS, params).links["next"]["url"] == honest["current"]["url"]
    canvas.set_faults("foreign_next")
    assert client.get(USERS, params).links["next"]["url"].startswith(ELSEWHERE + "/api/v1/")
    canvas.set_faults("drop_next")
    assert set(client.get(USERS, params).links) == set(honest) - {"next"}


# --- bodies ------------------------------------------------------------------------------------------


def test_bodies_of_another_shape(canvas: Sandbox, client: Client) -> None:
    canvas.set_faults("not_a_list")
    assert isinstance(client.get(USERS).json(), dict)
    assert isinstance(client.get("accounts/1/terms").json(), list)
    canvas.set_faults("row_not_object")
    assert client.get(USERS).json()[:3] == [None, 17, "text"]


def test_texts_that_databases_refuse(canvas: Sandbox, client: Client) -> None:
    canvas.set_faults("nul_text")
    assert "\x00" in client.get(USERS).json()[0]["name"]
    canvas.set_faults("surrogate")
    answer = client.get(USERS)
    assert b"\\ud83d" in answer.content
    assert "\ud83d" in json.loads(answer.content)[0]["name"]


@pytest.mark.parametrize(
    ("kind", "home", "foreign"),
    [
        ("string_ids", str, str),
        ("tilde_ids", lambda i: f"{HOME_SHARD}~{i}", lambda i: "2107~5"),
        ("global_ids", lambda i: global_id(HOME_SHARD, i), lambda i: i),
    ],
)
def test_ids_in_other_spellings(canvas: Sandbox, client: Client, kind, home, foreign) -> None:
    before = client.rows(BULK, ALL)
    canvas.set_faults(kind)
    after = client.rows(BULK, ALL)

    def spelled(number: int) -> object:
        return foreign(number) if number > 10**13 else home(number)

    assert [row["id"] for row in after] == [spelled(row["id"]) for row in before]
    assert [row["user_id"] for row in after] == [spelled(row["user_id"]) for row in before]
    assert any(row["user_id"] > 10**13 for row in before)


def test_automatic_graders_keep_their_negative_ids(canvas: Sandbox, client: Client) -> None:
    canvas.set_faults("global_ids")
    graders = {
        row["grader_id"]
        for course in (101, 102, 103)
        for row in client.rows(f"courses/{course}/students/submissions", ALL)
    }
    assert any(grader and grader < 0 for grader in graders)


def test_odd_values_in_the_first_row(canvas: Sandbox, client: Client) -> None:
    def first(kind: str, path: str = f"courses/{COURSE}/assignments") -> dict:
        canvas.set_faults(kind)
        return client.get(path).json()[0]

    assert first("out_of_range_id")["id"] == 2**63 + 5
    row = first("null_fields")
    assert (row["name"], row["workflow_state"], row["id"]) == (None, None, 5000001)
    assert "sandbox_unknown" in first("unknown_fields")
    assert first("unknown_state")["workflow_state"] == "sandbox_unknown"
    assert first("restricted_by_date", "accounts/1/courses") == {"id": 101, "access_restricted_by_date": True}


def test_every_fault_and_edit_is_documented() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "sandbox.md").read_text()
    assert [kind for kind in sorted({*KINDS, *edits.KINDS}) if f"`{kind}`" not in text] == []
