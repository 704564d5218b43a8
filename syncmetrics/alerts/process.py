"""The process that sends one alert and ends: apprise alone with one URL, its sockets under guard.

`python -m syncmetrics.alerts.process` reads an order as JSON from stdin and writes an answer as JSON to
stdout. It knows neither Django nor the database. The parent ends it after some seconds, however slowly
an answer drips; nothing that the plugins bring stays in a worker; and the guard over sockets, an audit
hook of Python's, holds for this process only. The URL comes through the pipe, never by the command line.
"""

from __future__ import annotations

import importlib
import json
import logging
import socket
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import apprise

from easel.addresses import is_loopback, is_private
from easel.redaction import redact

CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True)
class Service:
    """Somewhere alerts may go: its name, apprise's module for it, and the schemes of its URLs."""

    name: str
    module: str
    schemes: tuple[str, ...]


SERVICES = (
    Service("Slack", "slack", ("slack",)),
    Service("Microsoft Teams", "workflows", ("workflow", "workflows")),
    Service("Discord", "discord", ("discord",)),
    Service("Google Chat", "google_chat", ("gchat",)),
    Service("Mattermost", "mattermost", ("mmost", "mmosts")),
    Service("Rocket.Chat", "rocketchat", ("rocket", "rockets")),
    Service("Matrix", "matrix", ("matrix", "matrixs")),
    Service("Zulip", "zulip", ("zulip",)),
    Service("Webex", "webexteams", ("webex", "wxteams")),
    Service("Telegram", "telegram", ("tgram",)),
    Service("Nextcloud Talk", "nextcloudtalk", ("nctalk", "nctalks")),
    Service("ntfy", "ntfy", ("ntfy", "ntfys")),
    Service("Gotify", "gotify", ("gotify", "gotifys")),
    Service("Pushover", "pushover", ("pover",)),
    Service("PagerDuty", "pagerduty", ("pagerduty",)),
    Service("Opsgenie", "opsgenie", ("opsgenie",)),
    Service("Splunk On-Call", "splunk", ("splunk", "victorops")),
    Service("ilert", "ilert", ("ilert",)),
    Service("Better Stack", "betterstack", ("betterstack",)),
    Service("incident.io", "incidentio", ("incidentio",)),
    Service("E-mail", "email", ("mailto", "mailtos")),
    Service("Webhook (JSON)", "custom_json", ("json", "jsons")),
    Service("Webhook (XML)", "custom_xml", ("xml", "xmls")),
    Service("Webhook (form)", "custom_form", ("form", "forms")),
)
"""The only services whose code is loaded: apprise has others, that run commands or write to a desktop."""

OWN_HOST = frozenset({"email", "custom_json", "custom_xml", "custom_form"})
"""Modules in whose URLs the host is no secret; in many others a token stands in its place."""

REFUSED = frozenset(
    {
        "attach",
        "attachment",
        "config",
        "e2ee",
        "file_url",
        "optional",
        "pgp",
        "pgpprv",
        "pgppub",
        "redirect",
        "store",
        "template",
        "verify",
        "wkd",
    }
)
"""Parameters of a URL that read files, fetch addresses, drop the check of certificates or hide failures."""

STARTS_SOMETHING = ("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty.")


class Unsendable(Exception):
    """The URL cannot be used, or nothing was sent; the text says why and holds no secret."""


def main() -> None:
    """Do what stdin says."""
    order = json.load(sys.stdin)
    try:
        answer = {"service": carry_out(**order), "error": ""}
    except Unsendable as error:
        answer = {"service": "", "error": str(error)}
    json.dump(answer, sys.stdout)


def carry_out(
    url: str, allowed_hosts: Collection[str], message: Mapping[str, str] | None, console_url: str
) -> str:
    """Check a URL and, where there is a message, send it; return the name of the service.

    `message` has `title`, `body` and `type` (failure, success or info). Raises `Unsendable`.
    """
    reasons = _Reasons()
    plugin, service = open_service(url, allowed_hosts, console_url)
    if message:
        guard = Guard(_vouched(plugin, allowed_hosts))
        sys.addaudithook(guard)
        sender = apprise.Apprise(asset=plugin.asset)
        sender.add(plugin)
        sent = sender.notify(
            title=message["title"],
            body=message["body"],
            notify_type=apprise.NotifyType(message["type"]),
            body_format=apprise.NotifyFormat.TEXT,
        )
        if not sent:
            raise Unsendable(guard.refusal or reasons.text(url) or "The service did not accept the message.")
    return service.name


def open_service(url: str, allowed_hosts: Collection[str], console_url: str) -> tuple[Any, Service]:
    """Return the plugin of a URL, made safe, and its service; `Unsendable` for one that may not be used."""
    kind, given, service = _parse(url)
    if refused := sorted(REFUSED & {str(name).lower() for name in given.get("qsd", {})}):
        raise Unsendable(f"Leave {' and '.join(refused)} out of the URL: alerts do not allow it.")
    given |= {"cto": CONNECT_SECONDS, "rto": READ_SECONDS, "retry": 0, "wait": 0, "redirect": False}
    given["asset"] = apprise.AppriseAsset(
        app_id="Easel",
        app_desc="Easel",
        app_url=console_url,
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
        pgp_autogen=False,
        pem_autogen=False,
    )
    try:
        plugin = kind(**given)
    except Exception:  # each plugin complains in its own way of what its URL lacks, and quotes the URL
        raise Unsendable(f"That is not a complete URL for {service.name}: see docs/alerts.md.") from None
    _check_address(plugin, given["schema"], allowed_hosts)
    return plugin, service


