"""Runs to test with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest

from syncmetrics.models import SyncRun
from syncmetrics.runs import start_run

Begin = Callable[..., SyncRun]


class Undo(Exception):
    """What goes wrong in a transaction that shall roll back."""


@contextmanager
def undone(transaction: AbstractContextManager[None]) -> Iterator[None]:
    """Run the body in a transaction that fails at its end."""
    with suppress(Undo), transaction:
        yield
        raise Undo


@pytest.fixture
def begin() -> Begin:
    """Return a function that starts a run of instance 1, with changes."""

    def start(**changes: Any) -> SyncRun:
        arguments: dict[str, Any] = {
            "sync_type": "all",
            "genre": "all",
            "mode": "full",
            "trigger": "command",
            "instance_key": 1,
            "connection_key": 7,
            "connection_name": "Main university",
        }
        return start_run(**(arguments | changes))

    return start
