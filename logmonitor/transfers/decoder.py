"""From the bytes of a log to its lines: quick for sound ones, careful with the rest; nothing is dropped."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from logmonitor.transfers.lines import (
    BUILDERS,
    CLEANED,
    CUT,
    LIMITS,
    LONGEST_LINE,
    LONGEST_RAW,
    LONGEST_TEXT,
    MARKER,
    RECOVERED,
    REFUSED,
    SHORT_LINE,
    STRICT,
    Bad,
    Decoded,
    Line,
    Row,
    Wire,
    build_message,
    decode_loose,
    decode_wire,
    mask_raw,
)
from logmonitor.transfers.zone import Clock, UnknownTime

OFFSET_BITS = 41
"""Of a line's key, so many are the offset and whether it was recovered; above stands the segment."""

# What has such an escape decodes to control characters, or to marks that turn a text around.
_ESCAPES = re.compile(rb"\\(?:[bfnrt]|u00[01]|u007[fF]|u00[89]|u202|u206)")
_HALVES = re.compile(
    rb"\\\\|\\u(?:d[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|(?P<half>d[89a-f][0-9a-f]{2}))", re.IGNORECASE
)
_HEAD = re.compile(rb'\{"level":"([^"\\]*)",(?:"time":"([^"\\]*)",)?"sender":"([^"\\]*)"')
_CONTROLS = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    0x7F: "\u2421",
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A)], "\ufffd"),
}
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
# Raw UTF-8 of C1 controls and of marks that turn a text around: SFTPGo writes them as they are.
_RAW_UNSAFE = re.compile(rb"\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\x7f")


class LineDecoder:
    """Decodes the lines of one segment of one source; `clock` goes with the segment."""

    def __init__(self, source: int, segment: int, clock: Clock) -> None:
        self._source, self._base, self.clock = source, segment << OFFSET_BITS, clock
        self.stamp = ""

    @property
    def state(self) -> tuple[str, int]:
        """The time in the last line, as it was, and which of two equal hours it is of."""
        return self.stamp, self.clock.fold

    @state.setter
    def state(self, state: tuple[str, int]) -> None:
        self.stamp, fold = state
        self.clock.go_back(self.stamp, fold)

    def decode(self, data: bytes, offset: int, into: Decoded, flags: int = 0) -> None:
        """Add what whole lines hold; `offset` is where in the file they begin."""
        clock, source, key = self.clock, self._source, self._base | offset << 1
        minutes, rests, builder, add = clock.minutes.get, clock.rests.get, BUILDERS.get, into.lines.append
        lines = data.split(b"\n")
        # Asked of all lines at once: hardly a block holds anything that one of them needs care for.
        careful = flags or not _is_harmless(data) or data.count(b'"sender":') > len(lines)
        for raw in lines:
            length = len(raw)
            try:
                wire = decode_wire(raw)
                stamp = wire.time
                minute = minutes(stamp[:16]) or clock.minute(stamp)
                rest = rests(stamp[16:]) or clock.rest(stamp)
                if minute and rest:
                    line = builder(wire.sender, build_message)(wire, key, source, minute[0] + rest, minute[1])
                    if careful or length > SHORT_LINE:
                        line = self._careful(raw, line, flags)
                    add(line)
                    self.stamp = stamp
                else:
                    self._odd(raw, key, into, flags)
            except REFUSED:
                self._odd(raw, key, into, flags)
            key += length + length + 2

    def _odd(self, raw: bytes, key: int, into: Decoded, flags: int) -> None:
        """Read what is no plain line: of an odd time, with zeros before it, damaged, or of no known form."""
        sound = raw.lstrip(b"\0")
        zeros = len(raw) - len(sound)
        into.hole_bytes += zeros
        sound = sound.rstrip(b"\0\r")
        if not sound.strip():
            return
        for start, piece in _pieces(sound):
            recovered = 1 if start else 0
            place = key + 2 * (zeros + start)
            try:
                line = self.line(piece, place | recovered, flags | (RECOVERED if start else 0))
            except (UnknownTime, *REFUSED) as error:
                reason = "torn" if len(sound) != len(piece) else _reason(error)
                into.bad.append(self._bad(piece, place, reason))
            else:
                into.lines.append(line)

    def line(self, raw: bytes, key: int, flags: int = 0) -> Row:
        """Return the row of one line; raises `UnknownTime` or what `REFUSED` names."""
        wire, more = _decoded(raw)
        at, day, odd = self.clock.instant(wire.time)
        line = BUILDERS.get(wire.sender, build_message)(wire, key, self._source, at, day)
        self.stamp = wire.time
        return self._careful(raw, line, flags | more | odd)

    def _careful(self, raw: bytes, row: Row, flags: int) -> Row:
        """Return a row whose texts are clean and fit their columns; a very long line is refused."""
        if len(raw) > LONGEST_LINE:
            raise msgspec.ValidationError("the line is too long")
        line = Line._make(row)
        if raw.count(b'"sender":') > 1 and (head := _HEAD.match(raw)):
            line = self._by_head(raw, line, head)
        if not _is_harmless(raw):
            line, cleaned = _clean(line)
            flags |= cleaned
        if len(raw) > SHORT_LINE:
            line, cut = _cut(line)
            flags |= cut
        return line._replace(flags=line.flags | int(flags)) if flags else line

    def _by_head(self, raw: bytes, line: Line, head: re.Match[bytes]) -> Line:
        """A message of a plugin may name fields as SFTPGo does: those that come first are SFTPGo's."""
        wire = msgspec.json.decode(raw, type=Wire)
        if line.sender == head[3].decode() and wire.sender == line.sender:
            return line
        wire.level, wire.sender = head[1].decode(), head[3].decode()
        wire.time = head[2].decode() if head[2] else wire.time
        at, day, _ = self.clock.instant(wire.time)
        return Line._make(BUILDERS.get(wire.sender, build_message)(wire, line.id, self._source, at, day))

    def _bad(self, raw: bytes, key: int, reason: str) -> Bad:
        offset = (key - self._base) >> 1
        return Bad(offset, len(raw), mask_raw(raw[: 2 * LONGEST_RAW])[:LONGEST_RAW], reason)


