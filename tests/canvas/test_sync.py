"""Syncs of a healthy Canvas: what is stored, counted, left alone; modes, scopes and subsets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from canvas.connect import connect
from canvas.models import (
    Assignment,
    Connection,
    Course,
    Enrollment,
    Scope,
    Section,
    Submission,
    Term,
    User,
)
from canvas.resources import RESOURCES
from canvas.sync import ALL_MODELS, SyncOptions, UsageError, sync
from sandbox import edits
from syncmetrics.models import SyncRun
from tests.canvas.comparison import (
    FIELDS,
    MODELS,
    columns_of,
    is_live,
    key_of,
    read_copy,
    shards_of,
    unreachable,
)
from tests.canvas.conftest import EventfulSandbox

Wrong = Callable[..., list[str]]
COMPLETED = SyncRun.Status.COMPLETED

FULL = SyncOptions(mode="full")
INCREMENTAL = SyncOptions(mode="incremental")


def listed(canvas: EventfulSandbox, resource: str) -> tuple[int, int]:
    """How many rows of the truth a full sync lists: live ones, and those listed as deleted."""
    state = canvas.state()
    rows = [row for row in state[resource] if row["id"] not in unreachable(state).get(resource, ())]
    # Only these listings show deleted rows; those of a deleted course are out of reach.
    gone = {row["id"] for row in state["courses"] if row["workflow_state"] == "deleted"}
    shown = resource in ("terms", "courses", "enrollments")
    dead = [row for row in rows if not is_live(resource, row) and row.get("course_id") not in gone]
    return sum(is_live(resource, row) for row in rows), len(dead) if shown else 0


def counts(run: SyncRun, resource: str) -> dict[str, int]:
    return run.to_dict()[resource]


# --- the comparison itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("resource", MODELS)
def test_comparison_covers_every_stored_column(resource: str) -> None:
    assert set(FIELDS[resource]) == columns_of(MODELS[resource])
    assert set(MODELS) == set(RESOURCES)


def test_comparison_sees_a_wrong_value_a_missing_and_a_wrongly_deleted_row(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    User.objects.filter(canvas_id=1004).update(name="Somebody else")
    Submission.objects.filter(canvas_id=100000001).delete()
    Section.objects.filter(canvas_id=20001).update(deleted_at="2026-01-01T00:00Z", workflow_state="deleted")
    Term.objects.filter(canvas_id=4).update(deleted_at=None)
    found = wrong(connection)
    assert [line.partition(":")[0] for line in found] == [
        "terms 4",
        "users 1004",
        "sections 20001",
        "submissions 100000001",
    ]


# --- full syncs --------------------------------------------------------------------------------------


def test_first_sync_is_full_and_equals_canvas(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    run = sync(connection)
    assert (run.sync_status, run.mode, run.error_message) == (COMPLETED, "full", None)
    assert wrong(connection) == []


def test_full_sync_over_many_pages_and_chains_equals_canvas(
    small_pages: None, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.clear_requests()
    run = sync(connection)
    asked = canvas.requests()
    assert run.sync_status == COMPLETED
    assert any("page=bookmark" in entry["query"] for entry in asked)
    assert any("page=3" in entry["query"] for entry in asked)
    assert sum("assignment_ids" in entry["query"] for entry in asked) > 3
    assert wrong(connection) == []


def test_odd_rows_are_stored_as_canvas_has_them(connection: Connection, canvas: EventfulSandbox) -> None:
    sync(connection)
    shards = shards_of(connection.instance)
    foreign = User.objects.get(id=key_of(2107 * 10**13 + 5, shards))
    assert foreign.canvas_id == 5
    assert Enrollment.objects.filter(user=foreign).exists()
    assert Submission.objects.filter(user=foreign).exists()
    assert Submission.objects.filter(grader_id__lt=0).exists()
    assert User.objects.get(canvas_id=1001).name == "Łucja Gómez"
    assert Section.objects.filter(nonxlist_course__canvas_id=102, course__canvas_id=101).count() == 1
    assert set(Course.objects.values_list("workflow_state", flat=True)) == {
        "available",
        "completed",
        "unpublished",
        "deleted",
    }
    states = {"active", "inactive", "invited", "completed", "deleted"}
    assert set(Enrollment.objects.values_list("workflow_state", flat=True)) == states


def test_tombstones_carry_when_they_were_first_seen(connection: Connection, canvas: EventfulSandbox) -> None:
    run = sync(connection)
    term = Term.objects.get(canvas_id=4)
    assert term.workflow_state == "deleted"
    first_seen = term.deleted_at
    assert first_seen
    assert abs((first_seen - run.sync_start_time).total_seconds()) < 30
    canvas.set(clock_offset_seconds=60)
    sync(connection, FULL)
    assert Term.objects.get(canvas_id=4).deleted_at == first_seen


def test_second_sync_writes_no_data_row(connection: Connection, canvas: EventfulSandbox) -> None:
    sync(connection)
    before = read_copy(connection.instance)
    canvas.set(clock_offset_seconds=60)
    for options in (FULL, INCREMENTAL):
        run = sync(connection, options)
        assert run.db_rows_written == 0
        assert read_copy(connection.instance) == before  # `as_of` included


def test_counts_are_exact(connection: Connection, canvas: EventfulSandbox) -> None:
    first, second = sync(connection), sync(connection, FULL)
    nothing = dict.fromkeys(("created", "updated", "unchanged", "deleted", "rejected"), 0)
    for resource in RESOURCES:
        live, tombstones = listed(canvas, resource)
        created = {"processed": live, "created": live, "deleted": tombstones}
        assert counts(first, resource) == nothing | created
        assert counts(second, resource) == nothing | {"processed": live, "unchanged": live}


def test_totals_of_a_run_are_exact(connection: Connection, canvas: EventfulSandbox) -> None:
    canvas.clear_requests()
    run = sync(connection)
    graded = [row for row in canvas.rows("submissions") if row["score"] is not None]
    hidden = unreachable(canvas.state())["submissions"]
    live = [r for r in graded if r["workflow_state"] != "deleted" and r["id"] not in hidden]
    stored = sum(model._default_manager.count() for model in MODELS.values())
    assert run.grades_processed == len(live)
    assert run.api_calls_made == len(canvas.requests())
    assert (run.api_calls_failed, run.api_retries, run.api_rate_limit_hits) == (0, 0, 0)
    assert run.db_rows_written == stored
    assert run.steps.filter(state="completed").count() == run.steps.count() == 4 + 5


def test_rows_repeated_over_pages_count_once(
    small_pages: None, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.set_faults("repeat_rows")
    expected = {name: listed(canvas, name)[0] for name in RESOURCES}
    run = sync(connection)
    assert run.sync_status == COMPLETED
    assert {name: counts(run, name)["processed"] for name in RESOURCES} == expected
    assert wrong(connection) == []


def test_concurrency_does_not_change_the_data(
    small_pages: None, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection, SyncOptions(concurrency=1))
    alone = {name: set(rows) for name, rows in read_copy(connection.instance).items()}
    assert wrong(connection) == []
    for model in MODELS.values():
        model._default_manager.all().delete()
    canvas.clear_requests()
    sync(connection, SyncOptions(mode="full", concurrency=10))
    assert {name: set(rows) for name, rows in read_copy(connection.instance).items()} == alone
    assert wrong(connection) == []


def test_concurrency_bounds_requests_in_flight(connection: Connection, canvas: EventfulSandbox) -> None:
    canvas.set(latency_ms=10)
    for concurrency in (1, 4):
        canvas.clear_requests()
        sync(connection, SyncOptions(concurrency=concurrency, mode="full"))
        assert max(entry["in_flight"] for entry in canvas.requests()) == concurrency


# --- incremental syncs -------------------------------------------------------------------------------

SEEN_AT_ONCE = (
    "grade", "submit",
    "rename_course", "unpublish_course", "publish_course",
    "rename_assignment", "new_assignment", "delete_assignment", "unpublish_assignment", "publish_assignment",
    "conclude_enrollment", "reactivate_enrollment", "move", "rename_user", "delete_course",
    "rename_module", "delete_module", "add_module_item", "move_module_item", "delete_module_item",
)  # fmt: skip

# Groups are asked for again when what the copy has is some hours old.
SEEN_AFTER_HOURS = ("rename_group", "delete_group", "add_group_member", "remove_group_member")

# What these do to submissions moves neither `submitted_at` nor `graded_at`, the only dates Canvas filters
# by; everything else they change an incremental sync must show. A full sync closes the gap.
SUBMISSIONS_SEEN_LATER = (
    "excuse", "hide_grades", "drop_student", "enroll", "cross_list", "delete_user", "merge_users",
)  # fmt: skip


def test_every_edit_of_the_sandbox_is_tried() -> None:
    tokens = {"revoke_token", "expire_token"}
    tried = {*SEEN_AT_ONCE, *SEEN_AFTER_HOURS, *SUBMISSIONS_SEEN_LATER}
    assert tried == set(edits.KINDS) - tokens


@pytest.mark.parametrize("kind", SEEN_AT_ONCE)
def test_incremental_sync_sees_the_edit(
    kind: str, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    assert canvas.edit(kind)["changes"]
    run = sync(connection)
    assert (run.sync_status, run.mode) == (COMPLETED, "incremental")
    assert wrong(connection) == []


@pytest.mark.parametrize("kind", SEEN_AFTER_HOURS)
def test_incremental_sync_asks_again_for_groups_after_some_hours(
    kind: str, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    changes = canvas.edit(kind)["changes"]
    missed = {(change["resource"], change["id"]) for change in changes}
    canvas.clear_requests()
    assert sync(connection).mode == "incremental"
    assert not [entry for entry in canvas.requests() if "/group" in entry["path"]]
    assert wrong(connection, allowed=missed) == []
    canvas.set(clock_offset_seconds=7 * 3600)
    assert sync(connection).mode == "incremental"
    assert wrong(connection) == []


@pytest.mark.parametrize("kind", SEEN_AFTER_HOURS)
def test_full_sync_sees_groups_as_they_are_now(
    kind: str, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    assert canvas.edit(kind)["changes"]
    sync(connection, FULL)
    assert wrong(connection) == []


@pytest.mark.parametrize("kind", SUBMISSIONS_SEEN_LATER)
def test_full_sync_closes_the_gap_of_incremental_ones(
    kind: str, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    changes = canvas.edit(kind)["changes"]
    missed = {("submissions", change["id"]) for change in changes if change["resource"] == "submissions"}
    assert missed
    sync(connection)
    assert wrong(connection, allowed=missed) == []
    run = sync(connection, FULL)
    assert run.sync_status == COMPLETED
    assert wrong(connection) == []


def test_incremental_sync_writes_only_what_changed(connection: Connection, canvas: EventfulSandbox) -> None:
    sync(connection)
    before = read_copy(connection.instance)
    graded, renamed = canvas.edit("grade")["target"], canvas.edit("rename_course")["target"]
    run = sync(connection)
    after = read_copy(connection.instance)
    shards = shards_of(connection.instance)
    changed = {name: {key for key in after[name] if after[name][key] != before[name][key]} for name in after}
    assert changed == {name: set() for name in MODELS} | {
        "submissions": {key_of(graded["submission_id"], shards)},
        "courses": {key_of(renamed["course_id"], shards)},
    }
    assert run.db_rows_written == 2
    assert counts(run, "submissions")["updated"] == 1
    assert counts(run, "courses")["updated"] == 1


def test_incremental_sync_asks_for_submissions_since_the_last_one_by_canvas_clock(
    connection: Connection, canvas: EventfulSandbox, settings: Any
) -> None:
    settings.CANVAS_CURSOR_OVERLAP_SECONDS = 90
    first = sync(connection)
    assert first.canvas_clock
    canvas.clear_requests()
    sync(connection)
    asked = [parse_qs(entry["query"]) for entry in canvas.requests() if "submissions" in entry["path"]]
    since = (first.canvas_clock - timedelta(seconds=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
    with_work = 4  # courses with published assignments
    assert [query.get("submitted_since") for query in asked].count([since]) == with_work
    assert [query.get("graded_since") for query in asked].count([since]) == with_work
    assert len(asked) == 2 * with_work


def test_new_assignment_brings_its_submissions(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    made = canvas.edit("new_assignment", course_id=101)
    run = sync(connection)
    new = [change for change in made["changes"] if change["resource"] == "submissions"]
    assert counts(run, "submissions")["created"] == len(new) > 5
    assert wrong(connection) == []


def test_course_new_since_the_last_sync_is_read_whole_by_an_incremental_one(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection, SyncOptions(term_scope="2"))
    assert not Submission.objects.filter(course__canvas_id=104).exists()
    run = sync(connection, INCREMENTAL)
    assert run.sync_status == COMPLETED
    assert Submission.objects.filter(course__canvas_id=104).exists()
    assert wrong(connection) == []


# --- which mode --------------------------------------------------------------------------------------


def test_bare_syncs_are_full_until_one_full_sync_completed(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    canvas.set_faults("500@courses/101/sections")
    modes = [(run.mode, run.sync_status) for run in [sync(connection)]]
    canvas.set_faults()
    for _ in range(2):
        run = sync(connection)
        modes.append((run.mode, run.sync_status))
    assert modes == [("full", "partial"), ("full", "completed"), ("incremental", "completed")]


def test_full_sync_of_some_models_makes_only_those_incremental(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    some = SyncOptions(models=frozenset({"courses", "assignments"}))
    less = SyncOptions(models=frozenset({"courses"}))
    assert [sync(connection, options).mode for options in (some, some, less)] == [
        "full",
        "incremental",
        "incremental",
    ]
    assert wrong(connection, resources=["courses", "assignments"]) == []
    assert sync(connection).mode == "full"
    assert wrong(connection) == []


def test_full_sync_of_one_course_says_nothing_of_the_others(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    one, both = SyncOptions(courses=("101",)), SyncOptions(courses=("101", "102"))
    assert [sync(connection, options).mode for options in (one, one, both, both)] == [
        "full",
        "incremental",
        "full",
        "incremental",
    ]
    assert sync(connection).mode == "full"
    assert sync(connection, SyncOptions(courses=("103",))).mode == "incremental"


def test_dry_run_does_not_count_as_a_full_sync(connection: Connection, canvas: EventfulSandbox) -> None:
    sync(connection, SyncOptions(dry_run=True))
    assert sync(connection).mode == "full"


def test_incremental_first_sync_reads_everything(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    run = sync(connection, INCREMENTAL)
    assert (run.mode, run.sync_status) == ("incremental", COMPLETED)
    assert wrong(connection) == []


# --- subsets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", RESOURCES)
def test_one_model_alone_is_synced_and_nothing_else(
    resource: str, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    run = sync(connection, SyncOptions(models=frozenset({resource})))
    assert run.sync_status == COMPLETED
    assert wrong(connection, resources=[resource]) == []
    assert [name for name, model in MODELS.items() if model._default_manager.exists()] == [resource]
    assert [name for name in RESOURCES if any(counts(run, name).values())] == [resource]


@pytest.mark.parametrize(
    "spelling", ["102", "7~102", "70000000000102", "sis_course_id:{sis}", "sis_course_id:hum%C3%A9 1/2?&#"]
)
def test_course_in_every_spelling(spelling: str, connection: Connection, canvas: EventfulSandbox) -> None:
    row = next(row for row in canvas.rows("courses") if row["id"] == 102)
    if "{sis}" not in spelling:
        row["sis_course_id"] = "hum%C3%A9 1/2?&#"
        canvas.edit("rename_user")  # so that the sandbox forgets its pages
    run = sync(connection, SyncOptions(courses=(spelling.format(sis=row["sis_course_id"]),)))
    assert run.sync_status == COMPLETED, run.error_message
    assert [course.canvas_id for course in Course.objects.all()] == [102]
    assert set(Submission.objects.values_list("course__canvas_id", flat=True)) == {102}


def test_course_named_twice_is_synced_once(connection: Connection, canvas: EventfulSandbox) -> None:
    run = sync(connection, SyncOptions(courses=("102", "7~102", "101")))
    assert run.sync_status == COMPLETED
    assert counts(run, "courses")["processed"] == 2
    assert sorted(run.steps.values_list("key", flat=True)) == [
        "course:10000000000101",
        "course:10000000000102",
        "courses",
    ]


def test_unknown_course_fails_and_says_which(connection: Connection, canvas: EventfulSandbox) -> None:
    run = sync(connection, SyncOptions(courses=("102", "999")))
    assert run.sync_status == SyncRun.Status.FAILED
    assert "courses/999" in run.error_message
    assert "check the id" in run.error_message
    assert Submission.objects.filter(course__canvas_id=102).exists()


@pytest.mark.parametrize(
    ("scope", "contents"),
    [
        ("all", {101, 102, 103, 104, 105}),
        ("active", {101, 102, 103, 105}),
        ("2", {101, 102, 103}),
        ("7~3", {104}),
        ("sis_term_id:2025-FA", {104}),
        ("sis_term_id:nobody", set()),
    ],
)
def test_term_scope_limits_what_is_read_of_courses(
    scope: str, contents: set[int], connection: Connection, canvas: EventfulSandbox
) -> None:
    run = sync(connection, SyncOptions(models=frozenset({"courses", "enrollments"}), term_scope=scope))
    assert run.sync_status == COMPLETED
    assert set(Enrollment.objects.values_list("course__canvas_id", flat=True)) == contents
    assert Course.objects.count() == 6  # the courses themselves are all listed


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (SyncOptions(models=frozenset({"courses", "wikis"})), "Unknown models: wikis"),
        (SyncOptions(courses=("history",)), "'history' is no course id"),
        (SyncOptions(courses=("-5",)), "'-5' is no course id"),
        (SyncOptions(courses=("sis_course_id:",)), "is no course id"),
        (SyncOptions(courses=("101", "../users")), "is no course id"),
        (SyncOptions(term_scope="spring"), "'spring' is no term id"),
        (SyncOptions(term_scope="99999999999999999999"), "is no term id"),
    ],
)
def test_nonsense_options_are_refused_before_a_run_begins(
    options: SyncOptions, says: str, connection: Connection
) -> None:
    with pytest.raises(UsageError, match=says):
        sync(connection, options)
    assert not SyncRun.objects.exists()


# --- dry runs ----------------------------------------------------------------------------------------


def test_dry_run_writes_no_data_and_says_what_would_change(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    promised = sync(connection, SyncOptions(dry_run=True))
    assert (promised.sync_status, promised.dry_run, promised.db_rows_written) == (COMPLETED, True, 0)
    assert not any(model._default_manager.exists() for model in MODELS.values())
    assert not Scope.objects.exists()
    done = sync(connection)
    assert {n: counts(promised, n) for n in RESOURCES} == {n: counts(done, n) for n in RESOURCES}


def test_dry_run_of_changes_and_deletions_leaves_the_copy(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    before = read_copy(connection.instance), list(Scope.objects.order_by("pk").values())
    for kind in ("grade", "rename_user", "drop_student", "new_assignment", "delete_user"):
        canvas.edit(kind)
    promised = sync(connection, SyncOptions(dry_run=True, mode="full"))
    assert (read_copy(connection.instance), list(Scope.objects.order_by("pk").values())) == before
    done = sync(connection, FULL)
    assert {n: counts(promised, n) for n in RESOURCES} == {n: counts(done, n) for n in RESOURCES}
    assert counts(done, "users")["deleted"] == 1
    assert wrong(connection) == []


# --- the copy of one Canvas by several connections ---------------------------------------------------


def test_two_canvases_with_the_same_ids_do_not_meet(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    with EventfulSandbox(seed=2) as other:
        second = connect(name="second", base_url=other.url, token=other.token)[0]
        sync(connection)
        sync(second)
        instances = {connection.instance_id, second.instance_id}
        assert len(instances) == 2
        for model in MODELS.values():
            assert set(model._default_manager.values_list("instance_id", flat=True)) == instances
        other.edit("delete_user")
        sync(second, FULL)
    assert wrong(connection) == []
    same_id = Course.objects.filter(canvas_id=101)
    assert same_id.count() == 2


def test_sync_is_recorded_with_what_started_it(connection: Connection, canvas: EventfulSandbox) -> None:
    run = sync(connection, SyncOptions(models=frozenset({"terms"})), trigger="schedule", user_id=7)
    assert (run.trigger, run.user_id, run.connection_name) == ("schedule", 7, "main")
    assert (run.instance_key, run.connection_key) == (connection.instance_id, connection.pk)
    assert run.options == {"models": ["terms"], "courses": [], "user": "", "term_scope": "all"}


def test_every_model_is_synced_by_default() -> None:
    assert SyncOptions().models == ALL_MODELS == set(MODELS)


def test_parents_of_every_row_are_there_after_a_sync_of_everything(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    sync(connection)
    assert not Submission.objects.filter(assignment__name=None).exists()
    assert not Enrollment.objects.filter(user__name=None).exists()
    assert not Assignment.objects.filter(assignment_group__name=None).exists()
