"""`python -m logmonitor.analysis`: the analysis without Django, for a quick start or a copied folder."""

from __future__ import annotations

import argparse
import os
import sys

from logmonitor.analysis.command import DESCRIPTION, UsageError, add_arguments, run
from logmonitor.analysis.engine import AnalysisError
from logmonitor.analysis.sources import FolderError

LOG_DIR = "logs/canvas_sync"
INTERRUPTED = 130


def main() -> int:
    """Run the analysis; return 0, 1 (failed), 2 (wrong usage) or 130 (interrupted)."""
    parser = argparse.ArgumentParser(prog="python -m logmonitor.analysis", description=DESCRIPTION)
    add_arguments(parser, os.environ.get("CANVAS_SYNC_LOG_DIR") or LOG_DIR)
    options = vars(parser.parse_args())
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
