"""Canvas tokens at rest: encrypted with keys from the settings, rotated without losing any."""

from __future__ import annotations

from django.conf import settings

from easel import encryption


class TokenUnreadable(Exception):
    """No key in CANVAS_TOKEN_KEYS decrypts a stored token."""


def encrypt(token: str) -> str:
    """Return the token encrypted with the first key of CANVAS_TOKEN_KEYS."""
    return encryption.encrypt(token, settings.CANVAS_TOKEN_KEYS)


def decrypt(ciphertext: str) -> str:
    """Return the token; TokenUnreadable when no key in CANVAS_TOKEN_KEYS fits."""
    try:
        return encryption.decrypt(ciphertext, settings.CANVAS_TOKEN_KEYS)
    except encryption.Undecipherable:
        raise TokenUnreadable(
            "The stored token cannot be decrypted: put the key it was encrypted with back into "
            "CANVAS_TOKEN_KEYS, or connect again with a new token."
        ) from None


def rotate(ciphertext: str) -> str:
    """Return the same token encrypted with the first key."""
    return encryption.rotate(ciphertext, settings.CANVAS_TOKEN_KEYS)
