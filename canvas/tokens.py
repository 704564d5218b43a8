"""Canvas tokens at rest: encrypted with keys from the settings, rotated without losing any."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class TokenUnreadable(Exception):
    """No key in CANVAS_TOKEN_KEYS decrypts a stored token."""


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CANVAS_TOKEN_KEYS])


def encrypt(token: str) -> str:
    """Return the token encrypted with the first key of CANVAS_TOKEN_KEYS."""
    return _fernet().encrypt(token.encode()).decode()


def decrypt(ciphertext: str) -> str:
    """Return the token; TokenUnreadable when no key in CANVAS_TOKEN_KEYS fits."""
    try:
        return _fernet().decrypt(ciphertext.encode()).decode()
    except InvalidToken:
        raise TokenUnreadable(
            "The stored token cannot be decrypted: put the key it was encrypted with back into "
            "CANVAS_TOKEN_KEYS, or connect again with a new token."
        ) from None


def rotate(ciphertext: str) -> str:
    """Return the same token encrypted with the first key."""
    return _fernet().rotate(ciphertext.encode()).decode()
