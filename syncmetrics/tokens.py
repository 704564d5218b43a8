"""API tokens: made once, shown once, known again by their digest."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone

from syncmetrics.models import ApiToken

PREFIX = "easel_"
"""By it people and scanners of repositories know what they have found."""
USED_AGAIN = timedelta(minutes=10)


def make_token(user: User, name: str, days: int | None) -> tuple[ApiToken, str]:
    """Store a new token of a person, valid for so many days or for ever, and return it with its text.

    The text is random, 256 bits, so its plain SHA-256 cannot be guessed back; nobody can show it again.
    """
    text = PREFIX + secrets.token_urlsafe(32)
    expires_at = None if days is None else timezone.now() + timedelta(days=days)
    token = ApiToken.objects.create(user=user, name=name, digest=digest(text), expires_at=expires_at)
    return token, text


def digest(text: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def person_of_token(text: str) -> User | None:
    """Return the active person whose valid token this is, else None; the use is noted every ten minutes."""
    now = timezone.now()
    valid = ApiToken.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), user__is_active=True)
    token = valid.select_related("user").filter(digest=digest(text)).first()
    if token is None:
        return None
    if token.last_used_at is None or now - token.last_used_at > USED_AGAIN:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token.user
