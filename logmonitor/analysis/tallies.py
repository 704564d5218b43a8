"""What is counted of each log: one tally per log, fed with records, added up over files and processes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import nlargest
from operator import add, attrgetter
from typing import Any, Protocol, TypeVar

from easel.paths import endpoint
from logmonitor.analysis.durations import BUCKET_BITS, buckets_of
from logmonitor.analysis.lines import Operation, Problem, Progress, Request, Write
from logmonitor.analysis.wording import LONGEST_MESSAGE, like

MOST_KEYS = 5_000
"""How many users, courses, messages, runs and so on are told apart; the rarest beyond count together."""
MOST_ENDPOINTS = 2_000
MOST_PATHS = 20_000
LONGEST_PATH = 1_000
LONGEST_KEY = 200
MOST_KEPT = 100
"""How many of the latest errors and the slowest courses are kept, the most that lists can ask for."""
MOST_MESSAGES = 5_000
MOST_STRETCHES = 64
OTHER = "(other)"

K = TypeVar("K", bound=Hashable)


class Tally(Protocol):
    """What one log says, counted."""

    def feed(self, records: Sequence[Any]) -> None:
        """Count records of the log."""

    def merge(self, other: Any) -> None:
        """Add what another tally of the same log has counted."""


def bound(counter: Counter[Any]) -> None:
    """Keep a counter within MOST_KEYS: the rarest keys become one, `(other)`."""
    if len(counter) <= 2 * MOST_KEYS:
        return
    kept = dict(counter.most_common(MOST_KEYS))
    rest = counter.total() - sum(kept.values())
    counter.clear()
    counter.update(kept)
    counter[OTHER] += rest


def count(counter: Counter[Any], keys: Iterable[Any]) -> None:
    """Count keys, and keep the counter within its bound."""
    counter.update(keys)
    bound(counter)


# --- operations.log ----------------------------------------------------------------------------------


@dataclass(slots=True)
class RunTally:
    """One run, as its lines tell; what is not told yet is None."""

    run: int | None
    connection: str = ""
    mode: str = ""
    sync_type: str = ""
    trigger: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    status: str | None = None
    seconds: float = 0.0
    totals: tuple[int, ...] | None = None
    courses_synced: int = 0
    courses_failed: int = 0
    assignments: int = 0
    submissions: int = 0

    TOTALS = ("courses", "assignments", "submissions", "requests", "rows_written")

    def merge(self, other: RunTally) -> None:
        """Add what another has read of the same run; of two ends the later counts."""
        for name in ("connection", "mode", "sync_type", "trigger"):
            setattr(self, name, getattr(self, name) or getattr(other, name))
        self.started = min(filter(None, (self.started, other.started)), default=None)
        if other.ended and (not self.ended or other.ended >= self.ended):
            self.ended, self.status, self.totals = other.ended, other.status, other.totals
        self.seconds = max(self.seconds, other.seconds)
        self.courses_synced += other.courses_synced
        self.courses_failed += other.courses_failed
        self.assignments += other.assignments
        self.submissions += other.submissions

    def swallow(self, other: RunTally) -> None:
        """Add another run to this, which stands for many."""
        self.courses_synced += other.total("courses")
        self.courses_failed += other.courses_failed
        self.assignments += other.total("assignments")
        self.submissions += other.total("submissions")
        self.seconds += other.seconds

    def total(self, name: str) -> int:
        """Return how many of TOTALS: what the run's end says, else what its courses add up to."""
        if self.totals is not None:
            return self.totals[self.TOTALS.index(name)]
        return self.courses_synced if name == "courses" else getattr(self, name, 0)


