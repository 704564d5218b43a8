"""The bulk writer on a real database: exact counts, the newest content, and whole batches or nothing."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canvas.mapping import SHORT_TEXT_CHARS, Mapper
from canvas.models import Assignment, CanvasRow, Enrollment, Submission, Term, User
from canvas.resources import RESOURCES
from canvas.writer import Row, Table, Writer, Written, analyze
from easel.ids import SHARD_SIZE, Folder

START = datetime(2024, 9, 1, 12, tzinfo=UTC)
TERMS = Table.of(Term)


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def key(canvas_id: int) -> int:
    return SHARD_SIZE + canvas_id


def rows_of(
    resource: str, records: Sequence[dict[str, Any]], minute: float = 0, *, instance: int = 1
) -> list[Row]:
    """Return the rows of a page; a record the mapper rejects is a mistake of the test."""
    mapper = Mapper(RESOURCES[resource].columns, Folder(instance), instance, source="rest")
    mapped = mapper.map(list(records), at(minute), {"course": key(5)})
    assert mapped.rejected == []
    return mapped.rows


def write(resource: str, records: Sequence[dict[str, Any]], minute: float = 0, **options: bool) -> Written:
    table = Table.of(RESOURCES[resource].model)
    return Writer(**options).write(table, rows_of(resource, records, minute))


def write_partly(resource: str, record: dict[str, Any], minute: float) -> Written:
    """Write a record of a source that does not carry every column."""
    absent = {column.name for column in RESOURCES[resource].columns if column.key not in record}
    table = Table.of(RESOURCES[resource].model)
    return Writer().write(table, rows_of(resource, [record], minute), absent=frozenset(absent))


def counts(written: Written) -> dict[str, int]:
    """Return what is not nothing, apart from the statements."""
    return {name: number for name, number in asdict(written).items() if number and name != "operations"}


def fingerprint(model: type[CanvasRow]) -> list[dict[str, Any]]:
    return list(model._default_manager.order_by("id").values())


# --- counts -------------------------------------------------------------------------------------


def test_new_changed_and_unchanged_rows_are_told_apart(db: None):
    assert counts(write("terms", [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}])) == {
        "created": 2,
        "rows": 2,
    }
    again = [{"id": 1, "name": "A"}, {"id": 2, "name": "B2"}, {"id": 3, "name": "C"}]
    assert counts(write("terms", again, 1)) == {"created": 1, "updated": 1, "unchanged": 1, "rows": 2}
    assert list(Term.objects.order_by("id").values_list("id", "name")) == [
        (key(1), "A"),
        (key(2), "B2"),
        (key(3), "C"),
    ]


def test_unchanged_rows_are_not_touched(db: None):
    write("terms", [{"id": 1, "name": "A"}])
    before = fingerprint(Term)
    assert counts(write("terms", [{"id": 1, "name": "A"}], 1)) == {"unchanged": 1}
    assert fingerprint(Term) == before


def test_nothing_to_write_asks_the_database_nothing(db: None, django_assert_num_queries: Any):
    with django_assert_num_queries(0):
        assert Writer().write(TERMS, []) == Written()


def test_batch_takes_a_handful_of_statements_however_many_rows(db: None):
    records = [{"id": n, "name": f"Term {n}"} for n in range(1, 2_001)]
    assert write("terms", records).operations == 2
    changed = [record | {"name": "other"} for record in records[:1_000]]
    new = [{"id": n, "name": "new"} for n in range(2_001, 3_001)]
    assert write("terms", [*changed, *records[1_000:], *new], 1) == Written(
        created=1_000, updated=1_000, unchanged=1_000, rows=2_000, operations=3
    )
    assert Term.objects.filter(name="other").count() == Term.objects.filter(name="new").count() == 1_000


def test_repeated_id_in_a_batch_counts_once_and_its_newest_wins(db: None):
    batch = [
        *rows_of("terms", [{"id": 1, "name": "newest"}], 5),
        *rows_of("terms", [{"id": 1, "name": "older"}, {"id": 2, "name": "first"}], 3),
        *rows_of("terms", [{"id": 2, "name": "last of equals"}], 3),
    ]
    assert counts(Writer().write(TERMS, batch)) == {"created": 2, "rows": 2}
    assert list(Term.objects.order_by("id").values_list("name", flat=True)) == ["newest", "last of equals"]
    assert counts(Writer().write(TERMS, [*batch, *batch])) == {"unchanged": 2}


def test_row_that_means_the_same_with_another_hash_is_unchanged(db: None):
    """A new version of the mapping is no news from Canvas; its hash is kept, so that it costs once only."""
    write("terms", [{"id": 1, "name": "A", "start_at": "2024-09-01T00:00:00Z"}])
    renamed = [
        replace(column, default="") if column.name == "name" else column
        for column in RESOURCES["terms"].columns
    ]
    mapper = Mapper(renamed, Folder(1), 1, source="rest")
    rows = mapper.map([{"id": 1, "name": "A", "start_at": "2024-09-01T00:00:00Z"}], at(1)).rows
    assert rows[0][-3] != Term.objects.get().row_hash
    assert counts(Writer().write(TERMS, rows)) == {"unchanged": 1}
    assert Term.objects.get().row_hash == rows[0][-3]


@dataclass
class Stored:
    """What the database should hold of one row."""

    content: tuple[str, str]
    minute: int
    deleted: int | None


@dataclass
class Model:
    """The writer's rules once more, in the plainest form."""

    rows: dict[int, Stored]

    def write(self, minute: int, batch: dict[int, tuple[str, str]]) -> dict[str, int]:
        done = dict.fromkeys(("created", "updated", "unchanged", "deleted"), 0)
        for canvas_id, content in batch.items():
            verdict = self._write_one(minute, canvas_id, content)
            if verdict:
                done[verdict] += 1
        return done

    def _write_one(self, minute: int, canvas_id: int, content: tuple[str, str]) -> str | None:
        stored = self.rows.get(canvas_id)
        live = content[1] != "deleted"
        if stored is None:
            self.rows[canvas_id] = Stored(content, minute, None if live else minute)
            return "created" if live else "deleted"
        if stored.content == content or minute < stored.minute:
            return "unchanged" if live else None
        was_live = stored.deleted is None
        first_seen = minute if was_live else stored.deleted
        self.rows[canvas_id] = Stored(content, minute, None if live else first_seen)
        if live:
            return "updated"
        return "deleted" if was_live else None


