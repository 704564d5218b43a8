"""The charts of transfers: which days and transfers they count, how they can be read, what is unusual."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.html import strip_tags
from hypothesis import given
from hypothesis import strategies as st

from logmonitor.transfers.asked import MOST_DAYS, Asked, History, TransferQuery, make_whole
from logmonitor.transfers.charts import CHARTS, size, speed
from logmonitor.transfers.figures import pieces, read_figures
from logmonitor.transfers.unusual import judge, unusual_days
from syncmetrics.endpoints import BadParameter
from tests.logmonitor.transfers import line_of, make_source, store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def figures(**query):
    return read_figures(make_whole(TransferQuery(**query)))


def users(**query):
    return {name: (part.both.transfers, part.both.bytes) for name, part in figures(**query).users}


# --- which days -----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_whole_history_is_shown_where_nobody_asks_for_days():
    source = make_source()
    store([line_of(source, NOON), line_of(source, NOON + 100 * DAY)])
    asked = make_whole(TransferQuery())

    assert (asked.first, asked.last) == (date(2026, 3, 2), date(2026, 6, 10))
    assert make_whole(TransferQuery(end_date="2026-04-01")).first == date(2026, 3, 2)
    assert make_whole(TransferQuery(start_date="2026-04-01")).last == date(2026, 6, 10)
    assert make_whole(TransferQuery(start_date="2026-07-01")).last == date(2026, 7, 1)


@pytest.mark.django_db
def test_days_without_activity_are_zero():
    source = make_source()
    store([line_of(source, NOON), line_of(source, NOON + 3 * DAY)])
    found = figures(start_date="2026-03-01", end_date="2026-03-06")

    assert [part.both.transfers for _, part in found.days] == [0, 1, 0, 0, 1, 0]
    assert found.total.both.transfers == 2


@pytest.mark.django_db
def test_a_transfer_belongs_to_the_day_of_the_sources_own_time_zone():
    source = make_source(time_zone="Pacific/Auckland")
    store([line_of(source, NOON)])  # 01:00 of the next day there

    assert users(start_date="2026-03-03", end_date="2026-03-03") == {"alice": (1, 1000)}
    assert users(start_date="2026-03-02", end_date="2026-03-02") == {}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"start_date": "yesterday"}, "`start_date` cannot be 'yesterday': it is a day such as 2026-01-31."),
        ({"end_date": "2026-02-30"}, "`end_date` cannot be"),
        ({"end_date": "20260228"}, "a day such as"),
        ({"end_date": "2026-W01-1"}, "a day such as"),
        ({"start_date": "٢٠٢٦-01-01"}, "a day such as"),
        ({"start_date": "0001-01-01"}, "since 2000"),
        ({"start_date": "9999-12-31"}, "since 2000"),
        ({"start_date": "2026-01-02", "end_date": "2026-01-01"}, "the other way round"),
        ({"start_date": "2001-01-01", "end_date": "2026-01-01"}, f"at most {MOST_DAYS:,} days"),
        ({"source": "nowhere"}, "the name of a transfer log: sftp."),
        ({"source": "a\0b"}, "the name of a transfer log"),
    ],
)
def test_what_cannot_be_asked_for_is_said_in_a_sentence(query, says):
    make_source()
    with pytest.raises(BadParameter) as refused:
        make_whole(TransferQuery(**query))
    assert says in str(refused.value)


@pytest.mark.django_db
def test_a_clock_that_was_wrong_once_does_not_hide_the_rest():
    source = make_source()
    years = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC))
    store([line_of(source, NOON), *(line_of(source, at) for at in years)])
    asked = make_whole(TransferQuery())

    assert asked.first >= date(2000, 1, 1)
    assert asked.last <= datetime.now(UTC).date() + DAY
    assert asked.days <= MOST_DAYS
    figures()


@given(
    first=st.dates(date(2000, 1, 1), date(2040, 1, 1)),
    days=st.integers(0, 2000),
    history=st.none() | st.tuples(st.integers(-900, 900), st.integers(0, 900)),
)
def test_pieces_make_up_the_days_asked_for(first, days, history):
    known = History(None, None)
    if history:
        begin = first + timedelta(days=history[0])
        known = History(begin, begin + timedelta(days=history[1]))
    last = first + timedelta(days=days)
    asked = Asked(TransferQuery(), first, last, last, known, None)
    covered = []
    for grain, begin, end in pieces(asked):
        if grain == "month":
            assert begin.day == end.day == 1
            end = (end.replace(day=28) + timedelta(days=4)).replace(day=1) - DAY
        covered += [begin + timedelta(days=offset) for offset in range((end - begin).days + 1)]

    def counted(day):
        return known.first is not None and known.first <= day <= known.last

    assert len(covered) == len(set(covered))
    wanted = {first + timedelta(days=offset) for offset in range(days + 1)}
    assert wanted <= set(covered)
    assert not any(counted(day) for day in set(covered) - wanted)


# --- which transfers ------------------------------------------------------------------------------


@pytest.fixture
def mixed(db):
    source = make_source()
    store(
        [
            line_of(source, NOON, username="ann", size_bytes=100),
            line_of(source, NOON, username="ann", size_bytes=50, outcome="partial"),
            line_of(source, NOON, username="ann", size_bytes=0, outcome="failed", protocol="FTP"),
            line_of(source, NOON, username="bob", size_bytes=300, sender="Download", protocol="DAV"),
            line_of(source, NOON, username="bob", size_bytes=0, sender="Download", protocol="DAV"),
        ]
    )
    return source


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {"ann": (3, 150), "bob": (2, 300)}),
        ({"direction": "upload"}, {"ann": (3, 150)}),
        ({"direction": "download"}, {"bob": (2, 300)}),
        ({"outcome": "succeeded"}, {"ann": (1, 100), "bob": (2, 300)}),
        ({"outcome": "partial"}, {"ann": (1, 50)}),
        ({"outcome": "failed"}, {"ann": (1, 0)}),
        ({"protocol": "DAV"}, {"bob": (2, 300)}),
        ({"protocol": "FTP"}, {"ann": (1, 0)}),
        ({"protocol": "dav"}, {}),
        ({"protocol": "a\0'\"%"}, {}),
        ({"user": "ann"}, {"ann": (3, 150)}),
        ({"user": "a\0nn"}, {}),
        ({"empty_dav": "hide"}, {"ann": (3, 150), "bob": (1, 300)}),
        ({"source": "sftp"}, {"ann": (3, 150), "bob": (2, 300)}),
        ({"start_date": "2026-03-02", "end_date": "2026-03-20"}, {"ann": (3, 150), "bob": (2, 300)}),
        ({"start_date": "2026-03-03"}, {}),
    ],
)
def test_filters_choose_transfers(mixed, query, expected):
    assert users(**query) == expected
    found = figures(**query)
    assert found.total.both.transfers == sum(transfers for transfers, _ in expected.values())
    assert sum(part.both.bytes for _, part in found.days) == sum(size for _, size in expected.values())


def test_another_source_counts_apart_and_all_together(mixed):
    other = make_source("other", time_zone="Asia/Tokyo")
    store([line_of(other, NOON, username="ann", size_bytes=7)])

    assert users(source="other") == {"ann": (1, 7)}
    assert users()["ann"] == (4, 157)


def test_averages_count_what_succeeded_unless_told_otherwise(mixed):
    def average(**query):
        return {name: part.both.average_bytes for name, part in figures(**query).users}

    assert average() == {"ann": 100, "bob": 150}
    assert average(empty_dav="hide")["bob"] == 300
    assert average(averages="all")["ann"] == 50
    assert average(outcome="partial") == {"ann": 50}
    assert figures(outcome="failed").total.both.average_bytes == 0
    assert figures(user="nobody").total.both.average_bytes is None


def test_sums_beyond_64_bits_are_exact(db):
    source = make_source()
    for month in range(1, 10):
        at = datetime(2026, month, 1, tzinfo=UTC)
        store([line_of(source, at, size_bytes=2**60, username="ann") for _ in range(4)])
        store([line_of(source, at, size_bytes=2**60 - 1, username="ann") for _ in range(3)])
    total = 9 * (4 * 2**60 + 3 * (2**60 - 1))

    assert users()["ann"] == (63, total)
    assert figures().total.both.bytes == total


# --- charts ---------------------------------------------------------------------------------------


def drawn(**query):
    asked = make_whole(TransferQuery(**query))
    found = read_figures(asked)
    return {chart.name: chart.draw(asked, found, logarithmic=True) for chart in CHARTS}


def test_every_chart_has_a_table_of_the_same_figures(mixed):
    for chart in drawn().values():
        data, table = chart["data"], chart["table"]
        labels = [strip_tags(row[0]) for row in table["rows"]]
        assert data["labels"] == (labels[::-1] if data["days"] else labels)
        assert [series["label"] for series in data["series"]] == ["uploads", "downloads"]
        assert all(len(series["values"]) == len(labels) for series in data["series"])
        assert json.loads(json.dumps(data)) == data
    assert [chart["data"]["logarithmic"] for chart in drawn().values()] == [True, True, True, False, False]
    first = drawn()["transfers"]["table"]["rows"][0]
    assert [strip_tags(cell) for cell in first] == ["ann", "3", "0", "3"]


def test_users_beyond_the_asked_number_are_one(db):
    source = make_source()
    store([line_of(source, NOON, username=f"user{n:02}", size_bytes=100 - n) for n in range(30)])
    chart = drawn(top=5)["bytes"]

    assert chart["data"]["labels"] == [*(f"user{n:02}" for n in range(5)), "25 others"]
    assert chart["data"]["series"][0]["values"][-1] == sum(100 - n for n in range(5, 30))


def test_a_direction_is_drawn_alone(mixed):
    assert [one["label"] for one in drawn(direction="download")["days"]["data"]["series"]] == ["downloads"]
    assert drawn(direction="download")["days"]["table"]["headers"][:-1] == ["day", "downloads"]


def test_speeds_are_within_five_percent(db):
    source = make_source()
    store([line_of(source, NOON, size_bytes=n * 1000, elapsed_ms=1000) for n in range(1, 101)])
    store([line_of(source, NOON, size_bytes=9, elapsed_ms=9, outcome="partial")])
    speeds = figures().speeds

    assert speeds["upload"]["p50"] == pytest.approx(50_000, rel=0.05)
    assert speeds["upload"]["p95"] == pytest.approx(95_000, rel=0.05)
    assert speeds["download"] == {"p50": None, "p95": None}
    assert figures(outcome="partial").speeds["upload"]["p50"] is None
    assert figures(user="alice").speeds["upload"]["p50"] is None


def test_few_statements_read_however_much(mixed):
    with CaptureQueriesContext(connection) as queries:
        figures()
    assert len(queries) <= 4


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (2**60, "1.2 EB"),
    ],
)
def test_sizes_are_told_in_words(value, words):
    assert words in str(size(value))
    assert str(size(None)) == str(speed(None)) == "-"


# --- what is unusual ------------------------------------------------------------------------------


def test_a_day_is_held_against_the_same_weekdays_before():
    today = date(2026, 6, 17)
    volume = {today - timedelta(days=n): 1_000_000 if n % 7 else 10 for n in range(90)}
    volume[today - timedelta(days=3)] = 100_000_000
    volume[today - timedelta(days=5)] = 5_000
    found = unusual_days(
        volume, today - timedelta(days=20), today, since=today - timedelta(days=90), today=today
    )

    assert found == {today - timedelta(days=3): "high", today - timedelta(days=5): "low"}


def test_a_day_that_is_not_over_cannot_have_too_little():
    today = date(2026, 6, 17)
    volume = {today - timedelta(days=n): 1_000_000 for n in range(1, 90)}
    since = today - timedelta(days=90)

    assert unusual_days(volume, today, today, since=since, today=today) == {}
    assert unusual_days(volume, today, today, since=since, today=today + DAY) == {today: "low"}


def test_little_is_known_with_few_weeks():
    assert judge(10**9, [1, 1, 1]) is None
    assert judge(10**9, [1, 1, 1, 1]) == "high"
    assert judge(1_100, [1_000] * 12) is None
    assert judge(0, [0] * 12) is None


@pytest.mark.django_db
def test_unusual_days_are_marked_in_chart_and_table():
    source = make_source()
    lines = [line_of(source, NOON + n * DAY, size_bytes=1000) for n in range(60)]
    store([*lines, line_of(source, NOON + 50 * DAY, size_bytes=10**9)])
    chart = drawn()["day-bytes"]

    uploads, downloads = chart["data"]["series"]
    assert [place for place, mark in enumerate(uploads["unusual"]) if mark] == [50]
    assert not any(downloads["unusual"])
    assert not any(drawn()["days"]["data"]["series"][0]["unusual"])
    assert "uploads unusually high" in str(chart["table"]["rows"][::-1][50][-1])
