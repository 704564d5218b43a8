"""The console's pages of promises: how old the copy of what may be."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.db.models import ForeignKey
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from canvas.access import limit
from canvas.admin.limited import LimitedAdmin
from canvas.models import Instance, Promise
from canvas.resources import RESOURCES
from syncmetrics.display import ConsoleAdmin, number

EVERY = "every resource without a promise of its own"
CHOICES = [("", EVERY), *((name, name.replace("_", " ")) for name in RESOURCES)]


class PromiseForm(forms.ModelForm):  # type: ignore[type-arg]  # of a promise
    """A promise about one resource, or about all that have none of their own."""

    resource = forms.ChoiceField(choices=CHOICES, required=False, widget=UnfoldAdminSelectWidget)
    hours = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=87_600,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="How old the copy may be, in hours. Empty: nothing is promised.",
    )

    class Meta:
        model = Promise
        fields = ("instance", "resource", "hours")


@admin.register(Promise)
class PromiseAdmin(LimitedAdmin, ConsoleAdmin):
    """Promises: of which Canvas, about what, how many hours."""

    form = PromiseForm
    list_display = ("what", "instance", "promised")
    list_filter = (("instance", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("instance",)
    ordering = ("instance__name", "resource")

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Offer the instances that the person may see."""
        kwargs["queryset"] = limit(Instance.objects.order_by("name"), request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Promise | None = None, **kwargs: Any) -> Any:
        """Leave out the menu beside the instance: instances are not made or changed from here."""
        form = super().get_form(request, obj, **kwargs)
        if instance := form.base_fields.get("instance"):  # there is none for who may only look
            instance.widget.can_add_related = instance.widget.can_change_related = False
            instance.widget.can_view_related = instance.widget.can_delete_related = False
        return form

    @display(description="records", ordering="resource")
    def what(self, promise: Promise) -> str:
        """Return what it is about."""
        return promise.resource.replace("_", " ") or EVERY

    @display(description="not older than", ordering="hours")
    def promised(self, promise: Promise) -> str:
        """Return how old the copy may be."""
        return f"{number(promise.hours)} h" if promise.hours else "nothing promised"
