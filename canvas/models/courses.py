"""Courses, their sections and enrollments."""

from __future__ import annotations

from django.db import models

from canvas.models.rows import CanvasRow, parent


class Course(CanvasRow):
    """A course."""

    account = parent("Account", related_name="courses")
    root_account = parent("Account", index=False)
    enrollment_term = parent("Term", related_name="courses")
    name = models.TextField(null=True)
    course_code = models.TextField(null=True)
    sis_course_id = models.TextField("SIS id", null=True)
    integration_id = models.TextField(null=True)
    uuid = models.TextField(null=True)
    created_at = models.DateTimeField(null=True)
    start_at = models.DateTimeField(null=True)
    end_at = models.DateTimeField(null=True)
    time_zone = models.TextField(null=True)
    default_view = models.TextField(null=True)
    course_format = models.TextField(null=True)
    license = models.TextField(null=True)
    total_students = models.BigIntegerField(null=True)
    grading_standard_id = models.BigIntegerField(null=True)
    is_public = models.BooleanField(null=True)
    blueprint = models.BooleanField(null=True)
    hide_final_grades = models.BooleanField(null=True)
    apply_assignment_group_weights = models.BooleanField(null=True)
    restrict_enrollments_to_course_dates = models.BooleanField(null=True)

    class Meta(CanvasRow.Meta):
        indexes = [
            models.Index(fields=["canvas_id", "enrollment_term"], name="course_canvas_id_term"),
            models.Index(fields=["sis_course_id"], name="course_sis_id"),
            models.Index(fields=["instance", "workflow_state"], name="course_instance_state"),
        ]

    def __str__(self) -> str:
        return self.name or f"course {self.canvas_id}"


class Section(CanvasRow):
    """A section of a course; `nonxlist_course` is where a cross-listed section came from."""

    course = parent("Course", related_name="sections")
    nonxlist_course = parent("Course", index=False)
    name = models.TextField(null=True)
    sis_section_id = models.TextField("SIS id", null=True)
    integration_id = models.TextField(null=True)
    created_at = models.DateTimeField(null=True)
    start_at = models.DateTimeField(null=True)
    end_at = models.DateTimeField(null=True)
    restrict_enrollments_to_section_dates = models.BooleanField(null=True)

    class Meta(CanvasRow.Meta):
        indexes = [
            models.Index(fields=["canvas_id"], name="section_canvas_id"),
            models.Index(fields=["sis_section_id"], name="section_sis_id"),
        ]

    def __str__(self) -> str:
        return self.name or f"section {self.canvas_id}"


class Enrollment(CanvasRow):
    """A user's place in a course section. `workflow_state` is Canvas's `enrollment_state`."""

    course = parent("Course", related_name="enrollments")
    course_section = parent("Section", related_name="enrollments")
    user = parent("User", related_name="enrollments")
    associated_user = parent("User", index=False)
    type = models.TextField(null=True)
    role = models.TextField(null=True)
    role_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(null=True)
    start_at = models.DateTimeField(null=True)
    end_at = models.DateTimeField(null=True)
    last_activity_at = models.DateTimeField(null=True)
    last_attended_at = models.DateTimeField(null=True)
    total_activity_time = models.BigIntegerField("total activity (s)", null=True)
    limit_privileges_to_course_section = models.BooleanField(null=True)
    current_score = models.FloatField(null=True)
    current_grade = models.TextField(null=True)
    final_score = models.FloatField(null=True)
    final_grade = models.TextField(null=True)
    unposted_current_score = models.FloatField(null=True)
    unposted_current_grade = models.TextField(null=True)
    unposted_final_score = models.FloatField(null=True)
    unposted_final_grade = models.TextField(null=True)
    override_score = models.FloatField(null=True)
    override_grade = models.TextField(null=True)

    class Meta(CanvasRow.Meta):
        indexes = [models.Index(fields=["canvas_id"], name="enrollment_canvas_id")]

    def __str__(self) -> str:
        return f"{self.type or 'enrollment'} {self.canvas_id}"
