"""Real Canvas answers, recorded from 2013 to now: each record is stored as it is, or rejected with a reason.

What was never recorded is answered as Canvas answers it: a course of which no sections are known has an
empty list of them, and an address nobody recorded does not exist (404).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from canvas.client import CanvasClient
from canvas.connect import ALLOWED, connect
from canvas.fetcher import Fetcher, Listing, ListingDone, PageFetched
from canvas.mapping import Mapper
from canvas.models import CanvasRow, Connection, Course, Instance, Shard, Submission
from canvas.resources import RESOURCES
from canvas.sync import SyncOptions, sync
from canvas.throttle import Throttle
from canvas.writer import Table, Writer
from easel.ids import SHARD_SIZE
from syncmetrics.models import SyncRun
from tests.canvas.replay import RecordedCanvas, Recording, recorded_canvas, recordings

TOKEN = "recorded-0123456789"
NOW = datetime(2026, 1, 3, tzinfo=UTC)
COURSE_OF_ASSIGNMENTS = 862539

# Which resource a path's last noun, or a key inside another record, stands for.
NOUNS = {name: name for name in RESOURCES} | {"sub_accounts": "accounts"}
NESTED = {"user": "users", "students": "users", "term": "terms", "enrollments": "enrollments"}

Found = dict[str, list[Any]]


def resource_of(path: str) -> str | None:
    nouns = [part for part in path.split("/") if re.fullmatch("[a-z_]+", part)]
    return NOUNS.get(nouns[-1])


def records_in(path: str, rows: list[Any]) -> Found:
    """Sort the records of an answer by resource, those inside other records too."""
    found: Found = defaultdict(list)
    if name := resource_of(path):
        found[name] += rows
    for key, record in _nested(rows):
        found[NESTED[key]].append(record)
    return found


def _nested(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _nested(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in NESTED:
                items = inner if isinstance(inner, list) else [inner]
                yield from ((key, item) for item in items if isinstance(item, dict))
            yield from _nested(inner)


# Records in all the recordings, those inside other records too. No assignment group was recorded.
RECORDED = {
    "accounts": 8,
    "terms": 18,
    "users": 123,
    "courses": 13,
    "sections": 48,
    "enrollments": 17,
    "assignments": 8,
    "submissions": 11,
}
FEED = [
    (recording.name, name, records)
    for recording in recordings()
    for name, records in records_in(recording.path, recording.rows).items()
    if records
]


def local(key: int | None) -> int | None:
    return None if key is None else key % SHARD_SIZE


def by_id(records: list[Any]) -> dict[int, list[Any]]:
    """Return what was said under each id: more than one thing, when a listing repeats it."""
    found: dict[int, list[Any]] = defaultdict(list)
    for record in records:
        found[int(record["id"])].append(record)
    return dict(found)


def as_stored(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return what Canvas said under the names of our columns."""
    if name != "enrollments":
        return record
    return {**record, **record.get("grades", {}), "workflow_state": record["enrollment_state"]}


def unlike(rows: Iterable[CanvasRow], name: str, said: dict[int, list[Any]]) -> list[Any]:
    """Return the rows that are not, in every column, as Canvas said at once, and what differs."""
    compared = [
        (row.canvas_id, [differences(row, name, record) for record in said[row.canvas_id]]) for row in rows
    ]
    return [(key, wrong) for key, wrong in compared if all(wrong)]