@dataclass(slots=True)
class OperationsTally:
    """What operations.log says."""

    events: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    tests: Counter[str] = field(default_factory=Counter)
    runs: dict[int | None, RunTally] = field(default_factory=dict)
    slowest: list[tuple[float, str, int, str]] = field(default_factory=list)

    def feed(self, records: Sequence[Operation]) -> None:
        """Count records."""
        courses = defaultdict[int | None, list[Operation]](list)
        for record in records:
            if record.event == "course_synced":
                courses[record.run].append(record)
            else:
                self.events[record.event] += 1
                if reader := _READERS.get(record.event):
                    reader(self, record)
        for run, group in courses.items():
            self._add(self._run(run), group)
        self._bound()

    def merge(self, other: OperationsTally) -> None:
        """Add what another has counted."""
        self.events.update(other.events)
        count(self.ends, other.ends)
        count(self.tests, other.tests)
        for run, tally in other.runs.items():
            self._run(run).merge(tally)
        self._keep(other.slowest)
        self._bound()

    def _run(self, run: int | None) -> RunTally:
        return self.runs.get(run) or self.runs.setdefault(run, RunTally(run))

    def _keep(self, courses: Sequence[tuple[float, str, int, str]]) -> None:
        if courses:
            self.slowest = nlargest(MOST_KEPT, [*self.slowest, *courses])

    def _bound(self) -> None:
        """Keep the runs with the highest numbers apart; the others become one, without a number."""
        if len(self.runs) <= 2 * MOST_KEYS:
            return
        for run in sorted(filter(None, self.runs))[:-MOST_KEYS]:
            self._run(None).swallow(self.runs.pop(run))

    def _add(self, run: RunTally, courses: Sequence[Operation]) -> None:
        """Add courses of a run."""
        run.connection = run.connection or courses[0].connection
        synced = [record.state for record in courses].count("completed")
        run.courses_synced += synced
        run.courses_failed += len(courses) - synced
        read = [record.records for record in courses if record.records]
        run.assignments += sum([records.get("assignments", 0) for records in read])
        run.submissions += sum([records.get("submissions", 0) for records in read])
        # Whoever was quicker than all that are kept cannot be among them.
        least = self.slowest[-1][0] if len(self.slowest) == MOST_KEPT else 0.0
        slow = [one for one in courses if one.seconds >= least]
        self._keep([(one.seconds, str(one.course), one.run or 0, one.state) for one in slow])

    def started(self, record: Operation) -> None:
        """Note how a run began."""
        run = self._run(record.run)
        run.started = min(filter(None, (run.started, record.ts)))
        run.connection, run.mode = record.connection, record.mode
        run.sync_type, run.trigger = record.sync_type, record.trigger

    def ended(self, record: Operation) -> None:
        """Note how a run ended."""
        count(self.ends, [record.status])
        totals = tuple(getattr(record, name) for name in RunTally.TOTALS)
        end = RunTally(record.run, record.connection, ended=record.ts, status=record.status, totals=totals)
        end.seconds = record.seconds
        if record.run is None:
            self._run(None).swallow(end)
        else:
            self._run(record.run).merge(end)

    def tested(self, record: Operation) -> None:
        """Note what became of a test of a connection."""
        count(self.tests, [record.state])


_READERS: Mapping[str, Callable[[OperationsTally, Operation], None]] = {
    "sync_started": OperationsTally.started,
    "sync_ended": OperationsTally.ended,
    "connection_tested": OperationsTally.tested,
}

# --- api_calls.log -----------------------------------------------------------------------------------

FLAGS = ("throttled", "retried", "failed")
_FLAGS = {flag: attrgetter(flag) for flag in FLAGS}

# Paths with every digit a 0 are few, however many ids there are: they stay in the processor's cache.
_ALIKE = bytes.maketrans(b"123456789", b"0" * 9)


class EndpointKeys(dict[bytes, int]):
    """The endpoint of each path (with 0 for digits) as a number that leaves room for a bucket; kept."""

    def __init__(self) -> None:
        """Know no endpoint yet."""
        self.numbers: dict[str, int] = {}

    def __missing__(self, path: bytes) -> int:
        key = self.key(endpoint(path.decode()))
        if len(path) <= LONGEST_PATH:
            if len(self) >= MOST_PATHS:
                self.clear()
            self[path] = key
        return key

    def key(self, name: str) -> int:
        """Return the key of an endpoint; those beyond MOST_ENDPOINTS share one."""
        if name not in self.numbers and len(self.numbers) >= MOST_ENDPOINTS:
            name = OTHER
        return self.numbers.setdefault(name, len(self.numbers)) << BUCKET_BITS

    def names(self) -> list[str]:
        """Return the endpoints by their numbers."""
        return list(self.numbers)


