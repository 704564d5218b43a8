"""Connecting a Canvas: what is checked, found out, stored, and what is refused with which words."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection as database

from canvas.models import Connection, Instance, Shard
from tests.canvas.conftest import Ended, EventfulSandbox
from tests.canvas.scripted import Reply, scripted_canvas

Command = Callable[..., Ended]
Connect = Callable[..., Ended]

pytestmark = pytest.mark.usefixtures("secrecy")


@pytest.fixture
def connect_with(command: Command, canvas: EventfulSandbox, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Return a function that runs `connect_canvas` with a token and further options."""

    def run(token: str, *options: str, name: str = "main", base_url: str = canvas.url) -> Ended:
        monkeypatch.setenv("THE_TOKEN", token)
        arguments = ("--name", name, "--base-url", base_url, "--token-env", "THE_TOKEN", *options)
        return command("connect_canvas", *arguments)

    return run


def assert_nothing_stored() -> None:
    assert not Connection.objects.exists()
    assert not Instance.objects.exists()


# --- good tokens -------------------------------------------------------------------------------------


def test_administrator_is_authoritative_and_everything_is_said(
    canvas: EventfulSandbox, connect_with: Connect
) -> None:
    ended = connect_with(canvas.token)
    assert ended.status == 0
    year = datetime.now(UTC).year + 1
    assert ended.out.splitlines() == [
        "Token of Canvas user 1001, account administrator.",
        "  may read: accounts, terms, users, courses, sections, enrollments, assignment_groups,"
        " assignments, submissions, modules, module_items, group_categories, groups, group_memberships",
        f"Token expires: {year}-12-31 23:59 UTC.",
        f"Connected main to {canvas.url}.",
    ]
    connection = Connection.objects.get()
    assert (connection.authoritative, connection.account_admin) == (True, True)
    assert (connection.state, connection.canvas_user_id) == (Connection.State.OK, 1001)
    assert connection.token_expires_at == datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert connection.token == canvas.token
    assert connection.instance.canvas_shard == 7
    assert Shard.objects.get().canvas_shard is None


def test_token_is_stored_encrypted(canvas: EventfulSandbox, connect_with: Connect) -> None:
    connect_with(canvas.token)
    with database.cursor() as cursor:
        cursor.execute("SELECT * FROM canvas_connection")
        assert canvas.token.partition("~")[2] not in repr(cursor.fetchall())


@pytest.mark.parametrize(
    ("name", "says", "authoritative", "expiry"),
    [
        ("subaccount_admin", "account administrator", False, "never"),
        ("teacher", "may not read: accounts, terms", False, "never"),
        ("student", "may not read: accounts, terms, users", False, "never"),
        ("narrow", "may not read: accounts, terms", False, "unknown, Canvas does not tell"),
    ],
)
def test_lesser_tokens_are_taken_for_what_they_are(
    name: str,
    says: str,
    authoritative: bool,
    expiry: str,
    canvas: EventfulSandbox,
    connect_with: Connect,
) -> None:
    ended = connect_with(canvas.tokens[name])
    assert ended.status == 0
    assert says in ended.out
    assert f"Token expires: {expiry}" in ended.out
    assert "Not authoritative: nothing is marked deleted because this token does not see it." in ended.out
    assert Connection.objects.get().authoritative is authoritative


def test_authoritative_expiry_and_owner_as_told(canvas: EventfulSandbox, connect_with: Connect) -> None:
    owner = get_user_model().objects.create_user("ada")
    ended = connect_with(
        canvas.tokens["narrow"], "--authoritative", "--owner", "ada", "--expires-at", "2030-01-31T12:00+00:00"
    )
    assert ended.status == 0
    assert "Not authoritative" not in ended.out
    connection = Connection.objects.get()
    assert (connection.authoritative, connection.owner) == (True, owner)
    assert connection.token_expires_at == datetime(2030, 1, 31, 12, tzinfo=UTC)


def test_same_name_again_replaces_the_token(canvas: EventfulSandbox, connect_with: Connect) -> None:
    connect_with(canvas.tokens["teacher"])
    before = Connection.objects.get()
    Connection.objects.update(state=Connection.State.REJECTED, state_message="dead")
    assert connect_with(canvas.token).status == 0
    after = Connection.objects.get()
    assert (after.pk, after.instance_id) == (before.pk, before.instance_id)
    assert (after.token, after.state, after.state_message) == (canvas.token, Connection.State.OK, "")
    assert after.authoritative


def test_connections_of_one_canvas_share_its_instance(canvas: EventfulSandbox, connect_with: Connect) -> None:
    connect_with(canvas.token, name="one")
    connect_with(canvas.tokens["teacher"], name="two", base_url=canvas.url + "/")
    assert Instance.objects.count() == Shard.objects.count() == 1
    assert Connection.objects.count() == 2


