"""Text made safe to show: secrets and addresses masked, control characters escaped, length clamped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "[redacted]"


def _member(name: str) -> re.Pattern[str]:
    """Return the pattern of a query parameter or JSON member, up to the end of its value."""
    return re.compile(rf"(?i)({name}[\"']?\s*(?:=|:|%3D)\s*[\"']?)(?!bearer\b)[^\s&\"',;<>]+")


def _canvas_token(mark: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9])\d+{mark}[A-Za-z0-9]{{20,}}")


# Each with a text, in lower case, that whatever it finds holds: most lines hold none of them, and looking for
# a plain text costs a tenth of a pattern. None has an i or an s, which `(?i)` finds as U+0131 and U+017F too.
_PATTERNS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    # Authorization headers, in any spelling a log line may have them.
    ("bearer", re.compile(r"(?i)\b(bearer(?:\s|%20|\+)+)[^\s\"',;&<>]+"), rf"\1{MASK}"),
    # Query parameters and JSON members: access_token=x, access_token%3Dx, "access_token": "x".
    ("_token", _member("access_token"), rf"\1{MASK}"),
    ("_key", _member("api_key"), rf"\1{MASK}"),
    # Canvas tokens are "<shard>~<random letters and digits>"; "123~456" is an id and stays.
    ("~", _canvas_token("~"), MASK),
    ("%7e", _canvas_token("%7[eE]"), MASK),
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
    lowered = text.lower()
    for mark, pattern, replacement in _PATTERNS:
        if mark in lowered:
            text = pattern.sub(replacement, text)
    if "@" in text or "%40" in text:
        text = _EMAIL.sub(MASK, text)
    return text


def anonymous(text: str) -> str:
    """Return `text` redacted, and with logins masked: for files that more people read than the console."""
    text = redact(text)
    return _LOGIN.sub(rf"\1{MASK}", text) if "_log" in text.lower() else text


def clean(text: str, limit: int) -> str:
    """Return `text` with control characters escaped (`\\n`, `\\x1b`), at most `limit` characters long."""
    begin = text[: limit + 1]
    escaped = begin if begin.isprintable() else _UNSAFE.sub(_escape, begin)
    return escaped if len(escaped) <= limit else escaped[: max(limit - 1, 0)] + "…"[:limit]


def json_escaped(json: str) -> str:
    """Return JSON with the characters escaped, as JSON does it, that are not safe to show."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", json)


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")
