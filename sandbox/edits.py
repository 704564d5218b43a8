"""Edits: what people do in a Canvas, one function a kind, answering everything that changed.

An edit finds its own target when none is named: the same one for the same seed and the same edits before, and
one that no earlier edit touched as long as there is such a one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from sandbox import ids
from sandbox.access import Tokens
from sandbox.clock import DAY, stamp
from sandbox.course import STUDENT, Course, blank_assignment, blank_enrollment
from sandbox.ids import Row
from sandbox.outline import add_item, items_of
from sandbox.submissions import blank, mix, set_score
from sandbox.teams import add_member, count_members, members_of
from sandbox.world import World, find

Item = TypeVar("Item")
GONE = ("deleted", "rejected")


class EditError(ValueError):
    """An edit that cannot be made; the message says why."""


class Edit:
    """One edit being made: its arguments, the target it chose and what it changed."""

    def __init__(self, world: World, tokens: Tokens, args: Row) -> None:
        self.world, self.tokens, self.args = world, tokens, args
        self.now = world.clock.stamp()
        self.target: Row = {}
        self.changes: list[Row] = []

    # --- choosing ----------------------------------------------------------------------------------

    def pick(self, name: str, items: Iterable[Item], key: Callable[[Item], Any]) -> Item:
        """An item by turns, preferring what no edit has touched yet; remembers it as target `name`."""
        candidates = list(items)
        if not candidates:
            raise EditError(f"There is no {name.removesuffix('_id')} that this edit could be made on.")
        fresh = [item for item in candidates if (name, key(item)) not in self.world.touched]
        chosen = fresh or candidates
        item = chosen[mix(self.world.version + 1) % len(chosen)]
        self.target[name] = key(item)
        return item

    def _number(self, name: str) -> int | None:
        value = self.args.get(name)
        return None if value is None else ids.parse_id(str(value))

    def course(self, name: str = "course_id", *, state: str = "available") -> Course:
        """The course named, or one in this state."""
        if name in self.args:
            row = find(self.world, "course", str(self.args[name]))
            if row is None:
                raise EditError(f"There is no course {self.args[name]}.")
            self.target[name] = row["id"]
            return self.world.course(row["id"])
        rows = [row for row in self.world.courses.values() if row["workflow_state"] == state]
        return self.world.course(self.pick(name, rows, lambda row: row["id"])["id"])

    def assignment(self, course: Course, *states: str) -> Row:
        """The assignment named, or one in one of the states."""
        number = self._number("assignment_id")
        if number is not None:
            if number not in course.assignments:
                raise EditError(f"Course {course.id} has no assignment {number}.")
            self.target["assignment_id"] = number
            return course.assignments[number]
        rows = [row for row in course.assignments.values() if row["workflow_state"] in states]
        return self.pick("assignment_id", rows, lambda row: row["id"])

    def row_of(self, name: str, rows: Iterable[Row]) -> Row:
        """The row that argument `name` names, or one of these."""
        candidates = [row for row in rows if row["workflow_state"] != "deleted"]
        wanted = self._number(name)
        if wanted is None:
            return self.pick(name, candidates, lambda row: row["id"])
        self.target[name] = wanted
        found = next((row for row in candidates if row["id"] == wanted), None)
        if found is None:
            raise EditError(f"There is no {name.removesuffix('_id')} {wanted} there.")
        return found

    def enrollments(self, course: Course, *states: str) -> list[Row]:
        """A student's enrollments in these states: the student named, or one who has some."""
        rows = [
            row
            for row in course.enrollments.values()
            if row["type"] == STUDENT and row["enrollment_state"] in states
        ]
        wanted = self._number("user_id")
        if wanted is None:
            wanted = self.pick("user_id", rows, lambda row: row["user_id"])["user_id"]
        self.target["user_id"] = wanted
        found = [row for row in rows if row["user_id"] == wanted]
        if not found:
            raise EditError(f"User {wanted} has no such enrollment in course {course.id}.")
        return found

    def submission(self, *states: str) -> tuple[Course, Row]:
        """The submission named by course, assignment and user, or one in one of the states."""
        course = self.course()
        assignment = self.assignment(course, "published")
        store, user_id = course.submissions, self._number("user_id")
        if user_id is None:
            rows = [
                row
                for i in store.ids([assignment["id"]])
                if (row := store.row(i))["workflow_state"] in states
            ]
            user_id = self.pick("user_id", rows, lambda row: row["user_id"])["user_id"]
        found = store.id_of(assignment["id"], user_id)
        if found is None or store.is_buried(found):
            raise EditError(f"User {user_id} has no submission to assignment {assignment['id']}.")
        self.target.update(user_id=user_id, submission_id=found)
        return course, store.keep(found)

    def user(self, name: str, *, also_not: Sequence[int] = ()) -> Row:
        """The user named, or a student whom no token belongs to."""
        if name in self.args:
            row = find(self.world, "user", str(self.args[name]))
            if row is None:
                raise EditError(f"There is no user {self.args[name]}.")
            self.target[name] = row["id"]
            return row
        taken = {token.user_id for token in self.tokens.by_name.values()} | set(also_not)
        live = (self.world.users[i] for i in self.world.student_pool if i not in taken)
        return self.pick(name, (u for u in live if u["workflow_state"] != "deleted"), lambda row: row["id"])

    def student_outside(self, course: Course, group: Row) -> int:
        """The student named (`user_id`), or one of the course who is not in the group."""
        members = {row["user_id"] for row in members_of(course, group)}
        students: list[int] = [row["user_id"] for row in course.students()]
        free = [user_id for user_id in dict.fromkeys(students) if user_id not in members]
        wanted = self._number("user_id")
        if wanted is None:
            return self.pick("user_id", free, lambda user_id: user_id)
        if wanted not in free:
            raise EditError(f"User {wanted} is in the group already, or no student of course {course.id}.")
        self.target["user_id"] = wanted
        return wanted

    # --- changing ----------------------------------------------------------------------------------

    def change(self, resource: str, row: Row, **fields: Any) -> None:
        """Set fields and note those that were different."""
        differing = {name: value for name, value in fields.items() if row.get(name) != value}
        before = {name: row.get(name) for name in differing}
        row.update(differing)
        self.note(resource, row, "updated", before)

    def note(self, resource: str, row: Row, action: str, before: Row | None = None) -> None:
        """Remember what happened to a row; `before` holds the old values of changed fields."""
        if before is None or before:
            fields = {name: {"old": old, "new": row.get(name)} for name, old in (before or {}).items()}
            self.changes.append({"resource": resource, "id": row["id"], "action": action, "fields": fields})

    def delete(self, resource: str, row: Row, before: Row | None = None) -> None:
        """Mark a row deleted; `before` holds the old values of what was changed with it."""
        before = {name: old for name, old in (before or {}).items() if row[name] != old}
        before["workflow_state"] = row["workflow_state"]
        row["workflow_state"] = "deleted"
        self.note(resource, row, "deleted", before)

    def set_enrollment_state(self, row: Row, state: str) -> None:
        """Give an enrollment another state."""
        if row["workflow_state"] == state:
            return
        before = {name: row[name] for name in ("enrollment_state", "workflow_state", "updated_at")}
        row.update(enrollment_state=state, workflow_state=state, updated_at=self.now)
        self.note("enrollments", row, "deleted" if state == "deleted" else "updated", before)

    def assign(self, course: Course, user_id: int) -> None:
        """Bring a user's submissions in line with whether they study in the course, as Canvas does."""
        studies = any(row["user_id"] == user_id for row in course.students())
        for assignment in course.assignments.values():
            found = course.submissions.id_of(assignment["id"], user_id)
            if found is None:
                if studies and assignment["published"] and not assignment["only_visible_to_overrides"]:
                    self.add_submission(course, assignment, user_id)
            elif course.submissions.is_buried(found) == studies:
                self._set_buried(course, found, buried=not studies)

    def _set_buried(self, course: Course, submission_id: int, *, buried: bool) -> None:
        before = {"workflow_state": course.submissions.row(submission_id)["workflow_state"]}
        if buried:
            course.submissions.bury(submission_id)
        else:
            course.submissions.unbury(submission_id)
        row = course.submissions.row(submission_id)
        self.note("submissions", row, "deleted" if buried else "updated", before)

    def add_submission(self, course: Course, assignment: Row, user_id: int) -> None:
        """The empty submission of a newly assigned student."""
        row = blank(self.world.new_id(), assignment, user_id)
        course.submissions.add(row)
        self.note("submissions", row, "created")


