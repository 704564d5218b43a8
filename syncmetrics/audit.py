"""Who did what on the console: every action is recorded on the thing it was done to."""

from __future__ import annotations

from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Model
from django.http import HttpRequest


def record(request: HttpRequest, obj: Model, text: str) -> None:
    """Record that the person of this request did `text` to a saved object.

    Shown on the object's history and on the console's page of recorded actions. `text` is a plain
    sentence without secrets: whoever may see the object may read it.
    """
    LogEntry.objects.log_actions(
        user_id=request.user.pk or 0,  # who acts has logged in; the database refuses 0
        queryset=[obj],
        action_flag=CHANGE,
        change_message=text,
        single_object=True,
    )
