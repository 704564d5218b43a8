"""Logs as SFTPGo writes them: some weeks of a transfer server, made up from a seed, rotated and compressed.

The form of the lines is that of SFTPGo 2.7 (its `internal/logger`, and zerolog's way of writing JSON).
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

LIVE = "sftpgo.log"
ROTATE_BYTES = 1_000_000
DAYS = 90

PEOPLE = (
    # user name, protocol, share of the work, share of uploads, bytes of a usual file
    ("registrar-export", "SFTP", 30, 0.95, 4_000_000),
    ("sis-import", "SFTP", 26, 0.1, 9_000_000),
    ("library", "SFTP", 14, 0.6, 700_000),
    ("media-lab", "DAV", 10, 0.7, 90_000_000),
    ("a.nguyen", "HTTP", 7, 0.3, 2_000_000),
    ("finance", "FTP", 6, 0.5, 300_000),
    ("genomics", "SFTP", 5, 0.8, 900_000_000),
    ("p.okafor", "DAV", 4, 0.4, 1_500_000),
    ("backup-west", "SFTP", 3, 1.0, 2_500_000_000),
    ("zoë.lindqvist", "HTTP", 1, 0.5, 400_000),
)
FILES = ("enrollments.csv", "grades.csv", "photos.zip", "catalog.xml", "lecture.mp4", "report.pdf")
STRANGERS = ("root", "admin", "test", "oracle", "postgres", "ftpuser", "=cmd|' /C calc'!A0")
HOURS = (*[1] * 6, 3, 6, *[12] * 4, 8, *[11] * 4, 6, *[3] * 4, 2, 1)
"""How much of a day's work begins in which hour."""

NO_COMMAND = {
    **dict.fromkeys(("filemode", "access_time", "modification_time", "ssh_command"), ""),
    **dict.fromkeys(("uid", "gid", "size"), -1),
    "elapsed": 2,
}
"""What a line of a command says of what the command does not have."""


