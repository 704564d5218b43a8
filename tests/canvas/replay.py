"""A Canvas made of recordings: answers with the bodies that the package uw-restclients-canvas ships.

They are real answers from 2013 to now, read from the installed package; none is kept here. Their file
names say which path, and which parameters, they once answered.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from tests.canvas.scripted import Reply, ScriptedCanvas

PER_PAGE = 10
"""Rows a page, however many are asked for: as in the recorded headers, so that listings have pages."""

ROOT_ACCOUNT = 12345

Query = list[tuple[str, str]]

_RECORDED_AT = "resources/canvas/file/api/v1"
_ENDINGS = re.compile(r"/index\.html$|\.json$")
_HEADERS = ".http-headers"
_METHOD = re.compile(r"\.(POST|PUT)$")
_PARAMETERS = re.compile(
    r"_((?:page|per_page|include(?:\[\])?|role|as_user_id|recursive|published|student_ids|show_inherited)_.*)$"
)
_PAGE = re.compile(r"(?<!per_)page_(\d+)")
# Parameters that make a listing another one, shown only to who asks for it or where there is no other.
_RESTRICTING = ("as_user_id", "role", "search_term", "published")

# Where the listings that a sync asks for are found among the recordings, when not under their own path.
# A number stands for an account or course that only its contents were recorded of: its id is all that
# is known of it, so that is what the listing shows.
_FOUND_AT: Mapping[str, tuple[str | int, ...]] = {
    "accounts": (ROOT_ACCOUNT, "accounts/sis_account_id:uwcourse:seattle:cse:cse"),
    "accounts/12345/sub_accounts": ("accounts/sis_account_id:uwcourse:seattle:cse/sub_accounts",),
    "accounts/12345/courses": (
        862539,
        814322,
        1,
        "courses/149650",
        "courses/sis_course_id:2012-summer-TRAIN-102-A",
        "accounts/sis_account_id:uwcourse:seattle:arts-&-sciences:amath:amath/courses",
    ),
    "accounts/12345/users": ("courses/862539/users", "users/188885"),
    "courses": (862539, "courses"),
    "courses/1/enrollments": ("courses/sis_course_id:2013-autumn-PHYS-248-A/enrollments",),
    "courses/149650/enrollments": ("users/sis_user_id:9136CCB8F66711D5BE060004AC494FFE/enrollments",),
    "courses/814322/sections": ("courses/sis_course_id:2013-spring-CSE-142-A/sections",),
    "users/self": ("users/188885",),
}
_NOT_FOUND = {"errors": [{"message": "The specified resource does not exist."}]}


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded answer: to which method and path, asked with which parameters, as its file name says."""

    name: str
    method: str
    path: str
    asked: str
    body: Any
    link: str | None

    @property
    def page(self) -> int:
        match = _PAGE.search(self.asked)
        return int(match[1]) if match else 1

    @property
    def rows(self) -> list[Any]:
        """The records, unwrapped."""
        if isinstance(self.body, list):
            return self.body
        return self.body[self.wrapper] if self.wrapper else [self.body]

    @property
    def wrapper(self) -> str | None:
        """The key the rows are under, where an object holds nothing but one list."""
        lone = isinstance(self.body, dict) and len(self.body) == 1
        return next((key for key in self.body if isinstance(self.body[key], list)), None) if lone else None


@cache
def recordings() -> tuple[Recording, ...]:
    """Return every recorded answer of the installed package."""
    texts = dict(_files(files("uw_canvas") / _RECORDED_AT))
    return tuple(_recording(name, texts) for name in sorted(texts) if not name.endswith(_HEADERS))


def _files(folder: Traversable, above: str = "") -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{above}{entry.name}/")
        else:
            yield above + entry.name, entry.read_text("utf-8")


def _recording(name: str, texts: Mapping[str, str]) -> Recording:
    address = _ENDINGS.sub("", name)
    headers = json.loads(texts.get(address + _HEADERS, "{}"))
    link = headers.get("Link")
    method = _METHOD.search(address)
    path, _, asked = _PARAMETERS.sub(r"?\1", _METHOD.sub("", unquote(address))).partition("?")
    return Recording(
        name,
        method[1] if method else "GET",
        path,
        asked,
        json.loads(texts[name]),
        " ".join(link.split()) if link else None,  # folded over lines in the files, never on the wire
    )


