"""`connect_canvas`: checks a Canvas token, says what it may read, stores it encrypted."""

from __future__ import annotations

import getpass
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import BaseCommand, CommandError, CommandParser

from canvas.connect import ConnectError, Probe, connect, findings
from canvas.errors import CanvasError
from canvas.models import Connection

MAX_TOKEN_BYTES = 4096


class Command(BaseCommand):
    """Connect a Canvas site with an access token."""

    help = (
        "Connects a Canvas site: checks the token, says what it may read and when it expires, and stores"
        " it encrypted. The same --name again replaces the token."
    )
    requires_system_checks = ("easel",)  # the rest of them load the console

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--name", required=True, help="a short name for the connection, such as prod")
        parser.add_argument("--base-url", required=True, help="such as https://canvas.example.edu")
        source = parser.add_mutually_exclusive_group()
        source.add_argument("--token-env", metavar="VAR", help="environment variable that holds the token")
        source.add_argument("--token-file", metavar="FILE", help="file that holds the token")
        parser.add_argument("--owner", metavar="DJANGO_USER", help="user of this console who owns the token")
        parser.add_argument(
            "--authoritative",
            action="store_true",
            help="this token sees everything, so what Canvas does not list is deleted; an account admin's"
            " token is authoritative by itself",
        )
        parser.add_argument(
            "--expires-at", metavar="DATE", help="when the token ends, where Canvas does not tell"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Connect, and say what was found."""
        if not options["name"].replace("-", "").replace("_", "").isalnum() or len(options["name"]) > 50:
            raise CommandError(
                "--name takes up to 50 letters, digits, hyphens and underscores.", returncode=2
            )
        expires_at = _date(options["expires_at"])
        token = _read_token(options["token_env"], options["token_file"])
        try:
            connection, probe = connect(
                name=options["name"],
                base_url=options["base_url"],
                token=token,
                owner=_owner(options["owner"]),
                authoritative=options["authoritative"],
                expires_at=expires_at,
            )
        except ConnectError as error:
            raise CommandError(str(error), returncode=2) from None
        except CanvasError as error:
            raise CommandError(str(error)) from None
        self._report(connection, probe)

    def _report(self, connection: Connection, probe: Probe) -> None:
        first, *capabilities, expiry = findings(connection, probe)
        self.stdout.write(first)
        for line in capabilities:
            self.stdout.write(f"  {line}")
        self.stdout.write(expiry)
        if connection.token_expiry == Connection.Expiry.UNKNOWN:
            self.stdout.write("Where you know it, say it with --expires-at: Easel then warns in time.")
        if not connection.authoritative:
            self.stdout.write(
                "Not authoritative: nothing is marked deleted because this token does not see it."
            )
        self.stdout.write(
            self.style.SUCCESS(f"Connected {connection.name} to {connection.instance.base_url}.")
        )


def _read_token(variable: str | None, path: str | None) -> str:
    if variable:
        token = os.environ.get(variable, "")
        if not token:
            raise CommandError(f"The environment variable {variable} is empty or not set.", returncode=2)
    elif path:
        try:
            with Path(path).open(encoding="utf-8") as file:
                token = file.read(MAX_TOKEN_BYTES)
        except (OSError, UnicodeDecodeError):
            raise CommandError(f"Cannot read the token file {path}.", returncode=2) from None
    elif sys.stdin.isatty():
        token = getpass.getpass("Canvas access token: ")
    else:
        raise CommandError("No token: give --token-env VAR or --token-file FILE.", returncode=2)
    return token


def _owner(name: str | None) -> AbstractBaseUser | None:
    if name is None:
        return None
    user = get_user_model()._default_manager.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no user {name!r} in this console.", returncode=2)
    return user


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise CommandError("--expires-at takes a date such as 2027-01-31.", returncode=2) from None
