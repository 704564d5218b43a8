"""Connects a Canvas: checks a token, probes what it may read and when it ends, stores it encrypted."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from canvas.client import CanvasClient
from canvas.errors import CanvasError, NotFound, NotPermitted, TokenRejected, Unavailable
from canvas.journal import testing, write_request
from canvas.models import Connection, Instance, Shard
from canvas.pages import Page
from canvas.resources import RESOURCES, Level
from canvas.throttle import Throttle
from easel.ids import InvalidId, split_id
from syncmetrics.events import NAME_CHARACTERS, RunLog

_TOKEN_SHARD = re.compile(r"(\d{1,9})~\w+")

ALLOWED, REFUSED, UNTRIED = "allowed", "refused", "not tried"


class ConnectError(ValueError):
    """The connection cannot be made as asked; the message says what to do."""


@dataclass(slots=True)
class Probe:
    """What Canvas says of a token. `capabilities` maps each resource to allowed, refused or not tried."""

    user_id: int | None = None
    user_name: str = ""
    account_admin: bool = False
    root_admin: bool = False
    capabilities: dict[str, str] = field(default_factory=dict)
    expiry: str = Connection.Expiry.UNKNOWN
    expires_at: datetime | None = None
    canvas_shard: int | None = None


def connect(
    *,
    name: str,
    base_url: str,
    token: str,
    owner: AbstractBaseUser | None = None,
    authoritative: bool = False,
    expires_at: datetime | None = None,
) -> tuple[Connection, Probe]:
    """Probe a token and store it as a connection; an existing one of that name gets the new token.

    `expires_at` is when the token ends, for where Canvas does not tell. Raises CanvasError when Canvas
    cannot be reached or does not take the token, ConnectError when the token cannot be one or the name
    belongs to another Canvas.
    """
    token = one_word(token)
    log = RunLog(connection=name[:NAME_CHARACTERS], user=owner.pk if owner else None)
    client = _client(base_url, token, log)
    existing = Connection.objects.filter(name=name).select_related("instance").first()
    if existing and existing.instance.base_url != client.origin:
        raise ConnectError(
            f"Connection {name!r} belongs to {existing.instance.base_url}: choose another --name for"
            f" {client.origin}."
        )
    with closing(client), testing(log):
        probe = probe_token(client, token)
    if expires_at and probe.expiry == Connection.Expiry.UNKNOWN:
        probe.expiry, probe.expires_at = Connection.Expiry.KNOWN, expires_at
    return _store(name, client.origin, token, owner, authoritative, probe), probe


def one_word(token: str) -> str:
    """Return a token without the spaces around it; ConnectError when it cannot be one."""
    words = token.split()
    if len(words) != 1:
        raise ConnectError("The token must be one word: copy it again from Canvas.")
    return words[0]


def findings(connection: Connection, probe: Probe) -> list[str]:
    """Return what a probe found, one sentence per line."""
    admin = ", account administrator" if probe.account_admin else ""
    words = {ALLOWED: "may read", REFUSED: "may not read"}
    found: dict[str, list[str]] = {}
    for name, said in probe.capabilities.items():
        found.setdefault(words.get(said, "could not try"), []).append(name)
    return [
        f"Token of Canvas user {probe.user_id}{admin}.",
        *(f"{word}: {', '.join(names)}" for word, names in found.items()),
        f"Token expires: {_expiry(connection)}.",
    ]


def _expiry(connection: Connection) -> str:
    if connection.token_expires_at:
        return f"{connection.token_expires_at:%Y-%m-%d %H:%M} UTC"
    if connection.token_expiry == Connection.Expiry.NEVER:
        return "never"
    return "unknown, Canvas does not tell"


def check_connection(connection: Connection) -> Probe:
    """Probe a stored token again and keep what Canvas says of it, a refusal too.

    An account admin's token that is no account admin's any more sees less than before, so it stops being
    authoritative. Raises CanvasError, ConnectError and TokenUnreadable as `connect` does.
    """
    token = connection.token
    log = RunLog(connection=connection.name[:NAME_CHARACTERS], user=connection.owner_id)
    try:
        with closing(_client(connection.instance.base_url, token, log)) as client, testing(log):
            probe = probe_token(client, token)
    except TokenRejected as error:
        _mark(connection, Connection.State.REJECTED, str(error))
        raise
    except Unavailable as error:
        _mark(connection, Connection.State.UNREACHABLE, str(error))
        raise
    seen: dict[str, Any] = {
        "capabilities": probe.capabilities,
        "canvas_user_id": probe.user_id,
        "account_admin": probe.account_admin,
        "authoritative": connection.authoritative and (probe.root_admin or not connection.account_admin),
    }
    if probe.expiry != Connection.Expiry.UNKNOWN:  # else what a person entered stays
        seen |= {"token_expiry": probe.expiry, "token_expires_at": probe.expires_at}
    _mark(connection, Connection.State.OK, **seen)
    return probe


def _mark(connection: Connection, state: str, message: str = "", **columns: Any) -> None:
    """Write what Canvas said, unless the token was replaced meanwhile: then it was said of another."""
    Connection.objects.filter(pk=connection.pk, token_ciphertext=connection.token_ciphertext).update(
        state=state, state_message=message, checked_at=timezone.now(), **columns
    )


def _client(base_url: str, token: str, log: RunLog) -> CanvasClient:
    """Return a client for a few requests, by somebody who waits for the answer."""
    return CanvasClient(
        base_url,
        token,
        throttle=Throttle(limit=2),
        connect_timeout=settings.CANVAS_CONNECT_TIMEOUT_SECONDS,
        read_timeout=settings.CANVAS_READ_TIMEOUT_SECONDS,
        max_tries=3,
        observer=partial(write_request, log),
        allow_insecure_hosts=settings.CANVAS_ALLOWED_INSECURE_HOSTS,
    )


def probe_token(client: CanvasClient, token: str) -> Probe:
    """Ask Canvas whose token it is, what it may read, and when it ends.

    Raises CanvasError when Canvas cannot be reached or does not take the token.
    """
    me = client.get_json("users/self").body
    if not isinstance(me, dict) or "id" not in me:
        raise ConnectError("What answers there does not speak Canvas's API: check the base URL.")
    probe = Probe(user_id=_local_id(me["id"]), user_name=str(me.get("name") or ""))
    accounts = _first_page(client, "accounts")
    records = [record for record in accounts.rows if isinstance(record, dict)] if accounts else []
    roots = [record for record in records if not record.get("parent_account_id")]
    probe.account_admin = bool(records)
    probe.root_admin = bool(roots)
    ids = {"account": str((roots or records)[0]["id"])} if records else {}
    if course := _some_course(client, ids):
        ids["course"] = course
    probe.capabilities = {name: _try(client, name, ids, admin=probe.account_admin) for name in RESOURCES}
    probe.expiry, probe.expires_at = _find_expiry(client, token)
    probe.canvas_shard = _find_shard(client, token, me)
    return probe


def _some_course(client: CanvasClient, ids: dict[str, str]) -> str | None:
    path = f"accounts/{ids['account']}/courses" if ids else "courses"
    page = _first_page(client, path)
    return (
        next((str(row["id"]) for row in page.rows if isinstance(row, dict) and "id" in row), None)
        if page
        else None
    )


def _first_page(client: CanvasClient, path: str, params: Any = ()) -> Page | None:
    try:
        return client.get_page(client.url(path, params))
    except (NotPermitted, NotFound):
        return None


def _try(client: CanvasClient, name: str, ids: dict[str, str], *, admin: bool) -> str:
    resource = RESOURCES[RESOURCES[name].within or name]
    listing = resource.listing if admin or not resource.own_listing else resource.own_listing
    if listing is None or (not admin and listing.level in (Level.ACCOUNT, Level.ROOT_ACCOUNT)):
        return REFUSED
    if any(f"{{{key}}}" in listing.path and key not in ids for key in ("account", "course")):
        return UNTRIED
    url = client.url(listing.path.format(**ids), listing.params)
    try:
        client.get_page(url.replace("per_page=100", "per_page=1"), wrapper=listing.wrapper)
    except (NotPermitted, NotFound):
        return REFUSED
    except CanvasError:
        return UNTRIED
    return ALLOWED


def _find_expiry(client: CanvasClient, token: str) -> tuple[str, datetime | None]:
    """Find the token in its user's list of tokens, where this Canvas shows one, by its visible hint."""
    try:
        page = _first_page(client, "users/self/user_generated_tokens")
    except CanvasError:
        return Connection.Expiry.UNKNOWN, None
    records = [record for record in page.rows if isinstance(record, dict)] if page else []
    ours = [record for record in records if _is_hint_of(record.get("token_hint"), token)]
    if len(ours) != 1:
        return Connection.Expiry.UNKNOWN, None
    text = ours[0].get("expires_at")
    if text is None:
        return Connection.Expiry.NEVER, None
    return Connection.Expiry.KNOWN, datetime.fromisoformat(text)


