"""Query parameters as Canvas reads them: `[]` arrays, many spellings of true, strict dates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from sandbox import errors

_TRUE = frozenset(("true", "t", "yes", "y", "on", "1"))
_ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")


class Params:
    """The query of one request."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = pairs
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            if value:
                self._values.setdefault(name.removesuffix("[]"), []).append(value)

    def one(self, name: str) -> str | None:
        """The last value of a plain parameter, None when absent or empty."""
        values = self._values.get(name)
        return values[-1] if values else None

    def many(self, name: str) -> list[str]:
        """All values of an array parameter, with or without its brackets."""
        return self._values.get(name, [])

    def flag(self, name: str) -> bool | None:
        """A boolean in any of Canvas's spellings, None when absent."""
        text = self.one(name)
        return None if text is None else text.lower() in _TRUE

    def moment(self, name: str) -> str | None:
        """A date and time as UTC text to the second; raises Refusal (400) for what is not ISO 8601."""
        text = self.one(name)
        if text is None:
            return None
        # A space is a plus sign that nobody encoded.
        text = text.replace(" ", "+")
        if not _ISO_8601.fullmatch(text):
            raise errors.bad_request({"errors": {name: f"Invalid datetime for {name}"}})
        try:
            parsed = datetime.fromisoformat(text)
        except ValueError:
            raise errors.bad_request({"errors": {name: f"Invalid datetime for {name}"}}) from None
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def search(self) -> str | None:
        """The search term in small letters; raises Refusal (400) when it has fewer than three."""
        term = self.one("search_term")
        if term is not None and len(term) < 3:
            message = "search_term of 3 or more characters is required"
            raise errors.bad_request({"status": "argument_error", "message": message})
        return term.lower() if term else None
