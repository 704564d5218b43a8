"""Paths of Canvas's API without what names single things, so that the like are counted together."""

from __future__ import annotations

import re

LONGEST_ENDPOINT = 200

UUID = r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"
"""A pattern of UUIDs, with dashes or without."""

_API_PREFIX = re.compile(r"/?(?:api/v\d/)?")
# Canvas's ids: 42, 1~42, sis_user_id:X, lti_context_id:X, hex:sis_login_id:X; and what else names one thing.
_ID_SEGMENT = re.compile(rf"-?\d+(?:~\d+)?|(?:hex:)?(?:sis|lti)_\w+:.*|{UUID}|[0-9a-fA-F]{{16,}}|uuid:.*")


def endpoint(path: str) -> str:
    """Return a path with `:id` for every id: `courses/42/enrollments` gives `courses/:id/enrollments`."""
    bare = _API_PREFIX.sub("", path.partition("?")[0], count=1)
    named = (":id" if _ID_SEGMENT.fullmatch(part) else part for part in bare.split("/"))
    return "/".join(named)[:LONGEST_ENDPOINT]
