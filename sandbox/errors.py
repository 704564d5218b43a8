"""The refusals Canvas answers with, and their bodies (canvas_contract.md, part 3)."""

from __future__ import annotations

from typing import Any

BEARER = (("WWW-Authenticate", 'Bearer realm="canvas-lms"'),)


class Refusal(Exception):
    """An answer that is no data: a status, a JSON body and perhaps more headers."""

    def __init__(self, status: int, body: Any, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers


def _messages(text: str) -> dict[str, Any]:
    return {"errors": [{"message": text}]}


def unauthenticated() -> Refusal:
    """No token was sent."""
    body = {"status": "unauthenticated", **_messages("user authorization required")}
    return Refusal(401, body, BEARER)


def invalid_token() -> Refusal:
    """The token is unknown, expired or deleted."""
    return Refusal(401, _messages("Invalid access token."), BEARER)


def insufficient_scopes() -> Refusal:
    """The token is good, but not for this endpoint: no WWW-Authenticate header."""
    return Refusal(401, _messages("Insufficient scopes on access token."))


def forbidden(status: int = 403) -> Refusal:
    """The user may not do this; 401 on a Canvas without the newer error statuses."""
    return Refusal(
        status, {"status": "unauthorized", **_messages("user not authorized to perform that action")}
    )


def not_found() -> Refusal:
    """Unknown or deleted."""
    return Refusal(404, _messages("The specified resource does not exist."))


def bad_request(body: Any) -> Refusal:
    """A parameter has a wrong value; the shape of the body differs by controller."""
    return Refusal(400, body)


def server_error() -> Refusal:
    """Canvas failed."""
    body = {"errors": [{"message": "An error occurred.", "error_code": "internal_server_error"}]}
    return Refusal(500, {**body, "error_report_id": 1})
