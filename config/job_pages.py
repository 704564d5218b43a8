"""The job log's pages, held to the sites a person is limited to; `syncmetrics` itself knows no sites."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest

from canvas.access import allowed_instances
from canvas.admin.limited import LimitedAdmin
from syncmetrics.admin.jobs import JobAdmin
from syncmetrics.models import JobRun


class LimitedJobAdmin(LimitedAdmin, JobAdmin):
    """Background jobs. Who is limited to sites sees those that did syncs of these."""

    open_to_limited = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobRun]:
        """Return the jobs that the person may see."""
        jobs: QuerySet[JobRun] = super().get_queryset(request)
        allowed = allowed_instances(request.user)
        return jobs if allowed is None else jobs.filter(run__instance_key__in=allowed)
