"""Modules and what they list."""

from __future__ import annotations

from django.db import models

from canvas.models.rows import CanvasRow, parent


class Module(CanvasRow):
    """A unit of a course's outline. A draft is `unpublished`."""

    course = parent("Course", related_name="modules", index=False)
    name = models.TextField(null=True)
    position = models.BigIntegerField(null=True)
    unlock_at = models.DateTimeField(null=True)
    require_sequential_progress = models.BooleanField(null=True)
    requirement_type = models.TextField(null=True)
    prerequisite_module_ids = models.JSONField(null=True, help_text="Canvas ids, as texts.")
    publish_final_grade = models.BooleanField(null=True)

    class Meta(CanvasRow.Meta):
        indexes = [
            models.Index(fields=["course", "position"], name="module_course_position"),
            models.Index(fields=["canvas_id"], name="module_canvas_id"),
        ]

    def __str__(self) -> str:
        return self.name or f"module {self.canvas_id}"


class ModuleItem(CanvasRow):
    """One line of a module; `content_id` is the key of what it leads to, in the table that `type` names."""

    course = parent("Course", related_name="module_items")
    module = parent("Module", related_name="items", index=False)
    title = models.TextField(null=True)
    type = models.TextField(null=True)
    position = models.BigIntegerField(null=True)
    indent = models.BigIntegerField(null=True)
    content_id = models.BigIntegerField(null=True)
    page_url = models.TextField("page", null=True)
    external_url = models.TextField("external URL", null=True)
    new_tab = models.BooleanField(null=True)
    html_url = models.TextField("URL", null=True)
    completion_requirement = models.JSONField(null=True)

    class Meta(CanvasRow.Meta):
        indexes = [
            models.Index(fields=["module", "position"], name="module_item_module_position"),
            models.Index(fields=["type", "content_id"], name="module_item_content"),
            models.Index(fields=["canvas_id"], name="module_item_canvas_id"),
        ]

    def __str__(self) -> str:
        return self.title or f"module item {self.canvas_id}"
