"""`python -m logmonitor.analysis`: the analysis without Django, for a quick start or a copied folder."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from logmonitor.analysis.command import DESCRIPTION, UsageError, add_arguments, run
from logmonitor.analysis.engine import AnalysisError
from logmonitor.analysis.sources import FolderError

NAME = "python -m logmonitor.analysis"
LOG_DIR = "logs/canvas_sync"
INTERRUPTED = 130


def main() -> int:
    """Run the analysis; return 0, 1 (failed), 2 (wrong usage) or 130 (interrupted)."""
    log_dir = os.environ.get("CANVAS_SYNC_LOG_DIR") or LOG_DIR
    options, unknown = options_of(sys.argv[1:], NAME, log_dir)
    if unknown:
        return _said(f"There is no option {unknown[0]}: {NAME} --help lists them.", 2)
    return run_and_tell(options)


def options_of(arguments: Sequence[str], name: str, log_dir: str) -> tuple[dict[str, Any], list[str]]:
    """Return the options among some arguments, and what is none of ours; `name` is what it is called by."""
    parser = argparse.ArgumentParser(prog=name, description=DESCRIPTION)
    add_arguments(parser, log_dir)
    options, unknown = parser.parse_known_args(arguments)
    return vars(options), unknown


def run_and_tell(options: dict[str, Any]) -> int:
    """Run with these options, say what went wrong, and return the exit status."""
    try:
        run(options, sys.stdout)
        sys.stdout.flush()
    except (UsageError, FolderError) as error:
        return _said(str(error), 2)
    except AnalysisError as error:
        return _said(str(error), 1)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # `| head` has seen enough; the interpreter must not complain when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _said(sentence: str, status: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
