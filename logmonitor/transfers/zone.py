"""When a line was written: its local time as an instant; one that comes twice, by the order of lines."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from logmonitor.models import LogLine

# Milliseconds stand after a dot; versions before 0.9.4 wrote one between minute and second too.
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[:.](\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_HOUR = re.compile(r"\d{4}-\d\d-\d\dT\d\d", re.ASCII)
_REST = re.compile(r":[0-5]\d\.\d{3}", re.ASCII)
_MINUTES = frozenset(f":{minute:02}" for minute in range(60))
_STEP_BACK = timedelta(minutes=30)


class UnknownTime(ValueError):
    """A line says no time, or one that there is not."""


class Clock:
    """Turns the stamps of one log, in their order, into instants.

    `minutes` and `rests` hold the parts of stamps as they stand in an instant, and the local day: where
    both have it, a stamp is `minutes[stamp[:16]][0] + rests[stamp[16:]]`. `minute` and `rest` fill them;
    what they return nothing for is for `instant`. `fold` says which of the two equal hours of autumn the
    log is in.
    """

    MOST_MINUTES = 20_000

    def __init__(self, zone: str, stamp: str = "", fold: int = 0) -> None:
        self._zone = ZoneInfo(zone)
        self._hours: dict[str, str] = {}
        self.minutes: dict[str, tuple[str, str] | None] = {}
        self.rests: dict[str, str] = {}
        self.go_back(stamp, fold)

    def go_back(self, stamp: str, fold: int) -> None:
        """Stand where the log was after a line of this stamp."""
        self.fold = fold
        self._last = self._read(stamp) if stamp else None

    def minute(self, stamp: str) -> tuple[str, str] | None:
        """Return `2026-11-22 08:15` in UTC of a plain local minute, and its day; None of an odd one."""
        minute = stamp[13:16]
        if minute not in _MINUTES:
            return None
        if len(self.minutes) >= self.MOST_MINUTES:
            self.minutes.clear()
        hour = self._hours.get(stamp[:13])
        if hour is None:
            hour = self._hours[stamp[:13]] = self._hour(stamp[:13])
        found = (hour + minute, sys.intern(stamp[:10])) if hour else None
        self.minutes[stamp[:16]] = found
        return found

    def _hour(self, hour: str) -> str:
        """Return a local hour in UTC; nothing where clocks change, or by parts of an hour."""
        if not _HOUR.fullmatch(hour):
            return ""
        try:
            first = datetime.fromisoformat(f"{hour}:00")
            offsets = {
                moment.replace(fold=fold, tzinfo=self._zone).utcoffset()
                for moment in (first, first + timedelta(minutes=59, seconds=59))
                for fold in (0, 1)
            }
            utc = first.replace(tzinfo=self._zone).astimezone(UTC)
        except (OverflowError, ValueError):
            return ""
        if len(offsets) > 1 or utc.minute or utc.second or utc.year < 1000:
            return ""
        return f"{utc:%Y-%m-%d %H}"

    def rest(self, stamp: str) -> str:
        """Return `:30.123000` of the seconds of a stamp; nothing where they are odd."""
        rest = stamp[16:]
        if not _REST.fullmatch(rest):
            return ""
        found = self.rests[rest] = rest + "000"
        return found

    def instant(self, stamp: str) -> tuple[str, str, int]:
        """Return an instant in UTC as databases spell it, the local day, and flags; raises `UnknownTime`."""
        parts = _STAMP.fullmatch(stamp)
        if parts is None:
            raise UnknownTime("it says no time" if not stamp else "its time is not as SFTPGo writes it")
        day, minute, second, fraction, offset = parts.groups()
        if offset:
            return self._with_offset(stamp)
        micros = f"{fraction or '':0<6}"[:6]
        local = _local(f"{day}T{minute}:{second}.{micros}")
        flag = self._settle(local)
        utc = self._utc(local.replace(fold=self.fold if flag == LogLine.Flag.AMBIGUOUS else 0))
        whole = utc.isoformat(" ")[:16]
        return f"{whole}:{second}.{micros}", day, flag

    def _settle(self, local: datetime) -> int:
        """Return what is odd about a local time; for one that comes twice, say in `fold` which it is."""
        first, second = (local.replace(fold=fold, tzinfo=self._zone).utcoffset() for fold in (0, 1))
        if first == second:
            return 0
        if first is None or second is None or first < second:
            return LogLine.Flag.NONEXISTENT
        if self._last is None or not _same_night(self._last, local):
            self.fold = 0
        elif self._last - local > _STEP_BACK:
            self.fold = 1
        self._last = local
        return LogLine.Flag.AMBIGUOUS

    def _utc(self, local: datetime) -> datetime:
        try:
            return local.replace(tzinfo=self._zone).astimezone(UTC)
        except (OverflowError, ValueError):
            raise UnknownTime("its time is out of range") from None

    def _with_offset(self, stamp: str) -> tuple[str, str, int]:
        try:
            found = datetime.fromisoformat(stamp)
            utc, local = found.astimezone(UTC), found.astimezone(self._zone)
        except (OverflowError, ValueError):
            raise UnknownTime("its time is out of range") from None
        return f"{utc.replace(tzinfo=None).isoformat(' ', 'microseconds')}", str(local.date()), 0

    def _read(self, stamp: str) -> datetime | None:
        try:
            return _local(stamp.replace("Z", ""))
        except UnknownTime:
            return None


def _local(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        raise UnknownTime("its time is out of range") from None


def _same_night(one: datetime, other: datetime) -> bool:
    return abs(one - other) < timedelta(hours=6)
