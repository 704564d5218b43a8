"""The endpoints against Canvas's contract: filters and their defaults, permissions, refusals, includes."""

from __future__ import annotations

import gzip
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from sandbox.clock import Clock
from sandbox.routes import ROUTES
from sandbox.server import Sandbox
from tests.sandbox.conftest import ALL, BULK, COURSE, Client

MESSAGE = "The specified resource does not exist."


@pytest.fixture(scope="module")
def state(still_canvas: Sandbox) -> dict[str, list[dict[str, Any]]]:
    return still_canvas.state()


def bad_date(name: str) -> dict[str, Any]:
    return {"errors": {name: f"Invalid datetime for {name}"}}


def states(rows: list[dict[str, Any]], field: str = "workflow_state") -> set[str]:
    return {row[field] for row in rows}


# --- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "user authorization required"),
        ("Bearer wrong", "Invalid access token."),
        ("Basic x", "user auth"),
    ],
)
def test_without_a_good_token_nobody_gets_in(still_canvas: Sandbox, header: str | None, message: str) -> None:
    headers = {"Authorization": header} if header else {}
    answer = requests.get(f"{still_canvas.url}/api/v1/users/self", headers=headers, timeout=20)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="canvas-lms"'
    assert message in answer.text


def test_the_token_may_come_in_the_query_and_is_not_echoed(still_canvas: Sandbox) -> None:
    url = f"{still_canvas.url}/api/v1/accounts/1/users?access_token={still_canvas.token}&per_page=2"
    answer = requests.get(url, timeout=20)
    assert answer.status_code == 200
    assert still_canvas.token not in answer.headers["Link"]


def test_an_expired_token_is_refused_as_an_invalid_one(still_canvas: Sandbox) -> None:
    answer = Client(still_canvas, still_canvas.tokens["expired"]).get("users/self")
    assert (answer.status_code, answer.json()) == (401, {"errors": [{"message": "Invalid access token."}]})


def test_a_narrow_token_reaches_only_its_scopes(still_canvas: Sandbox) -> None:
    client = Client(still_canvas, still_canvas.tokens["narrow"])
    assert client.get("users/self").status_code == 200
    assert client.get("accounts/1/courses").status_code == 200
    answer = client.get("accounts/1/users")
    assert (answer.status_code, "WWW-Authenticate" in answer.headers) == (401, False)
    assert answer.json() == {"errors": [{"message": "Insufficient scopes on access token."}]}


def test_permission_is_refused_with_403_or_with_401_on_an_older_canvas(canvas: Sandbox) -> None:
    student = Client(canvas, canvas.tokens["student"])
    answer = student.get("accounts/1/users")
    assert answer.status_code == 403
    assert answer.json()["status"] == "unauthorized"
    canvas.set(permission_status=401)
    answer = student.get("accounts/1/users")
    assert (answer.status_code, "WWW-Authenticate" in answer.headers) == (401, False)


@pytest.mark.parametrize(
    "path",
    [
        "courses/999", "courses/sis_course_id:none", "courses/106", "users/1", "users/1021", "sections/1",
        "courses/101/assignments/1", "courses/101/assignment_groups/1", "accounts/9", "accounts/5",
        "accounts/1/terms/4", "accounts/1/enrollments/1", "nowhere", "users/self/tokens/none",
        "courses/101/assignments/5000001/submissions/1003",
        "courses/101/modules/400005", "courses/101/modules/400001/items/1", "courses/102/modules/400001",
        "groups/650003", "groups/1", "group_categories/600003", "groups/650001/users/1002",
        "groups/650001/memberships/1",
    ],
)  # fmt: skip
def test_what_is_not_there_or_deleted_is_not_found(still: Client, path: str) -> None:
    answer = still.get(path)
    assert (answer.status_code, answer.json()) == (404, {"errors": [{"message": MESSAGE}]})


def test_nothing_can_be_written(still: Client) -> None:
    answer = still.session.post(f"{still.canvas.url}/api/v1/courses", timeout=20)
    assert answer.status_code == 404


