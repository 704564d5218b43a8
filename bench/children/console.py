"""The console's lists, measured: every one, by the test client, as a superuser sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median, quantiles
from typing import Any

from bench.children.process import answer, read_options

ROUNDS = 20
MAIN = ("canvas", "syncmetrics")
"""The apps whose lists people look at all day; the home page counts too."""


class Spent:
    """Statements and the seconds they took."""

    def __init__(self) -> None:
        self.statements, self.seconds = 0, 0.0

    def __call__(self, execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        """Time one statement, as an execute wrapper of Django's."""
        started = time.perf_counter()
        try:
            return execute(sql, parameters, many, context)
        finally:
            self.seconds += time.perf_counter() - started
            self.statements += 1


def main() -> None:
    """Look at every list, at its first page and its last; print what the slowest of each took."""
    read_options()
    answer({"pages": list(_measured())})


def _measured() -> Iterator[dict[str, Any]]:
    # After Django is set up, as models must be.
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser("bench"), "django.contrib.auth.backends.ModelBackend")
    for label, app, address in _pages():
        database, statements, server = [], 0, []
        for number in range(ROUNDS + 1):
            spent, started = Spent(), time.perf_counter()
            with connection.execute_wrapper(spent):
                response = client.get(address, follow=True)
                body = response.content
            if response.status_code != 200 or not body:
                raise SystemExit(f"{address} answers {response.status_code}.")
            if number:  # the first one compiles templates
                database.append(spent.seconds * 1000)
                server.append((time.perf_counter() - started) * 1000)
                statements = spent.statements
        yield {
            "page": label,
            "main": app in MAIN,
            "database_ms": median(database),
            "statements": statements,
            "server_ms": quantiles(server, n=20, method="inclusive")[-1],
        }


def _pages() -> Iterator[tuple[str, str, str]]:
    from django.contrib import admin  # noqa: PLC0415
    from django.urls import reverse  # noqa: PLC0415

    yield "home", "canvas", reverse("admin:index")
    for model, pages in admin.site._registry.items():
        options = model._meta
        address = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
        yield options.model_name or "", options.app_label, address
        rows = model._default_manager.count()
        if rows > pages.list_per_page:
            last = -(-rows // pages.list_per_page)
            yield f"{options.model_name}, page {last:,}", options.app_label, f"{address}?p={last}"


if __name__ == "__main__":
    main()
