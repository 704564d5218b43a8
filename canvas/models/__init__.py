"""The copy of Canvas: instances and connections, mirrored rows by subject, sync scopes and promises."""

from canvas.models.access import Export, InstanceLimit
from canvas.models.accounts import Account, Term, User
from canvas.models.courses import Course, Enrollment, Section
from canvas.models.gradebook import Assignment, AssignmentGroup, Submission
from canvas.models.groups import Group, GroupCategory, GroupMembership
from canvas.models.instances import Connection, Instance, Shard
from canvas.models.modules import Module, ModuleItem
from canvas.models.promises import Promise
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
    "Export",
    "Group",
    "GroupCategory",
    "GroupMembership",
    "Instance",
    "InstanceLimit",
    "Module",
    "ModuleItem",
    "Promise",
    "Scope",
    "Section",
    "Shard",
    "Submission",
    "Term",
    "User",
]
