"""What can go wrong with Canvas, grouped by what the caller must do about it.

| family | the caller |
|---|---|
| `Unavailable` | may try again later; the client already tried as often as it may |
| `Refused` | stops and tells a person; trying again changes nothing |
| `BrokenListing` | keeps what it has, and concludes nothing from it |
| `RejectedRecord` | counts the record, keeps the reason, goes on |

No message holds a token, a query string or a response body; what Canvas itself said is quoted clamped.
"""

from __future__ import annotations


class CanvasError(Exception):
    """Root of the family; the text is one sentence that names what to do.

    `said` is what of it are Canvas's own words: they may name somebody, so logs do without.
    """

    said: str = ""

    @property
    def for_log(self) -> str:
        """The text without Canvas's own words."""
        return str(self).replace(f" ({self.said})", "") if self.said else str(self)


class Unavailable(CanvasError):
    """Canvas did not give a usable answer, however often it was asked (5xx, reset, timeout, garbled body)."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Keep the seconds Canvas asked us to wait, if it did."""
        super().__init__(message)
        self.retry_after = retry_after


class Throttled(Unavailable):
    """Canvas refused because the token made too many requests at once."""


class Refused(CanvasError):
    """Canvas, or the address, will not serve this request; a person has to change something."""


class TokenRejected(Refused):
    """The token is wrong, expired, deleted or unusable."""


class NotPermitted(Refused):
    """The token is good, its owner or its scopes may not do this."""


class NotFound(Refused):
    """Canvas says that there is no such thing, or no more."""


class InvalidAssignmentIds(Refused):
    """Submissions were asked for an assignment Canvas will not serve (unpublished or deleted)."""


class BadRequest(Refused):
    """Canvas does not accept the request as it is."""


class WrongAddress(Refused):
    """The base URL is unusable, or what answers there is not Canvas."""


class BrokenListing(CanvasError):
    """A listing cannot be read to its end: a loop, a foreign or lost next link, a body of another shape."""


class RejectedRecord(CanvasError):
    """One record cannot be stored; `reason` says why."""

    def __init__(self, reason: str) -> None:
        """Keep the reason, which is also the text."""
        super().__init__(reason)
        self.reason = reason


class Interrupted(Exception):
    """The work was cancelled. Not a `CanvasError`, so that no handler of failures swallows a Ctrl-C."""
