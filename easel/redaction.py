"""Text made safe to show: secrets and addresses masked, control characters escaped, length clamped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "[redacted]"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Authorization headers, in any spelling a log line may have them.
    (re.compile(r"(?i)\b(bearer(?:\s|%20|\+)+)[^\s\"',;&<>]+"), rf"\1{MASK}"),
    # Query parameters and JSON members: access_token=x, access_token%3Dx, "access_token": "x".
    (
        re.compile(r"(?i)((?:access_token|api_key)[\"']?\s*(?:=|:|%3D)\s*[\"']?)(?!bearer\b)[^\s&\"',;<>]+"),
        rf"\1{MASK}",
    ),
    # Canvas tokens are "<shard>~<random letters and digits>"; "123~456" is an id and stays.
    (re.compile(r"(?<![A-Za-z0-9])\d+(?:~|%7[eE])[A-Za-z0-9]{20,}"), MASK),
)
# Lengths are bounded as in RFC 5321, which also keeps the search linear.
_EMAIL = re.compile(r"[\w.%+'-]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63})+")

# A login names a person, as an address does; paths hold it as Canvas spells it, and percent-encoded.
_LOGIN = re.compile(r"(?i)(sis_login_id(?::|%3A))[^\s/?&\"']+")

# Controls, line separators, and the marks that reorder or hide text; lone surrogates cannot be written.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` with tokens, API keys, e-mail addresses and the given `secrets` masked.

    A secret is found as it is and percent-encoded. Redact before clamping: half a token is still one.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK).replace(quote(secret, safe=""), MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    if "@" in text or "%40" in text:
        text = _EMAIL.sub(MASK, text)
    return text


def anonymous(text: str) -> str:
    """Return `text` redacted, and with logins masked: for files that more people read than the console."""
    text = redact(text)
    return _LOGIN.sub(rf"\1{MASK}", text) if "login" in text.lower() else text


def clean(text: str, limit: int) -> str:
    """Return `text` with control characters escaped (`\\n`, `\\x1b`), at most `limit` characters long."""
    escaped = _UNSAFE.sub(_escape, text[: limit + 1])
    return escaped if len(escaped) <= limit else escaped[: max(limit - 1, 0)] + "…"[:limit]


def json_escaped(json: str) -> str:
    """Return JSON with the characters escaped, as JSON does it, that are not safe to show."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", json)


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")
