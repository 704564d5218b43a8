"""What a job was called with, as it may be kept and shown: secrets masked, sizes bounded, plain JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

from easel.redaction import MASK, clean, redact

TEXT_CHARACTERS = 200  # of one text
READ_CHARACTERS = 5000  # of one text, looked through for secrets before it is cut
ITEMS = 20  # of one list or object
DEPTH = 4
ALL_VALUES = 200  # of everything together

_SECRET = re.compile(
    r"token|secret|pass(?:w|phrase)|pwd|(?:api|access|private|signing|encryption)[_-]?key|authori[sz]ation"
    r"|(?<![a-z])auth(?![a-z])|bearer|cookie|credential|signature|session|jwt",
    re.IGNORECASE,
)
_USER_IN_URL = re.compile(r"(?<=://)[^/\s@]{1,500}@")
_AS_TEXT = (datetime, date, time, timedelta, Decimal, UUID)


def keepable(value: Any) -> Any:
    """Return a value as JSON that may be kept and shown.

    What stands under a secret's name is masked, texts are redacted, and whatever is longer, deeper or
    more than the limits above ends in `…`.
    """
    return _Keeper().keep(value)


def keepable_text(text: str, characters: int = TEXT_CHARACTERS) -> str:
    """Return a text without secrets, addresses and control characters, cut to a length."""
    # Redacted before it is cut, for half a token is still one; but not megabytes of it.
    return clean(redact(_USER_IN_URL.sub(f"{MASK}@", text[:READ_CHARACTERS])), characters)


class _Keeper:
    """Counts the values of one call, so that many small ones do not get round the limits."""

    def __init__(self) -> None:
        self._left = ALL_VALUES

    def keep(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > DEPTH:
            return "…"
        if isinstance(value, Mapping):
            return self._object(value, depth)
        if isinstance(value, list | tuple | set | frozenset):
            kept = [self.keep(item, depth + 1) for item in islice(value, ITEMS)]
            return [*kept, "…"] if len(value) > ITEMS else kept
        return _scalar(value)

    def _object(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        kept = {
            name: MASK if _SECRET.search(name) else self.keep(item, depth + 1)
            for name, item in ((keepable_text(str(key)), item) for key, item in islice(value.items(), ITEMS))
        }
        return kept | {"…": f"{len(value) - ITEMS} more"} if len(value) > ITEMS else kept


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return keepable_text(value)
    # Only the printed form of well-known classes: another's may say anything, at any length.
    return str(value) if isinstance(value, _AS_TEXT) else f"<{type(value).__name__}>"
