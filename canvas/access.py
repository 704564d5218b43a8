"""Which Canvas sites a person may see: the one function through which every list of the console goes."""

from __future__ import annotations

from collections.abc import Collection
from functools import reduce
from operator import or_
from typing import Any, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Model, Q, QuerySet

from canvas.lookup import rows_of
from canvas.models import CanvasRow, Connection, Instance, InstanceLimit, Promise
from syncmetrics.models import Incident, SyncDay, SyncRun

Rows = TypeVar("Rows", bound=Model)
Person = AbstractBaseUser | AnonymousUser

MAY_SYNC = "canvas.sync_instance"
MAY_CONNECT = "canvas.connect_canvas"
MAY_EXPORT = "canvas.export_rows"
MAY_SEE_ALL_EXPORTS = "canvas.see_all_exports"

INSTANCE_OF: dict[type[Model], str] = {
    Instance: "pk",
    Connection: "instance",
    Promise: "instance",
    SyncRun: "instance_key",
    SyncDay: "instance_key",
    Incident: "instance_key",
}
"""Where a table names its Canvas site; mirrored tables have an `instance` each."""


def allowed_instances(person: Person) -> frozenset[int] | None:
    """Return the keys of the sites a person is limited to; None for somebody without limits.

    Asked once per request: the answer stays on the person's object, as Django's permissions do.
    """
    if not person.is_authenticated:
        return frozenset()
    if getattr(person, "is_superuser", False):
        return None
    if not hasattr(person, "_allowed_instances"):
        limits = InstanceLimit.objects.filter(Q(user=person.pk) | Q(group__user=person.pk))
        found = frozenset(limits.values_list("instance", flat=True))
        setattr(person, "_allowed_instances", found or None)  # noqa: B010 - mypy knows no such attribute
    allowed: frozenset[int] | None = getattr(person, "_allowed_instances")  # noqa: B009
    return allowed


def is_unlimited(person: Person) -> bool:
    """Tell whether a person may see every site."""
    return allowed_instances(person) is None


def has_instance(model: type[Model]) -> bool:
    """Tell whether the rows of a table belong to Canvas sites."""
    return issubclass(model, CanvasRow) or model in INSTANCE_OF


def limit(rows: QuerySet[Rows], person: Person) -> QuerySet[Rows]:
    """Return the rows of the sites that a person may see; none of a table that names no site."""
    allowed = allowed_instances(person)
    return rows if allowed is None else rows.filter(_within(rows.model, allowed))


def _within(model: type[Model], allowed: Collection[int]) -> Q:
    if issubclass(model, CanvasRow):
        return reduce(or_, map(rows_of, sorted(allowed)), Q(pk__in=[]))
    return Q(**{f"{INSTANCE_OF[model]}__in": allowed}) if model in INSTANCE_OF else Q(pk__in=[])


def may_see(person: Person, instance_key: int | None) -> bool:
    """Tell whether a person may see what belongs to one site; a key of None belongs to no site."""
    allowed = allowed_instances(person)
    return allowed is None or instance_key in allowed


def set_limits(*, instances: Collection[Any], **holder: Any) -> None:
    """Limit a person (`user=`) or everybody in a group (`group=`) to these sites; none: to no sites."""
    limits = InstanceLimit.objects.filter(**holder)
    limits.exclude(instance__in=instances).delete()
    known = set(limits.values_list("instance", flat=True))
    InstanceLimit.objects.bulk_create(
        InstanceLimit(instance=instance, **holder) for instance in instances if instance.pk not in known
    )
