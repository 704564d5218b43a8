"""Exports: who takes which rows out of the console, at once or in the background, and the files kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import IO, Any, Protocol

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.files import File
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils import timezone

from canvas.access import allowed_instances
from canvas.export_files import write
from canvas.models import Export

AT_ONCE_ROWS: int = settings.EXPORT_AT_ONCE_ROWS
"""More than these are written in the background."""

KEPT_DAYS: int = settings.EXPORT_DAYS
CHUNK_ROWS = 2_000


class ExportUnavailable(Exception):
    """An export cannot be made or fetched; the message says why."""


class Source(Protocol):
    """The console's page of a table: who may export, and the rows that a list's address names."""

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person of the request may export."""

    def get_export_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that the person may see, searched and filtered as the address says."""


def in_chunks(rows: QuerySet[Any], size: int = CHUNK_ROWS) -> Iterator[list[Any]]:
    """Return rows by their keys in chunks: each a short statement, no cursor open for minutes."""
    rows = rows.order_by("pk")
    chunk = list(rows[:size])
    while chunk:
        yield chunk
        chunk = list(rows.filter(pk__gt=chunk[-1].pk)[:size])


def is_large(rows: QuerySet[Any]) -> bool:
    """Tell whether these are too many to wait for."""
    return rows.order_by()[: AT_ONCE_ROWS + 1].count() > AT_ONCE_ROWS


def begin(owner: Any, model: type[Model], file_format: str, query: str) -> Export:
    """Record that somebody exports; files that nobody may fetch any more are deleted on the way."""
    delete_expired()
    allowed = allowed_instances(owner)
    return Export.objects.create(
        owner=owner,
        table=model._meta.label_lower,
        format=file_format,
        query=query,
        instances=None if allowed is None else sorted(allowed),
    )


def write_at_once(export: Export, rows: QuerySet[Any]) -> IO[bytes]:
    """Write a small export and return its file, which is kept nowhere."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the answer closes it, having sent it
    count = write(file, export.format, in_chunks(rows), rows.model)
    _end(export, Export.State.COMPLETED, rows=count)
    file.seek(0)
    return file


def perform(export_id: int) -> None:
    """Write a large export to its file. Whoever comes second finds it claimed and leaves.

    What goes wrong is kept on the export, then raised.
    """
    if not _claim(export_id):
        return
    export = Export.objects.select_related("owner").get(pk=export_id)
    try:
        _write_file(export)
    except ExportUnavailable as refused:
        _end(export, Export.State.FAILED, error_message=str(refused))
    except Exception as error:
        _end(export, Export.State.FAILED, error_message=f"{type(error).__name__} while writing the file.")
        raise


def _claim(export_id: int) -> bool:
    """Take an export that waits, or that was at work in a process which no longer says that it lives."""
    now = timezone.now()
    silent = Q(
        state=Export.State.IN_PROGRESS, heartbeat_at__lt=now - timedelta(seconds=settings.SYNC_LEASE_SECONDS)
    )
    free = Export.objects.filter(Q(state=Export.State.QUEUED) | silent, pk=export_id)
    return bool(free.update(state=Export.State.IN_PROGRESS, heartbeat_at=now))


def _write_file(export: Export) -> None:
    model = apps.get_model(export.table)
    rows = _rows_of(export, model)
    with tempfile.TemporaryFile() as file:
        count = write(file, export.format, _alive(export, in_chunks(rows)), model)
        file.seek(0)
        export.file.save(f"rows.{export.format}", File(file), save=False)
    _end(
        export,
        Export.State.COMPLETED,
        rows=count,
        file=export.file.name,
        expires_at=timezone.now() + timedelta(days=KEPT_DAYS),
    )


def _rows_of(export: Export, model: type[Model]) -> QuerySet[Any]:
    """Return the rows that the owner may see at this moment, with the list's search and filters."""
    request = HttpRequest()
    request.method = "GET"
    request.GET = QueryDict(export.query)
    admin.autodiscover()  # a worker has not loaded the console's pages yet
    owner = get_user_model()._default_manager.filter(pk=export.owner_id or 0, is_active=True).first()
    source: Source = admin.site.get_model_admin(model)  # type: ignore[assignment]
    if owner is None:
        raise ExportUnavailable("Whoever asked for it may no longer log in.")
    request.user = owner
    if not source.has_export_permission(request):
        raise ExportUnavailable("Whoever asked for it may no longer export these rows.")
    return source.get_export_queryset(request)


def _alive(export: Export, chunks: Iterable[list[Any]]) -> Iterator[list[Any]]:
    for chunk in chunks:
        Export.objects.filter(pk=export.pk).update(heartbeat_at=timezone.now())
        yield chunk


def _end(export: Export, state: Export.State, **changes: Any) -> None:
    changes |= {"state": state, "ended_at": timezone.now()}
    Export.objects.filter(pk=export.pk).update(**changes)
    for name, value in changes.items():
        setattr(export, name, value)


def fail(export: Export, reason: str) -> None:
    """End an export that could not be begun."""
    _end(export, Export.State.FAILED, error_message=reason)


def open_file(export: Export, person: Any) -> IO[bytes]:
    """Return a kept file for somebody who may have it; ExportUnavailable where there is none.

    Who has since been limited to fewer sites than the file may hold does not get it.
    """
    allowed = allowed_instances(person)
    if allowed is not None and not (export.instances is not None and allowed.issuperset(export.instances)):
        raise ExportUnavailable("You may no longer see all that is in this file.")
    if not export.file or (export.expires_at and export.expires_at <= timezone.now()):
        raise ExportUnavailable("The file is no longer kept. Export again.")
    try:
        return export.file.open("rb")
    except FileNotFoundError:
        raise ExportUnavailable("The file is no longer there. Export again.") from None


def delete_expired() -> int:
    """Delete the files whose time is over; the records of who exported what stay. Return how many."""
    expired = Export.objects.filter(expires_at__lte=timezone.now()).exclude(file="")
    for export in expired:
        export.file.delete(save=False)
        Export.objects.filter(pk=export.pk).update(file="")
    return len(expired)
