"""`/healthz`: tells a load balancer whether to send people here, and a monitor what does not work."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Max
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

from canvas.access import limit
from canvas.models import Instance
from syncmetrics.models import SyncRun

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"
PATIENCE_SECONDS = 1
BEAT_SILENT = timedelta(minutes=2)
"""Beat sends something every 30 s (`config.schedules.UPKEEP`); silent for longer, it is dead or stuck."""


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the console can serve people, 503 when it cannot: that takes a database, no more.

    To whoever knows `HEALTH_TOKEN` or may see runs, the parts are listed too.
    """
    works = database_works()
    answer: dict[str, Any] = {"status": OK if works else FAILED}
    if _by_token(request):
        answer |= details(Instance.objects.all()) if works else {"database": FAILED, "broker": broker()}
    elif works and request.user.has_perm("syncmetrics.view_syncrun"):
        answer |= details(limit(Instance.objects.all(), request.user))
    return JsonResponse(answer, status=200 if works else 503)


def details(instances: Any) -> dict[str, Any]:
    """Return how each part does and, per Canvas site, how many seconds ago a sync of everything completed."""
    queue = broker()
    return {
        "database": OK,
        "broker": queue,
        "worker": worker() if queue == OK else UNKNOWN,
        "beat": beat(timezone.now()),
        "last_completed_sync_seconds_ago": sync_ages(instances, timezone.now()),
    }


def database_works() -> bool:
    """Tell whether the database answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def broker() -> str:
    """Return whether Redis answers."""

    def connect() -> bool:
        with current_app.connection_for_read() as queue:
            queue.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE_SECONDS)
        return True

    return _try(connect)


def worker() -> str:
    """Return whether any worker answers; asks all of them and listens to the first."""
    return _try(lambda: bool(current_app.control.ping(timeout=PATIENCE_SECONDS, limit=1)))


def _try(question: Callable[[], bool]) -> str:
    try:
        return OK if question() else FAILED
    except (OperationalError, OSError):
        return FAILED


def beat(now: datetime) -> str:
    """Return whether beat sends what is due; unknown where nothing is scheduled that often."""
    often = PeriodicTask.objects.filter(
        enabled=True, interval__period="seconds", interval__every__lte=BEAT_SILENT.total_seconds() / 2
    )
    if not often.exists():
        return UNKNOWN
    last = often.aggregate(last=Max("last_run_at"))["last"]
    return OK if last and now - last < BEAT_SILENT else FAILED


def sync_ages(instances: Any, now: datetime) -> dict[str, int | None]:
    """Return the age in seconds of each site's last completed sync of everything; None where none is."""
    completed = SyncRun.objects.filter(
        sync_status=SyncRun.Status.COMPLETED, sync_type="all", dry_run=False
    ).order_by()
    ends = dict(completed.values_list("instance_key").annotate(Max("sync_end_time")))
    return {
        name: int((now - ends[key]).total_seconds()) if key in ends else None
        for key, name in instances.order_by("name").values_list("pk", "name")
    }


def _by_token(request: HttpRequest) -> bool:
    expected = settings.HEALTH_TOKEN
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    known = secrets.compare_digest(given.strip().encode(), expected.encode())
    return bool(expected) and scheme.lower() == "bearer" and known
