"""What the analyser counts: every section against lines written by hand, and the same however it is read."""

from __future__ import annotations

import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from easel.events import COMMON, EVENTS, LOGS
from easel.paths import endpoint
from logmonitor.analysis import engine, plan, sources, tallies
from logmonitor.analysis.durations import RELATIVE_ERROR, buckets_of, percentile
from logmonitor.analysis.lines import RECORDS, Operation, Problem, Progress, Request
from logmonitor.analysis.selection import moment
from logmonitor.analysis.tables import plain, sections
from logmonitor.analysis.tallies import FLAGS, OperationsTally, ProblemsTally, RequestsTally, Stretch
from logmonitor.analysis.wording import like
from tests.logmonitor.log_folder import BEGIN, analysed, line, request, requests, write

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


# --- the declaration ---------------------------------------------------------------------------------


@pytest.mark.parametrize("log", LOGS)
def test_records_are_of_declared_events_and_fields(log: str) -> None:
    hints = {field.name: field.type for field in fields(RECORDS[log])}
    assert set(get_args(hints["event"])) == {name for name, event in EVENTS.items() if event.log == log}
    declared = {field for event in EVENTS.values() if event.log == log for field in event.fields}
    assert hints.keys() <= declared | COMMON.keys()


@pytest.mark.parametrize("event", EVENTS)
def test_line_of_every_event_is_counted(event: str, tmp_path: Path) -> None:
    write(tmp_path, f"{EVENTS[event].log}.log", line(event))
    read = analysed(tmp_path)["input"]
    assert (read["lines"], read["problems"]) == (1, {})


# --- sections ----------------------------------------------------------------------------------------


def test_operations_are_those_of_the_runs_ends_and_else_of_their_courses(tmp_path: Path) -> None:
    lines = [
        line("connection_tested", run=None, state="ok"),
        line("connection_tested", run=None, state="rejected"),
        line("sync_started", run=1, mode="full", trigger="schedule"),
        line("course_synced", run=1, at=1, course="7", state="completed", seconds=9.5,
             records={"assignments": 3}),
        line("sync_ended", run=1, at=20, status="completed", seconds=20.5, courses=2, assignments=5,
             requests=40),
        line("sync_started", run=2, at=30, mode="incremental"),
        line("course_synced", run=2, at=31, course="8", state="completed", records={"assignments": 4}),
        line("course_synced", run=2, at=32, course="9", state="failed", seconds=1.0, records={}),
    ]  # fmt: skip
    write(tmp_path, "operations.log", b"".join(lines))
    write(tmp_path, "progress.log", line("progress", run=2, at=33, seconds=3.25))
    found = analysed(tmp_path)["operations"]
    assert (found["lines"], found["syncs_started"], found["connections_tested"]) == (8, 2, 2)
    assert found["connection_tests"] == {"ok": 1, "rejected": 1}
    assert (found["courses"], found["assignments"], found["courses_failed"]) == (2 + 1, 5 + 4, 1)
    assert found["elapsed_seconds"] == 20.5 + 3.25
    assert (found["first"], found["last"]) == ("2026-11-22T08:00:00.000Z", "2026-11-22T08:00:32.000Z")
    assert found["syncs_ended"] == {"completed": 1}
    assert [(run["run"], run["status"], run["courses"], run["requests"]) for run in found["runs"]] == [
        (2, None, 1, None),
        (1, "completed", 2, 40),
    ]
    assert found["slowest_courses"][0] == {"course": "7", "run": 1, "seconds": 9.5, "state": "completed"}


