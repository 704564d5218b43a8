"""What can go wrong with uploads and runs, and what of an error may be written down."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.db import Error as DatabaseError

from easel.redaction import clean, redact

TEXT_CHARACTERS = 300

# SQLite has no other way to say which constraint was broken; what follows are names of ours.
_SQLITE_CONSTRAINT = re.compile(
    r"(?:UNIQUE|CHECK|NOT NULL|FOREIGN KEY) constraint failed(?:: [\w., ]{1,200})?"
)


class ParselogsError(Exception):
    """The root of our own errors. Their texts are sentences of ours, without anything from a file."""


class UploadRefused(ParselogsError):
    """The file is not taken: say the sentence to who uploads it."""


class RunActive(ParselogsError):
    """Another run of this file waits or is at work."""


class RunTaken(ParselogsError):
    """The run is no longer this process's: stop, and write nothing more."""


class CancelRequested(ParselogsError):
    """Somebody asked for the run to stop."""


class InputUnusable(ParselogsError):
    """What was uploaded is no longer there, or is something else now; `code` says which."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


class ParserMissing(ParselogsError):
    """A parser that the settings name is not there."""


class StorageUnavailable(ParselogsError):
    """The storage did not answer as it should: try again later."""


class LogUnavailable(ParselogsError):
    """There is no log to show here and now; the sentence says why."""


def describe(error: BaseException) -> str:
    """Return class and, where it cannot hold a value of somebody's file, what an error says.

    Texts of databases and of Python itself quote what they choked on. Kept are our own sentences, the
    names of constraints, the system's own words for its error numbers, and S3's error codes.
    """
    kind = type(error).__name__
    said = next(filter(None, map(_said, _chain(error))), "")
    return clean(redact(f"{kind}: {said}" if said else kind), TEXT_CHARACTERS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _said(error: BaseException) -> str:
    if isinstance(error, ParselogsError):
        return str(error)
    if isinstance(error, DatabaseError):
        return _constraint(error)
    if isinstance(error, OSError):
        return error.strerror or ""
    response = getattr(error, "response", None)  # botocore's ClientError
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return f"the storage says {code}" if code else ""


def _constraint(error: BaseException) -> str:
    diagnosis = getattr(error.__cause__, "diag", None)  # psycopg's
    if name := getattr(diagnosis, "constraint_name", None):
        return f"constraint {name}"
    found = _SQLITE_CONSTRAINT.fullmatch(str(error))
    return found.group() if found else ""
