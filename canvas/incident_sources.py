"""What Canvas's copy tells `syncmetrics.incidents`: which promises of freshness are broken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from canvas.freshness import Freshness, broken_promises
from canvas.models import Connection
from syncmetrics.alerts.incidents import Finding
from syncmetrics.models import Kind


def broken_promises_of_freshness(now: datetime) -> Iterator[Finding]:
    """Yield what is older than promised, per instance and resource."""
    connections: defaultdict[int, set[int]] = defaultdict(set)
    for key, instance in Connection.objects.values_list("pk", "instance"):
        connections[instance].add(key)
    for found in broken_promises(now):
        yield _finding(found, now, frozenset(connections[found.instance.pk]))


def _finding(found: Freshness, now: datetime, connections: frozenset[int]) -> Finding:
    promised, age = found.promised_hours or 0, found.age_hours or 0.0
    words = found.resource.replace("_", " ")
    return Finding(
        kind=Kind.STALE,
        subject=f"instance:{found.instance.pk}/{found.resource}",
        about=f"{words} of {found.instance.name}",
        text=f"The copy is {age:.0f} h old; {promised} h were promised.",
        since=now - timedelta(hours=age - promised),
        instance_key=found.instance.pk,
        connections=connections,
    )
