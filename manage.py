#!/usr/bin/env python
"""Runs Easel's commands: `manage.py help` lists them."""

from __future__ import annotations

import os
import sys

SETTINGS = "config.settings"


def main() -> None:
    """Run the command named on the command line with the project's settings."""
    if sys.argv[1:2] == ["analyze_logs"] and os.environ.get("DJANGO_SETTINGS_MODULE", SETTINGS) == SETTINGS:
        _analyse_logs(sys.argv[2:])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    # After the settings are named.
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except DatabaseError as error:
        if not _is_table_missing(error):
            raise
        sys.exit("A table is missing in the database: run manage.py migrate first.")


def _analyse_logs(arguments: list[str]) -> None:
    """Analyse and leave, without Django: loading it takes longer than most analyses, which need none of it.

    Comes back where there are options that only Django knows (`--settings`, `--traceback`), or nobody does:
    the command of the same name then does the same, or says what is wrong.
    """
    from easel.environment import CANVAS_SYNC_LOG_DIR
    from logmonitor.analysis.__main__ import options_of, run_and_tell

    options, unknown = options_of(arguments, "manage.py analyze_logs", str(CANVAS_SYNC_LOG_DIR))
    if not unknown:
        sys.exit(run_and_tell(options))


def _is_table_missing(error: BaseException) -> bool:
    """Say so of what SQLite and PostgreSQL raise, each in its own words."""
    undefined = getattr(error.__cause__, "sqlstate", None) == "42P01"  # PostgreSQL's undefined_table
    return undefined or "no such table" in str(error)


if __name__ == "__main__":
    main()
