"""What can go wrong on purpose: one table of kinds, and the rules that say when.

A rule is `kind[:rate[:count]][@path-regex]`: `500:0.05@submissions` fails every twentieth request for
submissions, `reset::3` breaks the first three of all. `docs/sandbox.md` lists the kinds.
"""

from __future__ import annotations

import random
import re
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sandbox import errors
from sandbox.errors import Refusal
from sandbox.ids import Row, spell_global, spell_tilde

# No such host exists (RFC 2606).
ELSEWHERE = "http://elsewhere.invalid"
THROTTLED_TEXT = b"403 Forbidden (Rate Limit Exceeded)\n"
LONE_SURROGATE = "SANDBOX-LONE-SURROGATE"
MAINTENANCE_PAGE = b"<!DOCTYPE html><html><body><h1>Down for maintenance</h1></body></html>\n"


class FaultError(ValueError):
    """A rule that cannot be understood; the message says why."""


@dataclass(slots=True)
class Rule:
    """One kind of fault and when it strikes."""

    kind: str
    rate: float = 1.0
    count: int | None = None
    path: str = ""
    # For drip: seconds between bytes. For timeout: how long nothing is said.
    seconds: float | None = None
    # For throttle429: the header; None sends none, as Canvas does.
    retry_after: float | None = None
    struck: int = 0
    _listings: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise FaultError(f"Unknown fault {self.kind!r}; the kinds are {', '.join(sorted(KINDS))}.")
        try:
            re.compile(self.path)
        except re.error as error:
            raise FaultError(f"The path pattern {self.path!r} is no regular expression: {error}.") from None

    def strikes(self, target: str, listing: str, dice: random.Random) -> bool:
        """Whether this request is hit.

        Faults that cut a listing differently hit all of its pages or none: `listing` is the address
        without its page.
        """
        if not re.search(self.path, target):
            return False
        if self.kind in LAYOUTS:
            return self._strikes_listing(listing)
        if (self.count is not None and self.struck >= self.count) or dice.random() >= self.rate:
            return False
        self.struck += 1
        return True

    def _strikes_listing(self, listing: str) -> bool:
        if listing in self._listings:
            return True
        full = self.count is not None and self.struck >= self.count
        if full or zlib.crc32(listing.encode()) / 2**32 >= self.rate:
            return False
        self._listings.add(listing)
        self.struck += 1
        return True

    def report(self) -> Row:
        """The rule and how often it struck, for the control endpoint."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}


def parse_rule(text: str) -> Rule:
    """A rule from its text form; raises FaultError."""
    head, _, path = text.partition("@")
    kind, *numbers = head.strip().split(":")
    try:
        rate = float(numbers[0]) if numbers and numbers[0] else 1.0
        count = int(numbers[1]) if len(numbers) > 1 and numbers[1] else None
    except ValueError:
        raise FaultError(f"{head!r} is not kind[:rate[:count]], as in 500:0.05:3.") from None
    return Rule(kind, rate=rate, count=count, path=path)


def parse_rules(given: str | Sequence[str | Row] | None) -> list[Rule]:
    """Rules from a comma-separated text, or from a list of texts and objects; raises FaultError."""
    parts: Sequence[str | Row] = given.split(",") if isinstance(given, str) else given or ()
    try:
        return [parse_rule(part) if isinstance(part, str) else Rule(**part) for part in parts if part]
    except TypeError as error:
        raise FaultError(f"A fault has a field that is not known: {error}.") from None


class Faults:
    """The rules in force; the first one that strikes decides."""

    def __init__(self, rules: list[Rule], seed: int) -> None:
        self._dice = random.Random(f"{seed}/faults")  # noqa: S311 - must repeat, not be secret
        self._lock = threading.Lock()
        self.rules = rules

    def pick(self, target: str, listing: str) -> Rule | None:
        """The rule that hits a request, None for most."""
        if not self.rules:
            return None
        with self._lock:
            return next((rule for rule in self.rules if rule.strikes(target, listing, self._dice)), None)


# --- answers instead of the page ---------------------------------------------------------------------

ANSWERS: dict[str, Callable[[], Refusal]] = {
    "500": errors.server_error,
    "502": lambda: Refusal(502, b"<html><body>502 Bad Gateway</body></html>\n"),
    "html503": lambda: Refusal(503, MAINTENANCE_PAGE),
    "html200": lambda: Refusal(200, b"<!DOCTYPE html><html><body>Log in to continue</body></html>\n"),
    "unauthorized": errors.invalid_token,
    "unauthorized_scope": errors.insufficient_scopes,
    "forbidden": errors.forbidden,
    "not_found": errors.not_found,
    "redirect": lambda: Refusal(302, b"", (("Location", f"{ELSEWHERE}/login"),)),
}
THROTTLES = {"throttle403": 403, "throttle429": 429}

# --- listings cut differently, by the field of pagination.Layout -------------------------------------

LAYOUTS = {"empty_page_with_next": "holes", "short_page": "short", "repeat_rows": "overlap"}

# --- links that lie ----------------------------------------------------------------------------------


def _loop(links: dict[str, str]) -> dict[str, str]:
    return {**links, "next": links["current"]}


def _foreign(links: dict[str, str]) -> dict[str, str]:
    if "next" not in links:
        return links
    return {**links, "next": re.sub(r"^https?://[^/]+", ELSEWHERE, links["next"])}


def _drop(links: dict[str, str]) -> dict[str, str]:
    return {name: url for name, url in links.items() if name != "next"}


LINKS: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "loop": _loop,
    "foreign_next": _foreign,
    "drop_next": _drop,
}

# --- bodies that are not as documented ---------------------------------------------------------------


def respell_ids(value: Any, spell: Callable[[int], Any]) -> Any:
    """A copy of a body in which every integer under `id`, `…_id` or `…_ids` is spelled anew."""
    if isinstance(value, list):
        return [respell_ids(item, spell) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _respell_field(name, item, spell) for name, item in value.items()}


def _respell_field(name: str, value: Any, spell: Callable[[int], Any]) -> Any:
    if (name == "id" or name.endswith("_id")) and isinstance(value, int):
        return spell(value)
    if name.endswith("_ids") and isinstance(value, list):
        return [spell(item) if isinstance(item, int) else item for item in value]
    return respell_ids(value, spell)


def _first_row(change: Callable[[Row], Row]) -> Callable[[Any], Any]:
    """A fault of one row: the first of a page, or the only one of a single answer."""

    def apply(body: Any) -> Any:
        if isinstance(body, list):
            return [change(body[0]), *body[1:]] if body else body
        rows = body.get("enrollment_terms")
        return {**body, "enrollment_terms": apply(rows)} if rows else change(body)

    return apply


def _is_id(name: str) -> bool:
    return name == "id" or name.endswith("_id")


def _in_texts(extra: str) -> Callable[[Row], Row]:
    fields = ("name", "title", "body", "description", "sortable_name")

    def change(row: Row) -> Row:
        return {name: (value or "") + extra if name in fields else value for name, value in row.items()}

    return change


def _not_a_list(body: Any) -> Any:
    return {"message": "this was a list once"} if isinstance(body, list) else [body]


def _odd_rows(body: Any) -> Any:
    return [None, 17, "text", *body] if isinstance(body, list) else body


BODIES: dict[str, Callable[[Any], Any]] = {
    "not_a_list": _not_a_list,
    "row_not_object": _odd_rows,
    "nul_text": _first_row(_in_texts("nul\x00inside")),
    "surrogate": _first_row(_in_texts(LONE_SURROGATE)),
    "string_ids": lambda body: respell_ids(body, str),
    "tilde_ids": lambda body: respell_ids(body, spell_tilde),
    "global_ids": lambda body: respell_ids(body, spell_global),
    "out_of_range_id": _first_row(lambda row: {**row, "id": 2**63 + 5}),
    "null_fields": _first_row(
        lambda row: {name: value if _is_id(name) else None for name, value in row.items()}
    ),
    "unknown_fields": _first_row(lambda row: {**row, "sandbox_unknown": {"nested": [1, 2]}}),
    "unknown_state": _first_row(
        lambda row: {
            name: "sandbox_unknown" if name in ("workflow_state", "enrollment_state") else value
            for name, value in row.items()
        }
    ),
    "restricted_by_date": _first_row(lambda row: {"id": row["id"], "access_restricted_by_date": True}),
}

# --- bytes that do not arrive ------------------------------------------------------------------------

# reset: the connection breaks before a byte; timeout: nothing is said; truncated: it ends half-way through
# the announced length; cut_json: a whole answer whose JSON ends half-way; drip: a byte now and then.
WIRES = frozenset(("reset", "timeout", "truncated", "cut_json", "drip"))

KINDS = frozenset((*ANSWERS, *THROTTLES, *LAYOUTS, *LINKS, *BODIES, *WIRES))
