"""Syncs of a Canvas that fails, lies or refuses: true states, nothing lost, nothing wrongly deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from canvas.connect import connect
from canvas.models import Connection, Course, Enrollment, Scope, Submission
from canvas.sync import SyncOptions, sync
from syncmetrics.models import SyncRun, SyncStep
from tests.canvas.comparison import differences, read_copy, shards_of
from tests.canvas.conftest import EventfulSandbox

pytestmark = pytest.mark.usefixtures("secrecy")

Wrong = Callable[..., list[str]]
Status = SyncRun.Status
FULL = SyncOptions(mode="full")


SOME = SyncOptions(models=frozenset({"users", "enrollments", "assignment_groups"}), mode="full")
ONE_COURSE = SyncOptions(courses=("101",), mode="full")


@pytest.fixture
def short_waits(kind: str, settings: Any) -> None:
    """Give a Canvas that is silent two seconds; one that answers may be slow on a busy machine."""
    if kind == "timeout":
        settings.CANVAS_READ_TIMEOUT_SECONDS = 2


def kinds(names: Iterable[str]) -> list[Any]:
    """Return kinds of failures as parameters: most end before the database is asked, so on one database."""
    on_both = ("500", "timeout", "forbidden")
    return [pytest.param(name, marks=() if name in on_both else pytest.mark.sqlite) for name in names]


# --- what passes -------------------------------------------------------------------------------------

PASSING = (
    "500", "502", "html503", "reset", "timeout", "truncated", "cut_json", "throttle403", "throttle429",
)  # fmt: skip


@pytest.mark.parametrize("kind", kinds(PASSING))
def test_failure_that_passes_costs_nothing_but_retries(
    kind: str, short_waits: None, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.set_faults([{"kind": kind, "count": 1, "path": p} for p in ("/enrollments", "/users", "groups")])
    run = sync(connection, SOME)
    assert (run.sync_status, run.error_message) == (Status.COMPLETED, None)
    assert [rule["struck"] for rule in canvas.faults()] == [1, 1, 1]
    assert run.api_calls_failed == run.api_retries >= 3
    assert kind == "timeout" or run.api_retries == 3  # on a busy machine others may time out too
    assert run.api_rate_limit_hits == (3 if kind.startswith("throttle") else 0)
    assert wrong(connection, resources=SOME.models) == []


def test_retry_after_is_waited_for(connection: Connection, canvas: EventfulSandbox, wrong: Wrong) -> None:
    canvas.set_faults([{"kind": "throttle429", "count": 1, "retry_after": 1}])
    run = sync(connection, SyncOptions(models=frozenset({"terms"})))
    assert run.sync_status == Status.COMPLETED
    assert run.total_duration_seconds is not None
    assert run.total_duration_seconds > 1


def test_answer_that_drips_is_read_to_its_end(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.set_faults([{"kind": "drip", "seconds": 0.0005, "count": 1, "path": "/terms"}])
    run = sync(connection, SyncOptions(models=frozenset({"terms"})))
    assert (run.sync_status, run.api_retries) == (Status.COMPLETED, 0)
    assert wrong(connection, resources=["terms"]) == []


@pytest.mark.parametrize("kind", ["short_page", "empty_page_with_next"])
def test_short_and_empty_pages_with_a_next_link_are_not_the_end(
    kind: str, small_pages: None, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.set_faults(kind)
    run = sync(connection)
    assert run.sync_status == Status.COMPLETED, run.error_message
    assert wrong(connection) == []


# --- what stays --------------------------------------------------------------------------------------

STAYING = {
    "500": "Canvas answers 500 for courses/101/enrollments: try later.",
    "html503": "Canvas answers 503 for courses/101/enrollments: try later.",
    "html200": "is not Canvas's API but a web page: check the base URL",
    "redirect": "redirects to elsewhere.invalid: give the address of Canvas itself",
    "reset": "try later",
    "timeout": "did not answer in time: try later",
    "truncated": "try later",
    "cut_json": "was cut short or garbled: try later",
    "not_a_list": "Canvas sent no list where one belongs: check that the base URL",
    "unauthorized_scope": "The token's scopes leave out courses/101/enrollments: add the scope",
    "forbidden": "The token may not read courses/101/enrollments",
    "not_found": "Canvas has no courses/101/enrollments",
    "throttle403": "too many requests at once: lower the concurrency",
    "throttle429": "too many requests at once: lower the concurrency",
    "loop": "leads back to a page already read",
    "foreign_next": "the token is not sent there",
}
NOT_RETRIED = {
    "html200",
    "redirect",
    "not_a_list",
    "unauthorized_scope",
    "forbidden",
    "not_found",
    "loop",
    "foreign_next",
}


@pytest.mark.parametrize("kind", kinds(STAYING))
def test_failure_that_stays_fails_its_step_and_concludes_nothing(
    kind: str, small_pages: None, short_waits: None, connection: Connection, canvas: EventfulSandbox
) -> None:
    first = sync(connection, ONE_COURSE)
    before = read_copy(connection.instance)
    canvas.set(clock_offset_seconds=60)
    canvas.set_faults([{"kind": kind, "path": "courses/101/enrollments"}])
    run = sync(connection, ONE_COURSE)
    assert run.sync_status == Status.PARTIAL
    assert STAYING[kind] in (run.error_message or "")
    step = SyncStep.objects.get(run=run, state=SyncStep.State.FAILED)
    assert step.key == "course:10000000000101"
    assert step.error_class
    assert STAYING[kind] in step.error_message
    assert run.api_retries == (0 if kind in NOT_RETRIED else 2)
    assert read_copy(connection.instance) == before
    assert Scope.objects.get(resource="sections").last_full_at == run.canvas_clock
    assert Scope.objects.get(resource="enrollments").last_full_at == first.canvas_clock != run.canvas_clock


def test_lost_next_link_of_numbered_pages_is_noticed(
    small_pages: None, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.set_faults("drop_next@accounts/1/users")
    run = sync(connection)
    assert run.sync_status == Status.PARTIAL
    assert "next" in (run.error_message or "")
    assert not Scope.objects.filter(resource="users").exists()


def test_lost_next_link_of_bookmarks_deletes_nothing(
    small_pages: None, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    canvas.set_faults("drop_next@courses/10[12]/(enrollments|students)")
    run = sync(connection, FULL)
    assert run.sync_status == Status.COMPLETED
    assert wrong(connection) == []  # every row that was not shown was asked for, and answered


def test_course_listing_that_fails_half_way_keeps_what_it_showed(
    small_pages: None, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    canvas.set_faults("500@accounts/1/courses.*page=2")
    run = sync(connection, FULL)
    assert run.sync_status == Status.FAILED
    assert "Canvas answers 500 for accounts/1/courses: try later." in (run.error_message or "")
    assert wrong(connection) == []
    assert run.steps.filter(state="completed", key__startswith="course:").count() == 5


def test_canvas_that_is_down_ends_the_run_soon(
    connection: Connection, canvas: EventfulSandbox, settings: Any
) -> None:
    sync(connection)
    before = read_copy(connection.instance)
    canvas.set_faults("html503")
    run = sync(connection, FULL)
    assert (run.sync_status, run.error_class) == (Status.FAILED, "Unavailable")
    assert run.api_calls_made == settings.CANVAS_MAX_TRIES
    assert read_copy(connection.instance) == before
    connection.refresh_from_db()
    assert connection.state != Connection.State.REJECTED


def test_nothing_listens_at_the_address_any_more(connection: Connection, canvas: EventfulSandbox) -> None:
    canvas.stop()
    run = sync(connection)
    assert (run.sync_status, run.error_class) == (Status.FAILED, "Unavailable")
    assert f"The connection to {canvas.url} failed" in (run.error_message or "")


# --- tokens and permissions --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["revoke_token", "expire_token"])
def test_token_that_ends_before_a_run_fails_it(
    kind: str, connection: Connection, canvas: EventfulSandbox
) -> None:
    sync(connection)
    before = read_copy(connection.instance)
    canvas.edit(kind)
    run = sync(connection)
    assert (run.sync_status, run.error_class) == (Status.FAILED, "TokenRejected")
    assert "make a new one in Canvas" in (run.error_message or "")
    assert read_copy(connection.instance) == before
    connection.refresh_from_db()
    assert connection.state == Connection.State.REJECTED


def test_token_revoked_mid_run_fails_it_and_a_new_token_goes_on(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.before("courses/103/students/submissions", lambda: canvas.edit("revoke_token"))
    run = sync(connection)
    assert (run.sync_status, run.error_class) == (Status.FAILED, "TokenRejected")
    connection.refresh_from_db()
    assert connection.state == Connection.State.REJECTED
    assert "make a new one in Canvas" in connection.state_message
    assert Course.objects.count() == len(list(canvas.rows("courses")))  # what was read is kept
    assert not [line for line in wrong(connection) if not line.endswith("missing")]

    again, _ = connect(name="main", base_url=canvas.url, token=canvas.new_admin_token())
    assert (again.pk, again.state, again.state_message) == (connection.pk, Connection.State.OK, "")
    done = sync(again, resume=run)
    assert (done.sync_status, done.resumed_from, done.mode) == (Status.COMPLETED, run, "full")
    assert wrong(connection) == []


def test_token_that_works_again_is_no_longer_called_rejected(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    canvas.set_faults("unauthorized::1")
    assert sync(connection).error_class == "TokenRejected"
    sync(connection)
    connection.refresh_from_db()
    assert (connection.state, connection.state_message) == (Connection.State.OK, "")


@pytest.mark.parametrize("status", [401, 403])
def test_course_out_of_reach_is_no_dead_token(status: int, db: None, canvas: EventfulSandbox) -> None:
    canvas.set(permission_status=status)  # older Canvases answer 401, without WWW-Authenticate
    connection, _ = connect(name="arts", base_url=canvas.url, token=canvas.tokens["subaccount_admin"])
    run = sync(connection, SyncOptions(courses=("101", "102")))  # 101 is not in their account
    assert (run.sync_status, run.error_class) == (Status.FAILED, "NotPermitted")
    assert "may not read courses/101" in (run.error_message or "")
    connection.refresh_from_db()
    assert connection.state == Connection.State.OK
    assert set(Enrollment.objects.values_list("course__canvas_id", flat=True)) == {102}


def test_admin_token_that_lost_its_rights_deletes_nothing(
    connection: Connection, canvas: EventfulSandbox
) -> None:
    sync(connection)
    before = read_copy(connection.instance)
    connection.token = canvas.tokens["student"]
    connection.save()
    sync(connection, FULL)
    after = read_copy(connection.instance)
    for name, rows in before.items():
        assert not [key for key, row in rows.items() if after[name][key]["deleted_at"] != row["deleted_at"]]


def test_assignment_unpublished_meanwhile_costs_only_its_own_submissions(
    small_pages: None, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    hidden = canvas.state("assignments")["assignments"][2]["id"]
    canvas.before(
        "courses/101/students/submissions",
        lambda: canvas.edit("unpublish_assignment", course_id=101, assignment_id=hidden),
    )
    graded = canvas.edit("excuse", course_id=101)["target"]
    run = sync(connection, FULL)
    assert run.sync_status == Status.COMPLETED
    assert "unpublished during the sync" in run.steps.get(key="course:10000000000101").note
    assert wrong(connection, allowed={("assignments", hidden)}) == []
    assert Submission.objects.get(canvas_id=graded["submission_id"]).excused
    sync(connection, FULL)
    assert wrong(connection) == []
    assert Submission.objects.filter(assignment__canvas_id=hidden, deleted_at=None).count() == 10


def test_course_deleted_meanwhile_fails_its_step_only(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    canvas.before("courses/103/", lambda: canvas.edit("delete_course", course_id=103))
    run = sync(connection, FULL)
    assert run.sync_status == Status.PARTIAL
    assert "Canvas has no courses/103" in (run.error_message or "")
    sync(connection, FULL)
    assert wrong(connection) == []
    assert Course.objects.get(canvas_id=103).deleted_at


# --- rows that are not as documented -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["string_ids", "tilde_ids", "global_ids", "unknown_fields"])
def test_ids_in_any_spelling_and_unknown_fields_change_nothing(
    kind: str, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.set_faults(kind)
    first = sync(connection)
    assert (first.sync_status, first.mode) == (Status.COMPLETED, "full")
    assert wrong(connection) == []
    canvas.set_faults()
    assert sync(connection, FULL).db_rows_written == 0


# What only one row of each page has: stored as far as it can be, and mended by the next sync.
ODD_VALUES = ("unknown_state", "null_fields", "nul_text", "surrogate")


@pytest.mark.parametrize("kind", ODD_VALUES)
def test_odd_values_of_one_row_are_stored_or_cleaned(
    kind: str, connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    canvas.set_faults(f"{kind}@/(terms|users|sections|enrollments|submissions)")
    run = sync(connection)
    assert run.sync_status == Status.COMPLETED, run.error_message
    assert not [line for line in wrong(connection) if line.endswith("missing")]
    assert all(count["rejected"] == 0 for count in run.counts.values("rejected"))
    canvas.set_faults()
    sync(connection, FULL)
    assert wrong(connection) == []


LISTINGS = "/(terms|users|sections|enrollments|assignment_groups|submissions|courses.state)"
LISTED = {"terms", "users", "courses", "sections", "enrollments", "assignment_groups", "submissions"}


@pytest.mark.parametrize(
    ("kind", "reason", "spared"),
    [
        ("row_not_object", "a record is not an object", {"terms"}),  # the sandbox leaves wrapped rows alone
        ("out_of_range_id", "id out of range", set()),
        ("restricted_by_date", "Canvas restricts this record by date", set()),
    ],
)
def test_rows_that_cannot_be_stored_are_rejected_and_nothing_is_deleted(
    kind: str, reason: str, spared: set[str], connection: Connection, canvas: EventfulSandbox
) -> None:
    sync(connection)
    before = read_copy(connection.instance)
    canvas.set_faults(f"{kind}@{LISTINGS}")
    run = sync(connection, FULL)
    assert run.db_rows_written == 0
    assert read_copy(connection.instance) == before
    for name in LISTED - spared:
        assert run.to_dict()[name]["rejected"] > 0, name
        assert run.rejections.filter(entity=name, reason__contains=reason).exists()


@pytest.mark.parametrize(
    "kind", ["out_of_range_id", "not_a_list", "forbidden", "html200", "500", "cut_json", "restricted_by_date"]
)
def test_missing_row_that_answers_nonsense_is_not_deleted(
    kind: str, small_pages: None, connection: Connection, canvas: EventfulSandbox
) -> None:
    sync(connection, ONE_COURSE)
    before = read_copy(connection.instance)
    canvas.set_faults(
        [{"kind": "drop_next", "path": "courses/101/enrollments"}, {"kind": kind, "path": r"/enrollments/\d"}]
    )
    canvas.clear_requests()
    sync(connection, ONE_COURSE)
    assert sum("accounts/1/enrollments/" in entry["path"] for entry in canvas.requests()) >= 9
    assert read_copy(connection.instance) == before


def test_group_without_its_assignments_is_no_group_without_any(
    connection: Connection, canvas: EventfulSandbox, wrong: Wrong
) -> None:
    sync(connection)
    canvas.set_faults("null_fields@courses/101/assignment_groups")
    run = sync(connection, FULL)
    assert run.sync_status == Status.PARTIAL
    assert "an assignment group without its assignments" in (run.error_message or "")
    canvas.set_faults()
    nulls = wrong(connection)  # the group's own fields, which Canvas sent as null
    assert nulls
    assert all(line.startswith("assignment_groups 300001: ") for line in nulls)
    sync(connection, FULL)
    assert wrong(connection) == []


# --- clocks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [-5, 5])
def test_canvas_clock_that_is_off_loses_no_change(
    minutes: int, canvas: EventfulSandbox, db: None, wrong: Wrong
) -> None:
    canvas.set(clock_offset_seconds=60 * minutes)
    connection, _ = connect(name="main", base_url=canvas.url, token=canvas.token)
    first = sync(connection)
    assert first.canvas_clock
    assert abs((first.canvas_clock - first.sync_start_time).total_seconds() - 60 * minutes) < 30
    for kind in ("grade", "submit", "rename_assignment", "new_assignment", "drop_student"):
        canvas.edit(kind)
    sync(connection)
    latest = timezone.now() + timedelta(minutes=minutes, seconds=5)
    assert not Submission.objects.filter(as_of__gt=latest).exists()
    sync(connection, FULL)
    assert wrong(connection) == []


# --- all at once -------------------------------------------------------------------------------------

STORM = (
    "500:0.1,reset:0.1,truncated:0.1,throttle403:0.1,cut_json:0.05,html503:0.05,throttle429:0.05,"
    "short_page:0.3,empty_page_with_next:0.3,repeat_rows:0.3,string_ids:0.1,tilde_ids:0.1,unknown_fields:0.1"
)


@pytest.mark.parametrize(("seed", "tries"), [(1, 8), (2, 8), (3, 3), (4, 3)])
def test_storm_of_faults_ends_equal_or_partial_with_nothing_wrong(
    seed: int, tries: int, small_pages: None, db: None, quick: None, settings: Any
) -> None:
    settings.CANVAS_MAX_TRIES = tries
    with EventfulSandbox(seed=seed) as canvas:
        _weather(canvas)


def _weather(canvas: EventfulSandbox) -> None:
    connection, _ = connect(name="main", base_url=canvas.url, token=canvas.token)

    def wrong() -> list[str]:
        copy = read_copy(connection.instance)
        return differences(canvas.state(), copy, shards_of(connection.instance))

    canvas.set_faults(STORM)
    run = sync(connection)
    assert run.api_retries
    if run.sync_status != Status.COMPLETED:
        assert all(line.endswith("missing") for line in wrong())
        canvas.set_faults()
        run = sync(connection, resume=run)
    assert run.sync_status == Status.COMPLETED
    assert wrong() == []
