"""Measured: the lists of files and runs. Prints JSON: database time by round, and statements, of each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bench.children.console import Spent
from bench.children.process import answer, read_options

ATTEMPTS = 4
STATES = ("succeeded", "succeeded_with_errors", "failed", "succeeded")


def main() -> None:
    """Make files of four runs each, then look at their lists as often as there are rounds."""
    options = read_options()
    # After Django is set up, as models must be.
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    root = User.objects.create_superuser("bench")
    _fill(options["runs"] // ATTEMPTS, root)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    client = Client(headers={"host": "localhost"})
    client.force_login(root, "django.contrib.auth.backends.ModelBackend")
    pages: dict[str, Any] = {}
    for page, address in _addresses(options["runs"]).items():
        client.get(address)  # the first one compiles templates
        taken, statements = [], 0
        for _ in range(options["rounds"]):
            spent = Spent()
            with connection.execute_wrapper(spent):
                response = client.get(address)
            if response.status_code != 200:
                raise SystemExit(f"{address} answers {response.status_code}.")
            taken.append(spent.seconds * 1000)
            statements = spent.statements
        pages[page] = {"database_ms": taken, "statements": statements}
    answer({"pages": pages})


def _addresses(runs: int) -> dict[str, str]:
    from django.urls import reverse  # noqa: PLC0415

    run_list = reverse("admin:parselogs_parsefilemeta_changelist")
    file_list = reverse("admin:parselogs_datafile_changelist")
    return {
        "runs": run_list,
        "runs, last page": f"{run_list}?p={runs // 50}",
        "runs that failed": f"{run_list}?state__exact=failed",
        "files": file_list,
        "files whose last run failed": f"{file_list}?last_state=failed",
        "batches": reverse("admin:parselogs_parsemeta_changelist"),
    }


def _fill(files: int, owner: Any) -> None:
    from django.utils import timezone  # noqa: PLC0415

    from parselogs.models import DataFile, ParseFileMeta, ParseMeta  # noqa: PLC0415

    now = timezone.now()
    DataFile.objects.bulk_create(
        DataFile(
            name=f"upload-{number}.csv",
            file=f"2026/11/{number}.csv",
            size=1000 + number,
            sha256=f"{number:064}",
            kind=("users", "enrollments")[number % 2],
            uploaded_by=owner,
            uploaded_at=now - timedelta(minutes=number),
        )
        for number in range(files)
    )
    batches = [
        ParseMeta(kind="reparse", created_by=owner, reason="bench") for _ in range(max(files // 50, 1))
    ]
    ParseMeta.objects.bulk_create(batches)
    ParseFileMeta.objects.bulk_create(
        (
            ParseFileMeta(
                data_file=data_file,
                attempt=attempt,
                parse_meta=batches[place % len(batches)],
                triggered_by=owner,
                state=STATES[(place + attempt) % len(STATES)],
                queued_at=data_file.uploaded_at + timedelta(seconds=attempt),
                started_at=data_file.uploaded_at + timedelta(seconds=attempt),
                finished_at=now,
                rows_read=20_000,
                errors=place % 7,
                finding_counts={"value_not_allowed": 3, "missing_value": 4},
                level_counts={"INFO": 30, "ERROR": 7},
                log_state="uploaded",
                log_file=f"2026/11/parse_logs/{place}/{attempt}.log.gz",
            )
            for place, data_file in enumerate(DataFile.objects.order_by("pk"))
            for attempt in range(1, ATTEMPTS + 1)
        ),
        batch_size=500,
    )


if __name__ == "__main__":
    main()
