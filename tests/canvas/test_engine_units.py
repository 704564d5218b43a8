"""What the engine decides without Canvas or a database: chains, terms, accounts, steps, conclusions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas.client import PER_PAGE, CanvasClient
from canvas.engine import _administered, account_steps
from canvas.errors import InvalidAssignmentIds, NotPermitted
from canvas.fetcher import Listing
from canvas.pages import Page
from canvas.pagination import may_have_lost_next
from canvas.progress import Progress
from canvas.resources import RESOURCES
from canvas.steps import (
    IDS_PER_CHAIN,
    PAGES_PER_CHAIN,
    CoursePlan,
    CourseStep,
    ScopeWalk,
    _by_key,
    _course_listing,
    chains,
    overlapping,
)
from canvas.sync import ALL_MODELS, SyncOptions, UsageError, term_filter
from canvas.throttle import Throttle
from easel.ids import SHARD_SIZE, Folder

NOW = datetime(2026, 1, 3, 10, tzinfo=UTC)
COURSE = SHARD_SIZE + 1
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


# --- chains ------------------------------------------------------------------------------------

ASSIGNMENTS = st.integers(0, 400).map(lambda count: list(range(1, count + 1)))
STUDENTS = st.none() | st.integers(0, 200_000)


@given(assignments=ASSIGNMENTS, students=STUDENTS, whole_course=st.booleans())
def test_chains_hold_every_assignment_once_or_name_none(
    assignments: list[int], students: int | None, whole_course: bool
) -> None:
    split = list(chains(assignments, students, whole_course=whole_course))
    if split == [()]:
        assert whole_course
        assert assignments
        assert students is not None
        assert len(assignments) * students <= PAGES_PER_CHAIN / 2 * PER_PAGE
    else:
        assert [key for chain in split for key in chain] == assignments
        assert all(1 <= len(chain) <= IDS_PER_CHAIN for chain in split)
        assert len({len(chain) for chain in split[:-1]}) <= 1


@given(count=st.integers(2, 400), students=st.integers(1, 20_000))
def test_chains_of_a_big_course_are_as_many_as_its_pages_are_worth(count: int, students: int) -> None:
    pages = count * students / PER_PAGE
    split = list(chains(range(count), students, whole_course=False))
    needed = max(pages / PAGES_PER_CHAIN, count / IDS_PER_CHAIN, 1)
    assert len(split) <= needed + 1
    if len(split[0]) > 1:
        longest = len(split[0]) * students / PER_PAGE
        assert longest <= 2 * PAGES_PER_CHAIN + students / PER_PAGE


@pytest.mark.parametrize(
    ("assignments", "students", "expected"),
    [
        (0, 30, []),
        (10, 30, [0]),  # three pages: one chain that names no assignment
        (13, 30, [0]),
        (14, 30, [14]),  # more than half a chain: named, so that it can be split later
        (200, 25, [34, 34, 34, 34, 34, 30]),  # the bench course: 50 pages
        (100, 1000, [1] * 100),  # 100,000 submissions: every assignment is more than a chain
        (61, None, [8, 8, 8, 8, 8, 8, 8, 5]),  # nobody said how many students: a page an assignment
    ],
)
def test_chains_of_known_courses(assignments: int, students: int | None, expected: list[int]) -> None:
    assert [len(chain) for chain in chains(range(1, assignments + 1), students)] == expected


def test_longest_chain_leaves_room_for_canvas_to_send_its_next_link() -> None:
    step, engine = course_step(range(SHARD_SIZE - IDS_PER_CHAIN, SHARD_SIZE), shard=999_999_999)
    step._list_submissions(engine)
    (listing,) = engine.submitted
    client = CanvasClient("https://canvas.a-university-with-a-long-name.edu", "x", throttle=Throttle(limit=1))
    assert len(dict(listing.params)["assignment_ids[]"]) == IDS_PER_CHAIN
    assert not may_have_lost_next(client.url(listing.path, listing.params))


# --- a course's step, with a Canvas of a few lines -------------------------------------------------


class FakeEngine:
    """What a course step needs of the engine; `submitted` are the listings it asked for."""

    def __init__(self, shard: int | None) -> None:
        self.submitted: deque[Listing] = deque()
        self.fetcher = SimpleNamespace(submit=self.submitted.append)
        self.folder = Folder(1, known={shard: 2} if shard else {})
        self.progress = Progress()
        self.models = ALL_MODELS
        self.maps_ahead = False

    def scope(self, name: str, course_key: int = 0) -> ScopeWalk:
        return ScopeWalk(RESOURCES[name], course_key)


def course_step(assignments: range | list[int], *, shard: int | None = None) -> tuple[CourseStep, Any]:
    """Return a course's step that knows its published assignments, and what it asks."""
    step = CourseStep(CoursePlan(COURSE, "1", "Physics", students=10))
    number = 2 if shard else 1
    step._published = {number * SHARD_SIZE + assignment for assignment in assignments}
    return step, FakeEngine(shard)


