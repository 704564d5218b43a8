"""Modules and groups as Canvas answers them: what stands inside, who sees what, which states."""

from __future__ import annotations

import pytest

from sandbox import world
from sandbox.edits import EditError
from sandbox.server import Sandbox
from tests.sandbox.conftest import BULK, Client

MODULES = "courses/101/modules"
LONG = 400_006
GROUP = 650_001


def test_items_stand_inside_a_module_up_to_a_hundred(still: Client) -> None:
    modules = {row["id"]: row for row in still.rows(MODULES, {"include[]": "items"})}
    assert modules[LONG]["items_count"] == 101
    assert "items" not in modules.pop(LONG)
    for row in modules.values():
        assert row["items"] == still.rows(f"{MODULES}/{row['id']}/items")
        assert len(row["items"]) == row["items_count"]
    assert len(still.rows(f"{MODULES}/{LONG}/items", {"per_page": 100})) == 101
    assert not any("items" in row for row in still.rows(MODULES))


def test_a_module_shows_whether_it_is_published_and_no_state(still: Client) -> None:
    rows = still.rows(MODULES)
    assert not any({"workflow_state", "course_id"} & set(row) for row in rows)
    assert {row["name"]: row["published"] for row in rows}["Draft unit"] is False
    assert [row["position"] for row in rows] == sorted(row["position"] for row in rows)
    assert "unlock_at" in rows[0]
    assert rows[1]["prerequisite_module_ids"] == [rows[0]["id"]]


def test_an_item_has_the_fields_of_its_type(still: Client) -> None:
    rows = [row for module in still.rows(MODULES) for row in still.rows(f"{MODULES}/{module['id']}/items")]
    fields = {kind: {name for row in rows if row["type"] == kind for name in row} for kind in
              ("SubHeader", "Page", "Assignment", "ExternalUrl")}  # fmt: skip
    assert "content_id" in fields["Assignment"]
    assert not any("content_id" in fields[kind] for kind in ("SubHeader", "Page", "ExternalUrl"))
    assert "page_url" in fields["Page"]
    assert "external_url" in fields["ExternalUrl"]
    details = still.rows(f"{MODULES}/400001/items", {"include[]": "content_details"})
    assert any("due_at" in row["content_details"] for row in details if row["type"] == "Assignment")


def test_students_see_what_is_published_and_not_that_it_is(still: Client) -> None:
    student = Client(still.canvas, still.canvas.tokens["student"])
    shown = student.rows(MODULES, {"include[]": "items"})
    assert "Draft unit" not in {row["name"] for row in shown}
    assert not any("published" in row for module in shown for row in (module, *module.get("items", ())))
    assert student.get(f"{MODULES}/400004").status_code == 404
    hidden = {row["title"] for row in still.rows(f"{MODULES}/400002/items") if not row["published"]}
    assert hidden
    assert not hidden & {row["title"] for row in student.rows(f"{MODULES}/400002/items")}


def test_modules_and_items_are_found_by_name(still: Client) -> None:
    assert [row["name"] for row in still.rows(MODULES, {"search_term": "DRAFT"})] == ["Draft unit"]
    assert len(still.rows(f"{MODULES}/{LONG}/items", {"search_term": "text 10"})) == 3
    assert still.get(MODULES, {"search_term": "un"}).status_code == 400


def test_groups_that_do_not_collaborate_are_listed_on_request(still: Client) -> None:
    usual = {row["name"] for row in still.rows("courses/101/groups")}
    every = {row["name"] for row in still.rows("courses/101/groups", {"collaboration_state": "all"})}
    other = {row["name"] for row in still.rows("courses/101/groups?collaboration_state=non_collaborative")}
    assert (every - usual, usual | other) == (other, every)
    assert other == {"Extra time"}


def test_members_are_filtered_by_state(still: Client) -> None:
    rows = still.rows(f"groups/{GROUP}/memberships")
    accepted = still.rows(f"groups/{GROUP}/memberships", {"filter_states[]": "accepted"})
    assert 0 < len(accepted) == still.get(f"groups/{GROUP}").json()["members_count"] <= len(rows)
    assert {row["workflow_state"] for row in accepted} == {"accepted"}
    assert not any("course_id" in row for row in rows)


def test_groups_are_found_by_sis_id_and_show_their_people(still: Client) -> None:
    row = still.get(f"groups/{GROUP}", {"include[]": "users"}).json()
    assert still.get(f"groups/sis_group_id:{row['sis_group_id']}").json()["id"] == GROUP
    people = {member["user_id"] for member in still.rows(f"groups/{GROUP}/memberships")}
    assert {user["id"] for user in row["users"]} == people
    assert row["context_name"] == still.get("courses/101").json()["name"]
    student = Client(still.canvas, still.canvas.tokens["student"])
    assert "sis_group_id" not in student.get(f"groups/{GROUP}").json()


def test_only_own_groups_are_listed_on_request(still: Client) -> None:
    student = Client(still.canvas, still.canvas.tokens["student"])
    own = student.rows("courses/101/groups", {"only_own_groups": "true"})
    assert len(own) < len(student.rows("courses/101/groups"))


@pytest.mark.parametrize(
    "path", ["groups/650101", "groups/650101/memberships", "courses/102/groups", "courses/102/modules"]
)
def test_who_is_not_in_the_course_is_refused(still: Client, path: str) -> None:
    teacher = Client(still.canvas, still.canvas.tokens["subaccount_admin"])
    assert still.get(path).status_code == 200
    assert teacher.get(path.replace("102", "101").replace("6501", "6500")).status_code in (403, 404)


def test_who_comes_back_to_a_group_has_a_new_membership(canvas: Sandbox, client: Client) -> None:
    row = client.rows(f"groups/{GROUP}/memberships")[0]
    canvas.edit("remove_group_member", course_id=101, membership_id=row["id"])
    assert client.get(f"groups/{GROUP}/users/{row['user_id']}").status_code == 404
    canvas.edit("add_group_member", course_id=101, group_id=GROUP, user_id=row["user_id"])
    again = client.get(f"groups/{GROUP}/users/{row['user_id']}").json()
    assert again["id"] != row["id"]
    with pytest.raises(EditError, match="is in the group already"):
        canvas.edit("add_group_member", course_id=101, group_id=GROUP, user_id=row["user_id"])


def test_a_deleted_group_takes_its_members_along(canvas: Sandbox, client: Client) -> None:
    canvas.edit("delete_group", course_id=101, group_id=GROUP)
    assert client.get(f"groups/{GROUP}/memberships").status_code == 404
    rows = [row for row in canvas.state("group_memberships")["group_memberships"] if row["group_id"] == GROUP]
    assert {row["workflow_state"] for row in rows} == {"deleted"}
    with pytest.raises(EditError, match="There is no group"):
        canvas.edit("delete_group", course_id=101, group_id=GROUP)


def test_remembered_listings_stay_few_however_many_are_asked_for(
    canvas: Sandbox, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "LISTINGS_REMEMBERED", 3)
    for second in range(10):
        client.get(BULK, {"student_ids[]": "all", "graded_since": f"2026-01-01T00:00:0{second}Z"})
        assert len(canvas._world._memory) <= 3
