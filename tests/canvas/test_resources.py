"""The table of resources: columns that fit the models, paths and parameters as Canvas documents them."""

from __future__ import annotations

from string import Formatter

import pytest
from django.db import models

from canvas.mapping import ID, IDS, JSON, SHORT_TEXT
from canvas.models import CanvasRow
from canvas.resources import RESOURCES, Level, Resource, RestListing
from canvas.writer import Table
from syncmetrics.serializer import ENTITIES

every_resource = pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda resource: resource.name)
LISTINGS = {
    f"{resource.name}.{which}": listing
    for resource in RESOURCES.values()
    for which in ("listing", "own_listing")
    if (listing := getattr(resource, which))
}
every_listing = pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS)


def placeholders(path: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(path) if name}


def params(name: str) -> dict[str, str | tuple[str, ...]]:
    """Return the parameters of a listing such as `courses.own_listing`."""
    return dict(LISTINGS[name].params)


# --- columns ------------------------------------------------------------------------------------


@every_resource
def test_every_field_of_the_model_is_mapped_once_in_the_order_of_the_writer(resource: Resource):
    table = Table.of(resource.model)
    assert [column.name for column in resource.columns] == list(table.columns[2:-3])
    assert table.columns[:2] == ("id", "instance_id")
    assert table.columns[-3:] == ("row_hash", "as_of", "deleted_at")
    fields = {field.attname for field in resource.model._meta.concrete_fields}
    assert fields - set(table.columns) == {"canvas_id"}


@every_resource
def test_what_is_declared_of_a_column_names_one(resource: Resource):
    columns = {column.name for column in resource.columns}
    assert set(resource.sources) <= columns
    assert set(resource.defaults) <= columns


@every_resource
def test_kind_of_a_column_follows_its_field(resource: Resource):
    for column in resource.columns:
        field = next(one for one in resource.model._meta.concrete_fields if one.attname == column.name)
        names_a_row = isinstance(field, models.BigIntegerField) and column.name.endswith("_id")
        assert (column.kind is ID) == (isinstance(field, models.ForeignKey) or names_a_row)
        assert (column.kind in (JSON, IDS)) == isinstance(field, models.JSONField)
        assert (column.kind is IDS) == column.name.endswith("_ids")


@every_resource
def test_text_in_an_index_is_held_short(resource: Resource):
    """PostgreSQL refuses index entries over about 2,700 bytes, and the batch with them."""
    indexed = {name for index in resource.model._meta.indexes for name in index.fields}
    text = {
        field.attname
        for field in resource.model._meta.concrete_fields
        if isinstance(field, models.TextField) and (field.name in indexed or field.db_index)
    }
    assert {column.name for column in resource.columns if column.kind is SHORT_TEXT} == text


def test_resources_are_named_after_their_models_and_cover_all_of_them():
    names = {name: resource.model._meta.verbose_name_plural for name, resource in RESOURCES.items()}
    assert {name: str(plural).replace(" ", "_") for name, plural in names.items()} == {
        name: name for name in RESOURCES
    }
    assert {resource.model for resource in RESOURCES.values()} == set(CanvasRow.__subclasses__())


@every_resource
def test_parents_are_synced_before_what_hangs_on_them(resource: Resource):
    order = [one.model for one in RESOURCES.values()]
    parents = {
        field.related_model
        for field in resource.model._meta.concrete_fields
        if isinstance(field, models.ForeignKey) and field.name != "instance"
    }
    assert parents - {resource.model} <= set(order[: order.index(resource.model)])


# --- paths and parameters -----------------------------------------------------------------------


@every_listing
def test_path_asks_for_what_its_level_knows(listing: RestListing):
    known = {
        Level.ACCOUNT: {"account"},
        Level.ROOT_ACCOUNT: {"account"},
        Level.TOKEN: set(),
        Level.COURSE: {"course"},
    }
    asked = placeholders(listing.path)
    if listing.level is Level.PARENT:
        assert {"parent"} <= asked <= {"parent", "course"}
    else:
        assert asked == known[listing.level]
    assert not listing.path.startswith("/")


@every_listing
def test_lists_of_values_carry_brackets_and_single_values_do_not(listing: RestListing):
    assert [name for name, value in listing.params if name.endswith("[]") != isinstance(value, tuple)] == []
    assert len(dict(listing.params)) == len(listing.params)


@every_resource
def test_detail_asks_for_ids_the_engine_has(resource: Resource):
    keys = {field.name for field in resource.model._meta.concrete_fields if field.many_to_one}
    assert placeholders(resource.detail) <= {"id", "course", "root_account"} | keys


@every_resource
def test_resource_is_listed_or_stands_within_another(resource: Resource):
    inside = resource.listing is None or resource.listing.level is Level.PARENT
    assert inside == (resource.within is not None)
    assert not resource.nested_key or resource.within
    assert resource.listing or resource.nested_key
    assert resource.within is None or resource.within in RESOURCES


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("accounts.listing", "accounts/{account}/sub_accounts"),
        ("terms.listing", "accounts/{account}/terms"),
        ("users.listing", "accounts/{account}/users"),
        ("users.own_listing", "courses/{course}/users"),
        ("courses.listing", "accounts/{account}/courses"),
        ("courses.own_listing", "courses"),
        ("sections.listing", "courses/{course}/sections"),
        ("enrollments.listing", "courses/{course}/enrollments"),
        ("assignment_groups.listing", "courses/{course}/assignment_groups"),
        ("submissions.listing", "courses/{course}/students/submissions"),
    ],
)
def test_listing_is_where_canvas_documents_it(name: str, path: str):
    assert LISTINGS[name].path == path


