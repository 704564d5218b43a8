"""The copy of Canvas: instances and connections, mirrored rows by subject, and sync scopes."""

from canvas.models.accounts import Account, Term, User
from canvas.models.courses import Course, Enrollment, Section
from canvas.models.gradebook import Assignment, AssignmentGroup, Submission
from canvas.models.instances import Connection, Instance, Shard
from canvas.models.rows import CanvasRow
from canvas.models.scopes import Scope

__all__ = [
    "Account",
    "Assignment",
    "AssignmentGroup",
    "CanvasRow",
    "Connection",
    "Course",
    "Enrollment",
    "Instance",
    "Scope",
    "Section",
    "Shard",
    "Submission",
    "Term",
    "User",
]
