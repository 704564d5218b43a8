"""Tokens at rest: unreadable without a key, rotated without loss, never shown."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet

from canvas.models import Connection
from canvas.tokens import TokenUnreadable, decrypt, encrypt, rotate
from tests.factories import ConnectionFactory

TOKEN = "1~secret-ünïcode-token"
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_token_comes_back_and_is_nowhere_in_what_is_stored(settings: Any):
    settings.CANVAS_TOKEN_KEYS = [NEW]
    stored = encrypt(TOKEN)
    assert decrypt(stored) == TOKEN
    assert "secret" not in stored
    assert encrypt(TOKEN) != stored


def test_first_key_encrypts_and_all_decrypt(settings: Any):
    settings.CANVAS_TOKEN_KEYS = [OLD]
    stored = encrypt(TOKEN)
    settings.CANVAS_TOKEN_KEYS = [NEW, OLD]
    assert decrypt(stored) == TOKEN
    assert Fernet(NEW).decrypt(encrypt(TOKEN).encode()).decode() == TOKEN


def test_rotated_token_no_longer_needs_the_old_key(settings: Any):
    settings.CANVAS_TOKEN_KEYS = [OLD]
    stored = encrypt(TOKEN)
    settings.CANVAS_TOKEN_KEYS = [NEW, OLD]
    rotated = rotate(stored)
    settings.CANVAS_TOKEN_KEYS = [NEW]
    assert decrypt(rotated) == TOKEN


@pytest.mark.parametrize("damage", [str, str.lower, lambda stored: stored[:-8], lambda stored: ""])
def test_token_without_its_key_or_damaged_says_what_to_do(settings: Any, damage: Any):
    settings.CANVAS_TOKEN_KEYS = [OLD]
    stored = encrypt(TOKEN)
    settings.CANVAS_TOKEN_KEYS = [NEW]
    with pytest.raises(TokenUnreadable, match=r"CANVAS_TOKEN_KEYS, or connect again") as caught:
        decrypt(damage(stored))
    assert caught.value.__cause__ is None
    assert stored not in str(caught.value)


def test_connection_stores_its_token_encrypted_and_shows_it_to_nobody(db: None):
    connection = ConnectionFactory(token=TOKEN)
    stored = Connection.objects.get(pk=connection.pk)
    assert stored.token == TOKEN
    columns = Connection.objects.filter(pk=connection.pk).values().get()
    assert not [name for name, value in columns.items() if TOKEN in str(value)]
    assert TOKEN not in f"{stored} {stored!r} {vars(stored)}"
