"""What Easel itself did to a run, on the run's history in the console."""

from __future__ import annotations

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password

from parselogs.models import ParseFileMeta

ACCOUNT = "easel"


def note(run: ParseFileMeta, text: str) -> None:
    """Record that Easel did `text` to a run; a plain sentence without secrets.

    Django wants an account for each entry: this one has no password and cannot log in.
    """
    account, _ = get_user_model().objects.get_or_create(
        username=ACCOUNT, defaults={"is_active": False, "password": make_password(None)}
    )
    LogEntry.objects.log_actions(
        user_id=account.pk,
        queryset=[run],
        action_flag=CHANGE,
        change_message=text,
        single_object=True,
    )
