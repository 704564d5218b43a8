"""The tables of what Easel did: runs, their counts, steps and rejected records, days, and jobs."""

from syncmetrics.models.alerts import (
    AlertChannel,
    AlertDelivery,
    Incident,
    ReportRecipient,
    ReportSending,
    RunReview,
)
from syncmetrics.models.daily import DayFigures, SyncDay, SyncUserDay
from syncmetrics.models.jobs import JobRun
from syncmetrics.models.runs import SyncCount, SyncRejection, SyncRun, SyncStep, new_task_id
from syncmetrics.models.tokens import ApiToken

__all__ = [
    "AlertChannel",
    "AlertDelivery",
    "ApiToken",
    "DayFigures",
    "Incident",
    "JobRun",
    "ReportRecipient",
    "ReportSending",
    "RunReview",
    "SyncCount",
    "SyncDay",
    "SyncRejection",
    "SyncRun",
    "SyncStep",
    "SyncUserDay",
    "new_task_id",
]
