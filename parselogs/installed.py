"""The parsers of this installation: Easel's own, and before them those that PARSELOGS_PARSERS names."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from parselogs.errors import ParserMissing
from parselogs.parsers import DEFAULT, Registry


def registry() -> Registry:
    """Return the parsers there are; each name in PARSELOGS_PARSERS is a parser, a table, or several.

    Raises ParserMissing where one cannot be imported, and whatever its module raises.
    """
    return _registry(tuple(settings.PARSELOGS_PARSERS))


@lru_cache(maxsize=1)
def _registry(paths: tuple[str, ...]) -> Registry:
    own: list[Any] = []
    for path in paths:
        try:
            found = import_string(path)
        except ImportError as error:
            said = f"PARSELOGS_PARSERS names {path}, which cannot be imported: see how it is spelled."
            raise ParserMissing(said) from error
        own += found if isinstance(found, (list, tuple)) else [found]
    return DEFAULT.extended(own)


def known_parsers() -> Registry:
    """Return the parsers there are, for pages; Easel's own where others cannot be loaded."""
    try:
        return registry()
    except Exception:  # modules of others may raise anything, and pages show old runs all the same
        return DEFAULT
