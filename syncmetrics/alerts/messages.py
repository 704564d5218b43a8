"""What alerts say: what happened, since when, where to see it, what to do. No names of people, no tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.conf import settings
from django.utils.timesince import timesince

from easel.redaction import clean, redact
from syncmetrics.alerts.kinds import to_do
from syncmetrics.alerts.sender import Message
from syncmetrics.models import AlertDelivery, Incident

TEXT_CHARACTERS = 300
MOST_LINES = 20
"""More incidents than this are not named in one message: services refuse long ones."""

# A text from Canvas calls nobody: services read <!channel> and @everyone as names to ring.
_CALLS = str.maketrans({"<": "(", ">": ")", "@": "(at)"})


def plain(text: str, characters: int = TEXT_CHARACTERS) -> str:
    """Return a text as a message may quote it: no secrets, no control characters, nobody called, short."""
    return clean(redact(text), characters).translate(_CALLS)


def moment(when: datetime) -> str:
    """Return a point in time in UTC."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


def page_of(incident: Incident) -> str:
    """Return where to see it: an address if CONSOLE_URL is set, else the way there.

    The path is written out, because asking Django for it would load the console into every worker.
    """
    if settings.CONSOLE_URL:
        return f"{settings.CONSOLE_URL}/admin/syncmetrics/incident/{incident.pk}/change/"
    return f"in the console under Incidents, number {incident.pk}"


def message_of(delivery: AlertDelivery) -> Message:
    """Return the message of one delivery."""
    incident = delivery.incident
    if delivery.what == AlertDelivery.What.RECOVERED:
        return Message(f"Recovered: {_title(incident)}", _lines(_recovered(incident)), "success")
    return Message(_title(incident), _lines(_began(incident)), "failure")


def message_of_many(deliveries: Sequence[AlertDelivery]) -> Message:
    """Return one message in place of many, for when everything breaks at once."""
    lines = [
        f"- {'Recovered: ' if each.what == AlertDelivery.What.RECOVERED else ''}{_title(each.incident)},"
        f" {moment(each.incident.ended_at or each.incident.started_at)}"
        for each in deliveries[:MOST_LINES]
    ]
    if len(deliveries) > MOST_LINES:
        lines.append(f"and {len(deliveries) - MOST_LINES} more.")
    over = all(each.what == AlertDelivery.What.RECOVERED for each in deliveries)
    where = f"{settings.CONSOLE_URL}/admin/syncmetrics/incident/" if settings.CONSOLE_URL else "Incidents"
    title, kind = f"Easel: {len(deliveries)} alerts at once", "success" if over else "failure"
    return Message(title, "\n".join([*lines, f"See: {where}"]), kind)


def test_message(name: str) -> Message:
    """Return what the test button sends."""
    where = f" at {settings.CONSOLE_URL}" if settings.CONSOLE_URL else ""
    return Message(
        "Test from Easel", f"This is a test of the channel {plain(name)} of the console{where}. All is well."
    )


def _title(incident: Incident) -> str:
    return f"{incident.get_kind_display()}: {plain(incident.about, 150)}"


def _began(incident: Incident) -> dict[str, str]:
    return {
        "What": plain(incident.text),
        "Since": moment(incident.started_at),
        "See": page_of(incident),
        "Do": to_do(incident.kind),
    }


def _recovered(incident: Incident) -> dict[str, str]:
    ended = incident.ended_at or incident.started_at
    return {
        "What": plain(incident.ending),
        "Since": moment(ended),
        "Lasted": timesince(incident.started_at, ended).replace("\xa0", " "),
        "See": page_of(incident),
    }


def _lines(facts: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {fact}" for name, fact in facts.items() if fact)