contents = st.tuples(st.sampled_from(["A", "B", "C"]), st.sampled_from(["active", "active", "deleted"]))
batches = st.lists(
    st.tuples(st.integers(0, 9), st.dictionaries(st.integers(1, 6), contents, min_size=1)),
    min_size=1,
    max_size=8,
)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=batches)
def test_counts_and_rows_are_exact_whatever_comes_in_whatever_order(
    db: None, batches: list[tuple[int, dict[int, tuple[str, str]]]]
):
    """New rows, changes, deletions, revivals, and news that is older than what is known."""
    Term.objects.all().delete()
    model = Model({})
    for minute, batch in batches:
        records = [
            {"id": canvas_id, "name": name, "workflow_state": state}
            for canvas_id, (name, state) in batch.items()
        ]
        foreseen = asdict(write("terms", records, minute, dry_run=True))
        written = asdict(write("terms", records, minute))
        assert foreseen == written
        expected = model.write(minute, batch)
        assert {name: written[name] for name in expected} == expected
    stored = Term.objects.order_by("id").values_list("id", "name", "workflow_state", "as_of", "deleted_at")
    assert list(stored) == [
        (key(canvas_id), *row.content, at(row.minute), None if row.deleted is None else at(row.deleted))
        for canvas_id, row in sorted(model.rows.items())
    ]


# --- deletion and age ---------------------------------------------------------------------------


