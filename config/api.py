"""The JSON API: who may ask, the addresses of every app's endpoints, and the document of them all."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, JsonResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from canvas.access import allowed_instances, limit
from canvas.models import Connection
from logmonitor.transfers.api import ENDPOINTS as TRANSFERS
from syncmetrics.api import ENDPOINTS as SYNCS
from syncmetrics.endpoints import BadParameter, Endpoint, NotThere, Viewer, openapi, read_query
from syncmetrics.tokens import person_of_token

BASE = "/api/"
ENDPOINTS: tuple[Endpoint, ...] = (*SYNCS, *TRANSFERS)
"""Every endpoint of the project; a further app adds its own tuple."""

Person = User | AnonymousUser


class Refused(Exception):
    """A call that is not answered: status, sentence, further headers."""

    def __init__(self, status: int, said: str, **headers: str) -> None:
        self.status, self.headers = status, headers
        super().__init__(said)


def serve(request: HttpRequest, *, endpoint: Endpoint, **parts: Any) -> JsonResponse:
    """Answer a call: 200 and JSON of the declared form, or an error and the sentence that says why."""
    try:
        person = _person(request, endpoint)
        query = read_query(endpoint.query, dict(request.GET.lists()))
        answer = endpoint.respond(_viewer(request, person), query, **parts)
    except Refused as refused:
        return _error(refused.status, str(refused), refused.headers)
    except BadParameter as bad:
        return _error(400, str(bad))
    except NotThere as gone:
        return _error(404, str(gone))
    return JsonResponse(answer)


def _error(status: int, said: str, headers: dict[str, str] | None = None) -> JsonResponse:
    return JsonResponse({"error": said}, status=status, headers=headers or {})


def _person(request: HttpRequest, endpoint: Endpoint) -> Person:
    """Return who asks, by session or token; Refused for nobody, for writing, and for want of the right."""
    if request.method not in ("GET", "HEAD"):
        raise Refused(405, "This address is only read: use GET.", Allow="GET, HEAD")
    person = _caller(request)
    if not (person.is_active and person.is_staff):
        raise Refused(
            401,
            "Nobody is logged in: log in to the console, or send an API token as `Authorization: Bearer …`.",
            **{"WWW-Authenticate": 'Bearer realm="Easel"'},
        )
    if not person.has_perm(endpoint.permission):
        raise Refused(
            403, f"You may not see this: ask an administrator for the permission {endpoint.permission}."
        )
    return person


def _caller(request: HttpRequest) -> Person:
    header = request.headers.get("Authorization")
    if header is None:
        return request.user
    scheme, _, token = header.partition(" ")
    known = person_of_token(token.strip()) if scheme.lower() == "bearer" else None
    if known is None:
        raise Refused(
            401,
            "This token is not known, or is no longer valid: make a new one in the console, under API tokens,"
            " and send it as `Authorization: Bearer …`.",
            **{"WWW-Authenticate": 'Bearer realm="Easel", error="invalid_token"'},
        )
    return known


def _viewer(request: HttpRequest, person: Person) -> Viewer:
    def connections() -> dict[str, int]:
        return dict(limit(Connection.objects.all(), person).values_list("name", "pk"))

    def address(**changes: Any) -> str:
        query = request.GET.copy()
        for name, value in changes.items():
            query[name] = str(value)
        return f"{request.path}?{query.urlencode()}"

    return Viewer(
        limit=lambda rows: limit(rows, person),
        connections=connections,
        limited=allowed_instances(person) is not None,
        address=address,
    )


def document(request: HttpRequest) -> JsonResponse:
    """Return the OpenAPI document; it says nothing of this installation, so anybody may read it."""
    if request.method not in ("GET", "HEAD"):
        return _error(405, "This address is only read: use GET.", {"Allow": "GET, HEAD"})
    return JsonResponse(describe(ENDPOINTS))


def unknown(request: HttpRequest, rest: str) -> JsonResponse:
    """Answer for an address that there is not in the same form as all others."""
    return _error(404, f"There is nothing here: {reverse('api:document')} lists what there is.")


def describe(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Return the OpenAPI document of some endpoints."""
    return openapi(
        endpoints,
        base=BASE,
        title="Easel",
        version=_version(),
        what="What the syncs of this Easel did, and who transferred what."
        " Read only; lists go on at the address in `next`.",
    )


def _version() -> str:
    try:
        return version("easel")
    except PackageNotFoundError:  # run from a checkout, as ever
        return "0.1.0"


def _view(endpoint: Endpoint) -> Any:
    # Nothing here changes anything, so that a page of another site could make nobody do anything by it;
    # and a script that posts is told in JSON that it cannot.
    return csrf_exempt(never_cache(partial(serve, endpoint=endpoint)))


def urls(endpoints: Iterable[Endpoint] = ENDPOINTS) -> list[URLPattern]:
    """Return the addresses of the API, each under the name `api:<endpoint>`."""
    return [
        path("openapi.json", csrf_exempt(never_cache(document)), name="document"),
        *(path(one.path, _view(one), name=one.name) for one in endpoints),
        path("<path:rest>/", csrf_exempt(never_cache(unknown))),
    ]
