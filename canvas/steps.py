"""The units of work of a sync: what each one lists, and what it concludes from what it saw.

A step owns its listings and scopes. The engine fetches what a step asks for and hands every page back
to it; steps know Canvas, the engine knows the database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from canvas.client import PER_PAGE
from canvas.errors import BrokenListing, CanvasError, InvalidAssignmentIds, NotFound, NotPermitted
from canvas.fetcher import Fetching, Listing
from canvas.mapping import Mapped
from canvas.natural_keys import NaturalKeys
from canvas.pages import Page
from canvas.progress import Progress
from canvas.resources import RESOURCES, Level, Params, Resource, RestListing
from easel.ids import Folder

IDS_PER_CHAIN = 60
"""More assignment ids in one URL would press Canvas's 6 KB limit on all links of a page."""

PAGES_PER_CHAIN = 8
MAX_CONFIRMATIONS = 2_000
"""Missing rows asked for one by one, per scope and run; the rest waits for the next full sync."""


@dataclass(slots=True)
class ScopeWalk:
    """One resource of one course (or of the whole account) as this run sees it."""

    resource: Resource
    course_key: int = 0
    context: Mapping[str, int] = field(default_factory=dict)
    full: bool = True
    since: datetime | None = None
    covered: frozenset[int] = frozenset()
    seen: set[int] = field(default_factory=set)
    keys: NaturalKeys | None = None
    complete: bool = True
    refused: bool = False
    own_only: bool = False
    unidentified: int = 0
    hidden_assignments: set[int] = field(default_factory=set)
    gone: list[int] = field(default_factory=list)
    unconfirmed: int = 0

    @property
    def may_conclude(self) -> bool:
        """Whether what this scope did not see may be missing from Canvas."""
        return self.full and self.complete and not self.own_only and not self.unidentified


@dataclass(eq=False, slots=True)
class Fetch:
    """One listing on its way. `chain` are the assignment ids it is limited to; `confirms` is the missing
    row it looks for; `everybody`: it asks for other people's rows too; `parent`: it is of that row only.
    """

    step: Step
    scope: ScopeWalk
    chain: tuple[int, ...] = ()
    confirms: int | None = None
    everybody: bool = True
    parent: int | None = None


class Host(Protocol):
    """What steps need of the engine that runs them."""

    fetcher: Fetching
    folder: Folder
    maps_ahead: bool
    progress: Progress
    models: frozenset[str]
    account_pages: Sequence[Page]
    account_ids: list[str]
    root_account_ids: list[str]

    def scope(self, name: str, course_key: int = 0) -> ScopeWalk:
        """Return a fresh walk of a scope."""

    def is_fresh(self, name: str, course_key: int) -> bool:
        """Whether this run need not list a scope: it was, a short while ago."""

    def key_of(self, record: Mapping[str, Any]) -> int | None:
        """Return the key of a record, or None when it has no usable id."""

    def take(
        self, scope: ScopeWalk, records: list[Any], as_of: datetime, mapped: Mapped | None = None
    ) -> set[int]:
        """Take records in, mapped already or not; return the keys of those that could be stored."""

    def missing(self, scope: ScopeWalk) -> list[tuple[int, str]]:
        """Return (key, detail path) of live rows that a complete listing of their scope did not show."""


