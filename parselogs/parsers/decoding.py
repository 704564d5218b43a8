"""Bytes into text: byte order marks, UTF-8 and UTF-16, line ends; a block at a time."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from typing import Protocol

Decode = Callable[[bytes, str, bool], tuple[str, int]]

_MARKS: tuple[tuple[bytes, str, Decode], ...] = (
    (codecs.BOM_UTF8, "UTF-8", codecs.utf_8_decode),
    (codecs.BOM_UTF16_LE, "UTF-16", codecs.utf_16_le_decode),
    (codecs.BOM_UTF16_BE, "UTF-16", codecs.utf_16_be_decode),
)


class Readable(Protocol):
    """What bytes are read from, forwards only."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; none at the end."""


class Damaged(Exception):
    """A stream cannot be read on, because of what it holds."""


class Text:
    """The text of a stream in blocks, every line end turned into a line feed.

    Ends early where the bytes are not of the encoding; `bad_byte` then says where, counted from 0. Ends
    early too where the stream is `damaged`.
    """

    def __init__(self, stream: Readable, block_bytes: int) -> None:
        self._stream, self._block_bytes = stream, block_bytes
        self._decode: Decode = codecs.utf_8_decode
        self._newlines = io.IncrementalNewlineDecoder(None, translate=True)
        self.encoding = "UTF-8"
        self.mark = False
        self.bad_byte: int | None = None
        self.damaged = False

    @property
    def cut(self) -> bool:
        """Whether it ended early."""
        return self.damaged or self.bad_byte is not None

    @property
    def only_carriage_returns(self) -> bool:
        """Whether all line ends seen so far were a carriage return alone."""
        return self._newlines.newlines == "\r"

    def __iter__(self) -> Iterator[str]:
        """Yield the text; a line end is never split over two blocks."""
        try:
            yield from self._blocks()
        except Damaged:
            self.damaged = True

    def _blocks(self) -> Iterator[str]:
        pending, offset = self._skip_mark()
        while data := self._stream.read(self._block_bytes):
            text, pending, offset = self._decoded(pending + data, offset, final=False)
            yield self._newlines.decode(text)
            if self.bad_byte is not None:
                return
        text, _, _ = self._decoded(pending, offset, final=True)
        yield self._newlines.decode(text, final=True)

    def _skip_mark(self) -> tuple[bytes, int]:
        start = b""
        while len(start) < 3 and (data := self._stream.read(3 - len(start))):
            start += data
        for mark, encoding, decode in _MARKS:
            if start.startswith(mark):
                self.mark, self.encoding, self._decode = True, encoding, decode
                return start[len(mark) :], len(mark)
        return start, 0

    def _decoded(self, data: bytes, offset: int, *, final: bool) -> tuple[str, bytes, int]:
        """Return the text, the bytes left over for the next block, and the offset of their first."""
        try:
            text, used = self._decode(data, "strict", final)
        except UnicodeDecodeError as error:
            self.bad_byte = offset + error.start
            text, used = self._decode(data[: error.start], "strict", True)
        return text, data[used:], offset + used
