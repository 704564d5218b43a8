"""What the home page shows of transfer logs: is each of them followed, and is anything missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from urllib.parse import urlencode

from django.db.models import Count, Q
from django.urls import reverse
from django.utils import timezone

from logmonitor.models import LogSource
from logmonitor.transfers.source_pages import state_badge
from logmonitor.transfers.standing import trouble
from syncmetrics.admin.panels import Attention, Panel
from syncmetrics.display import BAD, CARE, NOTHING, ago, badge, link, number

MOST_SOURCES = 10


def panel() -> Panel | None:
    """Return the panel, with as many logs as a card holds and what is wrong with any; None without logs."""
    open_gaps = Count("gaps", filter=Q(gaps__closed_at=None, gaps__accepted_at=None))
    sources = list(LogSource.objects.filter(enabled=True).annotate(open_gaps=open_gaps))
    if not sources:
        return None
    return Panel(
        title="Transfer logs",
        headers=["Log", "State", "Last line", "Open gaps", "Who moved what"],
        rows=[
            [
                link(_page(source), source.name),
                state_badge(source),
                ago(source.last_line_at),
                number(source.open_gaps) if source.open_gaps else NOTHING,
                link(f"{reverse('logmonitor:transfers')}?{urlencode({'source': source.name})}", "Charts"),
            ]
            for source in sources[:MOST_SOURCES]
        ],
        problems=list(_problems(sources, timezone.now())),
    )


def _problems(sources: Iterable[LogSource], now: datetime) -> Iterator[Attention]:
    for source in sources:
        if wrong := trouble(source, now):
            yield Attention(badge(source.name, BAD), wrong, _page(source))
        if source.open_gaps:  # type: ignore[attr-defined]  # counted in `panel`
            gaps = f"{reverse('admin:logmonitor_gap_changelist')}?source__id__exact={source.pk}&state=open"
            text = "Lines may be missing: a file went away before its end was read."
            yield Attention(badge(source.name, CARE), text, gaps)


def _page(source: LogSource) -> str:
    return reverse("admin:logmonitor_logsource_change", args=[source.pk])
