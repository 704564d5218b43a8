"""Modules, groups and what stands within them: inline or fetched, refused, deleted, and under which key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from canvas.connect import connect
from canvas.models import Connection, Group, GroupMembership, Module, ModuleItem, Scope
from canvas.sync import SyncOptions, sync
from sandbox.outline import LONG_MODULE_ITEMS
from syncmetrics.models import SyncRun
from tests.canvas.conftest import EventfulSandbox

Wrong = Callable[..., list[str]]
Status = SyncRun.Status
FULL = SyncOptions(mode="full")
LONG_MODULE = 400_006
COURSE_STEP = "course:10000000000101"
GROUP = 650_001
EVERY = ("modules", "module_items", "group_categories", "groups", "group_memberships")


def asked(canvas: EventfulSandbox, part: str) -> list[str]:
    return [entry["path"] for entry in canvas.requests() if part in entry["path"]]


def listed_items(canvas: EventfulSandbox, module: int) -> int:
    rows = canvas.rows("module_items")
    return sum(row["module_id"] == module and row["workflow_state"] != "deleted" for row in rows)


# --- inline and fetched ------------------------------------------------------------------------------


def test_items_are_read_inside_their_modules_and_beyond_a_hundred_from_the_modules_own_listing(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.clear_requests()
    sync(connection)
    assert asked(canvas, "/items") == [f"/api/v1/courses/101/modules/{LONG_MODULE}/items"] * 2  # two pages
    assert ModuleItem.objects.filter(module__canvas_id=LONG_MODULE).count() == LONG_MODULE_ITEMS
    assert wrong(connection, resources=EVERY) == []


def test_a_hundred_items_still_stand_inside(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    last = max(row["id"] for row in canvas.rows("module_items") if row["module_id"] == LONG_MODULE)
    canvas.edit("delete_module_item", course_id=101, item_id=last)
    canvas.clear_requests()
    sync(connection)
    assert asked(canvas, "/items") == []
    assert listed_items(canvas, LONG_MODULE) == 100
    assert wrong(connection, resources=EVERY) == []


def test_what_stands_within_others_is_complete_over_many_small_pages(
    small_pages: None, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.set_faults("repeat_rows@/(modules|groups|items|memberships)")
    canvas.clear_requests()
    run = sync(connection)
    assert run.sync_status == Status.COMPLETED
    assert len(asked(canvas, f"/modules/{LONG_MODULE}/items")) == -(-LONG_MODULE_ITEMS // 5)
    assert wrong(connection) == []
    live = [row for row in canvas.rows("groups") if row["workflow_state"] != "deleted"]
    gone = {row["id"] for row in canvas.rows("courses") if row["workflow_state"] == "deleted"}
    groups = {row["id"] for row in live if row["course_id"] not in gone}
    assert {int(path.split("/")[4]) for path in asked(canvas, "/memberships")} == groups


@pytest.mark.parametrize(("name", "above"), [("module_items", "modules"), ("group_memberships", "groups")])
def test_what_stands_within_is_synced_without_what_holds_it(
    name: str, above: str, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    run = sync(connection, SyncOptions(models=frozenset({name})))
    assert run.sync_status == Status.COMPLETED
    assert run.to_dict()[name]["created"] > 0
    assert run.to_dict()[above]["processed"] == 0
    assert wrong(connection, resources=[name]) == []


def test_prerequisites_are_spelled_one_way_however_canvas_spells_ids(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    for kind in ("global_ids", "tilde_ids", "string_ids"):
        canvas.set_faults(kind)
        sync(connection, FULL)
        assert Module.objects.get(canvas_id=400_002).prerequisite_module_ids == ["400001"]


# --- deletions and moves -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["delete_module", "delete_module_item", "delete_group", "remove_group_member"]
)
def test_what_is_gone_is_confirmed_one_by_one_and_marked(
    kind: str, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    changes = canvas.edit(kind, course_id=101)["changes"]
    gone = [change for change in changes if change["action"] == "deleted"]
    run = sync(connection, FULL)
    assert sum(run.to_dict()[name]["deleted"] for name in EVERY) == len(gone) > 0
    assert wrong(connection) == []
    assert sync(connection, FULL).db_rows_written == 0


@pytest.mark.parametrize(
    "path",
    [
        "courses/101/modules",
        r"courses/101/modules/\d+/items",
        r"groups/65000\d/memberships",
        "courses/101/groups",
    ],
)
def test_listing_that_failed_concludes_nothing_of_what_stands_within(
    path: str, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    live = {model: model.objects.filter(deleted_at=None).count() for model in (ModuleItem, GroupMembership)}
    canvas.set_faults(rf"500@{path}\?")
    run = sync(connection, FULL)
    assert run.sync_status == Status.PARTIAL
    assert {model: model.objects.filter(deleted_at=None).count() for model in live} == live
    canvas.set_faults()
    assert sync(connection, resume=run).sync_status == Status.COMPLETED
    assert wrong(connection) == []


def test_item_that_moved_to_another_module_is_the_same_row(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    target = canvas.edit("move_module_item", course_id=101)["target"]
    run = sync(connection)
    assert run.to_dict()["module_items"]["updated"] == 1
    assert run.to_dict()["module_items"]["deleted"] == 0
    moved = ModuleItem.objects.get(canvas_id=target["item_id"])
    assert moved.module is not None
    assert moved.module.canvas_id == target["to_module_id"]
    assert wrong(connection) == []


def test_module_deleted_while_its_items_are_asked_for_is_no_failure(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    delete = lambda: canvas.edit("delete_module", course_id=101, module_id=LONG_MODULE)  # noqa: E731
    canvas.before(f"modules/{LONG_MODULE}/items", delete)
    run = sync(connection)
    assert run.sync_status == Status.COMPLETED
    assert "deleted during the sync" in run.steps.get(key=COURSE_STEP).note
    assert not Scope.objects.filter(resource="module_items", course_id=10**13 + 101).exists()
    sync(connection, FULL)
    assert wrong(connection) == []


# --- closed to a token -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["forbidden", "unauthorized_scope"])
@pytest.mark.parametrize(("path", "closed"), [
    ("courses/101/modules", {"modules", "module_items"}),
    ("courses/101/groups", {"groups", "group_memberships"}),
    ("courses/101/group_categories", {"group_categories"}),
    (f"groups/{GROUP}/memberships", {"group_memberships"}),
])  # fmt: skip
def test_what_a_course_refuses_is_a_state_of_that_scope(
    kind: str, path: str, closed: set[str], connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    before = {name: Scope.objects.get(resource=name, course_id=10**13 + 101) for name in closed}
    canvas.set_faults(f"{kind}@{path}")
    canvas.set(clock_offset_seconds=60)
    run = sync(connection, FULL)
    assert (run.sync_status, run.error_message) == (Status.COMPLETED, None)
    refused = Scope.objects.exclude(refused_at=None)
    assert set(refused.values_list("resource", "course_id")) == {(name, 10**13 + 101) for name in closed}
    assert "this token may not read them here" in run.steps.get(key=COURSE_STEP).note
    for name in closed:
        assert refused.get(resource=name).last_complete_at == before[name].last_complete_at
    assert wrong(connection) == []  # nothing of it was concluded to be gone
    canvas.set_faults()
    sync(connection, FULL)
    assert not Scope.objects.exclude(refused_at=None).exists()


def test_refusal_of_what_every_course_shows_its_readers_still_fails_the_course(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    canvas.set_faults("forbidden@courses/101/sections")
    assert sync(connection).sync_status == Status.PARTIAL


def test_student_sees_published_modules_only_and_blanks_nothing(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    student, _ = connect(name="student", base_url=canvas.url, token=canvas.tokens["student"])
    run = sync(student, FULL)
    assert run.sync_status == Status.COMPLETED
    assert run.to_dict()["modules"]["updated"] == 0
    assert Module.objects.filter(workflow_state="unpublished", deleted_at=None).exists()
    assert wrong(connection, resources=("modules", "module_items")) == []


# --- memberships: one row for each group and user ----------------------------------------------------


def member(canvas: EventfulSandbox) -> dict[str, Any]:
    return next(
        row
        for row in canvas.rows("group_memberships")
        if row["group_id"] == GROUP and row["workflow_state"] == "accepted" and row["user_id"] < 10**13
    )


def come_back(canvas: EventfulSandbox, row: dict[str, Any]) -> int:
    """Let somebody leave a group and come back; return the id of their new membership."""
    canvas.edit("remove_group_member", course_id=101, membership_id=row["id"])
    again = canvas.edit("add_group_member", course_id=101, group_id=GROUP, user_id=row["user_id"])
    return int(again["target"]["membership_id"])


@pytest.mark.parametrize("synced_between", [False, True])
def test_who_comes_back_to_a_group_has_the_row_of_before(
    synced_between: bool, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    row = member(canvas)
    before = GroupMembership.objects.get(canvas_id=row["id"])
    if synced_between:
        canvas.edit("remove_group_member", course_id=101, membership_id=row["id"])
        assert sync(connection, FULL).to_dict()["group_memberships"]["deleted"] == 1
        new = canvas.edit("add_group_member", course_id=101, group_id=GROUP, user_id=row["user_id"])
        new_id = new["target"]["membership_id"]
    else:
        new_id = come_back(canvas, row)
    run = sync(connection, FULL)
    assert run.to_dict()["group_memberships"]["deleted"] == 0
    after = GroupMembership.objects.get(pk=before.pk)
    assert (after.canvas_id, after.deleted_at, after.workflow_state) == (new_id, None, "accepted")
    assert (after.group_id, after.user_id) == (before.group_id, before.user_id)
    assert wrong(connection) == []
    assert sync(connection, FULL).db_rows_written == 0


def test_two_memberships_of_one_user_in_one_listing_are_one_row(
    small_pages: None, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    """Somebody leaves and comes back between two pages of the members."""
    row = member(canvas)
    canvas.before(rf"groups/{GROUP}/memberships\?.*page=2", lambda: come_back(canvas, row))
    run = sync(connection)
    assert run.sync_status == Status.COMPLETED
    sync(connection, FULL)
    assert wrong(connection, resources=["group_memberships"]) == []
    mine = GroupMembership.objects.filter(group__canvas_id=GROUP, user__canvas_id=row["user_id"])
    assert mine.count() == 1


def test_row_that_only_a_report_showed_is_met_by_its_listing(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    """The report of memberships has no ids: its rows stand under keys of ours."""
    sync(connection)
    row = GroupMembership.objects.get(canvas_id=member(canvas)["id"])
    GroupMembership.objects.filter(pk=row.pk).delete()
    row.pk, row.membership_id, row.row_hash = 10**13 + 9 * 10**12, None, 0
    row.save(force_insert=True)
    row.refresh_from_db()
    assert row.canvas_id is None
    run = sync(connection, FULL)
    assert run.to_dict()["group_memberships"]["updated"] == 1
    assert run.to_dict()["group_memberships"]["created"] == 0
    assert wrong(connection) == []


def test_rejected_membership_lets_nothing_of_its_course_be_concluded(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    """It has no key of ours: which row it is cannot be told."""
    sync(connection)
    come_back(canvas, member(canvas))
    canvas.set_faults(f"restricted_by_date@groups/{GROUP}/memberships")
    run = sync(connection, FULL)
    assert run.to_dict()["group_memberships"]["rejected"] == 1
    assert run.to_dict()["group_memberships"]["deleted"] == 0
    assert "no deletions concluded" in run.steps.get(key=COURSE_STEP).note


def test_merged_users_keep_one_membership_each(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    """A membership of another user under the same id of Canvas's is found by its new user."""
    sync(connection)
    row = member(canvas)
    outsider = canvas.edit("add_group_member", course_id=101, group_id=GROUP)["target"]
    canvas.edit("remove_group_member", course_id=101, membership_id=outsider["membership_id"])
    truth = next(one for one in canvas.rows("group_memberships") if one["id"] == row["id"])
    truth["user_id"] = outsider["user_id"]
    canvas.edit("rename_course", course_id=103)  # every edit makes the sandbox forget its pages
    sync(connection, FULL)
    assert (
        GroupMembership.objects.get(canvas_id=row["id"], deleted_at=None).user.canvas_id
        == outsider["user_id"]
    )


def test_groups_name_their_course_category_and_members(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    sync(connection)
    group = Group.objects.get(canvas_id=GROUP)
    assert (group.course.canvas_id, group.group_category.name) == (101, "Project groups")
    accepted = group.memberships.filter(workflow_state="accepted")
    assert accepted.count() == group.members_count
    assert set(GroupMembership.objects.values_list("workflow_state", flat=True)) == {
        "accepted",
        "invited",
        "requested",
    }
