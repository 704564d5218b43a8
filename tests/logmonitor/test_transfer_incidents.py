"""Transfer logs that are not read, and gaps: told on the home page and as incidents, until they are over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from logmonitor.incident_sources import gaps, unread_logs
from logmonitor.models import Gap, LogSource, Segment
from syncmetrics.alerts.incidents import watch
from syncmetrics.models import Incident
from tests.console import client_of, person, text_of

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def source_of(**values: Any) -> LogSource:
    """Make a transfer log that was looked at just now, if not told otherwise."""
    return LogSource.objects.create(
        **{"name": "campus", "folder": "/srv/sftp", "last_polled_at": timezone.now()} | values
    )


def segment_of(source: LogSource, first_seen: datetime) -> Segment:
    """Make a file of it."""
    segment = Segment.objects.create(source=source, path="sftpgo.log", head_len=1, head=b"x")
    Segment.objects.filter(pk=segment.pk).update(first_seen=first_seen)
    return segment


def open_incidents() -> dict[str, str]:
    """Return the texts of the incidents that go on, by kind."""
    return dict(Incident.objects.filter(ended_at=None).values_list("kind", "text"))


def test_a_log_that_is_read_is_no_trouble() -> None:
    now = timezone.now()
    source_of()
    source_of(name="off", folder="/off", enabled=False, last_polled_at=now - 9 * HOUR, error="Gone.")
    source_of(name="slow", folder="/slow", poll_seconds=3600, last_polled_at=now - HOUR)
    source_of(name="new", folder="/new", last_polled_at=None)
    backfill = source_of(name="first", folder="/first", behind_bytes=10**9, behind_seconds=10**7)
    segment_of(backfill, now - timedelta(minutes=10))
    assert list(unread_logs(now)) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"error": "The folder /srv/sftp cannot be read."}, "The folder /srv/sftp cannot be read."),
        ({"last_polled_at": timezone.now() - HOUR}, "Nobody has looked at it since 20"),
        ({"last_polled_at": None, "added_at": timezone.now() - HOUR}, "Nobody reads it: start a worker"),
        ({"behind_bytes": 123_456, "behind_seconds": 7_300.0}, "It is 2 h behind: 123,456 bytes"),
    ],
    ids=["error", "silent", "never", "behind"],
)
def test_a_log_that_is_not_read_is_an_incident_until_it_is(values: dict[str, Any], said: str) -> None:
    source = source_of(**values)
    segment_of(source, timezone.now() - 2 * HOUR)
    watch()
    watch()
    assert said in open_incidents()["transfer_unread"]
    assert Incident.objects.count() == 1

    LogSource.objects.update(last_polled_at=timezone.now(), error="", behind_bytes=0)
    watch()
    assert open_incidents() == {}


def test_a_gap_is_an_incident_until_it_is_closed_or_accepted() -> None:
    source = source_of()
    found = [
        Gap.objects.create(source=source, segment=segment_of(source, timezone.now()), reason="rotated")
        for _ in range(2)
    ]
    watch()
    assert "2 times a file went away" in open_incidents()["transfer_gap"]
    Gap.objects.filter(pk=found[0].pk).update(closed_at=timezone.now())
    watch()
    assert "once a file went away" in open_incidents()["transfer_gap"]
    Gap.objects.filter(pk=found[1].pk).update(accepted_at=timezone.now())
    watch()
    assert open_incidents() == {}


def test_incidents_lead_to_pages_of_the_console() -> None:
    source = source_of(error="Gone.")
    Gap.objects.create(source=source, segment=segment_of(source, timezone.now()), reason="rotated")
    now = timezone.now()
    [unread], [gap] = unread_logs(now), gaps(now)
    assert unread.page == reverse("admin:logmonitor_logsource_change", args=[source.pk])
    assert gap.page.startswith(reverse("admin:logmonitor_gap_changelist"))
    client = client_of(person("olga", "Operator"))
    assert client.get(unread.page).status_code == 200
    assert len(client.get(gap.page).context["cl"].result_list) == 1


def test_the_home_page_tells_what_is_wrong_with_any_log() -> None:
    for number in range(12):
        source_of(name=f"log{number:02}", folder=f"/srv/{number}")
    last = source_of(name="log12", folder="/srv/12", last_polled_at=timezone.now() - HOUR)
    Gap.objects.create(source=last, segment=segment_of(last, timezone.now()), reason="rotated")
    client = client_of(person("olga", "Operator"))
    shown = text_of(client.get(reverse("admin:index")))
    assert "Nobody has looked at it since" in shown
    assert "Lines may be missing" in shown
    Gap.objects.update(accepted_at=timezone.now())
    assert "Lines may be missing" not in text_of(client.get(reverse("admin:index")))
