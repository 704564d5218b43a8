"""Compares the copy with the sandbox's truth, field by field, by a table of its own.

The table is written from Canvas's documented field names, not from `canvas.resources`: a wrong path or
column there must differ from the truth, not agree with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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
    Instance,
    Module,
    ModuleItem,
    Section,
    Submission,
    Term,
    User,
)

Row = Mapping[str, Any]
State = Mapping[str, list[dict[str, Any]]]
Copy = dict[str, dict[int, dict[str, Any]]]

SHARD_SIZE = 10**13
HOME_SHARD = 7
"""The sandbox's own number of its shard."""

BOOKKEEPING = frozenset({"id", "canvas_id", "instance_id", "row_hash", "as_of", "deleted_at"})

MODELS: dict[str, type[CanvasRow]] = {
    "accounts": Account,
    "terms": Term,
    "users": User,
    "courses": Course,
    "sections": Section,
    "enrollments": Enrollment,
    "assignment_groups": AssignmentGroup,
    "assignments": Assignment,
    "submissions": Submission,
    "modules": Module,
    "module_items": ModuleItem,
    "group_categories": GroupCategory,
    "groups": Group,
    "group_memberships": GroupMembership,
}


@dataclass(frozen=True)
class Field:
    """Where a column's value stands in Canvas's record, and how it reads in the copy."""

    key: str
    read: Callable[[Any, Shards], Any] = lambda value, shards: value


Shards = Mapping[int, int]
"""Our number of each Canvas shard."""


def key_of(canvas_id: int, shards: Shards) -> int:
    """The copy's key of an id as the sandbox's truth spells it; automatic graders' stay.

    A shard that the copy has not met yet keeps its own number, which no key of the copy has.
    """
    if canvas_id < 0:
        return canvas_id
    shard, local = divmod(canvas_id, SHARD_SIZE)
    return shards.get(shard or HOME_SHARD, shard) * SHARD_SIZE + local


def _reference(value: Any, shards: Shards) -> Any:
    return None if value is None else key_of(value, shards)


def _moment(value: Any, shards: Shards) -> Any:
    return None if value is None else datetime.fromisoformat(value).astimezone(UTC)


def _as_is(*names: str) -> dict[str, Field]:
    return {name: Field(name) for name in names}


def _ids(*names: str) -> dict[str, Field]:
    return {name: Field(name, _reference) for name in names}


def _times(*names: str) -> dict[str, Field]:
    return {name: Field(name, _moment) for name in names}


def _grades(*names: str) -> dict[str, Field]:
    return {name: Field(f"grades.{name}") for name in names}


