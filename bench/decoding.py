"""The yardstick of CPU figures: how long orjson takes to decode submissions, on this machine and just now."""

from __future__ import annotations

import gzip
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

import orjson

from bench.stage import CanvasProcess

PAGES = 20
REPEATS = 20


@dataclass(frozen=True, slots=True)
class Bodies:
    """Pages of submissions as received, and how many submissions they hold."""

    pages: tuple[bytes, ...]
    submissions: int

    @property
    def bytes_each(self) -> float:
        """The size of one submission."""
        return sum(map(len, self.pages)) / self.submissions

    def decode_us(self) -> float:
        """Return the CPU time of decoding one submission, in microseconds: each page at its quickest."""
        return sum(map(_quickest, self.pages)) / self.submissions * 1e6


def _quickest(page: bytes) -> float:
    taken = []
    for _ in range(REPEATS):
        started = time.thread_time()
        orjson.loads(page)
        taken.append(time.thread_time() - started)
    return min(taken)


def read_bodies(canvas: CanvasProcess, targets: Iterable[str], *, all_fields: bool = False) -> Bodies:
    """Read the first pages of submissions among some targets, as asked for or with all their fields."""
    wanted = [target for target in targets if "/students/submissions?" in target][:PAGES]
    pages = tuple(_read(canvas, _with_all_fields(target) if all_fields else target) for target in wanted)
    return Bodies(pages, sum(len(orjson.loads(page)) for page in pages))


def _with_all_fields(target: str) -> str:
    path, _, query = target.partition("?")
    return f"{path}?{urlencode([pair for pair in parse_qsl(query) if pair[0] != 'response_fields[]'])}"


def _read(canvas: CanvasProcess, target: str) -> bytes:
    headers = {"Authorization": f"Bearer {canvas.token}"}
    with urllib.request.urlopen(urllib.request.Request(canvas.url + target, headers=headers)) as answer:
        body: bytes = answer.read()
        return gzip.decompress(body) if answer.headers["Content-Encoding"] == "gzip" else body
