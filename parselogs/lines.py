"""The lines of a run's log: time, level, message; nothing secret, nothing that forges another line."""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from easel.redaction import MASK, anonymous, clean
from parselogs.errors import describe

MESSAGE_CHARACTERS = 4000
FRAMES = 30
CONTINUED = "    | "
"""How a line begins that goes on with the one before: no text from outside begins like a line of its own."""

LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<level>[A-Z]+) +(?P<message>.*)", re.DOTALL
)
"""How every line reads that is not a continuation."""


def spell(level: str, message: str, created: float) -> str:
    """Return a line; `created` in seconds since the epoch, `message` as it may be shown."""
    return f"{_second(int(created))}.{int(created % 1 * 1000):03d}Z {level:<8} {message}\n"


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    """Return a second as text: the lines of a log share theirs with many others."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def line_of(record: logging.LogRecord, secrets: Iterable[str] = ()) -> str:
    """Return the line of a record, with the lines of its exception: where it was, never what it quotes."""
    line = spell(record.levelname, _shown(_message(record), secrets), record.created)
    if record.exc_info and record.exc_info[1]:
        continued = (_shown(text, secrets) for text in _exception(record.exc_info[1]))
        line += "".join(f"{CONTINUED}{text}\n" for text in continued)
    return line


def known_secrets() -> tuple[str, ...]:
    """Return the secrets of this installation that no line may hold, plain and percent-encoded."""
    database: Any = settings.DATABASES["default"]
    storage: Any = settings.STORAGES["uploads"].get("OPTIONS", {})
    passwords = (
        *(database.get("PASSWORD"), storage.get("secret_key"), settings.EMAIL_HOST_PASSWORD),
        unquote(urlsplit(settings.CELERY_BROKER_URL).password or ""),
    )
    keys = (
        settings.SECRET_KEY,
        *settings.CANVAS_TOKEN_KEYS,
        settings.PROMETHEUS_TOKEN,
        settings.HEALTH_TOKEN,
    )
    plain = filter(None, (*keys, *passwords))
    spelled = {spelling for secret in plain for spelling in (str(secret), quote(str(secret), safe=""))}
    return tuple(sorted(spelled, key=len, reverse=True))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except SoftTimeLimitExceeded:  # a worker's word to the task, which came just now
        raise
    except Exception as error:  # what is to be shown may raise anything; a line never ends a parse
        return f"A line that cannot be spelled ({type(error).__name__}), from {record.module}:{record.lineno}"


def _shown(text: str, secrets: Iterable[str]) -> str:
    text = text[: 10 * MESSAGE_CHARACTERS]
    for secret in secrets:
        text = text.replace(secret, MASK)
    return clean(anonymous(text), MESSAGE_CHARACTERS)


def _exception(error: BaseException) -> Iterator[str]:
    """Yield an exception and what led to it, as `module:line in function` and its class."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield describe(one)
        frames = list(traceback.walk_tb(one.__traceback__))[-FRAMES:]
        for frame, number in frames:
            yield f"  at {frame.f_globals.get('__name__', '?')}:{number} in {frame.f_code.co_name}"
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if one is not None:
            yield "because of"
