"""The yardstick of the analyser: every line of the five logs decoded, typed, and dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import msgspec
from msgspec.structs import fields

from bench.children.process import answer, read_options, spending
from easel.events import COMMON, EVENTS, LOGS
from logmonitor.analysis.lines import RECORDS


def line_type(log: str) -> type[msgspec.Struct]:
    """Return the type of a log's lines: the fields the analyser reads, typed as there but without bounds.

    They stand in the order they are written in, which is the quickest to decode.
    """
    record = fields(RECORDS[log])
    bounded = {one.name: one.type for one in record}
    plain = get_type_hints(RECORDS[log]) | {"event": bounded["event"]}
    written = [*COMMON, *(name for event in EVENTS.values() if event.log == log for name in event.fields)]
    declared: list[Any] = [
        (one.name, plain[one.name], *(() if one.required else (one.default,)))
        for one in sorted(record, key=lambda one: written.index(one.name))
    ]
    return msgspec.defstruct(f"{log}_line", declared, kw_only=True, gc=False)


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
