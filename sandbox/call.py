"""One request to the API as its handler sees it, and the ways to what its path names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox import errors, ids
from sandbox.access import Tokens, Viewer
from sandbox.course import Course
from sandbox.ids import Row
from sandbox.pagination import Key
from sandbox.params import Params
from sandbox.world import ROOT_ACCOUNT_ID, World, find


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows to be cut into pages: numbered ones, or bookmarks where there is a `key` they are sorted by."""

    items: Sequence[Any]
    show: Callable[[Any], Any]
    key: Key | None = None
    counted: bool = True
    wrapper: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, what for; `path` holds what the route's placeholders matched."""

    world: World
    tokens: Tokens
    viewer: Viewer
    params: Params
    path: dict[str, str]
    permission_status: int = 403

    def refuse(self) -> errors.Refusal:
        """The answer to a caller without the permission."""
        return errors.forbidden(self.permission_status)

    def account(self) -> Row:
        """The account in the path; raises Refusal unless it is there and the caller administers it."""
        text = self.path["account_id"]
        row = self.world.accounts[ROOT_ACCOUNT_ID] if text == "self" else find(self.world, "account", text)
        if row is None or row["workflow_state"] == "deleted":
            raise errors.not_found()
        if not self.viewer.administers(row["id"]):
            raise self.refuse()
        return row

    def course(self) -> tuple[Course, str]:
        """The course in the path and the caller's standing in it; raises Refusal (404, 403)."""
        row = find(self.world, "course", self.path["course_id"])
        if row is None or row["workflow_state"] == "deleted":
            raise errors.not_found()
        return self._standing(self.world.course(row["id"]))

    def section(self) -> tuple[Course, Row, str]:
        """The section in the path, its course and the caller's standing; raises Refusal (404, 403)."""
        return self._live("sections", "section")

    def _standing(self, course: Course) -> tuple[Course, str]:
        standing = self.viewer.standing(course)
        if standing is None or (standing == "student" and course.row["workflow_state"] == "unpublished"):
            raise self.refuse()
        return course, standing

    def group(self) -> tuple[Course, Row, str]:
        """The group of students in the path, its course and the caller's standing; raises Refusal."""
        return self._live("groups", "group")

    def group_category(self) -> tuple[Course, Row, str]:
        """The group category in the path, its course and the caller's standing; raises Refusal."""
        return self._live("group_categories", "group_category")

    def module(self) -> tuple[Course, Row, str]:
        """The module in the path, its course and the caller's standing; raises Refusal (404, 403)."""
        course, standing = self.course()
        row = course.modules.get(ids.parse_id(self.path["module_id"]) or 0)
        hidden = ("deleted",) if standing != "student" else ("deleted", "unpublished")
        if row is None or row["workflow_state"] in hidden:
            raise errors.not_found()
        return course, row, standing

    def _live(self, resource: str, kind: str) -> tuple[Course, Row, str]:
        course, row = self._find(resource, kind, self.path[f"{kind}_id"])
        if "deleted" in (row["workflow_state"], course.row["workflow_state"]):
            raise errors.not_found()
        return course, row, self._standing(course)[1]

    def _find(self, resource: str, kind: str, text: str) -> tuple[Course, Row]:
        """A row of some course by any spelling of its id; deleted ones too."""
        number = ids.parse_id(text)
        if number is not None:
            course = self.world.home_of(resource, number)
            if course and number in (rows := course.rows(resource)):
                return course, rows[number]
            raise errors.not_found()
        for course in self.world.all_courses():
            row = ids.find_by_sis(kind, text, course.rows(resource).values())
            if row:
                return course, row
        raise errors.not_found()

    def user(self, name: str = "user_id") -> Row:
        """The user in the path, `self` too; raises Refusal (404) for unknown and deleted ones."""
        text = self.path[name]
        row = self.world.users[self.viewer.user_id] if text == "self" else find(self.world, "user", text)
        if row is None or row["workflow_state"] == "deleted":
            raise errors.not_found()
        return row

    def assignment(self, course: Course, standing: str) -> Row:
        """The assignment in the path; raises Refusal (404) for deleted ones, drafts a student asks for."""
        row = _pick(course.assignments, "assignment", self.path["assignment_id"])
        hidden = ("deleted",) if standing != "student" else ("deleted", "unpublished")
        if row is None or row["workflow_state"] in hidden:
            raise errors.not_found()
        return row

    def numbers(self, name: str) -> list[int]:
        """An array parameter of ids, in any spelling; what is none becomes 0, which no row has."""
        return [ids.parse_id(text) or 0 for text in self.params.many(name)]


def _pick(rows: dict[int, Row], kind: str, text: str) -> Row | None:
    number = ids.parse_id(text)
    return rows.get(number) if number is not None else ids.find_by_sis(kind, text, rows.values())
