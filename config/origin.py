"""Middleware that lets the job log know which person's click started a job."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from syncmetrics.jobs import started_by
from syncmetrics.models import JobRun


class PersonStartsJobs:
    """Says for the time of a request that its person starts the jobs it queues."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer as ever; who it is, is asked for only where a job is started."""
        with started_by(JobRun.Trigger.CONSOLE, lambda: request.user.get_username()):
            return self._get_response(request)
