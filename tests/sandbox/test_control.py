"""The control endpoints, over HTTP."""

from __future__ import annotations

import pytest
import requests

from sandbox.server import Sandbox
from tests.sandbox.conftest import ALL, BULK, Client


def test_state_is_the_truth_as_the_listing_shows_it(canvas: Sandbox, client: Client) -> None:
    canvas.edit("grade", course_id=101)
    state = client.control("GET", "state")
    assert state == canvas.state()
    truth = {row["id"]: row for row in state["submissions"]}
    listed = client.rows(BULK, ALL)
    assert all({**row, "course_id": 101} == truth[row["id"]] for row in listed)
    assert len(listed) < len([row for row in truth.values() if row["course_id"] == 101])


def test_state_can_be_asked_by_resource(client: Client) -> None:
    assert list(client.control("GET", "state?resource=terms&resource=users")) == ["terms", "users"]
    answer = client.session.get(f"{client.canvas.url}/__sandbox__/state?resource=quizzes", timeout=20)
    assert answer.status_code == 400
    assert "quizzes" in answer.json()["error"]


def test_requests_are_logged_before_their_answer_arrives(client: Client) -> None:
    client.get("users/self?x=1")
    client.get("courses/999")
    log = client.control("GET", "requests")
    assert [(e["n"], e["method"], e["path"], e["query"], e["status"]) for e in log["requests"]] == [
        (1, "GET", "/api/v1/users/self", "x=1", 200),
        (2, "GET", "/api/v1/courses/999", "", 404),
    ]
    assert log["last"] == 2
    assert all(entry["in_flight"] == 1 and entry["duration_ms"] >= 0 for entry in log["requests"])
    assert [entry["n"] for entry in client.control("GET", "requests?after=1")["requests"]] == [2]
    assert client.control("DELETE", "requests") == {"requests": []}
    client.get("users/self")
    assert [entry["n"] for entry in client.control("GET", "requests")["requests"]] == [3]


def test_edits_answer_what_changed(client: Client) -> None:
    answer = client.control(
        "POST", "edits", {"edits": [{"kind": "rename_course", "name": "B"}, {"kind": "grade"}]}
    )
    renamed, graded = answer["edits"]
    assert renamed["changes"][0]["fields"]["name"]["new"] == "B"
    assert graded["changes"][0]["action"] == "updated"
    assert client.get(f"courses/{renamed['target']['course_id']}").json()["name"] == "B"


def test_faults_and_settings_change_while_it_runs(client: Client) -> None:
    assert client.control("POST", "faults", {"faults": "500@/users"})["faults"][0]["kind"] == "500"
    assert client.get("users/self").status_code == 500
    client.control("POST", "faults", {"faults": []})
    assert client.get("users/self").status_code == 200
    assert client.control("GET", "faults") == {"faults": []}
    settings = client.control(
        "POST", "settings", {"latency_ms": 30, "throttle": True, "clock_offset_seconds": 60}
    )
    assert settings == client.control("GET", "settings")
    assert (settings["size"], settings["seed"], settings["latency_ms"]) == ("tiny", 1, 30)
    assert float(client.get("users/self").headers["X-Request-Cost"]) == pytest.approx(0.018)


@pytest.mark.parametrize(
    ("method", "name", "body"),
    [
        ("POST", "edits", {"edits": [{"kind": "paint"}]}),
        ("POST", "edits", {"edits": ["grade"]}),
        ("POST", "faults", {"faults": "nonsense"}),
        ("POST", "settings", {"colour": 1}),
    ],
)
def test_nonsense_is_refused_in_one_sentence(client: Client, method: str, name: str, body: object) -> None:
    answer = client.session.request(method, f"{client.canvas.url}/__sandbox__/{name}", json=body, timeout=20)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_control_costs_no_latency_and_no_throttle() -> None:
    with Sandbox(latency_ms=30_000, throttle=True) as canvas:
        client = Client(canvas)
        answer = client.session.get(f"{canvas.url}/__sandbox__/settings", timeout=15)
        assert answer.status_code == 200
        assert "X-Rate-Limit-Remaining" not in answer.headers
        assert canvas.requests() == []


def test_control_answers_under_a_loopback_name_only(canvas: Sandbox) -> None:
    answer = requests.get(f"{canvas.url}/__sandbox__/state", headers={"Host": "evil.example:80"}, timeout=20)
    assert answer.status_code == 403
    assert requests.get(f"{canvas.url}/__sandbox__/nothing", timeout=20).status_code == 404
