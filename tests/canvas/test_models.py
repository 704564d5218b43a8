"""The copy's tables: constraints that hold, indexes for every lookup, rows that need no parents."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group as Role
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Q
from django.utils import timezone

from canvas.models import (
    Account,
    Assignment,
    AssignmentGroup,
    CanvasRow,
    Connection,
    Course,
    Enrollment,
    Export,
    Group,
    GroupCategory,
    GroupMembership,
    Instance,
    InstanceLimit,
    Module,
    ModuleItem,
    Promise,
    Scope,
    Section,
    Shard,
    Submission,
    Term,
    User,
)
from canvas.resources import RESOURCES
from easel.ids import MAX_SHARD_NUMBER, SHARD_SIZE, InvalidId
from tests.factories import (
    AccountFactory,
    AssignmentFactory,
    ConnectionFactory,
    CourseFactory,
    EnrollmentFactory,
    GroupMembershipFactory,
    InstanceFactory,
    SubmissionFactory,
    TermFactory,
    UserFactory,
)

MIRRORED = [resource.model for resource in RESOURCES.values()]

# --- constraints --------------------------------------------------------------------------------

Refused = Callable[[], object]
"""Saves the row that breaks the rule, once rows that differ from it in one respect are there."""


def scope(connection: Connection, resource: str = "users", course_id: int = 0) -> Scope:
    return Scope.objects.create(connection=connection, resource=resource, course_id=course_id)


def shard(instance: Instance, number: int, canvas_shard: int | None = None) -> Shard:
    return Shard.objects.create(instance=instance, number=number, canvas_shard=canvas_shard)


def shard_number_too_high() -> Refused:
    site = InstanceFactory()
    shard(site, MAX_SHARD_NUMBER)
    return lambda: shard(site, MAX_SHARD_NUMBER + 1, 44)


def shard_number_too_low() -> Refused:
    site = InstanceFactory()
    shard(site, 1)
    return lambda: shard(site, 0, 44)


def shard_twice_on_one_instance() -> Refused:
    site = InstanceFactory()
    shard(site, 1, 44)
    shard(InstanceFactory(), 2, 44)
    shard(site, 3, 45)
    return lambda: shard(site, 4, 44)


def second_home_of_an_instance() -> Refused:
    site = InstanceFactory()
    shard(site, 1)
    shard(InstanceFactory(), 2)
    shard(site, 3, 44)
    return lambda: shard(site, 4)


def shard_number_used_again() -> Refused:
    shard(InstanceFactory(), 1)
    site = InstanceFactory()
    return lambda: shard(site, 1)


def scope_twice_of_one_connection() -> Refused:
    main = ConnectionFactory()
    scope(main)
    scope(main, "courses")
    scope(main, "users", 7)
    scope(ConnectionFactory(instance=main.instance))
    return lambda: scope(main)


def two_instances_of_one_name() -> Refused:
    InstanceFactory(name="Main")
    return lambda: InstanceFactory(name="Main")


def two_instances_of_one_address() -> Refused:
    InstanceFactory(base_url="https://canvas.example.edu")
    return lambda: InstanceFactory(base_url="https://canvas.example.edu")


def two_connections_of_one_name() -> Refused:
    site = ConnectionFactory(name="main").instance
    return lambda: ConnectionFactory(name="main", instance=site)


def membership_twice_of_one_user() -> Refused:
    site = InstanceFactory()
    GroupMembershipFactory(instance=site, group_id=1, user_id=2)
    GroupMembershipFactory(instance=site, group_id=1, user_id=3)
    GroupMembershipFactory(instance=site, group_id=2, user_id=2)
    return lambda: GroupMembershipFactory(instance=site, group_id=1, user_id=2)


def person(name: str = "ada") -> Any:
    return get_user_model().objects.create_user(name)


def limit_of_nobody() -> Refused:
    site = InstanceFactory()
    return lambda: InstanceLimit.objects.create(instance=site)


def limit_of_a_person_and_a_group() -> Refused:
    site, ada, group = InstanceFactory(), person(), Role.objects.create(name="some")
    return lambda: InstanceLimit.objects.create(instance=site, user=ada, group=group)


def limit_twice_of_a_person() -> Refused:
    site, ada = InstanceFactory(), person()
    InstanceLimit.objects.create(instance=site, user=ada)
    InstanceLimit.objects.create(instance=InstanceFactory(), user=ada)
    InstanceLimit.objects.create(instance=site, user=person("bob"))
    return lambda: InstanceLimit.objects.create(instance=site, user=ada)


def limit_twice_of_a_group() -> Refused:
    site, group = InstanceFactory(), Role.objects.create(name="some")
    InstanceLimit.objects.create(instance=site, group=group)
    InstanceLimit.objects.create(instance=InstanceFactory(), group=group)
    return lambda: InstanceLimit.objects.create(instance=site, group=group)


def export_at_work_with_an_end() -> Refused:
    Export.objects.create(table="canvas.course", format="csv")
    return lambda: Export.objects.create(table="canvas.course", format="csv", ended_at=timezone.now())


def export_completed_without_an_end() -> Refused:
    Export.objects.create(table="canvas.course", format="csv", state="failed", ended_at=timezone.now())
    return lambda: Export.objects.create(table="canvas.course", format="csv", state="completed")


def promise_of_no_hours() -> Refused:
    site = InstanceFactory()
    Promise.objects.create(instance=site, hours=1)
    return lambda: Promise.objects.create(instance=site, resource="users", hours=0)


def promise_twice_of_a_resource() -> Refused:
    site = InstanceFactory()
    Promise.objects.create(instance=site, resource="users", hours=1)
    Promise.objects.create(instance=site, resource="terms", hours=1)
    Promise.objects.create(instance=InstanceFactory(), resource="users", hours=1)
    return lambda: Promise.objects.create(instance=site, resource="users")


BREAKS = {
    "shard_number_below_900": [shard_number_too_high, shard_number_too_low],
    "shard_once_per_instance": [shard_twice_on_one_instance],
    "shard_one_home_per_instance": [second_home_of_an_instance],
    "scope_once_per_connection": [scope_twice_of_one_connection],
    "group_membership_once_per_user": [membership_twice_of_one_user],
    "limit_of_a_person_or_a_group": [limit_of_nobody, limit_of_a_person_and_a_group],
    "limit_once_per_person": [limit_twice_of_a_person],
    "limit_once_per_group": [limit_twice_of_a_group],
    "export_end_when_ended": [export_at_work_with_an_end, export_completed_without_an_end],
    "promise_of_an_hour_or_more": [promise_of_no_hours],
    "promise_once_per_resource": [promise_twice_of_a_resource],
    "unique fields": [
        shard_number_used_again,
        two_instances_of_one_name,
        two_instances_of_one_address,
        two_connections_of_one_name,
    ],
}


@pytest.mark.parametrize("prepare", [one for several in BREAKS.values() for one in several])
def test_database_refuses_what_breaks_a_rule(db: None, prepare: Callable[[], Refused]):
    save_refused = prepare()
    with pytest.raises(IntegrityError), transaction.atomic():
        save_refused()


def test_every_named_constraint_has_a_test_and_is_in_the_database(db: None):
    declared = {
        (constraint.name, model._meta.db_table)
        for model in apps.get_app_config("canvas").get_models()
        for constraint in model._meta.constraints
    }
    assert {name for name, _ in declared} == set(BREAKS) - {"unique fields"}
    with connection.cursor() as cursor:
        for name, table in declared:
            assert name in connection.introspection.get_constraints(cursor, table)


# --- indexes (mission A8) -----------------------------------------------------------------------

LOOKUPS: list[tuple[type[models.Model], tuple[str, ...]]] = [
    (Account, ("canvas_id",)),
    (Account, ("parent_account_id",)),
    (Term, ("canvas_id",)),
    (Term, ("instance_id",)),
    (User, ("canvas_id",)),
    (User, ("sis_user_id",)),
    (User, ("sortable_name",)),
    (Course, ("canvas_id",)),
    (Course, ("canvas_id", "enrollment_term_id")),
    (Course, ("enrollment_term_id",)),
    (Course, ("account_id",)),
    (Course, ("sis_course_id",)),
    (Course, ("instance_id", "workflow_state")),
    (Section, ("canvas_id",)),
    (Section, ("course_id",)),
    (Section, ("sis_section_id",)),
    (Enrollment, ("canvas_id",)),
    (Enrollment, ("course_id",)),
    (Enrollment, ("user_id",)),
    (AssignmentGroup, ("canvas_id",)),
    (AssignmentGroup, ("course_id", "name")),
    (Assignment, ("canvas_id",)),
    (Assignment, ("canvas_id", "course_id")),
    (Assignment, ("course_id",)),
    (Assignment, ("assignment_group_id",)),
    (Submission, ("course_id", "assignment_id")),
    (Submission, ("assignment_id", "user_id")),
    (Submission, ("user_id",)),
    (Module, ("canvas_id",)),
    (Module, ("course_id", "position")),
    (ModuleItem, ("canvas_id",)),
    (ModuleItem, ("course_id",)),
    (ModuleItem, ("module_id", "position")),
    (ModuleItem, ("type", "content_id")),
    (GroupCategory, ("canvas_id",)),
    (GroupCategory, ("course_id",)),
    (Group, ("canvas_id",)),
    (Group, ("course_id", "name")),
    (Group, ("group_category_id",)),
    (Group, ("sis_group_id",)),
    (GroupMembership, ("canvas_id",)),
    (GroupMembership, ("course_id",)),
    (GroupMembership, ("group_id", "user_id")),
    (GroupMembership, ("user_id",)),
    (Scope, ("connection_id", "resource", "course_id")),
    (Scope, ("resource", "last_complete_at")),
]


@pytest.mark.parametrize(
    ("model", "columns"), LOOKUPS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_lookup_has_an_index_that_begins_with_it(
    db: None, model: type[models.Model], columns: tuple[str, ...]
):
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, model._meta.db_table)
    indexes = [tuple(one["columns"]) for one in constraints.values() if one["index"] or one["unique"]]
    assert [index for index in indexes if index[: len(columns)] == columns]


# --- rows without parents -----------------------------------------------------------------------


@pytest.mark.parametrize("model", MIRRORED, ids=lambda model: model.__name__)
def test_no_parent_is_demanded_by_the_database(model: type[CanvasRow]):
    keys = [field for field in model._meta.concrete_fields if isinstance(field, models.ForeignKey)]
    assert not [key.name for key in keys if key.db_constraint]
    assert [key.name for key in keys if not key.null] == ["instance"]
    assert {key.remote_field.on_delete for key in keys if key.null} <= {models.DO_NOTHING}


@pytest.fixture
def orphans(db: None) -> dict[str, CanvasRow]:
    """Rows whose parents have not arrived, each beside one whose parents have."""
    site = InstanceFactory()
    account = AccountFactory(instance=site, canvas=1, name="Faculty")
    course = CourseFactory(instance=site, canvas=2, account=account, name="Whole")
    assignment = AssignmentFactory(instance=site, canvas=3, course=course)
    user = UserFactory(instance=site, canvas=4)
    SubmissionFactory(instance=site, canvas=5, course=course, assignment=assignment, user=user)
    EnrollmentFactory(instance=site, canvas=6, course=course, user=user)
    absent = site.folder().fold(999)
    return {
        "course": CourseFactory(
            instance=site, canvas=12, account_id=absent, enrollment_term_id=absent, name="Orphan"
        ),
        "submission": SubmissionFactory(
            instance=site, canvas=15, course_id=absent, assignment_id=absent, user_id=absent
        ),
        "enrollment": EnrollmentFactory(instance=site, canvas=16, course_id=absent, user_id=absent),
    }


def test_rows_whose_parents_are_missing_are_in_lists_searches_and_orderings(orphans: dict[str, CanvasRow]):
    courses = Course.objects.select_related("account", "enrollment_term").order_by("account__name", "id")
    assert {course.name: course.account and course.account.name for course in courses} == {
        "Whole": "Faculty",
        "Orphan": None,
    }
    search = Q(name__icontains="orphan") | Q(account__name__icontains="orphan")
    assert [course.name for course in courses.filter(search)] == ["Orphan"]
    submissions = Submission.objects.select_related(
        "course__account", "assignment__course", "user", "instance"
    )
    for ordering in ("user__sortable_name", "course__account__name", "-assignment__course__name"):
        assert submissions.order_by(ordering).count() == len(submissions.order_by(ordering)) == 2
    orphan = submissions.get(pk=orphans["submission"].pk)
    assert (orphan.course, orphan.assignment, orphan.user) == (None, None, None)
    assert orphan.user_id is not None
    by_name = Q(user__name__icontains="x") | Q(course__name__icontains="x") | Q(type="StudentEnrollment")
    assert Enrollment.objects.filter(by_name).order_by("user__sortable_name").count() == 2


def test_rows_find_their_parents_once_they_have_arrived(orphans: dict[str, CanvasRow]):
    course = orphans["course"]
    TermFactory(instance=course.instance, canvas=999, name="Late")
    assert Course.objects.get(enrollment_term__name="Late") == course
    assert Term.objects.get(name="Late").courses.get() == course


# --- ids ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MIRRORED, ids=lambda model: model.__name__)
def test_canvas_id_is_the_databases_own_reckoning(db: None, model: type[CanvasRow]):
    for number in (1, MAX_SHARD_NUMBER):
        key = number * SHARD_SIZE + 42
        own = {"membership_id": key} if model is GroupMembership else {}
        row = model(id=key, instance_id=1, row_hash=0, as_of=datetime(2024, 9, 1, tzinfo=UTC), **own)
        row.save(force_insert=True)
    stored = model._default_manager.filter(canvas_id=42)
    assert set(stored.values_list("id", "canvas_id")) == {
        (SHARD_SIZE + 42, 42),
        (MAX_SHARD_NUMBER * SHARD_SIZE + 42, 42),
    }
    assert all(str(row) for row in stored)


def test_sites_fold_the_same_ids_apart(db: None):
    first, second = InstanceFactory(), InstanceFactory()
    keys = [site.folder().fold(spelled) for site in (first, second) for spelled in (42, "2107~42")]
    assert len(set(keys)) == 4
    assert {key % SHARD_SIZE for key in keys} == {42}


def test_folder_is_the_same_tomorrow(db: None):
    site = InstanceFactory()
    before = [site.folder().fold(spelled) for spelled in (42, "2107~42", "2108~42")]
    again = Instance.objects.get(pk=site.pk)
    assert [again.folder().fold(spelled) for spelled in ("2108~42", "2107~42", 42)] == before[::-1]
    assert set(site.shards.values_list("canvas_shard", flat=True)) == {None, 2107, 2108}


def test_global_ids_of_the_home_shard_are_home_once_its_number_is_known(db: None):
    site = InstanceFactory(canvas_shard=2107)
    folder = site.folder()
    assert folder.fold(f"2107~{42}") == folder.fold(2107 * SHARD_SIZE + 42) == folder.fold(42)
    assert site.shards.count() == 1


def test_allotted_number_is_kept_and_the_next_is_free(db: None):
    first, second = InstanceFactory(), InstanceFactory()
    numbers = [Shard.allot(*wanted) for wanted in ((first, None), (second, None), (first, 44), (first, None))]
    assert numbers == [1, 2, 3, 1]


def test_shard_without_a_number_left_costs_its_record_not_the_batch(db: None):
    site = InstanceFactory()
    shard(InstanceFactory(), MAX_SHARD_NUMBER - 1)
    folder = site.folder()
    assert folder.fold(42) == MAX_SHARD_NUMBER * SHARD_SIZE + 42
    with pytest.raises(InvalidId, match="no shard number is left"):
        folder.fold("44~42")
    assert Shard.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_shards_allotted_at_once_get_numbers_of_their_own():
    sites = InstanceFactory.create_batch(4)
    gate = threading.Barrier(4)
    numbers: list[int] = []

    def allot(site: Instance) -> None:
        try:
            gate.wait(timeout=30)
            numbers.extend(Shard.allot(site, canvas_shard) for canvas_shard in (None, 44, 45))
        finally:
            connection.close()

    threads = [threading.Thread(target=allot, args=[site]) for site in sites]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(numbers) == list(range(1, 13))
    assert Shard.objects.count() == 12


def test_site_with_data_cannot_be_deleted_by_mistake(db: None):
    main = ConnectionFactory()
    with pytest.raises(models.ProtectedError):
        main.instance.delete()
