"""`manage.py run_sandbox`: serve a sandbox Canvas until told to stop."""

from __future__ import annotations

import errno
import json
import sys
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from easel.interrupts import ASK_TO_END, handled
from sandbox.faults import FaultError
from sandbox.server import Sandbox
from sandbox.sizes import SIZES

# Threads take turns this often: at Python's 5 ms a page being rendered would delay others past their latency.
SWITCH_INTERVAL_SECONDS = 0.001


class Command(BaseCommand):
    """Print one JSON line with `url` and `token`, then serve until SIGTERM or SIGINT."""

    help = "Serves a made-up Canvas on loopback: prints one JSON line when it is ready, ends on Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--size", choices=SIZES, default="small", help="how much data (default: small)")
        parser.add_argument("--seed", type=int, default=1, help="same seed, same Canvas (default: 1)")
        parser.add_argument("--port", type=int, default=0, help="loopback port (default: a free one)")
        parser.add_argument("--token", help="the administrator's token (default: made from the seed)")
        parser.add_argument("--latency-ms", type=float, default=0, help="time an answer takes (default: 0)")
        parser.add_argument("--clock-offset-seconds", type=float, default=0, help="error of its clock")
        parser.add_argument("--faults", default="", help="kind[:rate[:count]][@path-regex],…")
        throttle = parser.add_mutually_exclusive_group()
        throttle.add_argument("--throttle", action="store_true", default=True, help="on (default)")
        throttle.add_argument("--no-throttle", action="store_false", dest="throttle", help="off")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve; raises CommandError for a bad fault or a port in use."""
        stop = threading.Event()
        with _open(options) as canvas, handled(ASK_TO_END, lambda *_: stop.set()):
            sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
            about = {"url": canvas.url, "token": canvas.token, "tokens": canvas.tokens, **canvas.settings()}
            self.stdout.write(json.dumps(about))
            self.stdout.flush()
            stop.wait()


def _open(options: dict[str, Any]) -> Sandbox:
    names = ("size", "seed", "token", "latency_ms", "throttle", "faults", "clock_offset_seconds", "port")
    try:
        return Sandbox(**{name: options[name] for name in names})
    except FaultError as error:
        raise CommandError(str(error), returncode=2) from None
    except (OSError, OverflowError) as error:
        raise CommandError(_port_message(options["port"], error), returncode=2) from None


def _port_message(port: int, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use; name another with --port, or leave it out for a free one."
    return f"Port {port} cannot be used: {str(error).rstrip('.')}."
