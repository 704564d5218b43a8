"""Follows sources until told to stop, or until nothing is left to read: behind the command and the task."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone

from logmonitor.models import LogSource
from logmonitor.transfers import lease
from logmonitor.transfers.tailer import Counts, Tailer
from syncmetrics.process import ThisProcess, host_name

TURN_SECONDS = 2.0
"""One source is read for so long before the others have their turn."""

LOOK_SECONDS = 5.0
"""So often settings are read again, and a source that somebody else follows is tried again."""

RENEW_SECONDS = 10.0

ELSEWHERE = timedelta(minutes=10)
"""A host without the folder says nothing of a source that another host has looked at since."""


class UnknownSource(ValueError):
    """There is no such source, and no such folder; the message says what to do."""


@dataclass(slots=True)
class Summary:
    """What was done, over all sources; `idle` names those that another process or host follows, and which."""

    counts: Counts = field(default_factory=Counts)
    sources: set[str] = field(default_factory=set)
    idle: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "sources": sorted(self.sources),
            "lines": self.counts.lines,
            "rows": self.counts.rows,
            "bad_lines": self.counts.bad_lines,
            "gaps": self.counts.gaps,
            "bytes": self.counts.bytes,
            "duration_seconds": round(self.seconds, 3),
            "idle": self.idle,
            "errors": self.errors,
        }


@dataclass(slots=True)
class Watch:
    """Follows sources. `chosen` gives those to follow, anew each time; `stopping` ends it between batches.

    `say` is called with sentences, `progress` with the bytes read and those that are left.
    """

    chosen: Callable[[], Mapping[int, LogSource]]
    stopping: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda text: None
    progress: Callable[[int, int], None] = lambda done, left: None
    summary: Summary = field(default_factory=Summary)
    _me: ThisProcess = field(default_factory=ThisProcess)
    _tailers: dict[int, Tailer] = field(default_factory=dict)
    _due: dict[int, float] = field(default_factory=dict)
    _renewed: dict[int, float] = field(default_factory=dict)

    def follow(self) -> Summary:
        """Follow until told to stop."""
        return self._run(self._follow)

    def drain(self, seconds: float = float("inf")) -> Summary:
        """Read until nothing is left, or for about so many seconds."""
        return self._run(lambda: self._drain(time.monotonic() + seconds))

    def _run(self, work: Callable[[], None]) -> Summary:
        started = time.monotonic()
        try:
            work()
        finally:
            self.summary.seconds = time.monotonic() - started
            for key in list(self._tailers):
                self._leave(key)
        return self.summary

    def _drain(self, deadline: float) -> None:
        sources = self.chosen()
        waiting = {key for key, source in sources.items() if self._enter(source)}
        while waiting and not self.stopping() and time.monotonic() < deadline:
            waiting = {key for key in waiting if self._turn(key)}

    def _follow(self) -> None:
        looked = float("-inf")
        while not self.stopping():
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                self._choose()
            for key, tailer in list(self._tailers.items()):
                if self._due.get(key, 0.0) <= time.monotonic() and not self.stopping():
                    began = time.monotonic()
                    more = self._turn(key)
                    self._due[key] = began + (0 if more else tailer.source.poll_seconds)
            self._pause(looked + LOOK_SECONDS)

    def _pause(self, latest: float) -> None:
        """Sleep until the next look is due, in short steps: a signal only sets a flag."""
        wake = min([latest, *(self._due.get(key, 0.0) for key in self._tailers)])
        while (left := wake - time.monotonic()) > 0 and not self.stopping():
            time.sleep(min(left, 0.2))

    def _choose(self) -> None:
        """Begin with sources that are new or free, leave those that are gone or set otherwise."""
        sources = self.chosen()
        for key, tailer in list(self._tailers.items()):
            if key not in sources or _settings(sources[key]) != _settings(tailer.source):
                self._leave(key)
        for source in sources.values():
            if source.pk not in self._tailers:
                self._enter(source)

    def _enter(self, source: LogSource) -> bool:
        """Begin to follow a source; False while another process does, or another host has its folder."""
        if self._is_elsewhere(source):
            self._stand_by(source, f"{host_name(source.lease_host)}, which has its folder")
            return False
        if not lease.take(source.pk, self._me):
            source.refresh_from_db()
            self._stand_by(source, lease.holder(source) or "another process")
            return False
        self.summary.idle.pop(source.name, None)
        self.summary.sources.add(source.name)
        self._renewed[source.pk] = time.monotonic()
        self._tailers[source.pk] = Tailer(source, self.stopping, self._progressed, self.summary.counts)
        return True

    def _is_elsewhere(self, source: LogSource) -> bool:
        """Tell whether another host has looked at a folder lately that this one does not have."""
        looked, host = source.last_polled_at, source.lease_host
        lately = looked is not None and timezone.now() - looked < ELSEWHERE
        return lately and bool(host) and host != self._me.host and not os.path.isdir(source.folder)

    def _stand_by(self, source: LogSource, other: str) -> None:
        if self.summary.idle.get(source.name) != other:
            self.say(f"{source} is followed by {other}: nothing to do for this one.")
        self.summary.idle[source.name] = other

    def _turn(self, key: int) -> bool:
        """Read of one source for a while; return whether there is more at once."""
        tailer = self._tailers.get(key)
        if tailer is None or not self._renew(key):
            return False
        more = tailer.poll(TURN_SECONDS)
        self._note(tailer.source)
        return more

    def _renew(self, key: int) -> bool:
        if time.monotonic() - self._renewed[key] < RENEW_SECONDS:
            return True
        if lease.take(key, self._me):
            self._renewed[key] = time.monotonic()
            return True
        self._leave(key)
        return False

    def _note(self, source: LogSource) -> None:
        if source.error and self.summary.errors.get(source.name) != source.error:
            self.say(f"{source}: {source.error}")
        if source.error:
            self.summary.errors[source.name] = source.error
        else:
            self.summary.errors.pop(source.name, None)

    def _leave(self, key: int) -> None:
        self._tailers.pop(key).close()
        lease.give_back(key, self._me)

    def _progressed(self, done: int, left: int) -> None:
        self.progress(done, left)


def _settings(source: LogSource) -> tuple[Any, ...]:
    return source.folder, source.live_name, source.time_zone, source.poll_seconds


def enabled() -> dict[int, LogSource]:
    """Return the sources that are switched on."""
    return {source.pk: source for source in LogSource.objects.filter(enabled=True).order_by("name")}


def only(key: int) -> Callable[[], dict[int, LogSource]]:
    """Return what gives one source, as long as it is there."""
    return lambda: {source.pk: source for source in LogSource.objects.filter(pk=key)}


def find_or_make(text: str, time_zone: str | None = None) -> LogSource:
    """Return the source of this name or folder; a folder nobody knows becomes one, of this time zone.

    Raises `UnknownSource` for what is neither, and for another time zone than a known one has.
    """
    if not text.strip() or not text.isprintable():
        raise UnknownSource(
            f"{text!a} names no source. Give a name that the console lists under Transfer logs, or a folder"
            " whose name is text in one line; rename it, or link to it, where it is not."
        )
    folder = os.path.abspath(os.path.expanduser(text))
    known = LogSource.objects.filter(name=text).first() or LogSource.objects.filter(folder=folder).first()
    if known is not None:
        if time_zone not in (None, known.time_zone):
            raise UnknownSource(
                f"{known} has the time zone {known.time_zone}, not {time_zone}. Change it in the console,"
                " under Transfer logs, or leave --time-zone out."
            )
        return known
    if os.path.isfile(folder):
        raise UnknownSource(
            f"{folder} is a file. Give the folder it is in: files that SFTPGo rotates away stand there too."
        )
    if not os.path.isdir(folder):
        raise UnknownSource(
            f"There is no source {text!r}, and no folder of that name. Give the folder that SFTPGo writes"
            " its log into, or a name that the console lists under Transfer logs."
        )
    source = LogSource(name=_free_name(Path(folder)), folder=folder, time_zone=time_zone or "UTC")
    try:
        source.full_clean()
    except ValidationError as refused:
        raise UnknownSource(f"{folder} cannot be a source: {' '.join(refused.messages)}") from None
    source.save()
    return source


def _free_name(folder: Path) -> str:
    base = (folder.name or "logs")[:90]
    taken = set(LogSource.objects.values_list("name", flat=True))
    names = [base, *(f"{base} {number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)
