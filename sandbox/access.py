"""Tokens of this Canvas, and what the user behind one may see."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox import errors
from sandbox.clock import stamp
from sandbox.course import STUDENT, Course
from sandbox.ids import HOME_SHARD, Row
from sandbox.world import ROOT_ACCOUNT_ID, World

# The scopes of the narrow token: enough to say hello and to list courses.
NARROW_SCOPES = (
    "url:GET|/api/v1/users/:user_id",
    "url:GET|/api/v1/users/self",
    "url:GET|/api/v1/accounts/:account_id/courses",
    "url:GET|/api/v1/courses",
)
GRADING = ("TeacherEnrollment", "TaEnrollment")
LIVE_STATES = ("active", "invited", "completed", "inactive")


@dataclass(slots=True)
class Token:
    """A credential; `account_id` is the account its user administers, None if none."""

    name: str
    value: str
    id: int
    user_id: int
    account_id: int | None
    purpose: str
    expires_at: str | None = None
    scopes: tuple[str, ...] = ()
    workflow_state: str = "active"

    def is_good(self, now: str) -> bool:
        """Neither deleted nor expired at `now`."""
        return self.workflow_state == "active" and (self.expires_at is None or self.expires_at > now)

    def row(self) -> Row:
        """What the token endpoints say about it: never the token itself."""
        return {
            "id": self.id,
            "created_at": stamp(0),
            "expires_at": self.expires_at,
            "workflow_state": self.workflow_state,
            "remember_access": None,
            "scopes": list(self.scopes),
            "real_user_id": None,
            "token_hint": self.value[:5],
            "user_id": self.user_id,
            "purpose": self.purpose,
            "app_name": None,
            "can_manually_regenerate": True,
        }


class Tokens:
    """The declared tokens, by name and by value."""

    def __init__(self, world: World, admin_token: str | None) -> None:
        far = f"{datetime.now(UTC).year + 1}-12-31T23:59:59Z"
        student, teacher = world.student_pool[0], world.teacher_ids[0]
        declared = (  # name, user, account administered, purpose, expires_at, scopes
            ("admin", world.admin_id, ROOT_ACCOUNT_ID, "Sync of the whole institution", far, ()),
            ("subaccount_admin", world.subaccount_admin_id, 2, "College reports", None, ()),
            ("teacher", teacher, None, "Gradebook script", None, ()),
            ("student", student, None, "Calendar", None, ()),
            ("narrow", world.admin_id, ROOT_ACCOUNT_ID, "Course list only", None, NARROW_SCOPES),
            ("expired", world.admin_id, ROOT_ACCOUNT_ID, "Old integration", stamp(0), ()),
        )
        self.by_name = {
            row[0]: Token(row[0], _secret(row[0], world.seed), place, *row[1:])
            for place, row in enumerate(declared, start=1)
        }
        if admin_token:
            self.by_name["admin"].value = admin_token
        self.by_value = {token.value: token for token in self.by_name.values()}

    def authenticate(self, value: str | None, now: str) -> Token:
        """The token of this value; raises Refusal when there is none or it is no longer good."""
        if not value:
            raise errors.unauthenticated()
        token = self.by_value.get(value)
        if token is None or not token.is_good(now):
            raise errors.invalid_token()
        return token


def _secret(name: str, seed: int) -> str:
    digest = hashlib.sha512(f"{name}/{seed}".encode()).digest()
    letters = base64.b64encode(digest, altchars=b"xY").decode().rstrip("=")
    return f"{HOME_SHARD}~{letters[:64]}"


@dataclass(frozen=True, slots=True)
class Viewer:
    """The user behind a request."""

    world: World
    token: Token

    @property
    def user_id(self) -> int:
        """Their user id."""
        return self.token.user_id

    @property
    def is_admin(self) -> bool:
        """Whether they administer any account."""
        return self.token.account_id is not None

    def administers(self, account_id: int) -> bool:
        """Whether the account lies in what they administer."""
        return self.token.account_id in self.world.account_chain(account_id)

    def standing(self, course: Course) -> str | None:
        """`admin`, `teacher`, `student` or None: the best of what they are in a course."""
        if self.administers(course.row["account_id"]):
            return "admin"
        kinds = {
            row["type"]
            for row in course.enrollments.values()
            if row["user_id"] == self.user_id and row["enrollment_state"] in LIVE_STATES
        }
        if kinds.intersection(GRADING):
            return "teacher"
        return "student" if kinds else None

    def own_students(self, course: Course) -> list[int]:
        """Themselves, if they study there, and whom they observe."""
        mine = [row for row in course.enrollments.values() if row["user_id"] == self.user_id]
        observed = [row["associated_user_id"] for row in mine if row["associated_user_id"]]
        return [row["user_id"] for row in mine if row["type"] == STUDENT] + observed
