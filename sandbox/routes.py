"""The table of routes: one line for each endpoint this Canvas has."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from sandbox import catalog, coursework, errors, groups, modules, people
from sandbox.call import Call, Listing
from sandbox.ids import Row

PREFIX = "/api/v1"
Handler = Callable[[Call], "Listing | Row"]


@dataclass(frozen=True, slots=True)
class Route:
    """A GET endpoint; its pattern, as Canvas's documentation writes it, is also its scope."""

    pattern: str
    handler: Handler

    @property
    def scope(self) -> str:
        """What a token with scopes must name."""
        return f"url:GET|{PREFIX}{self.pattern}"


ROUTES = (
    Route("/users/self", people.myself),
    Route("/users/:user_id", people.one_user),
    Route("/users/:user_id/user_generated_tokens", people.user_tokens),
    Route("/users/:user_id/tokens/:token_id", people.one_token),
    Route("/users/:user_id/courses", catalog.user_courses),
    Route("/users/:user_id/enrollments", people.user_enrollments),
    Route("/accounts", catalog.my_accounts),
    Route("/accounts/:account_id", catalog.one_account),
    Route("/accounts/:account_id/sub_accounts", catalog.sub_accounts),
    Route("/accounts/:account_id/terms", catalog.terms),
    Route("/accounts/:account_id/terms/:term_id", catalog.one_term),
    Route("/accounts/:account_id/courses", catalog.account_courses),
    Route("/accounts/:account_id/courses/:course_id", catalog.one_course),
    Route("/accounts/:account_id/users", people.account_users),
    Route("/accounts/:account_id/enrollments/:enrollment_id", people.one_enrollment),
    Route("/courses", catalog.my_courses),
    Route("/courses/:course_id", catalog.one_course),
    Route("/courses/:course_id/sections", catalog.course_sections),
    Route("/courses/:course_id/sections/:section_id", catalog.one_section),
    Route("/courses/:course_id/users", people.course_users),
    Route("/courses/:course_id/search_users", people.course_users),
    Route("/courses/:course_id/enrollments", people.course_enrollments),
    Route("/courses/:course_id/assignment_groups", coursework.assignment_groups),
    Route("/courses/:course_id/assignment_groups/:group_id", coursework.one_assignment_group),
    Route("/courses/:course_id/assignment_groups/:group_id/assignments", coursework.group_assignments),
    Route("/courses/:course_id/assignments", coursework.course_assignments),
    Route("/courses/:course_id/assignments/:assignment_id", coursework.one_assignment),
    Route("/courses/:course_id/assignments/:assignment_id/submissions", coursework.assignment_submissions),
    Route("/courses/:course_id/assignments/:assignment_id/submissions/:user_id", coursework.one_submission),
    Route("/courses/:course_id/students/submissions", coursework.course_submissions),
    Route("/courses/:course_id/modules", modules.course_modules),
    Route("/courses/:course_id/modules/:module_id", modules.one_module),
    Route("/courses/:course_id/modules/:module_id/items", modules.module_items),
    Route("/courses/:course_id/modules/:module_id/items/:item_id", modules.one_item),
    Route("/courses/:course_id/group_categories", groups.course_categories),
    Route("/courses/:course_id/groups", groups.course_groups),
    Route("/group_categories/:group_category_id", groups.one_category),
    Route("/group_categories/:group_category_id/groups", groups.category_groups),
    Route("/groups/:group_id", groups.one_group),
    Route("/groups/:group_id/memberships", groups.memberships),
    Route("/groups/:group_id/memberships/:membership_id", groups.one_membership),
    Route("/groups/:group_id/users/:user_id", groups.membership_of_user),
    Route("/sections/:section_id", catalog.one_section),
    Route("/sections/:section_id/enrollments", people.section_enrollments),
    Route(
        "/sections/:section_id/assignments/:assignment_id/submissions",
        coursework.section_assignment_submissions,
    ),
    Route(
        "/sections/:section_id/assignments/:assignment_id/submissions/:user_id",
        coursework.one_section_submission,
    ),
    Route("/sections/:section_id/students/submissions", coursework.section_submissions),
)


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r":(\w+)", r"(?P<\1>[^/]+)", pattern))


_COMPILED = tuple((_compile(route.pattern), route) for route in ROUTES)


def resolve(path: str) -> tuple[Route, dict[str, str]]:
    """The route of a path below `/api/v1` and its placeholders' values; raises Refusal (404)."""
    for pattern, route in _COMPILED:
        match = pattern.fullmatch(path.rstrip("/"))
        if match:
            return route, {name: unquote(value) for name, value in match.groupdict().items()}
    raise errors.not_found()
