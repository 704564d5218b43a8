"""The console's pages of who may do what: people, roles, what was done, and who logged in."""

from __future__ import annotations

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import ManyToManyField, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from canvas.access import allowed_instances, set_limits
from canvas.admin.limited import LimitedAdmin
from canvas.models import Instance
from syncmetrics.display import NOTHING, ReadOnlyAdmin, link, moment


class LimitsForm(forms.ModelForm):  # type: ignore[type-arg]  # of people and of groups
    """Adds to somebody's form which Canvas sites they are limited to."""

    limited_to = forms.ModelMultipleChoiceField(
        queryset=Instance.objects.order_by("name"),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None chosen: every instance. Limits of a person and of all their roles add up.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            chosen = Instance.objects.filter(pk__in=self.instance.limits.values("instance"))
            self.fields["limited_to"].initial = list(chosen)


class PersonForm(LimitsForm, UserChangeForm):  # type: ignore[misc]  # the theme has no types
    """A person's form."""


LIMITS: Any = ("Limited to instances", {"fields": ("limited_to",)})


def permissions_of(person: User) -> set[int]:
    """Return the permissions that a person has or would have, were they active."""
    held = Permission.objects.filter(Q(group__user=person.pk) | Q(user=person.pk))
    return set(held.values_list("pk", flat=True))


def may_manage(actor: Any, person: User) -> bool:
    """Tell whether one person may change another: only who may do nothing that the first may not."""
    if actor.is_superuser:
        return True
    return not person.is_superuser and permissions_of(person) <= permissions_of(actor)


class PersonAdmin(LimitedAdmin, UserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]
    """People who may log in to the console. Nobody hands out more than they have."""

    form = PersonForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    actions = None
    fieldsets = (*(UserAdmin.fieldsets or ()), LIMITS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Tell whether the person may change people, and this one."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or may_manage(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: what a person did would go with them. Take away "active" instead."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Leave single permissions to superusers; others give roles."""
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, "is_superuser", "user_permissions")

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Offer the roles that the person may give: those which may do nothing that they may not."""
        if db_field.name == "groups" and not request.user.is_superuser:
            held = permissions_of(request.user)  # type: ignore[arg-type]  # who is here has logged in
            beyond = Permission.objects.exclude(pk__in=held)
            kwargs["queryset"] = Group.objects.exclude(permissions__in=beyond).order_by("name")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save the limits with the person."""
        super().save_related(request, form, formsets, change)
        if "limited_to" in form.changed_data:
            set_limits(user=form.instance, instances=form.cleaned_data["limited_to"])


class RoleAdmin(LimitedAdmin, GroupAdmin, ModelAdmin):  # type: ignore[misc]
    """What a group of people may see and do."""

    form = LimitsForm
    actions = None
    fieldsets = ((None, {"fields": ("name", "permissions")}), LIMITS)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save the limits with the role."""
        super().save_related(request, form, formsets, change)
        if "limited_to" in form.changed_data:
            set_limits(group=form.instance, instances=form.cleaned_data["limited_to"])


class RecordAdmin(LimitedAdmin, ReadOnlyAdmin):
    """What people did on the console: who, when, to what. Who is limited to sites sees their own part."""

    open_to_limited = True
    list_display = ("when", "user", "did", "table", "thing")
    list_display_links = None
    list_select_related = ("user", "content_type")
    search_fields = ("user__username", "object_repr", "change_message")
    search_help_text = "person, thing, what was done"
    date_hierarchy = "action_time"
    ordering = ("-action_time", "-pk")
    list_per_page = 50
    fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[LogEntry]:
        """Return everybody's actions, or one's own."""
        rows: QuerySet[LogEntry] = super().get_queryset(request)
        return rows if allowed_instances(request.user) is None else rows.filter(user=request.user.pk)

    @display(description="when", ordering="action_time")
    def when(self, entry: LogEntry) -> SafeString | str:
        """Return when it was done."""
        return moment(entry.action_time)

    @display(description="did")
    def did(self, entry: LogEntry) -> str:
        """Return what was done."""
        return entry.get_change_message() or str(entry.get_action_flag_display())

    @display(description="table")
    def table(self, entry: LogEntry) -> str:
        """Return the kind of thing."""
        return str(entry.content_type.name) if entry.content_type else NOTHING

    @display(description="thing")
    def thing(self, entry: LogEntry) -> SafeString | str:
        """Return a link to what it was done to."""
        url = None if entry.is_deletion() else entry.get_admin_url()
        return link(url, entry.object_repr) if url else entry.object_repr


def _of_logins(model: type[Any]) -> type[admin.ModelAdmin[Any]]:
    stock = type(admin.site.get_model_admin(model))
    return type(stock.__name__, (LimitedAdmin, stock, ModelAdmin), {"__doc__": stock.__doc__})


PAGES: dict[type, type[admin.ModelAdmin[Any]]] = {
    User: PersonAdmin,
    Group: RoleAdmin,
    **{model: _of_logins(model) for model in (AccessAttempt, AccessFailureLog, AccessLog)},
}