def _alike(paths: Sequence[str]) -> Sequence[bytes]:
    """Return paths with 0 for every digit: all at once, unless one holds what is put between them."""
    found = "\n".join(paths).encode().translate(_ALIKE).split(b"\n")
    if len(found) == len(paths):
        return found
    return [path.encode().translate(_ALIKE) for path in paths]


@dataclass(slots=True)
class RequestsTally:
    """What api_calls.log says."""

    methods: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int | None] = field(default_factory=Counter)
    paginated: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    waited: float = 0.0
    longest: float = 0.0
    total: float = 0.0
    keys: EndpointKeys = field(default_factory=EndpointKeys)
    buckets: Counter[int] = field(default_factory=Counter)

    def feed(self, records: Sequence[Request]) -> None:
        """Count records: most lines are these, so what most of them say is counted at once."""
        odd = [
            one
            for one in records
            if one.status != 200
            or one.method != "GET"
            or one.waited_ms
            or one.throttled
            or one.retried
            or one.failed
        ]
        self._feed_odd(odd)
        if usual := len(records) - len(odd):
            self.methods["GET"] += usual
            self.statuses[200] += usual
        self.paginated += [one.paginated for one in records].count(True)
        durations = [one.duration_ms for one in records]
        self.total += sum(durations)
        self.longest = max(self.longest, max(durations))
        keys = map(self.keys.__getitem__, _alike([one.path for one in records]))
        self.buckets.update(map(add, keys, buckets_of(durations)))

    def _feed_odd(self, records: Sequence[Request]) -> None:
        count(self.methods, [one.method for one in records])
        count(self.statuses, [one.status for one in records])
        for flag, getter in _FLAGS.items():
            self.flags[flag] += sum(map(getter, records))
        self.waited += sum([one.waited_ms for one in records])

    def merge(self, other: RequestsTally) -> None:
        """Add what another has counted."""
        count(self.methods, other.methods)
        count(self.statuses, other.statuses)
        self.paginated += other.paginated
        self.flags.update(other.flags)
        self.waited += other.waited
        self.total += other.total
        self.longest = max(self.longest, other.longest)
        for name, buckets in other.endpoints().items():
            key = self.keys.key(name)
            self.buckets.update({key + bucket: number for bucket, number in buckets.items()})

    def endpoints(self) -> dict[str, Counter[int]]:
        """Return the buckets of each endpoint's durations."""
        names, found = self.keys.names(), defaultdict[str, Counter[int]](Counter)
        for key, number in self.buckets.items():
            found[names[key >> BUCKET_BITS]][key & (1 << BUCKET_BITS) - 1] += number
        return found


# --- database.log ------------------------------------------------------------------------------------

WRITE_SUMS = ("rows", "created", "updated", "unchanged", "deleted", "statements", "duration_ms")


@dataclass(slots=True)
class WritesTally:
    """What database.log says, by operation and entity."""

    operations: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def feed(self, records: Sequence[Write]) -> None:
        """Count records."""
        groups = defaultdict[tuple[str, str], list[Write]](list)
        for record in records:
            groups[record.event, record.entity].append(record)
        for key, group in groups.items():
            self._counter(key).update({"operations": len(group)} | _sums(group))

    def merge(self, other: WritesTally) -> None:
        """Add what another has counted."""
        for key, sums in other.operations.items():
            self._counter(key).update(sums)

    def _counter(self, key: tuple[str, str]) -> Counter[str]:
        if key not in self.operations and len(self.operations) >= MOST_KEYS:
            key = (key[0], OTHER)
        return self.operations.setdefault(key, Counter())


