"""The analysis itself: stretches of files read and counted, on every core there is, and added up."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from easel.events import LOGS
from logmonitor.analysis.lines import decode_lines
from logmonitor.analysis.plan import plan
from logmonitor.analysis.selection import Selection
from logmonitor.analysis.sources import Folder, Problems, Stretch, blocks, each_log
from logmonitor.analysis.tallies import OTHER, Tallies

WORTH_A_PROCESS_BYTES = 4 << 20
MOST_PROBLEMS = 1_000
TRIES = 5
OF_FILES = frozenset({"unreadable", "truncated", "damaged_file", "bomb"})
"""Kinds of problems that a file has or has not; all other kinds are counted by the line or the member."""


class AnalysisError(Exception):
    """The analysis could not be ended; the message says what to do."""


@dataclass(slots=True)
class LogCount:
    """How many lines of one log were counted, and from when to when."""

    lines: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def add(self, lines: int, first: datetime | None, last: datetime | None) -> None:
        """Count lines."""
        self.lines += lines
        self.first = min(filter(None, (self.first, first)), default=None)
        self.last = max(filter(None, (self.last, last)), default=None)


@dataclass(slots=True)
class Analysis:
    """All that was counted."""

    counts: dict[str, LogCount] = field(default_factory=lambda: {log: LogCount() for log in LOGS})
    tallies: Tallies = field(default_factory=Tallies)
    problems: Problems = field(default_factory=Counter)
    files: int = 0
    bytes_read: int = 0
    duplicates: Sequence[str] = ()

    def feed(self, name: str, log: str, lines: Sequence[bytes], selection: Selection) -> None:
        """Count lines of one file of one log."""
        records = decode_lines(log, lines, lambda kind, number: self.note(name, kind, number))
        records = selection.pick(log, records)
        if records:
            moments = sorted([record.ts for record in records])  # nearly in order: quicker than looking twice
            self.counts[log].add(len(records), moments[0], moments[-1])
            self.tallies.of(log).feed(records)

    def note(self, name: str, kind: str, number: int = 1) -> None:
        """Count a problem of a file."""
        if (name, kind) not in self.problems and len(self.problems) >= MOST_PROBLEMS:
            name = OTHER
        self.problems[name, kind] += number
        if kind in OF_FILES and name != OTHER:
            self.problems[name, kind] = 1

    def merge(self, other: Analysis) -> None:
        """Add what another has counted."""
        for log, counted in other.counts.items():
            self.counts[log].add(counted.lines, counted.first, counted.last)
            self.tallies.of(log).merge(other.tallies.of(log))
        for (name, kind), number in other.problems.items():
            self.note(name, kind, number)
        self.bytes_read += other.bytes_read


def analyse(path: Path, selection: Selection) -> Analysis:
    """Read and count every log file of a folder. Raises FolderError, AnalysisError."""
    for _ in range(TRIES):
        with Folder(path) as folder:
            whole = _analyse(folder, selection)
            if not folder.was_cut():
                return whole
    raise AnalysisError("The logs are being cut again and again meanwhile: run it again later.")


def _analyse(folder: Folder, selection: Selection) -> Analysis:
    planned = plan(folder.sources)
    whole = _count_all(planned.stretches, selection)
    whole.files = len(folder.sources)
    whole.duplicates = planned.duplicates
    for (name, kind), number in folder.problems.items():
        whole.note(name, kind, number)
    return whole


def _count_all(stretches: Sequence[Stretch], selection: Selection) -> Analysis:
    size = sum(stretch.end - stretch.start for stretch in stretches)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = min(cores, len(stretches), 1 + size // WORTH_A_PROCESS_BYTES)
    if processes > 1:
        return _count_side_by_side(stretches, selection, processes)
    return _count(stretches, selection)


def _count(stretches: Sequence[Stretch], selection: Selection) -> Analysis:
    whole = Analysis()
    for stretch in stretches:
        count_stretch(stretch, selection, whole)
    return whole


def count_stretch(stretch: Stretch, selection: Selection, part: Analysis) -> None:
    """Count what one stretch of a file holds, in addition to what was counted before."""
    part.tallies.progress.begin_part()
    for log, name, stream in each_log(stretch, lambda kind, number: part.note(stretch.source.name, kind)):
        for lines, size in blocks(stream, lambda kind, number: part.note(name, kind, number)):  # noqa: B023
            part.feed(name, log, lines, selection)
            part.bytes_read += size


# --- on several cores --------------------------------------------------------------------------------


def _count_side_by_side(stretches: Sequence[Stretch], selection: Selection, processes: int) -> Analysis:
    """Count in this process and in copies of it, each taking the next stretch when it is done with one."""
    context = multiprocessing.get_context("fork")
    following = context.Value("q", 0)
    gc.freeze()  # what is there is not looked through by the copies, and stays shared
    workers = []
    for _ in range(processes - 1):
        receiver, sender = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(stretches, selection, following, sender), daemon=True)
        worker.start()
        sender.close()
        workers.append((worker, receiver))
    whole = _take_turns(stretches, selection, following)
    for worker, receiver in workers:
        try:
            whole.merge(receiver.recv())
        except EOFError:
            raise AnalysisError("A process of the analysis was ended from outside: run it again.") from None
        worker.join()
    gc.unfreeze()
    return whole


def _work(stretches: Sequence[Stretch], selection: Selection, following: Any, sender: Connection) -> None:
    with suppress(KeyboardInterrupt):  # the first process hears of it, too, and ends both
        sender.send(_take_turns(stretches, selection, following))


def _take_turns(stretches: Sequence[Stretch], selection: Selection, following: Any) -> Analysis:
    whole = Analysis()
    while True:
        with following.get_lock():
            turn = following.value
            following.value += 1
        if turn >= len(stretches):
            return whole
        count_stretch(stretches[turn], selection, whole)
