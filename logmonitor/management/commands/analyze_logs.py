"""`analyze_logs`: says what the logs of the syncs say."""

from __future__ import annotations

import os
import sys
from typing import IO, Any, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from logmonitor.analysis.command import DESCRIPTION, UsageError, add_arguments, run
from logmonitor.analysis.engine import AnalysisError
from logmonitor.analysis.sources import FolderError

INTERRUPTED = 130


class Command(BaseCommand):
    """Analyse the logs of the syncs."""

    help = DESCRIPTION
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        add_arguments(parser, str(settings.CANVAS_SYNC_LOG_DIR))

    def handle(self, *args: Any, **options: Any) -> None:
        """Analyse, then leave with 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
        try:
            run(options, cast(IO[str], self.stdout))
        except (UsageError, FolderError) as error:
            raise CommandError(str(error), returncode=2) from None
        except AnalysisError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # `| head` has seen enough; the interpreter must not complain when it closes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
