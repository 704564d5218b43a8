"""What `manage.py` itself does."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("command", ["sync_canvas", "check_links", "ensure_schedules"])
def test_a_database_without_tables_is_one_sentence(manage, command):
    ended = manage(command)

    assert ended.returncode == 1
    assert ended.stderr.strip() == "A table is missing in the database: run manage.py migrate first."


@pytest.mark.sqlite
def test_commands_that_sync_do_not_load_the_console(manage):
    program = (
        "import sys; from django.core.management import execute_from_command_line as run\n"
        "try: run(['manage.py', 'sync_canvas'])\n"
        "except Exception as error: print(error)\n"
        "print(sorted({'openpyxl', 'import_export', 'canvas.admin'} & set(sys.modules)))"
    )
    ended = manage("shell", "--no-imports", "-c", program)

    assert ended.stdout.splitlines()[-1] == "[]"
