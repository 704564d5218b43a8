"""Tar archives read as a stream: one file after the other, in bounded memory, nothing extracted."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

BLOCK = tarfile.BLOCKSIZE
LONGEST_HEADER = 64 * 1024
"""A name or extended header beyond this is nobody's; tarfile itself would read it whole, however long."""

_NAMED = {tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE}


class Stream(Protocol):
    """Bytes, some at a time."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; empty at the end."""


class DamagedArchive(Exception):
    """What follows cannot be read as a tar archive."""


@dataclass(slots=True)
class Member:
    """One regular file in an archive; to be read before the next is asked for."""

    name: str
    left: int
    _source: Stream

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes of the file. Raises DamagedArchive where the archive ends early."""
        data = self._source.read(min(size, self.left)) if self.left else b""
        if self.left and not data:
            raise DamagedArchive
        self.left -= len(data)
        return data


def members(source: Stream) -> Iterator[Member]:
    """Give the regular files of a tar archive in their order. Raises DamagedArchive.

    Links, devices and folders are passed over. Format: POSIX.1-2001 pax, ustar, and GNU's long names.
    """
    name = ""
    size: int | None = None
    while header := _header(source):
        if header.type in _NAMED and header.size <= LONGEST_HEADER:
            data = _exactly(source, header.size)
            _skip(source, -header.size % BLOCK)
            if header.type == tarfile.XHDTYPE:
                fields = _pax(data)
                name, size = fields.get("path", name), _number(fields.get("size"))
            else:
                name = data.rstrip(b"\0").decode("utf-8", "replace")
            continue
        length = header.size if size is None else size
        member = Member(name or header.name, length, source)
        if header.isreg():
            yield member
        _skip(source, member.left + -length % BLOCK)
        name, size = "", None


def _header(source: Stream) -> tarfile.TarInfo | None:
    block = _exactly(source, BLOCK, or_nothing=True)
    if not block.strip(b"\0"):
        return None  # the end: blocks of zeros, or nothing more
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError:
        raise DamagedArchive from None
    if header.size < 0:
        raise DamagedArchive
    return header


def _pax(data: bytes) -> dict[str, str]:
    """Return the fields of an extended header: `<length> <key>=<value>` and a line end each."""
    fields = {}
    while data:
        length = _number(data.partition(b" ")[0].decode("ascii", "replace"))
        if not length or length > len(data):
            raise DamagedArchive
        key, _, value = data[:length].partition(b" ")[2].decode("utf-8", "replace").partition("=")
        fields[key] = value.removesuffix("\n")
        data = data[length:]
    return fields


def _number(text: str | None) -> int | None:
    return int(text) if text and len(text) < 20 and text.isascii() and text.isdigit() else None


def _exactly(source: Stream, size: int, *, or_nothing: bool = False) -> bytes:
    parts, left = [], size
    while left and (data := source.read(left)):
        parts.append(data)
        left -= len(data)
    if left and (parts or not or_nothing):
        raise DamagedArchive
    return b"".join(parts)


def _skip(source: Stream, size: int) -> None:
    while size:
        data = source.read(min(size, 1 << 16))
        if not data:
            raise DamagedArchive
        size -= len(data)
