"""What an app shows on the home page: a table of how its things stand, and what needs attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.safestring import SafeString


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that a person ought to look at: whose it is as a badge, a sentence, the page to go to."""

    badge: SafeString
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A card of the home page."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    problems: Sequence[Attention] = field(default=())

    @property
    def table(self) -> dict[str, Any]:
        """The table, as the theme's component takes it."""
        return {"headers": self.headers, "rows": self.rows}
