"""Incidents: opened by runs that end badly and by what sources find, closed when that is over.

A sync knows nothing of them. `watch`, which beat asks for every minute, looks at runs that have ended since
and asks each source of INCIDENT_SOURCES what is wrong now. Several workers may do so at once without harm:
a run is reviewed once, and one incident of a kind and subject is open.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.module_loading import import_string

from syncmetrics.alerts.deliveries import announce, announce_end, announce_higher
from syncmetrics.models import AlertChannel, Incident, Kind, RunReview, SyncRun

BAD_ENDS = (SyncRun.Status.FAILED, SyncRun.Status.PARTIAL, SyncRun.Status.LOST)
"""A cancelled run is nobody's trouble: somebody wanted it."""

EVERYTHING = "all"
"""The genre whose completed runs end the trouble of every other genre of their connection."""

LOOK_BACK = timedelta(days=7)
"""Runs that began before this are history: nobody is told of them now."""

ENOUGH_REQUESTS = 50
"""Of fewer requests no rate is told."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong now.

    `subject` names what it happens to, the same each time; `about` is that in words, `text` what was found.
    `connections` are the keys of those it touches: a channel that hears of some connections only is told
    if one of them is among these. `error_rate` is the percentage of requests that failed, where that is what
    is wrong: a channel may want to hear of high ones only.
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


Source = Callable[[datetime], Iterable[Finding]]
"""Says what is wrong of one kind at a moment; what it does not find any more has recovered."""


def watch(now: datetime | None = None) -> None:
    """Open what went wrong since the last look, and close what is over."""
    now = now or timezone.now()
    review_runs(now)
    for kind, path in settings.INCIDENT_SOURCES.items():
        _ask(kind, import_string(path), now)


def review_runs(now: datetime) -> None:
    """Judge every run that has ended and was not judged yet, in the order in which they began."""
    ended = SyncRun.objects.filter(
        sync_status__in=(*BAD_ENDS, SyncRun.Status.COMPLETED),
        dry_run=False,
        sync_start_time__gt=now - LOOK_BACK,
        review=None,
    )
    for run in ended.order_by("sync_start_time", "pk"):
        with transaction.atomic():
            if RunReview.objects.get_or_create(run=run)[1]:
                _judge(run)


def begin(finding: Finding, run: SyncRun | None = None) -> Incident:
    """Open an incident and write down who is told; return the open one where there is one already."""
    with transaction.atomic():
        incident, made = Incident.objects.get_or_create(
            kind=finding.kind,
            subject=finding.subject,
            ended_at=None,
            defaults={
                "about": finding.about[:300],
                "text": finding.text,
                "started_at": finding.since,
                "instance_key": finding.instance_key,
                "connection_key": finding.connection_key,
                "run": run,
            },
        )
        if made:
            announce(incident, finding.connections, finding.error_rate)
        elif finding.error_rate is not None:
            if announce_higher(incident, finding.connections, finding.error_rate):
                Incident.objects.filter(pk=incident.pk).update(text=finding.text)
        elif run:
            open_one = Incident.objects.filter(pk=incident.pk)
            open_one.update(run=run, text=finding.text, times=F("times") + 1)
    return incident


def end(incident: Incident, ending: str, when: datetime, *, tell: bool = True) -> bool:
    """Close an incident and write down who is told; False when another worker has closed it."""
    with transaction.atomic():
        open_one = Incident.objects.filter(pk=incident.pk, ended_at=None)
        ended = open_one.update(ended_at=max(when, incident.started_at), ending=ending)
        if ended and tell:
            announce_end(incident)
    return bool(ended)


def _judge(run: SyncRun) -> None:
    """Open an incident for a run that ended badly; let a completed one end what went before."""
    if run.sync_status != SyncRun.Status.COMPLETED:
        begin(_finding_of(run), run)
        return
    for incident in _ended_by(run):
        end(incident, f"Run {run.pk} completed.", run.sync_end_time or timezone.now())


def _ended_by(run: SyncRun) -> QuerySet[Incident]:
    """Return the open incidents of earlier runs of the same connection, and genre unless it read all."""
    earlier = Q(run__sync_start_time__lt=run.sync_start_time) | Q(run=None)
    of_runs = Incident.objects.filter(earlier, ended_at=None, kind__in=BAD_ENDS)
    if run.genre == EVERYTHING:
        return of_runs.filter(subject__startswith=f"{_connection_of(run)}/")
    return of_runs.filter(subject=subject_of(run))


def subject_of(run: SyncRun) -> str:
    """Return what a run is a sync of: connection, genre and, where only some are synced, the courses."""
    courses = sorted(map(str, run.options.get("courses", ()))) if isinstance(run.options, dict) else []
    return "/".join([_connection_of(run), run.genre, *courses])[:300]


def _connection_of(run: SyncRun) -> str:
    return f"connection:{run.connection_key or run.connection_name}"


def _finding_of(run: SyncRun) -> Finding:
    name = run.connection_name or "a connection without a name"
    genre = "" if run.genre == EVERYTHING else f" ({run.genre})"
    said = f": {run.error_message}" if run.error_message else "."
    return Finding(
        kind=run.sync_status,
        subject=subject_of(run),
        about=f"{name}{genre}",
        text=f"Run {run.pk} {WORDS[run.sync_status]}{said}",
        since=run.sync_end_time or timezone.now(),
        instance_key=run.instance_key,
        connection_key=run.connection_key,
        connections=frozenset({run.connection_key} if run.connection_key else ()),
    )


WORDS: Mapping[str, str] = {
    SyncRun.Status.FAILED: "failed",
    SyncRun.Status.PARTIAL: "is partial",
    SyncRun.Status.LOST: "was lost",
}


def _ask(kind: str, source: Source, now: datetime) -> None:
    """Open what a source finds and close what it finds no more; a source that fails changes nothing."""
    try:
        found = list(source(now))
    except Exception:  # one broken source must not silence the others
        log.exception("What is wrong of the kind %s could not be found out.", kind)
        return
    for finding in found:
        begin(finding)
    subjects = {finding.subject for finding in found}
    for incident in Incident.objects.filter(kind=kind, ended_at=None):
        if incident.subject not in subjects:
            end(incident, "It is as it should be again.", now)


def error_rates(now: datetime) -> Iterator[Finding]:
    """Yield the connections of whose requests too many failed in the last hours.

    Too many are more than any channel of the connection wants to hear of, or without one more than
    ALERT_ERROR_RATE_PERCENT. Of too few requests nothing is concluded: an incident that is open stays so.
    """
    hours, channels = settings.ALERT_ERROR_RATE_HOURS, list(AlertChannel.objects.filter(enabled=True))
    open_ones = set(
        Incident.objects.filter(kind=Kind.ERROR_RATE, ended_at=None).values_list("subject", flat=True)
    )
    for row in _requests_since(now - timedelta(hours=hours)):
        made, failed, key = row["made"] or 0, row["failed"] or 0, row["connection_key"]
        subject, share = f"connection:{key}", 100 * failed / made if made else 0.0
        limit = _limit(channels, frozenset({key}))
        if (made >= ENOUGH_REQUESTS and share > limit) or (made < ENOUGH_REQUESTS and subject in open_ones):
            yield Finding(
                kind=Kind.ERROR_RATE,
                subject=subject,
                about=row["name"],
                text=f"{share:.1f} % of {made:,} requests failed in {hours:g} h.",
                since=now,
                instance_key=row["instance"],
                connection_key=key,
                connections=frozenset({key}),
                error_rate=share if made >= ENOUGH_REQUESTS else None,
            )
        open_ones.discard(subject)
    yield from _not_measured(open_ones, now)


def _limit(channels: Iterable[AlertChannel], connections: frozenset[int]) -> float:
    """Return the lowest percentage that anybody wants to hear of for these connections."""
    own = (one.error_rate for one in channels if one.wants(Kind.ERROR_RATE, connections))
    return min(own, default=settings.ALERT_ERROR_RATE_PERCENT)


def _requests_since(since: datetime) -> Iterable[Mapping[str, Any]]:
    runs = SyncRun.objects.filter(
        sync_end_time__gt=since, sync_start_time__gt=since - LOOK_BACK, connection_key__isnull=False
    )
    return (
        runs.order_by()
        .values("connection_key")
        .annotate(
            made=Sum("api_calls_made"),
            failed=Sum("api_calls_failed"),
            name=Max("connection_name"),
            instance=Max("instance_key"),
        )
    )


def _not_measured(subjects: Iterable[str], now: datetime) -> Iterator[Finding]:
    """Yield again what is open of connections that made no request at all meanwhile."""
    for subject in subjects:
        yield Finding(kind=Kind.ERROR_RATE, subject=subject, about="", text="", since=now)