# --- profile, tokens, accounts, terms ----------------------------------------------------------------


def test_a_token_can_be_found_by_its_hint_with_its_expiry(still: Client) -> None:
    tokens = still.rows("users/self/user_generated_tokens")
    mine = [row for row in tokens if still.canvas.token.startswith(row["token_hint"])]
    assert len(mine) == 1
    assert mine[0]["expires_at"].endswith("-12-31T23:59:59Z")
    assert still.canvas.token not in str(tokens)
    assert still.get(f"users/self/tokens/{mine[0]['token_hint']}").json() == mine[0]


def test_a_token_given_by_hand_is_the_administrators() -> None:
    with Sandbox(token="7~by-hand") as canvas:
        client = Client(canvas, "7~by-hand")
        assert client.get("accounts").json()[0]["id"] == 1


def test_accounts_are_a_tree(still: Client) -> None:
    assert {row["id"] for row in still.rows("accounts/1/sub_accounts")} == {2, 3}
    assert {row["id"] for row in still.rows("accounts/self/sub_accounts?recursive=true")} == {2, 3, 4}
    root = still.get("accounts/self", {"include[]": ["course_count", "sub_account_count"]}).json()
    assert (root["parent_account_id"], root["sub_account_count"]) == (None, 2)


def test_terms_are_wrapped_and_only_the_roots(still: Client) -> None:
    answer = still.get("accounts/1/terms")
    assert list(answer.json()) == ["enrollment_terms"]
    assert "last" in answer.links
    rows = answer.json()["enrollment_terms"]
    assert states(rows) == {"active"}
    every = still.get("accounts/1/terms", {"workflow_state[]": "all"}).json()["enrollment_terms"]
    assert len(every) == len(rows) + 1
    refused = still.get("accounts/2/terms")
    assert (refused.status_code, refused.json()) == (400, {"message": "Terms only belong to root_accounts."})


# --- courses and sections ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, {"available", "completed", "unpublished"}),
        ({"state[]": "all"}, {"available", "completed", "unpublished", "deleted"}),
        ({"state[]": "deleted"}, {"deleted"}),
        ({"state[]": ["created", "completed"]}, {"unpublished", "completed"}),
        ({"published": "true"}, {"available", "completed"}),
        ({"completed": "1"}, {"completed"}),
        ({"enrollment_term_id": "sis_term_id:2025-FA"}, {"completed"}),
        ({"ends_after": "2025-12-01T00:00:00Z"}, {"completed"}),
    ],
)
def test_an_accounts_courses_are_filtered(still: Client, params: dict[str, Any], expected: set[str]) -> None:
    assert states(still.rows("accounts/1/courses", params)) == expected


def test_an_accounts_courses_include_those_below_it(still: Client, state: Any) -> None:
    below = {
        row["id"]
        for row in state["courses"]
        if row["account_id"] in (3, 4) and row["workflow_state"] != "deleted"
    }
    assert {row["id"] for row in still.rows("accounts/3/courses")} == below != set()


def test_courses_are_found_by_name_and_teacher(still: Client) -> None:
    course = still.get(f"courses/{COURSE}").json()
    assert COURSE in {r["id"] for r in still.rows("accounts/1/courses", {"search_term": course["name"][:8]})}
    taught = still.rows("accounts/1/courses", {"by_teachers[]": 1003, "include[]": "teachers"})
    assert all(1003 in {t["id"] for t in row["teachers"]} for row in taught)
    too_short = still.get("accounts/1/courses", {"search_term": "ab"})
    assert too_short.status_code == 400


def test_courses_show_more_when_asked(still: Client) -> None:
    include = ["term", "total_students", "account_name", "concluded", "syllabus_body", "sections"]
    row = still.get(f"courses/{COURSE}", {"include[]": include}).json()
    assert set(include) <= row.keys()
    assert row["total_students"] == 10
    assert not set(include) & still.get(f"courses/{COURSE}").json().keys()


