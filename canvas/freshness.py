"""How old the copy is, per instance and resource, and what was promised about it (docs/freshness.md).

A listing of a whole account is one scope; other resources have one scope per course. A resource is as old
as the oldest scope that is needed: those of courses that are published and whose term and dates are not
over. Times are Canvas's, of the moment before a sync's first request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    BooleanField,
    Count,
    ExpressionWrapper,
    F,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    prefetch_related_objects,
)
from django.utils import timezone

from canvas.connect import REFUSED
from canvas.lookup import rows_of
from canvas.models import Connection, Course, Instance, Scope
from canvas.resources import RESOURCES, Level, Resource, RestListing
from canvas.sync import OPEN_TO_ALL
from syncmetrics.models import SyncRun, SyncStep
from syncmetrics.progress import COURSE

DEFAULT_HOURS = 48
"""Promised for a resource that was ever read whole, where nobody has promised anything else."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old the copy of a resource is, and what was promised.

    `age_hours` is that of the oldest needed scope or, where something is promised, for how long one could
    have been read and never was; None where nothing is needed, or nothing read and nothing promised.
    `promised_hours` None: nothing is promised. So many `scopes` are needed, of which `unread` were never
    read; `refused` are closed to our tokens, and no part of the promise.
    """

    instance: Instance
    resource: str
    promised_hours: int | None
    age_hours: float | None
    oldest: datetime | None
    scopes: int
    unread: int
    refused: int

    @property
    def broken(self) -> bool:
        """Whether the copy is older than was promised."""
        if self.promised_hours is None or self.age_hours is None:
            return False
        return self.age_hours > self.promised_hours


def broken_promises(now: datetime | None = None) -> list[Freshness]:
    """Return every promise that is broken, of all instances, by name and in the order of a sync."""
    return [found for found in freshness(now=now) if found.broken]


def freshness(instances: Iterable[Instance] | None = None, *, now: datetime | None = None) -> list[Freshness]:
    """Return how fresh each resource is that a connection can read; in three queries or so per instance."""
    chosen = list(Instance.objects.order_by("name") if instances is None else instances)
    prefetch_related_objects(chosen, "connections", "promises")
    now = now or timezone.now()
    return [found for instance in chosen for found in _Copy(instance, now).freshness()]


class _Copy:
    """The copy of one instance at one moment."""

    def __init__(self, instance: Instance, now: datetime) -> None:
        self._instance = instance
        self._now = now
        self._connections = list(instance.connections.all())
        self._scopes = Scope.objects.filter(connection__in=self._connections)
        if len(self._connections) > 1:
            self._scopes = _without_superfluous(self._scopes)

    def freshness(self) -> Iterator[Freshness]:
        """Yield the freshness of each resource within reach of a connection."""
        promises = {each.resource: each.hours for each in self._instance.promises.all()}
        courses = _needed_courses(self._instance, self._connections, self._now)
        count = courses.count()
        scopes = _by_resource(self._scopes.filter(Q(course_id=0) | Q(course_id__in=courses.values("pk"))))
        for resource in RESOURCES.values():
            if not self._reaches(resource):
                continue
            by_course = self._is_by_course(resource)
            needed, missing = (count, courses) if by_course else (1, Course.objects.none())
            read = scopes.get((resource.name, by_course), {})
            yield self._freshness(resource.name, read, needed, missing, promises)

    def _freshness(
        self,
        name: str,
        read: dict[str, Any],
        needed: int,
        courses: QuerySet[Course],
        promises: dict[str, int | None],
    ) -> Freshness:
        refused, oldest = read.get("refused", 0), read.get("oldest")
        unread = max(needed - refused - read.get("read", 0), 0)
        promised = promises.get(name, promises.get("", DEFAULT_HOURS if oldest else None))
        moments = [oldest] if oldest else []
        if unread and promised is not None:
            moments.append(self._readable_since(name, courses))
        return Freshness(
            instance=self._instance,
            resource=name,
            promised_hours=promised,
            age_hours=max((self._now - min(moments)) / timedelta(hours=1), 0.0) if moments else None,
            oldest=oldest,
            scopes=needed - refused,
            unread=unread,
            refused=refused,
        )

    def _readable_since(self, name: str, courses: QuerySet[Course]) -> datetime:
        """Return since when the first scope that was never read could have been."""
        looked_at = self._scopes.filter(resource=name).exclude(last_complete_at=None, refused_at=None)
        unread = courses.exclude(pk__in=looked_at.values("course_id"))
        created: datetime | None = unread.aggregate(first=Min("created_at"))["first"]
        return max(created or self._instance.created_at, self._instance.created_at)

    def _is_by_course(self, resource: Resource) -> bool:
        listing = self._listing(resource)
        return listing is not None and listing.level is Level.COURSE

    def _reaches(self, resource: Resource) -> bool:
        """Whether a connection can read a resource at all, as far as its token was probed."""
        listing = self._listing(resource)
        open_to = [one for one in self._connections if one.capabilities.get(resource.name) != REFUSED]
        beyond = listing and listing.level in (Level.ACCOUNT, Level.ROOT_ACCOUNT) and not self._administers
        return bool(listing and not beyond and (open_to or resource.name in OPEN_TO_ALL))

    def _listing(self, resource: Resource) -> RestListing | None:
        """Return what lists a resource here; what stands within another one is read with that."""
        if resource.within:
            return self._listing(RESOURCES[resource.within])
        own = None if self._administers else resource.own_listing
        return own or resource.listing

    @property
    def _administers(self) -> bool:
        return any(connection.account_admin for connection in self._connections)


def _without_superfluous(scopes: QuerySet[Scope]) -> QuerySet[Scope]:
    """Leave out the scopes of which another connection has a newer reading, or one at all.

    The newest of the others is looked up by their keys: asked for one that is newer, or by way of the
    instance, SQLite looks through all readings of the resource, for each scope.
    """
    others = scopes.filter(
        resource=OuterRef("resource"),
        course_id=OuterRef("course_id"),
        refused_at=None,
        last_complete_at__isnull=False,
    ).exclude(pk=OuterRef("pk"))
    newest = others.order_by().values("course_id").annotate(newest=Max("last_complete_at")).values("newest")
    return scopes.annotate(newest=Subquery(newest)).filter(
        Q(newest=None) | Q(refused_at=None, last_complete_at__gte=F("newest"))
    )


def _by_resource(scopes: QuerySet[Scope]) -> dict[tuple[str, bool], dict[str, Any]]:
    """Return how many scopes were read, how many are refused, and when the oldest was read.

    Per resource, and whether of courses or of the whole account.
    """
    by_course = ExpressionWrapper(Q(course_id__gt=0), BooleanField())
    found = scopes.order_by().annotate(by_course=by_course).values("resource", "by_course")
    usable = Q(refused_at=None, last_complete_at__isnull=False)
    figures = found.annotate(
        read=Count("course_id", filter=usable, distinct=True),
        refused=Count("course_id", filter=Q(refused_at__isnull=False), distinct=True),
        oldest=Min("last_complete_at", filter=usable),
    )
    return {(row["resource"], row["by_course"]): dict(row) for row in figures}


def _needed_courses(instance: Instance, connections: Iterable[Connection], now: datetime) -> QuerySet[Course]:
    """Return the courses that are going on: published, and neither they nor their terms are over.

    Where no connection sees everything, only those that the last whole syncs found: a token that lost a
    course cannot tell that from a deletion.
    """
    courses = Course.objects.filter(rows_of(instance.pk), deleted_at=None, workflow_state="available").filter(
        Q(end_at=None) | Q(end_at__gt=now),
        Q(enrollment_term__end_at=None) | Q(enrollment_term__end_at__gt=now),
    )
    if any(connection.authoritative for connection in connections):
        return courses
    return courses.filter(pk__in=[key for one in connections for key in _courses_seen(one)])


def _courses_seen(connection: Connection) -> set[int]:
    """Return the keys of the courses that a connection's last whole sync went through."""
    whole = SyncRun.objects.filter(connection_key=connection.pk, sync_type="all", dry_run=False)
    found = whole.filter(steps__key="courses", steps__state=SyncStep.State.COMPLETED).order_by("-pk").first()
    if found is None:
        return set()
    steps = found.steps.filter(key__startswith=COURSE).values_list("key", flat=True)
    return {int(key.removeprefix(COURSE)) for key in steps}
