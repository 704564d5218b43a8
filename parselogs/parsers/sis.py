"""Canvas's SIS import files: tables from its public page "SIS CSV Format", in the order Canvas reads them."""

from __future__ import annotations

from parselogs.parsers.tables import (
    Column,
    Key,
    Kind,
    Need,
    Rule,
    Table,
    choice,
    dates,
    flags,
    listed,
    marks,
    primary,
    reference,
    required,
    status,
    texts,
)

FAMILY = "SIS import"
DELETE = "<delete>"

ROLES = ("student", "teacher", "ta", "observer", "designer")
ADMIN_ROLES = ("AccountAdmin",)
ENROLLMENT_TYPES = ("StudentEnrollment", "TeacherEnrollment", "TaEnrollment", "DesignerEnrollment")
USER_TYPES = ("administrative", "observer", "staff", "student", "student_other", "teacher", DELETE)
CHANGEABLE = ("account", "term", "course", "section", "group", "group_category", "user")

_LOGIN = Key(("login_id", "authentication_provider_id"), "users.login_id", claim=True, fold=True)
_INTEGRATION = Key(("integration_id",), "users.integration_id", claim=True)
_PASSWORDS = (Column("password", secret=True), Column("ssha_password", secret=True))
_EXISTING = ("existing_user_id", "existing_integration_id", "existing_canvas_user_id")
_ROLE = ("role", "role_id")
_TERM_DATES = Rule("only_one_date", ("start_date", "end_date"))


def _claim(table: str) -> Key:
    return Key(("integration_id",), f"{table}.integration_id", claim=True)


