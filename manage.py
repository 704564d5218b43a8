#!/usr/bin/env python
"""Runs Easel's commands: `manage.py help` lists them."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command named on the command line with the project's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # After the settings are named.
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except DatabaseError as error:
        if not _is_table_missing(error):
            raise
        sys.exit("A table is missing in the database: run manage.py migrate first.")


def _is_table_missing(error: BaseException) -> bool:
    """Say so of what SQLite and PostgreSQL raise, each in its own words."""
    undefined = getattr(error.__cause__, "sqlstate", None) == "42P01"  # PostgreSQL's undefined_table
    return undefined or "no such table" in str(error)


if __name__ == "__main__":
    main()
