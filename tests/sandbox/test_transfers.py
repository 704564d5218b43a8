"""The made-up log of a transfer server: as SFTPGo writes it, the same from the same seed."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from pathlib import Path

from sandbox.transfers import write_logs

UNTIL = datetime(2026, 3, 2, 15, 30)


def lines_of(folder: Path) -> list[bytes]:
    """Return the lines of all files, the rotated ones first, which their names put in order."""
    files = [*sorted(folder.glob("sftpgo-*")), folder / "sftpgo.log"]
    texts = [gzip.decompress(one.read_bytes()) if one.suffix == ".gz" else one.read_bytes() for one in files]
    return b"".join(texts).splitlines()


def test_a_log_has_the_lines_it_says_in_their_order(tmp_path: Path) -> None:
    written = write_logs(tmp_path, until=UNTIL)
    lines = [json.loads(line) for line in lines_of(tmp_path)]

    assert len(lines) == written.lines
    assert sum(line["sender"] in ("Upload", "Download") for line in lines) == written.transfers
    assert len(list(tmp_path.iterdir())) == written.files > 2
    stamps = [line["time"] for line in lines]
    assert stamps == sorted(stamps)
    assert "2026-03-01" < stamps[-1] <= "2026-03-02T15:30:00.000"
    senders = {line["sender"] for line in lines}
    assert {"Upload", "Download", "Rename", "login", "connection_failed", "defender", "SFTP"} <= senders


def test_every_line_begins_as_sftpgo_begins_it(tmp_path: Path) -> None:
    write_logs(tmp_path, until=UNTIL, days=5)
    for line in lines_of(tmp_path):
        assert line.startswith(b'{"level":"')
        assert list(json.loads(line))[:3] == ["level", "time", "sender"]


def test_the_same_seed_writes_the_same(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_logs(tmp_path / name, until=UNTIL, days=10, seed=seed)
    first, again, other = (lines_of(tmp_path / name) for name in "abc")
    assert first == again != other
