"""Groups of students, their categories and members."""

from __future__ import annotations

from django.db import models
from django.db.models import F

from canvas.models.rows import CanvasRow, parent
from easel.ids import SHARD_SIZE


class GroupCategory(CanvasRow):
    """A set of groups in which a student is in one at most."""

    course = parent("Course", related_name="group_categories")
    name = models.TextField(null=True)
    role = models.TextField(null=True)
    self_signup = models.TextField(null=True)
    auto_leader = models.TextField(null=True)
    group_limit = models.BigIntegerField(null=True)
    context_type = models.TextField(null=True)
    sis_group_category_id = models.TextField("SIS id", null=True)
    non_collaborative = models.BooleanField(null=True)

    class Meta(CanvasRow.Meta):
        verbose_name_plural = "group categories"
        indexes = [models.Index(fields=["canvas_id"], name="group_category_canvas_id")]

    def __str__(self) -> str:
        return self.name or f"group category {self.canvas_id}"


class Group(CanvasRow):
    """A group of students of a course."""

    course = parent("Course", related_name="groups", index=False)
    group_category = parent("GroupCategory", related_name="groups")
    name = models.TextField(null=True)
    description = models.TextField(null=True)
    members_count = models.BigIntegerField("members", null=True)
    join_level = models.TextField(null=True)
    is_public = models.BooleanField(null=True)
    role = models.TextField(null=True)
    context_type = models.TextField(null=True)
    sis_group_id = models.TextField("SIS id", null=True)
    storage_quota_mb = models.BigIntegerField("storage quota (MB)", null=True)
    non_collaborative = models.BooleanField(null=True)

    class Meta(CanvasRow.Meta):
        indexes = [
            models.Index(fields=["course", "name"], name="group_course_name"),
            models.Index(fields=["canvas_id"], name="group_canvas_id"),
            models.Index(fields=["sis_group_id"], name="group_sis_id"),
        ]

    def __str__(self) -> str:
        return self.name or f"group {self.canvas_id}"


class GroupMembership(CanvasRow):
    """A user's place in a group, one row for each group and user, whatever Canvas's ids of it were.

    Its `id` is ours: the report of memberships has no ids, and who comes back to a group gets a new one
    of Canvas's. `membership_id` is the last one seen, folded; empty where only a report showed the row.
    """

    course = parent("Course", related_name="group_memberships")
    group = parent("Group", related_name="memberships", index=False)
    user = parent("User", related_name="group_memberships")
    membership_id = models.BigIntegerField(null=True, editable=False)
    canvas_id = models.GeneratedField(
        expression=F("membership_id") % SHARD_SIZE,
        output_field=models.BigIntegerField(null=True),
        db_persist=True,
    )
    moderator = models.BooleanField(null=True)

    class Meta(CanvasRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["group", "user"], name="group_membership_once_per_user"),
        ]
        indexes = [models.Index(fields=["canvas_id"], name="group_membership_canvas_id")]

    def __str__(self) -> str:
        return f"group membership {self.canvas_id or self.pk % SHARD_SIZE}"
