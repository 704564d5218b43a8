"""The kinds of incidents: what each is called, who finds it, what to do. Every app declares its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong now.

    `subject` names what it happens to, the same each time (300 characters); `about` is that in words, `text`
    what was found. `page` is the path of the console's page where more of it is seen. `connections` are the
    keys of those it touches: a channel that hears of some connections only is told if one of them is among
    these. `error_rate` is the percentage of requests that failed, where that is what is wrong: a channel may
    want to hear of high ones only. `latest` is when it happened last, where it happens again and again: what
    was marked as over stays so until then.
    """

    kind: str
    subject: str
    about: str
    text: str
    since: datetime
    instance_key: int | None = None
    connection_key: int | None = None
    connections: frozenset[int] = field(default_factory=frozenset)
    error_rate: float | None = None
    page: str = ""
    latest: datetime | None = None


Source = Callable[[datetime], Iterable[Finding]]
"""Says what is wrong of one kind at a moment; what it does not find any more has recovered."""


@dataclass(frozen=True, slots=True)
class IncidentKind:
    """Something that can go wrong.

    `key` is stored (20 characters); `title` heads a message; `when` completes "tell when ..."; `to_do` is
    what a message tells to do. `source` finds it; without one something else opens it, such as a run's end.
    """

    key: str
    title: str
    when: str
    to_do: str
    source: Source | None = None


def kinds() -> Mapping[str, IncidentKind]:
    """Return every kind by its key, in the order of INCIDENT_KINDS: one table of kinds per app."""
    return {kind.key: kind for path in settings.INCIDENT_KINDS for kind in import_string(path)}


def titles() -> list[tuple[str, str]]:
    """Return the key and the title of every kind, as a column's choices."""
    return [(kind.key, kind.title) for kind in kinds().values()]


def to_do(kind: str) -> str:
    """Return what to do about incidents of a kind; nothing for one that no app declares any more."""
    declared = kinds().get(kind)
    return declared.to_do if declared else ""
