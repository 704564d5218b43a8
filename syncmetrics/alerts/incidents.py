"""Incidents: opened by runs that end badly and by what sources find, closed when that is over.

A sync knows nothing of them. `watch`, which beat asks for every minute, looks at runs that have ended since
and asks the source of each kind of INCIDENT_KINDS what is wrong now. Several workers may do so at once
without harm: a run is reviewed once, and one incident of a kind and subject is open.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, Q, QuerySet, Sum
from django.utils import timezone

from syncmetrics.alerts.deliveries import announce, announce_end, announce_higher
from syncmetrics.alerts.kinds import Finding, IncidentKind, Source, kinds
from syncmetrics.models import AlertChannel, Incident, RunReview, SyncRun

BAD_ENDS = (SyncRun.Status.FAILED, SyncRun.Status.PARTIAL, SyncRun.Status.LOST)
"""A cancelled run is nobody's trouble: somebody wanted it."""

EVERYTHING = "all"
"""The genre whose completed runs end the trouble of every other genre of their connection."""

LOOK_BACK = timedelta(days=7)
"""Runs that began before this are history: nobody is told of them now."""

ERROR_RATE = "error_rate"
BY_HAND = "Closed by hand."

ENOUGH_REQUESTS = 50
"""Of fewer requests no rate is told."""

log = logging.getLogger(__name__)


def watch(now: datetime | None = None) -> None:
    """Open what went wrong since the last look, and close what is over."""
    now = now or timezone.now()
    review_runs(now)
    for kind in kinds().values():
        if kind.source:
            _ask(kind.key, kind.source, now)


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
                "page": finding.page,
            },
        )
        if made:
            announce(incident, finding.connections, finding.error_rate)
        else:
            _go_on(incident, finding, run)
    return incident


def open_subjects(kind: str) -> set[str]:
    """Return the subjects of the incidents of a kind that go on."""
    return set(Incident.objects.filter(kind=kind, ended_at=None).values_list("subject", flat=True))


def mark_as_over(incident: Incident) -> bool:
    """Close an incident that will not recover by itself; nobody is told. False when it was over already."""
    return end(incident, BY_HAND, timezone.now(), tell=False)


def end(incident: Incident, ending: str, when: datetime, *, tell: bool = True) -> bool:
    """Close an incident and write down who is told; False when another worker has closed it."""
    with transaction.atomic():
        open_one = Incident.objects.filter(pk=incident.pk, ended_at=None)
        ended = open_one.update(ended_at=max(when, incident.started_at), ending=ending)
        if ended and tell:
            announce_end(incident)
    return bool(ended)


def _go_on(incident: Incident, finding: Finding, run: SyncRun | None) -> None:
    """Keep what was found last of an incident that goes on; tell who wants to hear of it only now."""
    news: dict[str, Any] = {"run": run, "times": F("times") + 1} if run else {}
    if finding.text and finding.text != incident.text:
        news["text"] = finding.text
    if news:
        Incident.objects.filter(pk=incident.pk).update(**news)
    if finding.error_rate is not None:
        announce_higher(incident, finding.connections, finding.error_rate)


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
        _compare(kind, list(source(now)), now)
    except Exception:  # one broken source must not silence the others
        log.exception("What is wrong of the kind %s could not be found out.", kind)


def _compare(kind: str, found: Collection[Finding], now: datetime) -> None:
    subjects = {finding.subject for finding in found}
    over = _marked_as_over(kind, subjects - open_subjects(kind))
    for finding in found:
        if finding.subject not in over or over[finding.subject] < (finding.latest or finding.since):
            begin(finding)
    for incident in Incident.objects.filter(kind=kind, ended_at=None):
        if incident.subject not in subjects:
            end(incident, "It is as it should be again.", now)


def _marked_as_over(kind: str, subjects: Collection[str]) -> dict[str, datetime]:
    """Return when a person marked incidents of these subjects as over: what began before stays so."""
    marked = Incident.objects.filter(kind=kind, subject__in=subjects, ending=BY_HAND).order_by()
    return dict(marked.values_list("subject").annotate(Max("ended_at")))


def error_rates(now: datetime) -> Iterator[Finding]:
    """Yield the connections of whose requests too many failed in the last hours.

    Too many are more than any channel of the connection wants to hear of, or without one more than
    ALERT_ERROR_RATE_PERCENT. Of too few requests nothing is concluded: an incident that is open stays so.
    """
    hours, channels = settings.ALERT_ERROR_RATE_HOURS, list(AlertChannel.objects.filter(enabled=True))
    open_ones = open_subjects(ERROR_RATE)
    for row in _requests_since(now - timedelta(hours=hours)):
        made, failed, key = row["made"] or 0, row["failed"] or 0, row["connection_key"]
        subject, share = f"connection:{key}", 100 * failed / made if made else 0.0
        limit = _limit(channels, frozenset({key}))
        if (made >= ENOUGH_REQUESTS and share > limit) or (made < ENOUGH_REQUESTS and subject in open_ones):
            yield Finding(
                kind=ERROR_RATE,
                subject=subject,
                about=row["name"],
                text=f"{share:.1f} % of {made:,} requests failed in {hours:g} h.",
                since=min(row["ended"], now),
                instance_key=row["instance"],
                connection_key=key,
                connections=frozenset({key}),
                error_rate=share if made >= ENOUGH_REQUESTS else None,
            )
        open_ones.discard(subject)
    yield from _not_measured(open_ones, now)


def _limit(channels: Iterable[AlertChannel], connections: frozenset[int]) -> float:
    """Return the lowest percentage that anybody wants to hear of for these connections."""
    own = (one.error_rate for one in channels if one.wants(ERROR_RATE, connections))
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
            ended=Max("sync_end_time"),
        )
    )


def _not_measured(subjects: Iterable[str], now: datetime) -> Iterator[Finding]:
    """Yield again what is open of connections that made no request at all meanwhile."""
    for subject in subjects:
        yield Finding(kind=ERROR_RATE, subject=subject, about="", text="", since=now)


KINDS = (
    IncidentKind(
        key=SyncRun.Status.FAILED,
        title="Sync failed",
        when="a sync fails",
        to_do="Open the run, read its error and its failed steps; mend the cause and press Resume.",
    ),
    IncidentKind(
        key=SyncRun.Status.PARTIAL,
        title="Sync partial",
        when="a sync is partial",
        to_do="Open the run and look at its failed steps; the rest was kept. Resume repeats only those.",
    ),
    IncidentKind(
        key=SyncRun.Status.LOST,
        title="Sync lost",
        when="a sync is lost",
        to_do="Its process ended without a word. See that the worker runs; most such syncs are resumed by"
        " themselves, others by pressing Resume.",
    ),
    IncidentKind(
        key=ERROR_RATE,
        title="Many requests fail",
        when="many requests fail",
        to_do="Open the latest runs and see which requests fail; often Canvas is ill, or a token lost"
        " rights.",
        source=error_rates,
    ),
)
