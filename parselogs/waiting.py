"""Whether a worker is there, and waiting for what it makes of a run."""

from __future__ import annotations

import time

from celery import current_app
from kombu.exceptions import OperationalError

from parselogs.models import ParseFileMeta
from parselogs.runs import DISPATCH

ANSWER_SECONDS = 1.0
TAKE_SECONDS = 10.0
STORE_SECONDS = 10.0
LOOK_SECONDS = 0.25


def worker_answers() -> bool:
    """Ask for workers; False where none answers within a second, or no broker does."""
    try:
        with current_app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=3)
            return bool(current_app.control.ping(timeout=ANSWER_SECONDS, limit=1, connection=broker))
    except (OperationalError, OSError):
        return False


def wait_for(run: ParseFileMeta) -> bool:
    """Wait for a run's end and its log; False where no worker has taken it within some seconds."""
    deadline = time.monotonic() + TAKE_SECONDS
    while True:
        run.refresh_from_db()
        if run.state == ParseFileMeta.State.QUEUED:
            if time.monotonic() > deadline:
                return False
        elif run.is_active:
            deadline = time.monotonic() + STORE_SECONDS
        elif _log_is_settled(run) or time.monotonic() > deadline:
            return run.failure_code != DISPATCH
        time.sleep(LOOK_SECONDS)


def _log_is_settled(run: ParseFileMeta) -> bool:
    return run.log_state != ParseFileMeta.LogState.PENDING_UPLOAD or run.upload_attempts > 0
