"""What the console's actions on Canvas ask for: a new connection, a new token, what to sync."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from canvas.models import Connection
from canvas.resources import RESOURCES
from canvas.sync import ALL_MODELS, SyncOptions, UsageError
from syncmetrics.actions import ActionForm
from syncmetrics.models import SyncRun

MAX_TOKEN_CHARACTERS = 4096


class TokenForm(ActionForm):
    """A token, and what a person knows of it. Nothing typed into `token` is ever shown again."""

    token = forms.CharField(
        max_length=MAX_TOKEN_CHARACTERS,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text="In Canvas: Account, Settings, New access token. Stored encrypted, never shown again.",
    )
    authoritative = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="It sees everything",
        help_text="What it does not see in a complete listing may then be deleted here. An account"
        " administrator's token is so by itself.",
    )
    expires_at = forms.DateTimeField(
        required=False,
        widget=UnfoldAdminSingleDateWidget,
        label="Token ends",
        help_text="Where you know it and Canvas does not tell.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.subject:
            self.initial["authoritative"] = self.subject.authoritative


class ConnectForm(TokenForm):
    """A new connection."""

    name = forms.SlugField(
        max_length=50,
        widget=UnfoldAdminTextInputWidget,
        help_text="A short name, such as prod: letters, digits, hyphens and underscores.",
    )
    base_url = forms.CharField(
        max_length=200,
        label="Base URL",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "https://canvas.example.edu"}),
    )
    owner = forms.ModelChoiceField(
        queryset=get_user_model()._default_manager.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="The person of this console whose token it is, where it is somebody's own.",
    )
    field_order = ("name", "base_url", "token", "owner", "authoritative", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = get_user_model()._default_manager.filter(is_active=True)
        self.fields["owner"].queryset = people.order_by("username")  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        """Refuse a name that is taken: its token is replaced on its own page, by who may see that."""
        name: str = self.cleaned_data["name"]
        if Connection.objects.filter(name=name).exists():
            raise ValidationError(
                "There is a connection of this name already: choose another, or replace the token there."
            )
        return name


class SyncForm(ActionForm):
    """What to sync, and how."""

    mode = forms.ChoiceField(
        required=False,
        choices=[("", "As is due: full the first time, incremental afterwards"), *SyncRun.Mode.choices],
        widget=UnfoldAdminSelectWidget,
    )
    courses = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "42  123~42  sis_course_id:X"}),
        label="Only these courses",
        help_text="Ids as Canvas writes them, with spaces between. Empty: all courses.",
    )
    user = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        label="Only the courses of one person",
        help_text="A Canvas login, or sis_user_id:X. Empty: everybody.",
    )
    term_scope = forms.ChoiceField(
        required=False,
        choices=[("all", "Every term"), ("active", "Terms under way")],
        widget=UnfoldAdminSelectWidget,
        label="Terms",
    )
    models = forms.MultipleChoiceField(
        required=False,
        choices=[(name, name.replace("_", " ")) for name in RESOURCES],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        label="Only these records",
        help_text="Nothing ticked: all of them.",
    )
    dry_run = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="Dry run",
        help_text="Read and compare, write no data.",
    )

    def clean(self) -> dict[str, Any]:
        """Make the options of it, which know what goes together."""
        given = super().clean() or self.cleaned_data
        options = SyncOptions(
            models=frozenset(given.get("models", ())) or ALL_MODELS,
            courses=tuple(given.get("courses", "").replace(",", " ").split()),
            user=given.get("user", ""),
            term_scope=given.get("term_scope") or "all",
            mode=given.get("mode") or None,
            dry_run=given.get("dry_run", False),
        )
        try:
            options.check()
        except UsageError as error:
            raise ValidationError(str(error)) from None
        return {"options": options}