# --- grades and submissions --------------------------------------------------------------------------


def grade(edit: Edit) -> None:
    """Give a submission a score (`score`, else another than it has) now, by the course's teacher."""
    course, row = edit.submission("submitted", "graded", "pending_review")
    points = course.assignments[row["assignment_id"]]["points_possible"] or 10.0
    score = float(edit.args["score"] if "score" in edit.args else _other_score(row, points))
    scored = dict(row)
    set_score(scored, score)
    edit.change(
        "submissions",
        row,
        **{name: scored[name] for name in ("score", "entered_score", "grade", "entered_grade")},
        excused=None,
        workflow_state="graded",
        graded_at=edit.now,
        posted_at=edit.now,
        grader_id=edit.world.teacher_ids[0],
        grade_matches_current_submission=True,
    )


def _other_score(row: Row, points: float) -> float:
    return points if row["score"] != points else points / 2


def submit(edit: Edit) -> None:
    """Hand in work (`body`) now."""
    _, row = edit.submission("unsubmitted", "submitted")
    due = row["cached_due_date"]
    edit.change(
        "submissions",
        row,
        submitted_at=edit.now,
        attempt=(row["attempt"] or 0) + 1,
        submission_type="online_text_entry",
        body=edit.args.get("body", "<p>Handed in through the sandbox.</p>"),
        url=None,
        workflow_state="submitted",
        missing=False,
        late=bool(due and due < edit.now),
        grade_matches_current_submission=row["score"] is None,
    )


