"""What the console's list of each mirrored table shows, searches and filters: one table for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models

from canvas.models import CanvasRow


@dataclass(frozen=True, slots=True)
class Listing:
    """A list in the console. Parents, Canvas id and state come from the model and always show.

    `search` are the columns searched for words; `people` says that a word also finds the rows of users.
    `filters` are foreign keys. `large` tables sort by their key only.
    """

    columns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    people: bool = False
    filters: tuple[str, ...] = ()
    states: tuple[str, ...] = ("active", "deleted")
    large: bool = False


COURSE_FILTERS = ("course", "course__enrollment_term")

LISTINGS: Mapping[str, Listing] = {
    "accounts": Listing(
        columns=("sis_account_id", "default_time_zone"),
        search=("name", "sis_account_id"),
        filters=("parent_account",),
    ),
    "terms": Listing(columns=("sis_term_id", "start_at", "end_at"), search=("name", "sis_term_id")),
    "users": Listing(
        columns=("login_id", "sis_user_id", "email", "last_login"),
        search=("name", "sortable_name", "login_id", "sis_user_id", "email"),
        states=("pre_registered", "registered", "deleted"),
        large=True,
    ),
    "courses": Listing(
        columns=("course_code", "sis_course_id", "total_students"),
        search=("name", "course_code", "sis_course_id"),
        filters=("enrollment_term", "account"),
        states=("unpublished", "available", "completed", "deleted"),
    ),
    "sections": Listing(
        columns=("sis_section_id", "start_at", "end_at"),
        search=("name", "sis_section_id"),
        filters=COURSE_FILTERS,
    ),
    "enrollments": Listing(
        columns=("role", "current_score", "last_activity_at"),
        people=True,
        filters=("course", "user"),
        states=(
            "active",
            "invited",
            "creation_pending",
            "inactive",
            "completed",
            "rejected",
            "deleted",
        ),
        large=True,
    ),
    "assignment_groups": Listing(
        columns=("position", "group_weight"),
        search=("name", "sis_source_id"),
        filters=COURSE_FILTERS,
        states=("available", "deleted"),
    ),
    "assignments": Listing(
        columns=("due_at", "points_possible", "grading_type"),
        search=("name", "sis_assignment_id"),
        filters=COURSE_FILTERS,
        states=("published", "unpublished", "deleted"),
    ),
    "submissions": Listing(
        columns=("score", "submitted_at", "late", "missing"),
        people=True,
        filters=("course", "assignment", "user"),
        states=("unsubmitted", "submitted", "pending_review", "graded", "deleted"),
        large=True,
    ),
    "modules": Listing(
        columns=("position", "unlock_at", "requirement_type"),
        search=("name",),
        filters=COURSE_FILTERS,
        states=("active", "unpublished", "deleted"),
    ),
    "module_items": Listing(
        columns=("title", "type", "position"),
        search=("title", "page_url", "external_url"),
        filters=("course", "module"),
        states=("active", "unpublished", "deleted"),
        large=True,
    ),
    "group_categories": Listing(
        columns=("self_signup", "group_limit"),
        search=("name", "sis_group_category_id"),
        filters=COURSE_FILTERS,
    ),
    "groups": Listing(
        columns=("members_count", "join_level", "sis_group_id"),
        search=("name", "sis_group_id"),
        filters=(*COURSE_FILTERS, "group_category"),
        states=("available", "deleted"),
    ),
    "group_memberships": Listing(
        columns=("moderator",),
        people=True,
        filters=("course", "group", "user"),
        states=("accepted", "invited", "requested", "deleted"),
        large=True,
    ),
}


def parents(model: type[models.Model]) -> list[models.ForeignKey[Any, Any]]:
    """Return the foreign keys that name where a row belongs."""
    return [key for key in _row_keys(model) if not key.remote_field.hidden]


def children(model: type[models.Model]) -> list[models.ForeignKey[Any, Any]]:
    """Return the foreign keys of other tables whose rows belong to one of these."""
    return [
        relation.field
        for relation in model._meta.related_objects
        if isinstance(relation.field, models.ForeignKey) and issubclass(relation.related_model, CanvasRow)
    ]


def _row_keys(model: type[models.Model]) -> list[models.ForeignKey[Any, Any]]:
    return [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, models.ForeignKey) and issubclass(field.related_model, CanvasRow)
    ]
