"""Files, logs and lists of findings as downloads: recorded, attached, never run by a browser."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import IO, Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

from parselogs.errors import LogUnavailable, ParselogsError, describe
from parselogs.logs import open_findings, open_log
from parselogs.models import DataFile, ParseFileMeta
from parselogs.storage import uploads
from parselogs.wording import said
from syncmetrics.audit import record
from syncmetrics.display import number

ZIP_LOGS = 500
ZIP_BYTES = 500_000_000
"""Of the logs' text: what one zip holds at most."""

CHUNK_BYTES = 256 * 1024
NAME_CHARACTERS = 80
SIGNED_SECONDS = 120
"""No signed link works for longer, whatever the settings say."""

NOT_INCLUDED = "NOT-INCLUDED.txt"
FINDINGS_COLUMNS = ("file", "row", "column", "severity", "code", "what it says", "what to do")

_UNSAFE = re.compile(r"[^\w-]+")


class TooMuch(ParselogsError):
    """More logs than one zip holds; the sentence says how many it may be."""


def send_file(request: HttpRequest, data_file: DataFile) -> HttpResponseBase:
    """Send what somebody uploaded, under the name it had; LogUnavailable where the storage does not."""
    name = data_file.name
    if settings.PARSE_SIGNED_LINK_SECONDS and settings.UPLOADS_S3_BUCKET:
        return _signed(request, data_file, str(data_file.file), name, "Downloaded the file.")
    chunks = _input_of(data_file)
    record(request, data_file, "Downloaded the file.")
    return _attachment(chunks, name, "application/octet-stream")


def send_log(request: HttpRequest, run: ParseFileMeta) -> HttpResponseBase:
    """Send a log: its text or, where such links are wanted, a link to what is stored; LogUnavailable."""
    stored = run.log_state == ParseFileMeta.LogState.UPLOADED
    if stored and settings.PARSE_SIGNED_LINK_SECONDS and settings.UPLOADS_S3_BUCKET:
        return _signed(request, run, str(run.log_file), f"{name_of(run)}.log.gz", "Downloaded the log.")
    chunks = _in_chunks(open_log(run))
    record(request, run, "Downloaded the log.")
    return _attachment(chunks, f"{name_of(run)}.log", "text/plain; charset=utf-8")


def send_findings(request: HttpRequest, run: ParseFileMeta) -> HttpResponseBase:
    """Send all findings of a run as CSV, in words; raises LogUnavailable."""
    stored = open_findings(run)
    record(request, run, "Downloaded the list of findings.")
    rows = csv.DictReader(io.TextIOWrapper(stored, encoding="utf-8", newline=""))
    chunks = _Chunks(_findings_csv(rows), stored)
    return _attachment(chunks, f"{name_of(run)}-findings.csv", "text/csv; charset=utf-8")


def send_zip(
    request: HttpRequest, runs: Iterable[ParseFileMeta], name: str, recorded_on: Any
) -> HttpResponseBase:
    """Send the logs of many runs as one zip, made while it is sent; TooMuch where they are too many.

    A log that cannot be had is named in a text file in the zip, with the reason.
    """
    chosen = list(runs)
    _check_amount(chosen)
    for subject in recorded_on:
        record(request, subject, f"Downloaded logs in {name}.")
    return _attachment(zip_of_logs(chosen), name, "application/zip")


def zip_of_logs(runs: Iterable[ParseFileMeta]) -> Iterator[bytes]:
    """Yield the bytes of a zip, a log at a time in memory."""
    sink = _Sink()
    missing: list[str] = []
    with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_DEFLATED) as archive:
        for run in runs:
            try:
                with open_log(run) as log:
                    text = log.read()
            except LogUnavailable as why:
                missing.append(f"{name_of(run)}: {why}\n")
                continue
            archive.writestr(f"{name_of(run)}.log", text)
            yield sink.taken()
        if missing:
            archive.writestr(NOT_INCLUDED, "".join(missing))
    yield sink.taken()


