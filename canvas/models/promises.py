"""What was promised about the age of the copy: hours per instance and resource."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from canvas.models.instances import Instance


class Promise(models.Model):
    """The copy of a resource is never older than so many hours.

    An empty resource stands for all that have no promise of their own, empty hours for no promise. What
    has neither is under `DEFAULT_HOURS` of canvas/freshness.py.
    """

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="promises")
    resource = models.CharField(
        max_length=40, blank=True, help_text="Empty: every resource without a promise of its own."
    )
    hours = models.PositiveIntegerField(
        null=True, blank=True, help_text="How old the copy may be, in hours. Empty: nothing is promised."
    )

    class Meta:
        verbose_name = "freshness promise"
        constraints = [
            models.UniqueConstraint(fields=["instance", "resource"], name="promise_once_per_resource"),
            models.CheckConstraint(
                condition=Q(hours=None) | Q(hours__gte=1), name="promise_of_an_hour_or_more"
            ),
        ]

    def __str__(self) -> str:
        what = self.resource.replace("_", " ") or "all resources"
        return f"{self.instance}: {what}, {f'{self.hours} h' if self.hours else 'nothing promised'}"
