"""A thread that shows a run's signs of life while another one parses, and learns when it shall stop."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from django.db import DatabaseError, connection

from parselogs.errors import CancelRequested, RunTaken
from parselogs.models import ParseFileMeta
from parselogs.runs import beat

BEAT_SECONDS = 5.0


class Heartbeat:
    """Beats for the body of a `with`; `check` raises in the parsing thread what a beat has learned."""

    def __init__(self, run: ParseFileMeta) -> None:
        """Begin with the body; nothing is written before the first pause is over."""
        self.rows = (0, 0, 0)
        self._run = run
        self._stop: Exception | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="parse-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raise RunTaken or CancelRequested once a beat has met either."""
        if self._stop:
            raise self._stop

    def _beat_on(self) -> None:
        try:
            while self._stop is None and not self._ended.wait(BEAT_SECONDS):
                self._beat()
        finally:
            connection.close()

    def _beat(self) -> None:
        read, accepted, rejected = self.rows
        try:
            if beat(self._run, rows_read=read, rows_accepted=accepted, rows_rejected=rejected):
                self._stop = CancelRequested("Canceled while it ran.")
        except RunTaken as taken:
            self._stop = taken
        except DatabaseError:
            connection.close()  # a database that is away for a moment costs a beat, not the parse
