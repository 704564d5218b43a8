"""Zip archives of CSV files: entries judged before they are unpacked, never to a path."""

from __future__ import annotations

import logging
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO

from parselogs.parsers.decoding import Damaged
from parselogs.parsers.findings import Finding
from parselogs.parsers.parser import Parser
from parselogs.parsers.reading import CsvFile, Reading, shown

logger = logging.getLogger(__name__)

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
SPOOL_IN_MEMORY = 1024 * 1024
DIRECTORY_BYTES_PER_ENTRY = 1024
"""A directory larger than this for each entry allowed is not read; 46 bytes is the least an entry takes."""
READ_BYTES = 128 * 1024
"""What zipfile reads at a time while it looks for the directory."""
ENCRYPTED = 0x1
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ARCHIVES = (".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".xlsx", ".ods")
WORKBOOK = ("[Content_Types].xml", "mimetype")

_BY_SYSTEMS = re.compile(
    r"(?:^|/)(?:__MACOSX/|\.[^/.][^/]*$|desktop\.(?:ini|db)$|thumbs\.db$)", re.IGNORECASE
)
_UNSAFE = re.compile(r"^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)")
# What zipfile and zlib raise over hostile content, beside errors of the system, which are not ours to judge.
_TROUBLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)


class DirectoryTooLarge(Exception):
    """An archive's directory names more than is allowed."""


class _Spool:
    """The temporary file as zipfile sees it: no read larger than a directory may be, no seek before it."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most = file, most

    def read(self, size: int = -1) -> bytes:
        if size > self._most:
            raise DirectoryTooLarge
        data = self._file.read(size if size >= 0 else self._most + 1)
        if len(data) > self._most:
            raise DirectoryTooLarge
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0 and not 0 <= offset < 2**62:
            raise zipfile.BadZipFile("An offset lies outside of the file.")
        try:
            return self._file.seek(offset, whence)
        except ValueError:
            raise zipfile.BadZipFile("An offset lies outside of the file.") from None

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


class _Entry:
    """An entry's bytes; content that cannot be unpacked is told as damage."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except _TROUBLE:
            raise Damaged from None


class Archive:
    """One uploaded zip archive."""

    def __init__(self, name: str, reading: Reading) -> None:
        self._name, self._reading = shown(name), reading

    def read(self, stream: BinaryIO) -> None:
        """Read all CSV files of the archive, in the order in which Canvas does."""
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_IN_MEMORY) as spool:
            if not self._fill(spool, stream):
                self._find("archive_too_large", limit=self._reading.limits.max_archive_bytes)
                return
            with self._opened(spool) as archive:
                if archive is not None:
                    self._read(archive)

    def _fill(self, spool: IO[bytes], stream: BinaryIO) -> bool:
        limits = self._reading.limits
        left = limits.max_archive_bytes
        while data := stream.read(limits.block_bytes):
            left -= len(data)
            if left < 0:
                return False
            spool.write(data)
        return True

    @contextmanager
    def _opened(self, spool: IO[bytes]) -> Iterator[zipfile.ZipFile | None]:
        limit = self._reading.limits.max_entries
        most = max(limit * DIRECTORY_BYTES_PER_ENTRY, READ_BYTES, self._reading.limits.block_bytes)
        archive = None
        try:
            archive = zipfile.ZipFile(_Spool(spool, most))
        except DirectoryTooLarge:
            self._find("archive_too_many_entries", limit=limit)
        except _TROUBLE:
            self._find("archive_damaged")
        try:
            yield archive
        finally:
            if archive is not None:
                archive.close()

    def _read(self, archive: zipfile.ZipFile) -> None:
        there = (entry for entry in archive.infolist() if not entry.is_dir())
        entries = [entry for entry in there if not _BY_SYSTEMS.search(entry.filename)]
        limits = self._reading.limits
        if len(entries) > limits.max_entries:
            self._find("archive_too_many_entries", limit=limits.max_entries)
        elif any(entry.filename in WORKBOOK for entry in entries):
            self._find("workbook")
        elif sum(entry.file_size for entry in entries) > limits.max_unpacked_bytes:
            self._find("archive_too_large", limit=limits.max_unpacked_bytes)
        elif files := self._chosen(archive, entries):
            self._read_files(archive, files)
        elif not any(entry.filename.lower().endswith(".csv") for entry in entries):
            self._find("archive_empty")

    def _chosen(self, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
        """Return the entries to be read; tell why the others are not."""
        chosen, names = [], set[str]()
        for entry in entries:
            if entry.filename in names:
                self._find("repeated_entry", entry.filename)
            names.add(entry.filename)
            if code := self._refusal(archive, entry):
                limit = {"limit": self._reading.limits.max_ratio} if code == "entry_ratio" else {}
                self._find(code, entry.filename, **limit)
            else:
                chosen.append(entry)
        return chosen

    def _refusal(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str | None:
        """Return the code of what speaks against reading an entry."""
        limits, name = self._reading.limits, entry.filename.lower()
        if _UNSAFE.search(entry.filename):
            return "entry_unsafe_name"
        if name.endswith(ARCHIVES):
            return "nested_archive"
        if not name.endswith(".csv"):
            return "unknown_entry"
        if entry.flag_bits & ENCRYPTED:
            return "entry_encrypted"
        if entry.compress_type not in METHODS:
            return "entry_compression"
        if entry.file_size > max(limits.ratio_free_bytes, limits.max_ratio * entry.compress_size):
            return "entry_ratio"
        return self._look(archive, entry)

    def _look(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str | None:
        """Look at the first bytes of an entry."""
        try:
            with archive.open(entry) as stream:
                return "nested_archive" if stream.read(4) in SIGNATURES else None
        except _TROUBLE:
            return "entry_damaged"

    def _read_files(self, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
        parsers = [(entry, self._recognised(archive, entry)) for entry in entries]
        place = self._reading.registry.place
        parsers.sort(key=lambda each: (each[1] is None, place(each[1]) if each[1] else 0))
        for entry, parser in parsers:
            if parser and parser.kind in self._reading.batch.kinds:
                self._find("repeated_kind", entry.filename, kind=parser.kind)
            with archive.open(entry) as stream:
                file = CsvFile(entry.filename, _Entry(stream), self._reading)
                file.read(file.recognise())

    def _recognised(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Parser | None:
        with archive.open(entry) as stream:
            header = CsvFile(entry.filename, _Entry(stream), self._reading).recognise()
            return header.parser if header else None

    def _find(self, code: str, name: str | None = None, **detail: str | int) -> None:
        file = self._name if name is None else shown(name)
        self._reading.report.finding(Finding(code, file, None, None, detail))
