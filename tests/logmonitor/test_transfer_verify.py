"""Figures against lines: `verify_transfers` finds and mends what differs; retention leaves figures alone."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from logmonitor.models import AllTransfers, BadLine, FailedLogins, LogLine, LogSource, Segment, UserTransfers
from logmonitor.tasks import verify_transfers
from logmonitor.transfers import retention
from logmonitor.transfers.verify import FiguresDiffer, compare
from syncmetrics.retention import delete_all_old
from tests.logmonitor.transfers import line_of, make_source, store

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def command(*options):
    out = io.StringIO()
    status = 0
    try:
        call_command("verify_transfers", *options, stdout=out)
    except SystemExit as ended:
        status = ended.code
    return status, out.getvalue()


def figures():
    return [
        sorted(table.objects.values_list(*(f.name for f in table._meta.fields if f.name != "id")), key=str)
        for table in (AllTransfers, UserTransfers, FailedLogins)
    ]


@pytest.fixture
def source():
    source = make_source()
    store([line_of(source, NOON + n * DAY, username=f"user{n % 3}") for n in range(40)])
    return source


LINES = retention.LineRetention()


def prune(*options):
    out = io.StringIO()
    call_command("prune_records", "--only", "transfer_lines", "--json", *options, stdout=out)
    return json.loads(out.getvalue())["records"]["transfer_lines"]


def test_figures_that_were_added_up_are_right(source):
    assert command() == (0, "40 days and 2 months compared: 0 rows differ.\n")


def test_nothing_at_all_is_right():
    assert command() == (0, "There are no transfers, so there is nothing to compare.\n")


def test_what_differs_is_told_and_mended(source):
    before = figures()
    UserTransfers.objects.filter(start="2026-03-05", grain="day").update(upload_failed=3)
    UserTransfers.objects.filter(start="2026-03-06", grain="day").delete()
    AllTransfers.objects.filter(grain="month", start="2026-04-01").update(download_speeds={"7": 1})
    stray = UserTransfers.objects.create(
        source=source, grain="day", protocol="*", start="2026-05-01", username="ghost", upload_partial=1
    )

    status, said = command()
    assert status == 1
    assert "sftp, day 2026-03-05, SFTP, user 'user0': upload_failed is 3, not 0" in said
    assert "Mend it with --rebuild." in said
    status, told = command("--json")
    assert status == 1
    assert len(json.loads(told)["differences"]) == said.count("\n") - 1

    assert command("--rebuild")[0] == 0
    assert command()[0] == 0
    assert not UserTransfers.objects.filter(username="ghost").exists()
    assert figures() == before
    assert stray.pk


def test_figures_that_are_all_gone_come_back(source):
    before = figures()
    AllTransfers.objects.all().delete()
    UserTransfers.objects.all().delete()

    assert command("--rebuild")[0] == 0
    assert figures() == before


def test_failed_logins_are_compared_too(source):
    failed = [line_of(source, NOON + n * DAY, kind="login_failed", protocol="SSH") for n in range(35)]
    store([*failed, line_of(source, NOON, kind="login_failed", protocol="FTP")])
    before = figures()
    assert FailedLogins.objects.get(grain="month", protocol="*", start="2026-03-01").failures == 31
    FailedLogins.objects.filter(start="2026-03-05", grain="day").update(failures=7)
    FailedLogins.objects.filter(start="2026-03-06", grain="day").delete()
    FailedLogins.objects.create(source=source, grain="day", protocol="*", start="2026-05-01", failures=3)

    status, said = command()
    assert status == 1
    assert "sftp, day 2026-03-05, SSH, failed logins: failures is 7, not 1" in said
    assert command("--rebuild")[0] == 0
    assert figures() == before

    retention.delete_lines_before(source, date(2026, 3, 12))
    assert compare(rebuild=True).differences == ()
    assert figures() == before


def test_the_nightly_task_fails_where_figures_differ(source):
    assert verify_transfers() == {"days": 40, "months": 2}
    AllTransfers.objects.filter(start="2026-03-05").update(upload_succeeded=9)
    with pytest.raises(FiguresDiffer, match=r"4 figures .* day 2026-03-05, .* --rebuild"):
        verify_transfers()


def test_days_are_those_of_the_sources_zone_and_odd_ones_do_no_harm():
    source = make_source(time_zone="Pacific/Kiritimati")
    west = make_source("west", time_zone="Etc/GMT+12")
    instants = [NOON + n * timedelta(hours=7) for n in range(20)]
    odd = [datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 25, tzinfo=UTC)]
    store([line_of(one, at) for at in [*instants, *odd] for one in (source, west)])

    assert compare().differences == ()


def test_a_batch_that_comes_between_is_no_difference(source, monkeypatch):
    """What the first look finds is looked at again, with writers kept away."""
    looks = []
    from logmonitor.transfers import verify

    real = verify._right_of_day

    def first_look_misses_a_line(source, day):
        looks.append(day)
        return real(source, day - DAY) if looks.count(day) == 1 else real(source, day)

    monkeypatch.setattr(verify, "_right_of_day", first_look_misses_a_line)
    assert verify.compare().differences == ()
    assert max(map(looks.count, looks)) == 2


# --- retention ------------------------------------------------------------------------------------


def test_old_lines_go_and_figures_stay(source):
    before = figures()
    LogSource.objects.update(keep_lines_days=(datetime.now(UTC).date() - date(2026, 3, 12)).days)
    assert prune("--dry-run") == {"days": None, "deleted": 10}
    assert LogLine.objects.count() == 40

    assert delete_all_old()["transfer_lines"] == 10
    assert LogLine.objects.earliest("at").day == date(2026, 3, 12)
    assert figures() == before
    source.refresh_from_db()
    assert source.lines_kept_from == date(2026, 3, 12)
    assert compare().days == 30
    assert compare(rebuild=True).differences == ()
    assert figures() == before
    assert LINES.delete_old() == 0


def test_a_source_that_keeps_lines_for_ever_keeps_them(source):
    LogSource.objects.update(keep_lines_days=None)
    assert LINES.count_old() == LINES.delete_old() == 0
    LogSource.objects.update(keep_lines_days=2**31 - 1)
    assert LINES.count_old() == LINES.delete_old() == 0
    assert LogLine.objects.count() == 40


def test_days_of_the_command_count_for_every_log(source):
    LogSource.objects.update(keep_lines_days=None)
    days = (datetime.now(UTC).date() - date(2026, 3, 12)).days
    assert prune("--days", str(days)) == {"days": days, "deleted": 10}
    assert LogLine.objects.count() == 30
    with pytest.raises(CommandError, match="at least 1"):
        prune("--days", "0")


def test_bytes_that_are_no_line_go_as_lines_do(source):
    segment = Segment.objects.get()
    for offset in range(2):
        BadLine.objects.create(segment=segment, offset=offset, length=1, raw=b"x", reason="torn")
    BadLine.objects.filter(offset=0).update(seen=datetime.now(UTC) - 401 * DAY)

    assert LINES.delete_old() >= 1
    assert BadLine.objects.get().offset == 1


def test_only_old_lines_of_a_file_go_whatever_their_order(source, monkeypatch):
    monkeypatch.setattr(retention, "LINES_PER_BATCH", 3)
    other = make_source("other")
    segment = Segment.objects.create(source=source, path="later.log", head_len=1, head=b"y")
    store(
        [
            line_of(other, NOON),
            *(line_of(source, NOON + n * DAY, segment=segment) for n in (1, 9, 2, 20, 21, 22)),
        ]
    )
    deleted = retention.delete_lines_before(source, date(2026, 3, 12))

    assert deleted == 10 + 3
    assert LogLine.objects.filter(source=other).count() == 1
    assert LogLine.objects.filter(source=source).earliest("at").day == date(2026, 3, 12)


def test_a_kill_between_batches_leaves_no_half_day_for_a_whole_one(source, monkeypatch):
    monkeypatch.setattr(retention, "LINES_PER_BATCH", 3)
    before = figures()
    real, calls = retention._delete_batch, []

    def killed(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(retention, "_delete_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        retention.delete_lines_before(source, date(2026, 3, 12))
    assert 30 < LogLine.objects.count() < 40
    assert compare(rebuild=True).differences == ()
    assert figures() == before

    monkeypatch.setattr(retention, "_delete_batch", real)
    source.refresh_from_db()
    retention.delete_lines_before(source, date(2026, 3, 12))
    assert LogLine.objects.count() == 30


def test_an_earlier_cut_does_not_make_days_whole_again(source):
    retention.delete_lines_before(source, date(2026, 3, 12))
    source.refresh_from_db()
    retention.delete_lines_before(source, date(2026, 3, 5))
    source.refresh_from_db()
    assert source.lines_kept_from == date(2026, 3, 12)


@pytest.mark.django_db
class Always(TestCase):
    @settings(max_examples=15, suppress_health_check=list(HealthCheck))
    @given(
        batches=st.lists(
            st.lists(
                st.tuples(
                    st.integers(0, 70),
                    st.sampled_from("ab"),
                    st.sampled_from(["SFTP", "DAV"]),
                    st.sampled_from(["transfer", "login_failed", "app"]),
                ),
                max_size=6,
            ),
            max_size=5,
        ),
        cut=st.integers(0, 70),
    )
    def test_figures_equal_lines_on_every_kept_day(self, batches, cut):
        for table in (AllTransfers, UserTransfers, FailedLogins, LogLine, Segment, LogSource):
            table.objects.all().delete()
        source = make_source()
        for batch in batches:
            store(
                [
                    line_of(source, NOON + n * DAY, username=user, protocol=way, kind=kind)
                    for n, user, way, kind in batch
                ]
            )
        assert compare().differences == ()
        before = figures()

        retention.delete_lines_before(source, (NOON + cut * DAY).date())
        assert compare(rebuild=True).differences == ()
        assert figures() == before


def test_kept_days_come_one_after_the_other(source):
    from logmonitor.transfers.verify import _days_of_lines

    days = list(_days_of_lines(source))
    assert len(days) == 40
    assert all(after - before == DAY for before, after in pairwise(days))
