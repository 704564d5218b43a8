"""`python -m bench`: measures syncs, the writer and a peer, prints a table, keeps JSON under `var/bench`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench import (
    analyser,
    backfill,
    campus,
    dashboard,
    end_to_end,
    incremental,
    logs,
    parse_lists,
    parse_logging,
    parsing,
    peer,
    transfers,
    writer,
)
from bench.figures import Figure, show
from bench.stage import KINDS, ROOT, BenchError, Stage

PARTS: Mapping[str, Callable[..., Iterator[Figure]]] = {
    "writer": writer.run,
    "end_to_end": end_to_end.run,
    "memory": end_to_end.run_large,
    "peer": peer.run,
    "incremental": incremental.run,
    "logs": logs.run,
    "analyser": analyser.run,
    "campus": campus.run,
    "dashboard": dashboard.run,
    "backfill": backfill.run,
    "transfers": transfers.run,
    "parse_logging": parse_logging.run,
    "parse_lists": parse_lists.run,
    "parsing": parsing.run,
}


def main() -> int:
    """Run the parts asked for; the exit status tells whether they ran, not whether targets were met."""
    options = _options()
    print(machine(), flush=True)
    figures: list[Figure] = []
    try:
        with Stage(options.databases) as stage:
            for sentence in stage.missing:
                print(f"{sentence}; `make test-deps` installs it.")
            for part in options.only:
                print(f"{part} …", file=sys.stderr, flush=True)
                found = list(PARTS[part](stage, options.rounds, quick=options.quick))
                show(found)
                figures += found
                _keep(options, figures)  # a long run that ends early has kept what it measured
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Kept as {options.output}.")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: does it work at all?")
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 5, with --quick 1")
    parser.add_argument("--only", type=_list_of(PARTS), metavar="A,B", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--databases", type=_list_of(KINDS), metavar="A,B", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the JSON goes")
    file = ROOT / "var" / "bench" / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}.json"
    parser.set_defaults(only=list(PARTS), databases=list(KINDS), output=file)
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


def _list_of(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"no {unknown[0]!r}; there are {', '.join(known)}")
        return names

    return parse


def machine() -> str:
    """Return what the figures were taken on, in one line."""
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = platform.platform(terse=True)
    return (
        f"{os.cpu_count()} cores, {system}, Python {platform.python_version()};"
        " sandbox, client and database share the cores; PostgreSQL with fsync off"
    )


def _keep(options: argparse.Namespace, figures: list[Figure]) -> None:
    options.output.parent.mkdir(parents=True, exist_ok=True)
    kept = {
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "quick": options.quick,
        "rounds": options.rounds,
        "figures": [figure.as_json() for figure in figures],
    }
    options.output.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
