"""The one JSON of a parse run: of the command, and of whatever else gives runs to machines."""

from __future__ import annotations

from typing import Any

from parselogs.models import ParseFileMeta


def run_to_dict(run: ParseFileMeta) -> dict[str, Any]:
    """Return a run as plain values. Reads its row only, no storage."""
    return {
        "run_uuid": str(run.uuid),
        "data_file": run.data_file_id,
        "attempt": run.attempt,
        "batch": run.parse_meta_id,
        "trigger": run.trigger,
        "state": run.state,
        "failure_code": run.failure_code,
        "failure_text": run.failure_text,
        "rows_read": run.rows_read,
        "rows_accepted": run.rows_accepted,
        "rows_rejected": run.rows_rejected,
        "errors": run.errors,
        "warnings": run.warnings,
        "findings": run.finding_counts,
        "parser": run.parser,
        "parser_version": run.parser_version,
        "duration_seconds": run.duration_seconds,
        "log_name": run.log_file.name or "",
        "log_state": run.log_state,
        "log_lines": run.log_lines,
        "log_truncated": run.log_truncated,
        "lines_dropped": run.lines_dropped,
    }
