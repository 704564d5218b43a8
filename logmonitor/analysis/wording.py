"""Messages without what differs from one to the next, so that the like are counted together."""

from __future__ import annotations

import re
from functools import lru_cache

from easel.paths import UUID
from easel.redaction import clean, redact

LONGEST_MESSAGE = 300

# In prose a number of up to three digits says something (a status); an id has more or follows a sign.
# How each of them begins stands first, which spares most places the rest.
_ID_IN_TEXT = re.compile(
    rf"(?<!\w)(?=[\da-fA-F])(?:{UUID}\b|[0-9a-fA-F]{{16,}}\b|(?:(?<=[/:#=])\d+|\d{{4,}})(?:~\d+)?\b(?!~))"
)


def like(message: str) -> str:
    """Return a message with `:id` for every id."""
    return _shown_once(_ID_IN_TEXT.sub(":id", message[: 4 * LONGEST_MESSAGE]))


@lru_cache(1_000)
def _shown_once(text: str) -> str:
    return shown(text)


def shown(text: str, limit: int = LONGEST_MESSAGE) -> str:
    """Return text of a log as it may be shown: redacted, without control characters, not too long."""
    return clean(redact(text[: 4 * limit]), limit)