def test_token_file_is_read(command: Command, canvas: EventfulSandbox, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{canvas.token}\n")
    ended = command("connect_canvas", "--name", "a", "--base-url", canvas.url, "--token-file", str(file))
    assert ended.status == 0
    assert Connection.objects.get().token == canvas.token


def test_short_failures_of_canvas_do_not_matter(canvas: EventfulSandbox, connect_with: Connect) -> None:
    canvas.set_faults("500::1@users/self,reset::1@accounts,html503::1@sections")
    ended = connect_with(canvas.token)
    assert ended.status == 0
    assert "could not try" not in ended.out


# --- refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["expired", "unknown"])
def test_dead_token_is_refused(name: str, canvas: EventfulSandbox, connect_with: Connect) -> None:
    ended = connect_with(canvas.tokens.get(name, "7~NoSuchSecret"))
    assert (ended.status, ended.out) == (1, "")
    assert "Canvas does not accept the token (Invalid access token): make a new one in Canvas." in ended.err
    assert_nothing_stored()


def test_dead_token_does_not_replace_a_good_one(canvas: EventfulSandbox, connect_with: Connect) -> None:
    connect_with(canvas.token)
    assert connect_with(canvas.tokens["expired"]).status == 1
    assert Connection.objects.get().token == canvas.token


def test_nothing_listens(canvas: EventfulSandbox, connect_with: Connect) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    ended = connect_with(canvas.token, base_url=url)
    assert ended.status == 1
    assert f"The connection to {url} failed" in ended.err
    assert_nothing_stored()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("html200", "is not Canvas's API but a web page: check the base URL"),
        ("not_found", "Canvas has no users/self"),
        ("redirect", "redirects to elsewhere.invalid: give the address of Canvas itself as the base URL"),
        ("not_a_list", "does not speak Canvas's API: check the base URL"),
        ("html503", "Canvas answers 503 for users/self: try later"),
        ("cut_json", "was cut short or garbled: try later"),
    ],
)
def test_what_answers_is_no_canvas(
    fault: str, says: str, canvas: EventfulSandbox, connect_with: Connect
) -> None:
    canvas.set_faults(fault)
    ended = connect_with(canvas.token)
    assert ended.status in (1, 2)
    assert says in ended.err
    assert len(ended.err.splitlines()) == 1
    assert_nothing_stored()


@pytest.mark.parametrize(
    ("base_url", "says"),
    [
        ("http://canvas.example.edu", "Plain http would show the token to everyone on the way"),
        ("https://10.1.2.3", "is an address in a private network"),
        ("https://canvas.example.edu/courses/1", "The base URL is only scheme and host"),
        ("canvas.example.edu", "is not a web address: give it as https://canvas.example.edu"),
        ("ftp://canvas.example.edu", "is not a web address"),
        ("https://user:secret@canvas.example.edu", "is not a web address"),
    ],
)
def test_address_that_would_harm_the_token_is_refused(
    base_url: str, says: str, canvas: EventfulSandbox, connect_with: Connect
) -> None:
    ended = connect_with(canvas.token, base_url=base_url)
    assert ended.status in (1, 2)
    assert says in ended.err
    assert "secret@" not in ended.err
    assert_nothing_stored()


def test_name_of_another_canvas_is_refused_before_the_token_is_sent(
    canvas: EventfulSandbox, connect_with: Connect
) -> None:
    connect_with(canvas.token)
    with EventfulSandbox(seed=2) as other:
        ended = connect_with(other.token, base_url=other.url)
        assert other.requests() == []
    assert ended.status == 2
    assert f"Connection 'main' belongs to {canvas.url}: choose another --name" in ended.err
    assert Connection.objects.get().token == canvas.token


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--name", "two words"), "--name takes up to 50 letters"),
        (("--name", "x" * 51), "--name takes up to 50 letters"),
        (
            ("--token-env", "NOT_SET_ANYWHERE"),
            "The environment variable NOT_SET_ANYWHERE is empty or not set.",
        ),
        (("--owner", "nobody"), "There is no user 'nobody' in this console."),
        (("--expires-at", "soon"), "--expires-at takes a date such as 2027-01-31."),
    ],
)
def test_wrong_usage_exits_2(
    options: tuple[str, ...], says: str, canvas: EventfulSandbox, connect_with: Connect
) -> None:
    ended = connect_with(canvas.token, *options)
    assert ended.status == 2
    assert says in ended.err
    assert_nothing_stored()


@pytest.mark.parametrize("text", ["", "  \n", "two words", "line\nline"])
def test_token_that_is_not_one_word_is_refused(
    text: str, command: Command, canvas: EventfulSandbox, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    ended = command("connect_canvas", "--name", "a", "--base-url", canvas.url, "--token-file", str(file))
    assert ended.status == 2
    assert "The token must be one word: copy it again from Canvas." in ended.err
    assert canvas.requests() == []


def test_missing_token_file_and_no_token_at_all(command: Command, canvas: EventfulSandbox) -> None:
    where = ("connect_canvas", "--name", "a", "--base-url", canvas.url)
    assert "Cannot read the token file /no/such" in command(*where, "--token-file", "/no/such").err
    assert "No token: give --token-env VAR or --token-file FILE." in command(*where).err


def test_canvas_that_spells_ids_as_strings_is_understood(
    canvas: EventfulSandbox, connect_with: Connect
) -> None:
    canvas.set_faults("string_ids")
    assert "Token of Canvas user 1001" in connect_with(canvas.token).out
    assert Connection.objects.get().canvas_user_id == 1001


def test_token_is_not_sent_on_to_where_canvas_redirects(connect_with: Connect, db: Any) -> None:
    with scripted_canvas() as elsewhere, scripted_canvas() as site:
        site.on("users/self", Reply(status=302, headers={"Location": f"{elsewhere.url}/api/v1/users/self"}))
        ended = connect_with("7~SecretOfNobody", base_url=site.url)
        assert ended.status == 1
        assert elsewhere.seen == []
    assert_nothing_stored()