def _is_harmless(data: bytes) -> bool:
    """Tell whether no text of these lines needs cleaning."""
    if b"\\" in data and _ESCAPES.search(data):
        return False
    return (data.isascii() and b"\x7f" not in data) or not _RAW_UNSAFE.search(data)


def _pieces(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where each line begins in a run of bytes without an end of line, and its bytes.

    When a disk was full, or a writer killed, the next line stands right behind a torn one.
    """
    starts = [match.start() for match in re.finditer(re.escape(MARKER), raw)]
    if not starts or starts == [0]:
        yield 0, raw
        return
    if starts[0]:
        starts.insert(0, 0)
    for start, end in zip(starts, [*starts[1:], len(raw)], strict=True):
        if piece := raw[start:end].rstrip(b"\0"):
            yield start, piece


def _decoded(raw: bytes) -> tuple[Wire, int]:
    """Decode a line that may have half characters, bytes that are no UTF-8, or fields of other types."""
    flags = 0
    try:
        return decode_wire(raw), flags
    except msgspec.ValidationError:
        return _loosely(raw), flags
    except (UnicodeDecodeError, msgspec.DecodeError):
        mended = _HALVES.sub(lambda found: b"\\ufffd" if found["half"] else found[0], raw)
        mended = mended.decode(errors="replace").encode()
        if mended == raw:
            raise
    try:
        return decode_wire(mended), CLEANED
    except msgspec.ValidationError:
        return _loosely(mended), CLEANED


def _loosely(raw: bytes) -> Wire:
    """Decode a message with fields of other types; what is no message is refused as it was."""
    loose = decode_loose(raw)
    if loose.sender in STRICT and loose.message is None:
        return decode_wire(raw)
    message, session = (
        value if isinstance(value, str) else "" for value in (loose.message, loose.connection_id)
    )
    wire = Wire(loose.level, loose.time, loose.sender, message=message, connection_id=session)
    return wire


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "bytes that are no UTF-8"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)[:300]


def _clean(line: Line) -> tuple[Line, int]:
    values = [
        value.translate(_CONTROLS) if isinstance(value, str) and _UNSAFE.search(value) else value
        for value in line
    ]
    return (Line._make(values), CLEANED) if tuple(values) != line else (line, 0)


def _cut(line: Line) -> tuple[Line, int]:
    values = [
        value[: LIMITS.get(name, LONGEST_TEXT)] if isinstance(value, str) else value
        for name, value in zip(Line._fields, line, strict=True)
    ]
    return (Line._make(values), CUT) if tuple(values) != line else (line, 0)