FIELDS: dict[str, dict[str, Field]] = {
    "accounts": {
        **_as_is("name", "uuid", "sis_account_id", "integration_id", "default_time_zone", "workflow_state"),
        **_ids("parent_account_id", "root_account_id"),
    },
    "terms": {
        **_as_is("name", "sis_term_id", "workflow_state"),
        **_times("start_at", "end_at", "created_at"),
        **_ids("grading_period_group_id"),
    },
    "users": {
        **_as_is("name", "sortable_name", "short_name", "first_name", "last_name"),
        **_as_is("sis_user_id", "integration_id", "login_id", "email", "locale", "time_zone"),
        **_as_is("workflow_state"),
        **_times("created_at", "last_login"),
    },
    "courses": {
        **_as_is("name", "course_code", "sis_course_id", "integration_id", "uuid", "time_zone"),
        **_as_is("default_view", "course_format", "license", "is_public", "blueprint", "total_students"),
        **_as_is("hide_final_grades", "apply_assignment_group_weights", "workflow_state"),
        **_as_is("restrict_enrollments_to_course_dates"),
        **_ids("account_id", "root_account_id", "enrollment_term_id", "grading_standard_id"),
        **_times("created_at", "start_at", "end_at"),
    },
    "sections": {
        **_as_is("name", "sis_section_id", "integration_id", "workflow_state"),
        **_as_is("restrict_enrollments_to_section_dates"),
        **_ids("course_id", "nonxlist_course_id"),
        **_times("created_at", "start_at", "end_at"),
    },
    "enrollments": {
        **_as_is("type", "role", "total_activity_time", "limit_privileges_to_course_section"),
        **_as_is("override_score", "override_grade"),
        **_ids("course_id", "course_section_id", "user_id", "associated_user_id", "role_id"),
        **_times("created_at", "updated_at", "start_at", "end_at", "last_activity_at", "last_attended_at"),
        **_grades("current_score", "current_grade", "final_score", "final_grade"),
        **_grades("unposted_current_score", "unposted_current_grade"),
        **_grades("unposted_final_score", "unposted_final_grade"),
        "workflow_state": Field("enrollment_state"),
    },
    "assignment_groups": {
        **_as_is("name", "position", "group_weight", "sis_source_id", "integration_data", "rules"),
        **_as_is("workflow_state"),
        **_ids("course_id"),
    },
    "assignments": {
        **_as_is("name", "description", "points_possible", "grading_type", "submission_types", "position"),
        **_as_is("published", "has_overrides", "only_visible_to_overrides", "omit_from_final_grade"),
        **_as_is("muted", "anonymous_grading", "peer_reviews", "post_to_sis", "allowed_attempts"),
        **_as_is("sis_assignment_id", "integration_id", "integration_data", "html_url", "workflow_state"),
        **_ids("course_id", "assignment_group_id", "grading_standard_id", "group_category_id", "quiz_id"),
        **_times("created_at", "updated_at", "due_at", "lock_at", "unlock_at"),
    },
    "submissions": {
        **_as_is("score", "grade", "entered_score", "entered_grade", "excused", "attempt", "extra_attempts"),
        **_as_is("submission_type", "grade_matches_current_submission", "late", "missing", "seconds_late"),
        **_as_is("late_policy_status", "points_deducted", "redo_request", "workflow_state"),
        **_ids("course_id", "assignment_id", "user_id", "grader_id", "grading_period_id"),
        **_ids("custom_grade_status_id"),
        **_times("submitted_at", "graded_at", "posted_at", "cached_due_date"),
    },
    "modules": {
        **_as_is("name", "position", "require_sequential_progress", "requirement_type"),
        **_as_is("publish_final_grade", "workflow_state"),
        **_ids("course_id"),
        **_times("unlock_at"),
        "prerequisite_module_ids": Field("prerequisite_module_ids", lambda ids, _: [str(one) for one in ids]),
    },
    "module_items": {
        **_as_is("title", "type", "position", "indent", "page_url", "external_url", "new_tab", "html_url"),
        **_as_is("completion_requirement", "workflow_state"),
        **_ids("course_id", "module_id", "content_id"),
    },
    "group_categories": {
        **_as_is("name", "role", "self_signup", "auto_leader", "group_limit", "context_type"),
        **_as_is("sis_group_category_id", "non_collaborative", "workflow_state"),
        **_ids("course_id"),
    },
    "groups": {
        **_as_is("name", "description", "members_count", "join_level", "is_public", "role", "context_type"),
        **_as_is("sis_group_id", "storage_quota_mb", "non_collaborative", "workflow_state"),
        **_ids("course_id", "group_category_id"),
    },
    "group_memberships": {
        **_as_is("moderator", "workflow_state"),
        **_ids("course_id", "group_id", "user_id"),
        "membership_id": Field("id", _reference),
    },
}


def columns_of(model: type[CanvasRow]) -> set[str]:
    """Every stored column of a model that holds something of Canvas's."""
    return {column.attname for column in model._meta.concrete_fields} - BOOKKEEPING


def shards_of(instance: Instance) -> dict[int, int]:
    """Our numbers of the shards that were met."""
    return {
        HOME_SHARD if shard.canvas_shard is None else shard.canvas_shard: shard.number
        for shard in instance.shards.all()
    }


def read_copy(instance: Instance, resources: Iterable[str] = MODELS) -> Copy:
    """Every stored row of an instance, tombstones included, by resource and key."""
    wanted = ("id", "deleted_at", "as_of")
    return {
        name: {
            row["id"]: row
            for row in MODELS[name]._default_manager.filter(instance=instance).values(*wanted, *FIELDS[name])
        }
        for name in resources
    }