def test_deleted_row_that_comes_back_is_undeleted(db: None):
    write("terms", [{"id": 1, "name": "A"}])
    gone = [{"id": 1, "name": "A", "workflow_state": "deleted"}]
    assert counts(write("terms", gone, 1)) == {"deleted": 1, "rows": 1}
    assert Term.objects.get().deleted_at == at(1)
    assert counts(write("terms", [{"id": 1, "name": "A"}], 2)) == {"updated": 1, "rows": 1}
    term = Term.objects.get()
    assert (term.deleted_at, term.workflow_state) == (None, "active")


def test_row_the_engine_buried_comes_back_though_canvas_says_the_same_of_it(db: None):
    write("terms", [{"id": 1, "name": "A"}])
    Term.objects.update(deleted_at=at(1), as_of=at(1), workflow_state="deleted", row_hash=0)
    assert counts(write("terms", [{"id": 1, "name": "A"}], 2)) == {"updated": 1, "rows": 1}
    assert Term.objects.get().deleted_at is None


def test_deletion_keeps_the_time_it_was_first_seen(db: None):
    for minute, name in enumerate(["A", "B", "C"], start=1):
        write("terms", [{"id": 1, "name": name, "workflow_state": "deleted"}], minute)
    term = Term.objects.get()
    assert (term.deleted_at, term.as_of, term.name) == (at(1), at(3), "C")


def test_row_first_seen_deleted_is_stored_and_counted_as_deleted_only(db: None):
    gone = [{"id": 1, "workflow_state": "deleted"}]
    assert counts(write("terms", gone)) == {"deleted": 1, "rows": 1}
    assert counts(write("terms", gone, 1)) == {}


@pytest.mark.parametrize("state", ["active", "deleted"])
def test_older_news_never_overwrites_newer(db: None, state: str):
    write("terms", [{"id": 1, "name": "new"}], 5)
    before = fingerprint(Term)
    late = write("terms", [{"id": 1, "name": "old", "workflow_state": state}], 4.99)
    assert (late.updated, late.deleted, late.rows) == (0, 0, 0)
    assert fingerprint(Term) == before


def test_news_of_the_same_second_overwrites(db: None):
    write("terms", [{"id": 1, "name": "first"}], 5)
    assert counts(write("terms", [{"id": 1, "name": "second"}], 5)) == {"updated": 1, "rows": 1}


# --- sources that see less ----------------------------------------------------------------------

SEEN_BY_ADMIN = {"id": 1, "name": "Ada", "email": "ada@example.edu", "sis_user_id": "S1", "login_id": "ada"}
SEEN_BY_TEACHER = {"id": 1, "name": "Ada L.", "locale": None}


def test_partial_source_fills_and_changes_but_does_not_blank(db: None):
    write("users", [SEEN_BY_ADMIN])
    assert counts(write_partly("users", SEEN_BY_TEACHER, 1)) == {"updated": 1, "rows": 1}
    user = User.objects.get()
    assert (user.name, user.email, user.sis_user_id) == ("Ada L.", "ada@example.edu", "S1")
    write_partly("users", SEEN_BY_TEACHER | {"locale": "de"}, 2)
    assert User.objects.get().locale == "de"
    write_partly("users", SEEN_BY_TEACHER, 3)
    assert User.objects.get().locale is None, "null says that there is nothing; a missing key says nothing"


def test_whole_source_blanks(db: None):
    write("users", [SEEN_BY_ADMIN])
    write("users", [SEEN_BY_TEACHER], 1)
    assert User.objects.get().email is None


def test_two_sources_that_agree_do_not_rewrite_each_others_rows(db: None):
    write("users", [SEEN_BY_ADMIN])
    seen_by_teacher = {"id": 1, "name": "Ada"}
    for minute in range(1, 6, 2):
        assert counts(write_partly("users", seen_by_teacher, minute)) == {"unchanged": 1}
        assert counts(write("users", [SEEN_BY_ADMIN], minute + 1)) == {"unchanged": 1}