def excuse(edit: Edit) -> None:
    """Excuse a student from an assignment: no date moves, so no date filter of Canvas shows it."""
    _, row = edit.submission("unsubmitted", "submitted", "graded")
    edit.change(
        "submissions",
        row,
        excused=True,
        score=None,
        grade=None,
        entered_score=None,
        entered_grade=None,
        missing=False,
        workflow_state="graded",
    )


def hide_grades(edit: Edit) -> None:
    """Take the posting of an assignment's grades back: `posted_at` becomes null in every submission."""
    course = edit.course()
    assignment, store = edit.assignment(course, "published"), course.submissions
    for submission_id in store.ids([assignment["id"]]):
        if store.row(submission_id)["posted_at"] is not None:
            edit.change("submissions", store.keep(submission_id), posted_at=None)


# --- courses and assignments -------------------------------------------------------------------------


def rename_course(edit: Edit) -> None:
    """Change a course's name (`name`)."""
    row = edit.course().row
    edit.change("courses", row, name=edit.args.get("name", f"{row['name']} (renamed)"))


def unpublish_course(edit: Edit) -> None:
    """Make a course a draft again."""
    edit.change("courses", edit.course().row, workflow_state="unpublished")


def publish_course(edit: Edit) -> None:
    """Make a draft course available."""
    edit.change("courses", edit.course(state="unpublished").row, workflow_state="available")


def delete_course(edit: Edit) -> None:
    """Delete a course, and with it its enrollments."""
    course = edit.course()
    for row in list(course.enrollments.values()):
        if row["enrollment_state"] not in GONE:
            edit.set_enrollment_state(row, "deleted")
    edit.delete("courses", course.row)


