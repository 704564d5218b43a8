"""Measured: the charts of transfers on years of them. Prints JSON: milliseconds by round, and rows."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from bench.children.dashboard import time_queries
from bench.children.process import answer, read_options

LAST = date(2026, 11, 21)
PROTOCOLS, SHARES = ("SFTP", "FTP", "DAV", "HTTP"), (60, 20, 10, 10)
OUTCOMES, ENDS = ("succeeded", "partial", "failed"), (96, 2, 2)


def main() -> None:
    """Add up generated transfers day by day, as the tailer does, then ask for the charts."""
    options = read_options()
    # After Django is set up, as models must be.
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db import connection as database  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    from logmonitor.models import AllTransfers, LogSource, UserTransfers  # noqa: PLC0415
    from logmonitor.transfers.api import answer as as_json  # noqa: PLC0415
    from logmonitor.transfers.asked import TransferQuery, make_whole  # noqa: PLC0415
    from logmonitor.transfers.figures import read_figures  # noqa: PLC0415

    source = LogSource.objects.create(name="sftp", folder="/srv/sftpgo")
    _fill(database, source.pk, options["days"], options["transfers"], options["users"])
    with database.cursor() as cursor:
        cursor.execute("ANALYZE")
    client = Client(HTTP_HOST="localhost")
    root = User.objects.create_superuser("root", password=None)
    client.force_login(root, backend="django.contrib.auth.backends.ModelBackend")
    month = {"start_date": str(LAST - timedelta(days=29)), "end_date": str(LAST)}

    def charts(**query: Any) -> None:
        asked = make_whole(TransferQuery(**query))
        as_json(asked, read_figures(asked))

    chances: dict[str, Any] = {
        "all dates": lambda: charts(),
        "30 days": lambda: charts(**month),
        "30 days across months, one protocol": lambda: charts(**month, protocol="SFTP"),
        "all dates, one protocol": lambda: charts(protocol="SFTP"),
        "all dates but the first and the last": lambda: charts(
            start_date=str(LAST - timedelta(days=options["days"] - 2)), end_date=str(LAST - timedelta(days=1))
        ),
        "page, all dates": lambda: client.get("/admin/logmonitor/transfers/"),
    }
    taken: dict[str, list[float]] = {}
    for what in chances:
        chances[what]()  # the first one loads templates and pages
    for _ in range(options["rounds"]):
        for what, chance in chances.items():
            whole, queries = time_queries(database, chance)
            taken.setdefault(f"{what}, all", []).append(whole)
            taken.setdefault(f"{what}, database", []).append(queries)
    rows = {"user_rows": UserTransfers.objects.count(), "rows": AllTransfers.objects.count()}
    answer({**rows, "milliseconds": taken})


def _fill(database: Any, source: int, days: int, transfers: int, users: int) -> None:
    from logmonitor.transfers import rollup  # noqa: PLC0415

    chance = random.Random(1)
    names = [f"user{number:03}" for number in range(users)]
    for ago in range(days - 1, -1, -1):
        day = str(LAST - timedelta(days=ago))
        adder = rollup.Adder()
        adder.add_counted(_transfers(chance, source, day, names, transfers // days))
        with database.cursor() as cursor:
            rollup.store(cursor, adder.sums())


def _transfers(
    chance: random.Random, source: int, day: str, names: Sequence[str], number: int
) -> Iterator[Any]:
    columns = zip(
        chance.choices(names, k=number),
        chance.choices(PROTOCOLS, SHARES, k=number),
        chance.choices(("Upload", "Download"), k=number),
        chance.choices(OUTCOMES, ENDS, k=number),
        (int(2 ** chance.uniform(8, 33)) for _ in range(number)),
        (int(2 ** chance.uniform(3, 18)) for _ in range(number)),
        strict=True,
    )
    for username, protocol, sender, outcome, size, elapsed in columns:
        yield source, day, "transfer", sender, username, protocol, outcome, size, elapsed


if __name__ == "__main__":
    main()