def _is_hint_of(hint: Any, token: str) -> bool:
    return isinstance(hint, str) and hint != "" and token.startswith(hint.removesuffix("..."))


def _find_shard(client: CanvasClient, token: str, me: dict[str, Any]) -> int | None:
    """Return Canvas's number of the site's home shard, which a token is spelled with, if it proves right.

    Canvas writes tokens as `shard~secret`; the number is the home shard's when the user answers to
    `shard~id` under the same local id.
    """
    match = _TOKEN_SHARD.fullmatch(token.strip())
    if not match:
        return None
    try:
        same = client.get_json(f"users/{match[1]}~{me['id']}").body
    except CanvasError:
        return None
    return int(match[1]) if isinstance(same, dict) and same.get("id") == me["id"] else None


@transaction.atomic
def _store(
    name: str, origin: str, token: str, owner: AbstractBaseUser | None, authoritative: bool, probe: Probe
) -> Connection:
    instance, made = Instance.objects.get_or_create(
        base_url=origin, defaults={"name": _free_name(urlsplit(origin).netloc)}
    )
    if made:
        Shard.allot(instance, None)
    if probe.canvas_shard is not None and instance.canvas_shard is None:
        instance.canvas_shard = probe.canvas_shard
        instance.save(update_fields=["canvas_shard"])
    connection = Connection.objects.filter(name=name).first() or Connection(name=name)
    is_new = connection.pk is None
    connection.instance = instance
    connection.token = token
    if owner is not None:
        connection.owner = owner  # type: ignore[assignment]  # the stubs want the concrete user model
    connection.authoritative = authoritative or probe.root_admin
    connection.account_admin = probe.account_admin
    connection.capabilities = probe.capabilities
    connection.canvas_user_id = probe.user_id
    connection.state = Connection.State.OK
    connection.state_message = ""
    connection.checked_at = timezone.now()
    connection.token_expiry = probe.expiry
    connection.token_expires_at = probe.expires_at
    connection.save()
    for path in settings.WHEN_CONNECTED if is_new else ():
        import_string(path)(connection)
    return connection


def _free_name(wanted: str) -> str:
    taken = Instance.objects.filter(name__startswith=wanted).count()
    return f"{wanted} {taken + 1}" if taken else wanted


def _local_id(value: Any) -> int | None:
    try:
        return split_id(value)[1]
    except InvalidId:
        return None
