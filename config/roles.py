"""What viewers, operators and administrators may do: one table, made into groups by a migration."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

VIEWER = (
    "canvas.view_*",
    "syncmetrics.view_*",
    # Lists and findings; logs, and what is in the files, are for those who work with them.
    "parselogs.view_datafile",
    "parselogs.view_parsemeta",
    "parselogs.view_parsefilemeta",
)
OPERATOR = (
    *VIEWER,
    "parselogs.add_datafile",
    "parselogs.reparse_datafile",
    "parselogs.view_parselog",
    "parselogs.download_parselog",
    "canvas.sync_instance",
    "canvas.connect_canvas",
    "canvas.export_rows",
    # Who moved which file when, and from where: of people, and not of Canvas.
    "logmonitor.view_transfers",
    "logmonitor.export_transfers",
    "logmonitor.drain_logsource",
    "django_celery_beat.view_periodictask",
)
ADMINISTRATOR = (
    *OPERATOR,
    "canvas.change_connection",
    "canvas.change_instance",
    "canvas.see_all_exports",
    "canvas.*_instancelimit",
    "canvas.*_promise",
    "parselogs.download_datafile",
    "parselogs.delete_datafile",
    "logmonitor.add_logsource",
    "logmonitor.change_logsource",
    "syncmetrics.*_alertchannel",
    "syncmetrics.*_reportrecipient",
    "django_celery_beat.*",
    "admin.view_logentry",
    "auth.*_user",
    "auth.view_group",
    "axes.view_*",
    "axes.delete_accessattempt",
)

ROLES: Mapping[str, tuple[str, ...]] = {
    "Viewer": VIEWER,
    "Operator": OPERATOR,
    "Administrator": ADMINISTRATOR,
}
"""Role -> permissions as `app.codename`; `*` stands for anything, so that new tables are viewed too."""


def make_roles() -> None:
    """Make the roles that are missing, and give all of them the permissions that are new.

    Called by migrations, before Django itself makes permissions: what does not exist yet is new. A role
    that is there keeps what its site made of it, because a permission is granted once only.
    """
    known = set(Permission.objects.values_list("pk", flat=True))
    for app in apps.get_app_configs():
        create_permissions(app, verbosity=0)
    everything = list(Permission.objects.select_related("content_type"))
    for name, patterns in ROLES.items():
        role, made = Group.objects.get_or_create(name=name)
        granted = [one for one in everything if _matches(one, patterns) and (made or one.pk not in known)]
        role.permissions.add(*granted)


def _matches(permission: Permission, patterns: tuple[str, ...]) -> bool:
    name = f"{permission.content_type.app_label}.{permission.codename}"
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def make_roles_in_migration(*_: Any) -> None:
    """Make the roles, as `RunPython` calls it.

    On the real models, not the migration's: permissions of all installed apps are rows of two tables
    that the migration depends on, whether or not the apps' own tables are there yet.
    """
    make_roles()