class Step:
    """A unit of work: listings run side by side, all of them done before it ends.

    `reads` are the resources whose records it looks at itself, beside those with others inside; pages of
    all the rest are mapped on their way.
    """

    reads: frozenset[str] = frozenset()

    def __init__(self, key: str, title: str) -> None:
        self.key = key
        self.title = title
        self.scopes: dict[str, ScopeWalk] = {}
        self.outstanding = 0
        self.errors: list[CanvasError] = []
        self.notes: list[str] = []
        self.concluded = False

    def begin(self, engine: Host) -> None:
        """Submit the first listings."""
        raise NotImplementedError

    def list(
        self,
        engine: Host,
        scope: ScopeWalk,
        listing: RestListing,
        ids: Mapping[str, str],
        *,
        params: Params | None = None,
        **marks: Any,
    ) -> None:
        """Ask for a declared listing; `marks` are kept on its Fetch."""
        self.submit(
            engine,
            Fetch(self, scope, **marks),
            path=listing.path.format(**ids),
            params=listing.params if params is None else params,
            wrapper=listing.wrapper,
        )

    def submit(self, engine: Host, fetch: Fetch, **request: Any) -> None:
        """Ask for anything; the answer comes back through `page`, then `done` or `failed`."""
        self.outstanding += 1
        resource = fetch.scope.resource
        looks = resource.name in self.reads or resource.nested
        ahead = (resource.name, fetch.scope.context) if engine.maps_ahead and not looks else None
        engine.fetcher.submit(Listing(key=fetch, ahead=ahead, **request))

    def page(self, engine: Host, fetch: Fetch, page: Page, mapped: Mapped | None = None) -> None:
        """Take one page in."""
        if fetch.confirms is not None:
            self._confirm(engine, fetch, page, mapped)
        else:
            self.take(engine, fetch, page, mapped)

    def take(self, engine: Host, fetch: Fetch, page: Page, mapped: Mapped | None) -> None:
        """Hand a page's records to the engine; steps with nested records override it."""
        engine.take(fetch.scope, page.rows, page.as_of, mapped)

    def done(self, engine: Host, fetch: Fetch) -> None:
        """One listing was read to its end."""
        self.outstanding -= 1

    def failed(self, engine: Host, fetch: Fetch, error: CanvasError) -> None:
        """One listing could not be read to its end: its scope concludes nothing, the step fails."""
        self.outstanding -= 1
        if fetch.confirms is None:
            fetch.scope.complete = False
            self.errors.append(error)
        elif isinstance(error, NotFound):
            fetch.scope.gone.append(fetch.confirms)
        else:
            fetch.scope.unconfirmed += 1

    def conclude(self, engine: Host) -> None:
        """Look a second time for what complete listings did not show, once all of them are in."""
        self.concluded = True
        for scope in self.scopes.values():
            if scope.may_conclude:
                self._look_again(engine, scope, engine.missing(scope))
            if scope.unidentified:
                self.notes.append(
                    f"{scope.resource.name}: records without a usable id, no deletions concluded"
                )

    def _look_again(self, engine: Host, scope: ScopeWalk, missing: Sequence[tuple[int, str]]) -> None:
        for key, path in missing[:MAX_CONFIRMATIONS]:
            self.submit(engine, Fetch(self, scope, confirms=key), path=path, single=True)
        if postponed := len(missing) - MAX_CONFIRMATIONS:
            scope.unconfirmed += max(postponed, 0)

    def _confirm(self, engine: Host, fetch: Fetch, page: Page, mapped: Mapped | None) -> None:
        """A missing row answered after all: keep what it says now, unless another row answered for it."""
        unidentified = fetch.scope.unidentified
        engine.take(fetch.scope, page.rows, page.as_of, mapped)
        if fetch.scope.unidentified > unidentified:
            fetch.scope.unconfirmed += 1
        elif fetch.confirms is not None and fetch.confirms not in fetch.scope.seen:
            fetch.scope.gone.append(fetch.confirms)


class AccountsStep(Step):
    """The accounts a token administers, and all below them."""

    def begin(self, engine: Host) -> None:
        """List the sub-accounts; the administered accounts themselves are known already."""
        scope = self.scopes["accounts"] = engine.scope("accounts")
        for page in engine.account_pages:
            engine.take(scope, page.rows, page.as_of)
        _list_by_account(engine, self, scope)


class AccountWideStep(Step):
    """One resource listed account by account: terms, users."""

    def begin(self, engine: Host) -> None:
        """List the resource in every administered account."""
        self.scopes[self.key] = scope = engine.scope(self.key)
        _list_by_account(engine, self, scope)


@dataclass(frozen=True, slots=True)
class CoursePlan:
    """A course to sync, as the course listing showed it."""

    key: int
    canvas_id: str
    name: str
    students: int | None