def differences(row: CanvasRow, name: str, record: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Compare every column that Canvas said something about; return what differs."""
    said = as_stored(name, record)
    columns = {field.attname for field in row._meta.concrete_fields} & set(said) - {"id"}
    return {
        column: (getattr(row, column), said[column])
        for column in columns
        if not same(getattr(row, column), said[column])
    }


def same(stored: Any, said: Any) -> bool:
    if stored is None or said is None:
        return stored is said
    if isinstance(stored, datetime):
        return stored == datetime.fromisoformat(said)
    if isinstance(stored, int) and stored > SHARD_SIZE:
        return local(stored) == int(said)
    if isinstance(stored, str) and isinstance(said, int | float):
        return stored == str(said)
    return bool(stored == said) and type(stored) in (type(said), float)


def test_same_sees_a_difference() -> None:
    assert same(3 * SHARD_SIZE + 7, "7")
    assert same(56.0, 56)
    assert not same(None, "")
    assert not same(3 * SHARD_SIZE + 7, 8)
    assert not same(1, True)
    assert not same(datetime(2012, 9, 25, tzinfo=UTC), "2012-09-25T00:00:00-07:00")


# --- whole syncs -------------------------------------------------------------------------------


def connected(canvas: RecordedCanvas) -> Connection:
    connection, _ = connect(name="recorded", base_url=canvas.url, token=TOKEN)
    canvas.shown.clear()
    canvas.empty.clear()
    return connection


def shown_by(canvas: RecordedCanvas) -> dict[str, dict[int, list[Any]]]:
    """Return every record Canvas showed, by resource and id; assignments were shown inside their groups."""
    shown: Found = defaultdict(list)
    for path, rows in canvas.shown.items():
        if name := resource_of(path):
            shown[name] += rows
    shown["assignments"] = [item for group in shown["assignment_groups"] for item in group["assignments"]]
    return {name: by_id(records) for name, records in shown.items() if records}


def counts(run: SyncRun, *names: str) -> dict[str, tuple[int, ...]]:
    data = run.to_dict()
    return {entity: tuple(data[entity][name] for name in names) for entity in RESOURCES}


def check_everything_is_stored(canvas: RecordedCanvas) -> None:
    """Compare the tables with what was shown: the same ids, every column as Canvas said."""
    shown = shown_by(canvas)
    assert SyncRun.objects.latest("pk").rejections.count() == 0
    for name, resource in RESOURCES.items():
        rows = resource.model._default_manager.all()
        assert {row.canvas_id for row in rows} == set(shown.get(name, ())), name
        assert unlike(rows, name, shown.get(name, {})) == [], name


# Distinct records that the recordings hold of each resource and a sync can reach: live, and deleted.
ADMIN = {
    "accounts": (5, 0),  # three sub-accounts, one recorded alone, and the root, known by its id only
    "terms": (15, 1),
    "users": (4, 0),
    "courses": (12, 0),  # nine recorded; three of which only the contents were
    "sections": (16, 0),
    "enrollments": (5, 0),
    "assignment_groups": (1, 0),
    "assignments": (2, 0),
    "submissions": (3, 0),  # four were recorded, two of them under one id
    # None were recorded of these.
    "modules": (0, 0),
    "module_items": (0, 0),
    "group_categories": (0, 0),
    "groups": (0, 0),
    "group_memberships": (0, 0),
}
# What the recordings answer themselves.
ANSWERED = {
    "accounts",
    "accounts/12345/courses",
    "accounts/12345/sub_accounts",
    "accounts/12345/terms",
    "accounts/12345/users",
    "courses/1/enrollments",
    "courses/149650/enrollments",
    "courses/814322/sections",
    "courses/862539/assignment_groups",
    "courses/862539/enrollments",
    "courses/862539/students/submissions",
    "users/self",
}
# What was not recorded, and is an empty list: of the second account, and of every course.
# (Submissions are asked for only where assignments were found.)
LISTED_BY_ACCOUNT = {f"accounts/696969/{noun}" for noun in ("courses", "sub_accounts", "users")}
LISTED_BY_COURSE = (
    "assignment_groups",
    "enrollments",
    "group_categories",
    "groups",
    "modules",
    "sections",
)


@pytest.mark.django_db
def test_full_sync_of_an_account_stores_every_record_shown() -> None:
    with recorded_canvas() as canvas:
        connection = connected(canvas)
        run = sync(connection)
    assert (run.sync_status, run.mode, run.error_message) == ("completed", "full", None)
    assert counts(run, "processed", "deleted") == ADMIN
    assert set(canvas.shown) == ANSWERED
    by_course = {
        f"courses/{course}/{noun}" for course in shown_by(canvas)["courses"] for noun in LISTED_BY_COURSE
    }
    assert canvas.empty == (LISTED_BY_ACCOUNT | by_course) - ANSWERED
    assert canvas.unknown == {"users/self/user_generated_tokens"}
    check_everything_is_stored(canvas)
    assert run.to_dict()["api_metrics"]["calls_failed"] == 0


@pytest.mark.django_db
def test_connecting_bears_addresses_that_do_not_exist() -> None:
    with recorded_canvas() as canvas:
        connection, probe = connect(name="recorded", base_url=canvas.url, token=TOKEN)
    assert canvas.unknown == {"users/self/user_generated_tokens"}
    assert probe.expiry == Connection.Expiry.UNKNOWN
    assert connection.authoritative
    (me,) = canvas.shown["users/self"]
    assert (connection.canvas_user_id, probe.user_name) == (me["id"], me["name"])
    assert set(connection.capabilities.values()) == {ALLOWED}


@pytest.mark.django_db
def test_listings_of_several_pages_with_relative_links_are_read_whole() -> None:
    with recorded_canvas() as canvas:
        connection = connected(canvas)
        sync(connection, SyncOptions(models=frozenset({"terms", "sections"})))
    pages = [target for target, _ in canvas.seen if re.search(r"[?&]page=2&", target)]
    assert {page.partition("?")[0].removeprefix("/api/v1/") for page in pages} >= {
        "accounts/12345/terms",
        "accounts/12345/courses",
        "courses/814322/sections",
    }
    assert RESOURCES["sections"].model._default_manager.count() == 16


@pytest.mark.django_db
def test_second_sync_finds_nothing_new_and_nothing_gone() -> None:
    with recorded_canvas() as canvas:
        connection = connected(canvas)
        sync(connection)
        again = sync(connection)
        full = sync(connection, SyncOptions(mode="full"))
        check_everything_is_stored(canvas)
    assert (again.mode, again.sync_status) == ("incremental", "completed")
    assert (full.mode, full.sync_status) == ("full", "completed")
    for run in (again, full):
        assert counts(run, "unchanged") == {name: (live,) for name, (live, _) in ADMIN.items()}
        assert set(counts(run, "created", "updated", "deleted", "rejected").values()) == {(0, 0, 0, 0)}
    assert any("graded_since" in target for target, _ in canvas.seen)


@pytest.mark.django_db
def test_sync_with_the_token_of_a_teacher_stores_what_a_teacher_is_shown() -> None:
    with recorded_canvas(admin=False) as canvas:
        connection = connected(canvas)
        run = sync(connection)
    assert run.sync_status == "completed"
    assert not connection.authoritative
    reached = {"users": 3, "courses": 2, "enrollments": 3, "assignment_groups": 1, "assignments": 2}
    expected = dict.fromkeys(RESOURCES, 0) | reached | {"submissions": 3}
    assert counts(run, "created") == {name: (count,) for name, count in expected.items()}
    check_everything_is_stored(canvas)


@pytest.mark.django_db
def test_courses_named_by_id_and_by_sis_id_are_synced_alone() -> None:
    with recorded_canvas() as canvas:
        connection = connected(canvas)
        run = sync(connection, SyncOptions(courses=("149650", "sis_course_id:2012-summer-TRAIN-102-A")))
    assert run.sync_status == "completed"
    assert counts(run, "created")["enrollments"] == (2,)
    assert set(Course.objects.values_list("canvas_id", flat=True)) == {149650, 149651}
    del canvas.shown["accounts"]  # asked for to see what the token may, not to be stored
    check_everything_is_stored(canvas)


@pytest.mark.django_db
def test_course_that_nobody_recorded_fails_the_sync_and_says_so() -> None:
    with recorded_canvas() as canvas:
        connection = connected(canvas)
        run = sync(connection, SyncOptions(courses=("sis_course_id:2013-autumn-PHYS-248-A",)))
    assert (run.sync_status, run.error_class) == ("failed", "NotFound")
    assert canvas.unknown >= {"courses/sis_course_id:2013-autumn-PHYS-248-A"}
    assert Course.objects.count() == 0


@pytest.mark.django_db
def test_id_recorded_twice_in_one_listing_is_one_row() -> None:
    with recorded_canvas() as canvas:
        connection = connected(canvas)
        run = sync(connection)
    repeated = [key for key, said in shown_by(canvas)["submissions"].items() if len(said) > 1]
    assert Submission.objects.filter(canvas_id__in=repeated).count() == len(repeated) == 1
    assert counts(run, "processed")["submissions"] == (len(shown_by(canvas)["submissions"]),)


@pytest.mark.django_db
def test_row_whose_course_was_never_recorded_is_kept() -> None:
    """One recorded enrollment names another course than it was listed under, as happens when cross-listed."""
    with recorded_canvas() as canvas:
        connection = connected(canvas)
        sync(connection)
    (said,) = canvas.shown["courses/862539/enrollments"]
    row = RESOURCES["enrollments"].model._default_manager.get(canvas_id=said["id"])
    assert local(row.course_id) == said["course_id"] != COURSE_OF_ASSIGNMENTS  # type: ignore[attr-defined]
    assert not Course.objects.filter(canvas_id=said["course_id"]).exists()


# --- recorded headers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "rows", "pages"),
    [
        ("accounts/12345/external_tools", 12, 2),
        ("accounts/12345/roles", 15, 3),  # the third page its header promises was never recorded
        ("accounts/sis_account_id:uwcourse:seattle:nursing:nurs/admins", 11, 3),  # nor this one's
    ],
)
def test_recorded_link_headers_are_followed(path: str, rows: int, pages: int) -> None:
    with recorded_canvas() as canvas:
        client = CanvasClient(canvas.url, TOKEN, throttle=Throttle(limit=2))
        first = next(client.pages(path))
        assert first.next_url
        assert first.next_url.startswith(f"{canvas.url}/api/v1/accounts/12345/")
        with Fetcher(client, workers=2) as fetcher:
            fetcher.submit(Listing(key=path, path=path))
            events = []
            while fetcher.outstanding:
                events.append(fetcher.next_event(timeout=5))
        client.close()
    assert [type(event) for event in events] == [PageFetched] * pages + [ListingDone]
    assert sum(len(event.page.rows) for event in events if isinstance(event, PageFetched)) == rows


# --- every body, wherever it was recorded ------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "records"),
    [case[1:] for case in FEED],
    ids=[f"{recording} {name}" for recording, name, _ in FEED],
)
def test_recorded_record_is_stored_as_it_is_or_rejected_with_a_reason(name: str, records: list[Any]) -> None:
    instance = Instance.objects.create(name="recorded", base_url="https://canvas.example.edu")
    Shard.allot(instance, None)
    folder = instance.folder()
    resource = RESOURCES[name]
    mapper = Mapper(resource.columns, folder, instance.pk, source="rest")
    mapped = mapper.map(records, NOW, {"course": folder.fold(COURSE_OF_ASSIGNMENTS)})
    usable = [record for record in records if "id" in record]
    assert [local(row[0]) for row in mapped.rows] == [int(record["id"]) for record in usable]
    assert [reason for _, _, reason in mapped.rejected] == ["an id cannot be a NoneType"] * (
        len(records) - len(usable)
    )
    distinct = {row[0]: row for row in reversed(mapped.rows)}
    Writer().write(Table.of(resource.model), list(distinct.values()))
    said = by_id(usable)
    rows = resource.model._default_manager.all()
    assert {row.canvas_id for row in rows} == set(said)
    assert unlike(rows, name, said) == []


def test_every_recording_of_these_resources_is_fed() -> None:
    fed: dict[str, int] = defaultdict(int)
    for _, name, records in FEED:
        fed[name] += len(records)
    assert fed == RECORDED


def test_only_records_without_an_id_are_rejected() -> None:
    """Canvas sums up the caller's own enrollments inside a course: these have a type and no id."""
    without = [record for *_, records in FEED for record in records if "id" not in record]
    assert without
    assert all(set(record) == {"type"} for record in without)


def test_recordings_are_read_by_their_file_names() -> None:
    found: dict[str, Recording] = {recording.name: recording for recording in recordings()}
    named = [(r.method, r.path, r.asked, r.page) for r in found.values() if "roles_" in r.name]
    assert ("GET", "accounts/12345/roles", "page_2_per_page_10", 2) in named
    assert ("GET", "accounts/12345/roles", "per_page_100_show_inherited_1", 1) in named
    assert sum(recording.link is not None for recording in found.values()) == 4
