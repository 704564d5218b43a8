"""Files to upload, and what the runs of them left behind."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from parselogs.logs import open_log
from parselogs.models import DataFile, ParseFileMeta
from parselogs.parsing import perform
from parselogs.uploads import accept

HEADER = "user_id,login_id,full_name,email,status"


def users(rows: int = 3, wrong: int = 1, name: str = "person") -> bytes:
    """Return a users file with so many rows, of which the first `wrong` have a status that does not exist."""
    lines = [
        f"{name}{row},{name}.login{row},Ada {name} {row},{name}{row}@example.edu,"
        + ("secretstatus" if row < wrong else "active")
        for row in range(rows)
    ]
    return "\n".join([HEADER, *lines, ""]).encode()


def marks(name: str, number: int, milliseconds: float = 0) -> bytes:
    """Return a file that the parser of `tests.parselogs.marks` reads slowly, with a log line for each row."""
    lines = [f"{name}-{row},{milliseconds}" for row in range(number)]
    return "\n".join(["mark,milliseconds", *lines, ""]).encode()


def upload(content: bytes | None = None, name: str = "users.csv", **options: Any) -> ParseFileMeta:
    """Upload a content and return its queued run, which no worker was told of."""
    accepted = accept(io.BytesIO(users() if content is None else content), name, **{"send": False} | options)
    assert accepted.run
    return accepted.run


def parsed(run: ParseFileMeta) -> ParseFileMeta:
    """Do a queued run and return it as it ended."""
    assert perform(run.uuid)
    run.refresh_from_db()
    return run


def log_of(run: ParseFileMeta) -> str:
    """Return the text of a run's log."""
    run.refresh_from_db()
    with open_log(run) as file:
        return file.read().decode()


def again(data_file: DataFile, **options: Any) -> ParseFileMeta:
    """Queue another run of a file, which no worker was told of."""
    from parselogs.runs import queue

    return queue(data_file, ParseFileMeta.Trigger.REPARSE, send=False, **options)


def spool_files(folder: Path) -> list[str]:
    """Return the names of what is in a spool, but for what a kill left of one that was just being made."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.exists() else []
    return [name for name in names if not name.endswith(".new")]


def marks_in(log: str) -> list[str]:
    """Return the marks that a log says were read, in order."""
    return [line.split("mark ")[1] for line in log.splitlines() if "mark " in line]
