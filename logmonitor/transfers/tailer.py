"""Follows one source: finds its files, knows them by content, stores what is new, sees what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from logmonitor.models import Gap, LogSource, Segment
from logmonitor.transfers.decoder import LineDecoder
from logmonitor.transfers.files import (
    ANCHOR_BYTES,
    HEAD_BYTES,
    Found,
    Packed,
    Plain,
    Scan,
    Unfinished,
    digest,
    found_from,
    head_length,
    heads,
    packed_head,
    packed_mark,
    scan,
    zeros_before,
)
from logmonitor.transfers.lines import LONGEST_RAW, Bad, Flag, mask_raw
from logmonitor.transfers.store import Moved, Reached, skip, store
from logmonitor.transfers.zone import Clock

BATCH_BYTES = 8 << 20
"""Stored in one transaction. Days and months are brought up to date once in each."""

GRACE_SECONDS = 5.0
"""A file whose name has changed may still be written for a moment; so long it must stand still."""

_Open = Plain | Packed


class Changed(Exception):
    """A file is not what it was when it was opened: somebody emptied or replaced it."""


@dataclass(slots=True)
class Counts:
    """What was done: lines are the rows stored and the bad lines."""

    rows: int = 0
    bad_lines: int = 0
    gaps: int = 0
    bytes: int = 0

    @property
    def lines(self) -> int:
        """How many lines were read."""
        return self.rows + self.bad_lines

    def add(self, other: Counts) -> None:
        """Add what was done elsewhere."""
        self.rows += other.rows
        self.bad_lines += other.bad_lines
        self.gaps += other.gaps
        self.bytes += other.bytes


@dataclass(slots=True)
class _Held:
    """A live file held open, so that its end can be read when its name goes."""

    content: Plain
    file: Found
    segment: int


@dataclass(slots=True)
class Tailer:
    """Follows the logs of one source. All it must remember is in the database; the rest saves work."""

    source: LogSource
    stopping: Callable[[], bool] = lambda: False
    progress: Callable[[int, int], None] = lambda done, left: None
    counts: Counts = field(default_factory=Counts)
    _read_to_end: dict[str, Found] = field(default_factory=dict)
    _owners: dict[str, int] = field(default_factory=dict)
    _held: dict[str, _Held] = field(default_factory=dict)
    _detached: list[_Held] = field(default_factory=list)
    _looked_at: dict[str, tuple[int, int]] = field(default_factory=dict)
    _unfinished: dict[str, Found] = field(default_factory=dict)
    _clock: Clock = field(init=False)
    _line_ends: dict[int, int] = field(default_factory=dict)
    _problems: list[str] = field(default_factory=list)
    _live_line_at: datetime | None = None
    _lag: float | None = None
    _left: int = 0
    _told_at: float = -1e9
    _told: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self._clock = Clock(self.source.time_zone)
        self._live_line_at = self.source.last_line_at

    def poll(self, seconds: float = 3600.0) -> bool:
        """Store what is new, for about so many seconds; return whether there is more to read at once."""
        deadline = time.monotonic() + seconds
        self._problems = []
        try:
            found = scan(Path(self.source.folder), self.source.live_name)
        except OSError as error:
            self._tell(
                f"The folder {self.source.folder} cannot be read: {_words(error)}. Is it mounted, and may"
                " the account that runs Easel read it? Nothing is lost by waiting."
            )
            return False
        self._problems += found.problems
        self._left = sum(file.size for file in found.files if self._read_to_end.get(file.name) != file)
        more = self._read_all(found, deadline)
        if not more:
            self._left = 0
            self._find_gaps(found)
        self._tell(_sentence(self._problems))
        return more

    def close(self) -> None:
        """Let go of all files."""
        for held in [*self._held.values(), *self._detached]:
            held.content.close()
        self._held.clear()
        self._detached.clear()

    # --- reading ------------------------------------------------------------------------------

    def _read_all(self, found: Scan, deadline: float) -> bool:
        """Read every file that has changed, the oldest first; return whether time ran out before."""
        self._detach(found)
        for held in list(self._detached):
            self._drain_detached(held, found)
        for file in found.files:
            if self._read_to_end.get(file.name) == file:
                continue
            if self.stopping() or time.monotonic() > deadline:
                return not self.stopping()
            if not self._try_to_read(file, deadline):
                return not self.stopping()
        return False

    def _try_to_read(self, file: Found, deadline: float) -> bool:
        """Read a file to its end; return False when time ran out. What cannot be read is a problem told."""
        try:
            return self._read(file, deadline)
        except FileNotFoundError:
            pass  # rotated since it was seen: the next look finds it by its new name
        except Unfinished as error:
            self._unfinished[file.name] = file
            self._problems.append(str(error))
        except OSError as error:
            self._problems.append(f"{file.name}: {_words(error)}")
        except (Changed, Moved):
            self._forget(file.name)
        return True

    def _read(self, file: Found, deadline: float) -> bool:
        if self._unfinished.get(file.name) == file:
            raise Unfinished(f"{file.name} is not a whole gzip file")
        if file.packed and self._is_known_packed(file):
            self._read_to_end[file.name] = file
            return True
        content, file = self._open(file)
        try:
            segment = self._segment_of(content, file)
            if segment is not None:
                self._left = max(0, self._left - segment.offset)
            at_end = segment is None or self._read_on(content, file, segment, deadline)
            is_done = at_end and (segment is None or file.live or self._end(content, file, segment))
            if is_done:
                self._read_to_end[file.name] = file
            self._looked_at[file.name] = (file.device, file.inode)
        except BaseException:
            if file.name not in self._held:
                content.close()
            raise
        if file.live and segment is not None and isinstance(content, Plain):
            self._held[file.name] = _Held(content, file, segment.pk)
        else:
            self._held.pop(file.name, None)
            content.close()
        return at_end

    def _open(self, file: Found) -> tuple[_Open, Found]:
        """Open a file, or take it as it is held, and look at it anew; raises OSError and `Unfinished`."""
        if file.packed:
            return Packed(file.path), file
        held = self._held.get(file.name)
        content = held.content if held else Plain(file.path)
        return content, found_from(file.path, file.name, file.live, content.refresh())

    def _read_on(self, content: _Open, file: Found, segment: Segment, deadline: float) -> bool:
        """Store what a file has beyond the segment's offset; return whether its end was reached."""
        decoder = LineDecoder(self.source.pk, segment.pk, self._clock)
        decoder.state = (segment.last_stamp, segment.fold)
        while not self.stopping():
            data, is_end = self._next(content, segment)
            if data.endswith(b"\n"):
                self._store(content, file, segment, decoder, data)
                if is_end:  # what came meanwhile is for the next look: else each line has its transaction
                    return True
            elif is_end or not self._pass_over(content, file, segment, data):
                return True
            if time.monotonic() > deadline:
                return False
        return False

    def _next(self, content: _Open, segment: Segment) -> tuple[bytes, bool]:
        """Return the whole lines that follow, or bytes that are none yet, and whether the file ends there.

        Raises `Changed` when those before are others than they were.
        """
        start = segment.offset - segment.anchor_len
        data = content.read(start, segment.anchor_len + BATCH_BYTES)
        if digest(data[: segment.anchor_len]) != segment.anchor and segment.anchor_len:
            raise Changed
        end = data.rfind(b"\n", segment.anchor_len) + 1
        is_end = len(data) < segment.anchor_len + BATCH_BYTES
        return data[segment.anchor_len : end or len(data)], is_end

    def _store(
        self, content: _Open, file: Found, segment: Segment, decoder: LineDecoder, data: bytes, flags: int = 0
    ) -> None:
        stored = store(segment, decoder, data, self._reached(content, file, segment, len(data)), flags)
        self._count(stored.rows, len(stored.bad), len(data))
        if stored.rows:
            last = segment.last_at or timezone.now()
            if self._live_line_at is None or last > self._live_line_at:
                self._live_line_at = last
            self._lag = (timezone.now() - last).total_seconds() if file.live else self._lag
        self._tell_now_and_then()

    def _count(self, rows: int, bad: int, size: int) -> None:
        self.counts.add(Counts(rows=rows, bad_lines=bad, bytes=size))
        self._left = max(0, self._left - size)
        self.progress(self.counts.bytes, self._left)

    def _reached(self, content: _Open, file: Found, segment: Segment, length: int) -> Reached:
        """Return where a segment stands so many bytes on: hashes of its head and before its offset."""
        offset = segment.offset + length
        head_len, head = segment.head_len, bytes(segment.head)
        if head_len < HEAD_BYTES:
            head_len = head_length(offset - segment.head_start)
            head = digest(content.read(segment.head_start, head_len))
        anchor_len = min(ANCHOR_BYTES, offset)
        anchor = content.read(offset - anchor_len, anchor_len)
        if len(anchor) < anchor_len:
            raise Changed
        return Reached(offset, head_len, head, digest(anchor), anchor_len, content.size, file.name)

    def _pass_over(self, content: _Open, file: Found, segment: Segment, data: bytes) -> bool:
        """Move over a run of zeros, or a line that is too long for memory; False when that has no end yet."""
        if not (rest := data.lstrip(b"\0")) or len(rest) < len(data) // 2:
            zeros = len(data) - len(rest)
            zeros = max(zeros, content.skip_hole(segment.offset + zeros) - segment.offset if not rest else 0)
            skip(segment, self._reached(content, file, segment, zeros), hole_bytes=zeros)
            self._count(0, 0, zeros)
            return True
        end = self._line_end(content, segment, len(data))
        if not end:
            return False
        bad = Bad(
            segment.offset, end - 1, mask_raw(data[: 2 * LONGEST_RAW])[:LONGEST_RAW], "the line is too long"
        )
        skip(segment, self._reached(content, file, segment, end), bad=bad)
        self._count(0, 1, end)
        return True

    def _line_end(self, content: _Open, segment: Segment, known: int) -> int:
        """Return how long a very long line is, with its end; 0 when that is not written yet."""
        place = max(segment.offset + known, self._line_ends.get(segment.pk, 0))
        while block := content.read(place, BATCH_BYTES):
            if (found := block.find(b"\n")) >= 0:
                self._line_ends.pop(segment.pk, None)
                return place + found + 1 - segment.offset
            place += len(block)
        self._line_ends[segment.pk] = place
        return 0

    # --- which content a file has -------------------------------------------------------------

    def _segment_of(self, content: _Open, file: Found) -> Segment | None:
        """Return the segment that a file is, a new one if need be; None when it has no whole line yet."""
        if (segment := self._remembered(content, file)) is not None:
            return segment
        start = zeros_before(content)
        first = content.read(start, HEAD_BYTES)
        segment = self._lookup(content, file, start, first)
        if segment is None and not self._is_part_of(content, start, first):
            segment = self._create(content, file, start, first)
        if segment is not None:
            self._owners[file.name] = segment.pk
        return segment

    def _remembered(self, content: _Open, file: Found) -> Segment | None:
        segment = Segment.objects.filter(pk=self._owners.get(file.name, 0)).first()
        if segment is None or not self._is(content, segment):
            return None
        head = content.read(segment.head_start, segment.head_len)
        return self._found_again(segment, file) if digest(head) == bytes(segment.head) else None

    def _lookup(self, content: _Open, file: Found, start: int, first: bytes) -> Segment | None:
        """Return the segment whose first bytes, and bytes before its offset, a file has."""
        for segment in self._with_head(start, first):
            if self._is(content, segment):
                return self._found_again(segment, file)
        return None

    def _with_head(self, start: int, first: bytes) -> list[Segment]:
        known = heads(first)
        same = Segment.objects.filter(source=self.source, head__in=list(known), head_start=start)
        return [one for one in same.order_by("-offset") if known.get(bytes(one.head)) == one.head_len]

    def _is(self, content: _Open, segment: Segment) -> bool:
        if content.size < segment.offset:
            return False
        anchor = content.read(segment.offset - segment.anchor_len, segment.anchor_len)
        return not segment.anchor_len or digest(anchor) == bytes(segment.anchor)

    def _found_again(self, segment: Segment, file: Found) -> Segment:
        """Follow a segment again that was thought to be gone, or at its end."""
        if segment.state == Segment.State.LOST or (file.live and segment.state == Segment.State.ENDED):
            with transaction.atomic():
                Segment.objects.filter(pk=segment.pk).update(state=Segment.State.FOLLOWED)
                Gap.objects.filter(segment=segment).update(closed_at=timezone.now())
            segment.state = Segment.State.FOLLOWED
        return segment

    def _is_part_of(self, content: _Open, start: int, first: bytes) -> bool:
        """Tell whether a file holds the beginning of another that is there too: a copy being made."""
        for segment in self._with_head(start, first):
            if segment.offset > content.size:
                try:
                    whole = Plain(Path(self.source.folder) / segment.path)
                except OSError:
                    continue
                try:
                    if whole.size > content.size and _same(content, whole):
                        return True
                finally:
                    whole.close()
        return False

    def _create(self, content: _Open, file: Found, start: int, first: bytes) -> Segment | None:
        """Make the segment of a content nobody knows; under a lock, lest two processes make two of it."""
        known = first.rfind(b"\n") + 1
        if not known and len(first) == HEAD_BYTES:
            known = HEAD_BYTES if self._has_line(content, start + HEAD_BYTES) else 0
        if not known:
            return None
        length = head_length(known)
        with transaction.atomic():
            LogSource.objects.select_for_update().get(pk=self.source.pk)
            if (twin := self._lookup(content, file, start, first)) is not None:
                return twin
            before = self._before(file)
            return Segment.objects.create(
                source=self.source,
                path=file.name,
                head_start=start,
                head_len=length,
                head=digest(first[:length]),
                seen_bytes=content.size,
                last_stamp=before.last_stamp if before else "",
                fold=before.fold if before else 0,
            )

    def _has_line(self, content: _Open, offset: int) -> bool:
        while block := content.read(offset, BATCH_BYTES):
            if b"\n" in block:
                return True
            offset += len(block)
        return False

    def _before(self, file: Found) -> Segment | None:
        """Return the segment that was written before a new one: a clock put back goes on from there."""
        same = Segment.objects.filter(source=self.source, last_at__isnull=False).order_by("-last_at", "-pk")
        return next((one for one in same[:20] if one.path.rpartition("/")[0] == file.subfolder), None)

    def _is_known_packed(self, file: Found) -> bool:
        """Tell whether a compressed file was read to its end before; unpacks no more than its beginning."""
        segments = Segment.objects.filter(source=self.source, packed=packed_mark(file))
        if not segments:
            return False
        first = packed_head(file.path).lstrip(b"\0")
        known = heads(first)
        segment = next((one for one in segments if bytes(one.head) in known or not first), None)
        if segment is not None:
            self._owners[file.name] = segment.pk
        return segment is not None

    def _forget(self, name: str) -> None:
        self._owners.pop(name, None)
        self._read_to_end.pop(name, None)
        if held := self._held.pop(name, None):
            held.content.close()

    # --- ends ---------------------------------------------------------------------------------

    def _end(self, content: _Open, file: Found, segment: Segment) -> bool:
        """Conclude a file that is no longer written; False while its last line may still get its end."""
        rest = content.size - segment.offset
        if rest and not self._take_rest(content, file, segment, rest):
            return False
        changes = {
            "state": Segment.State.ENDED,
            "path": file.name,
            "seen_bytes": content.size,
            "packed": packed_mark(file) if file.packed else "",
        }
        if any(getattr(segment, name) != value for name, value in changes.items()):
            Segment.objects.filter(pk=segment.pk, offset=content.size).update(**changes)
        return True

    def _take_rest(self, content: _Open, file: Found, segment: Segment, rest: int) -> bool:
        """Take a last line without an end, once nobody can be writing it any more."""
        stands_still = time.time() - file.mtime_ns / 1e9 > GRACE_SECONDS
        if not file.packed and not (stands_still and self._has_newer(file, segment)):
            return False
        data, _ = self._next(content, segment)
        if len(data) == rest:
            decoder = LineDecoder(self.source.pk, segment.pk, self._clock)
            decoder.state = (segment.last_stamp, segment.fold)
            self._store(content, file, segment, decoder, data, int(Flag.UNTERMINATED))
        return len(data) == rest

    def _has_newer(self, file: Found, segment: Segment) -> bool:
        newer = Segment.objects.filter(source=self.source, pk__gt=segment.pk, offset__gt=0)
        return any(path.rpartition("/")[0] == file.subfolder for path in newer.values_list("path", flat=True))

    def _detach(self, found: Scan) -> None:
        """Notice live files that have lost their name: renamed, deleted, or another in their place."""
        there = {(file.name, file.device, file.inode) for file in found.files if file.live}
        for name, held in list(self._held.items()):
            if (name, held.file.device, held.file.inode) not in there:
                self._detached.append(self._held.pop(name))
                self._owners.pop(name, None)
                self._read_to_end.pop(name, None)

    def _drain_detached(self, held: _Held, found: Scan) -> None:
        """Read a file without its name to its end; close it once another is written in its place."""
        status = held.content.refresh()
        segment = Segment.objects.filter(pk=held.segment).first()
        renamed = any((file.device, file.inode) == (status.st_dev, status.st_ino) for file in found.files)
        done = segment is None or renamed
        if segment is not None and not renamed:
            try:
                self._read_on(held.content, held.file, segment, time.monotonic() + 3600)
            except (Changed, Moved, OSError):
                done = True
            else:
                stands_still = time.time() - status.st_mtime > GRACE_SECONDS
                if stands_still and self._has_newer(held.file, segment):
                    now = found_from(held.file.path, held.file.name, False, status)
                    done = self._end(held.content, now, segment)
        if done:
            held.content.close()
            self._detached.remove(held)

    # --- gaps ---------------------------------------------------------------------------------

    def _find_gaps(self, found: Scan) -> None:
        """Record segments whose end nobody read and whose content is nowhere any more.

        Only when every file of the source could be read, and none has come since: a folder that is not
        mounted, or a file that is being renamed, is no gap.
        """
        if self._problems or any(
            self._looked_at.get(file.name) != (file.device, file.inode) for file in found.files
        ):
            return
        present = {self._owners[file.name] for file in found.files if file.name in self._owners}
        present |= {held.segment for held in self._detached}
        open_ones = Segment.objects.filter(source=self.source, state=Segment.State.FOLLOWED)
        missing = list(open_ones.exclude(pk__in=present).order_by("pk"))
        if missing and self._still(found):
            for segment in missing:
                self._record_gap(segment, present)

    def _still(self, found: Scan) -> bool:
        """Tell whether the folder holds the same files as when it was looked at."""
        try:
            again = scan(Path(self.source.folder), self.source.live_name)
        except OSError:
            return False
        return {(file.name, file.inode) for file in again.files} == {
            (file.name, file.inode) for file in found.files
        }

    def _record_gap(self, segment: Segment, present: set[int]) -> None:
        """Record one, once lines are written again where the file was."""
        subfolder = segment.path.rpartition("/")[0]
        newer = Segment.objects.filter(pk__in=present, pk__gt=segment.pk, offset__gt=0).order_by("first_at")
        after = next((one for one in newer if one.path.rpartition("/")[0] == subfolder), None)
        if after is None:
            return
        emptied = after.path == segment.path and after.first_at is not None
        how = "emptied, replaced" if emptied else "rotated"
        reason = f"{segment.path} was {how} or deleted before its end was read"
        with transaction.atomic():
            changed = Segment.objects.filter(
                pk=segment.pk, state=Segment.State.FOLLOWED, offset=segment.offset
            )
            if changed.update(state=Segment.State.LOST):
                unread = max(0, segment.seen_bytes - segment.offset)
                values = {
                    "source": self.source,
                    "since": segment.last_at,
                    "until": after.first_at,
                    "unread_bytes": unread,
                    "reason": reason,
                    "closed_at": None,
                    "accepted_at": None,
                }
                Gap.objects.update_or_create(segment=segment, defaults=values)
                self.counts.add(Counts(gaps=1))

    # --- what the console shows ----------------------------------------------------------------

    def _tell_now_and_then(self) -> None:
        if time.monotonic() - self._told_at > 1:
            self._tell(self.source.error)

    def _tell(self, error: str) -> None:
        """Keep how it stands on the source's row; seldom when nothing changed."""
        quiet = error == self.source.error and self._told == (self.counts.bytes, self._left)
        if quiet and time.monotonic() - self._told_at < 10:
            return
        self._told_at, self._told = time.monotonic(), (self.counts.bytes, self._left)
        now = timezone.now()
        state = {
            "last_polled_at": now,
            "behind_bytes": self._left,
            "behind_seconds": self._behind(now),
            "error": error,
        }
        if self._live_line_at is not None:
            state["last_line_at"] = self._live_line_at
        if self._lag is not None:
            state["lag_seconds"] = self._lag
        LogSource.objects.filter(pk=self.source.pk).update(**state)
        for name, value in state.items():
            setattr(self.source, name, value)

    def _behind(self, now: datetime) -> float:
        last = self._live_line_at or self.source.last_line_at
        return max(0.0, (now - last).total_seconds()) if self._left and last else 0.0


def _same(part: _Open, whole: _Open) -> bool:
    """Tell whether one file is how the other begins."""
    offset = 0
    while block := part.read(offset, BATCH_BYTES):
        if whole.read(offset, len(block)) != block:
            return False
        offset += len(block)
    return True


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _sentence(problems: list[str]) -> str:
    if not problems:
        return ""
    shown = "; ".join(problems[:5])
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return f"Cannot be read now, and is tried again: {shown}{more}."
