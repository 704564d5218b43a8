"""Sandbox Canvases to test against, and a plain client to ask them with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from sandbox.server import Sandbox


class Client:
    """Asks a sandbox with one of its tokens; `links` and paging are left to `requests`."""

    def __init__(self, canvas: Sandbox, token: str | None = None, **headers: str) -> None:
        self.canvas = canvas
        self.session = requests.Session()
        self.session.headers.update({"Authorization": f"Bearer {token or canvas.token}", **headers})

    def get(self, path: str, params: Any = None, **options: Any) -> requests.Response:
        url = path if path.startswith("http") else f"{self.canvas.url}/api/v1/{path}"
        return self.session.get(url, params=params, timeout=10, allow_redirects=False, **options)

    def walk(self, path: str, params: Any = None) -> list[requests.Response]:
        """All pages of a listing, following `next`."""
        pages = [self.get(path, params)]
        while "next" in pages[-1].links:
            pages.append(self.get(pages[-1].links["next"]["url"]))
            assert len(pages) < 500
        return pages

    def rows(self, path: str, params: Any = None) -> list[Any]:
        """All rows of a listing."""
        return [row for page in self.walk(path, params) for row in page.json()]

    def control(self, method: str, name: str, body: Any = None) -> Any:
        """A control endpoint's answer."""
        answer = self.session.request(method, f"{self.canvas.url}/__sandbox__/{name}", json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def still_canvas() -> Iterator[Sandbox]:
    """A tiny Canvas that no test edits."""
    with Sandbox() as canvas:
        yield canvas


@pytest.fixture(scope="module")
def still(still_canvas: Sandbox) -> Iterator[Client]:
    client = Client(still_canvas)
    with client.session:
        yield client


@pytest.fixture
def canvas() -> Iterator[Sandbox]:
    """A tiny Canvas of one's own."""
    with Sandbox() as canvas:
        yield canvas


@pytest.fixture
def client(canvas: Sandbox) -> Iterator[Client]:
    client = Client(canvas)
    with client.session:
        yield client


ALL = {"student_ids[]": "all", "per_page": 100}
COURSE = 101
BULK = f"courses/{COURSE}/students/submissions"
