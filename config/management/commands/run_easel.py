"""`run_easel`: the whole of Easel on one machine: console, worker, beat and, where needed, Redis."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from config.children import Child, ChildFailed, Family
from config.redis_child import (
    answers,
    find_redis_server,
    private_redis_url,
    private_socket,
    redis_command,
    wait_until_it_answers,
)

READY_SECONDS = 60.0
CONSOLE = "The console: http://{host}:{port}/ (an account: manage.py createsuperuser; Ctrl-C ends)"
WITHOUT_REDIS = (
    "No Redis was found, so there are no schedules and no background syncs; commands work. Install"
    " redis-server, or set REDIS_URL."
)


class Command(BaseCommand):
    """Serve the console, and do its background work."""

    help = (
        "Prepares the database, then serves the console with a worker, beat and, without REDIS_URL, a Redis"
        " of its own. Ctrl-C or SIGTERM ends them all."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--host", default="127.0.0.1", help="to listen at (default: 127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="to listen at (default: 8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until told to end."""
        with _the_only_one():
            _check_port(options["host"], options["port"])
            call_command("migrate", verbosity=0)
            call_command("ensure_schedules", verbosity=0)
            connections.close_all()
            family = Family(self._children(options["host"], options["port"]))
            try:
                with family:
                    self.stdout.write(CONSOLE.format(**options))
                    self.stdout.flush()
                    family.watch()
            except ChildFailed as error:
                raise CommandError(str(error)) from None

    def _children(self, host: str, port: int) -> Iterator[Child]:
        background = [*_worker_and_beat()]
        if _needs_private_redis():
            program = find_redis_server()
            if program is None:
                self.stdout.write(WITHOUT_REDIS)
                background = []
            else:
                ready = partial(wait_until_it_answers, private_socket(settings.VAR_DIR))
                yield Child("Redis", redis_command(program, settings.VAR_DIR), ready)
        yield from background
        web = _python("gunicorn", "config.wsgi", f"--bind={host}:{port}", *GUNICORN)
        yield Child("console", web, partial(_wait_for_port, host, port))


# Workers here need not know of each other.
WORKER = ("--loglevel=WARNING", "--without-gossip", "--without-mingle")
GUNICORN = ("--threads=8", "--no-control-socket", "--log-level=warning")


def _wait_for_port(host: str, port: int) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return True
        time.sleep(0.05)
    return False


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"The console cannot listen at {host}:{port} ({error}): name another --port.", returncode=2
            ) from None


def _needs_private_redis() -> bool:
    private = private_redis_url(settings.VAR_DIR) == settings.CELERY_BROKER_URL
    return private and not answers(private_socket(settings.VAR_DIR))


def _worker_and_beat() -> Iterator[Child]:
    celery = ("celery", "--quiet", "-A", "config")
    # SIGTERM does not wait for a sync: the next worker takes it up where it stopped.
    at_once = {"REMAP_SIGTERM": "SIGQUIT"}
    yield Child("worker", _python(*celery, "worker", *WORKER), environment=at_once)
    yield Child("beat", _python(*celery, "beat", "--loglevel=WARNING"))


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


@contextmanager
def _the_only_one() -> Iterator[None]:
    """Keep a second one out of this installation's folder: two beats would do everything twice."""
    with (settings.VAR_DIR / "run_easel.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            raise CommandError(
                f"Easel is running here already, as process {pid}: end that one first.", returncode=2
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
