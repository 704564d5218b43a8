"""People who use the console, and what they read on its pages."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.http import HttpResponse
from django.test import Client

from canvas.access import set_limits
from canvas.models import Instance

PASSWORD = "correct horse battery staple"


def staff(name: str, *permissions: str, superuser: bool = False) -> User:
    """Return someone who may log in, with permissions such as `view_course` (`view_*`: all of them)."""
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True, is_superuser=superuser)
    for permission in permissions:
        pattern = f"^{permission.replace('*', '.*')}$"
        user.user_permissions.add(*Permission.objects.filter(codename__regex=pattern))
    return user


def person(name: str, role: str, *, only: Sequence[Instance] = ()) -> User:
    """Return someone with a role, limited to some Canvas sites if `only` names them."""
    user = staff(name)
    user.groups.add(Group.objects.get(name=role))
    if only:
        set_limits(user=user, instances=only)
    return user


def client_of(user: User) -> Client:
    """Return a browser in which someone has logged in."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def text_of(response: HttpResponse | Any) -> str:
    """Return what a page shows: no mark-up, single spaces."""
    assert response.status_code == 200, response.status_code
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