def answer(step: CourseStep, engine: Any, refuse: Callable[[Listing], Exception | None]) -> list[Listing]:
    """Answer all that the step asks; return the listings that were not refused."""
    read = []
    while engine.submitted:
        listing = engine.submitted.popleft()
        if error := refuse(listing):
            step.failed(engine, listing.key, error)  # type: ignore[arg-type]
        else:
            step.done(engine, listing.key)
            read.append(listing)
    return read


@given(
    st.sets(st.integers(1, 150), min_size=1).flatmap(
        lambda all_: st.tuples(st.just(all_), st.sets(st.sampled_from(sorted(all_))))
    )
)
def test_refused_chain_is_halved_until_only_what_canvas_hides_is_left_out(
    sets: tuple[set[int], set[int]],
) -> None:
    published, hidden = ({SHARD_SIZE + assignment for assignment in some} for some in sets)
    step, engine = course_step(sorted(sets[0]))
    scope = step._scope(engine, "submissions")
    for chain in chains(sorted(published), 1, whole_course=False):
        step._list_chain(engine, scope, chain)
    read = answer(
        step, engine, lambda listing: InvalidAssignmentIds("no") if hidden & set(listing.key.chain) else None
    )
    assert sorted(key for listing in read for key in listing.key.chain) == sorted(published - hidden)
    assert scope.hidden_assignments == hidden
    assert (step.outstanding, step.errors, scope.complete) == (0, [], True)


def test_who_may_not_grade_is_asked_for_own_submissions_only_and_concludes_nothing() -> None:
    step, engine = course_step([1, 2])
    step._list_submissions(engine)
    read = answer(
        step,
        engine,
        lambda listing: NotPermitted("no") if "student_ids[]" in dict(listing.params) else None,
    )
    assert [("student_ids[]" in dict(listing.params), listing.key.chain) for listing in read] == [(False, ())]
    assert not step.scopes["submissions"].may_conclude
    assert (step.outstanding, step.errors) == (0, [])


def test_who_may_not_even_see_own_submissions_fails_the_step() -> None:
    step, engine = course_step([1])
    step._list_submissions(engine)
    assert answer(step, engine, lambda listing: NotPermitted("no")) == []
    assert [str(error) for error in step.errors] == ["no"]
    assert (step.outstanding, step.scopes["submissions"].complete) == (0, False)


# --- terms -------------------------------------------------------------------------------------


def term(starts: Any, ends: Any) -> dict[str, Any]:
    return {"term": {"start_at": starts, "end_at": ends}}


@pytest.mark.parametrize(
    ("course", "wanted"),
    [
        (term(None, None), True),
        (term("2025-09-01T00:00:00Z", "2026-01-31T00:00:00Z"), True),
        (term("2026-01-03T10:00:00Z", "2026-01-03T10:00:00Z"), True),  # both ends count
        (term("2026-01-03T10:00:01Z", None), False),
        (term(None, "2026-01-03T09:59:59Z"), False),
        (term(None, "2026-01-03T02:59:59-07:00"), False),
        (term(None, "2026-01-03T03:00:00-07:00"), True),
        (term("garbled", 7), True),
        ({"term": None}, True),
        ({"term": "Autumn"}, True),
        ({}, True),
    ],
)
def test_active_terms_are_those_whose_dates_hold_now(course: dict[str, Any], wanted: bool) -> None:
    assert term_filter("active", NOW)(course) is wanted


@pytest.mark.parametrize(
    ("scope", "course", "wanted"),
    [
        ("all", {}, True),
        ("7", {"enrollment_term_id": 7}, True),
        ("7", {"enrollment_term_id": "7"}, True),
        ("123~7", {"enrollment_term_id": 123 * SHARD_SIZE + 7}, True),
        ("7", {"enrollment_term_id": 8}, False),
        ("7", {"enrollment_term_id": None}, False),
        ("7", {}, False),
        ("sis_term_id:2013-autumn", {"term": {"sis_term_id": "2013-autumn"}}, True),
        ("sis_term_id:a:b", {"term": {"sis_term_id": "a:b"}}, True),
        ("sis_term_id:2013-autumn", {"term": {"sis_term_id": "2013-winter"}}, False),
        ("sis_term_id:2013-autumn", {"term": "2013-autumn"}, False),
        ("sis_term_id:2013-autumn", {}, False),
    ],
)
def test_term_is_chosen_by_id_or_sis_id(scope: str, course: dict[str, Any], wanted: bool) -> None:
    assert term_filter(scope, NOW)(course) is wanted


