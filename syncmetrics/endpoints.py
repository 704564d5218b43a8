"""How a JSON endpoint is declared: its parameters and answer are types, read here and in the document.

An app that has an endpoint writes one `Endpoint`; `config.api` authenticates, limits, serves and documents
all of them. Endpoints only read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import NoneType
from typing import Any, get_args, get_origin

import msgspec
from django.db.models import QuerySet

SHOWN_CHARACTERS = 100  # of what was given


class Problem(msgspec.Struct):
    """What every answer but 200 is: one sentence that says what to do."""

    error: str


class BadParameter(ValueError):
    """A parameter that there is not, or that cannot be what was given; it says so in a sentence."""

    @classmethod
    def value(cls, name: str, given: object, what: str) -> BadParameter:
        """Return that of a value; `what` says what it must be: `a number of days.`"""
        return cls(f"`{name}` cannot be {_shown(given)}: it is {what}")


def _shown(given: object) -> str:
    text = str(given)
    return f"{text[:SHOWN_CHARACTERS]!r}…" if len(text) > SHOWN_CHARACTERS else repr(given)


class NotThere(LookupError):
    """What was asked for does not exist, or the person may not see it."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, as far as an endpoint needs to know.

    `limit` keeps the rows that the person may see. `connections` gives the connections they may see, name
    to key. `limited` tells whether there are others. `address` is that of the call with other parameters.
    """

    limit: Callable[[QuerySet[Any]], QuerySet[Any]]
    connections: Callable[[], Mapping[str, int]]
    limited: bool
    address: Callable[..., str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address under /api/: `path` as Django spells it, `query` the parameters, `answer` the JSON.

    `respond(viewer, query, **parts_of_the_path)` returns plain JSON values of the form of `answer`; it may
    raise BadParameter and NotThere. Who has `permission` may ask.
    """

    path: str
    name: str
    what: str
    query: type[msgspec.Struct]
    answer: Any
    respond: Callable[..., Any]
    permission: str = "syncmetrics.view_syncrun"
    parts: Mapping[str, str] = field(default_factory=dict)
    """What the parts of the path are, in words."""


def read_query(query: type[msgspec.Struct], given: Mapping[str, list[str]]) -> msgspec.Struct:
    """Return the parameters of a call; BadParameter for one that is unknown, given twice or cannot be.

    Lists are separated by commas. What a parameter must be is its description in the type.
    """
    fields = {one.encode_name: one for one in msgspec.structs.fields(query)}
    values = {}
    for name, texts in given.items():
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise BadParameter(f"There is no parameter {_shown(name)}; known are: {known}.")
        if len(texts) != 1:
            raise BadParameter.value(name, texts, "given once.")
        values[fields[name].name] = _read(fields[name], texts[0])
    return query(**values)


def _read(parameter: msgspec.structs.FieldInfo, text: str) -> Any:
    wanted = wanted_type(parameter)
    try:
        return msgspec.convert(text.split(",") if is_list(wanted) else text, wanted, strict=False)
    except msgspec.ValidationError:
        raise BadParameter.value(parameter.encode_name, text, description(wanted)) from None


def wanted_type(parameter: msgspec.structs.FieldInfo) -> Any:
    """Return the type of a parameter that is given: without the None that stands for one that is not."""
    parts = get_args(parameter.type)
    return next(one for one in parts if one is not NoneType) if NoneType in parts else parameter.type


def is_list(wanted: Any) -> bool:
    """Tell whether a parameter holds several values."""
    return get_origin(getattr(wanted, "__origin__", wanted)) is list


def description(wanted: Any) -> str:
    """Return what a parameter must be, a sentence without its subject: `a number of days.`"""
    texts = (one.description for one in wanted.__metadata__ if one.description)
    return next(texts, "something else.")


EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9990, 1, 1, tzinfo=UTC)


def read_moment(name: str, text: str | None, what: str) -> datetime | None:
    """Return the moment that a parameter names, UTC unless it says otherwise; a date is its midnight."""
    if text is None:
        return None
    try:
        # A plus sign that was not percent-encoded arrives as a space.
        found = datetime.fromisoformat(text if "T" not in text else text.replace(" ", "+"))
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        if not EARLIEST <= found <= LATEST:
            raise ValueError
    except (ValueError, OverflowError):
        raise BadParameter.value(name, text, what) from None
    return found


# --- the document ---------------------------------------------------------------------------------

_PARTS = {"int": {"type": "integer", "minimum": 0}, "str": {"type": "string"}}
_REFUSALS = {
    "400": "A parameter cannot be what was given.",
    "401": "Nobody is logged in, and no valid token came.",
    "403": "The person may not see this.",
}
_GONE = {"404": "There is no such thing, or the person may not see it."}


def openapi(
    endpoints: Iterable[Endpoint], *, base: str, title: str, version: str, what: str
) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of some endpoints (https://spec.openapis.org/oas/v3.1.0)."""
    endpoints = list(endpoints)
    answers, schemas = msgspec.json.schema_components(
        [Problem, *(one.answer for one in endpoints)], ref_template="#/components/schemas/{name}"
    )
    problem, *found = answers
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": what},
        "paths": {
            base + _template(one.path): {"get": _operation(one, answer, problem)}
            for one, answer in zip(endpoints, found, strict=True)
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
            },
        },
        "security": [{"token": []}, {"session": []}],
    }


def _template(path: str) -> str:
    """Return a path as OpenAPI spells it: `syncs/{pk}/` for `syncs/<int:pk>/`."""
    return "/".join(f"{{{_part(one)[1]}}}" if one.startswith("<") else one for one in path.split("/"))


def _part(spelled: str) -> tuple[str, str]:
    kind, _, name = spelled.strip("<>").rpartition(":")
    return kind or "str", name


def _operation(endpoint: Endpoint, answer: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    refusals = _REFUSALS | (_GONE if endpoint.parts else {})
    return {
        "operationId": endpoint.name,
        "summary": endpoint.what,
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint.query)],
        "responses": {
            "200": {"description": "The answer.", "content": {"application/json": {"schema": answer}}},
            **{
                status: {"description": text, "content": {"application/json": {"schema": problem}}}
                for status, text in refusals.items()
            },
        },
    }


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    found = [_part(one) for one in endpoint.path.split("/") if one.startswith("<")]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": endpoint.parts[name],
            "schema": _PARTS[kind],
        }
        for kind, name in found
    ]


def _query_parameters(query: type[msgspec.Struct]) -> list[dict[str, Any]]:
    return [_query_parameter(one, wanted_type(one)) for one in msgspec.structs.fields(query)]


def _query_parameter(parameter: msgspec.structs.FieldInfo, wanted: Any) -> dict[str, Any]:
    schema = msgspec.json.schema(wanted)
    text = schema.pop("description")
    if parameter.default not in (None, msgspec.NODEFAULT):
        schema["default"] = parameter.default
    return {
        "name": parameter.encode_name,
        "in": "query",
        "required": False,
        "description": text[:1].upper() + text[1:],
        "schema": schema,
        **({"style": "form", "explode": False} if is_list(wanted) else {}),
    }