class CoursesStep(Step):
    """The course listing, one person's, or courses named one by one; its end plans the course steps."""

    reads = frozenset({"courses"})

    def __init__(
        self,
        key: str,
        title: str,
        wanted: Callable[[dict[str, Any]], bool],
        *,
        courses: Sequence[str] = (),
        user: str = "",
    ) -> None:
        super().__init__(key, title)
        self._named = courses
        self._user = user
        self._wanted = wanted
        self.plans: dict[int, CoursePlan] = {}
        self.deleted: set[int] = set()

    def begin(self, engine: Host) -> None:
        """List the courses this connection sees, or fetch the named ones."""
        scope = self.scopes["courses"] = engine.scope("courses")
        resource = scope.resource
        listing = resource.listing if engine.account_ids else resource.own_listing
        scope.complete = not (self._named or self._user)  # of some courses nothing is concluded
        if self._user and resource.own_listing:
            self.list(engine, scope, replace(resource.own_listing, path=f"users/{self._user}/courses"), {})
        elif self._named:
            for spelling in self._named:
                path, params = f"courses/{spelling}", (("include[]", ("term", "total_students")),)
                self.submit(engine, Fetch(self, scope), path=path, params=params, single=True)
        elif listing and listing.level is Level.TOKEN:
            self.list(engine, scope, listing, {})
        else:
            _list_by_account(engine, self, scope)

    def conclude(self, engine: Host) -> None:
        """Say so when there is nothing to sync: it is rarely what was meant."""
        super().conclude(engine)
        if not self.plans and not self.errors:
            whose = "this person's login or id" if self._user else "whose it is"
            self.notes.append(f"this token sees no course here: check {whose} and the term scope")

    def take(self, engine: Host, fetch: Fetch, page: Page, mapped: Mapped | None) -> None:
        """Store the courses, and remember those whose contents are wanted."""
        stored = engine.take(fetch.scope, page.rows, page.as_of, mapped)
        for key, record in _by_key(engine, page.rows, stored):
            if record.get("workflow_state") == "deleted":
                self.deleted.add(key)
            elif self._wanted(record) and (self._user or not _is_closed(record)):
                students = record.get("total_students")
                self.plans[key] = CoursePlan(
                    key,
                    engine.folder.spell(key),
                    str(record.get("name") or record.get("course_code") or f"course {record.get('id')}"),
                    students if isinstance(students, int) else None,
                )


def _is_closed(course: Mapping[str, Any]) -> bool:
    """Whether a token's user only studies in a course that is not published: Canvas shows nothing of it."""
    own = [record for record in _as_list(course.get("enrollments")) if isinstance(record, dict)]
    learns = {"student", "observer"}.issuperset(record.get("type") for record in own)
    return course.get("workflow_state") == "unpublished" and bool(own) and learns


