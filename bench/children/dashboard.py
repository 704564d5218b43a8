"""Measured: the dashboard on years of daily aggregates. Prints JSON: milliseconds by round, and rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from time import perf_counter
from typing import Any

from bench.children.process import answer, read_options

RUNS_A_DAY = 48
DAYS_A_CHUNK = 30
ENTITIES = ("courses", "users", "sections", "enrollments", "assignments", "submissions", "modules", "groups")


def main() -> None:
    """Fill the tables, then ask for the page and the summaries as often as there are rounds."""
    options = read_options()
    # After Django is set up, as models must be.
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db import connection as database  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    from syncmetrics.models import SyncDay, SyncUserDay  # noqa: PLC0415
    from syncmetrics.summaries import summary  # noqa: PLC0415

    last = date.today()
    SyncDay.objects.bulk_create(_days(last, options["days"], options["connections"]), batch_size=500)
    _spread_over_users(database, last - timedelta(days=options["days"] - 1), last, options["users"])
    with database.cursor() as cursor:
        cursor.execute("ANALYZE")
    client = Client(HTTP_HOST="localhost")
    root = User.objects.create_superuser("root", password=None)
    client.force_login(root, backend="django.contrib.auth.backends.ModelBackend")
    page = "/admin/syncmetrics/syncday/"
    client.get(page)  # the first one loads templates
    asked: dict[str, Any] = {
        "page, 30 days": lambda: client.get(page),
        "page, a year": lambda: client.get(page, {"days": 365}),
        "summary, 30 days": lambda: summary(days=30),
        "summary of a user, 30 days": lambda: summary(days=30, user_id=17),
    }
    taken: dict[str, list[float]] = {}
    for _ in range(options["rounds"]):
        for what, ask in asked.items():
            whole, queries = time_queries(database, ask)
            taken.setdefault(f"{what}, all", []).append(whole)
            taken.setdefault(f"{what}, database", []).append(queries)
    rows = {"days": SyncDay.objects.count(), "user_days": SyncUserDay.objects.count()}
    answer({**rows, "milliseconds": taken})


def _days(last: date, days: int, connections: int) -> Iterator[Any]:
    from syncmetrics.models import SyncDay  # noqa: PLC0415

    chance = random.Random(1)
    for ago in range(days - 1, -1, -1):
        day = last - timedelta(days=ago)
        start = datetime(day.year, day.month, day.day, 1, tzinfo=UTC)
        for connection in range(1, connections + 1):
            for mode, runs in (("full", 1), ("incremental", RUNS_A_DAY)):
                buckets = [str(chance.randint(450, 650)) for _ in range(runs)]
                yield SyncDay(
                    day=day,
                    instance_key=1 + connection % 3,
                    connection_key=connection,
                    mode=mode,
                    first_start=start,
                    completed=runs,
                    duration_ms=runs * 90_000,
                    durations={bucket: buckets.count(bucket) for bucket in buckets},
                    api_calls_made=runs * 900,
                    total_api_duration_ms=runs * 60_000,
                    db_operations=runs * 300,
                    db_duration_ms=runs * 9_000,
                    db_rows_written=runs * 2_000,
                    entities={
                        name: {"processed": 9_000, "created": 10, "updated": 90, "unchanged": 8_900}
                        for name in ENTITIES
                    },
                )


def _spread_over_users(database: Any, first: date, last: date, users: int) -> None:
    """Give every user a row for every day and connection, by the database itself, a month at a time.

    In one transaction the millions of rows would also stand in the journal, all at once.
    """
    statement = _spreading(database, users)
    while first <= last:
        after = first + timedelta(days=DAYS_A_CHUNK)
        with database.cursor() as cursor:
            cursor.execute(statement, [first, after])
        first = after


def _spreading(database: Any, users: int) -> str:
    from syncmetrics.models import SyncUserDay  # noqa: PLC0415

    cast = "::jsonb" if database.vendor == "postgresql" else ""
    given = {
        "user_id": "users.number",
        "durations": f"'{{\"500\": 1}}'{cast}",
        "entities": f'\'{{"courses": {{"processed": 9}}}}\'{cast}',
    }
    columns = [field.column for field in SyncUserDay._meta.concrete_fields if not field.primary_key]
    chosen = [given.get(name, f"days.{name}") for name in columns]
    return (
        f"WITH RECURSIVE users(number) AS"
        f" (SELECT 1 UNION ALL SELECT number + 1 FROM users WHERE number < {users})"
        f" INSERT INTO syncmetrics_syncuserday ({', '.join(columns)})"
        f" SELECT {', '.join(chosen)} FROM syncmetrics_syncday days CROSS JOIN users"
        f" WHERE days.mode = 'incremental' AND days.day >= %s AND days.day < %s"
        f" ORDER BY days.id, users.number"
    )


def time_queries(database: Any, ask: Any) -> tuple[float, float]:
    """Return how long an answer took in all, and how long its queries take with all of their rows."""
    queries: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        queries.append((sql, params))
        return execute(sql, params, many, context)

    started = perf_counter()
    with database.execute_wrapper(note):
        ask()
    whole = perf_counter() - started
    with database.cursor() as cursor:
        started = perf_counter()
        for sql, params in queries:
            if sql.lstrip("( ").upper().startswith("SELECT"):
                cursor.execute(sql, params)
                cursor.fetchall()
        return whole * 1000, (perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