def test_partial_source_still_marks_and_unmarks_deletion(db: None):
    write("users", [SEEN_BY_ADMIN])
    write_partly("users", {"id": 1, "workflow_state": "deleted"}, 1)
    assert User.objects.get().deleted_at == at(1)
    write_partly("users", {"id": 1}, 2)
    user = User.objects.get()
    assert (user.deleted_at, user.email) == (None, "ada@example.edu")


# --- dry run ------------------------------------------------------------------------------------


def test_dry_run_counts_and_writes_nothing(db: None):
    write("terms", [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}, {"id": 3, "name": "C"}])
    before = fingerprint(Term)
    records = [
        {"id": 1, "name": "A"},
        {"id": 2, "name": "B2"},
        {"id": 3, "name": "C", "workflow_state": "deleted"},
        {"id": 4, "name": "D"},
    ]
    foreseen = write("terms", records, 1, dry_run=True)
    assert fingerprint(Term) == before
    assert counts(foreseen) == {"created": 1, "updated": 1, "unchanged": 1, "deleted": 1, "rows": 3}
    assert foreseen == write("terms", records, 1)


# --- stored values ------------------------------------------------------------------------------

MOMENTS = {
    "2024-10-01T21:59:59Z": datetime(2024, 10, 1, 21, 59, 59, tzinfo=UTC),
    "2024-10-01T21:59:59.250Z": datetime(2024, 10, 1, 21, 59, 59, 250_000, tzinfo=UTC),
    "2024-10-01T21:59:59.000Z": datetime(2024, 10, 1, 21, 59, 59, tzinfo=UTC),
    "2024-10-01T23:30:00+02:00": datetime(2024, 10, 1, 21, 30, tzinfo=UTC),
    "2024-10-01T18:00:00-06:00": datetime(2024, 10, 2, tzinfo=UTC),
    "2024-10-01": datetime(2024, 10, 1, tzinfo=UTC),
}


@pytest.mark.parametrize(("text", "moment"), MOMENTS.items())
def test_timestamp_is_found_by_every_filter(db: None, text: str, moment: datetime):
    write("terms", [{"id": 1, "start_at": text}])
    assert Term.objects.get().start_at == moment
    second = timedelta(microseconds=1)
    for lookup, value in {
        "start_at": moment,
        "start_at__gte": moment,
        "start_at__lte": moment,
        "start_at__gt": moment - second,
        "start_at__lt": moment + second,
        "start_at__date": moment.date(),
        "start_at__hour": moment.hour,
    }.items():
        assert Term.objects.filter(**{lookup: value}).exists(), lookup
    assert not Term.objects.filter(start_at__gt=moment).exists()
    assert not Term.objects.filter(start_at__lt=moment).exists()


def test_timestamps_of_the_writer_and_of_django_are_the_same_in_the_database(db: None):
    """In SQLite they are text: another form of the same moment would sort and compare wrongly."""
    write("terms", [{"id": n, "start_at": text} for n, text in enumerate(MOMENTS, start=1)])
    for term in Term.objects.all():
        Term.objects.filter(pk=term.pk).update(end_at=term.start_at)
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM canvas_term WHERE start_at = end_at")
        assert cursor.fetchone() == (len(MOMENTS),)
    by_time = Term.objects.order_by("start_at", "id").values_list("canvas_id", flat=True)
    assert list(by_time) == [
        n for _, n in sorted((moment, n) for n, moment in enumerate(MOMENTS.values(), 1))
    ]


