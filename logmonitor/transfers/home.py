"""What the home page shows of transfer logs: is each of them followed, and is anything missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from urllib.parse import urlencode

from django.db.models import Count, Q
from django.urls import reverse
from django.utils import timezone

from logmonitor.models import LogSource
from logmonitor.transfers.source_pages import state_badge
from syncmetrics.admin.panels import Attention, Panel
from syncmetrics.display import BAD, CARE, NOTHING, ago, badge, link, number

MOST_SOURCES = 10
RECENT = timedelta(days=7)
"""Lines that are gone stay gone: a gap is told for so long, and listed for ever."""


def panel() -> Panel | None:
    """Return the panel; None where no log is followed."""
    new_gaps = Count("gaps", filter=Q(gaps__closed_at=None, gaps__seen__gt=timezone.now() - RECENT))
    sources = list(LogSource.objects.filter(enabled=True).annotate(new_gaps=new_gaps)[:MOST_SOURCES])
    if not sources:
        return None
    return Panel(
        title="Transfer logs",
        headers=["Log", "State", "Last line", "Gaps of this week", "Who moved what"],
        rows=[
            [
                link(_page(source), source.name),
                state_badge(source),
                ago(source.last_line_at),
                number(source.new_gaps) if source.new_gaps else NOTHING,
                link(f"{reverse('logmonitor:transfers')}?{urlencode({'source': source.name})}", "Charts"),
            ]
            for source in sources
        ],
        problems=list(_problems(sources)),
    )


def _problems(sources: Iterable[LogSource]) -> Iterator[Attention]:
    for source in sources:
        if source.error:
            yield Attention(badge(source.name, BAD), source.error, _page(source))
        if source.new_gaps:  # type: ignore[attr-defined]  # counted in `panel`
            gaps = f"{reverse('admin:logmonitor_gap_changelist')}?source__id__exact={source.pk}"
            text = "Lines may be missing: a file went away before its end was read."
            yield Attention(badge(source.name, CARE), text, gaps)


def _page(source: LogSource) -> str:
    return reverse("admin:logmonitor_logsource_change", args=[source.pk])
