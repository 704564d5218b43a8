"""The console's pages of Canvas sites and of the tokens they are read with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from canvas.access import MAY_CONNECT, allowed_instances
from canvas.admin.actions import CONNECTION_ACTIONS, store_token
from canvas.admin.exports import ExportPages
from canvas.admin.forms import ConnectForm
from canvas.admin.imports import ImportPages, InstanceSettings
from canvas.admin.limited import LimitedAdmin
from canvas.connect import ALLOWED
from canvas.models import Connection, Instance
from canvas.overview import latest_completed
from syncmetrics.actions import ActingAdmin, Outcome
from syncmetrics.audit import record
from syncmetrics.display import BAD, CARE, GOOD, NOTHING, ConsoleAdmin, ago, badge, link, yes_or_no

STATE_COLOURS = {
    Connection.State.OK: GOOD,
    Connection.State.REJECTED: BAD,
    Connection.State.UNREACHABLE: CARE,
}
NEVER_SHOWN = "The token itself is stored encrypted and never shown."


def token_badge(connection: Connection) -> SafeString:
    """Return what Canvas last said of the token."""
    colour = STATE_COLOURS[Connection.State(connection.state)]
    return badge(connection.get_state_display(), colour, title=connection.state_message)


def token_end(connection: Connection) -> SafeString | str:
    """Return when the token ends, as far as anybody knows."""
    if connection.token_expires_at:
        return ago(connection.token_expires_at)
    return connection.get_token_expiry_display()


class SettingsAdmin(LimitedAdmin, ConsoleAdmin):
    """What connecting makes, and of which a few harmless fields are changed here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: connecting makes it, which checks the token."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: the copy belongs to it."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Write only what was changed here: a sync may be writing the rest of the row."""
        obj.save(update_fields=form.changed_data)


@admin.register(Instance)
class InstanceAdmin(ImportPages, ExportPages, SettingsAdmin):
    """Canvas sites."""

    import_resource = InstanceSettings
    list_display = ("name", "base_url", "connection_count", "created_at")
    search_fields = ("name", "base_url")
    readonly_fields = ("base_url", "canvas_shard", "created_at", "connections")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Instance]:
        """Bring the number of connections along."""
        instances: QuerySet[Instance] = super().get_queryset(request)
        return instances.annotate(connection_count=Count("connections"))

    @display(description="connections")
    def connection_count(self, instance: Any) -> int:
        """Return how many tokens it is read with."""
        return int(instance.connection_count)

    @display(description="connections")
    def connections(self, instance: Instance) -> SafeString:
        """Return a link to them."""
        url = reverse("admin:canvas_connection_changelist")
        return link(f"{url}?instance__id__exact={instance.pk}", "connections of this instance")


@admin.register(Connection)
class ConnectionAdmin(ActingAdmin, SettingsAdmin):
    """Tokens: does it work, whose is it, what may it conclude, when does it end, when was it last used."""

    console_actions = CONNECTION_ACTIONS
    add_title = "Connect a Canvas"
    show_add_link = False  # the theme's own, a plus without a word
    list_display = (
        "name",
        "state_now",
        "instance",
        "owner",
        "concludes_deletions",
        "token_expires",
        "last_sync",
    )
    list_select_related = ("instance", "owner")
    list_filter = ("state", ("instance", admin.RelatedOnlyFieldListFilter))
    search_fields = ("name", "instance__name", "instance__base_url")
    autocomplete_fields = ("owner",)
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "instance", "owner", "authoritative", "runs")}),
        (
            "Token",
            {
                "description": NEVER_SHOWN,
                "fields": (
                    "state_now",
                    "state_message",
                    "checked_at",
                    "token_expiry",
                    "token_expires_at",
                    "canvas_user_id",
                    "account_admin",
                ),
            },
        ),
        ("What the token may read", {"fields": ("may_read", "may_not_read")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        """Bring the end of the last completed sync along."""
        connections: QuerySet[Connection] = super().get_queryset(request)
        return connections.annotate(last_sync_at=latest_completed("sync_end_time"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever may connect a Canvas, unless limited to sites that are there already."""
        return request.user.has_perm(MAY_CONNECT) and allowed_instances(request.user) is None

    @method_decorator(sensitive_post_parameters("token"))
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Connect a Canvas as the command does: with a token that is tried first."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self.answer(
            request,
            ConnectForm(request.POST if request.method == "POST" else None),
            perform=partial(self._connect, request),
            context={"title": self.add_title},
            back=reverse("admin:canvas_connection_changelist"),
        )

    def _connect(self, request: HttpRequest, asked: dict[str, Any]) -> Outcome:
        connection, outcome = store_token(**asked)
        record(request, connection, "Connected a Canvas.")
        return replace(outcome, url=self.page_of(connection))

    def get_readonly_fields(self, request: HttpRequest, obj: Connection | None = None) -> list[str]:
        """Leave open the name, the owner, and the token's end where Canvas does not tell it."""
        closed = [name for _, options in self.fieldsets for name in options["fields"]]
        open_fields = {"name", "owner"}
        if obj and obj.token_expiry == Connection.Expiry.UNKNOWN:
            open_fields.add("token_expires_at")
        return [name for name in closed if name not in open_fields]

    @display(description="state", ordering="state")
    def state_now(self, connection: Connection) -> SafeString:
        """Return the state as colour and word."""
        return token_badge(connection)

    @display(description="authoritative", ordering="authoritative")
    def concludes_deletions(self, connection: Connection) -> str:
        """Return whether absence from its listings means deletion."""
        return yes_or_no(connection.authoritative)

    @display(description="token expires", ordering="token_expires_at")
    def token_expires(self, connection: Connection) -> SafeString | str:
        """Return when the token ends."""
        return token_end(connection)

    @display(description="last completed sync")
    def last_sync(self, connection: Any) -> SafeString | str:
        """Return how long ago a sync completed."""
        return ago(connection.last_sync_at)

    @display(description="runs")
    def runs(self, connection: Connection) -> SafeString:
        """Return a link to its runs."""
        url = reverse("admin:syncmetrics_syncrun_changelist")
        return link(f"{url}?connection={connection.pk}", "syncs of this connection")

    @display(description="may read")
    def may_read(self, connection: Connection) -> str:
        """Return the listings that the probe could read."""
        return _names(name for name, said in connection.capabilities.items() if said == ALLOWED)

    @display(description="may not read, or not tried")
    def may_not_read(self, connection: Connection) -> str:
        """Return the others."""
        refused = {name: said for name, said in connection.capabilities.items() if said != ALLOWED}
        return _names(f"{name} ({said})" for name, said in refused.items())


def _names(found: Iterable[str]) -> str:
    return ", ".join(found).replace("_", " ") or NOTHING