def _sums(records: Sequence[Write]) -> dict[str, Any]:
    # Spelled out: one loop that names its fields takes half the time of a sum for each.
    rows = created = updated = unchanged = deleted = statements = 0
    duration = 0.0
    for one in records:
        rows += one.rows
        created += one.created
        updated += one.updated
        unchanged += one.unchanged
        deleted += one.deleted
        statements += one.statements
        duration += one.duration_ms
    sums = (rows, created, updated, unchanged, deleted, statements, duration)
    return dict(zip(WRITE_SUMS, sums, strict=True))


# --- errors.log --------------------------------------------------------------------------------------


class Likes(dict[str, str]):
    """Each message as those like it; kept, as a message comes again and again."""

    def __missing__(self, message: str) -> str:
        found = like(message)
        if len(message) <= LONGEST_MESSAGE:
            if len(self) >= MOST_MESSAGES:
                self.clear()
            self[message] = found
        return found


@dataclass(slots=True)
class ProblemsTally:
    """What errors.log says."""

    events: Counter[str] = field(default_factory=Counter)
    users: Counter[str] = field(default_factory=Counter)
    courses: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    entities: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    latest: list[Problem] = field(default_factory=list)
    likes: Likes = field(default_factory=Likes)

    def feed(self, records: Sequence[Problem]) -> None:
        """Count records; lines of no user and of no course are counted under neither."""
        self.events.update([record.event for record in records])
        count(self.users, [str(one.user)[:LONGEST_KEY] for one in records if one.user is not None])
        count(self.courses, [str(one.course) for one in records if one.course is not None])
        count(self.classes, [one.error_class for one in records if one.error_class])
        count(self.entities, [one.entity for one in records if one.event == "record_rejected"])
        count(self.messages, [self.likes[record.message] for record in records])
        self._keep(records)

    def merge(self, other: ProblemsTally) -> None:
        """Add what another has counted."""
        self.events.update(other.events)
        for name in ("users", "courses", "classes", "entities", "messages"):
            count(getattr(self, name), getattr(other, name))
        self._keep(other.latest)

    def _keep(self, records: Sequence[Problem]) -> None:
        if len(self.latest) == MOST_KEPT:
            least = self.latest[-1].ts  # whoever is older than all that are kept cannot be among them
            records = [record for record in records if record.ts >= least]
        # By all there is, so that the order in which files are read does not show.
        self.latest = nlargest(MOST_KEPT, [*self.latest, *records], key=_problem_order)


def _problem_order(record: Problem) -> tuple[Any, ...]:
    return (record.ts, record.run or 0, record.step, str(record.record_id), record.message)


# --- progress.log ------------------------------------------------------------------------------------

State = tuple[int, int, int]
"""How far a run has come: courses, rows, requests."""


@dataclass(slots=True)
class Stretch:
    """A run's progress over some lines that follow each other, in seconds since the run began.

    It knows when the run got on first and last, so that stretches of one run can be put together.
    """

    first: float
    last: float
    first_state: State
    last_state: State
    advanced_first: float | None = None
    advanced_last: float | None = None
    gap: float = 0.0
    gap_end: float = 0.0

    @classmethod
    def beginning(cls, record: Progress) -> Stretch:
        """Return the stretch of one line."""
        state = (record.courses_done, record.rows, record.requests)
        return cls(record.seconds, record.seconds, state, state)

    def follow(self, moments: Iterable[tuple[float, State]]) -> None:
        """Go on with later lines of the same run: seconds since it began, and how far it had come."""
        since, last, reached = self._standing_since(), self.last, self.last_state
        for seconds, state in moments:
            if state != reached:
                if seconds - since >= self.gap:
                    self._note(seconds - since, seconds)
                if self.advanced_first is None:
                    self.advanced_first = seconds
                since = self.advanced_last = seconds
                reached = state
            if seconds > last:
                last = seconds
        self.last, self.last_state = last, reached

    def append(self, later: Stretch) -> None:
        """Go on with a stretch of later lines."""
        self.follow([(later.first, later.first_state)])
        if later.advanced_first is not None:
            self._note(later.advanced_first - self._standing_since(), later.advanced_first)
            if self.advanced_first is None:
                self.advanced_first = later.advanced_first
            self.advanced_last = later.advanced_last
            self._note(later.gap, later.gap_end)
        self.last, self.last_state = max(self.last, later.last), later.last_state

    def longest_stall(self) -> tuple[float, float]:
        """Return the longest time without getting on, the one since the last time included, and its end."""
        since = self.last - self._standing_since()
        return max((self.gap, self.gap_end), (since, self.last))

    def _note(self, gap: float, end: float) -> None:
        self.gap, self.gap_end = max((self.gap, self.gap_end), (gap, end))

    def _standing_since(self) -> float:
        return self.first if self.advanced_last is None else self.advanced_last