def _parse(url: str) -> tuple[Any, dict[str, Any], Service]:
    """Return the class for a URL, what it reads from the URL, and the service; `Unsendable` for no service.

    An https:// address as Slack, Discord or Teams show it is read by the service it belongs to.
    """
    url = url.strip().replace("/#", "/%23")  # apprise's own entrance does so too: #room is no fragment
    scheme = url.partition(":")[0].lower()
    given_as_shown = scheme == "https"
    for service in SERVICES:
        if given_as_shown or scheme in service.schemes:
            kind = _class_of(service)
            try:
                given = kind.parse_native_url(url) if given_as_shown else kind.parse_url(url)
            except Exception:  # plugins parse by hand: whatever they stumble over, the URL is at fault
                given = None
            if given and given.get("schema") in service.schemes:
                return kind, given, service
            if not given_as_shown:
                raise Unsendable(f"That is not a complete URL for {service.name}: see docs/alerts.md.")
    raise Unsendable(
        f"Alerts go to {', '.join(one.name for one in SERVICES)}: give the URL of one of them as"
        " docs/alerts.md shows, for example slack://TokenA/TokenB/TokenC."
    )


def _class_of(service: Service) -> Any:
    module = importlib.import_module(f"apprise.plugins.{service.module}")
    return next(
        found
        for name, found in vars(module).items()
        if name.startswith("Notify") and getattr(found, "__module__", "").startswith(module.__name__)
    )


def _check_address(plugin: Any, scheme: str, allowed_hosts: Collection[str]) -> None:
    host = _host(plugin)
    if _vouched(plugin, allowed_hosts):
        return
    if scheme in _names(plugin.protocol):
        raise Unsendable(
            f"{scheme}:// sends in the clear: use {scheme}s://, or list {host} in"
            " ALERT_ALLOWED_INSECURE_HOSTS."
        )
    if getattr(plugin, "secure_mode", "") == "insecure":
        raise Unsendable(
            f"mode=insecure sends in the clear: leave it out, or list {host} in ALERT_ALLOWED_INSECURE_HOSTS."
        )
    if is_private(host):
        raise Unsendable(_private(host))


def _host(plugin: Any) -> str:
    """Return the host that a plugin connects to, where the URL says so."""
    return str(getattr(plugin, "smtp_host", "") or plugin.host or "").lower().strip("[]")


def _vouched(plugin: Any, allowed_hosts: Collection[str]) -> bool:
    """Tell whether the operator vouches for wherever the host leads: loopback, or a listed one."""
    host = _host(plugin)
    return is_loopback(host) or not {host, f"{host}:{plugin.port}"}.isdisjoint(
        one.strip().lower() for one in allowed_hosts
    )


def _names(protocol: Any) -> tuple[str, ...]:
    return (protocol,) if isinstance(protocol, str) else tuple(protocol or ())


def _private(host: str) -> str:
    return (
        f"{host} is an address in a private network: check the URL, or list its host in"
        " ALERT_ALLOWED_INSECURE_HOSTS if the service is really there."
    )


class Guard:
    """An audit hook: no other process, and no connection into a private network by a public name."""

    def __init__(self, vouched: bool) -> None:
        """Let connections go anywhere if the host is vouched for; to proxies of the environment always."""
        self._vouched = vouched
        self._proxies = _addresses_of_proxies()
        self.refusal = ""  # the libraries between make of it that something went wrong

    def __call__(self, event: str, details: tuple[Any, ...]) -> None:
        """Refuse what is not sending."""
        if event == "socket.connect":
            self._check(details[1])
        elif event.startswith(STARTS_SOMETHING):
            self.refusal = "The service wanted to start a program: that is not allowed."
            raise OSError(self.refusal)

    def _check(self, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if self._vouched or host in self._proxies:
            return
        if not host or is_private(str(host)):
            self.refusal = _private(str(host) or "A local socket")
            raise OSError(self.refusal)


def _addresses_of_proxies() -> set[str]:
    found = set()
    for proxy in getproxies().values():
        host = urlsplit(proxy if "://" in proxy else f"http://{proxy}").hostname
        if host:
            try:
                found |= {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
            except OSError:
                continue  # a proxy nobody finds is no way out either
    return found


class _Reasons(logging.Handler):
    """Keeps what apprise last warned of: the only place where it says why nothing was sent."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        logger = logging.getLogger("apprise")
        logger.handlers, logger.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()

    def text(self, url: str) -> str:
        """Return it without any part of the URL that is a secret."""
        return redact(self.last, secrets_of(url))


def secrets_of(url: str) -> set[str]:
    """Return the parts of a URL that no error may quote: all but its scheme and host."""
    parts = urlsplit(url if "://" in url else f"unknown://{url}")
    netloc = parts.netloc.rpartition("@")[0]
    pieces = [url, parts.path, parts.query, netloc, *netloc.split(":"), *parts.path.split("/")]
    pieces += [value for pair in parts.query.split("&") for value in pair.split("=")[1:]]
    if not any(parts.scheme in one.schemes for one in SERVICES if one.module in OWN_HOST):
        pieces.append(parts.netloc)
    return {text for piece in pieces for text in (piece, unquote(piece)) if len(text) >= SHORTEST_SECRET}


if __name__ == "__main__":
    main()
