"""Rows to test with: sites, connections, and mirrored rows whose parents are none until one is given."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import factory
from factory.django import DjangoModelFactory

from canvas.models import (
    Account,
    Assignment,
    AssignmentGroup,
    Connection,
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

AS_OF = datetime(2024, 9, 1, 12, tzinfo=UTC)


class InstanceFactory(DjangoModelFactory[Instance]):
    """A Canvas site."""

    class Meta:
        model = Instance

    name = factory.Sequence(lambda n: f"University {n}")
    base_url = factory.Sequence(lambda n: f"https://canvas{n}.example.edu")


class ConnectionFactory(DjangoModelFactory[Connection]):
    """A working credential of an account admin, with a real encrypted token."""

    class Meta:
        model = Connection

    name = factory.Sequence(lambda n: f"main-{n}")
    instance = factory.SubFactory(InstanceFactory)
    token = "1~sandbox-token"
    authoritative = True


class CanvasRowFactory(DjangoModelFactory[Any]):
    """A mirrored row. Its key is folded from `canvas`, its local Canvas id."""

    class Meta:
        abstract = True

    class Params:
        canvas = factory.Sequence(lambda n: n + 1)

    instance = factory.SubFactory(InstanceFactory)
    id = factory.LazyAttribute(lambda row: row.instance.folder().fold(row.canvas))
    workflow_state = "active"
    row_hash = 0
    as_of = AS_OF


class AccountFactory(CanvasRowFactory):
    class Meta:
        model = Account

    name = factory.Sequence(lambda n: f"Faculty {n}")


class TermFactory(CanvasRowFactory):
    class Meta:
        model = Term

    name = factory.Sequence(lambda n: f"Term {n}")


class UserFactory(CanvasRowFactory):
    class Meta:
        model = User

    name = factory.Sequence(lambda n: f"Ada Lovelace {n}")
    sortable_name = factory.Sequence(lambda n: f"Lovelace {n}, Ada")
    workflow_state = "registered"


class CourseFactory(CanvasRowFactory):
    class Meta:
        model = Course

    name = factory.Sequence(lambda n: f"Computer Science {n}")
    course_code = factory.Sequence(lambda n: f"CS {n}")
    workflow_state = "available"


class SectionFactory(CanvasRowFactory):
    class Meta:
        model = Section

    name = factory.Sequence(lambda n: f"Section {n}")


class EnrollmentFactory(CanvasRowFactory):
    class Meta:
        model = Enrollment

    type = "StudentEnrollment"
    role = "StudentEnrollment"


class AssignmentGroupFactory(CanvasRowFactory):
    class Meta:
        model = AssignmentGroup

    name = factory.Sequence(lambda n: f"Homework {n}")
    workflow_state = "available"


class AssignmentFactory(CanvasRowFactory):
    class Meta:
        model = Assignment

    name = factory.Sequence(lambda n: f"Essay {n}")
    published = True
    workflow_state = "published"


class SubmissionFactory(CanvasRowFactory):
    class Meta:
        model = Submission

    workflow_state = "unsubmitted"


class ModuleFactory(CanvasRowFactory):
    class Meta:
        model = Module

    name = factory.Sequence(lambda n: f"Unit {n}")


class ModuleItemFactory(CanvasRowFactory):
    class Meta:
        model = ModuleItem

    title = factory.Sequence(lambda n: f"Reading {n}")


class GroupCategoryFactory(CanvasRowFactory):
    class Meta:
        model = GroupCategory

    name = factory.Sequence(lambda n: f"Projects {n}")


class GroupFactory(CanvasRowFactory):
    class Meta:
        model = Group

    name = factory.Sequence(lambda n: f"Team {n}")
    workflow_state = "available"


class GroupMembershipFactory(CanvasRowFactory):
    class Meta:
        model = GroupMembership

    membership_id = factory.SelfAttribute("id")
    workflow_state = "accepted"
