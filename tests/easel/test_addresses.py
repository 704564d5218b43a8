"""Hosts are told apart by where they are."""

from __future__ import annotations

import pytest

from easel.addresses import is_loopback, is_private


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["example.edu", "10.0.0.1", "localhost.example.edu", "2130706433", ""])
def test_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "192.168.1.1", "169.254.169.254", "fe80::1%eth0", "::ffff:10.0.0.1", "127.0.0.1", "0.0.0.0"],
)
def test_private_addresses(host: str) -> None:
    assert is_private(host)


@pytest.mark.parametrize("host", ["93.184.216.34", "2606:2800:220:1::1", "example.edu", ""])
def test_public_addresses_and_names(host: str) -> None:
    assert not is_private(host)