def test_requests_are_counted_by_method_status_and_endpoint(tmp_path: Path) -> None:
    lines = [
        request(path="courses/42/sections", duration_ms=10.0),
        request(path="courses/4200/sections", duration_ms=20.0, paginated=True),
        request(path="users/1~77/courses", duration_ms=900.0, status=429, throttled=True, retried=True),
        request(path="accounts/1", duration_ms=5.5, status=None, failed=True, waited_ms=7.0),
        request(path="accounts/1", duration_ms=1.0, method="POST"),
    ]
    write(tmp_path, "api_calls.log", b"".join(lines))
    api = analysed(tmp_path)["api"]
    assert (api["calls"], api["by_method"]) == (5, {"GET": 4, "POST": 1})
    assert api["by_status"] == {"200": 3, "429": 1, "none": 1}
    flags = ("paginated_requests", "rate_limit_hits", "retries", "failures")
    assert [api[flag] for flag in flags] == [1, 1, 1, 1]
    assert api["duration"]["total_ms"] == 936.5
    assert api["duration"]["mean_ms"] == 187.3
    assert (api["duration"]["max_ms"], api["waited_ms"]) == (900.0, 7.0)
    assert [(one["endpoint"], one["calls"]) for one in api["slowest_endpoints"]] == [
        ("users/:id/courses", 1),
        ("courses/:id/sections", 2),
        ("accounts/:id", 2),
    ]


REQUESTS = st.builds(
    Request,
    st.just(BEGIN),
    event=st.just("request"),
    method=st.sampled_from(["GET", "GET", "POST", ""]),
    path=st.sampled_from(["courses/1/users", "courses/22/users", "a\nb/7", "", "\u0663/é"]),
    status=st.sampled_from([200, 200, 404, None]),
    duration_ms=st.floats(0, 1e6),
    waited_ms=st.sampled_from([0.0, -0.0, 2.5]),
    paginated=st.booleans(),
    throttled=st.booleans(),
    retried=st.booleans(),
    failed=st.booleans(),
)


@given(st.lists(st.lists(REQUESTS, min_size=1, max_size=8), min_size=1, max_size=4))
def test_requests_counted_many_at_once_are_those_counted_one_by_one(blocks: list[list[Request]]) -> None:
    tally, every = RequestsTally(), [one for block in blocks for one in block]
    for block in blocks:
        tally.feed(block)
    assert tally.methods == Counter(one.method for one in every)
    assert tally.statuses == Counter(one.status for one in every)
    assert tally.paginated == sum(one.paginated for one in every)
    for flag in FLAGS:
        assert tally.flags[flag] == sum(getattr(one, flag) for one in every)
    assert tally.waited == sum(one.waited_ms for one in every)
    assert tally.total == pytest.approx(sum(one.duration_ms for one in every))
    assert tally.longest == max(one.duration_ms for one in every)
    told = defaultdict[str, Counter[int]](Counter)
    for one in every:
        told[endpoint(re.sub("[0-9]", "0", one.path))].update(buckets_of([one.duration_ms]))
    assert tally.endpoints() == told


@given(st.lists(st.lists(st.integers(0, 9), max_size=40), max_size=12))
def test_slowest_courses_and_latest_errors_are_kept_however_they_come(parts: list[list[int]]) -> None:
    courses, errors = OperationsTally(), ProblemsTally()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tallies, "MOST_KEPT", 7)
        for part in filter(None, parts):
            courses.feed(
                [
                    Operation(BEGIN, event="course_synced", run=1, course=n, seconds=n / 2, state="failed")
                    for n in part
                ]
            )
            errors.feed([Problem(BEGIN + timedelta(seconds=n), event="error", message=str(n)) for n in part])
    kept = sorted(chain.from_iterable(parts), reverse=True)[:7]
    assert courses.slowest == [(n / 2, str(n), 1, "failed") for n in kept]
    assert [one.message for one in errors.latest] == [str(n) for n in kept]


def test_database_is_counted_by_operation_and_entity(tmp_path: Path) -> None:
    counts = {"rows": 10, "created": 4, "updated": 3, "unchanged": 2, "deleted": 1, "statements": 2}
    lines = [
        line("bulk_upsert", entity="submissions", duration_ms=30.0, **counts),
        line("bulk_upsert", entity="submissions", duration_ms=10.0, **counts),
        line("mark_deleted", entity="users", rows=2, duration_ms=1.5),
        line("flush", rows=20, steps=1, duration_ms=50.0),
    ]
    write(tmp_path, "database.log", b"".join(lines))
    found = analysed(tmp_path)["database"]
    assert (found["operations"], found["batches"], found["transactions"]) == (4, 2, 1)
    assert [found[name] for name in ("rows", "created", "updated", "unchanged", "deleted", "statements")] == [
        22, 8, 6, 4, 4, 4,
    ]  # fmt: skip
    assert found["duration_ms"] == 50.0  # the transaction's, which holds those of its batches
    assert list(found["by_operation"]) == ["flush", "bulk_upsert", "mark_deleted"]
    assert found["by_entity"]["submissions"]["rows"] == 20
    assert found["by_entity"]["users"]["duration_ms"] == 1.5