@pytest.mark.parametrize(
    "spelling", ["101", "7~101", "70000000000101", "sis_course_id:{sis_course_id}", "uuid:{uuid}"]
)
def test_a_course_answers_to_every_spelling_of_its_id(still: Client, state: Any, spelling: str) -> None:
    assert still.get("courses/" + spelling.format(**state["courses"][0])).json()["id"] == COURSE


def test_my_courses_are_those_i_am_enrolled_in(still_canvas: Sandbox, still: Client) -> None:
    assert still.rows("courses") == []
    teacher = Client(still_canvas, still_canvas.tokens["teacher"])
    mine = teacher.rows("courses")
    assert {e["type"] for row in mine for e in row["enrollments"]} == {"teacher"}
    assert states(mine) == {"available", "unpublished"} or states(mine) <= {
        "available",
        "completed",
        "unpublished",
    }
    assert [row["id"] for row in teacher.rows("users/self/courses")] == [row["id"] for row in mine]


def test_a_course_that_is_over_is_a_stub_for_its_students(still_canvas: Sandbox, state: Any) -> None:
    over = next(row["id"] for row in state["courses"] if row["workflow_state"] == "completed")
    student = Client(still_canvas, still_canvas.tokens["student"])
    rows = {row["id"]: row for row in student.rows("courses")}
    assert rows[over] == {"id": over, "access_restricted_by_date": True}
    assert "name" in rows[COURSE]


def test_sections_are_those_in_the_course_now(still: Client, state: Any) -> None:
    rows = still.rows(f"courses/{COURSE}/sections", {"include[]": ["total_students", "students"]})
    live = [r for r in state["sections"] if r["course_id"] == COURSE and r["workflow_state"] == "active"]
    assert {row["id"] for row in rows} == {row["id"] for row in live}
    assert all(row["total_students"] == len({u["id"] for u in row["students"]}) for row in rows)
    assert still.get(f"sections/sis_section_id:{live[0]['sis_section_id']}").json()["id"] == live[0]["id"]


# --- people ------------------------------------------------------------------------------------------


def test_users_show_details_on_request_only(still: Client) -> None:
    plain = still.get("accounts/1/users").json()[0]
    full = still.get("accounts/1/users", {"include[]": ["email", "last_login", "uuid"]}).json()[0]
    assert full.keys() - plain.keys() == {"email", "last_login", "uuid"}
    assert "workflow_state" not in plain


def test_users_can_be_sorted_by_id(still: Client) -> None:
    ids = [row["id"] for row in still.rows("accounts/1/users?sort=id&per_page=7")]
    assert ids == sorted(ids)
    assert len(ids) == 20


def test_course_users_are_filtered(still: Client, state: Any) -> None:
    def users(**params: Any) -> set[int]:
        return {row["id"] for row in still.rows(f"courses/{COURSE}/users", params)}

    mine = [row for row in state["enrollments"] if row["course_id"] == COURSE]
    current = {row["user_id"] for row in mine if row["enrollment_state"] in ("active", "invited")}
    assert users() == current
    assert users(**{"enrollment_type[]": "teacher"}) == {1003}
    assert users(**{"enrollment_state[]": "completed"}) == {
        r["user_id"] for r in mine if r["enrollment_state"] == "completed"
    }
    row = still.get(f"courses/{COURSE}/users", {"include[]": "enrollments"}).json()[0]
    assert {e["user_id"] for e in row["enrollments"]} == {row["id"]}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, {"active", "invited", "inactive"}),
        ("deleted", {"deleted"}),
        ("completed", {"completed"}),
        ("current_and_concluded", set()),
    ],
)
def test_enrollments_of_a_course_by_state(still: Client, asked: str | None, expected: set[str]) -> None:
    rows = still.rows(f"courses/{COURSE}/enrollments", {"state[]": asked} if asked else {})
    assert states(rows, "enrollment_state") == expected
    assert all(row["user"]["id"] == row["user_id"] for row in rows)


