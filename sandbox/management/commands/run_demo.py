"""`run_demo`: shows two syncs of a sandbox Canvas, then the console; what `make demo` runs."""

from __future__ import annotations

import signal
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from easel.interrupts import terminable
from sandbox.demo import Demo, DemoError, DemoUnusable, Installation, check_port, claimed

INTERRUPTED = 130


class Command(BaseCommand):
    """Show what Easel does, on a Canvas that comes with it."""

    help = (
        "Syncs a sandbox Canvas, edits it, syncs again, compares, and serves the console. Uses a folder and a"
        " database of its own."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--port", type=int, default=8000, help="of the console (default: 8000)")
        parser.add_argument("--no-serve", action="store_true", help="end after the summary")
        parser.add_argument("--size", default="small", help="of the sandbox (default: small)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Play the demo; leave with 1 when the second sync did not find exactly the edits."""
        try:
            with terminable(signal.SIGHUP):
                self._play(**options)
        except DemoUnusable as error:
            raise CommandError(str(error), returncode=2) from None
        except DemoError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    def _play(self, *, port: int, no_serve: bool, size: str, **_: Any) -> None:
        folder = settings.VAR_DIR.resolve() / "demo"
        if not no_serve:
            check_port(port)
        with claimed(folder), Installation(settings.BASE_DIR, folder) as installation:
            demo = Demo(installation, size=size, console=Console())
            exact = demo.play()
            if not no_serve:
                try:
                    demo.serve(port)
                except KeyboardInterrupt:  # the way a served demo ends
                    self.stdout.write("\nThe demo has ended.")
        if not exact:
            raise CommandError("Not everything was found as it is: see above.")
