"""The history of parse runs as rows of a file: what each column holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from import_export.fields import Field  # type: ignore[import-untyped]
from import_export.resources import ModelResource, modelresource_factory  # type: ignore[import-untyped]
from import_export.widgets import Widget  # type: ignore[import-untyped]

from parselogs.models import ParseFileMeta


class Value(Widget):  # type: ignore[misc]  # the library has no types
    """A value as it is; moments in ISO 8601, UTC; ids as text, for XLSX knows no other."""

    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> Any:
        """Return what goes into the file."""
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return str(value) if isinstance(value, UUID) else value


COLUMNS: Mapping[str, str] = {
    "run": "uuid",
    "file_id": "data_file_id",
    "file": "data_file__name",
    "kind": "data_file__kind",
    "sha256": "data_file__sha256",
    "size": "data_file__size",
    "attempt": "attempt",
    "batch": "parse_meta_id",
    "trigger": "trigger",
    "triggered_by": "triggered_by__username",
    "state": "state",
    "failure_code": "failure_code",
    "failure_text": "failure_text",
    "exception_class": "exception_class",
    "queued_at": "queued_at",
    "started_at": "started_at",
    "finished_at": "finished_at",
    "duration_seconds": "duration_seconds",
    "parser": "parser",
    "parser_version": "parser_version",
    "rows_read": "rows_read",
    "rows_accepted": "rows_accepted",
    "rows_rejected": "rows_rejected",
    "errors": "errors",
    "warnings": "warnings",
    "findings": "finding_counts",
    "log_level": "log_level",
    "log_state": "log_state",
    "log_lines": "log_lines",
    "log_bytes": "log_bytes",
    "log_truncated": "log_truncated",
    "lines_dropped": "lines_dropped",
    "log_stored_at": "uploaded_at",
    "log_expires_at": "expires_at",
}
"""Column -> where the value is. Names in storage, tokens and hosts are nobody's business."""


JOINED = ("data_file", "triggered_by")
"""What a query of runs has to bring along for these columns."""

_FIELDS = {name: Field(where, name, widget=Value()) for name, where in COLUMNS.items()}
RunResource: type[ModelResource] = modelresource_factory(
    ParseFileMeta,
    meta_options={"fields": tuple(COLUMNS), "export_order": tuple(COLUMNS)},
    custom_fields=_FIELDS,
)
"""A run as a row."""
