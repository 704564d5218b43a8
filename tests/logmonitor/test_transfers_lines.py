"""What lines of SFTPGo become: every kind and version, odd ones, and when they were written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logmonitor.models import LogLine
from logmonitor.transfers.decoder import LineDecoder
from logmonitor.transfers.lines import Decoded, Line, mask_password, mask_raw
from logmonitor.transfers.zone import Clock, UnknownTime
from tests.logmonitor import transfer_lines as sample
from tests.logmonitor.transfer_lines import encode, head, transfer

Flag = LogLine.Flag
STAMP = "2026-03-01T08:00:00.000"


def decoded(data: bytes, zone: str = "UTC") -> Decoded:
    """Return what bytes hold."""
    into = Decoded()
    LineDecoder(7, 3, Clock(zone)).decode(data, 0, into)
    into.lines = [Line._make(one) for one in into.lines]
    return into


def line(data: bytes, zone: str = "UTC") -> Line:
    """Return the one line that bytes hold, as it is read quickly and with care."""
    into = decoded(data.rstrip(b"\n"), zone)
    assert (into.bad, len(into.lines)) == ([], 1)
    careful = LineDecoder(7, 3, Clock(zone)).line(data.rstrip(b"\n"), into.lines[0].id)
    assert careful == into.lines[0]
    return into.lines[0]


def shown(found: Line) -> dict[str, Any]:
    """Return what is set in a line, but for where it stands and when it was written."""
    rest = found._asdict()
    for name in ("id", "source_id", "at", "day"):
        del rest[name]
    return {
        name: value
        for name, value in rest.items()
        if value not in ("", None) and (name, value) != ("flags", 0)
    }


def fields(sender: str, level: str = "info", **more: Any) -> bytes:
    """Return a line of fields as they stand in one."""
    return encode({"level": level, "time": STAMP, "sender": sender} | more)


KINDS = {
    "transfer": (
        transfer(5, error=""),
        {
            "kind": "transfer",
            "sender": "Upload",
            "level": "info",
            "username": "user005",
            "address": "192.0.2.5",
            "protocol": "SFTP",
            "outcome": "succeeded",
            "size_bytes": 5,
            "elapsed_ms": 125,
            "path": "/srv/sftpgo/data/user005/in/report-5.csv",
            "connection_id": "SFTP_00000005_1",
        },
    ),
    "transfer of 0.9": (
        b'{"level":"info","sender":"Download","elapsed_ms":3,"size_bytes":7,"username":"b","file_path":"/a",'
        b'"connection_id":"c1","protocol":"SFTP","time":"2019-11-10T20:09.25.756"}',
        {
            "kind": "transfer",
            "sender": "Download",
            "level": "info",
            "username": "b",
            "protocol": "SFTP",
            "outcome": "succeeded",
            "size_bytes": 7,
            "elapsed_ms": 3,
            "path": "/a",
            "connection_id": "c1",
        },
    ),
    "transfer behind a proxy, of an object store": (
        fields(
            "Download",
            elapsed_ms=1,
            size_bytes=0,
            remote_addr="2001:db8::7",
            file_path="a/b",
            virtual_path="/x",
        ),
        {
            "kind": "transfer",
            "sender": "Download",
            "level": "info",
            "address": "2001:db8::7",
            "outcome": "succeeded",
            "size_bytes": 0,
            "elapsed_ms": 1,
            "path": "a/b",
        },
    ),
    "transfer that broke off": (
        fields(
            "Upload",
            "error",
            elapsed_ms=1,
            size_bytes=9,
            remote_addr="[2001:db8::1]:22",
            error="connection lost",
        ),
        {
            "kind": "transfer",
            "sender": "Upload",
            "level": "error",
            "address": "2001:db8::1",
            "outcome": "partial",
            "size_bytes": 9,
            "elapsed_ms": 1,
            "message": "connection lost",
        },
    ),
    "transfer that failed, as 2.6.1 says it": (
        fields("Upload", elapsed_ms=1, size_bytes=0, error="quota exceeded"),
        {
            "kind": "transfer",
            "sender": "Upload",
            "level": "info",
            "outcome": "failed",
            "size_bytes": 0,
            "elapsed_ms": 1,
            "message": "quota exceeded",
        },
    ),
    "command": (
        sample.command(4),
        {
            "kind": "command",
            "sender": "Rename",
            "level": "info",
            "username": "user004",
            "address": "192.0.2.4",
            "protocol": "SFTP",
            "outcome": "succeeded",
            "elapsed_ms": 3,
            "path": "/srv/sftpgo/data/in/4.part",
            "target_path": "/srv/sftpgo/data/in/4.csv",
            "connection_id": "SFTP_00000004_1",
        },
    ),
    "copy": (
        fields("Copy", file_path="/a", target_path="/b", size=77, username="u"),
        {
            "kind": "command",
            "sender": "Copy",
            "level": "info",
            "username": "u",
            "outcome": "succeeded",
            "size_bytes": 77,
            "path": "/a",
            "target_path": "/b",
        },
    ),
    "http": (
        sample.http(3, resp_status=404, level="warn"),
        {
            "kind": "http",
            "sender": "httpd",
            "level": "warn",
            "address": "192.0.2.3",
            "outcome": "failed",
            "size_bytes": 5120,
            "elapsed_ms": 4,
            "message": "GET https://sftp.example.edu/web/client/files?path=/in/3 404",
        },
    ),
    "panic": (
        fields("httpd", "error", method="GET", uri="/x", stack="a\nb", panic="nil map"),
        {
            "kind": "http",
            "sender": "httpd",
            "level": "error",
            "outcome": "failed",
            "message": "GET /x panic: nil map",
        },
    ),
    "webdav": (
        fields(
            "webdavd", method="PUT", uri="/dav/a", content_length="12", elapsed_ms=2, remote_addr="10.0.0.1:1"
        ),
        {
            "kind": "webdav",
            "sender": "webdavd",
            "level": "info",
            "address": "10.0.0.1",
            "outcome": "succeeded",
            "elapsed_ms": 2,
            "message": "PUT /dav/a",
        },
    ),
    "login": (
        sample.login(2),
        {
            "kind": "login",
            "sender": "login",
            "level": "info",
            "username": "user002",
            "address": "192.0.2.2",
            "protocol": "SSH",
            "outcome": "succeeded",
            "connection_id": "SFTP_00000002_1",
            "message": "password SSH-2.0-OpenSSH_9.2",
        },
    ),
    "login of 2.x": (
        fields(
            "SFTP",
            "debug",
            message='User "bob" logged in with "publickey", from ip "192.0.2.9", client version',
        ),
        {
            "kind": "login",
            "sender": "SFTP",
            "level": "debug",
            "username": "bob",
            "address": "192.0.2.9",
            "outcome": "succeeded",
            "message": "publickey",
        },
    ),
    "login of 1.x": (
        fields("sftpd", message='User id: 1, logged in with: "password", username: "bob", home_dir: "/srv"'),
        {
            "kind": "login",
            "sender": "sftpd",
            "level": "info",
            "username": "bob",
            "outcome": "succeeded",
            "message": "password",
        },
    ),
    "failed login": (
        sample.login_failed(1),
        {
            "kind": "login_failed",
            "sender": "connection_failed",
            "level": "debug",
            "username": "root",
            "address": "198.51.100.1",
            "protocol": "SSH",
            "outcome": "failed",
            "message": "password: invalid credentials",
        },
    ),
    "failed login of 0.9": (
        fields(
            "connection_failed",
            "debug",
            host="192.0.2.1",
            username="",
            login_type="no_auth_tryed",
            error="EOF",
        ),
        {
            "kind": "login_failed",
            "sender": "connection_failed",
            "level": "debug",
            "address": "192.0.2.1",
            "outcome": "failed",
            "message": "no_auth_tried: EOF",
        },
    ),
    "defender": (
        sample.defender(1),
        {
            "kind": "defender",
            "sender": "defender",
            "level": "info",
            "address": "198.51.100.1",
            "protocol": "SSH",
            "message": "LoginFailed, score 2",
        },
    ),
    "message": (
        fields("httpd", "debug", message="server listener registered"),
        {"kind": "app", "sender": "httpd", "level": "debug", "message": "server listener registered"},
    ),
    "message that is empty": (fields("osfs", "debug"), {"kind": "app", "sender": "osfs", "level": "debug"}),
    "message of the FTP library": (
        fields(
            "ftpserverlib",
            "debug",
            server_id="a",
            clientId=7,
            clientIp="192.0.2.4",
            message="FTP RECV",
            line="LIST",
        ),
        {
            "kind": "app",
            "sender": "ftpserverlib",
            "level": "debug",
            "address": "192.0.2.4",
            "message": "FTP RECV LIST",
        },
    ),
    "message with fields of other types": (
        fields("plugins", "info", message="started", size="big", error={"code": 1}, event=7, line=12),
        {"kind": "app", "sender": "plugins", "level": "info", "message": "started"},
    ),
    "message that is called a transfer": (
        fields("Upload", "debug", message="opened"),
        {"kind": "app", "sender": "Upload", "level": "debug", "message": "opened"},
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_line_becomes_a_row_of_its_kind(name: str) -> None:
    data, expected = KINDS[name]
    assert shown(line(data)) == expected


def test_sender_said_twice_is_the_first() -> None:
    data = fields("httpclient", "debug", message="x").replace(b'"message"', b'"sender":"Upload","message"')
    assert line(data).sender == "httpclient"


def test_a_line_of_windows_has_its_end_taken_off() -> None:
    assert [
        one.size_bytes for one in decoded(transfer(1)[:-1] + b"\r\n" + transfer(2)[:-1] + b"\r").lines
    ] == [1, 2]


def test_keys_say_segment_and_byte() -> None:
    first = transfer(1)
    lines = decoded(first + transfer(2)[:-1]).lines
    assert [one.id for one in lines] == [3 << 41, 3 << 41 | len(first) << 1]
    row = LogLine(id=lines[1].id)
    assert (row.segment_id, row.offset) == (3, len(first))


# --- hostile and damaged ------------------------------------------------------------------------------


def test_numbers_beyond_reason_are_clamped_and_flagged() -> None:
    for size, kept in ((-5, 0), (2**70, 2**60), (2**60 + 1, 2**60)):
        found = line(transfer(1, size_bytes=size))
        assert (found.size_bytes, found.flags) == (kept, Flag.CLAMPED)
    assert line(transfer(1, elapsed_ms=10**30)).flags == Flag.CLAMPED
    assert line(sample.command(1, size=-7)).flags == Flag.CLAMPED
    assert line(sample.http(1, resp_size=-7)).flags == Flag.CLAMPED


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (rb"a\u0000b", "a\u2400b"),
        (rb"a\nb\tc\u007f", "a\u240ab\u2409c\u2421"),
        (rb"a\ud800b", "a\ufffdb"),
        (rb"a\udc00\ud83d\ude00", "a\ufffd\U0001f600"),
        (rb"c:\\ud800", r"c:\ud800"),
        (b"a\xffb", "a\ufffdb"),
        (b"a\xe2\x80\xaeb", "a\ufffdb"),
        (b"a\xc2\x85b", "a\ufffdb"),
        ("räksmörgås".encode(), "räksmörgås"),
        (rb"a\"b\\c", 'a"b\\c'),
    ],
)
def test_text_is_kept_without_what_would_harm(written: bytes, kept: str) -> None:
    data = transfer(1, username="@").replace(b'"@"', b'"' + written + b'"')
    into = decoded(data[:-1])
    assert not into.bad
    assert into.lines[0].username == kept
    changed = (
        "\\u00" in ascii(kept) or "\ufffd" in kept or any("\u2400" <= letter <= "\u2421" for letter in kept)
    )
    assert bool(into.lines[0].flags & Flag.CLEANED) == (changed and kept != "räksmörgås")


def test_texts_too_long_for_their_columns_are_cut_and_flagged() -> None:
    found = line(transfer(1, username="u" * 5_000, connection_id="c" * 5_000, file_path="/" + "p" * 50_000))
    assert [len(text) for text in (found.username, found.connection_id, found.path)] == [255, 200, 4_000]
    assert found.flags == Flag.CUT


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"not json", "malformed"),
        (b'"text"', "Expected `object`"),
        (b'{"x":' + b"[" * 100_000, "nested too deeply"),
        (transfer(1, size_bytes="12"), "Expected `int"),
        (transfer(1, size_bytes=1.5), "Expected `int"),
        (transfer(1, size_bytes=None, username=None), "Expected `str`"),
        (fields("Upload", username="u"), "a transfer without its size or its time"),
        (fields("osfs").replace(b'"time":"2026-03-01T08:00:00.000",', b""), "it says no time"),
        (fields("osfs", time="yesterday"), "its time is not as SFTPGo writes it"),
        (fields("osfs", time="2026-02-30T08:00:00.000"), "its time is out of range"),
        (fields("osfs", time="2026-02-20T08:61:00.000"), "its time is out of range"),
        (b"[1]", "Expected `object`"),
        (b'{"level":"info"', "torn"),
    ],
    ids=range(13),
)
def test_what_is_no_line_is_kept_with_its_reason(data: bytes, reason: str) -> None:
    data = data.rstrip(b"\n")
    into = decoded(data + b"\n" + transfer(2)[:-1])
    assert [one.size_bytes for one in into.lines] == [2]
    assert len(into.bad) == 1
    assert (into.bad[0].offset, into.bad[0].length) == (0, len(data))
    assert into.bad[0].raw == data[:65_536]
    assert reason == "torn" or reason in into.bad[0].reason


def test_several_lines_without_ends_between_are_all_read() -> None:
    glued = transfer(1)[:40] + transfer(2)[:-1] + transfer(3)[:-1] + transfer(4)[:90]
    into = decoded(glued)
    assert [one.size_bytes for one in into.lines] == [2, 3]
    assert {one.flags for one in into.lines} == {Flag.RECOVERED}
    assert [(one.offset, one.length) for one in into.bad] == [(0, 40), (len(glued) - 90, 90)]


@given(st.lists(st.binary(max_size=60) | st.integers(1, 99).map(lambda n: transfer(n)[:-1]), max_size=8))
def test_any_bytes_become_lines_bad_lines_or_zeros(pieces: list[bytes]) -> None:
    data = b"\n".join(pieces)
    into = decoded(data)
    for bad in into.bad:
        assert data[bad.offset : bad.offset + bad.length]
    whole = [json.loads(piece)["size_bytes"] for piece in pieces if piece.startswith(b'{"level":"info"')]
    assert [one.size_bytes for one in into.lines] == whole or b"{" in b"".join(
        piece for piece in pieces if not piece.startswith(b'{"level":"info"')
    )
    assert len({one.id for one in into.lines}) == len(into.lines)
    for one in into.lines:
        assert not any(ord(letter) < 32 for value in one if isinstance(value, str) for letter in value)


@given(st.text(), st.integers(-(2**80), 2**80), st.integers(-(2**80), 2**80))
def test_any_values_fit_their_columns(text: str, size: int, elapsed: int) -> None:
    data = encode(
        json.loads(json.dumps(json.loads(transfer(1)) | {"size_bytes": size, "elapsed_ms": elapsed}))
    )
    data = data.replace(b'"user001"', json.dumps(text).encode())
    into = decoded(data[:-1])
    assert not into.bad
    one = into.lines[0]
    assert 0 <= (one.size_bytes or 0) <= 2**60
    one.username.encode()


# --- passwords -----------------------------------------------------------------------------------------


def test_passwords_of_ftp_are_masked_everywhere() -> None:
    data = fields("ftpserverlib", "debug", message="FTP RECV", clientIp="192.0.2.4", line='PASS s3cret "x')
    found = line(data)
    assert found.message == "FTP RECV PASS [redacted]"
    assert found.flags == Flag.CLEANED
    torn = decoded(data[:-30]).bad[0].raw + decoded(b"x" + data[:-3]).bad[-1].raw
    assert b"s3c" not in torn
    assert b"PASS [redacted]" in torn


@pytest.mark.parametrize("text", ["PASS secret", " pass secret", "Pass\tsecret", "got PASS secret words"])
def test_a_password_is_masked_however_it_is_sent(text: str) -> None:
    assert "secret" not in mask_password(text)
    assert b"secret" not in mask_raw(encode({"line": text, "x": "y"}))
    assert b'"x":"y"' in mask_raw(encode({"line": text, "x": "y"}))


def test_other_words_are_no_passwords() -> None:
    for text in ("PASV", "bypass the quota", "/PASS x", "the second pass took long"):
        assert mask_password(text) == text


# --- time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamp", "zone", "at", "day"),
    [
        ("2026-03-01T00:30:00.123", "Europe/Stockholm", "2026-02-28 23:30:00.123000", "2026-03-01"),
        ("2026-07-01T00:30:00.123", "Europe/Stockholm", "2026-06-30 22:30:00.123000", "2026-07-01"),
        ("2026-07-01T00:10:00.000", "Asia/Kolkata", "2026-06-30 18:40:00.000000", "2026-07-01"),
        ("2019-11-10T20:09.25.756", "UTC", "2019-11-10 20:09:25.756000", "2019-11-10"),
        ("2026-03-01T08:00:00", "UTC", "2026-03-01 08:00:00.000000", "2026-03-01"),
        ("2026-03-01T08:00:00.5Z", "Europe/Stockholm", "2026-03-01 08:00:00.500000", "2026-03-01"),
        ("2026-03-01T23:30:00.000+00:00", "Europe/Stockholm", "2026-03-01 23:30:00.000000", "2026-03-02"),
    ],
)
def test_a_stamp_becomes_an_instant_and_a_day(stamp: str, zone: str, at: str, day: str) -> None:
    found = line(transfer(1, time=stamp), zone)
    assert (found.at, found.day) == (at, day)


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2090, 1, 1)),
    st.sampled_from(["Europe/Stockholm", "Asia/Kolkata", "UTC", "Australia/Lord_Howe"]),
)
def test_any_plain_time_is_what_the_zone_says(moment: datetime, zone: str) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    first, second = (moment.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
    found = decoded(transfer(1, moment)[:-1], zone).lines[0]
    if first.utcoffset() == second.utcoffset():
        assert found.at == f"{first.astimezone(UTC).replace(tzinfo=None).isoformat(' ', 'microseconds')}"
        assert found.flags == 0
    else:
        assert found.flags in (Flag.AMBIGUOUS, Flag.NONEXISTENT)


def test_the_hour_that_comes_twice_is_told_apart_by_the_order_of_lines() -> None:
    night = datetime(2026, 10, 25, 2)
    stamps = [
        night - timedelta(minutes=1),
        night,
        night + timedelta(minutes=59),
        night,
        night + timedelta(minutes=30),
    ]
    stamps += [night + timedelta(minutes=29, seconds=59), night + timedelta(hours=1)]
    into = decoded(b"".join(transfer(1, at) for at in stamps)[:-1], "Europe/Stockholm")
    hours = [one.at[11:16] for one in into.lines]
    assert hours == ["23:59", "00:00", "00:59", "01:00", "01:30", "01:29", "02:00"]
    assert [bool(one.flags & Flag.AMBIGUOUS) for one in into.lines] == [False, *[True] * 5, False]


def test_what_is_remembered_is_the_time_of_the_last_good_line() -> None:
    decoder = LineDecoder(1, 1, Clock("Europe/Stockholm"))
    night = [datetime(2026, 10, 25, 1, 59), datetime(2026, 10, 25, 2, 58)]
    odd = transfer(1, time="x\0y")
    decoder.decode(b"".join(transfer(1, at) for at in night) + odd[:-1], 0, Decoded())
    assert decoder.state == ("2026-10-25T02:58:00.000", 0)


def test_the_second_of_two_equal_hours_goes_on_in_the_next_file() -> None:
    night = datetime(2026, 10, 25, 2, 50)
    clock = Clock("Europe/Stockholm", sample.stamp(night), 0)
    assert clock.instant("2026-10-25T02:01:00.000")[0] == "2026-10-25 01:01:00.000000"
    clock = Clock("Europe/Stockholm", sample.stamp(night), 1)
    assert clock.instant("2026-10-25T02:51:00.000")[0] == "2026-10-25 01:51:00.000000"


def test_the_hour_that_spring_leaves_out_is_flagged() -> None:
    found = line(transfer(1, datetime(2026, 3, 29, 2, 30)), "Europe/Stockholm")
    assert found.flags == Flag.NONEXISTENT
    assert found.at == "2026-03-29 01:30:00.000000"


@pytest.mark.parametrize(
    "stamp", ["0000-01-01T00:00:00.000", "9999-99-01T00:00:00.000", "2026-03-01T08:00:60.000"]
)
def test_a_time_that_there_is_not_is_refused(stamp: str) -> None:
    with pytest.raises(UnknownTime, match="out of range"):
        Clock("UTC").instant(stamp)


def test_heads_of_lines_are_as_sftpgo_writes_them() -> None:
    assert encode(head("info", sample.BEGIN, "x")).startswith(
        b'{"level":"info","time":"2026-03-01T08:00:00.000","sender":'
    )
