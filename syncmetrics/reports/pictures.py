"""Bar charts as PNG, for mail: drawn with what Python brings.

Mail shows no SVG and runs no script, so a chart must be a picture. Bars are rectangles, and all words
stand in the HTML around them: that needs neither a font nor a library that draws.
Format: W3C Portable Network Graphics, indexed colour, one palette entry per series.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, GAP = 560, 120, 4
PAPER, LINE = (255, 255, 255), (209, 213, 219)


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers of one colour (red, green, blue), one per bar; series are stacked from below."""

    name: str
    colour: tuple[int, int, int]
    values: Sequence[float]


def bars(series: Sequence[Series], *, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Return a PNG of stacked bars that fill its width; the highest bar fills its height.

    Values below 0 count as 0. Every value above 0 is seen, if only as a line.
    """
    count = max((len(one.values) for one in series), default=0)
    rows = [bytearray(width) for _ in range(height)]
    rows[-1][:] = b"\x01" * width  # the base line
    highest = max((sum(_at(one, index) for one in series) for index in range(count)), default=0.0)
    for index in range(count if highest else 0):
        left, right = _edges(index, count, width)
        _stack(rows, [_at(one, index) / highest for one in series], left, right)
    return _png(rows, [PAPER, LINE, *(one.colour for one in series)])


def _at(series: Series, index: int) -> float:
    return max(float(series.values[index]), 0.0) if index < len(series.values) else 0.0


def _edges(index: int, count: int, width: int) -> tuple[int, int]:
    left, right = index * width // count, (index + 1) * width // count
    return left, max(right - GAP, left + 1)


def _stack(rows: list[bytearray], shares: Sequence[float], left: int, right: int) -> None:
    bottom = len(rows) - 1
    for number, share in enumerate(shares, start=2):
        tall = max(round(share * (len(rows) - 1)), 1) if share else 0
        top = max(bottom - tall, 0)
        for row in rows[top:bottom]:
            row[left:right] = bytes([number]) * (right - left)
        bottom = top


def _png(rows: Sequence[bytes | bytearray], palette: Sequence[tuple[int, int, int]]) -> bytes:
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\x00" + row for row in rows), 9)
    colours = bytes(part for colour in palette for part in colour)
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
