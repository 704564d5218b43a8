"""Live figures: what is there, counted, and what comes in addition, until Ctrl-C."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from logmonitor.analysis.engine import Analysis, count_stretch
from logmonitor.analysis.plan import Plan, plan
from logmonitor.analysis.report import report
from logmonitor.analysis.selection import Selection
from logmonitor.analysis.sources import Folder, Identity, Source, Stretch, whole_lines_end
from logmonitor.analysis.tables import live_group, live_line, sections

PERIOD_SECONDS = 1.0

Show = Callable[[Mapping[str, Any]], None]


@dataclass(slots=True)
class Counted:
    """What was counted of one file, and how far it was read."""

    analysis: Analysis = field(default_factory=Analysis)
    end: int = 0


@dataclass(slots=True)
class Follower:
    """Counts a folder again and again, each file's lines once.

    Figures are kept per file, known by what it is on disk, and added up anew: a file that was renamed counts
    on, one that was compressed or archived is the same lines elsewhere, and one that was cut is read again.
    """

    path: Path
    selection: Selection
    _counted: dict[Identity, Counted] = field(default_factory=dict)
    _sizes: dict[Identity, int] = field(default_factory=dict)
    _plan: Plan | None = None

    def look(self) -> Analysis | None:
        """Return the figures; None when nothing changed since the last look. Raises FolderError."""
        with Folder(self.path) as folder:
            sizes = {source.identity: source.size for source in folder.sources}
            if sizes == self._sizes and self._plan:
                return None
            planned = self._planned(folder.sources, sizes)
            whole = Analysis(files=len(sizes), duplicates=planned.duplicates)
            for name, kind in folder.problems:
                whole.note(name, kind)
            for stretch in {stretch.source.identity: stretch for stretch in planned.stretches}.values():
                whole.merge(self._count(replace(stretch, end=sizes[stretch.source.identity])))
            if not folder.was_cut():
                self._sizes = sizes
            return whole

    def _planned(self, sources: list[Source], sizes: Mapping[Identity, int]) -> Plan:
        """Compare the files only when there are others than before: growing ones stay what they are."""
        shrunk = any(sizes.get(identity, 0) < counted.end for identity, counted in self._counted.items())
        if self._plan is None or shrunk or sizes.keys() != self._sizes.keys():
            self._plan = plan(sources)
            self._counted = {key: value for key, value in self._counted.items() if key in sizes}
        known = {source.identity: source for source in sources}
        stretches = [
            replace(stretch, source=known[stretch.source.identity]) for stretch in self._plan.stretches
        ]
        return replace(self._plan, stretches=stretches)

    def _count(self, stretch: Stretch) -> Analysis:
        """Return what is in a file: what was counted before, and what is new."""
        source = stretch.source
        counted = self._counted.setdefault(source.identity, Counted())
        if source.size < counted.end or (source.whole and source.size != counted.end):
            counted = self._counted[source.identity] = Counted()
        end = source.size if source.whole else whole_lines_end(source, counted.end)
        if end > counted.end:
            start = 0 if source.whole else counted.end
            count_stretch(replace(stretch, start=start, end=end), self.selection, counted.analysis)
            counted.end = end
        return counted.analysis


def follow(path: Path, selection: Selection, top: int, shape: str, stdout: IO[str]) -> None:
    """Show figures each time they changed: on a terminal in place, else a line each; until Ctrl-C."""
    follower = Follower(path, selection)
    with suppressed_interrupt(), _SHAPES[shape](stdout) as show:
        while True:
            if found := follower.look():
                show(report(found, str(path), selection, top, datetime.now(UTC)))
            time.sleep(PERIOD_SECONDS)


@contextmanager
def suppressed_interrupt() -> Iterator[None]:
    """End at Ctrl-C without more: it is how following ends."""
    try:
        yield
    except KeyboardInterrupt:
        return


@contextmanager
def _as_json(stdout: IO[str]) -> Iterator[Show]:
    def show(found: Mapping[str, Any]) -> None:
        stdout.write(json.dumps(found, allow_nan=False) + "\n")
        stdout.flush()

    yield show


@contextmanager
def _as_lines(stdout: IO[str]) -> Iterator[Show]:
    def show(found: Mapping[str, Any]) -> None:
        stdout.write(live_line(found) + "\n")
        stdout.flush()

    yield show


@contextmanager
def _in_place(stdout: IO[str]) -> Iterator[Show]:
    # Loading rich takes time that only a terminal needs.
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    with Live(console=Console(file=stdout), auto_refresh=False, screen=False) as live:
        yield lambda found: live.update(live_group(sections(found)), refresh=True)


_SHAPES = {"json": _as_json, "lines": _as_lines, "terminal": _in_place}