def rename_assignment(edit: Edit) -> None:
    """Change an assignment's name (`name`)."""
    row = edit.assignment(edit.course(), "published", "unpublished")
    name = edit.args.get("name", f"{row['name']} (renamed)")
    edit.change("assignments", row, name=name, updated_at=edit.now)


def new_assignment(edit: Edit) -> None:
    """Publish a new assignment (`name`, `points_possible`), with an empty submission for every student."""
    course = edit.course()
    group = next(row for row in course.groups.values() if row["workflow_state"] == "available")
    name = edit.args.get("name", f"New assignment {len(course.assignments) + 1}")
    row = blank_assignment(edit.world.new_id(), course.row, group, name, edit.now)
    row["points_possible"] = float(edit.args.get("points_possible", 10))
    row["position"] = len(course.assignments) + 1
    course.assignments[row["id"]] = row
    edit.world.homes["assignments", row["id"]] = course.id
    edit.target["assignment_id"] = row["id"]
    edit.note("assignments", row, "created")
    for user_id in dict.fromkeys(e["user_id"] for e in course.students()):
        edit.add_submission(course, row, user_id)


def delete_assignment(edit: Edit) -> None:
    """Delete an assignment; its submissions stay as they are, but nothing shows them any more."""
    row = edit.assignment(edit.course(), "published", "unpublished")
    before = {name: row[name] for name in ("workflow_state", "published", "updated_at")}
    row.update(workflow_state="deleted", published=False, updated_at=edit.now)
    edit.note("assignments", row, "deleted", before)


def unpublish_assignment(edit: Edit) -> None:
    """Make an assignment a draft: its submissions stay, but are no longer listed."""
    row = edit.assignment(edit.course(), "published")
    edit.change("assignments", row, workflow_state="unpublished", published=False, updated_at=edit.now)


def publish_assignment(edit: Edit) -> None:
    """Publish a draft; students without a submission get an empty one."""
    course = edit.course()
    row = edit.assignment(course, "unpublished")
    edit.change("assignments", row, workflow_state="published", published=True, updated_at=edit.now)
    for user_id in dict.fromkeys(e["user_id"] for e in course.students()):
        edit.assign(course, user_id)


# --- modules and groups ------------------------------------------------------------------------------


def rename_module(edit: Edit) -> None:
    """Change a module's name (`name`)."""
    row = edit.row_of("module_id", edit.course().modules.values())
    edit.change("modules", row, name=edit.args.get("name", f"{row['name']} (renamed)"))


def delete_module(edit: Edit) -> None:
    """Delete a module, and its items with it."""
    course = edit.course()
    module = edit.row_of("module_id", course.modules.values())
    for item in items_of(course, module):
        edit.delete("module_items", item)
    before = {"items_count": module["items_count"]}
    module["items_count"] = 0
    edit.delete("modules", module, before)


def add_module_item(edit: Edit) -> None:
    """Put a link (`title`) last in a module."""
    course = edit.course()
    module = edit.row_of("module_id", course.modules.values())
    title, address = edit.args.get("title", "Added link"), "https://example.org/added"
    row = add_item(course, module, "ExternalUrl", title, item_id=edit.world.new_id(), external_url=address)
    edit.target["item_id"] = row["id"]
    edit.note("module_items", row, "created")
    _count_items(edit, course, module)


def move_module_item(edit: Edit) -> None:
    """Put an item (`item_id`) last in another module (`to_module_id`) of its course."""
    course = edit.course()
    item = edit.row_of("item_id", course.module_items.values())
    source = course.modules[item["module_id"]]
    target = edit.row_of("to_module_id", (row for row in course.modules.values() if row is not source))
    edit.change("module_items", item, module_id=target["id"], position=len(items_of(course, target)) + 1)
    for module in (source, target):
        _count_items(edit, course, module)