Lines = list[tuple[datetime, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: how many files, lines, and transfers among them."""

    files: int
    lines: int
    transfers: int


def write_logs(folder: Path, *, until: datetime, seed: int = 1, days: int = DAYS) -> Written:
    """Write the log of so many days up to a moment into a folder: a live file and those rotated before."""
    folder.mkdir(parents=True, exist_ok=True)
    log = _Log(folder)
    transfers = 0
    for line in _history(random.Random(seed), until, days):  # noqa: S311 - made-up data
        log.write(line)
        transfers += line["sender"] in ("Upload", "Download")
    log.close()
    return Written(log.files, log.lines, transfers)


class _Log:
    """A live file that is renamed when it is full; the first one renamed is compressed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._live = (folder / LIVE).open("wb")
        self.files, self.lines = 1, 0

    def write(self, line: dict[str, Any]) -> None:
        """Write one line; rotate before when the file is full."""
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        if self._live.tell() + len(text) > ROTATE_BYTES:
            self._rotate(line["time"])
        self._live.write(text)
        self.lines += 1

    def _rotate(self, stamp: str) -> None:
        self._live.close()
        rotated = self._folder / f"sftpgo-{stamp.replace(':', '-')}.log"
        (self._folder / LIVE).rename(rotated)
        if self.files == 1:
            with gzip.open(f"{rotated}.gz", "wb") as packed:
                packed.write(rotated.read_bytes())
            rotated.unlink()
        self._live = (self._folder / LIVE).open("wb")
        self.files += 1

    def close(self) -> None:
        """Close the live file."""
        self._live.close()


def _history(chance: random.Random, until: datetime, days: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of all days in the order in which they were written."""
    outage, theft = chance.randrange(20, 40), chance.randrange(8, 16)
    waiting: Lines = []
    for ago in range(days, -1, -1):
        midnight = (until - timedelta(days=ago)).replace(hour=0, minute=0, second=0, microsecond=0)
        if ago != outage:
            waiting += _day(chance, midnight)
        if ago == theft:
            waiting += _session(chance, midnight + timedelta(hours=3), 99, person=PEOPLE[4], files=260)
        waiting.sort(key=lambda line: line[0])
        end = min(midnight + timedelta(days=1), until)
        yield from (line for at, line in waiting if at < end)
        waiting = [line for line in waiting if line[0] >= end]  # a session may go on after midnight


def _day(chance: random.Random, midnight: datetime) -> Lines:
    work = 14 if midnight.weekday() < 5 else 4
    lines: Lines = []
    for number in range(chance.randint(work - 2, work + 3)):
        lines += _session(chance, _moment(chance, midnight), number)
    for _ in range(chance.choice((0, 1, 2, 2, 3))):
        lines += _attack(chance, _moment(chance, midnight))
    return lines


def _moment(chance: random.Random, midnight: datetime) -> datetime:
    hour = chance.choices(range(24), HOURS)[0]
    return midnight + timedelta(hours=hour, milliseconds=chance.randrange(3_600_000))


def _session(
    chance: random.Random, at: datetime, number: int, *, person: Sequence[Any] = (), files: int = 0
) -> Lines:
    """Return a session: a login, transfers and what else clients do, in time."""
    name, protocol, _, uploads, usual = person or chance.choices(PEOPLE, [row[2] for row in PEOPLE])[0]
    session = f"{protocol}_{chance.randrange(16**12):012x}_{number}"
    address = f"203.0.113.{10 + sum(map(ord, name)) % 200}"
    lines: Lines = []
    who = {"username": name, "connection_id": session, "protocol": protocol}

    def say(level: str, sender: str, **fields: Any) -> None:
        lines.append((at, {"level": level, "time": _stamp(at), "sender": sender, **fields}))

    method = "publickey" if protocol == "SFTP" else "password"
    say("info", "login", ip=address, method=method, **who, client="OpenSSH_9.6", encrypted=True)
    for _ in range(files or chance.randint(2, 14)):
        at += timedelta(milliseconds=chance.randrange(200, 40_000))
        upload = chance.random() < uploads if not files else False
        path = f"/srv/data/{name}/{at:%Y-%m}/{chance.choice(FILES)}"
        size = max(int(chance.lognormvariate(0, 1.1) * usual) * (15 if files else 1), 1)
        elapsed = max(int(size / chance.lognormvariate(16.2, 0.7) * 1000), 3)
        broken = chance.random() < 0.03 and not files
        size = size // chance.randint(2, 9) if broken else size
        at += timedelta(milliseconds=elapsed)
        ends = {"local_addr": "192.0.2.20:22", "remote_addr": f"{address}:{40000 + number}"}
        moved = {**ends, "elapsed_ms": elapsed, "size_bytes": size, **who, "file_path": path}
        if broken:
            moved["error"] = "connection reset by peer"
        say("error" if broken else "info", "Upload" if upload else "Download", **moved)
        if upload and chance.random() < 0.2:
            say("info", "Rename", **ends, **who, file_path=path, target_path=f"{path}.done", **NO_COMMAND)
    at += timedelta(milliseconds=chance.randrange(50, 4_000))
    say("debug", protocol, connection_id=session, message="connection removed")
    return lines


def _attack(chance: random.Random, at: datetime) -> Lines:
    """Return somebody who tries names and passwords, until the defender has enough."""
    address = f"198.51.100.{chance.randrange(1, 255)}"
    lines: Lines = []
    for score in range(2, 2 * chance.randint(3, 12), 2):
        at += timedelta(milliseconds=chance.randrange(300, 5_000))
        name = chance.choice(STRANGERS)
        tried = {"client_ip": address, "protocol": "SSH"}
        failed = {**tried, "username": name, "login_type": "password", "error": "invalid credentials"}
        noted = {**tried, "event": "LoginFailed", "increase_score_by": 2, "score": score}
        lines.append((at, {"level": "debug", "time": _stamp(at), "sender": "connection_failed", **failed}))
        lines.append((at, {"level": "info", "time": _stamp(at), "sender": "defender", **noted}))
    return lines


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}"
