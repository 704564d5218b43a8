"""How two runs of one file differ: findings that are new, gone or the same, and the lines of their logs."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import islice
from typing import NamedTuple

from parselogs.errors import LogUnavailable
from parselogs.excerpts import lines_of
from parselogs.logs import open_findings
from parselogs.models import ParseFileMeta

FINDINGS_COMPARED = 200_000
"""Of each run: what a page can hold in memory. Where there are more, only the kept ones are compared."""

EXAMPLES = 50
"""Of the new and of the gone findings of one code."""

LINES_READ = 200_000
LINES_COMPARED = 1_500
"""Of each log, after what both begin and end with is set aside: comparing takes the square of it."""

CHANGES_SHOWN = 500
CONTEXT = 2
CHARACTERS = 1_000

NEW, GONE, SAME = "new", "gone", "same"


class Spot(NamedTuple):
    """What makes two findings the same one."""

    code: str
    file: str
    row: str
    column: str


@dataclass(slots=True)
class CodeDifference:
    """The findings of one code: how many are new, gone and the same, and the first of the new and gone."""

    code: str
    new: int = 0
    gone: int = 0
    same: int = 0
    examples: list[tuple[str, Spot]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FindingsDifference:
    """The differences by code; `whole` says whether all findings of both runs were compared."""

    codes: list[CodeDifference]
    whole: bool

    def total(self, what: str) -> int:
        """Return how many are `new`, `gone` or the `same`."""
        return sum(getattr(one, what) for one in self.codes)


def findings_difference(before: ParseFileMeta, after: ParseFileMeta) -> FindingsDifference:
    """Compare what two runs found: all of it from their lists in storage, or what the tables keep of it."""
    try:
        old, new = _all_spots(before), _all_spots(after)
    except _NotAll:
        codes = compare_findings(_kept_spots(before), _kept_spots(after))
        return FindingsDifference(codes, whole=_is_all_kept(before) and _is_all_kept(after))
    return FindingsDifference(compare_findings(old, new), whole=True)


class _NotAll(Exception):
    """Not all findings can be had, or they are too many."""


def _all_spots(run: ParseFileMeta) -> list[Spot]:
    found = _found(run)
    if not found:
        return []
    if found > FINDINGS_COMPARED:
        raise _NotAll
    try:
        with open_findings(run) as stored:
            rows = csv.DictReader(io.TextIOWrapper(stored, encoding="utf-8", newline=""))
            spots = [Spot(row["code"], row["file"], row["row"], row["column"]) for row in rows]
    except LogUnavailable:
        raise _NotAll from None
    if len(spots) != found:
        raise _NotAll
    return spots


def _found(run: ParseFileMeta) -> int:
    return sum(run.finding_counts.values())


def _kept_spots(run: ParseFileMeta) -> Iterator[Spot]:
    kept = run.messages.order_by("pk").values_list("code", "file", "row", "column")
    return (Spot(code, file, str(row or ""), column) for code, file, row, column in kept.iterator())


def _is_all_kept(run: ParseFileMeta) -> bool:
    kept: int = run.messages.count()
    return kept == _found(run)


def compare_findings(before: Iterable[Spot], after: Iterable[Spot]) -> list[CodeDifference]:
    """Return the differences by code, those with differences first. Equal findings are matched one to one."""
    old, new = Counter(before), Counter(after)
    found: dict[str, CodeDifference] = {}
    for word, counted in ((NEW, new - old), (GONE, old - new), (SAME, old & new)):
        shown: Counter[str] = Counter()
        for spot, count in counted.items():
            one = found.setdefault(spot.code, CodeDifference(spot.code))
            setattr(one, word, getattr(one, word) + count)
            shown[spot.code] += 1
            if word != SAME and shown[spot.code] <= EXAMPLES:
                one.examples.append((word, spot))
    return sorted(found.values(), key=lambda one: (not (one.new or one.gone), one.code))


# --- the lines of logs ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the comparison: `new`, `gone`, the `same`, or a word on lines that are not shown."""

    word: str
    text: str


@dataclass(frozen=True, slots=True)
class LogDifference:
    """What is new and gone, with some lines around; `left_out` counts lines that were too many to compare."""

    changes: list[Change]
    new: int
    gone: int
    left_out: int


# What differs in every run and says nothing: ids, durations, processes, other moments.
_VOLATILE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z?"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\b\d+(?:\.\d+)? (?:ms|s|seconds)\b"
    r"|\b(?:attempt|[Pp]rocess|batch) \d+"
)


def log_difference(before: Iterable[bytes], after: Iterable[bytes]) -> LogDifference:
    """Compare two logs line by line, without times, ids and durations, in bounded time and memory."""
    old, new = _texts(before), _texts(after)
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    old_middle, new_middle = old[start : len(old) - end], new[start : len(new) - end]
    left_out = max(len(old_middle) - LINES_COMPARED, 0) + max(len(new_middle) - LINES_COMPARED, 0)
    changes = list(_changes(old_middle[:LINES_COMPARED], new_middle[:LINES_COMPARED]))
    return LogDifference(
        changes=changes[:CHANGES_SHOWN],
        new=sum(change.word == NEW for change in changes),
        gone=sum(change.word == GONE for change in changes),
        left_out=left_out + max(len(changes) - CHANGES_SHOWN, 0),
    )


def _texts(log: Iterable[bytes]) -> list[str]:
    lines = islice(lines_of(log), LINES_READ)
    return [_VOLATILE.sub("…", f"{line.level:<8} {line.text[:CHARACTERS]}") for line in lines]


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many lines both begin with."""
    pairs = zip(first, second, strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(first), len(second)))


def _changes(old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    # Lines that stand there again and again are not looked for one by one: hostile logs would take hours.
    matcher = SequenceMatcher(None, old, new, autojunk=True)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        for kind, old_from, old_to, new_from, new_to in group:
            if kind == "equal":
                yield from (Change(SAME, text) for text in old[old_from:old_to])
                continue
            yield from (Change(GONE, text) for text in old[old_from:old_to])
            yield from (Change(NEW, text) for text in new[new_from:new_to])
