"""Puts the pages of other packages' models into the console's theme.

They live here because `config` is the one package that may know all others; it is an installed app, the
last one, so that those packages have registered theirs before.
"""

from __future__ import annotations

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm


class PersonAdmin(UserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]  # the theme has no types
    """People who may log in to the console."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


class RoleAdmin(GroupAdmin, ModelAdmin):  # type: ignore[misc]
    """What a group of people may see and do."""


def _themed(stock: type[admin.ModelAdmin[Any]]) -> type[admin.ModelAdmin[Any]]:
    return type(stock.__name__, (stock, ModelAdmin), {"__doc__": stock.__doc__})


THEMED: dict[type, type[admin.ModelAdmin[Any]]] = {
    User: PersonAdmin,
    Group: RoleAdmin,
    **{
        model: _themed(type(admin.site.get_model_admin(model)))
        for model in (AccessAttempt, AccessFailureLog, AccessLog)
    },
}

for _model, _pages in THEMED.items():
    admin.site.unregister(_model)
    admin.site.register(_model, _pages)
