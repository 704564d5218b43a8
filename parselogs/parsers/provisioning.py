"""Canvas's provisioning reports: the SIS files' entities with Canvas's own ids; English headers only.

SIS ids may be blank in them, for what was made in Canvas itself. Columns were added over the years, so only
those that name a row are required. The root account is in no report, so nothing refers to accounts.
"""

from __future__ import annotations

from parselogs.parsers.tables import (
    Column,
    Kind,
    Need,
    Table,
    choice,
    dates,
    flags,
    listed,
    marks,
    primary,
    status,
    texts,
)

FAMILY = "provisioning report"

_SIS_ROW = flags("created_by_sis")


def _canvas(name: str, refers: str = "") -> Column:
    return Column(name, Kind.NUMBER, Need.VALUE, refers=refers)


def _optional(names: str) -> tuple[Column, ...]:
    return tuple(Column(name, Kind.NUMBER) for name in names.split())


_COURSE = "provisioning courses.canvas_course_id"
_SECTION = "provisioning sections.canvas_section_id"
_USER = "provisioning users.canvas_user_id"
_GROUP = "provisioning groups.canvas_group_id"

TABLES: tuple[Table, ...] = (
    Table(
        "provisioning accounts",
        FAMILY,
        marks("canvas_account_id canvas_parent_id"),
        (
            _canvas("canvas_account_id"),
            *_optional("canvas_parent_id"),
            *texts("account_id parent_account_id name"),
            status("active", "deleted"),
            *_SIS_ROW,
        ),
        keys=(primary("provisioning accounts", "canvas_account_id"),),
    ),
    Table(
        "provisioning terms",
        FAMILY,
        marks("canvas_term_id name"),
        (
            _canvas("canvas_term_id"),
            *texts("term_id name"),
            status("active", "deleted"),
            *dates("start_date", "end_date"),
            *_SIS_ROW,
        ),
        keys=(primary("provisioning terms", "canvas_term_id"),),
    ),
    Table(
        "provisioning courses",
        FAMILY,
        marks("canvas_course_id short_name"),
        (
            _canvas("canvas_course_id"),
            *texts("course_id integration_id short_name long_name"),
            *_optional("canvas_account_id"),
            *texts("account_id"),
            Column("canvas_term_id", Kind.NUMBER, refers="provisioning terms.canvas_term_id"),
            *texts("term_id"),
            status("unpublished", "active", "concluded", "deleted"),
            *dates("start_date", "end_date"),
            choice("course_format", "on_campus", "online", "blended"),
            *_optional("canvas_blueprint_course_id"),
            *texts("blueprint_course_id"),
            *_SIS_ROW,
        ),
        keys=(primary("provisioning courses", "canvas_course_id"),),
    ),
    Table(
        "provisioning sections",
        FAMILY,
        marks("canvas_section_id canvas_course_id name"),
        (
            _canvas("canvas_section_id"),
            *texts("section_id"),
            _canvas("canvas_course_id", _COURSE),
            *texts("course_id integration_id name"),
            status("active", "deleted"),
            *dates("start_date", "end_date"),
            *_optional("canvas_account_id"),
            *texts("account_id"),
            *_SIS_ROW,
        ),
        keys=(primary("provisioning sections", "canvas_section_id"),),
    ),
    Table(
        "provisioning users",
        FAMILY,
        marks("canvas_user_id login_id"),
        (
            _canvas("canvas_user_id"),
            *texts("user_id integration_id authentication_provider_id login_id first_name last_name"),
            *texts("full_name sortable_name short_name"),
            Column("email", Kind.EMAIL),
            status("active", "suspended", "deleted"),
            *_SIS_ROW,
            *texts("pronouns"),
        ),
        # A user has a row for each login.
        keys=(
            primary("provisioning users", "canvas_user_id", "login_id"),
            listed("provisioning users", "canvas_user_id"),
        ),
    ),
    Table(
        "provisioning xlists",
        FAMILY,
        marks("canvas_xlist_course_id canvas_section_id"),
        (
            _canvas("canvas_xlist_course_id", _COURSE),
            *texts("xlist_course_id"),
            _canvas("canvas_section_id", _SECTION),
            *texts("section_id"),
            status("active", "deleted"),
            *_optional("canvas_nonxlist_course_id"),
            *texts("nonxlist_course_id"),
        ),
        keys=(primary("provisioning xlists", "canvas_xlist_course_id", "canvas_section_id"),),
    ),
    Table(
        "provisioning enrollments",
        FAMILY,
        marks("canvas_course_id canvas_user_id role"),
        (
            _canvas("canvas_course_id", _COURSE),
            *texts("course_id"),
            _canvas("canvas_user_id", _USER),
            *texts("user_id role"),
            *_optional("role_id"),
            Column("canvas_section_id", Kind.NUMBER, refers=_SECTION),
            *texts("section_id"),
            status(
                "invited",
                "active",
                "concluded",
                "inactive",
                "deleted",
                "rejected",
                "completed",
                "creation_pending",
            ),
            *_optional("canvas_associated_user_id"),
            *texts("associated_user_id"),
            *_SIS_ROW,
            *texts("base_role_type"),
            *flags("limit_section_privileges"),
            *_optional("canvas_enrollment_id canvas_temporary_enrollment_source_user_id"),
            *texts("temporary_enrollment_source_user_id root_account"),
        ),
        keys=(primary("provisioning enrollments", "canvas_enrollment_id"),),
    ),
    Table(
        "provisioning group categories",
        FAMILY,
        marks("canvas_group_category_id context_type"),
        (
            _canvas("canvas_group_category_id"),
            *texts("group_category_id"),
            *_optional("context_id"),
            *texts("context_type name role self_signup"),
            *_optional("group_limit"),
            *texts("auto_leader"),
            status("active", "deleted"),
        ),
        not_marks=frozenset({"canvas_group_id"}),
        keys=(primary("provisioning group categories", "canvas_group_category_id"),),
    ),
    Table(
        "provisioning groups",
        FAMILY,
        marks("canvas_group_id name"),
        (
            _canvas("canvas_group_id"),
            *texts("group_id"),
            Column(
                "canvas_group_category_id",
                Kind.NUMBER,
                refers="provisioning group categories.canvas_group_category_id",
            ),
            *texts("group_category_id"),
            *_optional("canvas_account_id"),
            *texts("account_id"),
            *_optional("canvas_course_id"),
            *texts("course_id name"),
            status("available", "active", "closed", "deleted"),
            *_SIS_ROW,
            *_optional("context_id"),
            *texts("context_type"),
            *_optional("max_membership"),
        ),
        keys=(primary("provisioning groups", "canvas_group_id"),),
    ),
    Table(
        "provisioning group memberships",
        FAMILY,
        marks("canvas_group_id canvas_user_id"),
        (
            _canvas("canvas_group_id", _GROUP),
            *texts("group_id"),
            _canvas("canvas_user_id", _USER),
            *texts("user_id"),
            status("accepted", "invited", "requested", "rejected", "deleted"),
            *_SIS_ROW,
        ),
    ),
    Table(
        "provisioning user observers",
        FAMILY,
        marks("canvas_observer_id canvas_student_id"),
        (
            _canvas("canvas_observer_id", _USER),
            *texts("observer_id"),
            _canvas("canvas_student_id", _USER),
            *texts("student_id"),
            status("active", "deleted"),
            *_SIS_ROW,
        ),
        keys=(primary("provisioning user observers", "canvas_observer_id", "canvas_student_id"),),
    ),
    Table(
        "provisioning admins",
        FAMILY,
        marks("admin_user_name canvas_user_id"),
        (
            *texts("admin_user_name"),
            _canvas("canvas_user_id", _USER),
            *texts("user_id"),
            *_optional("canvas_account_id"),
            *texts("account_id"),
            *_optional("role_id"),
            *texts("role"),
            status("active", "deleted"),
            *_SIS_ROW,
            *texts("root_account"),
        ),
    ),
)
