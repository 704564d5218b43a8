"""Secrets come back with the key they were encrypted with, and with no other."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from easel.encryption import Undecipherable, decrypt, encrypt, rotate

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_a_secret_comes_back_and_is_not_seen_before() -> None:
    hidden = encrypt("slack://é", [NEW, OLD])

    assert "slack" not in hidden
    assert decrypt(hidden, [NEW]) == "slack://é"


def test_an_older_key_still_decrypts_until_it_is_rotated_away() -> None:
    hidden = encrypt("secret", [OLD])

    assert decrypt(hidden, [NEW, OLD]) == "secret"
    assert decrypt(rotate(hidden, [NEW, OLD]), [NEW]) == "secret"


@pytest.mark.parametrize(
    "text", ["", "nonsense", encrypt("secret", [OLD])], ids=["nothing", "nonsense", "of another key"]
)
def test_what_no_key_decrypts_is_refused_without_a_hint_at_it(text: str) -> None:
    with pytest.raises(Undecipherable, match=r"^No key decrypts it\.$"):
        decrypt(text, [NEW])
