"""The figures of days and months: added batch by batch, equal to what the lines come to."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from logmonitor.models import AllTransfers, FailedLogins, UserTransfers
from logmonitor.transfers import rollup
from logmonitor.transfers.lines import Line
from logmonitor.transfers.rollup import CELLS, MOST, NUMBERS, sum_up
from logmonitor.transfers.speeds import bucket_of, percentile
from tests.logmonitor.transfers import line_of, make_source, store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def name(size):
    """Return the name of the bucket of so many bytes in 100 ms."""
    return str(bucket_of(size, 100))


def row(table, **key):
    found = table.objects.filter(**key).values(*NUMBERS)
    return {name: value for name, value in found.get().items() if value}


@pytest.mark.django_db
def test_transfers_count_by_direction_and_outcome():
    source = make_source()
    store(
        [
            line_of(source, NOON),
            line_of(source, NOON),
            line_of(source, NOON, sender="Download", size_bytes=7),
            line_of(source, NOON, outcome="partial", size_bytes=5),
            line_of(source, NOON, outcome="failed", size_bytes=0),
            line_of(source, NOON, kind="command", sender="Copy"),
            line_of(source, NOON, kind="login_failed"),
        ]
    )

    assert row(UserTransfers, grain="day", protocol="*", username="alice", start=date(2026, 3, 2)) == {
        "upload_succeeded": 2,
        "upload_succeeded_bytes": 2_000,
        "upload_partial": 1,
        "upload_partial_bytes": 5,
        "upload_failed": 1,
        "download_succeeded": 1,
        "download_succeeded_bytes": 7,
    }
    assert row(AllTransfers, grain="month", protocol="SFTP") == row(AllTransfers, grain="day", protocol="*")
    assert AllTransfers.objects.get(grain="month", protocol="*").start == date(2026, 3, 1)


@pytest.mark.django_db
def test_batches_add_up_and_speeds_with_them():
    source = make_source()
    for size in (1_000, 1_000, 64_000):
        store([line_of(source, NOON, size_bytes=size), line_of(source, NOON, sender="Download")])

    everybody = AllTransfers.objects.get(grain="day", protocol="*")
    assert everybody.upload_succeeded == 3
    assert everybody.upload_speeds == {name(1_000): 2, name(64_000): 1}
    assert everybody.download_speeds == {name(1_000): 3}


@pytest.mark.django_db
def test_failed_logins_add_up_by_day_month_and_protocol_only():
    source = make_source()
    for name in ("root", "admin"):
        store([line_of(source, NOON, kind="login_failed", protocol="SSH", username=name) for _ in range(3)])
    store([line_of(source, NOON, kind="login_failed", protocol="FTP"), line_of(source, NOON, kind="login")])

    found = FailedLogins.objects.filter(grain="day").values_list("protocol", "failures")
    assert dict(found) == {"SSH": 6, "FTP": 1, "*": 7}
    assert FailedLogins.objects.get(grain="month", protocol="*").failures == 7
    assert not UserTransfers.objects.exists()


@pytest.mark.django_db
def test_a_batch_without_transfers_writes_nothing():
    source = make_source()
    store([line_of(source, NOON, kind="app")])
    assert not FailedLogins.objects.exists()

    assert not UserTransfers.objects.exists()
    assert not AllTransfers.objects.exists()


@pytest.mark.django_db
def test_listings_of_old_webdav_count_apart():
    source = make_source()
    store(
        [
            line_of(source, NOON, protocol="DAV", sender="Download", size_bytes=0),
            line_of(source, NOON, protocol="DAV", sender="Upload", size_bytes=0),
            line_of(source, NOON, protocol="SFTP", sender="Download", size_bytes=0),
        ]
    )

    everybody = row(AllTransfers, grain="day", protocol="*")
    assert everybody == {"empty_dav_downloads": 1, "upload_succeeded": 1, "download_succeeded": 1}


@pytest.mark.django_db
def test_sums_beyond_64_bits_stay_at_the_largest_number():
    source = make_source()
    huge = {"size_bytes": 2**60}
    store([line_of(source, NOON, **huge) for _ in range(9)])
    store([line_of(source, NOON, **huge) for _ in range(9)])

    assert AllTransfers.objects.get(grain="day", protocol="*").upload_succeeded_bytes == MOST
    assert AllTransfers.objects.get(grain="day", protocol="*").upload_succeeded == 18


@pytest.mark.django_db
def test_a_protocol_that_is_called_all_is_not_all():
    source = make_source()
    store([line_of(source, NOON, protocol="*"), line_of(source, NOON, protocol="")])

    found = AllTransfers.objects.filter(grain="day").values_list("protocol", "upload_succeeded")
    assert dict(found) == {"*": 2, "?": 1, "": 1}


@pytest.mark.django_db
def test_lines_that_are_rolled_back_are_not_counted():
    source = make_source()
    with transaction.atomic(), connection.cursor() as cursor:
        rollup.add(cursor, [line_of(source, NOON)])
        transaction.set_rollback(True)

    assert not AllTransfers.objects.exists()


def test_a_speed_is_known_to_within_five_percent():
    for size, elapsed in ((1, 1), (1, 86_400_000), (999, 7), (10**9, 3), (2**60, 1)):
        speed = size * 1000 / elapsed
        assert percentile({str(bucket_of(size, elapsed)): 1}, 0.5) == pytest.approx(speed, rel=0.05)
    buckets = Counter(str(bucket_of(size, 1_000)) for size in range(1, 10_001))
    assert percentile(buckets, 0.95) == pytest.approx(9_500, rel=0.05)
    assert percentile({}, 0.5) is None


# --- however lines are cut into batches --------------------------------------------------------------

LINES = st.lists(
    st.builds(
        Line,
        id=st.just(0),
        source_id=st.sampled_from([1, 2]),
        at=st.just(""),
        day=st.sampled_from(["2026-02-28", "2026-03-01", "2026-03-02", "0001-01-01", "9999-12-31"]),
        kind=st.sampled_from(["transfer", "transfer", "login_failed", "login"]),
        sender=st.sampled_from(["Upload", "Download"]),
        level=st.just(""),
        username=st.sampled_from(["", "alice", "Alice", "ålice", "a'b\"c{},\\"]),
        address=st.just(""),
        protocol=st.sampled_from(["SFTP", "DAV", "", "*", "{x}"]),
        outcome=st.sampled_from(["succeeded", "partial", "failed"]),
        size_bytes=st.none() | st.integers(0, 2**60),
        elapsed_ms=st.none() | st.integers(0, 2**60),
        path=st.just(""),
        target_path=st.just(""),
        connection_id=st.just(""),
        message=st.just(""),
        flags=st.just(0),
    ),
    max_size=30,
)


@pytest.mark.django_db
class HoweverCut(TestCase):
    @given(lines=LINES, cut=st.integers(0, 30))
    def test_two_batches_are_one(self, lines, cut):
        UserTransfers.objects.all().delete()
        AllTransfers.objects.all().delete()
        FailedLogins.objects.all().delete()
        with connection.cursor() as cursor:
            rollup.add(cursor, lines[:cut])
            rollup.add(cursor, lines[cut:])
        sums = sum_up(lines)

        assert stored(UserTransfers, "username") == {key: bounded(value) for key, value in sums.users.items()}
        assert stored(AllTransfers) == {key: bounded(value) for key, value in sums.everybody.items()}
        for one in AllTransfers.objects.all():
            key = (one.grain, one.protocol, one.start.isoformat(), one.source_id)
            speeds = tuple(
                {int(bucket): count for bucket, count in found.items()}
                for found in (one.upload_speeds, one.download_speeds)
            )
            assert speeds == sums.speeds[key]
        failures = FailedLogins.objects.values_list("grain", "protocol", "start", "source", "failures")
        assert {(*key, str(start), source): n for *key, start, source, n in failures} == sums.failures
        transfers = sum(line.kind == "transfer" for line in lines)
        days = [numbers for key, numbers in sums.everybody.items() if key[:2] == ("day", "*")]
        counted = sum(numbers[2 * place] for numbers in days for place in range(len(CELLS)))
        assert counted + sum(numbers[-1] for numbers in days) == transfers


def stored(table, *more):
    names = ("grain", "protocol", "start", "source_id", *more)
    return {
        tuple(str(one[name]) if name == "start" else one[name] for name in names): [
            one[number] for number in NUMBERS
        ]
        for one in table.objects.values()
    }


def bounded(numbers):
    return [min(number, MOST) for number in numbers]