@dataclass(slots=True)
class RunProgress:
    """How far one run has come: its latest line, and its stretches, one per part of a file."""

    lines: int
    latest: Progress
    stretches: list[Stretch]
    part: int

    def follow(self, records: Sequence[Progress], part: int) -> None:
        """Go on with the run's next lines, of the same part of a file or of another."""
        self.lines += len(records)
        # Looking at the seconds alone is quicker, and tells all but those of one instant apart.
        furthest = max([record.seconds for record in records])
        candidates = [record for record in records if record.seconds == furthest]
        self.latest = max(self.latest, *candidates, key=_progress_order)
        if part != self.part:
            self.part = part
            self._add([Stretch.beginning(records[0])])
        self.stretches[-1].follow(
            [(record.seconds, (record.courses_done, record.rows, record.requests)) for record in records]
        )

    def merge(self, other: RunProgress) -> None:
        """Add what another has read of the same run."""
        self.lines += other.lines
        self.latest = max(self.latest, other.latest, key=_progress_order)
        self._add(other.stretches)

    def _add(self, stretches: Sequence[Stretch]) -> None:
        self.stretches.extend(stretches)
        if len(self.stretches) > MOST_STRETCHES:
            self.stretches = [self.whole()]

    def whole(self) -> Stretch:
        """Return all stretches as one, in the order of the run's own clock."""
        first, *others = sorted(self.stretches, key=attrgetter("first", "last"))
        whole = replace(first)
        for stretch in others:
            whole.append(stretch)
        return whole


def _progress_order(record: Progress) -> tuple[Any, ...]:
    # Seconds since the run began, not `ts`: the machine's clock may be set.
    return (record.seconds, record.courses_done, record.rows, record.requests, record.ts)


@dataclass(slots=True)
class ProgressTally:
    """What progress.log says, by run."""

    runs: dict[int | None, RunProgress] = field(default_factory=dict)
    part: int = 0

    def begin_part(self) -> None:
        """Expect lines of another file next, or of another part of it: not those that follow."""
        self.part += 1

    def feed(self, records: Sequence[Progress]) -> None:
        """Count records."""
        groups = defaultdict[int | None, list[Progress]](list)
        for record in records:
            groups[record.run].append(record)
        for run, group in groups.items():
            if run not in self.runs:
                self.runs[run] = RunProgress(0, group[0], [Stretch.beginning(group[0])], self.part)
            self.runs[run].follow(group, self.part)
        self._bound()

    def merge(self, other: ProgressTally) -> None:
        """Add what another has counted."""
        for run, progress in other.runs.items():
            if run in self.runs:
                self.runs[run].merge(progress)
            else:
                self.runs[run] = replace(progress, stretches=list(progress.stretches))
        self._bound()

    def _bound(self) -> None:
        if len(self.runs) > 2 * MOST_KEYS:
            for old in sorted(self.runs, key=lambda run: run or 0)[:-MOST_KEYS]:
                del self.runs[old]


@dataclass(slots=True)
class Tallies:
    """What all logs say; each field is called as its log."""

    operations: OperationsTally = field(default_factory=OperationsTally)
    api_calls: RequestsTally = field(default_factory=RequestsTally)
    database: WritesTally = field(default_factory=WritesTally)
    errors: ProblemsTally = field(default_factory=ProblemsTally)
    progress: ProgressTally = field(default_factory=ProgressTally)

    def of(self, log: str) -> Tally:
        """Return the tally of a log."""
        tally: Tally = getattr(self, log)
        return tally
