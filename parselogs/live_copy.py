"""A copy of a running run's log in storage, so that it can be read on hosts that have not its spool."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

from django.conf import settings
from django.core.files.base import ContentFile
from django.db import connection
from django.utils import timezone

from parselogs.models import DiscardedObject, ParseFileMeta
from parselogs.names import live_copy_name
from parselogs.spool import Spool
from parselogs.storage import uploads

LONGEST_WAIT_SECONDS = 600.0
KEPT_AT_MOST = timedelta(days=2)


class LiveCopy:
    """Copies for the body of a `with`, in a thread that nobody waits for; what goes wrong costs a copy."""

    def __init__(self, run: ParseFileMeta) -> None:
        """Copy the log of a run every PARSE_LIVE_COPY_SECONDS; 0: never."""
        self._spool, self._name = Spool(run.uuid), live_copy_name(run)
        self._seconds = settings.PARSE_LIVE_COPY_SECONDS
        self._copied = 0
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        if self._seconds:
            threading.Thread(target=self._copy_on, name="parse-log-copy", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def _copy_on(self) -> None:
        wait = self._seconds
        try:
            while not self._ended.wait(wait):
                wait = self._seconds if self._tried(self._copy) else min(wait * 2, LONGEST_WAIT_SECONDS)
            if self._copied:
                self._tried(self._remove)
        finally:
            connection.close()

    def _tried(self, step: Callable[[], None]) -> bool:
        try:
            step()
        except Exception:  # boto3, urllib3, databases and file systems have no root in common
            return False
        return True

    def _copy(self) -> None:
        spooled = self._spool.read()
        if len(spooled.text) == self._copied:
            return
        if not self._copied:  # on record before it is there, so that a kill leaves nothing for good
            due = timezone.now() + KEPT_AT_MOST
            DiscardedObject.objects.get_or_create(name=self._name, defaults={"due_at": due})
            connection.close()
        uploads().save(self._name, ContentFile(spooled.compressed()))
        self._copied = len(spooled.text)

    def _remove(self) -> None:
        uploads().delete(self._name)
        DiscardedObject.objects.filter(name=self._name).delete()
