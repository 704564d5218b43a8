"""Parsing files again, one or many: which can be, and a batch of runs that shows how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils import timezone

from parselogs.errors import ParselogsError, RunActive
from parselogs.models import DataFile, ParseFileMeta, ParseMeta
from parselogs.models.runs import ACTIVE
from parselogs.runs import queue, send_all

BATCH_FILES = 5_000
"""A batch is written in one transaction, so that it is there as a whole or not at all."""

State = ParseFileMeta.State

BUSY = "being parsed already"
NO_CONTENT = "without their content, which was deleted"
GONE = "deleted"


class NothingToReparse(ParselogsError):
    """None of the files asked for can be parsed again; the sentence says why."""


class TooManyFiles(ParselogsError):
    """More files than one batch holds."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which files a person means: some by key, or all; of one kind, or only those without good results."""

    keys: tuple[int, ...] | None = None
    kind: str = ""
    unsuccessful: bool = False

    def files(self) -> QuerySet[DataFile]:
        """Return the files that it names."""
        files = DataFile.objects.order_by("pk")
        if self.keys is not None:
            files = files.filter(pk__in=self.keys)
        if self.kind:
            files = files.filter(kind=self.kind)
        return files.filter(result_run=None) if self.unsuccessful else files

    def as_json(self) -> dict[str, Any]:
        """Return it as a batch keeps it."""
        chosen = {"files": len(self.keys)} if self.keys is not None else {}
        return {"asked": str(self), **chosen, "kind": self.kind, "unsuccessful": self.unsuccessful}

    def __str__(self) -> str:
        which = "all files" if self.keys is None else f"{_files(len(self.keys))}, chosen one by one"
        kind = f" of kind {self.kind.replace('_', ' ')}" if self.kind else ""
        return which + kind + (" that never succeeded" if self.unsuccessful else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch would do: the keys of the files that can be parsed, and how many cannot, by reason."""

    eligible: tuple[int, ...]
    skipped: Mapping[str, int]

    @property
    def can(self) -> str:
        """How many files it would parse."""
        return f"{_files(len(self.eligible))} can be parsed again"

    @property
    def cannot(self) -> list[str]:
        """How many files it would leave out, a line for each reason."""
        return [f"{_files(count)} left out: {reason}" for reason, count in self.skipped.items()]

    @property
    def sentence(self) -> str:
        """Both in one line."""
        return f"{'; '.join([self.can, *self.cannot])}."


def plan(scope: Scope) -> Plan:
    """Return which files of a scope can be parsed now. Changes nothing, asks no storage."""
    active = ParseFileMeta.objects.filter(data_file=OuterRef("pk"), state__in=ACTIVE)
    files = scope.files().annotate(busy=Exists(active)).values_list("pk", "file", "busy")
    eligible: list[int] = []
    skipped: Counter[str] = Counter()
    found = 0
    for key, stored, busy in files.iterator():
        found += 1
        if busy or not stored:
            skipped[BUSY if busy else NO_CONTENT] += 1
        else:
            eligible.append(key)
    if scope.keys is not None and not scope.kind and not scope.unsuccessful:
        skipped[GONE] += len(set(scope.keys)) - found
    return Plan(tuple(eligible), dict(+skipped))


def reparse(
    scope: Scope,
    *,
    by: Any = None,
    reason: str = "",
    log_level: str = ParseFileMeta.LogLevel.INFO,
    within_hours: float | None = None,
    send: bool = True,
) -> ParseMeta:
    """Queue a run of every file of a scope that can be parsed, as one batch. Former runs stay as they are.

    Without `send`, whoever calls performs the runs. Raises NothingToReparse and TooManyFiles with a
    sentence; then nothing is queued.
    """
    planned = plan(scope)
    if not planned.eligible:
        raise NothingToReparse(planned.sentence)
    if len(planned.eligible) > BATCH_FILES:
        raise TooManyFiles(
            f"{_files(len(planned.eligible))} are more than one batch holds ({BATCH_FILES:,}): choose a kind,"
            " or some of the files."
        )
    with transaction.atomic():
        batch = ParseMeta.objects.create(
            kind=ParseMeta.Kind.REPARSE,
            created_by=by,
            reason=reason,
            deadline=timezone.now() + timedelta(hours=within_hours) if within_hours else None,
            scope=scope.as_json() | {"skipped": dict(planned.skipped)},
        )
        runs = list(_queue_all(planned.eligible, batch, by, log_level))
        if not runs:
            raise NothingToReparse("All of these files are being parsed already.")
        if send:
            # All at once: where no broker answers, one message waits for it, and not each of thousands.
            transaction.on_commit(partial(send_all, runs))
    return batch


def _queue_all(keys: Collection[int], batch: ParseMeta, by: Any, log_level: str) -> Iterator[ParseFileMeta]:
    """Write and yield a run of each file; one that somebody else began to parse meanwhile is left out."""
    for data_file in DataFile.objects.filter(pk__in=keys).order_by("pk"):
        with suppress(RunActive):
            yield queue(
                data_file, ParseFileMeta.Trigger.REPARSE, by, meta=batch, log_level=log_level, send=False
            )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is, by its runs."""

    states: Mapping[str, int]

    @property
    def total(self) -> int:
        """All runs."""
        return sum(self.states.values())

    @property
    def done(self) -> int:
        """Those that have ended, however."""
        return self.total - sum(self.states.get(state, 0) for state in ACTIVE)

    @property
    def unsuccessful(self) -> int:
        """Those that have failed, were lost or cancelled."""
        return sum(self.states.get(state, 0) for state in (State.FAILED, State.LOST, State.CANCELED))

    @property
    def at_work(self) -> bool:
        """Whether some have not ended."""
        return self.done < self.total


def progress_of(batches: Iterable[ParseMeta]) -> dict[int, Progress]:
    """Return how far batches are, by their keys, in one query for all of them."""
    states: dict[int, dict[str, int]] = {batch.pk: {} for batch in batches}
    runs = ParseFileMeta.objects.filter(parse_meta__in=states).order_by()
    for key, state, count in runs.values_list("parse_meta", "state").annotate(Count("pk")):
        states[key][state] = count
    return {key: Progress(found) for key, found in states.items()}


def _files(count: int) -> str:
    return f"{count:,} file{'s' if count != 1 else ''}"