def is_live(resource: str, row: Row) -> bool:
    """Whether a row of the truth is not deleted."""
    return row["enrollment_state" if resource == "enrollments" else "workflow_state"] != "deleted"


def unreachable(state: State) -> dict[str, set[int]]:
    """Ids of live rows that no listing shows: what a deleted course holds, and a hidden assignment's work."""
    gone = {row["id"] for row in state["courses"] if row["workflow_state"] == "deleted"}
    hidden = {row["id"] for row in state["assignments"] if not row["published"]}
    found: dict[str, set[int]] = {
        name: {row["id"] for row in state[name] if row["course_id"] in gone}
        for name in MODELS
        if name not in ("accounts", "terms", "users", "courses", "enrollments")
    }
    found["submissions"] |= {row["id"] for row in state["submissions"] if row["assignment_id"] in hidden}
    return found


def expected_row(resource: str, row: Row, shards: Shards) -> dict[str, Any]:
    """What the copy must hold of a row of the truth."""
    return {column: field.read(_at(row, field.key), shards) for column, field in FIELDS[resource].items()}


def _at(row: Any, key: str) -> Any:
    for part in key.split("."):
        row = row.get(part) if isinstance(row, Mapping) else None
    return row


def with_students(state: State) -> State:
    """The truth with `total_students`, which Canvas counts and nobody stores."""
    students: dict[int, set[int]] = {}
    for row in state["enrollments"]:
        if row["type"] == "StudentEnrollment" and row["enrollment_state"] not in ("deleted", "rejected"):
            students.setdefault(row["course_id"], set()).add(row["user_id"])
    courses = [{**row, "total_students": len(students.get(row["id"], ()))} for row in state["courses"]]
    return {**state, "courses": courses}


def differences(
    state: State, copy: Copy, shards: Shards, *, allowed: Collection[tuple[str, int]] = ()
) -> list[str]:
    """What is wrong with the copy, one line each; `allowed` names (resource, Canvas id) that may be stale.

    A live row must be there with every field as Canvas has it. A deleted one must be marked deleted, or
    never have come. A row nobody can list must not be marked deleted, if it is there.
    """
    state, hidden = with_students(state), unreachable(state)
    found = []
    for name, rows in copy.items():
        truth = {key_of(row["id"], shards): row for row in state[name]}
        if name == "group_memberships":
            truth, rows = _by_member(truth.values(), shards), _by_member(rows.values())
        found += [f"{name} {key}: not in Canvas" for key in rows if key not in truth]
        for key, row in truth.items():
            if (name, row["id"]) not in allowed:
                reachable = row["id"] not in hidden.get(name, ())
                found += [
                    f"{name} {row['id']}: {wrong}"
                    for wrong in _compare(name, row, rows.get(key), shards, reachable=reachable)
                ]
    return found


def _by_member(rows: Iterable[Row], shards: Shards | None = None) -> dict[Any, Any]:
    """Memberships by group and user, of several the live one: Canvas makes a new one for who comes back."""
    dead_first = sorted(rows, key=lambda row: row["workflow_state"] != "deleted")
    return {
        tuple(
            row[name] if shards is None else key_of(row[name], shards) for name in ("group_id", "user_id")
        ): row
        for row in dead_first
    }


def _compare(name: str, row: Row, stored: Row | None, shards: Shards, *, reachable: bool) -> list[str]:
    if not is_live(name, row):
        marked = stored is None or (stored["deleted_at"] and stored["workflow_state"] == "deleted")
        return [] if marked else ["deleted in Canvas, live here"]
    if stored is None:
        return ["missing"] if reachable else []
    if stored["deleted_at"]:
        return ["live in Canvas, marked deleted here"]
    if not reachable:
        return []
    wanted = expected_row(name, row, shards)
    return [
        f"{column} is {stored[column]!r}, in Canvas {value!r}"
        for column, value in wanted.items()
        if stored[column] != value
    ]
