"""The yardstick of the analyser: every line of the five logs decoded, typed, and dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from bench.children.process import answer, read_options, spending
from easel.events import COMMON, EVENTS, LOGS

TYPES: dict[str, Any] = {
    "run": int | None,
    "user": int | None,
    "records": dict[str, int],
    "status": int | str | None,
    "course": str | None,
    "resumed_from": int | None,
    "percent": float | None,
}
WHOLE = (
    *("courses", "assignments", "submissions", "requests", "rows_written", "courses_done", "steps", "bytes"),
    *("rows", "created", "updated", "unchanged", "deleted", "statements"),
)
REAL = ("seconds", "duration_ms", "waited_ms")
FLAGS = ("dry_run", "paginated", "throttled", "retried", "failed")
TYPES |= dict.fromkeys(WHOLE, int) | dict.fromkeys(REAL, float) | dict.fromkeys(FLAGS, bool)


def line_type(log: str) -> type[msgspec.Struct]:
    """Return the type of a log's lines: all fields of all of its events, as declared."""
    own = {name: None for event in EVENTS.values() if event.log == log for name in event.fields}
    required: list[Any] = [(name, TYPES.get(name, str)) for name in COMMON]
    optional: list[Any] = [(name, TYPES.get(name, str) | None, None) for name in own]
    return msgspec.defstruct(f"{log}_line", required + optional)


def main() -> None:
    """Decode all lines of `folder`; print seconds and lines."""
    options = read_options(with_django=False)
    lines = 0
    with spending() as spent:
        for log in LOGS:
            decode = msgspec.json.Decoder(line_type(log)).decode
            with open(Path(options["folder"]) / f"{log}.log", "rb") as file:
                for line in file:
                    decode(line)
                    lines += 1
    answer({"wall": spent.wall, "cpu": spent.cpu, "lines": lines})


if __name__ == "__main__":
    main()
