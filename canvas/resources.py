"""One declaration per Canvas resource: how it is listed, which columns it fills, how a deletion shows.

The sync engine, the console and the docs read this table. To add a resource: a model, an entry here,
a test. Sources of the paths, parameters and states: Canvas REST API documentation, resource by resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from string import Formatter
from typing import Any

from django.db import models

from canvas import mapping
from canvas.mapping import Column, Kind
from canvas.models import (
    Account,
    Assignment,
    AssignmentGroup,
    CanvasRow,
    Course,
    Enrollment,
    Group,
    GroupCategory,
    GroupMembership,
    Module,
    ModuleItem,
    Section,
    Submission,
    Term,
    User,
)

Params = tuple[tuple[str, str | tuple[str, ...]], ...]


class Level(Enum):
    """What one listing spans."""

    ACCOUNT = "account"
    ROOT_ACCOUNT = "root account"
    TOKEN = "token"  # noqa: S105 - whatever the token's user sees
    COURSE = "course"
    PARENT = "parent"
    """One record of the resource that this one stands `within`."""


@dataclass(frozen=True, slots=True)
class RestListing:
    """A REST listing: its path below `/api/v1/`, parameters, wrapper key and what one call spans.

    `refusable`: permissions may close it to a course's readers. That is then a state of that scope, and
    the rest of the course is synced as ever.
    """

    path: str
    level: Level
    params: Params = ()
    wrapper: str | None = None
    refusable: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """A Canvas resource.

    `listing` is used by an account admin's connection, `own_listing` by any other; a resource without
    the latter is out of reach for those. `within` names the resource whose records hold this one's
    under `nested_key`; where a record does not hold them, the `listing` (level PARENT) of that record
    is read. `detail` is the path of one record: a row that a complete listing did not show is deleted
    when its detail answers 404. `sources`, `defaults` and `kinds` differ from "column = key, null where
    Canvas says nothing, the field's kind". Rows with a `natural_key` are the same row whatever id Canvas
    shows. An incremental sync does not ask again for a listing younger than `fresh_for`.
    """

    name: str
    model: type[CanvasRow]
    detail: str
    listing: RestListing | None = None
    own_listing: RestListing | None = None
    within: str | None = None
    nested_key: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    natural_key: tuple[str, ...] = ()
    fresh_for: timedelta = timedelta(0)

    @property
    def parents_in_detail(self) -> tuple[str, ...]:
        """The foreign keys whose Canvas ids stand in `detail`."""
        names = (name for _, name, _, _ in Formatter().parse(self.detail) if name)
        return tuple(name for name in names if name not in _KNOWN_IN_DETAIL)

    @property
    def nested(self) -> tuple[Resource, ...]:
        """The resources that stand within this one."""
        return tuple(resource for resource in RESOURCES.values() if resource.within == self.name)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The mapped columns, read off the model's own fields."""
        short = {name.lstrip("-") for index in self.model._meta.indexes for name in index.fields}
        return tuple(
            Column(
                name=column.attname,
                key=self.sources.get(column.attname, column.attname),
                kind=self.kinds.get(column.attname) or _kind(column, indexed=column.name in short),
                default=self.defaults.get(column.attname),
            )
            for column in self.model._meta.concrete_fields
            if column.name not in _OUR_OWN
        )


_KNOWN_IN_DETAIL = frozenset({"id", "course", "root_account"})
_OUR_OWN = frozenset({"id", "canvas_id", "instance", "row_hash", "as_of", "deleted_at"})

_KINDS: dict[type[models.Field[Any, Any]], Kind] = {
    models.TextField: mapping.TEXT,
    models.FloatField: mapping.NUMBER,
    models.BigIntegerField: mapping.INTEGER,
    models.BooleanField: mapping.BOOLEAN,
    models.DateTimeField: mapping.TIMESTAMP,
    models.JSONField: mapping.JSON,
}


def _kind(column: models.Field[Any, Any], *, indexed: bool) -> Kind:
    if isinstance(column, models.ForeignKey):
        return mapping.ID
    if isinstance(column, models.BigIntegerField) and column.name.endswith("_id"):
        return mapping.ID
    if isinstance(column, models.JSONField) and column.name.endswith("_ids"):
        return mapping.IDS
    if isinstance(column, models.TextField) and indexed:
        return mapping.SHORT_TEXT
    return _KINDS[type(column)]


_ALL_ENROLLMENT_STATES = (
    "active",
    "invited",
    "creation_pending",
    "deleted",
    "rejected",
    "completed",
    "inactive",
)
_COURSE_INCLUDES = ("term", "total_students")
_USER_INCLUDES = ("email", "last_login", "time_zone", "locale")
_GRADES = (
    "current_score",
    "current_grade",
    "final_score",
    "final_grade",
    "unposted_current_score",
    "unposted_current_grade",
    "unposted_final_score",
    "unposted_final_grade",
    "override_score",
    "override_grade",
)
_PUBLISHED: dict[str, Any] = {
    "sources": {"course_id": "@course", "workflow_state": "published"},
    "defaults": {"workflow_state": "active"},
    "kinds": {"workflow_state": mapping.PUBLISHED},
}
_GROUPS_FRESH_FOR = timedelta(hours=6)
"""Groups change a few times a term, and each costs a request of its own."""

_SUBMISSION_SOURCES = {"course_id": "@course"}
_SUBMISSION_FIELDS = (
    "id",
    *(
        column.attname
        for column in Submission._meta.concrete_fields
        if column.name not in _OUR_OWN and column.attname not in _SUBMISSION_SOURCES
    ),
)