def test_enrollments_are_filtered_by_type_user_and_section(still: Client) -> None:
    path = f"courses/{COURSE}/enrollments"
    assert states(still.rows(path, {"type[]": ["TeacherEnrollment", "TaEnrollment"]}), "type") == {
        "TeacherEnrollment", "TaEnrollment",
    }  # fmt: skip
    assert states(still.rows(path, {"user_id": 1003}), "user_id") == {1003}
    assert states(still.rows("sections/20001/enrollments"), "course_section_id") == {20001}
    bad = still.get(path, {"grading_period_id": 5})
    assert (bad.status_code, bad.json()) == (400, {"error": "invalid grading_period_id"})


def test_enrollments_of_a_user_span_courses_and_understand_bundles(still: Client) -> None:
    user = still.canvas.state("enrollments")["enrollments"]
    student = next(
        row["user_id"]
        for row in user
        if row["enrollment_state"] == "completed" and row["course_id"] == COURSE
    )
    plain = still.rows(f"users/{student}/enrollments")
    bundled = still.rows(f"users/{student}/enrollments", {"state[]": "current_and_concluded"})
    assert states(plain, "enrollment_state") <= {"active", "invited"}
    assert COURSE in {row["course_id"] for row in bundled}
    assert len({row["course_id"] for row in bundled}) > 1


def test_enrollments_of_a_deleted_section_or_course_are_deleted(canvas: Sandbox, client: Client) -> None:
    canvas.edit("delete_course", course_id=102)
    one = next(row for row in canvas.state("enrollments")["enrollments"] if row["course_id"] == 102)
    assert client.get(f"accounts/1/enrollments/{one['id']}").json()["enrollment_state"] == "deleted"


# --- assignments -------------------------------------------------------------------------------------


def test_groups_bring_their_assignments_in_one_call(still: Client) -> None:
    groups = still.rows(f"courses/{COURSE}/assignment_groups", {"include[]": "assignments"})
    listed = still.rows(f"courses/{COURSE}/assignments")
    assert sorted(a["id"] for g in groups for a in g["assignments"]) == sorted(a["id"] for a in listed)
    assert states(listed) == {"published", "unpublished"}
    assert "assignments" not in still.rows(f"courses/{COURSE}/assignment_groups")[0]
    group = groups[1]
    own = still.rows(f"courses/{COURSE}/assignment_groups/{group['id']}/assignments")
    assert own == group["assignments"]


def test_assignments_are_filtered_and_ordered(still: Client) -> None:
    path = f"courses/{COURSE}/assignments"
    rows = still.rows(path)
    by_name = still.rows(path, {"order_by": "name"})
    assert [row["name"] for row in by_name] == sorted(row["name"] for row in rows)
    wanted = [rows[0]["id"], rows[2]["id"]]
    assert {row["id"] for row in still.rows(path, {"assignment_ids[]": wanted})} == set(wanted)
    undated = still.rows(path, {"bucket": "undated"})
    assert [row["id"] for row in rows if row["due_at"] is None] == [row["id"] for row in undated]


def test_students_see_published_assignments_and_their_own_submissions(still_canvas: Sandbox) -> None:
    student = Client(still_canvas, still_canvas.tokens["student"])
    me = student.get("users/self").json()["id"]
    rows = student.rows(f"courses/{COURSE}/assignments", {"include[]": "submission"})
    assert states(rows) == {"published"}
    assert {row["submission"]["user_id"] for row in rows if "submission" in row} == {me}
    assert "needs_grading_count" not in rows[0]


# --- submissions -------------------------------------------------------------------------------------


def test_without_student_ids_only_the_callers_own_are_listed(still_canvas: Sandbox, still: Client) -> None:
    assert still.rows(BULK) == []
    student = Client(still_canvas, still_canvas.tokens["student"])
    me = student.get("users/self").json()["id"]
    for params in ({}, {"student_ids[]": "all"}, {"student_ids[]": me}):
        assert states(student.rows(BULK, params), "user_id") == {me}
    assert student.get(BULK, {"student_ids[]": 1003}).status_code == 403


