"""How a record of the loggers `canvas.sync.*` becomes one line: a JSON object that names nobody."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from easel.redaction import anonymous, clean, json_escaped

FREE_TEXT = ("message", "path")
"""Fields whose words come from elsewhere."""

FREE_TEXT_CHARACTERS = 1000


def line_of(record: logging.LogRecord) -> bytes:
    """Return the line of a record, with its end. Raises nothing: what is no JSON is written as text."""
    line: dict[str, Any] = {
        "ts": timestamp(getattr(record, "at", None) or record.created),
        "level": record.levelname,
        "event": record.msg if isinstance(record.msg, str) else str(record.msg),
        **_fields(getattr(record, "fields", None)),
    }
    return _encoded(line) + b"\n"


def timestamp(seconds: float) -> str:
    """Return POSIX seconds as `2026-11-22T08:15:30.123Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(fields: object) -> dict[str, Any]:
    known = dict(fields) if isinstance(fields, Mapping) else {}
    for name in FREE_TEXT:
        if text := known.get(name):
            known[name] = _safe(str(text))
    return known


@lru_cache(maxsize=1024)  # the pages of a listing have one path
def _safe(text: str) -> str:
    return clean(anonymous(text), FREE_TEXT_CHARACTERS)


def _encoded(line: Mapping[str, Any]) -> bytes:
    try:
        encoded = orjson.dumps(line)
    except TypeError:  # half a character, an integer beyond 64 bits, a value that is none of JSON's
        encoded = json.dumps(line, default=str, skipkeys=True).encode()
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    # What would move the cursor of a terminal, or turn a text around, is escaped too.
    return json_escaped(encoded.decode()).encode()
