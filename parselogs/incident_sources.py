"""What can go wrong with uploaded files: parses that failed or were lost, logs that storage does not take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery

from parselogs.models import ParseFileMeta
from parselogs.models.runs import ACTIVE
from parselogs.runs import DISPATCH, STORAGE
from syncmetrics.alerts.incidents import open_subjects
from syncmetrics.alerts.kinds import Finding, IncidentKind

FAILED, LOST, NOT_STORED = "parse_failed", "parse_lost", "log_not_stored"
LOOK_BACK = timedelta(days=7)
"""Runs queued before this are history, but for what is still open of them."""
REPAIRED_BY_ITSELF = (DISPATCH, STORAGE)
MOST_RUNS = 10_000

State, LogState = ParseFileMeta.State, ParseFileMeta.LogState


def bad_ends(kind: str, state: str, now: datetime) -> Iterator[Finding]:
    """Yield the files whose last run to end did so in `state`: one by one, those of a batch as one.

    So are those that wait for the same thing, Redis or storage: an outage is one incident, not thousands.
    """
    open_ones = open_subjects(kind)
    bad = list(_last_to_end(state, now, open_ones)[:MOST_RUNS])
    batches = _of_many({run.parse_meta_id for run in bad if run.parse_meta_id})
    by_subject: defaultdict[str, list[ParseFileMeta]] = defaultdict(list)
    for run in bad:
        by_subject[_subject(run, batches, open_ones)].append(run)
    for subject, runs in by_subject.items():
        yield _finding(kind, subject, runs)


def _last_to_end(state: str, now: datetime, open_ones: Iterable[str]) -> QuerySet[ParseFileMeta]:
    """Return the runs after which none of their file has ended, by when they ended; canceled ones aside."""
    ended = ParseFileMeta.objects.filter(data_file=OuterRef("data_file"))
    last = ended.exclude(state__in=(*ACTIVE, State.CANCELED)).order_by("-attempt").values("pk")[:1]
    runs = ParseFileMeta.objects.filter(state=state).filter(Q(queued_at__gt=now - LOOK_BACK) | _of(open_ones))
    runs = runs.filter(pk=Subquery(last)).order_by("finished_at", "pk")
    return runs.only(
        *("data_file_id", "parse_meta_id", "attempt", "queued_at", "finished_at"),
        *("failure_code", "failure_text"),
    )


def _of(subjects: Iterable[str]) -> Q:
    """Return the condition of runs that belong to these subjects."""
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for what, _, key in (subject.partition(":") for subject in subjects):
        keys[what].append(key)
    return Q(data_file__in=keys["file"]) | Q(parse_meta__in=keys["batch"]) | Q(failure_code__in=keys["cause"])


def _of_many(batches: Collection[int]) -> set[int]:
    """Return those of these batches that parse more than one file."""
    runs = ParseFileMeta.objects.filter(parse_meta__in=batches).order_by().values("parse_meta")
    return set(runs.annotate(files=Count("pk")).filter(files__gt=1).values_list("parse_meta", flat=True))


def _subject(run: ParseFileMeta, batches: Collection[int], open_ones: Collection[str]) -> str:
    alone = f"file:{run.data_file_id}"
    if alone in open_ones:
        return alone  # it goes on, whatever its last run was a part of
    if run.failure_code in REPAIRED_BY_ITSELF:
        return f"cause:{run.failure_code}"
    return f"batch:{run.parse_meta_id}" if run.parse_meta_id in batches else alone


def _finding(kind: str, subject: str, runs: list[ParseFileMeta]) -> Finding:
    """Return what is wrong with some runs, of which the last ended last. Files' names may name people."""
    last = runs[-1]
    said = f"Attempt {last.attempt} of file {last.data_file_id}: {last.failure_text}"
    return Finding(
        kind=kind,
        subject=subject,
        about=_about(subject, last),
        text=said if len(runs) == 1 else f"{len(runs):,} files, the last of them: {said}",
        since=_ended(runs[0]),
        latest=_ended(last),
        page=f"/admin/parselogs/parsefilemeta/{last.pk}/change/",
    )


def _about(subject: str, run: ParseFileMeta) -> str:
    what, _, key = subject.partition(":")
    if what == "cause":
        return "uploaded files, for want of " + ("Redis" if key == DISPATCH else "their storage")
    return f"parse batch {key}" if what == "batch" else f"uploaded file {run.data_file_id}"


def _ended(run: ParseFileMeta) -> datetime:
    return run.finished_at or run.queued_at  # the database holds that what has ended has a time


def logs_not_stored(now: datetime) -> Iterator[Finding]:
    """Yield, as one, the logs that storage has not taken in several tries."""
    waiting = ParseFileMeta.objects.filter(log_state=LogState.UPLOAD_FAILED)
    runs = waiting.order_by(F("finished_at").asc(nulls_last=True), "pk")
    first = runs.only("finished_at", "upload_error").first()
    if first is None:
        return
    yield Finding(
        kind=NOT_STORED,
        subject="storage",
        about="logs of parse runs",
        text=f"{waiting.count():,} logs wait on the workers' disks. Of the first: {first.upload_error}",
        since=first.finished_at or now,
        page="/admin/parselogs/parsefilemeta/?log_state__exact=upload_failed",
    )


KINDS = (
    IncidentKind(
        key=FAILED,
        title="Parse failed",
        when="a parse of an uploaded file fails",
        to_do="Open the run, read its findings and its log; mend the file and upload it anew, or mend the"
        " cause and press Reparse.",
        source=partial(bad_ends, FAILED, State.FAILED),
    ),
    IncidentKind(
        key=LOST,
        title="Parse lost",
        when="a parse of an uploaded file is lost",
        to_do="Its process ended without a word: read the end of its log, look at the worker's memory, and"
        " press Reparse.",
        source=partial(bad_ends, LOST, State.LOST),
    ),
    IncidentKind(
        key=NOT_STORED,
        title="Logs of parses not stored",
        when="logs of parses cannot be stored",
        to_do="Nothing is lost yet: the logs are on the workers' disks, and tried again. See that the storage"
        " of uploads answers, and that its credentials may write.",
        source=logs_not_stored,
    ),
)