def test_a_teacher_sees_everybodys(still_canvas: Sandbox, still: Client) -> None:
    teacher = Client(still_canvas, still_canvas.tokens["teacher"])
    rows = teacher.rows(BULK, ALL)
    assert [row["id"] for row in rows] == [row["id"] for row in still.rows(BULK, ALL)]
    assert "anonymous_id" not in rows[0]
    assert teacher.get("courses/102/students/submissions", ALL).status_code == 403


def test_a_sub_accounts_administrator_sees_only_its_courses(still_canvas: Sandbox) -> None:
    client = Client(still_canvas, still_canvas.tokens["subaccount_admin"])
    assert [row["id"] for row in client.rows("accounts")] == [2]
    assert client.get("accounts/1/courses").status_code == 403
    rows = client.rows("accounts/2/courses")
    assert rows
    assert states(rows, "account_id") == {2}
    assert client.get(f"courses/{COURSE}").status_code == 403


@pytest.mark.parametrize(
    ("params", "status", "body"),
    [
        ({"student_ids[]": list(range(1, 102))}, 400, {"error": "too many students"}),
        ({**ALL, "assignment_ids[]": 5000008}, 403, {"error": "invalid assignment ids requested"}),
        ({**ALL, "assignment_ids[]": 1}, 403, {"error": "invalid assignment ids requested"}),
        ({**ALL, "submitted_since": "yesterday"}, 400, bad_date("submitted_since")),
        ({**ALL, "graded_since": "2026-02-01"}, 400, bad_date("graded_since")),
        ({**ALL, "graded_since": "2026-13-01T00:00:00Z"}, 400, bad_date("graded_since")),
        ({**ALL, "enrollment_state": "gone"}, 400, {"error": "invalid enrollment_state"}),
    ],
)  # fmt: skip
def test_bulk_submissions_refuse(still: Client, params: dict[str, Any], status: int, body: Any) -> None:
    answer = still.get(BULK, params)
    assert (answer.status_code, answer.json()) == (status, body)


def test_since_is_strict_and_takes_offsets_and_fractions(still: Client) -> None:
    rows = still.rows(BULK, ALL)
    moment = sorted(row["graded_at"] for row in rows if row["graded_at"])[5]
    later = {row["id"] for row in rows if (row["graded_at"] or "") > moment}
    with_offset = moment.replace("Z", "+00:00")
    for text in (moment, with_offset, moment.replace("Z", ".250Z")):
        assert {row["id"] for row in still.rows(BULK, {**ALL, "graded_since": text})} == later
    both = {**ALL, "graded_since": moment, "submitted_since": moment}
    assert {r["id"] for r in still.rows(BULK, both)} == {
        r["id"] for r in rows if r["id"] in later and (r["submitted_at"] or "") > moment
    }


def test_bulk_submissions_are_filtered(still: Client) -> None:
    rows = still.rows(BULK, ALL)
    graded = still.rows(BULK, {**ALL, "workflow_state": "graded"})
    assert [r["id"] for r in graded] == [r["id"] for r in rows if r["workflow_state"] == "graded"]
    some = sorted({row["assignment_id"] for row in rows})[2:4]
    chosen = still.rows(BULK, {**ALL, "assignment_ids[]": some})
    assert [r["id"] for r in chosen] == [r["id"] for r in rows if r["assignment_id"] in some]
    users = sorted({row["user_id"] for row in rows})[:3]
    theirs = still.rows(BULK, {"student_ids[]": users, "per_page": 100})
    assert [r["id"] for r in theirs] == [r["id"] for r in rows if r["user_id"] in users]


def test_sections_list_their_students_submissions(still: Client, state: Any) -> None:
    here = {
        e["user_id"]
        for e in state["enrollments"]
        if e["course_section_id"] == 20002 and e["enrollment_state"] != "deleted"
    }
    rows = still.rows("sections/20002/students/submissions", ALL)
    assert states(rows, "user_id") <= here
    assignment = rows[0]["assignment_id"]
    one = still.rows(f"sections/20002/assignments/{assignment}/submissions")
    assert {r["id"] for r in one} == {r["id"] for r in rows if r["assignment_id"] == assignment}
    path = f"sections/20002/assignments/{assignment}/submissions/{one[0]['user_id']}"
    assert still.get(path).json() == one[0]


