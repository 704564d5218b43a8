"""Accounts, enrollment terms and users."""

from __future__ import annotations

from django.db import models

from canvas.models.rows import CanvasRow, parent


class Account(CanvasRow):
    """An account or sub-account of a Canvas site."""

    name = models.TextField(null=True)
    uuid = models.TextField(null=True)
    parent_account = parent("Account", related_name="sub_accounts")
    root_account = parent("Account", index=False)
    sis_account_id = models.TextField("SIS id", null=True)
    integration_id = models.TextField(null=True)
    default_time_zone = models.TextField(null=True)

    class Meta(CanvasRow.Meta):
        indexes = [models.Index(fields=["canvas_id"], name="account_canvas_id")]

    def __str__(self) -> str:
        return self.name or f"account {self.canvas_id}"


class Term(CanvasRow):
    """An enrollment term."""

    name = models.TextField(null=True)
    start_at = models.DateTimeField(null=True)
    end_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(null=True)
    grading_period_group_id = models.BigIntegerField(null=True)
    sis_term_id = models.TextField("SIS id", null=True)

    class Meta(CanvasRow.Meta):
        indexes = [
            models.Index(fields=["instance"], name="term_instance"),
            models.Index(fields=["canvas_id"], name="term_canvas_id"),
        ]

    def __str__(self) -> str:
        return self.name or f"term {self.canvas_id}"


class User(CanvasRow):
    """A person known to Canvas."""

    name = models.TextField(null=True)
    sortable_name = models.TextField(null=True)
    short_name = models.TextField(null=True)
    first_name = models.TextField(null=True)
    last_name = models.TextField(null=True)
    sis_user_id = models.TextField("SIS id", null=True)
    integration_id = models.TextField(null=True)
    login_id = models.TextField(null=True)
    email = models.TextField(null=True)
    locale = models.TextField(null=True)
    time_zone = models.TextField(null=True)
    created_at = models.DateTimeField(null=True)
    last_login = models.DateTimeField(null=True)

    class Meta(CanvasRow.Meta):
        indexes = [
            models.Index(fields=["canvas_id"], name="user_canvas_id"),
            models.Index(fields=["sis_user_id"], name="user_sis_id"),
            models.Index(fields=["sortable_name"], name="user_sortable_name"),
        ]

    def __str__(self) -> str:
        return self.name or f"user {self.canvas_id}"
