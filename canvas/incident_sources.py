"""What can go wrong with Canvas's copy, and who finds it: broken promises of freshness, tokens that end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Q

from canvas.freshness import Freshness, broken_promises
from canvas.models import Connection
from canvas.overview import EXPIRES_SOON
from syncmetrics.alerts.kinds import Finding, IncidentKind

STALE, TOKEN = "stale", "token"


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
        kind=STALE,
        subject=f"instance:{found.instance.pk}/{found.resource}",
        about=f"{words} of {found.instance.name}",
        text=f"The copy is {age:.0f} h old; {promised} h were promised.",
        since=now - timedelta(hours=age - promised),
        instance_key=found.instance.pk,
        connections=connections,
    )


def ending_tokens(now: datetime) -> Iterator[Finding]:
    """Yield the connections whose token Canvas refuses, or that has ended or ends soon."""
    ends_soon = Q(token_expires_at__lte=now + EXPIRES_SOON)
    for connection in Connection.objects.filter(ends_soon | Q(state=Connection.State.REJECTED)):
        refused = connection.state == Connection.State.REJECTED
        end = connection.token_expires_at
        since = connection.checked_at if refused or end is None else end - EXPIRES_SOON
        yield Finding(
            kind=TOKEN,
            subject=f"connection:{connection.pk}",
            about=connection.name,
            text=_what_of_token(connection, refused, now),
            since=min(since or now, now),
            instance_key=connection.instance_id,
            connection_key=connection.pk,
            connections=frozenset({connection.pk}),
            page=f"/admin/canvas/connection/{connection.pk}/change/",
        )


def _what_of_token(connection: Connection, refused: bool, now: datetime) -> str:
    if refused:
        return f"Canvas refuses the token: {connection.state_message or 'it does not say why'}"
    end = connection.token_expires_at or now
    return f"The token {'ended' if end <= now else 'ends'} on {end:%Y-%m-%d %H:%M} UTC."


KINDS = (
    IncidentKind(
        key=STALE,
        title="Promise of freshness broken",
        when="a promise of freshness is broken",
        to_do="See why no sync has completed: Runs, Schedules, and the connection's token.",
        source=broken_promises_of_freshness,
    ),
    IncidentKind(
        key=TOKEN,
        title="Token ends",
        when="a token is refused by Canvas, or ends within 14 days",
        to_do="Make a new token in Canvas, open the connection and press Replace token.",
        source=ending_tokens,
    ),
)
