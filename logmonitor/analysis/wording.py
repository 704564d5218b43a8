"""Paths and messages without what differs from one to the next, so that the like are counted together."""

from __future__ import annotations

import re
from functools import lru_cache

from easel.redaction import clean, redact

LONGEST_ENDPOINT = 200
LONGEST_MESSAGE = 300

_API_PREFIX = re.compile(r"/?(?:api/v\d/)?")
_UUID = r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"
# Canvas's ids: 42, 1~42, sis_user_id:X, lti_context_id:X, hex:sis_login_id:X; and what else names one thing.
_ID_SEGMENT = re.compile(rf"-?\d+(?:~\d+)?|(?:hex:)?(?:sis|lti)_\w+:.*|{_UUID}|[0-9a-fA-F]{{16,}}|uuid:.*")
# In prose a number of up to three digits says something (a status); an id has more or follows a sign.
# How each of them begins stands first, which spares most places the rest.
_ID_IN_TEXT = re.compile(
    rf"(?<!\w)(?=[\da-fA-F])(?:{_UUID}\b|[0-9a-fA-F]{{16,}}\b|(?:(?<=[/:#=])\d+|\d{{4,}})(?:~\d+)?\b(?!~))"
)


def endpoint(path: str) -> str:
    """Return a path with `:id` for every id: `courses/42/enrollments` gives `courses/:id/enrollments`."""
    bare = _API_PREFIX.sub("", path.partition("?")[0], count=1)
    named = (":id" if _ID_SEGMENT.fullmatch(part) else part for part in bare.split("/"))
    return "/".join(named)[:LONGEST_ENDPOINT]


def like(message: str) -> str:
    """Return a message with `:id` for every id."""
    return _shown_once(_ID_IN_TEXT.sub(":id", message[: 4 * LONGEST_MESSAGE]))


@lru_cache(1_000)
def _shown_once(text: str) -> str:
    return shown(text)


def shown(text: str, limit: int = LONGEST_MESSAGE) -> str:
    """Return text of a log as it may be shown: redacted, without control characters, not too long."""
    return clean(redact(text[: 4 * limit]), limit)
