"""A transfer log read from its beginning, and the barest ways to do the same; live lag.

`do` names the work: `decode`, `bare` (prepared rows into the same table), `ours`, `live`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.children.process import answer, peak_memory_mb, read_options, spending


def blocks(file: Path) -> Iterator[bytes]:
    """Yield whole lines of a file, without the end of the last, as many at a time as the tailer takes."""
    from logmonitor.transfers.tailer import BATCH_BYTES  # noqa: PLC0415

    with file.open("rb") as lines:
        while block := lines.read(BATCH_BYTES):
            yield (block + lines.readline()).removesuffix(b"\n")


def decode(options: Mapping[str, Any]) -> dict[str, float]:
    """Measure CPU seconds: lines decoded, with their kind, and made into rows; a block at a time, in turn."""
    from logmonitor.transfers.decoder import LineDecoder  # noqa: PLC0415
    from logmonitor.transfers.lines import BUILDERS, Decoded, build_message, decode_wire  # noqa: PLC0415
    from logmonitor.transfers.zone import Clock  # noqa: PLC0415

    clock, builder = Clock("Europe/Stockholm"), BUILDERS.get

    def bare(block: bytes) -> object:
        return [decode_wire(raw) for raw in block.split(b"\n")]

    def kinds(block: bytes) -> object:
        wires = [decode_wire(raw) for raw in block.split(b"\n")]
        return wires, [builder(wire.sender, build_message) for wire in wires]

    def rows(block: bytes) -> object:
        into = Decoded()
        LineDecoder(1, 1, clock).decode(block, 0, into)
        return into

    taken = dict.fromkeys(("bare", "kinds", "rows"), 0.0)
    works: dict[str, Callable[[bytes], object]] = {"bare": bare, "kinds": kinds, "rows": rows}
    for block in blocks(Path(options["file"])):
        for name, work in works.items():
            started = time.process_time()
            kept = work(block)
            taken[name] += time.process_time() - started
            del kept
    return taken


def prepared(file: Path) -> Iterator[Sequence[Any]]:
    """Yield a file's lines as rows, ready to insert."""
    from logmonitor.transfers.decoder import LineDecoder  # noqa: PLC0415
    from logmonitor.transfers.lines import Decoded  # noqa: PLC0415
    from logmonitor.transfers.zone import Clock  # noqa: PLC0415

    decoder, offset = LineDecoder(1, 1, Clock("Europe/Stockholm")), 0
    for block in blocks(file):
        into = Decoded()
        decoder.decode(block, offset, into)
        offset += len(block) + 1
        yield into.lines


def bare(options: Mapping[str, Any]) -> dict[str, float]:
    """Insert prepared rows into the table with its indexes; preparing is not counted.

    With COPY in one transaction; into SQLite in transactions of as many rows as the tailer's.
    """
    from django.db import connection  # noqa: PLC0415

    insert = _bare_sqlite if connection.vendor == "sqlite" else _bare_postgresql
    rows, seconds = insert(Path(options["file"]))
    return {"rows": rows, "seconds": seconds}


def _bare_sqlite(file: Path) -> tuple[int, float]:
    from django.db import connection, transaction  # noqa: PLC0415

    from logmonitor.transfers.store import COLUMNS, TABLE  # noqa: PLC0415

    rows, seconds = 0, 0.0
    statement = f"INSERT INTO {TABLE} ({COLUMNS}) VALUES ({', '.join('?' * len(COLUMNS.split(',')))})"
    connection.ensure_connection()
    for lines in prepared(file):
        started = time.perf_counter()
        with transaction.atomic():
            connection.connection.executemany(statement, lines)
        seconds += time.perf_counter() - started
        rows += len(lines)
    return rows, seconds


def _bare_postgresql(file: Path) -> tuple[int, float]:
    from django.db import connection, transaction  # noqa: PLC0415

    from logmonitor.transfers.store import COLUMNS, TABLE, _text  # noqa: PLC0415

    rows, texts = 0, []
    for lines in prepared(file):
        texts.append(_text(lines).encode())
        rows += len(lines)
    with connection.cursor() as cursor:
        started = time.perf_counter()
        with transaction.atomic():
            cursor.execute("SET LOCAL TIME ZONE 'UTC'")
            with cursor.cursor.copy(f"COPY {TABLE} ({COLUMNS}) FROM STDIN (NULL '\x01')") as copy:
                for text in texts:
                    copy.write(text)
    return rows, time.perf_counter() - started


def ours(options: Mapping[str, Any]) -> dict[str, float]:
    """Read the log as `watch_transfers --once` does."""
    from logmonitor.models import LogSource  # noqa: PLC0415
    from logmonitor.transfers.watch import Watch, only  # noqa: PLC0415

    source = LogSource.objects.create(
        name="bench", folder=str(Path(options["file"]).parent), time_zone="Europe/Stockholm"
    )
    with spending() as spent:
        summary = Watch(only(source.pk)).drain()
    return {
        "rows": summary.counts.rows,
        "seconds": spent.wall,
        "cpu": spent.cpu,
        "memory": peak_memory_mb(),
    }


def live(options: Mapping[str, Any]) -> dict[str, float]:
    """Follow a log that grows by a thousand lines a second; how late the latest line of each commit was."""
    from logmonitor.models import LogSource  # noqa: PLC0415
    from logmonitor.transfers.watch import Watch, only  # noqa: PLC0415
    from tests.logmonitor.transfer_lines import transfer  # noqa: PLC0415

    folder = Path(options["folder"])
    folder.mkdir()
    source = LogSource.objects.create(name="live", folder=str(folder))
    written: list[float] = []
    done = threading.Event()

    def write() -> None:
        with (folder / "sftpgo.log").open("ab", buffering=0) as log:
            begun = time.perf_counter()
            while (now := time.perf_counter()) - begun < options["seconds"]:
                due = int((now - begun) * options["a_second"]) - len(written)
                stamp = datetime.now(UTC).replace(tzinfo=None)
                block = b"".join(transfer(len(written) + number, stamp) for number in range(due))
                written.extend([time.perf_counter()] * due)  # first: who follows may be quicker than we
                log.write(block)
                time.sleep(0.01)
        time.sleep(3)
        done.set()

    lags: list[float] = []
    seen = 0

    def progress(done_bytes: int, left: int) -> None:
        nonlocal seen
        lags.append(time.perf_counter() - written[seen])  # of the oldest line of the commit
        seen = watch.summary.counts.rows

    watch = Watch(only(source.pk), stopping=done.is_set, progress=progress)
    writer = threading.Thread(target=write)
    writer.start()
    with spending() as spent:
        watch.follow()
    writer.join()
    return {"rows": seen, "lag": max(lags), "cpu": spent.cpu, "lost": len(written) - seen}


WORKS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, float]]] = {
    "decode": decode,
    "bare": bare,
    "ours": ours,
    "live": live,
}

if __name__ == "__main__":
    asked = read_options()
    answer(WORKS[asked["do"]](asked))
