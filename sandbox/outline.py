"""The modules of a course and what they list, made from the course's own rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.course import Course, first_id
from sandbox.ids import Row
from sandbox.names import WEB_ADDRESS
from sandbox.sizes import Size

LONG_MODULE_ITEMS = 101
"""One more than Canvas shows inside a module."""


def add_modules(course: Course, size: Size) -> None:
    """Give a course its modules: headings, pages, links, and every assignment once."""
    assignments = [row for row in course.assignments.values() if row["workflow_state"] != "deleted"]
    for place in range(size.modules):
        module = _add(course, f"Unit {place + 1}", "active")
        if place:
            module["prerequisite_module_ids"] = [module["id"] - 1]
            module["requirement_type"], module["require_sequential_progress"] = "all", place % 2 == 0
        _fill(course, module, assignments[place :: size.modules])
    if size.oddities:
        _add_odd_ones(course)
    for module in course.modules.values():
        module["items_count"] = len(items_of(course, module))


def _fill(course: Course, module: Row, assignments: Sequence[Row]) -> None:
    add_item(course, module, "SubHeader", f"Before {module['name']}")
    page = add_item(
        course, module, "Page", f"Notes on {module['name']}", page_url=f"notes-{module['position']}"
    )
    page["completion_requirement"] = {"type": "must_view"}
    for assignment in assignments:
        item = add_item(course, module, "Assignment", assignment["name"], content_id=assignment["id"])
        item["workflow_state"] = "active" if assignment["published"] else "unpublished"
        item["indent"] = 1


def _add_odd_ones(course: Course) -> None:
    draft = _add(course, "Draft unit", "unpublished")
    address = "https://example.org/reading"
    add_item(course, draft, "ExternalUrl", "Further reading", external_url=address, new_tab=True)
    deleted = add_item(course, draft, "SubHeader", "Removed heading")
    deleted["workflow_state"] = "deleted"
    _add(course, "Removed unit", "deleted")
    if course.number == 0:
        long = _add(course, "Reading list", "active")
        for number in range(LONG_MODULE_ITEMS):
            add_item(course, long, "ExternalUrl", f"Text {number + 1}", external_url=f"{address}/{number}")


def _add(course: Course, name: str, state: str) -> Row:
    place = len(course.modules)
    module: Row = {
        "id": first_id("modules", course.number) + place,
        "course_id": course.id,
        "name": name,
        "position": place + 1,
        "unlock_at": None,
        "require_sequential_progress": False,
        "requirement_type": None,
        "publish_final_grade": False,
        "prerequisite_module_ids": [],
        "items_count": 0,
        "workflow_state": state,
    }
    course.modules[module["id"]] = module
    return module


def items_of(course: Course, module: Row) -> list[Row]:
    """The items of a module that are not deleted, in their order."""
    rows = [
        row
        for row in course.module_items.values()
        if row["module_id"] == module["id"] and row["workflow_state"] != "deleted"
    ]
    return sorted(rows, key=lambda row: (row["position"], row["id"]))


def add_item(
    course: Course, module: Row, kind: str, title: str, *, item_id: int | None = None, **fields: Any
) -> Row:
    """Put an item of this type (Canvas's word) last in a module; `fields` are those that the type has."""
    item_id = item_id or first_id("module_items", course.number) + len(course.module_items)
    item: Row = {
        "id": item_id,
        "module_id": module["id"],
        "course_id": course.id,
        "position": len(items_of(course, module)) + 1,
        "title": title,
        "indent": 0,
        "type": kind,
        "html_url": f"{WEB_ADDRESS}/courses/{course.id}/modules/items/{item_id}",
        **fields,
        "workflow_state": "active",
    }
    course.module_items[item_id] = item
    return item
