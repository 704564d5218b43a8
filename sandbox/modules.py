"""Modules and their items."""

from __future__ import annotations

from sandbox import errors, ids
from sandbox.call import Call, Listing
from sandbox.course import Course
from sandbox.ids import Row
from sandbox.outline import items_of
from sandbox.pagination import MAX_PER_PAGE
from sandbox.views import show

_DETAILS = ("points_possible", "due_at", "unlock_at", "lock_at")


def course_modules(call: Call) -> Listing:
    """Modules of a course by position, with their items on request if they are no more than a page."""
    course, standing = call.course()
    term = call.params.search() or ""
    rows = [
        row for row in course.modules.values() if _is_shown(row, standing) and term in row["name"].lower()
    ]
    rows.sort(key=lambda row: (row["position"], row["id"]))
    return Listing(rows, lambda row: _show_module(call, course, row, standing))


def one_module(call: Call) -> Row:
    """One module."""
    course, row, standing = call.module()
    return _show_module(call, course, row, standing)


def module_items(call: Call) -> Listing:
    """Items of a module, however many."""
    course, module, standing = call.module()
    term = call.params.search() or ""
    rows = [row for row in _items(course, module, standing) if term in row["title"].lower()]
    return Listing(rows, lambda row: _show_item(call, course, row, standing))


def one_item(call: Call) -> Row:
    """One item."""
    course, module, standing = call.module()
    wanted = ids.parse_id(call.path["item_id"])
    for row in _items(course, module, standing):
        if row["id"] == wanted:
            return _show_item(call, course, row, standing)
    raise errors.not_found()


def _is_shown(row: Row, standing: str) -> bool:
    hidden = ("deleted", "unpublished") if standing == "student" else ("deleted",)
    return row["workflow_state"] not in hidden


def _items(course: Course, module: Row, standing: str) -> list[Row]:
    return [row for row in items_of(course, module) if _is_shown(row, standing)]


def _show_module(call: Call, course: Course, row: Row, standing: str) -> Row:
    items = _items(course, row, standing)
    shown = show("modules", row, standing)
    shown["items_count"] = len(items)
    host = f"/api/v1/courses/{course.id}/modules/{row['id']}/items"
    shown["items_url"] = f"https://canvas.example.edu{host}"
    _show_published(shown, row, standing)
    if "items" in call.params.many("include") and len(items) <= MAX_PER_PAGE:
        shown["items"] = [_show_item(call, course, item, standing) for item in items]
    return shown


def _show_item(call: Call, course: Course, row: Row, standing: str) -> Row:
    shown = show("module_items", row, standing)
    _show_published(shown, row, standing)
    if "content_details" in call.params.many("include"):
        assignment = course.assignments.get(row.get("content_id", 0), {})
        shown["content_details"] = {name: assignment[name] for name in _DETAILS if name in assignment}
    return shown


def _show_published(shown: Row, row: Row, standing: str) -> None:
    """Whether it is published is said to those only who see what is not."""
    if standing != "student":
        shown["published"] = row["workflow_state"] == "active"