def delete_module_item(edit: Edit) -> None:
    """Delete an item (`item_id`) of a module."""
    course = edit.course()
    item = edit.row_of("item_id", course.module_items.values())
    edit.delete("module_items", item)
    _count_items(edit, course, course.modules[item["module_id"]])


def _count_items(edit: Edit, course: Course, module: Row) -> None:
    edit.change("modules", module, items_count=len(items_of(course, module)))


def rename_group(edit: Edit) -> None:
    """Change a group's name (`name`)."""
    row = edit.row_of("group_id", edit.course().student_groups.values())
    edit.change("groups", row, name=edit.args.get("name", f"{row['name']} (renamed)"))


def delete_group(edit: Edit) -> None:
    """Delete a group, and its memberships with it."""
    course = edit.course()
    group = edit.row_of("group_id", course.student_groups.values())
    for row in list(members_of(course, group)):
        edit.delete("group_memberships", row)
    before = {"members_count": group["members_count"]}
    group["members_count"] = 0
    edit.delete("groups", group, before)


def add_group_member(edit: Edit) -> None:
    """Take a student of the course (`user_id`) into a group; who comes back gets a new membership."""
    course = edit.course()
    group = edit.row_of("group_id", course.student_groups.values())
    user_id = edit.student_outside(course, group)
    row = add_member(course, group, user_id, "accepted", membership_id=edit.world.new_id())
    edit.target["membership_id"] = row["id"]
    edit.note("group_memberships", row, "created")
    edit.change("groups", group, members_count=count_members(course, group))


def remove_group_member(edit: Edit) -> None:
    """Delete a membership: the one named (`membership_id`), or that of `user_id`, or any."""
    course = edit.course()
    rows = course.memberships.values()
    row = edit.row_of("membership_id", [r for r in rows if edit.args.get("user_id") in (None, r["user_id"])])
    edit.delete("group_memberships", row)
    group = course.student_groups[row["group_id"]]
    edit.change("groups", group, members_count=count_members(course, group))


# --- people ------------------------------------------------------------------------------------------


def drop_student(edit: Edit) -> None:
    """Delete a student's enrollments in a course; Canvas then deletes their submissions there."""
    course = edit.course()
    rows = edit.enrollments(course, "active", "invited", "completed", "inactive")
    for row in rows:
        edit.set_enrollment_state(row, "deleted")
    edit.assign(course, rows[0]["user_id"])


def conclude_enrollment(edit: Edit) -> None:
    """Conclude a student's enrollments in a course; the submissions stay listed."""
    course = edit.course()
    for row in edit.enrollments(course, "active"):
        edit.set_enrollment_state(row, "completed")


def reactivate_enrollment(edit: Edit) -> None:
    """Bring a concluded or deleted student back, submissions and all."""
    course = edit.course()
    rows = edit.enrollments(course, "completed", "deleted", "inactive")
    for row in rows:
        edit.set_enrollment_state(row, "active")
    edit.assign(course, rows[0]["user_id"])


def enroll(edit: Edit) -> None:
    """Enroll a user as a student, with an empty submission for every published assignment."""
    course = edit.course()
    present = [row["user_id"] for row in course.students()]
    user = edit.user("user_id", also_not=present)
    section = next(row for row in course.sections.values() if row["workflow_state"] == "active")
    _join(edit, course, section, user["id"])
    edit.assign(course, user["id"])


def _join(edit: Edit, course: Course, section: Row, user_id: int) -> None:
    """Revive the enrollment a user had in the section, or make one."""
    for row in course.enrollments.values():
        if row["type"] == STUDENT and (row["user_id"], row["course_section_id"]) == (user_id, section["id"]):
            return edit.set_enrollment_state(row, "active")
    row = blank_enrollment(edit.world.new_id(), course.row, section, user_id, STUDENT, edit.now)
    course.enrollments[row["id"]] = row
    edit.world.homes["enrollments", row["id"]] = course.id
    edit.target["enrollment_id"] = row["id"]
    edit.note("enrollments", row, "created")


