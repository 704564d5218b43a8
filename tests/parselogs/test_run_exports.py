"""The history of runs as a file: which columns, in every format, safe for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.urls import reverse
from openpyxl import load_workbook

from parselogs.exports import COLUMNS
from tests.console import client_of, staff
from tests.parselogs.files import parsed, upload, users

pytestmark = pytest.mark.django_db

URL = "admin:parselogs_parsefilemeta_export"
CSV, XLSX, JSON = "0", "1", "2"


def exported(kind: str, query: str = "") -> bytes:
    """Return what somebody exports who may."""
    client = client_of(staff("root", superuser=True))
    response: Any = client.post(f"{reverse(URL)}{query}", {"format": kind})
    assert response.status_code == 200
    return b"".join(response.streaming_content)


def test_runs_are_exported_with_their_files_and_counts():
    run = parsed(upload(users(rows=5, wrong=2), "=cmd.csv", by=staff("olga")))
    [row] = csv.DictReader(io.StringIO(exported(CSV).decode()))

    assert tuple(row) == tuple(COLUMNS)
    assert row["run"] == str(run.uuid)
    assert row["file"] == "'=cmd.csv"
    assert row["triggered_by"] == "olga"
    assert (row["rows_read"], row["rows_rejected"], row["errors"]) == ("5", "2", "2")
    assert row["queued_at"].endswith("Z")
    assert json.loads(row["findings"]) == {"value_not_allowed": 2}


def test_no_column_names_storage_tokens_or_hosts():
    run = parsed(upload())
    text = exported(JSON).decode()

    for secret in (run.log_file.name, str(run.claim_token), run.worker_host, run.data_file.file.name):
        assert secret not in text


def test_a_workbook_holds_every_column():
    parsed(upload())
    sheet = load_workbook(io.BytesIO(exported(XLSX))).active

    assert [cell.value for cell in sheet[1]] == list(COLUMNS)
    assert sheet.max_row == 2


def test_what_the_list_shows_is_what_is_exported():
    parsed(upload(users(wrong=0), "fine.csv"))
    parsed(upload(b"a,b\n1,2\n", "unknown.csv"))

    rows = json.loads(exported(JSON, "?state__exact=failed"))
    assert [row["file"] for row in rows] == ["unknown.csv"]


def test_an_export_takes_the_same_queries_for_any_number_of_runs(django_assert_max_num_queries):
    for rows in range(1, 9):
        parsed(upload(users(rows)))
    client = client_of(staff("root", superuser=True))

    with django_assert_max_num_queries(20):
        b"".join(client.post(reverse(URL), {"format": CSV}).streaming_content)