def test_grouped_submissions_come_by_student(still: Client) -> None:
    groups = still.rows(BULK, {**ALL, "grouped": "true", "per_page": 3})
    assert all(row["user_id"] == group["user_id"] for group in groups for row in group["submissions"])
    inside = sorted(row["id"] for group in groups for row in group["submissions"])
    assert inside == [row["id"] for row in still.rows(BULK, ALL)]


def test_fields_can_be_chosen_and_added(still: Client) -> None:
    few = still.get(BULK, {**ALL, "response_fields[]": ["id", "score"]}).json()[0]
    assert few.keys() == {"id", "score"}
    without = still.get(BULK, {**ALL, "exclude_response_fields[]": ["body", "preview_url"]}).json()[0]
    full = still.get(BULK, ALL).json()[0]
    assert full.keys() - without.keys() == {"body", "preview_url"}
    more = still.get(
        BULK, {**ALL, "include[]": ["user", "assignment", "visibility", "submission_comments"]}
    ).json()[0]
    assert more["user"]["id"] == more["user_id"]
    assert more["assignment"]["id"] == more["assignment_id"]
    assert (more["assignment_visible"], more["submission_comments"]) == (True, [])


def test_rows_are_about_as_large_as_canvass(still: Client) -> None:
    answer = still.get(BULK, ALL)
    assert 800 < len(answer.content) / len(answer.json()) < 1_000
    answer = still.get(f"courses/{COURSE}/assignments")
    assert 2_400 < len(answer.content) / len(answer.json()) < 3_400


# --- HTTP --------------------------------------------------------------------------------------------


def test_ids_are_strings_for_those_who_ask(still_canvas: Sandbox) -> None:
    client = Client(still_canvas, Accept="application/json+canvas-string-ids")
    row = client.get(BULK, ALL).json()[0]
    assert all(isinstance(row[name], str) for name in ("id", "user_id", "assignment_id"))


def test_bodies_are_compressed_for_those_who_ask(still: Client) -> None:
    plain = still.get(BULK, ALL, headers={"Accept-Encoding": "identity"})
    packed = still.get(BULK, ALL, headers={"Accept-Encoding": "gzip"}, stream=True)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    raw = packed.raw.read(decode_content=False)
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 4


def test_the_date_is_the_sandboxs_own() -> None:
    with Sandbox(clock_offset_seconds=-300) as canvas:
        date = parsedate_to_datetime(Client(canvas).get("users/self").headers["Date"])
        assert 295 < time.time() - date.timestamp() < 305


def test_latency_is_a_deadline_with_the_work_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(latency_ms=1_000) as canvas:
        answer = canvas._api.answer
        monkeypatch.setattr(canvas._api, "answer", lambda *asked: (time.sleep(0.9), answer(*asked))[1])
        Client(canvas).get("users/self")
        (entry,) = canvas.requests()
    assert 1_000 <= entry["duration_ms"] < 1_900


def test_links_name_the_host_that_was_asked(still_canvas: Sandbox) -> None:
    url = still_canvas.url.replace("127.0.0.1", "localhost")
    answer = requests.get(
        f"{url}/api/v1/accounts/1/users",
        headers={"Authorization": f"Bearer {still_canvas.token}"},
        timeout=20,
    )
    assert answer.links["next"]["url"].startswith(url)


def test_every_route_has_its_own_scope() -> None:
    scopes = [route.scope for route in ROUTES]
    assert len(set(scopes)) == len(scopes)
    assert "url:GET|/api/v1/courses/:course_id/students/submissions" in scopes


def test_clock_texts_agree() -> None:
    clock = Clock()
    assert parsedate_to_datetime(clock.http_date()).strftime("%Y-%m-%dT%H:%M:%SZ") == clock.stamp()
