"""The pages of transfers, their JSON and their files: what they show, to whom, and what they refuse."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags

from logmonitor.models import LogLine
from logmonitor.transfers import retention
from logmonitor.transfers.api import Transfers
from logmonitor.transfers.sessions import session_of
from tests.console import client_of, person, staff, text_of
from tests.factories import InstanceFactory
from tests.logmonitor.transfers import line_of, make_source, store

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PAGE = reverse("logmonitor:transfers")
USERS = reverse("logmonitor:transfer_users")
LOGINS = reverse("logmonitor:transfer_logins")
API = reverse("api:show_transfers")
LINES = reverse("admin:logmonitor_logline_changelist")


@pytest.fixture
def client():
    return client_of(staff("root", superuser=True))


@pytest.fixture
def source():
    source = make_source()
    store(
        [
            line_of(source, NOON, username="ann", size_bytes=2_500_000, path="/srv/a b/<script>.csv"),
            line_of(source, NOON + SECOND, username="=1+1", sender="Download", protocol="FTP"),
            line_of(source, NOON + 2 * SECOND, username="ann", outcome="failed", message="disk full"),
        ]
    )
    return source


def file_of(client, table, ending, **query):
    response = client.get(reverse("logmonitor:transfer_export", args=[table, ending]), query)
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()


# --- charts ---------------------------------------------------------------------------------------


def data_of(response, chart):
    pattern = rf'<script id="chart-{chart}" type="application/json">(.*?)</script>'
    return json.loads(re.search(pattern, response.content.decode(), re.DOTALL).group(1))


def test_the_page_shows_the_charts_with_tables(client, source):
    response = client.get(PAGE)

    assert data_of(response, "transfers")["labels"] == ["ann", "=1+1"]
    assert data_of(response, "bytes")["logarithmic"]
    assert not data_of(client.get(PAGE, {"scale": "linear"}), "bytes")["logarithmic"]
    assert "2.5 MB" in text_of(response)
    assert "The whole history" in text_of(response)
    assert 'href="?user=%3D1%2B1"' in response.content.decode()
    kept = client.get(PAGE, {"protocol": "SFTP", "scale": "linear"}).content.decode()
    assert 'href="?protocol=SFTP&amp;user=ann"' in kept


def test_filters_of_the_address_stay_in_the_form_and_in_links(client, source):
    body = client.get(PAGE, {"protocol": "FTP", "user": "=1+1", "direction": ""}).content.decode()

    assert "<option selected>FTP</option>" in body
    assert 'value="=1+1"' in body
    assert f"{API}?protocol=FTP&amp;user=%3D1%2B1" in body


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"start_date": "x"}, "`start_date` cannot be"),
        ({"top": "0"}, "`top` cannot be"),
        ({"nonsense": "1"}, "There is no parameter"),
        ({"direction": "<b>"}, "`direction` cannot be"),
    ],
)
def test_the_page_says_what_it_cannot_show_and_shows_everything(client, source, query, says):
    shown = text_of(client.get(PAGE, query))
    assert says in shown
    assert "No filter is in force." in shown


def test_an_empty_installation_says_what_to_do(client):
    assert "watch_transfers" in text_of(client.get(PAGE))
    assert "No failed logins" in text_of(client.get(LOGINS))


def test_a_hostile_name_is_text_everywhere(client):
    source = make_source()
    name = "</script><img src=x onerror=alert(1)>"
    store([line_of(source, NOON, username=name, connection_id=name, path=name, message=name)])
    line = LogLine.objects.get()
    for url in (PAGE, LINES, reverse("logmonitor:transfer_session", args=[line.pk])):
        assert "<img src=x" not in client.get(url).content.decode()


def test_who_may_not_see_people_sees_no_transfers(source):
    for user in (
        person("viewer", "Viewer"),
        person("limited", "Operator", only=[InstanceFactory()]),
    ):
        client = client_of(user)
        for url in (PAGE, USERS, LOGINS, API, LINES):
            assert client.get(url).status_code in (403, 404), url
    operator = client_of(person("operator", "Operator"))
    assert "Transfers" in text_of(operator.get(PAGE))
    assert operator.get(LINES).status_code == 200


# --- JSON -----------------------------------------------------------------------------------------


def test_the_endpoint_answers_as_declared(client, source):
    store([line_of(source, NOON, username="big", size_bytes=2**60)])
    response = client.get(API, {"start_date": "2026-03-01", "end_date": "2026-03-03", "top": "1"})
    answer = response.json()

    msgspec.convert(answer, Transfers)
    assert [day["day"] for day in answer["activity"]] == ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert answer["users"][0]["username"] == "big"
    assert answer["users"][0]["upload"]["bytes"] == str(2**60)
    assert answer["others"]["users"] == 2
    assert answer["others"]["both"]["bytes"] == 2_502_000
    assert answer["total"]["both"]["transfers"] == 4


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"start_date": "soon"}, "a day such as 2026-01-31"),
        ({"end_date": "2026-13-01"}, "a day such as 2026-01-31"),
        ({"start_date": ""}, "a day such as 2026-01-31"),
        ({"start_date": "0001-01-01"}, "Choose days since 2000-01-01"),
        ({"end_date": "9999-12-31"}, "Choose days since 2000-01-01"),
        ({"start_date": "2026-01-0\u0661"}, "a day such as 2026-01-31"),
        ({"start_date": "2026-03-02", "end_date": "2026-03-01"}, "the other way round"),
        ({"end_date": "2040-01-01"}, "too long: choose at most 3,660 days"),
    ],
    ids=["word", "month", "empty", "first", "last", "digits", "order", "long"],
)
def test_wrong_dates_are_refused_with_a_sentence(client, source, query, said):
    response = client.get(API, query)
    assert response.status_code == 400
    assert said in response.json()["error"]


# --- files ----------------------------------------------------------------------------------------


def test_csv_files_run_nothing_in_a_spreadsheet(client, source):
    for table in ("users", "transfers"):
        rows = list(csv.DictReader(io.StringIO(file_of(client, table, "csv"))))
        assert "'=1+1" in {row["username"] for row in rows}
        assert "=1+1" not in {row["username"] for row in rows}


def test_json_files_hold_exact_numbers(client, source):
    store([line_of(source, NOON, username="big", size_bytes=2**60)])
    lines = json.loads(file_of(client, "transfers", "json", user="big"))
    stored = LogLine.objects.get(username="big")

    assert [line["size_bytes"] for line in lines] == [str(2**60)]
    assert lines[0]["id"] == str(stored.pk)
    assert (lines[0]["file"], lines[0]["offset"]) == ("sftpgo.log", (stored.pk >> 1) & (2**40 - 1))
    assert lines[0]["time"] == "2026-03-02T12:00:00.000Z"
    assert json.loads(file_of(client, "days", "json", user="nobody"))[0]["bytes"] == 0


def test_every_transfer_of_a_long_export_is_there_once(client, monkeypatch):
    monkeypatch.setattr("logmonitor.transfers.kept_lines.CHUNK_LINES", 3)
    source, other = make_source(), make_source("other")
    lines = [line_of(one, NOON + n // 4 * SECOND) for n in range(20) for one in (source, other)]
    store(lines)
    found = json.loads(file_of(client, "transfers", "json"))

    assert sorted(int(line["id"]) for line in found) == sorted(line.id for line in lines)
    assert found == sorted(found, key=lambda line: (line["source"], line["time"], int(line["id"])))


def test_an_export_is_recorded(client, source):
    file_of(client, "users", "csv", protocol="FTP")
    entry = LogEntry.objects.get()

    assert entry.get_edited_object() == source
    assert "Exported users of 2026-03-02 to 2026-03-02 as CSV (protocol=FTP)." in entry.get_change_message()


def test_an_export_of_what_cannot_be_is_refused(client, source):
    url = reverse("logmonitor:transfer_export", args=["users", "csv"])
    assert client.get(url, {"start_date": "x"}).status_code == 400
    assert client.get(reverse("logmonitor:transfer_export", args=["users", "exe"])).status_code == 404
    assert not LogEntry.objects.exists()


def test_exporting_is_a_right_of_its_own(source):
    client = client_of(staff("reader", "view_transfers"))
    assert "Take it away" not in text_of(client.get(PAGE))
    assert client.get(reverse("logmonitor:transfer_export", args=["users", "csv"])).status_code == 403


# --- users ----------------------------------------------------------------------------------------


def test_the_page_of_users_says_since_when_and_how_often(client, source):
    store([line_of(source, NOON + timedelta(days=n), username="ann", size_bytes=9) for n in (3, 9, 9)])
    response = client.get(USERS)
    ann, formula = response.context["table"]["rows"]

    assert [strip_tags(cell) for cell in ann] == [
        *("ann", "2026-03-02", "2026-03-11", "3", "5", "2.5 MB", "0", "0 B")
    ]
    assert strip_tags(formula[0]) == "=1+1"
    assert f'href="{PAGE}?user=ann"' in response.content.decode()
    one = client.get(USERS, {"direction": "download"}).context["table"]["rows"]
    assert [[strip_tags(cell) for cell in row[:4]] for row in one] == [
        ["=1+1", "2026-03-02", "2026-03-02", "1"]
    ]
    assert "1 more moved less" in text_of(client.get(USERS, {"top": 1}))
    [exported] = json.loads(file_of(client, "users", "json", user="ann"))
    assert [exported[name] for name in ("first_day", "last_day", "days")] == ["2026-03-02", "2026-03-11", 3]


# --- failed logins --------------------------------------------------------------------------------


def test_failed_logins_are_counted_by_address_and_by_name(client):
    source = make_source()
    now = datetime.now(UTC)
    kind = {"kind": "login_failed", "sender": "connection_failed", "protocol": "SSH"}
    store(
        [
            line_of(source, now - n * SECOND, username=f"u{n % 3}", address="198.51.100.9", **kind)
            for n in range(6)
        ]
        + [line_of(source, now, username="u0", address="198.51.100.8", **kind), line_of(source, now)]
    )
    response = client.get(LOGINS)
    by_address, by_name = (each["table"]["rows"] for each in response.context["tables"])

    def plain(rows):
        return [[strip_tags(cell) for cell in row[:3]] for row in rows]

    assert plain(by_address) == [["198.51.100.9", "6", "3"], ["198.51.100.8", "1", "1"]]
    assert plain(by_name) == [["u0", "3", "2"], ["u1", "2", "1"], ["u2", "2", "1"]]
    leads = html.unescape(re.search(r'href="(.*?)"', by_name[0][0]).group(1))
    assert {line.username for line in client.get(leads).context["cl"].result_list} == {"u0"}
    assert len(client.get(leads).context["cl"].result_list) == 3
    assert "7 failed logins from 2 addresses under 3 user names" in text_of(response)


def test_failed_logins_of_today_show_though_nothing_was_moved_for_long(client):
    source, now = make_source(time_zone="Pacific/Kiritimati"), datetime.now(UTC)
    store([line_of(source, now - timedelta(days=60)), line_of(source, now, kind="login_failed")])
    response = client.get(LOGINS)

    assert "1 failed logins from 1 address" in text_of(response)
    days = data_of(response, "failures")
    assert (days["labels"][-1], days["series"][0]["values"][-1]) == (str(LogLine.objects.latest("at").day), 1)
    assert len(days["labels"]) == 30


def test_the_number_of_failed_logins_stays_when_their_lines_are_gone(client):
    source, now = make_source(), datetime.now(UTC)
    failed = {"kind": "login_failed", "protocol": "SSH"}
    store([line_of(source, now - timedelta(days=9), **failed), line_of(source, now, **failed)])
    retention.delete_lines_before(source, (now - timedelta(days=5)).date())
    response = client.get(LOGINS)

    assert sum(data_of(response, "failures")["series"][0]["values"]) == 2
    assert "1 failed logins from 1 address" in text_of(response)
    assert "lines are deleted by age" in text_of(response)
    assert "<option>SSH</option>" in response.content.decode()
    assert "lines are deleted by age" not in text_of(client.get(LOGINS, {"start_date": str(now.date())}))
    assert 'id="chart-failures"' not in client.get(LOGINS, {"user": "alice"}).content.decode()


def test_old_failed_logins_are_there_when_asked_for(client):
    source = make_source()
    now = datetime.now(UTC)
    store([line_of(source, now - timedelta(days=90), kind="login_failed"), line_of(source, now)])

    assert "No failed logins" in text_of(client.get(LOGINS))
    asked = {"start_date": str((now - timedelta(days=100)).date())}
    assert "1 failed logins from 1 address" in text_of(client.get(LOGINS, asked))


# --- sessions -------------------------------------------------------------------------------------


def test_a_session_ends_where_its_id_comes_again(client):
    source = make_source()
    login = {"kind": "login", "sender": "login", "size_bytes": None, "elapsed_ms": None}
    again = [
        line_of(
            source, NOON + minutes * 60 * SECOND, connection_id="FTP_0_13", path=f"/f{minutes}", **changes
        )
        for minutes, changes in ((0, login), (1, {}), (2, {}), (10, login), (11, {}), (200, {}))
    ]
    elsewhere = line_of(source, NOON, connection_id="FTP_0_14")
    store([*again, elsewhere])

    def paths(line):
        return [one.path for one in session_of(LogLine.objects.get(pk=line.id)).lines]

    assert paths(again[1]) == paths(again[2]) == ["/f0", "/f1", "/f2"]
    assert paths(again[4]) == ["/f10", "/f11"]
    assert paths(again[5]) == ["/f200"]
    shown = text_of(client.get(reverse("logmonitor:transfer_session", args=[again[1].id])))
    assert "Session FTP_0_13" in shown
    assert "/f2" in shown
    assert "/f11" not in shown


def test_a_long_transfer_is_no_silence():
    source = make_source()
    lines = [
        line_of(source, NOON, connection_id="SFTP_1"),
        line_of(source, NOON + 3 * 3600 * SECOND, connection_id="SFTP_1", elapsed_ms=3 * 3_600_000 - 1000),
    ]
    store(lines)
    assert len(session_of(LogLine.objects.get(pk=lines[0].id)).lines) == 2


def test_a_line_without_a_session_stands_alone(client):
    source = make_source()
    line = line_of(source, NOON, connection_id="", elapsed_ms=2**60)
    store([line])
    assert "A line of no session" in text_of(
        client.get(reverse("logmonitor:transfer_session", args=[line.id]))
    )
    assert client.get(reverse("logmonitor:transfer_session", args=[10**30])).status_code == 404


def test_the_index_of_sessions_is_used():
    source = make_source()
    line = line_of(source, NOON, connection_id="SFTP_1")
    store([line, *(line_of(source, NOON + n * SECOND, connection_id=f"FTP_{n}") for n in range(500))])
    with CaptureQueriesContext(connection) as queries:
        session_of(LogLine.objects.get(pk=line.id))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"ANALYZE {LogLine._meta.db_table}")  # or it guesses, as old counts have it
            cursor.execute("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        cursor.execute(f"{explain} {queries[-1]['sql']}")
        assert "logline_session" in str(cursor.fetchall())


# --- lines ----------------------------------------------------------------------------------------


def shown(client, **query):
    return [line.path for line in client.get(LINES, query).context["cl"].result_list]


def test_the_list_shows_the_last_days_of_one_log_newest_first(client):
    first, second = make_source("a"), make_source("b")
    store(
        [
            line_of(first, NOON, path="/new"),
            line_of(first, NOON - timedelta(days=20), path="/old"),
            line_of(first, NOON - SECOND, path="/other", kind="app"),
            line_of(second, NOON, path="/b"),
        ]
    )

    assert shown(client) == ["/new", "/other"]
    assert shown(client, when="all") == ["/new", "/other", "/old"]
    assert shown(client, when="2026-02-10:2026-02-11") == ["/old"]
    assert shown(client, source=second.pk) == ["/b"]
    assert shown(client, kind__exact="transfer") == ["/new"]
    for strange in ("x", "0001-01-01:9999-12-31", "99999999999", "-1", "2026-02-30:2026-02-31"):
        assert client.get(LINES, {"when": strange}).status_code == 200
    assert client.get(LINES, {"source": "9" * 40}).status_code == 200


def test_lines_are_searched_by_user_address_session_and_path(client, source):
    assert len(shown(client, q="ann")) == 2
    assert len(shown(client, q="192.0.2.7")) == 3
    assert len(shown(client, q="SFTP_1_1")) == 3
    assert len(shown(client, q="<script>")) == 1
    assert shown(client, q="an") == []


def test_a_lines_page_says_where_it_stands(client, source):
    line = LogLine.objects.filter(outcome="failed").get()
    page = text_of(client.get(reverse("admin:logmonitor_logline_change", args=[line.pk])))

    assert "disk full" in page
    assert "sftpgo.log" in page
    assert f"{line.offset:,}" in page


def test_the_list_counts_no_more_than_anybody_pages(client, source):
    with CaptureQueriesContext(connection) as queries:
        client.get(LINES)
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counts
    assert all("LIMIT 10001" in sql for sql in counts)
