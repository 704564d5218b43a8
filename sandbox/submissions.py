"""The submissions of one course: made from the seed when they are read, kept only when they were edited.

A million rows would not fit a small machine, so a row is a pure function of the seed and its id; ids run
through each assignment's students in order. Edited and added rows lie over that in a dictionary.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sandbox.clock import DAY, LENGTH_DAYS, stamp
from sandbox.ids import Row
from sandbox.names import SENTENCES, WEB_ADDRESS

_MASK = (1 << 64) - 1
_BODIES = tuple(f"<p>{first} {second}</p>" for first in SENTENCES for second in SENTENCES)


def mix(number: int) -> int:
    """64 well-mixed bits of a number: the seed's dice, cheap enough for every row."""
    number = number * 0x9E3779B97F4A7C15 & _MASK
    number = (number ^ number >> 32) * 0xD6E8FEB86659FD93 & _MASK
    return number ^ number >> 32


class Roster:
    """Students in a fixed order, with their places."""

    def __init__(self, ids: Iterable[int]) -> None:
        self.ids = tuple(ids)
        self.places = {user_id: place for place, user_id in enumerate(self.ids)}


@dataclass(frozen=True, slots=True)
class Block:
    """The generated submissions of one assignment: ids from `first_id`, one for each of the roster."""

    first_id: int
    assignment: Row
    roster: Roster
    due_seconds: int
    # What all of its rows have in common.
    template: Row = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "template", blank(0, self.assignment, 0))

    @property
    def ids(self) -> range:
        """Their ids."""
        return range(self.first_id, self.first_id + len(self.roster.ids))


class Submissions:
    """All submissions of a course by id, and by assignment and student."""

    def __init__(self, seed: int, grader_id: int) -> None:
        self._salt = mix(seed)
        self._grader_id = grader_id
        self._blocks: list[Block] = []
        self._first_ids: list[int] = []
        self._block_of: dict[int, Block] = {}
        self._kept: dict[int, Row] = {}
        self._added: dict[int, list[int]] = {}
        # Where (assignment, student) leads when it is not what was generated; None: nowhere any more.
        self._moved: dict[tuple[int, int], int | None] = {}
        self._buried: dict[int, str] = {}

    def add_block(self, block: Block) -> None:
        """Give an assignment its generated rows; blocks come in the order of their ids."""
        self._blocks.append(block)
        self._first_ids.append(block.first_id)
        self._block_of[block.assignment["id"]] = block

    def id_of(self, assignment_id: int, user_id: int) -> int | None:
        """The id of a student's submission, deleted ones included; None where there is none."""
        key = (assignment_id, user_id)
        if key in self._moved:
            return self._moved[key]
        block = self._block_of.get(assignment_id)
        place = block.roster.places.get(user_id) if block else None
        return None if block is None or place is None else block.first_id + place

    def row(self, submission_id: int) -> Row:
        """The row as it is now; treat it as read-only."""
        kept = self._kept.get(submission_id)
        if kept is not None:
            return kept
        block = self._blocks[bisect.bisect_right(self._first_ids, submission_id) - 1]
        return self._generate(block, submission_id - block.first_id)

    def keep(self, submission_id: int) -> Row:
        """The row, kept from now on, to be changed."""
        return self._kept.setdefault(submission_id, self.row(submission_id))

    def add(self, row: Row) -> None:
        """A row that was not generated; its id is above all generated ones."""
        self._kept[row["id"]] = row
        self._added.setdefault(row["assignment_id"], []).append(row["id"])
        self._moved[row["assignment_id"], row["user_id"]] = row["id"]

    def hand_over(self, submission_id: int, user_id: int) -> None:
        """Make the row another user's."""
        row = self.keep(submission_id)
        self._moved[row["assignment_id"], row["user_id"]] = None
        self._moved[row["assignment_id"], user_id] = submission_id
        row["user_id"] = user_id

    def bury(self, submission_id: int) -> None:
        """Mark the row deleted, remembering its state."""
        row = self.keep(submission_id)
        self._buried[submission_id] = row["workflow_state"]
        row["workflow_state"] = "deleted"

    def unbury(self, submission_id: int) -> None:
        """Give a deleted row its state back."""
        self._kept[submission_id]["workflow_state"] = self._buried.pop(submission_id)

    def is_buried(self, submission_id: int) -> bool:
        """Whether the row is deleted."""
        return submission_id in self._buried

    def ids(
        self,
        assignment_ids: Sequence[int],
        user_ids: Sequence[int] | None = None,
        *,
        only_edited: bool = False,
    ) -> list[int]:
        """Ids, ascending, of what is not deleted; `only_edited` leaves out what is as it was generated."""
        if user_ids is not None:
            found = (self.id_of(aid, uid) for aid in assignment_ids for uid in user_ids)
            return sorted(i for i in found if i is not None and i not in self._buried)
        if only_edited:
            wanted = set(assignment_ids)
            kept = (i for i, row in self._kept.items() if row["assignment_id"] in wanted)
            return sorted(i for i in kept if i not in self._buried)
        return sorted(i for aid in assignment_ids for i in self._all_ids(aid) if i not in self._buried)

    def _all_ids(self, assignment_id: int) -> Iterator[int]:
        block = self._block_of.get(assignment_id)
        if block:
            yield from block.ids
        yield from self._added.get(assignment_id, ())

    def every_id(self) -> Iterator[int]:
        """Ids of all rows there are, deleted and hidden ones too."""
        for block in self._blocks:
            yield from block.ids
        for added in self._added.values():
            yield from added

    def _generate(self, block: Block, place: int) -> Row:
        dice = mix(block.first_id + place ^ self._salt)
        assignment = block.assignment
        row = block.template.copy()
        row["id"], row["user_id"] = block.first_id + place, block.roster.ids[place]
        row["preview_url"] = row["preview_url"].replace("/submissions/0?", f"/submissions/{row['user_id']}?")
        row["anonymous_id"] = f"{dice >> 44:05x}"
        fate = dice & 31
        if fate < 5:
            row["missing"] = row["cached_due_date"] is not None
            return row
        _hand_in(row, block.due_seconds, dice)
        if fate == 5:
            row["workflow_state"] = "pending_review"
        elif fate > 9:
            _grade(row, assignment, block.due_seconds, dice, self._grader_id)
        return row