_DECLARED = (
    Resource(
        name="accounts",
        model=Account,
        listing=RestListing(
            "accounts/{account}/sub_accounts", Level.ACCOUNT, params=(("recursive", "true"),)
        ),
        detail="accounts/{id}",
        defaults={"workflow_state": "active"},
    ),
    Resource(
        name="terms",
        model=Term,
        listing=RestListing(
            "accounts/{account}/terms",
            Level.ROOT_ACCOUNT,
            params=(("workflow_state[]", ("all",)),),
            wrapper="enrollment_terms",
        ),
        detail="accounts/{root_account}/terms/{id}",
        defaults={"workflow_state": "active"},
    ),
    Resource(
        name="users",
        model=User,
        listing=RestListing(
            "accounts/{account}/users", Level.ACCOUNT, params=(("sort", "id"), ("include[]", _USER_INCLUDES))
        ),
        own_listing=RestListing(
            "courses/{course}/users",
            Level.COURSE,
            params=(
                ("include[]", ("email",)),
                ("enrollment_state[]", ("active", "invited", "completed", "inactive")),
            ),
        ),
        detail="users/{id}",
        defaults={"workflow_state": "registered"},
    ),
    Resource(
        name="courses",
        model=Course,
        listing=RestListing(
            "accounts/{account}/courses",
            Level.ACCOUNT,
            params=(("state[]", ("all",)), ("include[]", _COURSE_INCLUDES)),
        ),
        own_listing=RestListing(
            "courses",
            Level.TOKEN,
            params=(
                ("state[]", ("unpublished", "available", "completed")),
                ("include[]", _COURSE_INCLUDES),
            ),
        ),
        detail="courses/{id}",
    ),
    Resource(
        name="sections",
        model=Section,
        listing=RestListing("courses/{course}/sections", Level.COURSE),
        detail="sections/{id}",
        defaults={"workflow_state": "active"},
    ),
    Resource(
        name="enrollments",
        model=Enrollment,
        listing=RestListing(
            "courses/{course}/enrollments", Level.COURSE, params=(("state[]", _ALL_ENROLLMENT_STATES),)
        ),
        detail="accounts/{root_account}/enrollments/{id}",
        sources={"workflow_state": "enrollment_state"} | {name: f"grades.{name}" for name in _GRADES},
    ),
    Resource(
        name="assignment_groups",
        model=AssignmentGroup,
        listing=RestListing(
            "courses/{course}/assignment_groups",
            Level.COURSE,
            params=(("include[]", ("assignments",)), ("override_assignment_dates", "false")),
        ),
        detail="courses/{course}/assignment_groups/{id}",
        sources={"course_id": "@course"},
        defaults={"workflow_state": "available"},
    ),
    Resource(
        name="assignments",
        model=Assignment,
        within="assignment_groups",
        nested_key="assignments",
        detail="courses/{course}/assignments/{id}",
        sources={"course_id": "@course"},
    ),
    Resource(
        name="submissions",
        model=Submission,
        listing=RestListing(
            "courses/{course}/students/submissions",
            Level.COURSE,
            params=(("student_ids[]", ("all",)), ("response_fields[]", _SUBMISSION_FIELDS)),
        ),
        detail="courses/{course}/assignments/{assignment}/submissions/{user}",
        sources=_SUBMISSION_SOURCES,
    ),
    Resource(
        name="modules",
        model=Module,
        listing=RestListing(
            "courses/{course}/modules", Level.COURSE, params=(("include[]", ("items",)),), refusable=True
        ),
        detail="courses/{course}/modules/{id}",
        **_PUBLISHED,
    ),
    Resource(
        name="module_items",
        model=ModuleItem,
        within="modules",
        nested_key="items",
        listing=RestListing("courses/{course}/modules/{parent}/items", Level.PARENT, refusable=True),
        detail="courses/{course}/modules/{module}/items/{id}",
        **_PUBLISHED,
    ),
    Resource(
        name="group_categories",
        model=GroupCategory,
        listing=RestListing(
            "courses/{course}/group_categories",
            Level.COURSE,
            params=(("collaboration_state", "all"),),
            refusable=True,
        ),
        detail="group_categories/{id}",
        sources={"course_id": "@course"},
        defaults={"workflow_state": "active"},
        fresh_for=_GROUPS_FRESH_FOR,
    ),
    Resource(
        name="groups",
        model=Group,
        listing=RestListing(
            "courses/{course}/groups",
            Level.COURSE,
            params=(("collaboration_state", "all"),),
            refusable=True,
        ),
        detail="groups/{id}",
        defaults={"workflow_state": "available"},
        fresh_for=_GROUPS_FRESH_FOR,
    ),
    Resource(
        name="group_memberships",
        model=GroupMembership,
        within="groups",
        listing=RestListing(
            "groups/{parent}/memberships",
            Level.PARENT,
            params=(("filter_states[]", ("accepted", "invited", "requested")),),
            refusable=True,
        ),
        detail="groups/{group}/users/{user}",
        sources={"course_id": "@course", "membership_id": "id"},
        natural_key=("group_id", "user_id"),
        fresh_for=_GROUPS_FRESH_FOR,
    ),
)

RESOURCES: Mapping[str, Resource] = {resource.name: resource for resource in _DECLARED}
"""Every resource by the name that commands, counts and scopes use, in the order they are synced."""