def test_errors_are_counted_by_user_course_and_message(tmp_path: Path) -> None:
    message = "Canvas answers 502 for courses/{}/enrollments: try later."
    lines = [
        line("error", at=1, user=3, course="1007", error_class="Unavailable", message=message.format(1007)),
        line("error", at=3, user=3, course="1008", error_class="Unavailable", message=message.format(1008)),
        line("record_rejected", at=2, user=4, entity="users", record_id="12345", message="No name."),
    ]
    write(tmp_path, "errors.log", b"".join(lines))
    found = analysed(tmp_path, top=2)["errors"]
    assert (found["lines"], found["errors"], found["rejected_records"]) == (3, 2, 1)
    assert found["by_user"] == {"3": 2, "4": 1}
    assert found["by_course"] == {"1007": 1, "1008": 1}
    assert found["by_message"] == {
        "Canvas answers 502 for courses/:id/enrollments: try later.": 2,
        "No name.": 1,
    }
    assert found["rejected_by_entity"] == {"users": 1}
    assert [one["ts"][17:19] for one in found["recent"]] == ["03", "02"]


def progress(seconds: float, done: int, **fields: Any) -> bytes:
    """Return a line of progress."""
    return line("progress", at=seconds, seconds=seconds, courses_done=done, courses=10, rows=done, **fields)


def test_progress_tells_completion_and_stalls(tmp_path: Path) -> None:
    lines = [
        progress(1, 1),
        progress(2, 2),
        progress(300, 2),
        progress(602, 3, percent=30.0),
        progress(603, 3, percent=30.0),
    ]
    write(tmp_path, "progress.log", b"".join(lines))
    write(tmp_path, "operations.log", line("sync_ended", status="partial"))
    found = analysed(tmp_path)["progress"]
    assert (found["runs"], found["stalled_runs"]) == (1, 1)
    run = found["by_run"][0]
    assert (run["lines"], run["percent"], run["courses_done"], run["courses"]) == (5, 30.0, 3, 10)
    assert (run["longest_stall_seconds"], run["stalled_from_second"]) == (600.0, 2.0)
    assert run["status"] == "partial"


def test_run_that_stands_still_at_its_end_has_stalled(tmp_path: Path) -> None:
    write(tmp_path, "progress.log", b"".join(progress(seconds, 1) for seconds in range(0, 1000, 10)))
    found = analysed(tmp_path)["progress"]
    assert found["by_run"][0]["longest_stall_seconds"] == 990.0


@given(st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=2, max_size=30), st.integers(1, 29))
def test_stretches_of_a_run_put_together_tell_the_same_stall(steps: list[tuple[int, bool]], cut: int) -> None:
    seconds, done, records = 0, 0, []
    for gap, got_on in steps:
        seconds, done = seconds + gap, done + got_on
        records.append(Progress(BEGIN, event="progress", seconds=float(seconds), courses_done=done))

    def stretch(part: list[Progress]) -> Stretch:
        found = Stretch.beginning(part[0])
        for record in part:
            found.follow([(record.seconds, (record.courses_done, record.rows, record.requests))])
        return found

    whole = stretch(records)
    first, *rest = records[:cut], records[cut:]
    parts = stretch(first)
    for part in filter(None, rest):
        parts.append(stretch(part))
    assert parts.longest_stall() == whole.longest_stall()


def test_clock_steps_do_not_matter(tmp_path: Path) -> None:
    lines = [progress(second, second) for second in range(5)]
    back = [line("progress", at=-86_400, seconds=5.0, courses_done=5, courses=10)]
    write(tmp_path, "progress.log", b"".join([*lines, *back]))
    run = analysed(tmp_path)["progress"]["by_run"][0]
    assert (run["courses_done"], run["longest_stall_seconds"]) == (5, 1.0)


# --- percentiles -------------------------------------------------------------------------------------

DURATIONS = st.floats(0.001, 1e9)