def _hand_in(row: Row, due: int, dice: int) -> None:
    late = dice >> 5 & 15 == 0
    submitted = due + (dice >> 9) % (3 * DAY) if late else due - (dice >> 9) % (6 * DAY)
    row["submitted_at"] = stamp(submitted)
    row["attempt"] = 1 + (dice >> 30) % 3
    row["workflow_state"] = "submitted"
    row["submission_type"] = "online_url" if dice >> 33 & 7 == 0 else "online_text_entry"
    if row["submission_type"] == "online_url":
        row["url"] = f"https://example.org/essay/{row['id']}"
    else:
        row["body"] = _BODIES[(dice >> 36) % len(_BODIES)]
    if late and row["cached_due_date"]:
        row["late"] = True
        row["seconds_late"] = submitted - due


def _grade(row: Row, assignment: Row, due: int, dice: int, grader_id: int) -> None:
    row["workflow_state"] = "graded"
    graded = due + 4 * DAY + (dice >> 20) % (5 * DAY)
    row["graded_at"] = row["posted_at"] = stamp(min(graded, LENGTH_DAYS * DAY - 1))
    # Canvas gives automatic graders the negative id of the tool or quiz that graded.
    row["grader_id"] = -assignment["quiz_id"] if assignment["quiz_id"] else grader_id
    row["grade_matches_current_submission"] = True
    if dice >> 40 & 63 == 0:
        row["excused"] = True
        return
    points = assignment["points_possible"] or 0
    set_score(row, round(points * (40 + (dice >> 46) % 61) / 100, 1))


def set_score(row: Row, score: float) -> None:
    """Write a score and the grade that goes with it."""
    row["score"] = row["entered_score"] = score
    row["grade"] = row["entered_grade"] = f"{score:g}"


def blank(submission_id: int, assignment: Row, user_id: int) -> Row:
    """The row Canvas makes as soon as a student is assigned: nothing handed in yet."""
    aid = assignment["id"]
    page = f"{WEB_ADDRESS}/courses/{assignment['course_id']}/assignments/{aid}/submissions"
    return {
        "id": submission_id,
        "user_id": user_id,
        "url": None,
        "score": None,
        "grade": None,
        "excused": None,
        "attempt": None,
        "submission_type": None,
        "submitted_at": None,
        "body": None,
        "assignment_id": aid,
        "graded_at": None,
        "grade_matches_current_submission": True,
        "grader_id": None,
        "workflow_state": "unsubmitted",
        "late_policy_status": None,
        "points_deducted": None,
        "grading_period_id": None,
        "cached_due_date": assignment["due_at"],
        "extra_attempts": None,
        "posted_at": None,
        "redo_request": False,
        "sticker": None,
        "custom_grade_status_id": None,
        "late": False,
        "missing": False,
        "seconds_late": 0,
        "entered_grade": None,
        "entered_score": None,
        "preview_url": f"{page}/{user_id}?preview=1&version=1",
        "anonymous_id": f"{submission_id % 0xFFFFF:05x}",
    }