def move(edit: Edit) -> None:
    """Move a student to another section (`section_id`): Canvas ends one enrollment and makes another."""
    course = edit.course()
    if "user_id" in edit.args:
        row = edit.enrollments(course, "active")[0]
    else:
        active = (row for row in course.students() if row["enrollment_state"] == "active")
        movable = (row for row in active if _free_sections(course, row["user_id"]))
        row = edit.pick("user_id", movable, lambda row: row["user_id"])
    wanted = edit.args.get("section_id")
    free = [s for s in _free_sections(course, row["user_id"]) if wanted in (None, s["id"])]
    if not free:
        raise EditError(f"Course {course.id} has no such other section to move to.")
    edit.target["section_id"] = free[0]["id"]
    edit.set_enrollment_state(row, "deleted")
    _join(edit, course, free[0], row["user_id"])


def _free_sections(course: Course, user_id: int) -> list[Row]:
    """Sections that a student is not in."""
    taken = [row["course_section_id"] for row in course.students() if row["user_id"] == user_id]
    active = (row for row in course.sections.values() if row["workflow_state"] == "active")
    return [row for row in active if row["id"] not in taken]


def cross_list(edit: Edit) -> None:
    """Move a section (`section_id`) of a course into another (`to_course_id`), people and all."""
    source = edit.course()
    target = edit.course("to_course_id") if "to_course_id" in edit.args else _another_course(edit, source)
    live = [row for row in source.sections.values() if row["workflow_state"] == "active"]
    wanted = edit.args.get("section_id")
    section = next((row for row in reversed(live) if wanted in (None, row["id"])), None)
    if section is None or target is source:
        raise EditError("Name a section of the course, and another course to list it in.")
    edit.target["section_id"] = section["id"]
    edit.change(
        "sections",
        section,
        course_id=target.id,
        nonxlist_course_id=section["nonxlist_course_id"] or source.id,
        sis_course_id=target.row["sis_course_id"],
    )
    target.sections[section["id"]] = source.sections.pop(section["id"])
    edit.world.homes["sections", section["id"]] = target.id
    people = _take_along(edit, source, target, section["id"])
    for user_id in people:
        edit.assign(source, user_id)
        edit.assign(target, user_id)


def _another_course(edit: Edit, source: Course) -> Course:
    rows = [
        row
        for row in edit.world.courses.values()
        if row["workflow_state"] == "available" and row["id"] != source.id
    ]
    if not rows:
        raise EditError("There is no other course to list the section in.")
    edit.target["to_course_id"] = rows[0]["id"]
    return edit.world.course(rows[0]["id"])


def _take_along(edit: Edit, source: Course, target: Course, section_id: int) -> list[int]:
    """Move a section's enrollments to another course; returns the students among them."""
    moving = [row for row in source.enrollments.values() if row["course_section_id"] == section_id]
    for row in moving:
        edit.change(
            "enrollments",
            row,
            course_id=target.id,
            sis_course_id=target.row["sis_course_id"],
            html_url=row["html_url"].replace(f"/courses/{source.id}/", f"/courses/{target.id}/"),
            updated_at=edit.now,
        )
        target.enrollments[row["id"]] = source.enrollments.pop(row["id"])
        edit.world.homes["enrollments", row["id"]] = target.id
    return list(dict.fromkeys(row["user_id"] for row in moving if row["type"] == STUDENT))


def rename_user(edit: Edit) -> None:
    """Change a user's name (`name`)."""
    row = edit.user("user_id")
    name = str(edit.args.get("name", f"Renamed {row['last_name']}"))
    first, _, last = name.rpartition(" ")
    edit.change(
        "users", row, name=name, short_name=name, first_name=first, last_name=last,
        sortable_name=f"{last}, {first}" if first else last,
    )  # fmt: skip