def name_of(run: ParseFileMeta) -> str:
    """Return what a download of a run is called: made for a file name, and unlike that of any other run."""
    stem = _UNSAFE.sub("-", run.data_file.name.rpartition(".")[0] or run.data_file.name).strip("-")
    return f"{stem[:NAME_CHARACTERS] or 'file'}-{run.data_file_id}-attempt-{run.attempt:04d}"


def _check_amount(runs: list[ParseFileMeta]) -> None:
    size = sum(run.log_bytes or 0 for run in runs)
    if len(runs) > ZIP_LOGS or size > ZIP_BYTES:
        raise TooMuch(
            f"These are {number(len(runs))} logs of {number(size // 1_000_000)} MB together: choose at most"
            f" {number(ZIP_LOGS)} of {number(ZIP_BYTES // 1_000_000)} MB for one zip."
        )


class _Sink:
    """What a zip is written to: keeps what came since it was asked last."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take some bytes."""
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits anywhere."""

    def taken(self) -> bytes:
        """Return what came, and forget it."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data


@dataclass(frozen=True, slots=True)
class _Chunks:
    """The chunks of an answer, and the stream that is closed with it, read to its end or not."""

    chunks: Iterable[bytes]
    stream: IO[bytes]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def close(self) -> None:
        """Close the stream, as Django asks for when the answer is sent or broken off."""
        self.stream.close()


def _in_chunks(stream: IO[bytes], first: bytes = b"") -> _Chunks:
    rest = iter(partial(stream.read, CHUNK_BYTES), b"")
    return _Chunks(chain([first], rest), stream)


def _input_of(data_file: DataFile) -> _Chunks:
    """Return the chunks of a file, the first of them read already: a storage that is away says so before."""
    if not data_file.file:
        raise LogUnavailable("The content of this file was deleted.")
    try:
        stream = uploads().open(str(data_file.file))
        first = stream.read(CHUNK_BYTES)
    except FileNotFoundError:
        text = "The file is no longer in storage, though nothing here deleted it: look at the bucket's rules."
        raise LogUnavailable(text) from None
    except Exception as error:  # boto3, urllib3 and file systems have no root in common
        said = f"The storage does not give the file ({describe(error)}): try again later."
        raise LogUnavailable(said) from error
    return _in_chunks(cast("IO[bytes]", stream), first)


def _findings_csv(rows: Iterable[dict[str, str]]) -> Iterator[bytes]:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(FINDINGS_COLUMNS)
    for row in rows:
        writer.writerow(_in_words(row))
        if text.tell() > CHUNK_BYTES:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _in_words(row: dict[str, str]) -> tuple[str, ...]:
    place = (row[name] for name in FINDINGS_COLUMNS[:5])
    return *place, *said(row["code"], row["column"], _detail(row["detail"]))


def _detail(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:  # none, or one that was too long to be kept whole
        return {}
    return found if isinstance(found, dict) else {}


def _signed(request: HttpRequest, subject: Any, stored: str, name: str, text: str) -> HttpResponseBase:
    """Lead to the storage itself, by a link that ends soon and that only this answer has."""
    disposition = content_disposition_header(True, name)
    storage: Any = uploads()  # of S3 here, whose `url` takes more
    url = storage.url(
        stored,
        parameters={
            "ResponseContentDisposition": disposition,
            "ResponseContentType": "application/octet-stream",
        },
        expire=min(settings.PARSE_SIGNED_LINK_SECONDS, SIGNED_SECONDS),
    )
    record(request, subject, text)
    return _private(HttpResponseRedirect(url))


def _attachment(chunks: Iterable[bytes], name: str, content_type: str) -> HttpResponseBase:
    response = StreamingHttpResponse(chunks, content_type=content_type)
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return _private(response)


def _private(response: HttpResponseBase) -> HttpResponseBase:
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    return response