def test_every_kind_of_value_comes_back_as_it_was(db: None):
    write(
        "assignments",
        [
            {
                "id": 2**40,
                "assignment_group_id": 7,
                "name": 'Tab\t, quote ", back\\slash, \\N, new\nline, emoji 🦉',
                "description": "",
                "points_possible": 0.1,
                "position": 2**62,
                "submission_types": ["online_upload", "ünïcode"],
                "published": False,
                "integration_data": {},
                "allowed_attempts": -1,
            }
        ],
    )
    stored = Assignment.objects.get()
    assert stored.canvas_id == 2**40
    assert (stored.course_id, stored.assignment_group_id) == (key(5), key(7))
    assert stored.name == 'Tab\t, quote ", back\\slash, \\N, new\nline, emoji 🦉'
    assert (stored.description, stored.due_at) == ("", None)
    assert (stored.points_possible, stored.position, stored.allowed_attempts) == (0.1, 2**62, -1)
    assert stored.submission_types == ["online_upload", "ünïcode"]
    assert (stored.published, stored.has_overrides, stored.integration_data) == (False, None, {})
    assert Assignment.objects.filter(published=False, submission_types__0="online_upload").exists()


def test_spellings_of_one_row_meet_in_one_row(db: None):
    first = {"id": "42", "grader_id": -3, "score": "10", "grade": 42, "attempt": 1, "user_id": "7"}
    second = {"id": 42, "grader_id": "-3", "score": 10.0, "grade": "42", "attempt": "1", "user_id": 7}
    write("submissions", [first])
    assert counts(write("submissions", [second], 1)) == {"unchanged": 1}
    stored = Submission.objects.get()
    assert (stored.id, stored.user_id, stored.grader_id) == (key(42), key(7), -3)


def test_one_bad_record_of_a_page_costs_only_itself(db: None):
    bad: dict[str, Any] = {
        "last_activity_at": "soon",
        "role": "a\0b",
        "total_activity_time": 2**63,
        "final_score": 10**400,
        "type": {"name": "StudentEnrollment"},
        "user_id": True,
    }
    page = [
        {"id": n, name: value, "grades": {name: value}}
        for n, (name, value) in enumerate(bad.items(), start=1)
    ]
    page += [{"id": n, "type": "StudentEnrollment"} for n in range(101, 195)]
    random.Random(3).shuffle(page)
    mapped = Mapper(RESOURCES["enrollments"].columns, Folder(1), 1, source="rest").map(page, START)
    assert {reason.partition(":")[0] for _, _, reason in mapped.rejected} == set(bad)
    assert counts(Writer().write(Table.of(Enrollment), mapped.rows)) == {"created": 94, "rows": 94}
    assert Enrollment.objects.filter(canvas_id__gt=100).count() == Enrollment.objects.count() == 94


def test_longest_text_the_mapper_lets_through_fits_every_index(db: None):
    """Random text of four bytes a character, so that no database can make it smaller."""
    chosen = random.Random(5)
    text = "".join(chr(chosen.randrange(0x20000, 0x2A000)) for _ in range(SHORT_TEXT_CHARS))
    for name, resource in RESOURCES.items():
        short = {column.key: text for column in resource.columns if column.kind.name == "short text"}
        assert counts(write(name, [{"id": 1} | short])) == {"created": 1, "rows": 1}
        stored = resource.model._default_manager.values().get()
        assert [column.name for column in resource.columns if stored[column.name] == text] == [
            column.name for column in resource.columns if column.key in short
        ]


# --- errors -------------------------------------------------------------------------------------


def broken(rows: Sequence[Row], column: str, value: Any) -> list[Row]:
    """Return the rows with one value of the last one spoilt, as no mapper would let it through."""
    position = TERMS.columns.index(column)
    return [*rows[:-1], (*rows[-1][:position], value, *rows[-1][position + 1 :])]


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("column", "value"),
    [("start_at", "soon"), ("name", "a\0b"), ("grading_period_group_id", 2**63)],
)
@pytest.mark.parametrize("existing", [0, 2])
def test_error_inside_copy_is_djangos_and_leaves_the_connection_usable(
    db: None, column: str, value: Any, existing: int
):
    """`existing` 2: the COPY into the temporary table of an update fails, not the one of new rows."""
    records = [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}]
    write("terms", records[:existing])
    rows = rows_of("terms", [record | {"name": "changed"} for record in records], 1)
    with pytest.raises(DataError):
        Writer().write(TERMS, broken(rows, column, value))
    assert list(Term.objects.order_by("id").values_list("name", flat=True)) == ["A", "B"][:existing]
    assert Writer().write(TERMS, rows).rows == 2