@given(st.lists(DURATIONS, min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_percentiles_are_within_their_stated_error(durations: list[float], share: float) -> None:
    buckets: dict[int, int] = {}
    for bucket in buckets_of(durations):
        buckets[bucket] = buckets.get(bucket, 0) + 1
    exact = sorted(durations)[max(-(-len(durations) * round(share * 100) // 100), 1) - 1]
    found = percentile(buckets, share)
    assert found is not None
    assert abs(found - exact) <= exact * RELATIVE_ERROR * 1.001  # and what a 32 bit float rounds


def test_percentiles_of_a_report(tmp_path: Path) -> None:
    durations = [random.Random(1).lognormvariate(4, 1) for _ in range(1)] + [float(n) for n in range(1, 1000)]
    write(tmp_path, "api_calls.log", b"".join(request(duration_ms=one) for one in durations))
    found = analysed(tmp_path)["api"]["duration"]
    for name, exact in (("p50_ms", 500), ("p95_ms", 950), ("p99_ms", 990)):
        assert found[name] == pytest.approx(exact, rel=0.005)
    assert found["mean_ms"] == pytest.approx(fmean(durations), abs=0.001)


# --- selection ---------------------------------------------------------------------------------------


def some_lines(folder: Path) -> None:
    """Write requests of three runs, two users, two courses, an hour apart."""
    lines = [
        request(at=0, run=1, user=3, path="courses/7/sections"),
        request(at=3600, run=2, user=4, path="courses/77/sections"),
        request(at=7200, run=3, user=3, path="courses/7"),
    ]
    write(folder, "api_calls.log", b"".join(lines))
    write(folder, "database.log", line("flush"))
    write(folder, "errors.log", line("error", run=2, course="7") + line("error", run=2, course="77"))


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"since": BEGIN + timedelta(hours=1)}, 2),
        ({"until": BEGIN + timedelta(hours=1)}, 2),
        ({"since": BEGIN + timedelta(hours=1), "until": BEGIN + timedelta(hours=1)}, 1),
        ({"runs": frozenset({"1", "3"})}, 2),
        ({"users": frozenset({"4"})}, 1),
        ({"courses": frozenset({"7"})}, 2),
        ({"users": frozenset({"3"}), "runs": frozenset({"2"})}, 0),
    ],
)
def test_only_lines_asked_for_are_counted(selection: dict[str, Any], expected: int, tmp_path: Path) -> None:
    some_lines(tmp_path)
    assert analysed(tmp_path, **selection)["api"]["calls"] == expected


def test_sections_that_tell_no_course_are_null_when_one_is_asked_for(tmp_path: Path) -> None:
    some_lines(tmp_path)
    found = analysed(tmp_path, courses=frozenset({"7"}))
    assert found["database"] is None
    assert found["progress"] is None
    assert found["errors"]["by_course"] == {"7": 1}
    assert "These lines do not tell a course." in plain(sections(found))


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [
        ("2h", False, NOW - timedelta(hours=2)),
        ("7d", True, NOW - timedelta(days=7)),
        ("90s", False, NOW - timedelta(seconds=90)),
        ("2026-11-22", False, datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22", True, datetime(2026, 11, 22, 23, 59, 59, 999999, UTC)),
        ("2026-11-22T08:30", False, datetime(2026, 11, 22, 8, 30, tzinfo=UTC)),
        ("2026-11-22T08:30+02:00", False, datetime(2026, 11, 22, 6, 30, tzinfo=UTC)),
    ],
)
def test_moments_are_understood(text: str, end: bool, expected: datetime) -> None:
    assert moment(text, NOW, end=end) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2h30", "-2h", "999999w", "2026-13-01", "²h"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        moment(text, NOW)


# --- wording -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("courses/42/enrollments", "courses/:id/enrollments"),
        ("/api/v1/courses/1~42/users?page=2", "courses/:id/users"),
        ("accounts/self/terms", "accounts/self/terms"),
        ("users/sis_user_id:A.B-1/courses", "users/:id/courses"),
        ("files/3f2b8c1e-0000-4a4a-8b8b-123456789abc", "files/:id"),
        ("progress/-5", "progress/:id"),
    ],
)
def test_ids_in_paths_are_alike(path: str, expected: str) -> None:
    assert endpoint(path) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Canvas answers 500 for courses/7/users", "Canvas answers 500 for courses/:id/users"),
        ("course:1007 failed after 3 tries", "course:1007".replace("1007", ":id") + " failed after 3 tries"),
        ("Record 123456 has no name", "Record :id has no name"),
    ],
)
def test_ids_in_messages_are_alike(message: str, expected: str) -> None:
    assert like(message) == expected