@given(
    scope=st.sampled_from(["all", "active", "7", "123~7", "sis_term_id:x"]),
    course=st.fixed_dictionaries(
        {},
        optional={
            "term": JSON | st.fixed_dictionaries({"start_at": JSON, "end_at": JSON, "sis_term_id": JSON}),
            "enrollment_term_id": JSON,
        },
    ),
)
def test_term_filter_bears_whatever_a_course_says(scope: str, course: dict[str, Any]) -> None:
    assert term_filter(scope, NOW)(course) in (True, False)


@pytest.mark.parametrize("course", ["42", "123~42", "10000000000042", "sis_course_id:2013 A/B", " 42 "])
def test_course_is_named_in_any_spelling_of_canvas(course: str) -> None:
    SyncOptions(courses=(course,)).check()


@pytest.mark.parametrize(
    "course", ["", "0", "-1", "physics", "sis_course_id:", "sis_term_id:x", "1~2~3", "4.2"]
)
def test_course_that_is_no_id_is_refused_with_what_to_write(course: str) -> None:
    with pytest.raises(UsageError, match="is no course id: write 42"):
        SyncOptions(courses=(course,)).check()


def test_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"Unknown models: grades. Known are accounts, .*group_memberships\."
    ):
        SyncOptions(models=frozenset({"courses", "grades"})).check()


# --- accounts and steps ------------------------------------------------------------------------


def page(*rows: Any) -> Page:
    return Page(list(rows), NOW, None, (), "https://canvas.example.edu/api/v1/accounts")


@pytest.mark.parametrize(
    ("pages", "top", "roots"),
    [
        ([], [], []),
        ([page()], [], []),
        ([page({"id": 1, "parent_account_id": None})], ["1"], ["1"]),
        ([page({"id": 1}), page({"id": 2, "parent_account_id": 1})], ["1"], ["1"]),  # over two pages
        ([page({"id": 3, "parent_account_id": 2}, {"id": 2, "parent_account_id": 1})], ["2"], []),
        ([page({"id": "1"}, {"id": "2", "parent_account_id": "1"})], ["1"], ["1"]),  # ids as strings
        ([page({"id": 1}, {"id": 9, "parent_account_id": 5})], ["1", "9"], ["1"]),
        ([page({"name": "without id"}, {"id": 1}, "no object", None)], ["1"], ["1"]),
    ],
)
def test_administered_are_the_topmost_accounts_and_the_roots_among_them(
    pages: list[Page], top: list[str], roots: list[str]
) -> None:
    assert _administered(pages) == (top, roots)


@given(
    st.integers(1, 30).flatmap(lambda count: st.tuples(*[st.integers(0, place) for place in range(count)]))
)
def test_administered_accounts_cover_every_account_once(parents: tuple[int, ...]) -> None:
    """Any forest: account n's parent is an earlier one, or outside (0)."""
    records = [
        {"id": number, "parent_account_id": parent or None} for number, parent in enumerate(parents, 1)
    ]
    top, roots = _administered([page(*records)])
    assert top == roots == [str(record["id"]) for record in records if not record["parent_account_id"]]


def test_account_steps_come_in_the_order_of_the_resources_and_only_for_admins() -> None:
    everything = account_steps(ALL_MODELS, admin=True)
    assert [step.key for step in everything] == ["accounts", "terms", "users"]
    assert [step.key for step in account_steps(frozenset({"users", "courses"}), admin=True)] == ["users"]
    assert account_steps(ALL_MODELS, admin=False) == []


@pytest.mark.parametrize(("account_ids", "listed"), [(["1"], False), ([], True)])
def test_users_are_listed_in_courses_only_where_no_account_lists_them(
    account_ids: list[str], listed: bool
) -> None:
    engine: Any = SimpleNamespace(account_ids=account_ids)
    by_course = {name for name, resource in RESOURCES.items() if _course_listing(engine, resource)}
    assert ("users" in by_course) is listed
    assert by_course - {"users"} == {
        "sections",
        "enrollments",
        "assignment_groups",
        "submissions",
        "modules",
        "group_categories",
        "groups",
    }


@pytest.mark.parametrize(
    ("change", "may"),
    [
        ({}, True),
        ({"full": False}, False),
        ({"complete": False}, False),
        ({"own_only": True}, False),
        ({"unidentified": 1}, False),
    ],
)
def test_scope_concludes_only_from_a_complete_full_listing_of_known_rows(
    change: dict[str, Any], may: bool
) -> None:
    assert ScopeWalk(RESOURCES["courses"], **change).may_conclude is may


def test_records_are_paired_with_their_keys_when_they_were_stored() -> None:
    engine: Any = SimpleNamespace(key_of=lambda record: record.get("id"))
    records = [{"id": 1}, {"id": 2}, {"name": "without id"}, "no object", None]
    assert list(_by_key(engine, records, {1, 3})) == [(1, {"id": 1})]


def test_cursor_goes_on_a_little_before_where_it_stood() -> None:
    assert overlapping(NOW, 300) == NOW - timedelta(minutes=5)
    assert overlapping(None, 300) is None