@pytest.mark.django_db(transaction=True)
def test_failed_batch_is_djangos_error_writes_nothing_and_can_be_followed_by_a_good_one():
    write("terms", [{"id": 1, "name": "A"}])
    rows = rows_of("terms", [{"id": 1, "name": "changed"}, {"id": 2}, {"id": 3}], 1)
    before = fingerprint(Term)
    with pytest.raises(IntegrityError):
        Writer().write(TERMS, broken(rows, "instance_id", None))
    assert not connection.in_atomic_block
    assert fingerprint(Term) == before
    assert counts(Writer().write(TERMS, rows)) == {"created": 2, "updated": 1, "rows": 3}


def test_failed_batch_leaves_the_transaction_around_it_usable(db: None):
    write("terms", [{"id": 1, "name": "A"}])
    rows = rows_of("terms", [{"id": 2}], 1)
    with pytest.raises(IntegrityError):
        Writer().write(TERMS, broken(rows, "instance_id", None))
    assert Term.objects.get().name == "A"
    assert Writer().write(TERMS, rows).created == 1


# --- writers side by side -----------------------------------------------------------------------


def side_by_side(*works: Iterable[Callable[[], object]]) -> None:
    """Do the first thing of all at once, then the second of all, each on a connection of its own.

    Raises what went wrong first.
    """
    gate = threading.Barrier(len(works), timeout=60)
    errors: list[BaseException] = []

    def perform(work: Iterable[Callable[[], object]]) -> None:
        try:
            connection.ensure_connection()
            for one in work:
                gate.wait()
                one()
        except BaseException as error:
            errors.append(error)
            gate.abort()
        finally:
            connection.close()

    threads = [threading.Thread(target=perform, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.django_db(transaction=True)
def test_two_writers_of_the_same_rows_in_any_order_wait_and_count_exactly():
    """Each round changes the rows of the round before and brings as many new ones, in two orders."""
    rounds, size = 6, 1_000
    written: list[Written] = []

    def work(seed: int) -> list[Callable[[], object]]:
        batches = []
        for minute in range(1, rounds + 1):
            ids = range(max(minute - 2, 0) * size + 1, minute * size + 1)
            rows = rows_of("terms", [{"id": n, "name": f"{n} in round {minute}"} for n in ids], minute)
            random.Random(seed + minute).shuffle(rows)
            batches.append(rows)
        return [lambda rows=rows: written.append(Writer().write(TERMS, rows)) for rows in batches]

    side_by_side(work(100), work(200))
    totals = Counter()
    for one in written:
        totals += Counter(asdict(one))
    assert totals["created"] == rounds * size
    assert totals["updated"] == (rounds - 1) * size
    assert totals["unchanged"] == totals["created"] + totals["updated"]
    assert totals["rows"] == totals["created"] + totals["updated"]
    assert Term.objects.filter(as_of=at(rounds)).count() == 2 * size


@pytest.mark.django_db(transaction=True)
def test_writers_of_two_sites_do_not_mix_their_rows():
    def work(instance: int) -> Iterator[Callable[[], object]]:
        for minute in range(5):
            records = [{"id": n, "name": f"site {instance} round {minute}"} for n in range(200, 0, -1)]
            rows = rows_of("terms", records, minute, instance=instance)
            yield lambda rows=rows: Writer().write(TERMS, rows)

    side_by_side(work(1), work(2))
    for instance in (1, 2):
        terms = Term.objects.filter(instance_id=instance, name=f"site {instance} round 4")
        assert set(terms.values_list("canvas_id", flat=True)) == set(range(1, 201))


def test_table_can_be_analyzed(db: None):
    write("terms", [{"id": 1}])
    analyze(TERMS)
    assert Term.objects.count() == 1
