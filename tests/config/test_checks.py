"""System checks: each wrong setting is found, says what to do, and a sound installation is silent."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import CheckMessage, run_checks
from django.core.checks.registry import registry
from django.db import connection

from config.checks import AT_LEAST, FIRST_SOUND_SQLITE


def found(**changes: Any) -> list[CheckMessage]:
    """Return what our own checks say."""
    return [message for message in run_checks(**changes) if (message.id or "").startswith("easel.")]


def test_sound_settings_are_silent():
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"DEBUG": True, "HTTPS": True}, "easel.E003", "DEBUG=false"),
        ({"HTTPS": False, "SECURE_HSTS_SECONDS": 60}, "easel.W001", "HTTPS=true"),
        ({"CANVAS_CONCURRENCY": 12}, "easel.W002", "Keep the default"),
        ({"CANVAS_TOKEN_KEYS": ["short"]}, "easel.E002", "Fernet.generate_key()"),
        ({"CANVAS_TOKEN_KEYS": [Fernet.generate_key().decode(), ""]}, "easel.E002", "base64"),
        ({"SYNC_LEASE_SECONDS": 29}, "easel.E001", "taken for lost"),
        ({"CANVAS_CONCURRENCY": 0}, "easel.E001", "in flight"),
        ({"CONSOLE_URL": "easel.example.edu"}, "easel.E005", "https://easel.example.edu"),
        ({"ALERT_SEND_SECONDS": 1}, "easel.E001", "second to start"),
        ({"INCIDENT_DAYS": 0}, "easel.E001", "deleted"),
        ({"CANVAS_CURSOR_OVERLAP_SECONDS": -1}, "easel.E001", "skip"),
    ],
)
def test_wrong_setting_is_found_and_the_hint_says_what_to_do(
    settings: Any, changes: dict[str, Any], check: str, words: str
):
    for name, value in changes.items():
        setattr(settings, name, value)
    (message,) = found()
    assert message.id == check
    assert words in (message.hint or "")
    assert message.is_serious(40) == ("E" in check.partition(".")[2])
    assert all(name.removeprefix("SECURE_") in f"{message.msg}{message.hint}" for name in changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"DEBUG": True, "HTTPS": False},
        {"DEBUG": False, "HTTPS": True, "SECURE_HSTS_SECONDS": 60},
        {"CANVAS_CONCURRENCY": 11},
        {"CANVAS_TOKEN_KEYS": [Fernet.generate_key().decode() for _ in range(3)]},
        {"SYNC_LEASE_SECONDS": 30},
    ],
)
def test_settings_at_the_edge_are_accepted(settings: Any, changes: dict[str, Any]):
    for name, value in changes.items():
        setattr(settings, name, value)
    assert found() == []


@pytest.mark.parametrize("limit", AT_LEAST, ids=lambda limit: limit.setting)
def test_every_minimum_is_held(settings: Any, limit: Any):
    setattr(settings, limit.setting, limit.minimum - 0.01)
    (message,) = found()
    assert limit.setting in message.msg
    assert message.hint == limit.why


def test_bad_key_is_counted_and_not_shown(settings: Any):
    settings.CANVAS_TOKEN_KEYS = [Fernet.generate_key().decode(), "hunter2"]
    (message,) = found()
    assert message.msg.startswith("Key 2 ")
    assert "hunter2" not in f"{message}"


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("version", "warned"), [((3, 40, 1), True), (FIRST_SOUND_SQLITE, False), ((3, 52, 0), False)]
)
def test_sqlite_with_the_wal_bug_is_named_where_a_database_is_looked_at(
    db: None, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], warned: bool
):
    monkeypatch.setattr(connection.Database, "sqlite_version_info", version)
    assert found() == []  # not at every command
    messages = found(databases=["default"])
    assert [message.id for message in messages] == ["easel.W003"] * warned
    if warned:
        assert messages[0].msg.startswith("SQLite 3.40.1 ")
        assert "PostgreSQL" in (messages[0].hint or "")


@pytest.mark.postgresql
def test_postgresql_has_no_sqlite_to_warn_of(db: None, monkeypatch: pytest.MonkeyPatch):
    assert found(databases=["default"]) == []


def test_a_sender_that_mail_servers_refuse_is_warned_of(settings: Any):
    settings.MAIL_SERVER_SET = True
    (message,) = found()
    assert message.id == "easel.W005"
    assert "set DEFAULT_FROM_EMAIL" in (message.hint or "")
    settings.DEFAULT_FROM_EMAIL = "easel@example.edu"
    assert found() == []


def test_every_check_is_registered_once():
    names = [check.__name__ for check in registry.get_checks() if check.__module__ == "config.checks"]
    assert len(names) == len(set(names)) == 8


@pytest.mark.sqlite
def test_command_refuses_to_start_with_a_wrong_setting(
    manage: Callable[..., subprocess.CompletedProcess[str]],
):
    done = manage("check", env={"SYNC_LEASE_SECONDS": "5"})
    assert done.returncode == 1
    assert "easel.E001" in done.stderr
    assert "SYNC_LEASE_SECONDS is 5, below 30" in done.stderr
