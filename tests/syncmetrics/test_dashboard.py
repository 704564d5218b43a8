"""The dashboard and the timeline of a run: what they show, to whom, for which days."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from syncmetrics.admin.timeline import STEPS_SHOWN, timeline_of
from syncmetrics.dashboard import CHARTS, MOST_DAYS, Span, parse_span, read_history
from syncmetrics.histogram import bucket_of
from syncmetrics.models import SyncDay, SyncRun, SyncStep
from tests.console import client_of, person, staff, text_of
from tests.factories import ConnectionFactory

pytestmark = pytest.mark.django_db

TODAY = date(2026, 6, 17)  # a Wednesday
PAGE = reverse("admin:syncmetrics_syncday_changelist")


def make_day(day, **changes):
    values = {
        "instance_key": 1,
        "connection_key": 7,
        "mode": "full",
        "first_start": datetime(2026, 1, 1, tzinfo=UTC),
        "completed": 1,
        "duration_ms": 60_000,
        "durations": {bucket_of(60_000): 1},
        "api_calls_made": 10,
        "total_api_duration_ms": 450,
        "entities": {"courses": {"processed": 4}},
    }
    return SyncDay.objects.create(day=day, **(values | changes))


@pytest.fixture
def client():
    return client_of(staff("root", superuser=True))


@pytest.fixture
def today():
    return timezone.now().date()


def data_of(response, chart):
    """Return what the page gives its script of a chart."""
    pattern = rf'<script id="chart-{chart}" type="application/json">(.*?)</script>'
    return json.loads(re.search(pattern, response.content.decode(), re.DOTALL).group(1))


# --- days -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ({}, date(2026, 5, 19), TODAY),
        ({"days": "1"}, TODAY, TODAY),
        ({"from": "2026-06-01"}, date(2026, 6, 1), TODAY),
        ({"to": "2026-06-10"}, date(2026, 5, 12), date(2026, 6, 10)),
        ({"from": "2026-06-01", "to": "2026-06-02", "days": "90"}, date(2026, 6, 1), date(2026, 6, 2)),
        ({"from": "2026-06-01", "to": "2099-01-01"}, date(2026, 6, 1), TODAY),
    ],
)
def test_an_address_names_days(query, first, last):
    span = parse_span(query, TODAY)
    assert (span.first, span.last) == (first, last)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"days": "0"}, "1 to 1,830"),
        ({"days": "-3"}, "1 to 1,830"),
        ({"days": "9" * 5000}, "1 to 1,830"),
        ({"days": "٣"}, "1 to 1,830"),
        ({"from": "yesterday"}, "Write days as"),
        ({"from": "2026-06-31"}, "Write days as"),
        ({"from": "0001-01-01"}, "since 2000"),
        ({"to": "0001-01-01"}, "since 2000"),
        ({"from": "2026-06-10", "to": "2026-06-01"}, "after the last"),
        ({"from": "2099-06-10"}, "after the last"),
        ({"from": "2001-01-01"}, "at most 1,830 days"),
        ({"from": "\0"}, "Write days as"),
    ],
)
def test_impossible_days_are_refused_in_a_sentence(query, says):
    with pytest.raises(ValueError, match=says):
        parse_span(query, TODAY)


def test_long_ranges_are_cut_into_weeks():
    make_day(date(2026, 6, 14))
    make_day(date(2026, 6, 15))
    make_day(date(2026, 6, 17))
    history = read_history(SyncDay.objects.all(), Span.until(TODAY, 101))

    assert [point.label for point in history.points][:2] == ["2026-03-09", "2026-03-16"]
    assert [point.figures.ended for point in history.points][-2:] == [1, 2]
    assert history.total.ended == 3
    assert len(read_history(SyncDay.objects.all(), Span.until(TODAY, 100)).points) == 100


def test_the_longest_range_and_a_first_day_within_a_week_work():
    make_day(TODAY - timedelta(days=MOST_DAYS - 1))
    history = read_history(SyncDay.objects.all(), Span.until(TODAY, MOST_DAYS))

    assert history.points[0].figures.ended == 1


# --- charts ---------------------------------------------------------------------------------------


def test_every_chart_has_a_table_of_the_same_figures(today):
    make_day(TODAY, failed=1, entities={f"entity_{n}": {"processed": n} for n in range(1, 10)})
    make_day(TODAY - timedelta(days=2), durations={}, duration_ms=0, api_calls_made=0)
    history = read_history(SyncDay.objects.all(), Span.until(TODAY, 4))

    for chart in CHARTS:
        drawn = chart.draw(history)
        columns = [series["values"] for series in drawn["data"]["series"]]
        assert drawn["data"]["empty"] == [True, False, True, False]
        assert len(drawn["table"]["rows"]) == 4
        for row, place in zip(drawn["table"]["rows"], (3, 2, 1, 0), strict=True):
            assert len(row) == len(drawn["table"]["headers"]) == len(columns) + 1
            assert row[0] == drawn["data"]["labels"][place]
            assert ("no sync" in row) is drawn["data"]["empty"][place]
            if drawn["data"]["empty"][place]:
                assert [column[place] for column in columns] == [None] * len(columns)


def test_charts_show_what_days_came_to(client, today):
    make_day(today, completed=3, failed=1, api_rate_limit_hits=2, db_duration_ms=1500)
    response = client.get(PAGE)

    median, p95 = data_of(response, "duration")["series"]
    assert median["values"][-1] == pytest.approx(60, rel=0.01)
    assert median["values"][:-1] == [None] * 29
    assert p95["label"] == "95th percentile"
    outcomes = {series["label"]: series["values"][-1] for series in data_of(response, "outcomes")["series"]}
    assert outcomes["error rate"] == 25
    assert (outcomes["completed"], outcomes["failed"]) == (3, 1)
    [items] = data_of(response, "items")["series"]
    assert (items["label"], items["values"][-1]) == ("courses", 1)
    assert data_of(response, "latency")["series"][0]["values"][-1] == 45
    assert data_of(response, "database")["series"][0]["values"][-1] == 1.5
    shown = text_of(response)
    assert "Completed 75 %" in shown
    assert f"{today} 1 min 0 s 1 min 0 s" in shown or f"{today} 59 s 59 s" in shown
    assert f"{today - timedelta(days=1)} no sync" in shown


def test_a_dashboard_without_a_single_run_says_so(client):
    response = client.get(PAGE)

    assert text_of(response).count("no sync") >= 30
    assert data_of(response, "items")["series"] == []


def test_the_address_chooses_connection_and_mode(client, today):
    one, other = ConnectionFactory(name="one"), ConnectionFactory(name="other")
    make_day(today, connection_key=one.pk, mode="full", completed=1)
    make_day(today, connection_key=other.pk, mode="full", completed=2)
    make_day(today, connection_key=one.pk, mode="incremental", completed=4)

    def syncs(**query):
        return dict(client.get(PAGE, query).context["tiles"])["Syncs"]

    assert syncs() == "7"
    assert syncs(connection=one.pk) == "5"
    assert syncs(connection=one.pk, mode="full") == "1"
    assert syncs(mode="sideways") == "7"
    shown = text_of(client.get(PAGE, {"connection": "999", "days": "x"}))
    assert "There is no such connection." in shown
    assert "The number of days is 1 to 1,830. The last 30 days are shown." in shown


def test_a_connections_name_is_shown_as_text(client, today):
    connection = ConnectionFactory()
    type(connection).objects.update(name="<b>x</b>")
    make_day(today, connection_key=connection.pk)
    SyncRun.objects.create(connection_name="</script><b>x", connection_key=connection.pk)

    body = client.get(PAGE).content.decode()
    assert "<b>x" not in body


def test_somebody_limited_sees_the_days_and_runs_of_their_sites_only(today):
    north, south = ConnectionFactory(name="north"), ConnectionFactory(name="south")
    for connection, number in ((north, 3), (south, 50)):
        make_day(today, instance_key=connection.instance_id, connection_key=connection.pk, completed=number)
        SyncRun.objects.create(
            instance_key=connection.instance_id, connection_key=connection.pk, connection_name=connection.name
        )
    client = client_of(person("ada", "Viewer", only=[north.instance]))
    response = client.get(PAGE)

    assert dict(response.context["tiles"])["Syncs"] == "3"
    assert "south" not in response.content.decode()
    assert south.instance.name not in text_of(response)
    asked = client.get(PAGE, {"connection": south.pk})
    assert dict(asked.context["tiles"])["Syncs"] == "3"
    runs = client.get(reverse("admin:syncmetrics_syncday_running")).json()["runs"]
    assert [run["connection"] for run in runs] == ["north"]


def test_the_dashboard_costs_as_many_queries_for_any_number_of_days(client, today):
    def queries():
        with CaptureQueriesContext(database) as captured:
            client.get(PAGE)
        return len(captured)

    make_day(today)
    few = queries()
    for number in range(1, 25):
        make_day(today - timedelta(days=number))

    assert queries() == few <= 20


# --- running --------------------------------------------------------------------------------------


def test_runs_at_work_tell_how_far_each_course_is(client):
    run = SyncRun.objects.create(connection_name="prod", api_calls_made=12, genre="a")
    ended = timezone.now()
    SyncRun.objects.create(sync_status="failed", sync_end_time=ended)
    run.counts.create(entity="courses", processed=3)
    began = timezone.now() - timedelta(seconds=30)
    run.steps.create(key="course:1", title="Logic", state="completed", started_at=began, ended_at=ended)
    run.steps.create(
        key="course:2", title="Ethics", state="in_progress", started_at=began, counters={"submissions": 70}
    )
    run.steps.create(key="course:3", title="Law")
    [told] = client.get(reverse("admin:syncmetrics_syncday_running")).json()["runs"]

    assert (told["id"], told["connection"], told["courses_done"], told["courses_total"]) == (
        str(run.pk),
        "prod",
        1,
        3,
    )
    [step] = told["at_work"]
    assert (step["title"], step["records"]) == ("Ethics", 70)
    assert 29 <= step["seconds"] <= 60
    assert told["url"] == reverse("admin:syncmetrics_syncrun_change", args=[run.pk])


# --- the timeline of a run ------------------------------------------------------------------------


def make_run(seconds=100.0, **changes):
    start = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    values = {
        "sync_start_time": start,
        "sync_end_time": start + timedelta(seconds=seconds),
        "total_duration_seconds": seconds,
        "sync_status": "completed",
        "api_calls_made": 100,
        "total_api_duration_ms": 400_000.0,
    }
    return SyncRun.objects.create(**(values | changes))


def step(run, begins, ends, key="course:1", **changes):
    start = run.sync_start_time
    values = {"title": key.title(), "state": "completed"} | changes
    return SyncStep.objects.create(
        run=run,
        key=key,
        started_at=start + timedelta(seconds=begins),
        ended_at=None if ends is None else start + timedelta(seconds=ends),
        **values,
    )


def test_a_timeline_shows_when_each_step_began_and_how_long_it_took():
    run = make_run()
    step(run, 10, 60, "course:1")
    step(run, 0, 10, "terms")
    step(run, 80, None, "course:2", state="pending")  # cut short by the run's end
    SyncStep.objects.create(run=run, key="course:3")
    found = timeline_of(run)

    assert [(bar.title, bar.left, bar.width) for bar in found["bars"]] == [
        ("Terms", 0, 10),
        ("Course:1", 10, 50),
        ("Course:2", 80, 20),
    ]
    assert found["left_out"] == 0


def test_a_timeline_keeps_to_the_longest_steps():
    run = make_run()
    for number in range(STEPS_SHOWN + 5):
        step(run, number, 2 * number + 1, f"course:{number}")
    found = timeline_of(run)

    assert len(found["bars"]) == STEPS_SHOWN
    assert found["left_out"] == 5
    assert found["bars"][0].title == "Course:5"


def test_a_step_that_outlives_the_run_stays_within_the_track():
    run = make_run(seconds=0.0)
    step(run, -5, 50)
    [bar] = timeline_of(run)["bars"]

    assert 0 <= bar.left <= bar.left + bar.width <= 100


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"api_wait_ms": 900_000.0, "db_duration_ms": 80_000.0}, "Canvas held this run back"),
        ({"db_duration_ms": 80_000.0}, "it was at work for 80 % of the run"),
        ({}, "One course was the limit: for the last 40 % of the run only Course:2 was read."),
        ({"api_calls_made": 0}, ""),
    ],
)
def test_the_verdict_names_what_took_the_time(changes, says):
    run = make_run(**changes)
    step(run, 10, 60, "course:1")
    step(run, 10, 100, "course:2")

    assert says in timeline_of(run)["verdict"] or not says
    assert bool(timeline_of(run)["verdict"]) is bool(says)


def test_without_another_cause_canvas_took_the_time():
    run = make_run()
    for number in range(4):  # each takes most of the run, but side by side
        step(run, 0, 95 + number, f"course:{number}")

    expected = "Canvas's answers were the limit: 4,000 ms each, 4 in flight on average."
    assert timeline_of(run)["verdict"] == expected


def test_a_runs_page_shows_the_timeline(client):
    run = make_run(queued_at=datetime(2026, 3, 4, 5, 6, 0, tzinfo=UTC), api_rate_limit_hits=3, api_retries=5)
    step(run, 10, 60, title="<i>Logic</i>")
    response = client.get(reverse("admin:syncmetrics_syncrun_change", args=[run.pk]))
    shown = text_of(response)

    assert "Where the time went" in shown
    assert "Waited for a worker 7.0 s" in shown
    assert "3 refused for the rate limit, 2 others made again after they failed" in shown
    assert "left:10.00%;width:50.00%" in response.content.decode()
    assert "<i>Logic" not in response.content.decode()
