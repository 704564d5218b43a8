"""What the pages of files and runs ask for: a file, and how files are parsed again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from parselogs.models import DataFile, ParseFileMeta
from parselogs.reparse import Scope
from parselogs.uploads import limit_bytes, limits_sentence, too_large_sentence
from syncmetrics.actions import ActionForm

MOST_HOURS = 24 * 365
RECOGNISED = (
    "Canvas's SIS imports, provisioning reports and gradebook exports are known by their columns, whatever"
    " the file is called."
)


class UploadForm(forms.Form):
    """A file to be parsed."""

    file = forms.FileField(
        max_length=255,
        required=False,  # this and what is empty is refused in our own words
        allow_empty_file=True,
        widget=UnfoldAdminFileFieldWidget,
    )
    self_contained = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="The archive is complete",
        help_text="What its files refer to and do not list, such as somebody enrolled who is not among the"
        " users, is an error then. Otherwise it is a warning: the user may be in Canvas already.",
    )
    notify = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="Tell me by e-mail how it went",
        help_text="Counts and a link; nothing of what is in the file.",
    )

    class Media:
        js = ("easel/upload.js",)

    def __init__(self, *args: Any, too_large: bool = False, **kwargs: Any) -> None:
        """Take what was sent; `too_large`: the file was left out of it, being too large."""
        super().__init__(*args, **kwargs)
        self._too_large = too_large
        file = self.fields["file"]
        file.help_text = f"{limits_sentence()} {RECOGNISED}"
        file.widget.attrs |= {"data-most-bytes": limit_bytes(), "data-too-large": too_large_sentence()}
        if not settings.MAIL_SERVER_SET:
            self.fields["notify"].disabled = True
            self.fields["notify"].help_text = "No mail server is set (EMAIL_URL)."

    def clean_file(self) -> Any:
        """Return the file; what was not sent is said to be missing, or too large."""
        if file := self.cleaned_data["file"]:
            return file
        raise forms.ValidationError(too_large_sentence() if self._too_large else "Choose a file.")


class DeleteForm(ActionForm):
    """Why a file is deleted."""

    reason = forms.CharField(
        required=False,
        max_length=255,
        widget=UnfoldAdminTextInputWidget,
        help_text="For those who wonder later.",
    )


class ReparseForm(ActionForm):
    """How files are parsed again."""

    reason = forms.CharField(
        required=False,
        max_length=255,
        widget=UnfoldAdminTextInputWidget,
        help_text="For those who wonder later, such as: the parser knows sections without a name now.",
    )
    log_level = forms.ChoiceField(
        choices=ParseFileMeta.LogLevel.choices,
        initial=ParseFileMeta.LogLevel.INFO,
        widget=UnfoldAdminSelectWidget,
        label="Log",
        help_text="From which level on lines are kept. Debug logs are long.",
    )


class ManyForm(ReparseForm):
    """Which files are parsed again, and how. `keys` are those of files chosen in a list before."""

    keys = forms.CharField(required=False, widget=forms.HiddenInput)
    kind = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)
    unsuccessful = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="Only files that never succeeded",
    )
    within_hours = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_HOURS,
        widget=UnfoldAdminIntegerFieldWidget,
        label="Done within so many hours",
        help_text="Later than that, the batch shows as late.",
    )
    field_order = ("keys", "kind", "unsuccessful", "reason", "log_level", "within_hours")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = DataFile.objects.exclude(kind="").order_by("kind").values_list("kind", flat=True).distinct()
        choices = [("", "Every kind"), *((kind, kind.replace("_", " ")) for kind in kinds)]
        self.fields["kind"].choices = choices  # type: ignore[attr-defined]
        if self.data.get("keys"):
            del self.fields["kind"], self.fields["unsuccessful"]

    def clean_keys(self) -> tuple[int, ...] | None:
        """Return the keys; None where no list was sent."""
        sent = self.cleaned_data["keys"]
        keys = [key for key in sent.split(",") if key]
        if not all(key.isascii() and key.isdecimal() and len(key) < 19 for key in keys):
            raise forms.ValidationError("Choose the files in the list again: the page was garbled.")
        return tuple(map(int, keys)) if keys else None

    @property
    def scope(self) -> Scope:
        """Which files the form means."""
        asked = self.cleaned_data
        return Scope(asked["keys"], asked.get("kind", ""), asked.get("unsuccessful", False))
