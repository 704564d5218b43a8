"""What can go wrong with transfer logs, and who finds it: logs that are not read, lines that are missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count, Min

from logmonitor.models import Gap, LogSource
from logmonitor.transfers.standing import Standing, standing_of, trouble
from syncmetrics.alerts.kinds import Finding, IncidentKind

UNREAD, GAP = "transfer_unread", "transfer_gap"

FAR_BEHIND = timedelta(hours=1)
"""So far behind, by a log that has been followed for as long: a first reading of old files is no trouble."""


def unread_logs(now: datetime) -> Iterator[Finding]:
    """Yield the transfer logs that cannot be read, that nobody follows, and that are far behind."""
    sources = LogSource.objects.filter(enabled=True).annotate(first_seen=Min("segments__first_seen"))
    for source in sources.order_by("pk"):
        looked = source.last_polled_at or source.added_at
        if wrong := trouble(source, now):
            yield _unread(source, wrong, min(looked, now))
        elif source.first_seen and now - source.first_seen > FAR_BEHIND and (far := _far_behind(source, now)):
            yield _unread(source, far, min(source.last_line_at or looked, now))


def _unread(source: LogSource, text: str, since: datetime) -> Finding:
    return Finding(
        kind=UNREAD,
        subject=f"source:{source.pk}",
        about=source.name,
        text=text,
        since=since,
        page=f"/admin/logmonitor/logsource/{source.pk}/change/",
    )


def _far_behind(source: LogSource, now: datetime) -> str:
    hours = source.behind_seconds / 3600
    if standing_of(source, now) != Standing.BEHIND or hours <= FAR_BEHIND.total_seconds() / 3600:
        return ""
    return f"It is {hours:,.0f} h behind: {source.behind_bytes:,} bytes are not read yet."


def gaps(now: datetime) -> Iterator[Finding]:
    """Yield the transfer logs of which lines may be missing, until a gap is closed or accepted."""
    found = Gap.open().order_by("source").values_list("source", "source__name")
    for key, name, number, first in found.annotate(number=Count("pk"), first=Min("seen")):
        times = "once" if number == 1 else f"{number:,} times"
        yield Finding(
            kind=GAP,
            subject=f"source:{key}",
            about=name,
            text=f"Lines may be missing: {times} a file went away before its end was read.",
            since=min(first, now),
            page=f"/admin/logmonitor/gap/?source__id__exact={key}&state=open",
        )


KINDS = (
    IncidentKind(
        key=UNREAD,
        title="Transfer log not read",
        when="a transfer log is not read",
        to_do="See that the worker runs, and that it may read the folder; SFTPGo keeps few old files.",
        source=unread_logs,
    ),
    IncidentKind(
        key=GAP,
        title="Transfer log with a gap",
        when="lines of a transfer log may be missing",
        to_do="Put a backup of the file into the folder, or open the gap and press Accept the loss.",
        source=gaps,
    ),
)
