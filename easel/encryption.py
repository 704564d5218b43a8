"""Secrets at rest: encrypted with keys that may be changed without losing what older ones encrypted."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Undecipherable(Exception):
    """None of the keys decrypts a stored secret."""


def _fernet(keys: Iterable[str]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(secret: str, keys: Iterable[str]) -> str:
    """Return the secret encrypted with the first key. Keys are 32 bytes in URL-safe base64 (Fernet)."""
    return _fernet(keys).encrypt(secret.encode()).decode()


def decrypt(ciphertext: str, keys: Iterable[str]) -> str:
    """Return the secret; Undecipherable when no key fits."""
    try:
        return _fernet(keys).decrypt(ciphertext.encode()).decode()
    except InvalidToken:
        raise Undecipherable("No key decrypts it.") from None


def rotate(ciphertext: str, keys: Iterable[str]) -> str:
    """Return the same secret encrypted with the first key."""
    return _fernet(keys).rotate(ciphertext.encode()).decode()
