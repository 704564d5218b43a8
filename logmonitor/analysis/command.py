"""What `analyze_logs` does with its options: the same for `manage.py` and `python -m logmonitor.analysis`."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from easel.interrupts import terminable
from logmonitor.analysis.engine import analyse
from logmonitor.analysis.report import report
from logmonitor.analysis.selection import Selection, moment
from logmonitor.analysis.tables import plain, rich_group, sections
from logmonitor.analysis.tallies import MOST_KEPT

DESCRIPTION = (
    "Says what the logs of the syncs say: what was synced, how Canvas and the database answered, what went"
    " wrong and how far each run came. Reads rotated, compressed and archived logs, too."
)
DEFAULT_TOP = 10
MOMENTS = "2h, 7d, a date, or a date and time such as 2026-11-22T08:30 (UTC)"


class UsageError(Exception):
    """The options cannot be followed; the message says what to do."""


def add_arguments(parser: argparse.ArgumentParser, log_dir: str) -> None:
    """Declare the options; `log_dir` is where the logs are unless the person says otherwise."""
    parser.add_argument("--log-dir", metavar="DIR", default=log_dir, help=f"default: {log_dir}")
    parser.add_argument("--since", metavar="WHEN", help=f"only lines from then on: {MOMENTS}")
    parser.add_argument("--until", metavar="WHEN", help="only lines up to then, in the same forms")
    parser.add_argument("--run", metavar="N", action="append", default=[], help="only this run (repeatable)")
    parser.add_argument(
        "--user", metavar="N", action="append", default=[], help="only syncs for this user (repeatable)"
    )
    parser.add_argument(
        "--course",
        metavar="ID",
        action="append",
        default=[],
        help="only lines that tell this course, by Canvas's id (repeatable)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    parser.add_argument(
        "--output", metavar="FILE", help="write the report there; as JSON with --json or for a name in .json"
    )
    parser.add_argument(
        "--top", metavar="N", default=str(DEFAULT_TOP), help=f"length of lists; {DEFAULT_TOP}"
    )
    parser.add_argument("--follow", action="store_true", help="go on and show live figures, until Ctrl-C")


def run(options: dict[str, Any], stdout: IO[str]) -> None:
    """Analyse, and print or write the report.

    Raises UsageError, FolderError, AnalysisError, and KeyboardInterrupt for Ctrl-C and SIGTERM alike.
    """
    if hasattr(stdout, "reconfigure"):
        stdout.reconfigure(errors="backslashreplace")  # where the locale has no letters for what a log says
    with terminable():
        _run(options, stdout)


def _run(options: dict[str, Any], stdout: IO[str]) -> None:
    now = datetime.now(UTC)
    selection, top = _selection(options, now), _top(options["top"])
    folder = Path(options["log_dir"])
    output = _output(options["output"])
    if options["follow"]:
        _follow(folder, selection, top, options, stdout)
        return
    found = report(analyse(folder, selection), str(folder), selection, top, now)
    if output:
        as_json = options["json"] or output.suffix.lower() == ".json"
        _write(output, _json(found) if as_json else plain(sections(found)))
        sys.stderr.write(f"The report is in {output}.\n")
    elif options["json"]:
        stdout.write(_json(found))
    elif _is_terminal(stdout):
        from rich.console import Console  # noqa: PLC0415 - loading rich takes longer than many an analysis

        Console(file=stdout).print(rich_group(sections(found)))
    else:
        stdout.write(plain(sections(found)))


def _follow(folder: Path, selection: Selection, top: int, options: dict[str, Any], stdout: IO[str]) -> None:
    from logmonitor.analysis.follow import follow  # noqa: PLC0415 - one kind of use needs it

    if options["output"]:
        raise UsageError("--follow shows figures that go on: leave out --output, or --follow.")
    shape = "json" if options["json"] else "terminal" if _is_terminal(stdout) else "lines"
    follow(folder, selection, top, shape, stdout)


def _is_terminal(stream: IO[str]) -> bool:
    return bool(stream.isatty())


def _json(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


# --- options -----------------------------------------------------------------------------------------


def _selection(options: dict[str, Any], now: datetime) -> Selection:
    since = _moment(options["since"], "--since", now)
    until = _moment(options["until"], "--until", now, end=True)
    if since and until and since > until:
        raise UsageError("--since is later than --until: no line is between them.")
    number, course = r"[0-9]{1,19}", r"[0-9]{1,19}(?:~[0-9]{1,19})?"
    return Selection(
        since,
        until,
        _ids(options["run"], "--run", number, lambda text: str(int(text))),
        _ids(options["user"], "--user", number, lambda text: str(int(text))),
        _ids(options["course"], "--course", course, str),
    )


def _moment(text: str | None, option: str, now: datetime, *, end: bool = False) -> datetime | None:
    if text is None:
        return None
    try:
        return moment(text.strip(), now, end=end)
    except (ValueError, OverflowError):
        raise UsageError(f"{option} takes {MOMENTS}, not {text[:40]!r}.") from None


def _ids(texts: list[str], option: str, form: str, spelled: Callable[[str], str]) -> frozenset[str]:
    for text in texts:
        if not re.fullmatch(form, str(text)):
            raise UsageError(f"{option} takes a number such as 42, not {str(text)[:40]!r}.")
    return frozenset(spelled(str(text)) for text in texts)


def _top(text: Any) -> int:
    top = int(text) if re.fullmatch(r"[0-9]{1,6}", str(text)) else 0
    if not 1 <= top <= MOST_KEPT:
        raise UsageError(f"--top takes a number from 1 to {MOST_KEPT:,}.")
    return top


def _output(text: str | None) -> Path | None:
    if text is None:
        return None
    output = Path(text)
    if not text or output.is_dir():
        raise UsageError(f"--output takes the name of a file, and {text or 'nothing'!r} is none.")
    if not output.parent.is_dir():
        raise UsageError(f"There is no folder {output.parent}: make it, or choose another for --output.")
    return output


def _write(output: Path, text: str) -> None:
    """Put a text in a file, whole or not at all: beside it first, then in its place."""
    beside = output.with_name(f".{output.name[:100]}.{uuid4().hex}")
    try:
        with open(beside, "x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, output)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise UsageError(f"{output} cannot be written ({error.strerror}): choose another --output.") from None