def test_only_terms_come_wrapped():
    wrapped = {name: listing.wrapper for name, listing in LISTINGS.items() if listing.wrapper}
    assert wrapped == {"terms.listing": "enrollment_terms"}
    assert LISTINGS["terms.listing"].level is Level.ROOT_ACCOUNT


def test_sub_accounts_of_every_depth_are_asked_for():
    assert params("accounts.listing")["recursive"] == "true"


def test_many_pages_of_users_are_asked_for_by_id():
    """Other orders may be rate-limited after 50 pages."""
    assert params("users.listing")["sort"] == "id"


@pytest.mark.parametrize(
    ("name", "param", "states"),
    [
        ("terms.listing", "workflow_state[]", {"all"}),
        ("courses.listing", "state[]", {"all"}),
        ("courses.own_listing", "state[]", {"unpublished", "available", "completed"}),
        ("users.own_listing", "enrollment_state[]", {"active", "invited", "completed", "inactive"}),
        (
            "enrollments.listing",
            "state[]",
            {"active", "invited", "creation_pending", "deleted", "rejected", "completed", "inactive"},
        ),
    ],
)
def test_states_are_asked_for_by_name_because_the_default_hides_some(name: str, param: str, states: set[str]):
    assert set(params(name)[param]) == states


def test_assignments_come_inside_their_groups_with_base_dates():
    """Without the parameter the due dates would be those of the token's owner."""
    asked = params("assignment_groups.listing")
    assert asked["include[]"] == ("assignments",)
    assert asked["override_assignment_dates"] == "false"
    assert (RESOURCES["assignments"].within, RESOURCES["assignments"].nested_key) == (
        "assignment_groups",
        "assignments",
    )


def test_submissions_of_all_students_are_asked_for_with_exactly_the_mapped_fields():
    asked = params("submissions.listing")
    assert asked["student_ids[]"] == ("all",)
    from_canvas = [
        column.key for column in RESOURCES["submissions"].columns if not column.key.startswith("@")
    ]
    assert asked["response_fields[]"] == ("id", *from_canvas)


# canvas-lms's SUBMISSION_JSON_FIELDS, and what lib/api/v1/submission.rb adds to them.
SENT_OF_A_SUBMISSION = set(
    """
    id user_id url score grade excused attempt submission_type submitted_at body assignment_id graded_at
    grade_matches_current_submission grader_id workflow_state late_policy_status points_deducted
    grading_period_id cached_due_date extra_attempts posted_at redo_request sticker custom_grade_status_id
    late missing seconds_late entered_grade entered_score
    """.split()  # noqa: SIM905  # a list of one word a line says no more
)


def test_every_mapped_submission_field_is_one_canvas_sends():
    assert set(params("submissions.listing")["response_fields[]"]) <= SENT_OF_A_SUBMISSION


def test_enrollments_take_their_state_and_grades_from_where_canvas_puts_them():
    keys = {column.name: column.key for column in RESOURCES["enrollments"].columns}
    assert keys["workflow_state"] == "enrollment_state"
    assert keys["current_score"] == "grades.current_score"
    assert keys["unposted_final_grade"] == "grades.unposted_final_grade"


def test_rows_that_do_not_name_their_course_take_it_from_the_listing():
    from_listing = {
        name for name, resource in RESOURCES.items() for column in resource.columns if column.key == "@course"
    }
    assert from_listing == {
        "assignment_groups",
        "assignments",
        "submissions",
        "modules",
        "module_items",
        "group_categories",
        "group_memberships",
    }


# --- what stands within something else -----------------------------------------------------------


def test_items_come_inside_their_modules_and_those_left_out_from_a_listing_of_their_own():
    items = RESOURCES["module_items"]
    assert params("modules.listing") == {"include[]": ("items",)}
    assert (items.within, items.nested_key) == ("modules", "items")
    assert LISTINGS["module_items.listing"].path == "courses/{course}/modules/{parent}/items"
    assert RESOURCES["modules"].nested == (items,)


def test_every_state_of_a_membership_and_every_kind_of_group_is_asked_for():
    assert set(params("group_memberships.listing")["filter_states[]"]) == {"accepted", "invited", "requested"}
    assert params("groups.listing")["collaboration_state"] == "all"
    assert params("group_categories.listing")["collaboration_state"] == "all"


@every_resource
def test_natural_key_is_the_unique_one_of_its_table(resource: Resource):
    unique = {
        tuple(resource.model._meta.get_field(name).attname for name in constraint.fields)
        for constraint in resource.model._meta.constraints
        if isinstance(constraint, models.UniqueConstraint)
    }
    assert ({resource.natural_key} if resource.natural_key else set()) == unique


@every_resource
def test_what_may_be_left_unasked_is_left_together_with_what_it_holds(resource: Resource):
    assert {part.fresh_for for part in resource.nested} <= {resource.fresh_for}


def test_runs_count_every_resource_by_its_name():
    assert set(ENTITIES) == set(RESOURCES)
