"""What the home page shows of uploaded files: the last runs, and files whose last parse did not work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db.models import OuterRef, QuerySet, Subquery
from django.urls import reverse
from django.utils import timezone

from parselogs.admin.columns import (
    attempt_link,
    file_link,
    findings_in_words,
    log_badge,
    page_of,
    state_badge,
)
from parselogs.models import ParseFileMeta
from parselogs.spool import QUARANTINE, logs_put_aside
from syncmetrics.admin.panels import Attention, Panel
from syncmetrics.display import BAD, CARE, ago, badge

RECENT_RUNS = 5
MOST_PROBLEMS = 5
RECENT = timedelta(days=7)
"""Who has not mended an upload within a week will not be reminded for ever."""

State, LogState = ParseFileMeta.State, ParseFileMeta.LogState


def panel() -> Panel | None:
    """Return the panel; None where nothing was uploaded yet."""
    runs = ParseFileMeta.objects.select_related("data_file").order_by("-queued_at", "-pk")
    recent = list(runs[:RECENT_RUNS])
    bad = _problems(runs.filter(queued_at__gt=timezone.now() - RECENT)) if recent else ()
    problems = [*bad, *_put_aside()]
    if not (recent or problems):
        return None
    return Panel(
        title="Uploaded files",
        headers=["File", "Run", "State", "Findings", "Log", "Queued"],
        rows=[
            [
                file_link(run.data_file),
                attempt_link(run),
                state_badge(run),
                findings_in_words(run),
                log_badge(run),
                ago(run.queued_at),
            ]
            for run in recent
        ],
        problems=problems,
    )


def _problems(runs: QuerySet[ParseFileMeta]) -> Iterator[Attention]:
    latest = ParseFileMeta.objects.filter(data_file=OuterRef("data_file")).order_by("-attempt").values("pk")
    failed = runs.filter(state__in=[State.FAILED, State.LOST], pk=Subquery(latest[:1]))
    for run in failed[:MOST_PROBLEMS]:
        said = f"Its last parse {'failed' if run.state == State.FAILED else 'was lost'}: {run.failure_text}"
        yield Attention(badge(run.data_file.name, BAD), said, page_of(run))
    for run in runs.filter(log_state=LogState.UPLOAD_FAILED)[:MOST_PROBLEMS]:
        said = f"The log of attempt {run.attempt} could not be stored yet: {run.upload_error}"
        yield Attention(badge(run.data_file.name, CARE), said, page_of(run))


def _put_aside() -> Iterator[Attention]:
    """Yield a word on logs in this host's spool whose runs are in no table."""
    if count := logs_put_aside():
        said = (
            f"Logs of runs that are in no table, as after restoring a backup: {count:,}. They are in"
            f" {settings.PARSE_SPOOL_DIR / QUARANTINE} on this host: read them, then delete them there."
        )
        yield Attention(
            badge("Logs put aside", CARE), said, reverse("admin:parselogs_parsefilemeta_changelist")
        )