class CourseStep(Step):
    """Everything of one course. Submissions wait for the assignments, to be split into even chains."""

    def __init__(self, plan: CoursePlan) -> None:
        super().__init__(f"course:{plan.key}", plan.name)
        self.plan = plan
        self.number = 0
        self._published: set[int] = set()
        self._assignments_read = 0
        self._opened: set[tuple[str, int]] = set()
        self._ids = {"course": plan.canvas_id}

    def begin(self, engine: Host) -> None:
        """List what was asked for, and what holds it: assignments also when only submissions were."""
        for resource in RESOURCES.values():
            listing = _course_listing(engine, resource)
            wanted = [part.name for part in (resource, *resource.nested) if part.name in engine.models]
            if resource.name == "assignment_groups" and "submissions" in engine.models:
                wanted.append("submissions")
            if listing is None or not wanted or resource.name == "submissions":
                continue
            if not all(engine.is_fresh(name, self.plan.key) for name in wanted):
                self.list(engine, self._scope(engine, resource.name), listing, self._ids)

    def _scope(self, engine: Host, name: str) -> ScopeWalk:
        if name not in self.scopes:
            self.scopes[name] = engine.scope(name, self.plan.key)
        return self.scopes[name]

    def take(self, engine: Host, fetch: Fetch, page: Page, mapped: Mapped | None) -> None:
        """Store the page, and what stands inside its records."""
        stored = engine.take(fetch.scope, page.rows, page.as_of, mapped)
        for resource in fetch.scope.resource.nested:
            if resource.name in engine.models or resource.name == "assignments":
                self._take_nested(engine, resource, page, stored)

    def _take_nested(self, engine: Host, resource: Resource, page: Page, stored: Collection[int]) -> None:
        """Store the records inside others; where Canvas left them out, go for the listing of each."""
        scope = self._scope(engine, resource.name)
        parents = [record for record in page.rows if isinstance(record, dict)]
        inside = [parent.get(resource.nested_key) for parent in parents]
        records = [record for records in inside for record in _as_list(records)]
        closed = [parent for parent, here in zip(parents, inside, strict=True) if not isinstance(here, list)]
        if resource.listing:
            keys = [key for key, _ in _by_key(engine, closed, stored)]
            scope.complete &= len(keys) == len(closed)
            self._open(engine, scope, resource.listing, keys)
        elif closed:
            scope.complete = False
            self.errors.append(BrokenListing("Canvas sent an assignment group without its assignments."))
        taken = engine.take(scope, records, page.as_of)
        if resource.name == "assignments":
            self._published |= {
                key for key, record in _by_key(engine, records, taken) if record.get("published")
            }

    def _open(self, engine: Host, scope: ScopeWalk, listing: RestListing, parents: Collection[int]) -> None:
        """List what each of these rows holds, once however often their page showed them."""
        for key in parents:
            if (scope.resource.name, key) not in self._opened:
                self._opened.add((scope.resource.name, key))
                ids = {**self._ids, "parent": engine.folder.spell(key)}
                self.list(engine, scope, listing, ids, parent=key)

    def done(self, engine: Host, fetch: Fetch) -> None:
        """The assignments are known: go for their submissions."""
        super().done(engine, fetch)
        name = fetch.scope.resource.name
        if fetch.confirms is None and name == "assignment_groups" and "submissions" in engine.models:
            self._list_submissions(engine)
        if fetch.confirms is None and name == "submissions":
            # A listing that names no assignment was of all of them.
            every = len(self._published)
            self._assignments_read = min(self._assignments_read + (len(fetch.chain) or every), every)
            engine.progress.assignments_done(self.title, self._assignments_read, every)

    def failed(self, engine: Host, fetch: Fetch, error: CanvasError) -> None:
        """Canvas refuses a whole chain for one assignment unpublished meanwhile: leave that one out."""
        if isinstance(error, InvalidAssignmentIds) and fetch.chain and fetch.confirms is None:
            self.outstanding -= 1
            self._bisect(engine, fetch)
            return
        name = fetch.scope.resource.name
        if isinstance(error, NotPermitted) and name == "submissions" and fetch.confirms is None:
            self.outstanding -= 1
            self._list_own_submissions(engine, fetch, error)
            return
        if fetch.confirms is None and self._excuse(engine, fetch, error):
            self.outstanding -= 1
            return
        super().failed(engine, fetch, error)
        if fetch.confirms is None:
            for scope in self._below(engine, fetch.scope):
                scope.complete = False

    def _excuse(self, engine: Host, fetch: Fetch, error: CanvasError) -> bool:
        """Whether an error only says that part of the course is closed to this token, or gone meanwhile."""
        scope, listing = fetch.scope, fetch.scope.resource.listing
        if isinstance(error, NotPermitted) and listing and listing.refusable:
            for unread in (scope, *self._below(engine, scope)):
                unread.complete, unread.refused = False, True
            self._note(f"{scope.resource.name}: this token may not read them here")
        elif isinstance(error, NotFound) and fetch.parent is not None:
            scope.complete = False
            self._note(f"{scope.resource.name}: what held them was deleted during the sync")
        else:
            return False
        return True

    def _below(self, engine: Host, scope: ScopeWalk) -> list[ScopeWalk]:
        """Return the scopes that cannot be read without this one."""
        names = [resource.name for resource in scope.resource.nested]
        if scope.resource.name == "assignment_groups":
            names.append("submissions")
        return [self._scope(engine, name) for name in names if name in engine.models]

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _bisect(self, engine: Host, fetch: Fetch) -> None:
        if len(fetch.chain) == 1:
            fetch.scope.hidden_assignments.add(fetch.chain[0])
            self.notes.append(
                "an assignment was unpublished during the sync; its submissions are kept as they are"
            )
            return
        middle = len(fetch.chain) // 2
        for half in (fetch.chain[:middle], fetch.chain[middle:]):
            self._list_chain(engine, fetch.scope, half)

    def _list_own_submissions(self, engine: Host, fetch: Fetch, error: CanvasError) -> None:
        """Who may not grade sees only their own submissions, and only without asking for anybody's."""
        scope = fetch.scope
        if not scope.own_only:
            scope.own_only = True
            self.notes.append("this token may not grade here: only its user's own submissions were read")
            self._list_chain(engine, scope, ())
        elif not fetch.everybody:
            scope.complete = False
            self.errors.append(error)

    def _list_submissions(self, engine: Host) -> None:
        scope = self._scope(engine, "submissions")
        if not self._published:
            return
        everything = sorted(self._published)
        if scope.full:
            for chain in chains(everything, self.plan.students):
                self._list_chain(engine, scope, chain)
            return
        for parameter in ("submitted_since", "graded_since"):
            moment = scope.since.strftime("%Y-%m-%dT%H:%M:%SZ") if scope.since else ""
            self._list_chain(engine, scope, (), ((parameter, moment),))
        # An assignment published since then has submissions older than both cursors.
        new = [key for key in everything if key not in scope.covered]
        for chain in chains(new, self.plan.students, whole_course=False):
            self._list_chain(engine, scope, chain)

    def _list_chain(self, engine: Host, scope: ScopeWalk, chain: tuple[int, ...], extra: Params = ()) -> None:
        listing = _listing("submissions")
        ids = tuple(engine.folder.spell(key) for key in chain)
        params = (*listing.params, *((("assignment_ids[]", ids),) if ids else ()), *extra)
        if scope.own_only:
            params = tuple(pair for pair in params if pair[0] != "student_ids[]")
        self.list(engine, scope, listing, self._ids, params=params, chain=chain, everybody=not scope.own_only)

    def conclude(self, engine: Host) -> None:
        """Remember which assignments' submissions have been read whole."""
        if scope := self.scopes.get("submissions"):
            scope.covered = frozenset(self._published - scope.hidden_assignments)
        super().conclude(engine)