def test_messages_are_redacted_and_shown_without_control_characters() -> None:
    assert like("1234~" + "xY3" * 12) == "[redacted]"
    assert like("\x1b[31mred") == "\\x1b[31mred"


# --- the same, however it is read --------------------------------------------------------------------


def comparable(report: dict[str, Any]) -> dict[str, Any]:
    """Return what has to be the same: all but when the report was made."""
    return {key: value for key, value in report.items() if key != "generated_at"}


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a folder with lines of all events, of several runs, in all logs, some broken."""
    chance = random.Random(7)
    for log in LOGS:
        events = [name for name, event in EVENTS.items() if event.log == log]
        lines = []
        for index in range(1500):
            event = chance.choice(events)
            fields = EVENTS[event].fields.keys() & {"seconds", "duration_ms", "courses_done", "rows"}
            values = {name: index // 4 if name == "courses_done" else float(index) for name in fields}
            values |= {"rows": index} if "rows" in fields else {}
            lines.append(line(event, at=index, run=chance.randrange(1, 6), **values))
            if chance.random() < 0.02:
                lines.append(chance.choice([b"no json\n", b"{}\n", lines[-1][:20] + b"\n", b"\n", b"\xff\n"]))
        write(tmp_path, f"{log}.log", b"".join(lines))
    return tmp_path


def test_several_processes_count_as_one_does(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.os, "sched_getaffinity", lambda _: {0})
    alone = comparable(analysed(mixed, top=100))
    monkeypatch.setattr(engine.os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setattr(engine, "WORTH_A_PROCESS_BYTES", 1)
    monkeypatch.setattr(plan, "STRETCH_BYTES", 10_000)
    monkeypatch.setattr(sources, "READ_BYTES", 1000)
    together = comparable(analysed(mixed, top=100))
    assert together == alone
    assert alone["input"]["problems"].keys() == {"damaged", "foreign", "half_written"}


def test_worker_that_dies_is_said(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count: Callable[..., None] = engine.count_stretch
    first = engine.os.getpid()

    def die(*arguments: Any) -> None:
        if engine.os.getpid() != first:
            engine.os._exit(9)
        while engine.multiprocessing.active_children():  # until it has taken its turn, too
            time.sleep(0.01)
        count(*arguments)

    monkeypatch.setattr(engine, "count_stretch", die)
    monkeypatch.setattr(engine, "WORTH_A_PROCESS_BYTES", 1)
    monkeypatch.setattr(engine.os, "sched_getaffinity", lambda _: {0, 1})
    with pytest.raises(engine.AnalysisError, match="run it again"):
        analysed(mixed)


def test_keys_beyond_the_bound_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logmonitor.analysis.tallies.MOST_KEYS", 5)
    monkeypatch.setattr("logmonitor.analysis.tallies.MOST_ENDPOINTS", 3)
    lines = [request(method=f"M{n}", path=f"{chr(97 + n)}/1") for n in range(26)] + [request()] * 10
    write(tmp_path, "api_calls.log", b"".join(lines))
    api = analysed(tmp_path, top=100)["api"]
    assert sum(api["by_method"].values()) == 36
    assert api["by_method"]["GET"] == 10
    assert sum(one["calls"] for one in api["slowest_endpoints"]) == 36
    assert api["endpoints"] == 4


def test_empty_folder_gives_an_empty_report(tmp_path: Path) -> None:
    found = analysed(tmp_path)
    assert found["input"]["lines"] == 0
    assert found["api"]["duration"]["p95_ms"] is None
    assert "Syncs started: 0" in plain(sections(found))


def test_requests_of_many_files_add_up(tmp_path: Path) -> None:
    for index in range(5):
        write(tmp_path, f"api_calls.log.{index}", requests(100, start=100 * index))
    assert analysed(tmp_path)["api"]["duration"]["total_ms"] == sum(range(500))
