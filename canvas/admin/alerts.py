"""The console's pages of incidents, of the channels that tell of them, and of who gets reports by mail."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminPasswordWidget

from canvas.access import MAY_SYNC, is_unlimited
from canvas.admin.limited import LimitedAdmin
from canvas.models import Connection
from syncmetrics.actions import ActingAdmin, Action, Outcome
from syncmetrics.admin.runs import run_link
from syncmetrics.alerts.deliveries import broken_channels, try_channel
from syncmetrics.alerts.incidents import mark_as_over
from syncmetrics.alerts.kinds import kinds, titles
from syncmetrics.alerts.sender import NotSent, check_url
from syncmetrics.display import (
    BAD,
    CARE,
    GOOD,
    NOTHING,
    PLAIN,
    ConsoleAdmin,
    ReadOnlyAdmin,
    ago,
    badge,
    link,
    moment,
    one_line,
    yes_or_no,
)
from syncmetrics.jobs.failures import failing_schedules
from syncmetrics.models import AlertChannel, AlertDelivery, Incident, ReportRecipient
from syncmetrics.reports.content import STARTS, content_of, last_period
from syncmetrics.reports.sending import failed_sendings, send_to

MAY_CHANGE_CHANNELS = "syncmetrics.change_alertchannel"
MAY_CHANGE_RECIPIENTS = "syncmetrics.change_reportrecipient"
DELIVERY_COLOURS = {
    AlertDelivery.State.SENT: GOOD,
    AlertDelivery.State.WAITING: CARE,
    AlertDelivery.State.GIVEN_UP: BAD,
}

# --- incidents ------------------------------------------------------------------------------------


class OpenFilter(DropdownFilter):  # type: ignore[misc]  # the theme has no types
    """Incidents that go on, or that are over."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the two states."""
        return [("open", "open"), ("over", "over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Incident]) -> QuerySet[Incident]:
        """Keep those of the chosen state."""
        chosen = self.value()
        return queryset.filter(ended_at__isnull=chosen == "open") if chosen in ("open", "over") else queryset


def close_incident(request: HttpRequest, incident: Incident, asked: dict[str, Any]) -> Outcome:
    """End an incident that will not recover by itself, such as that of a connection nobody syncs any more."""
    if not mark_as_over(incident):
        return Outcome("It was over already.", level=messages.WARNING)
    return Outcome("The incident is closed; nobody is sent a message.", "Closed the incident.")


class IncidentAdmin(LimitedAdmin, ActingAdmin, ReadOnlyAdmin):
    """Incidents: what, of what, since when, for how long, who was told."""

    console_actions = (
        Action(
            name="close",
            title="Mark as over",
            icon="done",
            permission=MAY_SYNC,
            perform=close_incident,
            offered=lambda incident: incident.ended_at is None,
            question="It counts as over, and nobody is told. If it happens anew, a new incident begins.",
            in_lists=True,
        ),
    )
    list_display = ("state", "kind_of", "about", "since", "lasted", "look_at", "told")
    list_display_links = ("kind_of", "about")
    list_filter = (OpenFilter, ("kind", ChoicesDropdownFilter))
    search_fields = ("about",)
    date_hierarchy = "started_at"
    ordering = ("-started_at", "-pk")
    sortable_by = ("since",)
    list_select_related = ("run",)
    list_per_page = 50
    compressed_fields = False
    fieldsets = (
        (None, {"fields": (("state", "kind_of", "about"), "text", "ending")}),
        ("When", {"fields": (("began", "ended"), ("lasted", "times"), "look_at")}),
        ("Who was told", {"fields": ("messages_sent",)}),
    )
    readonly_fields = (
        "state",
        "kind_of",
        "about",
        "text",
        "ending",
        "began",
        "ended",
        "lasted",
        "times",
        "look_at",
        "messages_sent",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        """Bring along how many were told."""
        incidents: QuerySet[Incident] = super().get_queryset(request)
        sent = Q(deliveries__state=AlertDelivery.State.SENT)
        return incidents.annotate(
            sent=Count("deliveries__channel", filter=sent, distinct=True),
            given_up=Count("deliveries", filter=Q(deliveries__state=AlertDelivery.State.GIVEN_UP)),
        )

    @display(description="state")
    def state(self, incident: Incident) -> SafeString:
        """Return whether it goes on."""
        return badge("over", PLAIN) if incident.ended_at else badge("open", BAD)

    @display(description="what", ordering="kind")
    def kind_of(self, incident: Incident) -> SafeString:
        """Return the kind."""
        return one_line(incident.get_kind_display())

    @display(description="since", ordering="started_at")
    def since(self, incident: Incident) -> SafeString | str:
        """Return how long ago it began."""
        return ago(incident.started_at)

    @display(description="began")
    def began(self, incident: Incident) -> SafeString | str:
        """Return when it began."""
        return moment(incident.started_at)

    @display(description="ended")
    def ended(self, incident: Incident) -> SafeString | str:
        """Return when it ended."""
        return moment(incident.ended_at)

    @display(description="lasted")
    def lasted(self, incident: Incident) -> SafeString | str:
        """Return how long it went on, or has been going on."""
        return one_line(timesince(incident.started_at, incident.ended_at or timezone.now()))

    @display(description="look at")
    def look_at(self, incident: Incident) -> SafeString | str:
        """Return a link to the latest run that ended so, or to the page of what it happened to."""
        if incident.page:
            return link(incident.page, incident.about)
        return run_link(incident.run)

    @display(description="told")
    def told(self, incident: Any) -> SafeString | str:
        """Return how many channels were told."""
        if incident.given_up:
            return badge("not all", BAD)
        return f"{incident.sent} channel{'' if incident.sent == 1 else 's'}" if incident.sent else NOTHING

    @display(description="messages")
    def messages_sent(self, incident: Incident) -> SafeString | str:
        """Return every message of it: to whom, what, how it stands."""
        sent = incident.deliveries.select_related("channel")
        lines = ((each.channel.name, each.what, _standing(each), each.error) for each in sent)
        return format_html_join("", "<div>{}: {} {} {}</div>", lines) or "No channel was to be told."


def _standing(delivery: AlertDelivery) -> SafeString:
    colour = DELIVERY_COLOURS.get(AlertDelivery.State(delivery.state), PLAIN)
    mark = badge(delivery.get_state_display(), colour)
    when = moment(delivery.sent_at) if delivery.sent_at else ""
    doubt = badge("may have been sent twice", CARE) if delivery.interrupted else ""
    return format_html("{} {} {}", mark, when, doubt)


# --- channels -------------------------------------------------------------------------------------


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]
    """A channel. Nothing typed into `url` is ever shown again."""

    url = forms.CharField(
        label="URL",
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text="As apprise writes it, such as slack://TokenA/TokenB/TokenC, mailtos://… or jsons://…;"
        " docs/alerts.md has the list. Stored encrypted, never shown again.",
    )
    tells_when = forms.MultipleChoiceField(
        required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget, label="Tell when"
    )
    connections = forms.MultipleChoiceField(
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        label="Only of these connections",
        help_text="None ticked: of all.",
    )

    class Meta:
        model = AlertChannel
        fields = ("name", "enabled", "error_rate_percent")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        connections = Connection.objects.order_by("name").values_list("pk", "name")
        if field := self.fields.get("tells_when"):
            field.choices = [(kind.key, kind.when) for kind in kinds().values()]  # type: ignore[attr-defined]
            field.initial = [key for key in kinds() if key not in self.instance.muted_kinds]
        if field := self.fields.get("connections"):
            field.choices = [(str(key), name) for key, name in connections]  # type: ignore[attr-defined]
            field.initial = [str(key) for key in self.instance.connection_keys]
        if self.instance.pk and (url := self.fields.get("url")):
            url.help_text = f"Leave it empty to keep the one there is. {url.help_text}"

    def clean_url(self) -> str:
        """See that alerts may use it; a channel that is there keeps its own when none is given."""
        url = str(self.cleaned_data["url"]).strip()
        if not url:
            if not self.instance.pk:
                raise ValidationError("Give the URL of the service.")
            return ""
        try:
            self.instance.service = check_url(url)
        except NotSent as error:
            raise ValidationError(str(error)) from None
        return url

    def save(self, commit: bool = True) -> AlertChannel:
        """Encrypt the URL, and forget how the one before did."""
        channel: AlertChannel = self.instance
        if url := self.cleaned_data["url"]:
            channel.url, channel.last_error = url, ""
        channel.muted_kinds = sorted(set(kinds()).difference(self.cleaned_data["tells_when"]))
        channel.connection_keys = sorted(int(key) for key in self.cleaned_data["connections"])
        saved: AlertChannel = super().save(commit)
        return saved


def test_channel(request: HttpRequest, channel: AlertChannel, asked: dict[str, Any]) -> Outcome:
    """Send a test message and say how that went."""
    try:
        try_channel(channel)
    except NotSent as error:
        return Outcome(f"Not sent: {error}", "Sent a test message, in vain.", messages.ERROR)
    return Outcome(f"Sent: {channel.service} has taken it.", "Sent a test message.")


class ChannelAdmin(LimitedAdmin, ActingAdmin, ConsoleAdmin):
    """Channels: does it work, what is it, what does it tell of, when did it last."""

    form = ChannelForm
    console_actions = (
        Action(
            name="test",
            title="Send a test",
            icon="send",
            permission=MAY_CHANGE_CHANNELS,
            perform=test_channel,
            question="A test message is sent at once; that may take half a minute.",
            in_lists=True,
        ),
    )
    add_title = "Add a channel"
    show_add_link = False
    list_display = ("name", "state", "service", "tells_of", "of_connections", "sent", "last_error")
    ordering = ("name",)
    readonly_fields = ("state", "service", "sent", "failed", "last_error")
    fieldsets = (
        (None, {"fields": ("name", "url", "enabled")}),
        (
            "What it hears of",
            {"fields": ("tells_when", "error_rate_percent", "connections")},
        ),
        ("How it does", {"fields": (("state", "service"), ("sent", "failed"), "last_error")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: AlertChannel | None = None) -> Any:
        """Leave out how a new channel does, and from who only looks the form's own fields."""
        what, when, how = self.fieldsets
        sets = (what, when, how) if obj else (what, when)
        if self.has_change_permission(request, obj) or not obj:
            return sets
        tell = {"fields": ("tells_of", "error_rate_percent", "of_connections")}
        return ((None, {"fields": ("name", "enabled")}), ("What it hears of", tell), how)

    def get_readonly_fields(self, request: HttpRequest, obj: AlertChannel | None = None) -> Any:
        """Add what it tells of in words for who only looks."""
        return (*self.readonly_fields, "tells_of", "of_connections")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Look up the names of all connections once for the list."""
        found = super().get_changelist_instance(request)
        names = dict(Connection.objects.values_list("pk", "name"))
        for channel in found.result_list:
            channel.connection_names = names
        return found

    @method_decorator(sensitive_post_parameters("url"))
    def changeform_view(self, *args: Any, **kwargs: Any) -> HttpResponse:
        """Keep the URL out of error reports."""
        response: HttpResponse = super().changeform_view(*args, **kwargs)
        return response

    @display(description="state")
    def state(self, channel: AlertChannel) -> SafeString:
        """Return whether it works."""
        if not channel.enabled:
            return badge("off", PLAIN)
        if channel.last_error:
            return badge("does not work", BAD)
        return badge("works", GOOD) if channel.last_sent_at else badge("not tried", CARE)

    @display(description="tells of")
    def tells_of(self, channel: AlertChannel) -> str:
        """Return the kinds it is told of."""
        told = [title for key, title in titles() if key not in channel.muted_kinds]
        return "everything" if len(told) == len(titles()) else ", ".join(told) or "nothing"

    @display(description="of connections")
    def of_connections(self, channel: Any) -> str:
        """Return the connections it is told of."""
        names = getattr(channel, "connection_names", None)
        if names is None:
            names = dict(Connection.objects.values_list("pk", "name"))
        return ", ".join(names.get(key, "one that is gone") for key in channel.connection_keys) or "all"

    @display(description="last sent", ordering="last_sent_at")
    def sent(self, channel: AlertChannel) -> SafeString | str:
        """Return when a message was last taken."""
        return ago(channel.last_sent_at)

    @display(description="last failure")
    def failed(self, channel: AlertChannel) -> SafeString | str:
        """Return when a message was last not taken."""
        return ago(channel.last_error_at)


# --- reports --------------------------------------------------------------------------------------


def send_now(report: str, request: HttpRequest, recipient: ReportRecipient, asked: dict[str, Any]) -> Outcome:
    """Send the latest report to one person."""
    try:
        send_to(recipient, report)
    except (OSError, smtplib.SMTPException) as error:
        raise ValidationError(f"It was not sent: {error}") from None
    return Outcome("The mail server has taken it.", f"Sent the {report} report.")


class RecipientAdmin(LimitedAdmin, ActingAdmin, ConsoleAdmin):
    """Who gets reports: which, since when, did the last one go out. Addresses show to who may change them."""

    console_actions = tuple(
        Action(
            name=f"send_{report}",
            title=f"Send the {report} report now",
            icon="mail",
            permission=MAY_CHANGE_RECIPIENTS,
            perform=partial(send_now, report),
            question="The report of the last period goes out at once, beside the schedule.",
        )
        for report in STARTS
    )
    add_title = "Add a recipient"
    show_add_link = False
    list_before_template = "admin/syncmetrics/recipient_bar.html"
    list_display = ("email", "state", "gets_weekly", "gets_monthly", "last_sent", "problem")
    search_fields = ("email",)
    ordering = ("email",)
    fields = ("email", "weekly", "monthly", "enabled", "last_sent", "problem")
    readonly_fields = ("last_sent", "problem")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReportRecipient]:
        """Bring along when the last report went out."""
        recipients: QuerySet[ReportRecipient] = super().get_queryset(request)
        return recipients.annotate(last=Max("sendings__sent_at")).prefetch_related("sendings")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may change them: these are addresses of people."""
        return super().has_view_permission(request, obj) and request.user.has_perm(MAY_CHANGE_RECIPIENTS)

    def get_urls(self) -> list[URLPattern]:
        """Add the previews."""
        own = [
            path(
                f"{report}/",
                self.admin_site.admin_view(partial(self.preview, report=report)),
                name=f"syncmetrics_reportrecipient_{report}",
            )
            for report in STARTS
        ]
        return [*own, *super().get_urls()]

    def preview(self, request: HttpRequest, *, report: str) -> HttpResponse:
        """Show the report of the last period as a mail program shows it, and its plain text."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        content = content_of(last_period(report, timezone.now()))
        page = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": content.title,
            "html": content.html(),
            "text": content.text(),
            "back": reverse("admin:syncmetrics_reportrecipient_changelist"),
        }
        return render(request, "admin/syncmetrics/report_preview.html", page)

    @display(description="state", ordering="enabled")
    def state(self, recipient: ReportRecipient) -> SafeString:
        """Return whether reports go there, and whether the last did."""
        if not recipient.enabled:
            return badge("off", PLAIN)
        return badge("not sent", BAD) if _problem_of(recipient) else badge("on", GOOD)

    @display(description="weekly", ordering="weekly")
    def gets_weekly(self, recipient: ReportRecipient) -> str:
        """Return whether the weekly report goes there."""
        return yes_or_no(recipient.weekly)

    @display(description="monthly", ordering="monthly")
    def gets_monthly(self, recipient: ReportRecipient) -> str:
        """Return whether the monthly report goes there."""
        return yes_or_no(recipient.monthly)

    @display(description="last report sent")
    def last_sent(self, recipient: Any) -> SafeString | str:
        """Return when a report last went out."""
        return ago(getattr(recipient, "last", None))

    @display(description="problem")
    def problem(self, recipient: ReportRecipient) -> str:
        """Return why the last report did not go out."""
        return _problem_of(recipient) or NOTHING


def _problem_of(recipient: ReportRecipient) -> str:
    """Return why the newest report of either kind was not sent, if it was not."""
    if not recipient.pk:
        return ""
    newest = {sending.report: sending for sending in reversed(recipient.sendings.all())}
    return next((each.error for each in newest.values() if each.error and not each.sent_at), "")


# --- the home page --------------------------------------------------------------------------------


def alert_problems(request: HttpRequest) -> Iterator[dict[str, Any]]:
    """Yield, for the home page, which schedules fail, channels do not work and reports were not sent."""
    pages = admin.site.get_model_admin
    if pages(Incident).has_view_permission(request) and is_unlimited(request.user):
        for failing in failing_schedules(timezone.now()):
            yield {"badge": badge(failing.about, CARE), "text": failing.text, "url": failing.page}
    if pages(AlertChannel).has_view_permission(request):
        for channel in broken_channels():
            yield _problem(
                "alertchannel", channel, f"Alerts do not reach {channel.name}: {channel.last_error}"
            )
    if pages(ReportRecipient).has_view_permission(request):
        found = {sending.recipient: sending for sending in failed_sendings().select_related("recipient")[:20]}
        for recipient in found:
            if problem := _problem_of(recipient):
                yield _problem("reportrecipient", recipient, f"A report was not sent. {problem}")


def _problem(page: str, subject: AlertChannel | ReportRecipient, text: str) -> dict[str, Any]:
    return {
        "badge": badge("alerts" if page == "alertchannel" else "reports", CARE),
        "text": text,
        "url": reverse(f"admin:syncmetrics_{page}_change", args=[subject.pk]),
    }


admin.site.register(Incident, IncidentAdmin)
admin.site.register(AlertChannel, ChannelAdmin)
admin.site.register(ReportRecipient, RecipientAdmin)