def chains(
    assignments: Sequence[int], students: int | None, *, whole_course: bool = True
) -> Iterator[tuple[int, ...]]:
    """Split a course's assignments into chains that are read side by side.

    Submissions come as bookmark pages, one after the other; only by asking for some assignments at a
    time can a big course be read in parallel. A chain is some pages long, so that little is lost to
    half-empty last pages, and short enough for Canvas's limit on links. An empty tuple stands for the
    whole course in one chain, without naming any.
    """
    if not assignments:
        return
    per_assignment = max(students or PER_PAGE, 1)
    pages = len(assignments) * per_assignment / PER_PAGE
    if whole_course and students is not None and pages <= PAGES_PER_CHAIN / 2:
        yield ()
        return
    count = max(round(pages / PAGES_PER_CHAIN), -(-len(assignments) // IDS_PER_CHAIN), 1)
    size = -(-len(assignments) // count)
    for start in range(0, len(assignments), size):
        yield tuple(assignments[start : start + size])


def overlapping(cursor: datetime | None, seconds: int) -> datetime | None:
    """Return where a listing goes on: a little before the cursor, for rows then being written."""
    return cursor and cursor - timedelta(seconds=seconds)


def _listing(name: str) -> RestListing:
    listing = RESOURCES[name].listing
    if listing is None:
        raise LookupError(f"{name} has no listing of its own")
    return listing


def _course_listing(engine: Host, resource: Resource) -> RestListing | None:
    listing = resource.listing if engine.account_ids or not resource.own_listing else resource.own_listing
    return listing if listing and listing.level is Level.COURSE else None


def _list_by_account(engine: Host, step: Step, scope: ScopeWalk) -> None:
    listing = _listing(scope.resource.name)
    accounts = engine.root_account_ids if listing.level is Level.ROOT_ACCOUNT else engine.account_ids
    for account in accounts:
        step.list(engine, scope, listing, {"account": account})


def _by_key(
    engine: Host, records: Sequence[Any], stored: Collection[int]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (key, record) of the records that were stored."""
    for record in records:
        key = engine.key_of(record) if isinstance(record, dict) else None
        if key is not None and key in stored:
            yield key, record


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
