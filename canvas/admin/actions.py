"""What an operator does to Canvas from the console: test and replace tokens, start and end syncs."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from canvas.access import MAY_CONNECT, MAY_SYNC
from canvas.admin.forms import SyncForm, TokenForm
from canvas.connect import ConnectError, Probe, check_connection, connect, findings
from canvas.errors import CanvasError
from canvas.models import Connection, Course
from canvas.sync import SyncOptions, UsageError
from canvas.tasks import QueueUnreachable, enqueue_sync
from canvas.tokens import TokenUnreadable
from syncmetrics.actions import Action, Outcome
from syncmetrics.admin.runs import run_link
from syncmetrics.models import SyncRun
from syncmetrics.runs import RunActive, request_cancel, resumable


def check_token(request: HttpRequest, connection: Connection, asked: dict[str, Any]) -> Outcome:
    """Probe a connection's token; what Canvas says is kept on the connection, be it good or bad."""
    try:
        probe = check_connection(connection)
    except (CanvasError, ConnectError, TokenUnreadable) as error:
        return Outcome(str(error), f"Tested the token: {error}", level=messages.ERROR)
    connection.refresh_from_db()
    return Outcome(f"It works. {_found(connection, probe)}", "Tested the token: it works.")


def replace_token(request: HttpRequest, connection: Connection, asked: dict[str, Any]) -> Outcome:
    """Probe a new token and store it instead of the old one."""
    return store_token(name=connection.name, base_url=connection.instance.base_url, **asked)[1]


def store_token(*, name: str, base_url: str, **asked: Any) -> tuple[Connection, Outcome]:
    """Connect a Canvas as `connect_canvas` does; ValidationError with the command's sentences."""
    try:
        connection, probe = connect(name=name, base_url=base_url, **asked)
    except (CanvasError, ConnectError) as error:
        raise ValidationError(str(error)) from None
    text = f"Connected {connection.name} to {connection.instance.base_url}. {_found(connection, probe)}"
    return connection, Outcome(text, "Stored a token that Canvas accepts.")


def _found(connection: Connection, probe: Probe) -> str:
    lines = (line.removesuffix(".").replace("_", " ") for line in findings(connection, probe))
    return " ".join(f"{line[0].upper()}{line[1:]}." for line in lines)


def sync_connection(request: HttpRequest, connection: Connection, asked: dict[str, Any]) -> Outcome:
    """Queue the sync that the form asks for."""
    return start_sync(request, connection, asked["options"])


def sync_course(request: HttpRequest, course: Course, asked: dict[str, Any]) -> Outcome:
    """Queue a sync of one course, with the connection of its Canvas that sees most."""
    found = Connection.objects.select_related("instance").filter(instance=course.instance_id)
    best = min(
        found, key=lambda one: (one.state != Connection.State.OK, not one.authoritative, one.pk), default=None
    )
    if best is None:
        raise ValidationError("No connection to the course's Canvas is left.")
    return start_sync(request, best, SyncOptions(courses=(best.instance.folder().spell(course.pk),)))


def resume_run(request: HttpRequest, run: SyncRun, asked: dict[str, Any]) -> Outcome:
    """Queue a run that goes on where this one stopped."""
    connection = Connection.objects.select_related("instance").filter(pk=run.connection_key or 0).first()
    if connection is None:
        raise ValidationError("The connection of this run is gone.")
    return start_sync(request, connection, resume=run)


def cancel_run(request: HttpRequest, run: SyncRun, asked: dict[str, Any]) -> Outcome:
    """End a queued run, or ask one at work to stop."""
    if not request_cancel(run):
        return Outcome("The run had ended already.", level=messages.WARNING)
    run.refresh_from_db()
    ended = run.sync_end_time is not None
    text = "The run is cancelled." if ended else "The run stops at its next sign of life, in a few seconds."
    return Outcome(f"{text} It can be resumed.", "Cancelled the run.")


def start_sync(
    request: HttpRequest,
    connection: Connection,
    options: SyncOptions | None = None,
    *,
    resume: SyncRun | None = None,
) -> Outcome:
    """Queue a sync and lead to its run; where one is at work, say which."""
    try:
        run = enqueue_sync(
            connection, options, resume=resume, trigger=SyncRun.Trigger.CONSOLE, user_id=request.user.pk
        )
    except RunActive as active:
        return Outcome(
            format_html(
                "{} of {} is {} already, so nothing new was started.",
                run_link(active.run),
                active.run.connection_name,
                active.run.get_sync_status_display().lower(),
            ),
            level=messages.WARNING,
        )
    except (UsageError, QueueUnreachable) as error:
        raise ValidationError(str(error)) from None
    return Outcome(
        format_html("{} of {} is queued.", run_link(run), connection.name),
        f"Started run {run.pk}.",
        url=reverse("admin:syncmetrics_syncrun_change", args=[run.pk]),
    )


CONNECTION_ACTIONS = (
    Action(
        name="sync",
        title="Sync now",
        icon="sync",
        permission=MAY_SYNC,
        perform=sync_connection,
        form=SyncForm,
        in_lists=True,
    ),
    Action(
        name="test",
        title="Test connection",
        icon="network_check",
        permission=MAY_SYNC,
        perform=check_token,
        question="Canvas is asked whose token it is, what it may read and when it ends.",
        in_lists=True,
    ),
    Action(
        name="token",
        title="Replace token",
        icon="key",
        permission=MAY_CONNECT,
        perform=replace_token,
        form=TokenForm,
        question="The new token is tried first; the old one stays until Canvas accepts the new one.",
    ),
)
COURSE_ACTIONS = (
    Action(
        name="sync",
        title="Sync this course now",
        icon="sync",
        permission=MAY_SYNC,
        perform=sync_course,
        offered=lambda course: course.deleted_at is None,
        question="The course is read from Canvas, with all that belongs to it.",
    ),
)
RUN_ACTIONS = (
    Action(
        name="resume",
        title="Resume",
        icon="resume",
        permission=MAY_SYNC,
        perform=resume_run,
        offered=lambda run: resumable(run) and bool(run.connection_key) and not run.resumed_by.exists(),
        question="A new run goes on where this one stopped; what was completed is not done again.",
    ),
    Action(
        name="cancel",
        title="Cancel",
        icon="stop_circle",
        permission=MAY_SYNC,
        perform=cancel_run,
        offered=lambda run: run.sync_end_time is None and not run.cancel_requested,
        question="The run stops; what it has read is kept, and it can be resumed.",
    ),
)
