"""How fresh each scope is: one row per connection, resource and course (or the whole account)."""

from __future__ import annotations

from django.db import models

from canvas.models.instances import Connection


class Scope(models.Model):
    """A listing's extent, and when Canvas last listed it to us completely.

    Times are Canvas's clock. `cursor` is where an incremental listing goes on; `covered` holds the
    ids of the assignments whose submissions have been listed whole.
    """

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="scopes")
    resource = models.CharField(max_length=40)
    course_id = models.BigIntegerField(default=0, help_text="0: the whole account.")
    last_complete_at = models.DateTimeField(null=True)
    last_full_at = models.DateTimeField(null=True)
    refused_at = models.DateTimeField(
        null=True, help_text="When Canvas last refused this listing; empty: it did not the last time."
    )
    cursor = models.DateTimeField(null=True)
    covered = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "resource", "course_id"], name="scope_once_per_connection"
            ),
        ]
        indexes = [models.Index(fields=["resource", "last_complete_at"], name="scope_by_freshness")]

    def __str__(self) -> str:
        return f"{self.resource} of course {self.course_id}" if self.course_id else self.resource