def delete_user(edit: Edit) -> None:
    """Delete a user: their enrollments go, and with those their submissions."""
    row = edit.user("user_id")
    for course, enrollment in edit.world.enrollments_of(row["id"]):
        if enrollment["enrollment_state"] not in GONE:
            edit.set_enrollment_state(enrollment, "deleted")
            edit.assign(course, row["id"])
    edit.delete("users", row)


def merge_users(edit: Edit) -> None:
    """Merge a user (`user_id`) into another (`into_user_id`): what the first had becomes the second's."""
    source = edit.user("user_id")
    target = edit.user("into_user_id", also_not=[source["id"]])
    if source is target:
        raise EditError("A user cannot be merged into themselves.")
    for course, enrollment in edit.world.enrollments_of(source["id"]):
        _merge_enrollment(edit, course, enrollment, target["id"])
    for course in edit.world.all_courses():
        _merge_submissions(edit, course, source["id"], target["id"])
    edit.delete("users", source)


def _merge_enrollment(edit: Edit, course: Course, row: Row, into: int) -> None:
    taken = any(
        (other["user_id"], other["type"], other["course_section_id"])
        == (into, row["type"], row["course_section_id"])
        for other in course.enrollments.values()
    )
    if not taken:
        edit.change("enrollments", row, user_id=into, updated_at=edit.now)
    elif row["enrollment_state"] not in GONE:
        edit.set_enrollment_state(row, "deleted")


def _merge_submissions(edit: Edit, course: Course, source: int, target: int) -> None:
    """A submission moves unless its assignment has one of the target's already."""
    store = course.submissions
    for assignment_id in course.assignments:
        found = store.id_of(assignment_id, source)
        if found is None or store.id_of(assignment_id, target) is not None:
            continue
        store.hand_over(found, target)
        edit.note("submissions", store.row(found), "updated", {"user_id": source})
    edit.assign(course, source)
    edit.assign(course, target)


# --- tokens ------------------------------------------------------------------------------------------


def revoke_token(edit: Edit) -> None:
    """Delete a token (`name`, else the administrator's): it answers 401 from now on."""
    _end_token(edit, workflow_state="deleted")


def expire_token(edit: Edit) -> None:
    """Let a token (`name`, else the administrator's) have expired."""
    _end_token(edit, expires_at=stamp(-DAY))


def _end_token(edit: Edit, **fields: str) -> None:
    name = str(edit.args.get("name", "admin"))
    token = edit.tokens.by_name.get(name)
    if token is None:
        raise EditError(f"There is no token {name!r}; there are {', '.join(edit.tokens.by_name)}.")
    edit.target["name"] = name
    for field, value in fields.items():
        before = {field: getattr(token, field)}
        setattr(token, field, value)
        edit.note("tokens", token.row(), "updated", before)


KINDS: dict[str, Callable[[Edit], None]] = {
    function.__name__: function
    for function in (
        grade, submit, excuse, hide_grades,
        rename_course, unpublish_course, publish_course, delete_course,
        rename_assignment, new_assignment, delete_assignment, unpublish_assignment, publish_assignment,
        rename_module, delete_module, add_module_item, move_module_item, delete_module_item,
        rename_group, delete_group, add_group_member, remove_group_member,
        drop_student, conclude_enrollment, reactivate_enrollment, enroll, move, cross_list,
        rename_user, delete_user, merge_users,
        revoke_token, expire_token,
    )
}  # fmt: skip


def apply(world: World, tokens: Tokens, kind: str, args: Row) -> Row:
    """Make one edit; returns `{kind, target, changes}`. Raises EditError."""
    if kind not in KINDS:
        raise EditError(f"Unknown edit {kind!r}; the kinds are {', '.join(sorted(KINDS))}.")
    with world.lock:
        edit = Edit(world, tokens, args)
        try:
            KINDS[kind](edit)
        finally:
            world.forget()
        world.touched.update(edit.target.items())
    return {"kind": kind, "target": edit.target, "changes": edit.changes}