TABLES: tuple[Table, ...] = (
    Table(
        "change_sis_id",
        FAMILY,
        marks(
            "old_id new_id type",
            "old_integration_id new_integration_id type",
            "old_id new_integration_id type",
        ),
        (
            *texts("old_id new_id old_integration_id new_integration_id"),
            Column("type", Kind.CHOICE, Need.VALUE, CHANGEABLE),
        ),
        keys=(primary("change_sis_id", "old_id", "old_integration_id", "type"),),
        one_of=(("old_id", "old_integration_id"), ("new_id", "new_integration_id")),
    ),
    Table(
        "accounts",
        FAMILY,
        marks("account_id parent_account_id"),
        (
            required("account_id"),
            Column("parent_account_id", Kind.ID, Need.COLUMN),
            required("name", Kind.TEXT),
            status("active", "deleted"),
            *texts("integration_id"),
        ),
        keys=(primary("accounts", "account_id"), _claim("accounts")),
        parent=("account_id", "parent_account_id"),
    ),
    Table(
        "terms",
        FAMILY,
        marks("term_id name"),
        (
            required("term_id"),
            required("name", Kind.TEXT),
            status("active", "deleted"),
            *texts("integration_id"),
            choice("date_override_enrollment_type", *ENROLLMENT_TYPES),
            *dates("start_date", "end_date"),
        ),
        # A term has a row of its own for each type of enrollment whose dates differ.
        keys=(primary("terms", "term_id", "date_override_enrollment_type"), listed("terms", "term_id")),
    ),
    Table(
        "courses",
        FAMILY,
        marks("course_id short_name"),
        (
            required("course_id"),
            required("short_name", Kind.TEXT),
            required("long_name", Kind.TEXT),
            reference("account_id", "accounts.account_id"),
            reference("term_id", "terms.term_id"),
            status("active", "deleted", "completed", "published"),
            *texts("integration_id"),
            *dates("start_date", "end_date", allowed=(DELETE,)),
            choice("course_format", "on_campus", "online", "blended"),
            *texts("blueprint_course_id"),
            choice("grade_passback_setting", "nightly_sync", "not_set"),
            *flags("homeroom_course"),
            *texts("friendly_name"),
        ),
        keys=(primary("courses", "course_id"), _claim("courses")),
    ),
    Table(
        "sections",
        FAMILY,
        marks("section_id name"),
        (
            required("section_id"),
            required("course_id", refers="courses.course_id"),
            required("name", Kind.TEXT),
            status("active", "deleted"),
            *texts("integration_id"),
            *dates("start_date", "end_date"),
        ),
        keys=(
            primary("sections", "section_id"),
            _claim("sections"),
            listed("sections", "section_id", "course_id"),
        ),
    ),
    Table(
        "xlists",
        FAMILY,
        marks("xlist_course_id section_id"),
        (
            required("xlist_course_id"),  # Canvas makes a course that is not there
            required("section_id", refers="sections.section_id"),
            status("active", "deleted"),
        ),
        keys=(
            primary("xlists", "xlist_course_id", "section_id"),
            # A cross-listed section belongs to its new course too.
            Key(("section_id", "xlist_course_id"), "sections.section_id+course_id", repeats=True),
        ),
    ),
    Table(
        "users",
        FAMILY,
        marks("user_id login_id"),
        (
            required("user_id"),
            required("login_id"),
            status("active", "suspended", "deleted"),
            *texts("integration_id"),
            *_PASSWORDS,
            *texts("authentication_provider_id first_name last_name full_name sortable_name short_name"),
            Column("email", Kind.EMAIL),
            *texts("pronouns"),
            choice("declared_user_type", *USER_TYPES),
            *flags("canvas_password_notification home_account"),
        ),
        not_marks=frozenset(_EXISTING),
        keys=(primary("users", "user_id"), _LOGIN, _INTEGRATION),
        rules=(Rule("no_name", ("full_name", "first_name", "last_name", "short_name", "sortable_name")),),
    ),
    Table(
        "logins",
        FAMILY,
        marks(*(f"user_id login_id {existing}" for existing in _EXISTING)),
        (
            required("user_id"),
            required("login_id"),
            *texts("integration_id authentication_provider_id"),
            *_PASSWORDS,
            reference("existing_user_id", "users.user_id"),
            reference("existing_integration_id", "users.integration_id"),
            Column("existing_canvas_user_id", Kind.NUMBER),
            *texts("root_account"),
            Column("email", Kind.EMAIL),
        ),
        # A login has a SIS id of its own, in the same space as those of users.
        keys=(primary("users", "user_id"), _LOGIN, _INTEGRATION),
        one_of=(_EXISTING,),
    ),
    Table(
        "enrollments",
        FAMILY,
        marks(
            "course_id user_id",
            "course_id user_integration_id",
            "section_id user_id",
            "section_id user_integration_id",
        ),
        (
            reference("course_id", "courses.course_id"),
            reference("section_id", "sections.section_id"),
            reference("user_id", "users.user_id"),
            reference("user_integration_id", "users.integration_id"),
            Column("role", Kind.ROLE, allowed=ROLES),
            Column("role_id", Kind.NUMBER),
            status("active", "deleted", "completed", "inactive", "deleted_last_completed"),
            *texts("root_account"),
            *dates("start_date", "end_date"),
            reference("associated_user_id", "users.user_id"),
            *flags("limit_section_privileges notify"),
            reference("temporary_enrollment_source_user_id", "users.user_id"),
        ),
        keys=(
            primary(
                "enrollments",
                *("course_id", "section_id", "user_id", "user_integration_id"),
                *("role", "role_id", "associated_user_id"),
            ),
        ),
        one_of=(("course_id", "section_id"), ("user_id", "user_integration_id"), _ROLE),
        rules=(_TERM_DATES,),
        together=(("section_id", "course_id"), "sections.section_id+course_id"),
        deleted=frozenset({"deleted", "deleted_last_completed"}),
    ),
    Table(
        "admins",
        FAMILY,
        marks("account_id user_id"),
        (
            required("user_id", refers="users.user_id"),
            Column("account_id", Kind.ID, Need.COLUMN, refers="accounts.account_id"),
            Column("role_id", Kind.NUMBER),
            Column("role", Kind.ROLE, allowed=ADMIN_ROLES),
            status("active", "deleted"),
            *texts("root_account"),
        ),
        keys=(primary("admins", "user_id", "account_id", "role", "role_id"),),
        one_of=(_ROLE,),
    ),
    Table(
        "group_categories",
        FAMILY,
        marks("group_category_id category_name"),
        (
            required("group_category_id"),
            reference("account_id", "accounts.account_id"),
            reference("course_id", "courses.course_id"),
            required("category_name", Kind.TEXT),
            status("active", "deleted"),
        ),
        keys=(primary("group_categories", "group_category_id"),),
    ),
    Table(
        "groups",
        FAMILY,
        marks("group_id name"),
        (
            required("group_id"),
            reference("group_category_id", "group_categories.group_category_id"),
            reference("account_id", "accounts.account_id"),
            reference("course_id", "courses.course_id"),
            required("name", Kind.TEXT),
            status("available", "deleted"),
        ),
        keys=(primary("groups", "group_id"),),
    ),
    Table(
        "groups_membership",
        FAMILY,
        marks("group_id user_id"),
        (
            required("group_id", refers="groups.group_id"),
            required("user_id", refers="users.user_id"),
            status("accepted", "deleted"),
        ),
        keys=(primary("groups_membership", "group_id", "user_id"),),
    ),
    Table(
        "differentiation_tag_sets",
        FAMILY,
        marks("tag_set_id set_name"),
        (
            required("tag_set_id"),
            required("course_id", refers="courses.course_id"),
            required("set_name", Kind.TEXT),
            status("active", "deleted"),
        ),
        keys=(primary("differentiation_tag_sets", "tag_set_id"),),
    ),
    Table(
        "differentiation_tags",
        FAMILY,
        marks("tag_id name"),
        (
            required("tag_id"),
            reference("tag_set_id", "differentiation_tag_sets.tag_set_id"),
            reference("course_id", "courses.course_id"),
            required("name", Kind.TEXT),
            status("available", "deleted"),
        ),
        keys=(primary("differentiation_tags", "tag_id"),),
    ),
    Table(
        "differentiation_tag_membership",
        FAMILY,
        marks("tag_id user_id"),
        (
            required("tag_id", refers="differentiation_tags.tag_id"),
            required("user_id", refers="users.user_id"),
            status("accepted", "deleted"),
        ),
        keys=(primary("differentiation_tag_membership", "tag_id", "user_id"),),
    ),
    Table(
        "user_observers",
        FAMILY,
        marks("observer_id student_id"),
        (
            required("observer_id", refers="users.user_id"),
            required("student_id", refers="users.user_id"),
            status("active", "deleted"),
        ),
        keys=(primary("user_observers", "observer_id", "student_id"),),
    ),
)
