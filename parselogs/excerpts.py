"""What of a log a page shows: the last lines, those of a level and worse, those that hold a text."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from parselogs.lines import LINE

LINES_SHOWN = 500
CHARACTERS_SHOWN = 2_000
"""Of one line; the download has it whole."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log: its number from 1, when and how grave it was, what it says."""

    number: int
    when: str
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Lines of a log in their order; `total` of the whole log, `matching` before the page was cut."""

    lines: tuple[Line, ...]
    total: int
    matching: int

    @property
    def earlier(self) -> int:
        """How many matching lines stand before these."""
        return self.matching - len(self.lines)


def excerpt(
    log: Iterable[bytes],
    *,
    level: str = "",
    search: str = "",
    after: int = 0,
    before: int | None = None,
    most: int = LINES_SHOWN,
) -> Excerpt:
    """Return the last `most` lines of a log that are of a level or worse and hold a text, ignoring case.

    Only lines with numbers above `after` and below `before` count. Reads the log once, holds `most` lines.
    """
    least = LEVELS.index(level) if level in LEVELS else 0
    wanted = search.casefold()
    kept: deque[Line] = deque(maxlen=most)
    total = matching = 0
    for line in lines_of(log):
        total = line.number
        if line.number <= after or (before is not None and line.number >= before):
            continue
        if LEVELS.index(line.level) >= least and wanted in line.text.casefold():
            matching += 1
            kept.append(line)
    return Excerpt(tuple(map(_cut, kept)), total, matching)


def lines_of(log: Iterable[bytes]) -> Iterator[Line]:
    """Yield every line; one without time and level, as of a traceback, is of its predecessor's level."""
    level = LEVELS[1]
    for number, raw in enumerate(log, start=1):
        text = raw.decode(errors="replace").rstrip("\r\n")
        match = LINE.fullmatch(text)
        if match and match["level"] in LEVELS:
            level = match["level"]
            yield Line(number, match["time"], level, match["message"])
        else:
            yield Line(number, "", level, text)


def _cut(line: Line) -> Line:
    more = len(line.text) - CHARACTERS_SHOWN
    if more <= 0:
        return line
    text = f"{line.text[:CHARACTERS_SHOWN]} … and {more:,} more characters"
    return Line(line.number, line.when, line.level, text)
