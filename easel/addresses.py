"""Hosts by where they are: this machine, a private network, or the public internet."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def is_private(host: str) -> bool:
    """Say whether `host` is an address (not a name) that is not on the public internet."""
    address = _address(host)
    return address is not None and not address.is_global


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
