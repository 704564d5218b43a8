"""The job log: every background job, as Celery's signals tell of it."""

from syncmetrics.jobs.life import OPEN, RUN_HEADER, does_run, started_by

__all__ = ["OPEN", "RUN_HEADER", "does_run", "started_by"]
