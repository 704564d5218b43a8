"""The console's pages of API tokens: everybody makes and revokes their own; a token is shown once."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from canvas.admin.limited import LimitedAdmin
from syncmetrics.actions import ActingAdmin, Action, ActionForm, Outcome
from syncmetrics.audit import record
from syncmetrics.display import CARE, GOOD, ReadOnlyAdmin, ago, badge, moment
from syncmetrics.models import ApiToken
from syncmetrics.tokens import make_token

MAY_USE = "syncmetrics.view_syncrun"
LIST = "admin:syncmetrics_apitoken_changelist"


class TokenForm(ActionForm):
    """A new token."""

    name = forms.CharField(
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        label="What it is for",
        help_text="Such as: nightly report on db2.",
    )
    days = forms.TypedChoiceField(
        coerce=int,
        empty_value=None,
        required=False,
        initial=90,
        choices=[(90, "90 days"), (30, "30 days"), (365, "a year"), ("", "until it is revoked")],
        widget=UnfoldAdminSelectWidget,
        label="Valid for",
    )


def revoke(request: HttpRequest, token: ApiToken, asked: dict[str, Any]) -> Outcome:
    """Delete a token: what is shown it from now on is refused."""
    record(request, token, f"Revoked the API token {token.name!r} of {token.user}.")
    token.delete()
    return Outcome(f"The token {token.name!r} is no longer valid.", url=reverse(LIST))


class TokenAdmin(LimitedAdmin, ActingAdmin, ReadOnlyAdmin):
    """API tokens: what for, whose, until when, when last used. Superusers see everybody's."""

    open_to_limited = True  # sees own tokens only
    console_actions = (
        Action(
            name="revoke",
            title="Revoke",
            icon="key_off",
            permission=MAY_USE,
            perform=revoke,
            question="Scripts that use this token are refused from now on. This cannot be undone.",
            in_lists=True,
        ),
    )
    add_title = "Make a token"
    show_add_link = False
    list_display = ("name", "user", "valid", "until", "used", "made")
    list_select_related = ("user",)
    ordering = ("-created_at", "-pk")
    list_per_page = 50
    fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        """Return one's own tokens; everybody's for a superuser."""
        tokens: QuerySet[ApiToken] = super().get_queryset(request)
        return tokens if request.user.is_superuser else tokens.filter(user=request.user.pk)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whoever may see runs."""
        return request.user.has_perm(MAY_USE)

    def has_view_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        """Whoever may see runs; whose tokens, `get_queryset` says."""
        return request.user.has_perm(MAY_USE)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may see runs makes tokens of their own."""
        return request.user.has_perm(MAY_USE)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Ask what the token is for (GET), or make it and show it (POST), this once."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = TokenForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            return self._make(request, form.cleaned_data)
        return self.answer(
            request,
            form,
            perform=lambda asked: Outcome(""),  # a form that may be answered was dealt with above
            context={"title": self.add_title, "question": ASKED},
            back=reverse(LIST),
        )

    def _make(self, request: HttpRequest, asked: dict[str, Any]) -> HttpResponse:
        token, text = make_token(request.user, asked["name"], asked["days"])  # type: ignore[arg-type]
        record(request, token, f"Made the API token {token.name!r}.")
        page = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Your new token",
            "token": token,
            "text": text,
            "address": request.build_absolute_uri(reverse("api:list_syncs")),
            "back": reverse(LIST),
        }
        response = render(request, "admin/easel/token_made.html", page)
        response["Cache-Control"] = "no-store"
        return response

    @display(description="state")
    def valid(self, token: ApiToken) -> SafeString:
        """Return whether it is valid still."""
        over = token.expires_at is not None and token.expires_at <= timezone.now()
        return badge("expired", CARE) if over else badge("valid", GOOD)

    @display(description="valid until")
    def until(self, token: ApiToken) -> SafeString | str:
        """Return when it ends."""
        return moment(token.expires_at) if token.expires_at else "it is revoked"

    @display(description="last used")
    def used(self, token: ApiToken) -> SafeString | str:
        """Return when it was last used, to within ten minutes."""
        return ago(token.last_used_at) if token.last_used_at else "never"

    @display(description="made", ordering="created_at")
    def made(self, token: ApiToken) -> SafeString | str:
        """Return when it was made."""
        return moment(token.created_at)


ASKED = (
    "A token lets a script read the JSON API as you: it sees what you see, and changes nothing. It is shown"
    " once, right after it was made."
)
