"""Who is told of an incident: one delivery per channel, written with the incident and sent afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Case, F, Q, QuerySet, When
from django.utils import timezone

from syncmetrics.alerts.messages import message_of, message_of_many, test_message
from syncmetrics.alerts.sender import NotSent, send
from syncmetrics.models import AlertChannel, AlertDelivery, Incident

What, State = AlertDelivery.What, AlertDelivery.State

RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))
"""How long after each failure a message is tried again; after the last one it is given up."""

AT_ONCE = 5
"""More messages than this that wait for one channel go out as one."""

log = logging.getLogger(__name__)


def announce(incident: Incident, connections: frozenset[int], error_rate: float | None = None) -> None:
    """Write down who is to be told that an incident began; call it in the transaction that opens it."""
    _announce(incident, AlertChannel.objects.all(), connections, error_rate)


def announce_higher(incident: Incident, connections: frozenset[int], error_rate: float) -> bool:
    """Write down who is to be told now of an open incident, being told of high error rates only.

    Tell whether there is anybody. A channel that was made since is not told.
    """
    told = incident.deliveries.filter(what=What.BEGAN).values("channel")
    others = AlertChannel.objects.filter(created_at__lte=incident.started_at).exclude(pk__in=told)
    return _announce(incident, others, connections, error_rate)


def _announce(
    incident: Incident,
    channels: QuerySet[AlertChannel],
    connections: frozenset[int],
    error_rate: float | None,
) -> bool:
    new = [
        AlertDelivery(incident=incident, channel=channel, what=What.BEGAN)
        for channel in channels.filter(enabled=True)
        if channel.wants(incident.kind, connections, error_rate)
    ]
    AlertDelivery.objects.bulk_create(new, ignore_conflicts=True)
    return bool(new)


def announce_end(incident: Incident) -> None:
    """Write down that those who were told of an incident are to be told of its end."""
    AlertDelivery.objects.bulk_create(
        AlertDelivery(incident=incident, channel_id=channel, what=What.RECOVERED)
        for channel in incident.deliveries.filter(what=What.BEGAN).values_list("channel", flat=True)
    )


def send_waiting(now: datetime | None = None) -> int:
    """Send what is due, to channels that work first, and return how many messages were sent."""
    now = now or timezone.now()
    _drop_unwanted()
    channels = AlertChannel.objects.filter(deliveries__in=_due(now)).distinct()
    return sum(
        _send_to(channel, now) for channel in sorted(channels, key=lambda one: (bool(one.last_error), one.pk))
    )


def try_channel(channel: AlertChannel) -> None:
    """Send a test message and keep on the channel how that went; NotSent when it failed."""
    try:
        send(channel, test_message(channel.name))
    except NotSent as error:
        _keep_outcome(channel, str(error))
        raise
    _keep_outcome(channel, "")


def broken_channels() -> Iterable[AlertChannel]:
    """Return the channels in use whose last message did not go out."""
    return AlertChannel.objects.filter(enabled=True).exclude(last_error="")


def _due(now: datetime) -> QuerySet[AlertDelivery]:
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    return AlertDelivery.objects.filter(free, state=State.WAITING, due_at__lte=now)


def _drop_unwanted() -> None:
    """Drop what waits for a channel that was switched off, and ends of what nobody was told began."""
    waiting = AlertDelivery.objects.filter(state=State.WAITING)
    waiting.filter(channel__enabled=False).update(state=State.DROPPED, error="The channel is switched off.")
    untold = AlertDelivery.objects.filter(what=What.BEGAN, state__in=(State.GIVEN_UP, State.DROPPED))
    pairs = set(untold.filter(incident__deliveries__in=waiting).values_list("incident", "channel"))
    for incident, channel in pairs:
        waiting.filter(incident=incident, channel=channel, what=What.RECOVERED).update(
            state=State.DROPPED, error="The channel was not told that it began."
        )


def _send_to(channel: AlertChannel, now: datetime) -> int:
    """Send what is due to one channel, until a message fails."""
    sent = 0
    for batch in _batches(_in_order(channel, now)):
        ours = [delivery for delivery in batch if _claim(delivery, now)]
        if not ours:
            continue
        try:
            send(channel, message_of(ours[0]) if len(ours) == 1 else message_of_many(ours))
        except NotSent as error:
            _keep_failure(channel, ours, str(error))
            break
        _keep_success(channel, ours)
        sent += 1
    return sent


def _in_order(channel: AlertChannel, now: datetime) -> list[AlertDelivery]:
    """Return what is due to a channel, oldest first; an end never before its beginning."""
    due = list(_due(now).filter(channel=channel).select_related("incident").order_by("pk"))
    beginnings = AlertDelivery.objects.filter(channel=channel, what=What.BEGAN, state=State.WAITING)
    later = set(beginnings.exclude(pk__in=[one.pk for one in due]).values_list("incident", flat=True))
    return [one for one in due if one.what == What.BEGAN or one.incident_id not in later]


def _batches(due: list[AlertDelivery]) -> list[list[AlertDelivery]]:
    return [due] if len(due) > AT_ONCE else [[one] for one in due]


def _claim(delivery: AlertDelivery, now: datetime) -> bool:
    """Take a delivery for this worker; False when another one has it, or has sent it."""
    # A little longer than sending may take: then whoever had it is dead, and another one takes it.
    until = timezone.now() + timedelta(seconds=settings.ALERT_SEND_SECONDS + 60)
    free = _due(now).filter(pk=delivery.pk)
    # A claim that nobody gave back is that of a worker which was killed, perhaps after the service took it.
    killed = Case(When(claimed_until=None, then=F("interrupted")), default=True)
    return bool(free.update(claimed_until=until, interrupted=killed, attempts=F("attempts") + 1))


def _keep_success(channel: AlertChannel, sent: Sequence[AlertDelivery]) -> None:
    AlertDelivery.objects.filter(pk__in=[one.pk for one in sent]).update(
        state=State.SENT, sent_at=timezone.now(), claimed_until=None, error=""
    )
    _keep_outcome(channel, "")


def _keep_failure(channel: AlertChannel, tried: Sequence[AlertDelivery], error: str) -> None:
    log.warning("An alert to the channel %s was not sent: %s", channel.name, error)
    now = timezone.now()
    for delivery in AlertDelivery.objects.filter(pk__in=[one.pk for one in tried]):
        delivery.error, delivery.claimed_until = error, None
        if delivery.attempts > len(RETRY_AFTER):
            delivery.state = State.GIVEN_UP
        else:
            delivery.due_at = now + RETRY_AFTER[delivery.attempts - 1]
        delivery.save(update_fields=["error", "claimed_until", "state", "due_at"])
    _keep_outcome(channel, error)


def _keep_outcome(channel: AlertChannel, error: str) -> None:
    now = timezone.now()
    when = "last_error_at" if error else "last_sent_at"
    AlertChannel.objects.filter(pk=channel.pk).update(last_error=error, **{when: now})
    channel.refresh_from_db()
