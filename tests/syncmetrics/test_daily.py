"""Daily aggregates: exact, once per run, mended from the runs that are kept, and the summaries of them."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection as database
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from syncmetrics.daily import compare_days, first_whole_day
from syncmetrics.figures import Figures
from syncmetrics.histogram import bucket_of, merged, percentile
from syncmetrics.models import SyncDay, SyncRun, SyncUserDay
from syncmetrics.retention import declared
from syncmetrics.runs import RunTaken, close_lost_runs, finish_run, new_run, queue_run, request_cancel
from syncmetrics.summaries import summary
from syncmetrics.tracker import SyncTracker
from tests.syncmetrics.conftest import undone

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 5, 6, 12, 0, tzinfo=UTC)


# --- the histogram --------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=60), st.integers(1, 5), st.floats(0.01, 1))
def test_a_percentile_of_merged_parts_is_within_one_percent(durations, parts, share):
    pieces = []
    for number in range(parts):
        piece: dict[str, int] = {}
        for duration in durations[number::parts]:
            piece[bucket_of(duration)] = piece.get(bucket_of(duration), 0) + 1
        pieces.append(piece)

    rank = max(-(-len(durations) * share // 1), 1)  # ceil, as a float
    exact = sorted(durations)[min(int(rank), len(durations)) - 1]
    assert percentile(merged(pieces), share) == pytest.approx(exact, rel=0.0100001)


def test_no_duration_has_no_percentile():
    assert percentile({}, 0.95) is None


@pytest.mark.parametrize("milliseconds", [0, 0.4, 1])
def test_what_took_no_time_counts_as_a_millisecond(milliseconds):
    assert percentile({bucket_of(milliseconds): 1}, 0.5) == pytest.approx(1, rel=0.01)


# --- a run's end ----------------------------------------------------------------------------------


def ended(begin, status="completed", *, seconds=10.0, at=NOON, **changes):
    """Return a run that did something and ended."""
    with time_machine.travel(at, tick=False) as clock:
        run = begin(**changes)
        tracker = SyncTracker(run)
        tracker.record("courses", processed=3, created=2, updated=1)
        tracker.record_grades(5)
        tracker.record_api_call(20.4, wait_ms=7, failed=True, rate_limited=True)
        tracker.record_api_call(30.0)
        tracker.record_database_operation(12.0, operations=4, rows_written=3)
        clock.shift(seconds)
        return tracker.complete(status)


def test_a_runs_end_adds_it_to_its_day_and_its_users_day(begin):
    ended(begin, user_id=42)
    ended(begin, "failed", user_id=42, seconds=1)
    ended(begin)

    day = SyncDay.objects.get()
    assert (day.day, day.instance_key, day.connection_key, day.mode) == (date(2026, 5, 6), 1, 7, "full")
    assert (day.completed, day.failed, day.partial) == (2, 1, 0)
    assert day.duration_ms == 20_000
    assert day.durations == {bucket_of(10_000): 2}
    assert day.entities == {"courses": {"processed": 9, "created": 6, "updated": 3}}
    assert (day.api_calls_made, day.api_calls_failed, day.api_rate_limit_hits) == (6, 3, 3)
    assert (day.total_api_duration_ms, day.api_wait_ms, day.grades_processed) == (150, 21, 15)
    assert (day.db_operations, day.db_duration_ms, day.db_rows_written) == (12, 36, 9)
    assert day.first_start == NOON
    mine = SyncUserDay.objects.get()
    assert (mine.user_id, mine.completed, mine.failed) == (42, 1, 1)


def test_days_are_of_the_start_in_utc_and_keep_connections_and_modes_apart(begin):
    ended(begin, at=datetime(2026, 5, 6, 23, 59, 55, tzinfo=UTC), seconds=60)
    ended(begin, at=datetime(2026, 5, 7, 0, 0, 1, tzinfo=UTC), mode="incremental")
    ended(begin, at=NOON, connection_key=8)
    ended(begin, at=NOON, connection_key=None, instance_key=None)

    rows = SyncDay.objects.order_by("day", "connection_key").values_list("day", "connection_key", "mode")
    sixth, seventh = date(2026, 5, 6), date(2026, 5, 7)
    assert list(rows) == [
        (sixth, 0, "full"),
        (sixth, 7, "full"),
        (sixth, 8, "full"),
        (seventh, 7, "incremental"),
    ]


def test_a_dry_run_is_in_no_day(begin):
    ended(begin, dry_run=True, user_id=1)

    assert not SyncDay.objects.exists()
    assert not SyncUserDay.objects.exists()


def test_a_run_counts_once_however_often_it_is_ended(begin):
    run = begin()
    finish_run(run, "completed")
    with pytest.raises(RunTaken):
        finish_run(run, "failed")
    assert not request_cancel(run)

    assert (SyncDay.objects.get().completed, SyncDay.objects.get().failed) == (1, 0)


def test_lost_and_cancelled_runs_count(begin, settings):
    lost = begin()
    SyncRun.objects.filter(pk=lost.pk).update(
        heartbeat_at=timezone.now() - timedelta(seconds=settings.SYNC_LEASE_SECONDS + 5),
        host="elsewhere/boot",
    )
    close_lost_runs()
    close_lost_runs()
    waiting = queue_run(
        new_run(
            sync_type="all", genre="all", mode="full", trigger="console", instance_key=1, connection_key=7
        )
    )
    request_cancel(waiting)

    [day] = SyncDay.objects.all()
    assert (day.lost, day.cancelled, day.completed) == (1, 1, 0)
    assert day.durations == {}  # how long those take says nothing of a sync


def test_an_end_that_is_rolled_back_counts_nowhere(begin):
    run = begin()
    with undone(transaction.atomic()):
        finish_run(run, "completed")
    assert not SyncDay.objects.exists()

    run.refresh_from_db()
    finish_run(run, "completed")
    assert SyncDay.objects.get().completed == 1


@pytest.mark.django_db(transaction=True)
def test_runs_that_end_at_once_all_count(begin):
    runs = [begin(genre=f"course {number}", user_id=number % 2) for number in range(8)]
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(runs))

    def end(run: SyncRun) -> None:
        try:
            barrier.wait()
            finish_run(run, "completed")
        except BaseException as error:
            errors.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=end, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert SyncDay.objects.get().completed == 8
    assert sorted(SyncUserDay.objects.values_list("user_id", "completed")) == [(0, 4), (1, 4)]
    assert compare_days().differences == ()


# --- verify and rebuild ---------------------------------------------------------------------------


def verify(*options):
    """Run the command; return its exit status and what it printed."""
    printed = StringIO()
    try:
        call_command("verify_metrics", *options, stdout=printed)
    except SystemExit as end:
        return end.code, printed.getvalue()
    return 0, printed.getvalue()


def test_verify_metrics_finds_days_right(begin):
    ended(begin, user_id=3)
    ended(begin, at=NOON + timedelta(days=2))

    assert verify() == (0, "2 days compared, from 2026-05-06 on: 0 rows differ.\n")


def test_verify_metrics_without_runs_says_so():
    assert verify() == (0, "No run is kept, so there is nothing to compare.\n")


def test_verify_metrics_says_what_differs_and_mends_it(begin):
    ended(begin, user_id=3)
    ended(begin, at=NOON + timedelta(days=1))
    SyncDay.objects.filter(day=NOON.date()).update(completed=F("completed") + 7, entities={})
    SyncUserDay.objects.all().delete()
    right = "2026-05-06 (instance 1, connection 7, mode full): completed is 8, not 1"

    status, said = verify()
    assert status == 1
    assert right in said
    assert "user 3): completed is 0, not 1" in said
    assert said.endswith("2 days compared, from 2026-05-06 on: 2 rows differ. Mend it with --rebuild.\n")
    assert SyncDay.objects.get(day=NOON.date()).completed == 8  # looked at only

    status, said = verify("--rebuild")
    assert status == 0
    assert "2 rows differ, rebuilt." in said
    assert verify()[0] == 0
    assert SyncDay.objects.get(day=NOON.date()).entities["courses"]["processed"] == 3
    assert SyncUserDay.objects.get().completed == 1


def test_verify_metrics_speaks_json(begin):
    ended(begin)
    SyncDay.objects.update(api_calls_made=0)
    status, said = verify("--json")

    assert status == 1
    answer = json.loads(said)
    [difference] = answer["differences"]
    assert (answer["first_day"], answer["days"], answer["rebuilt"]) == ("2026-05-06", 1, False)
    assert difference["columns"] == {"api_calls_made": {"stored": 0, "right": 2}}


def test_days_of_which_no_run_happened_are_emptied(begin):
    ended(begin)
    stray = SyncDay.objects.get()
    stray.pk, stray.day = None, NOON.date() + timedelta(days=3)
    stray.save()

    assert verify("--rebuild")[0] == 0
    assert SyncDay.objects.get(day=stray.day).completed == 0
    assert verify()[0] == 0


def test_rebuild_never_touches_days_older_than_the_oldest_kept_run(begin):
    old = ended(begin, user_id=3)
    ended(begin, at=NOON + timedelta(days=1))
    before = list(SyncDay.objects.filter(day=NOON.date()).values())
    old.delete()
    SyncDay.objects.filter(day__gt=NOON.date()).update(completed=0)

    assert verify("--rebuild")[0] == 0
    assert list(SyncDay.objects.filter(day=NOON.date()).values()) == before
    assert SyncUserDay.objects.get().completed == 1
    assert SyncDay.objects.get(day__gt=NOON.date()).completed == 1


def test_the_day_of_the_oldest_kept_run_is_left_alone_if_earlier_runs_of_it_are_gone(begin):
    ended(begin, at=NOON).delete()
    ended(begin, at=NOON + timedelta(hours=1))

    assert first_whole_day() == NOON.date() + timedelta(days=1)
    assert verify("--rebuild")[0] == 0
    assert SyncDay.objects.get().completed == 2


def test_whatever_retention_leaves_when_it_is_stopped_is_never_rebuilt_away(begin):
    for hours in range(0, 60, 7):
        ended(begin, at=NOON + timedelta(hours=hours), user_id=3)
    before = list(SyncDay.objects.order_by("day").values())
    [runs] = [each for each in declared() if each.name == "runs"]

    class Killed(Exception):
        """The process ends here."""

    def delete_one_only(keys):
        if deleted:
            raise Killed
        deleted.extend(keys)
        runs.delete(keys)

    while SyncRun.objects.count() > 1:
        deleted = []
        with suppress(Killed):
            replace(runs, batch=1, delete=delete_one_only).delete_old(1)
        assert deleted
        assert verify("--rebuild")[0] == 0
        assert list(SyncDay.objects.order_by("day").values()) == before


def test_a_new_installations_days_are_built_from_its_runs(begin):
    ended(begin, user_id=5)
    SyncDay.objects.all().delete()
    SyncUserDay.objects.all().delete()
    verify("--rebuild")

    assert SyncDay.objects.get().completed == SyncUserDay.objects.get().completed == 1


def test_adding_runs_or_their_days_comes_to_the_same(begin):
    for number in range(3):
        ended(begin, seconds=number + 1, at=NOON + timedelta(days=number))
    of_days = Figures()
    for row in SyncDay.objects.all():
        of_days.add_day(row)

    assert of_days.columns() == Figures.of_runs(SyncRun.objects.all()).columns()


# --- summaries ------------------------------------------------------------------------------------


def test_a_summary_counts_what_the_seed_counts(begin):
    now = timezone.now()
    for status, user in (("completed", 1), ("completed", 2), ("partial", 2), ("failed", None)):
        ended(begin, status, at=now - timedelta(hours=2), user_id=user)
    begin()
    found = summary(days=7)

    assert found["total_syncs"] == 5
    assert found["success_rate"] == 50
    assert found["unique_users"] == 2
    assert found["total_courses_processed"] == 12
    assert found["total_assignments_processed"] == 0
    assert found["total_grades_processed"] == 20
    assert found["in_progress_syncs"] == found["failed_syncs"] == found["partial_syncs"] == 1
    assert found["average_duration_seconds"] == 10
    assert found["p95_duration_seconds"] == pytest.approx(10, rel=0.01)
    assert found["total_api_calls"] == 8
    assert found["average_api_call_ms"] == pytest.approx(25, rel=0.02)
    json.dumps(found)


def test_a_summary_covers_exactly_so_many_times_24_hours(begin):
    now = timezone.now()
    ended(begin, at=now - timedelta(days=7, minutes=-5), user_id=1)
    ended(begin, at=now - timedelta(days=7, minutes=5), user_id=2)
    ended(begin, at=now - timedelta(days=3), user_id=3)

    assert (summary(days=7)["total_syncs"], summary(days=7)["unique_users"]) == (2, 2)
    assert summary(days=8)["total_syncs"] == 3


def test_summaries_of_a_user_and_of_connections(begin):
    now = timezone.now() - timedelta(minutes=5)
    ended(begin, at=now, user_id=1)
    ended(begin, "failed", at=now, user_id=2, connection_key=8)
    ended(begin, at=now, connection_key=None, instance_key=None)

    assert summary(user_id=1)["success_rate"] == 100
    assert summary(user_id=1)["unique_users"] == 1
    assert summary(user_id=2)["success_rate"] == 0
    assert summary(user_id=99)["total_syncs"] == 0
    assert summary(connection_keys=[8])["total_syncs"] == 1
    assert summary(connection_keys=iter([7, 8]))["total_syncs"] == 2
    assert summary(connection_keys=[0])["total_syncs"] == 1
    assert summary(connection_keys=[])["total_syncs"] == 0
    assert summary(user_id=1, connection_keys=[8])["total_syncs"] == 0


def test_a_summary_counts_each_user_once_whatever_the_days_and_connections(begin):
    now = timezone.now()
    for user, key, ago in ((1, 7, 1), (1, 8, 2), (3, 8, 3), (2**40, 7, 3), (5, 8, 20), (None, 8, 1)):
        ended(begin, at=now - timedelta(days=ago), user_id=user, connection_key=key)

    assert summary(days=7)["unique_users"] == 3
    assert summary(days=30)["unique_users"] == 4
    assert summary(days=7, connection_keys=[8])["unique_users"] == 2
    assert summary(days=7, connection_keys=[7, 8])["unique_users"] == 3
    assert summary(days=7, connection_keys=[])["unique_users"] == 0
    assert summary(days=7, user_id=5)["unique_users"] == 0


def test_a_summary_of_nothing_has_all_keys():
    found = summary()

    assert (found["total_syncs"], found["success_rate"], found["p95_duration_seconds"]) == (0, 0, None)


@pytest.mark.parametrize("days", [0, -1, 10**6])
def test_impossible_days_are_refused_in_one_sentence(days):
    with pytest.raises(ValueError, match="Summaries cover 1 to 3,660 days"):
        summary(days=days)


def test_old_days_count_after_their_runs_are_gone(begin):
    ended(begin, at=timezone.now() - timedelta(days=20)).delete()

    assert summary(days=30)["total_syncs"] == 1
