"""Assignment groups, assignments and submissions."""

from __future__ import annotations

from django.db import models

from canvas.models.rows import CanvasRow, parent


class AssignmentGroup(CanvasRow):
    """A group of assignments, with its weight in the course grade."""

    course = parent("Course", related_name="assignment_groups", index=False)
    name = models.TextField(null=True)
    position = models.BigIntegerField(null=True)
    group_weight = models.FloatField(null=True)
    sis_source_id = models.TextField("SIS id", null=True)
    integration_data = models.JSONField(null=True)
    rules = models.JSONField(null=True)

    class Meta(CanvasRow.Meta):
        indexes = [
            models.Index(fields=["course", "name"], name="assignment_group_course_name"),
            models.Index(fields=["canvas_id"], name="assignment_group_canvas_id"),
        ]

    def __str__(self) -> str:
        return self.name or f"assignment group {self.canvas_id}"


class Assignment(CanvasRow):
    """An assignment. Dates are the base dates, not any one student's."""

    course = parent("Course", related_name="assignments")
    assignment_group = parent("AssignmentGroup", related_name="assignments")
    name = models.TextField(null=True)
    description = models.TextField(null=True)
    created_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    lock_at = models.DateTimeField(null=True)
    unlock_at = models.DateTimeField(null=True)
    points_possible = models.FloatField(null=True)
    grading_type = models.TextField(null=True)
    grading_standard_id = models.BigIntegerField(null=True)
    submission_types = models.JSONField(null=True)
    position = models.BigIntegerField(null=True)
    published = models.BooleanField(null=True)
    has_overrides = models.BooleanField(null=True)
    only_visible_to_overrides = models.BooleanField(null=True)
    omit_from_final_grade = models.BooleanField(null=True)
    muted = models.BooleanField(null=True)
    anonymous_grading = models.BooleanField(null=True)
    peer_reviews = models.BooleanField(null=True)
    post_to_sis = models.BooleanField(null=True)
    allowed_attempts = models.BigIntegerField(null=True, help_text="-1: unlimited.")
    group_category_id = models.BigIntegerField(null=True)
    quiz_id = models.BigIntegerField(null=True)
    sis_assignment_id = models.TextField("SIS id", null=True)
    integration_id = models.TextField(null=True)
    integration_data = models.JSONField(null=True)
    html_url = models.TextField("URL", null=True)

    class Meta(CanvasRow.Meta):
        indexes = [
            models.Index(fields=["canvas_id", "course"], name="assignment_canvas_id_course"),
            models.Index(fields=["course", "due_at"], name="assignment_course_due"),
        ]

    def __str__(self) -> str:
        return self.name or f"assignment {self.canvas_id}"


class Submission(CanvasRow):
    """One student's work on one assignment; Canvas keeps a row for it even when nothing was submitted."""

    course = parent("Course", related_name="submissions", index=False)
    assignment = parent("Assignment", related_name="submissions", index=False)
    user = parent("User", related_name="submissions")
    score = models.FloatField(null=True)
    grade = models.TextField(null=True)
    entered_score = models.FloatField(null=True)
    entered_grade = models.TextField(null=True)
    excused = models.BooleanField(null=True)
    attempt = models.BigIntegerField(null=True)
    extra_attempts = models.BigIntegerField(null=True)
    submission_type = models.TextField(null=True)
    submitted_at = models.DateTimeField(null=True)
    graded_at = models.DateTimeField(null=True)
    posted_at = models.DateTimeField(null=True)
    cached_due_date = models.DateTimeField(null=True)
    grader_id = models.BigIntegerField(null=True, help_text="A user's key; negative: graded automatically.")
    grading_period_id = models.BigIntegerField(null=True)
    grade_matches_current_submission = models.BooleanField(null=True)
    late = models.BooleanField(null=True)
    missing = models.BooleanField(null=True)
    seconds_late = models.BigIntegerField(null=True)
    late_policy_status = models.TextField(null=True)
    points_deducted = models.FloatField(null=True)
    redo_request = models.BooleanField(null=True)
    custom_grade_status_id = models.BigIntegerField(null=True)

    class Meta(CanvasRow.Meta):
        indexes = [
            models.Index(fields=["course", "assignment"], name="submission_course_assignment"),
            models.Index(fields=["assignment", "user"], name="submission_assignment_user"),
        ]

    def __str__(self) -> str:
        return f"submission {self.canvas_id}"
