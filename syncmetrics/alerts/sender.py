"""Sends one message to one channel, in a process of its own that is ended when it takes too long."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings

from easel.encryption import Undecipherable
from easel.redaction import clean, redact
from syncmetrics.models import AlertChannel

ERROR_CHARACTERS = 500
URL_CHARACTERS = 2000
UNREADABLE = (
    "The URL of this channel cannot be decrypted: put the key it was encrypted with back into"
    " CANVAS_TOKEN_KEYS, or give the URL anew."
)


class NotSent(Exception):
    """A message did not go out, or a URL may not be used; the text is one sentence without secrets."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel is told; `type` is failure, success or info, which services show as a colour."""

    title: str
    body: str
    type: str = "info"


def check_url(url: str) -> str:
    """Return the name of the service a URL leads to, without asking it; NotSent when it may not be used."""
    if len(url) > URL_CHARACTERS:
        raise NotSent(f"The URL is longer than {URL_CHARACTERS} characters: see docs/alerts.md.")
    return _ask(url, None)


def send(channel: AlertChannel, message: Message) -> None:
    """Send a message and return when the service has taken it; NotSent when it did not."""
    try:
        url = channel.url
    except Undecipherable:
        raise NotSent(UNREADABLE) from None
    _ask(url, asdict(message))


def _ask(url: str, message: dict[str, str] | None) -> str:
    order = {
        "url": url,
        "message": message,
        "allowed_hosts": settings.ALERT_ALLOWED_INSECURE_HOSTS,
        "console_url": settings.CONSOLE_URL,
    }
    answer = _run(json.dumps(order))
    if answer["error"]:
        raise NotSent(clean(redact(answer["error"]), ERROR_CHARACTERS))
    return str(answer["service"])


def _run(order: str) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "syncmetrics.alerts.process"],
            cwd=settings.BASE_DIR,
            input=order,
            capture_output=True,
            text=True,
            timeout=settings.ALERT_SEND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        limit = settings.ALERT_SEND_SECONDS
        raise NotSent(f"The service did not answer within {limit} s (ALERT_SEND_SECONDS).") from None
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        # What it wrote to stderr may quote the URL, so nobody is shown it.
        raise NotSent(f"The process that sends ended with status {done.returncode}.") from None
    return answer