class RecordedCanvas(ScriptedCanvas):
    """Serves the recordings; what an `admin` may list, or no more than a teacher may.

    `shown[path]` are the records shown under a path that recordings were found for, `empty` the
    listings answered without any, `unknown` what was answered 404.
    """

    def __init__(self, *, admin: bool = True) -> None:
        self.shown: dict[str, list[Any]] = defaultdict(list)
        self.empty: set[str] = set()
        self.unknown: set[str] = set()
        self._admin = admin
        super().__init__()

    def _next_reply(self, target: str, headers: dict[str, str]) -> Reply:
        path, _, query = target.partition("?")
        with self._lock:
            self.seen.append((target, headers))
            return self._reply(unquote(path).removeprefix("/api/v1/"), parse_qsl(query))

    def _reply(self, path: str, query: Query) -> Reply:
        found = _find(path, query) if self._admin or path.split("/")[0] != "accounts" else None
        if found is None:
            return self._nothing(path)
        if found.link or found.page > 1:
            return Reply(found.body, headers={"Link": found.link} if found.link else {})
        if not _is_listing(path):
            self.shown[path].append(found.body)
            return Reply(found.body)
        part, link = _page(path, found.rows, query)
        self.shown[path] += part
        return Reply({found.wrapper: part} if found.wrapper else part, headers={"Link": link} if link else {})

    def _nothing(self, path: str) -> Reply:
        """Answer what no recording does: accounts and courses have no more than was recorded of them."""
        if path == "accounts" or (_is_listing(path) and path.startswith(("accounts/", "courses/"))):
            self.empty.add(path)
            return Reply([])
        self.unknown.add(path)
        return Reply(_NOT_FOUND, 404)


@contextlib.contextmanager
def recorded_canvas(*, admin: bool = True) -> Iterator[RecordedCanvas]:
    server = RecordedCanvas(admin=admin)
    try:
        yield server
    finally:
        server.close()


def _is_listing(path: str) -> bool:
    """Say whether a path ends in a noun rather than in an id, `self` included."""
    return re.fullmatch(r"[a-z_]+", path.split("/")[-1]) is not None and path != "users/self"


def _find(path: str, query: Query) -> Recording | None:
    if path.endswith("/assignment_groups"):
        return _grouped(path, query)
    if path not in _FOUND_AT:
        return _recorded(path, query)
    rows: list[Any] = []
    for place in _FOUND_AT[path]:
        rows += [{"id": place}] if isinstance(place, int) else _rows_at(place, query)
    return Recording(path, "GET", path, "", rows if _is_listing(path) else rows[0], None)


def _rows_at(path: str, query: Query) -> list[Any]:
    recorded = _recorded(path, query)
    assert recorded is not None, f"the installed recordings have nothing for {path}"
    return recorded.rows


def _recorded(path: str, query: Query) -> Recording | None:
    """Return the recording of this path and page that comes closest to what is asked for."""
    page = int(dict(query).get("page", 1))
    here = [recording for recording in recordings() if (recording.method, recording.path) == ("GET", path)]
    if any(recording.link or recording.page > 1 for recording in here):
        here = [recording for recording in here if recording.page == page]
    words = {f"{key}_{value}" for key, value in query if key != "per_page"}
    return min(here, key=lambda recording: _distance(recording.asked, words), default=None)


def _distance(asked: str, words: set[str]) -> tuple[int, int, int]:
    unasked = sum(name in asked and not any(name in word for word in words) for name in _RESTRICTING)
    return unasked, -sum(word in asked for word in words), len(asked)


def _grouped(path: str, query: Query) -> Recording | None:
    """Put recorded assignments into groups: no group was recorded, only the ids assignments name."""
    assignments = _recorded(path.replace("assignment_groups", "assignments"), query)
    if assignments is None:
        return None
    groups: dict[int, list[Any]] = defaultdict(list)
    for assignment in assignments.rows:
        groups[assignment["assignment_group_id"]].append(assignment)
    rows = [{"id": group, "assignments": members} for group, members in groups.items()]
    return Recording(path, "GET", path, "", rows, None)


def _page(path: str, rows: list[Any], query: Query) -> tuple[list[Any], str | None]:
    """Return one page of rows and its Link header as the recordings have it: relative, without `current`."""
    asked = dict(query)
    number, size = int(asked.get("page", 1)), min(int(asked.get("per_page", PER_PAGE)), PER_PAGE)
    last = -(-len(rows) // size)
    if last <= 1:
        return rows, None
    others = [(key, value) for key, value in query if key not in ("page", "per_page")]
    links = {"next": number + 1, "prev": number - 1, "first": 1, "last": last}
    header = ",".join(
        f'</api/v1/{path}?{urlencode([*others, ("page", target), ("per_page", size)])}>; rel="{name}"'
        for name, target in links.items()
        if 1 <= target <= last
    )
    return rows[(number - 1) * size : number * size], header
