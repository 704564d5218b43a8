"""What exported files look like: columns read off the models, Canvas's ids, nothing a spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import IO, Any

from django.db import models
from django.db.models import Model
from import_export.fields import Field  # type: ignore[import-untyped]
from import_export.resources import ModelResource, modelresource_factory  # type: ignore[import-untyped]
from import_export.widgets import Widget  # type: ignore[import-untyped]
from openpyxl import Workbook  # type: ignore[import-untyped]
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # type: ignore[import-untyped]

from canvas.models import CanvasRow, Export
from easel.ids import canvas_id
from easel.spreadsheets import escape
from syncmetrics.models import SyncCount, SyncRun
from syncmetrics.serializer import COUNTS, ENTITIES

SHEET_ROWS = 1_048_576
"""What a worksheet holds (Excel specifications and limits)."""

CELL_CHARACTERS = 32_767
NOT_EXPORTED = frozenset(
    {
        *("id", "canvas_id", "row_hash", "instance"),
        *("claim", "host", "pid", "process_started", "heartbeat_at", "cancel_requested", "options"),
        *("instance_key", "connection_key"),
    }
)

Row = list[Any]


class Value(Widget):  # type: ignore[misc]  # the library has no types
    """A value as it is; moments in ISO 8601, UTC."""

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        """Return what goes into the file."""
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return value


class CanvasId(Widget):  # type: ignore[misc]
    """A key as the id that Canvas knows."""

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        """Return the local id."""
        return None if value is None else canvas_id(value)


class CountField(Field):  # type: ignore[misc]
    """One count of a run; wants its counts prefetched."""

    def __init__(self, entity: str, count: str) -> None:
        super().__init__(column_name=f"{entity}_{count}", widget=Value())
        self._entity, self._count = entity, count

    def get_value(self, instance: SyncRun) -> int:
        """Return the count, 0 where nothing was counted."""
        found: Iterable[SyncCount] = instance.counts.all()
        return sum(getattr(one, self._count) for one in found if one.entity == self._entity)


BY_HAND: dict[type[Model], type[ModelResource]] = {}
"""Tables whose files do not follow from the model; the packages that know them add theirs."""


def resource_of(model: type[Model]) -> type[ModelResource]:
    """Return the columns of a table's files."""
    return BY_HAND.get(model) or _resource_from(model)


@cache
def _resource_from(model: type[Model]) -> type[ModelResource]:
    """Return the columns read off the model's own fields."""
    fields = [_field_of(field) for field in model._meta.concrete_fields if field.name not in NOT_EXPORTED]
    if issubclass(model, CanvasRow):
        instance = Field("instance__name", "instance", widget=Value())
        fields = [Field("canvas_id", "canvas_id", widget=Value()), instance, *fields]
    if model is SyncRun:
        counts = [CountField(entity, count) for entity in ENTITIES for count in COUNTS]
        fields = [Field("pk", "id", widget=Value()), *fields, *counts]
    named = {field.column_name: field for field in fields}
    options = {"fields": tuple(named), "export_order": tuple(named)}
    made: type[ModelResource] = modelresource_factory(model, meta_options=options, custom_fields=named)
    return made


def _field_of(field: models.Field[Any, Any]) -> Field:
    is_key = isinstance(field, models.ForeignKey) and issubclass(field.related_model, CanvasRow)
    is_id = isinstance(field, models.BigIntegerField) and field.name.endswith("_id")
    if is_key or (is_id and issubclass(field.model, CanvasRow)):
        return Field(field.attname, f"{field.name.removesuffix('_id')}_canvas_id", widget=CanvasId())
    return Field(field.attname, field.name, widget=Value())


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return escape(value) if isinstance(value, str) else value


def _as_cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value
    return escape(ILLEGAL_CHARACTERS_RE.sub("", value))[:CELL_CHARACTERS]


def write_csv(file: IO[bytes], headers: list[str], rows: Iterable[Row]) -> None:
    """Write UTF-8 with a header line; empty cells are nulls."""
    text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
    writer = csv.writer(text)
    writer.writerow(headers)
    writer.writerows([_as_text(value) for value in row] for row in rows)
    text.detach()


def write_xlsx(file: IO[bytes], headers: list[str], rows: Iterable[Row]) -> None:
    """Write a workbook row by row, with a further sheet each time one is full."""
    book = Workbook(write_only=True)
    sheet, left = _new_sheet(book, headers), SHEET_ROWS - 1
    for row in rows:
        if not left:
            sheet, left = _new_sheet(book, headers), SHEET_ROWS - 1
        sheet.append([_as_cell(value) for value in row])
        left -= 1
    book.save(file)


def _new_sheet(book: Workbook, headers: list[str]) -> Any:
    sheet = book.create_sheet()
    sheet.append(headers)
    return sheet


def write_json(file: IO[bytes], headers: list[str], rows: Iterable[Row]) -> None:
    """Write a list of objects, one a line. What a spreadsheet would do to them is not our concern."""
    file.write(b"[")
    for number, row in enumerate(rows):
        line = json.dumps(dict(zip(headers, row, strict=True)), ensure_ascii=False)
        file.write(f"{',' if number else ''}\n{line}".encode(errors="replace"))
    file.write(b"\n]\n")


Writer = Callable[[IO[bytes], list[str], Iterable[Row]], None]
WRITERS: Mapping[str, Writer] = {
    Export.Format.CSV: write_csv,
    Export.Format.XLSX: write_xlsx,
    Export.Format.JSON: write_json,
}


def write(file: IO[bytes], file_format: str, chunks: Iterable[list[Any]], model: type[Model]) -> int:
    """Write all rows of a table to a file; return how many there were."""
    resource = resource_of(model)()
    fields = resource.get_export_fields()
    count = 0

    def values() -> Iterator[Row]:
        nonlocal count
        for chunk in chunks:
            count += len(chunk)
            yield from ([field.export(row) for field in fields] for row in chunk)

    WRITERS[file_format](file, resource.get_export_headers(), values())
    return count
