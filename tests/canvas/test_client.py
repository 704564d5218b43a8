from __future__ import annotations

import datetime as dt
import gzip
import json
import socket
import threading
import time
import traceback

import pytest

from canvas import answers
from canvas import client as client_module
from canvas.client import CanvasClient
from canvas.errors import (
    BadRequest,
    BrokenListing,
    CanvasError,
    Interrupted,
    InvalidAssignmentIds,
    NotFound,
    NotPermitted,
    Refused,
    Throttled,
    TokenRejected,
    Unavailable,
    WrongAddress,
)
from canvas.throttle import Throttle
from tests.canvas.scripted import Reply, reset, scripted_canvas

TOKEN = "7236~Qw3rTyUiOpAsDfGhJkLzXcVbNm0123456789"
DATE = dt.datetime(2026, 1, 3, 10, 0, tzinfo=dt.UTC)
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="canvas-lms"'}
HTML = {"Content-Type": "text/html; charset=utf-8"}
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
RATE_LIMIT = Reply(b"403 Forbidden (Rate Limit Exceeded)\n", 403, PLAIN)
ROWS = [{"id": 1}, {"id": 2}]


def says(message):
    return {"errors": [{"message": message}]}


@pytest.fixture
def server():
    with scripted_canvas() as server:
        yield server


@pytest.fixture
def slept():
    return []


@pytest.fixture
def records():
    return []


@pytest.fixture
def make(server, slept, records):
    """Make clients that do not really sleep."""
    made = []

    def make_client(url=None, **options):
        throttle = options.pop("throttle", None) or Throttle(sleep=slept.append)
        client = CanvasClient(url or server.url, TOKEN, throttle=throttle, observer=records.append, **options)
        made.append(client)
        return client

    yield make_client
    for client in made:
        client.close()


@pytest.fixture
def client(make):
    return make()


# --- what it asks -----------------------------------------------------------------------------


def test_url_encodes_arrays_and_asks_listings_for_full_pages(client, server):
    params = (("include", ("a b", "c")), ("student_ids[]", "all"), ("search_term", "ü&?"))
    assert client.url("courses/sis_course_id:A 1/users", params) == (
        f"{server.url}/api/v1/courses/sis_course_id:A%201/users"
        "?include%5B%5D=a%20b&include%5B%5D=c&student_ids%5B%5D=all&search_term=%C3%BC%26%3F&per_page=100"
    )
    assert client.url("/api/v1/users/self", listing=False) == f"{server.url}/api/v1/users/self"


def test_the_token_goes_into_the_header_and_nowhere_else(client, server):
    server.on("users/self", Reply({"id": 1}))
    client.get_json("users/self")
    target, headers = server.seen[0]
    assert target == "/api/v1/users/self"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Accept-Encoding"] == "gzip"


def test_one_connection_serves_many_requests(client, server):
    server.on("users/self", Reply({"id": 1}))
    ports = set()
    server.script["/api/v1/port"] = [Reply(act=lambda h: ports.add(h.client_address) or Reply({}).send(h))]
    for _ in range(5):
        client.get_json("port")
    assert len(ports) == 1


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(make, server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.on("users/self", Reply({"id": 1}))
    assert make().get_json("users/self").body == {"id": 1}


def test_a_proxy_of_the_environment_is_asked_for_every_other_host(make, server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    server.script["http://canvas.internal/api/v1/x"] = [Reply({"id": 1})]
    client = make("http://canvas.internal", allow_insecure_hosts=["canvas.internal"])
    assert client.get_json("x").body == {"id": 1}


# --- what it understands ----------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
def test_get_page_gives_rows_time_and_links(client, server, compress):
    url = client.url("courses")
    links = {
        "LINK": f'<{server.url}/api/v1/courses?page=2&per_page=100>; rel="next",'
        f'<{server.url}/api/v1/courses?page=3&per_page=100>; rel="last"'
    }
    server.on("courses?per_page=100", Reply(ROWS, headers=links, compress=compress))
    page = client.get_page(url)
    assert (page.rows, page.as_of, page.url) == (ROWS, DATE, url)
    assert page.next_url == f"{server.url}/api/v1/courses?page=2&per_page=100"
    assert [link[-15:] for link in page.fan_out] == ["2&per_page=100", "3&per_page=100"] or len(
        page.fan_out
    ) == 2


def test_chunked_bodies_are_read(client, server):
    def chunked(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in (b'[{"id"', b": 1}]"):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.wfile.write(b"0\r\n\r\n")

    server.on("courses?per_page=100", Reply(act=chunked))
    assert client.get_page(client.url("courses")).rows == [{"id": 1}]


def test_wrapped_rows_are_unwrapped(client, server):
    server.on("accounts/1/terms?per_page=100", Reply({"enrollment_terms": ROWS}))
    url = client.url("accounts/1/terms")
    assert client.get_page(url, wrapper="enrollment_terms").rows == ROWS


@pytest.mark.parametrize("body", [{"id": 1}, None, "text", 5, {"enrollment_terms": {}}, {"other": []}])
def test_a_page_that_is_no_list_breaks_the_listing(client, server, body):
    server.on("x?per_page=100", Reply(body))
    with pytest.raises(BrokenListing, match="no list"):
        client.get_page(client.url("x"), wrapper="enrollment_terms")


def test_rows_that_are_no_objects_are_passed_on_for_the_mapping_to_reject(client, server):
    server.on("x?per_page=100", Reply([1, None, "a", {"id": 1}]))
    assert client.get_page(client.url("x")).rows == [1, None, "a", {"id": 1}]


def test_pages_walks_bookmarks_past_short_and_empty_pages(client, server):
    tokens = ["first", "bookmark:WzFd", "bookmark%3AWzJd"]
    server.listing("x", [{"id": 1}], [], [{"id": 3}], tokens=tokens)
    assert [page.rows for page in client.pages("x")] == [[{"id": 1}], [], [{"id": 3}]]


def test_a_loop_of_pages_is_noticed(client, server):
    link = {"Link": f'<{server.url}/api/v1/x?page=bookmark:a&per_page=100>; rel="next"'}
    server.on("x?per_page=100", Reply(ROWS, headers=link))
    server.on("x?page=bookmark:a&per_page=100", Reply(ROWS, headers=link))
    with pytest.raises(BrokenListing, match="back to a page"):
        list(client.pages("x"))
    assert len(server.seen) == 2


@pytest.mark.parametrize("site", ["https://evil.example", "http://127.0.0.1:1", "https://127.0.0.1"])
def test_a_next_link_to_another_site_breaks_the_listing(client, server, site):
    server.on("x?per_page=100", Reply(ROWS, headers={"Link": f'<{site}/api/v1/x?page=2>; rel="next"'}))
    with pytest.raises(BrokenListing, match="the token is not sent there"):
        list(client.pages("x"))
    with pytest.raises(BrokenListing):
        client.get_json(f"{site}/api/v1/x")


def test_a_lost_next_link_is_not_taken_for_the_end(client, server):
    params = (("assignment_ids", tuple(str(10_000_000 + number) for number in range(250))),)
    url = client.url("x", params)
    server.script[url.removeprefix(server.url)] = [Reply(ROWS)]
    with pytest.raises(BrokenListing, match="left out the next link"):
        client.get_page(url)


def test_text_is_free_of_nul_and_lone_surrogates(client, server):
    body = rb'[{"a\u0000b": "x\u0000y", "n": [{"t": "\u0000"}], "kept": "\\u0000"}]'
    server.on("x?per_page=100", Reply(body))
    assert client.get_page(client.url("x")).rows == [{"ab": "xy", "n": [{"t": ""}], "kept": "\\u0000"}]
    server.on("x?per_page=100", Reply(rb'[{"t": "a\ud800b", "u": "\ud83d\ude00"}]'))
    assert client.get_page(client.url("x")).rows == [{"t": "a\ufffdb", "u": "\U0001f600"}]
    server.on("x?per_page=100", Reply(b'[{"t": "a\x00b\xffc", "n": NaN}]'))
    assert client.get_page(client.url("x")).rows == [{"t": "ab\ufffdc", "n": None}]


def test_as_of_is_our_clock_where_canvas_sends_no_date(client, server):
    server.on("x", Reply({}, headers={"Date": "yesterday"}))
    answer = client.get_json("x")
    assert abs(dt.datetime.now(dt.UTC) - answer.as_of) < dt.timedelta(seconds=5)


# --- what it does about failures ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "family"),
    [
        (Reply(says("user authorization required"), 401, CHALLENGE), TokenRejected),
        (Reply(says("Invalid access token."), 401, CHALLENGE), TokenRejected),
        (Reply(says("Invalid access token."), 401), TokenRejected),
        (Reply(says("Insufficient scopes on access token."), 401), NotPermitted),
        (Reply({"status": "unauthorized", **says("user not authorized")}, 401), NotPermitted),
        (Reply({"status": "unauthorized", **says("user not authorized")}, 403), NotPermitted),
        (Reply({"error": "invalid assignment ids requested"}, 403), InvalidAssignmentIds),
        (Reply(says("The specified resource does not exist."), 404), NotFound),
        (Reply({"errors": {"name": [{"message": "is bad"}]}}, 400), BadRequest),
        (Reply({"message": "no"}, 422), BadRequest),
        (Reply(b"<html>blocked</html>", 403, HTML), WrongAddress),
        (Reply(b"<html>not here</html>", 404, HTML), WrongAddress),
        (Reply(b"<html>welcome</html>", 200, HTML), WrongAddress),
        (Reply(b"hello", 200, PLAIN), WrongAddress),
        (Reply(b"", 302, {"Location": "https://login.example.edu/?token=1"}), WrongAddress),
        (Reply(b"", 301, {"Location": "/login"}), WrongAddress),
    ],
)
def test_refusals_say_what_to_do_and_are_not_retried(client, server, records, reply, family):
    server.on("courses/42/x", reply)
    with pytest.raises(Refused) as caught:
        client.get_json("courses/42/x")
    assert type(caught.value) is family
    text = str(caught.value)
    assert ": " in text
    assert "token=1" not in text
    assert len(server.seen) == 1
    (record,) = records
    assert (record.status, record.failed, record.retried) == (reply.status, True, False)


OUTAGES = [
    Reply(b"<html>maintenance</html>", 503, HTML),
    Reply({"errors": [{"message": "An error occurred."}]}, 500),
    Reply(b"", 502),
    Reply(b"", 504),
    Reply(b'[{"id": 1}, {"id"'),
    Reply(b""),
    Reply(b'[{"id": 1}]', headers={"Content-Length": "500", "Connection": "close"}),
    Reply(b"no gzip", headers={"Content-Encoding": "gzip"}),
    Reply(gzip.compress(b"[1,2,3]" * 50)[:-9], headers={"Content-Encoding": "gzip"}),
    Reply(act=reset),
    Reply(b"[" * 100_000),
]


@pytest.mark.parametrize("outage", OUTAGES)
def test_outages_are_retried(client, server, slept, records, outage):
    server.on("x?per_page=100", outage, outage, Reply(ROWS))
    assert client.get_page(client.url("x")).rows == ROWS
    assert 0.25 <= slept[0] <= 0.5 <= slept[1] <= 1.0
    assert [(record.failed, record.retried) for record in records] == [
        (True, True),
        (True, True),
        (False, False),
    ]


@pytest.mark.parametrize("outage", OUTAGES)
def test_outages_that_stay_are_unavailable(make, server, records, outage):
    server.on("x?per_page=100", outage)
    client = make(max_tries=3)
    with pytest.raises(Unavailable, match="try later"):
        client.get_page(client.url("x"))
    assert [record.retried for record in records] == [True, True, False]


@pytest.mark.parametrize("status", [429, 403])
def test_a_throttled_page_is_never_an_empty_page(make, server, slept, records, status):
    throttle = Throttle(10, sleep=slept.append, clock=lambda: sum(slept), random=lambda: 1.0)
    client = make(throttle=throttle)
    refusal = Reply(RATE_LIMIT.body, status, PLAIN)
    server.on("x?per_page=100", refusal, refusal, Reply(ROWS))
    assert client.get_page(client.url("x")).rows == ROWS
    assert (throttle.hits, throttle.limit, slept) == (2, 2, [1.0, 2.0])
    assert [record.throttled for record in records] == [True, True, False]


def test_throttling_that_stays_is_unavailable(make, server):
    server.on("x", RATE_LIMIT)
    with pytest.raises(Throttled, match="lower the concurrency"):
        make(throttle=Throttle(sleep=lambda _: None, clock=iter(range(10_000)).__next__)).get_json("x")
    assert len(server.seen) == 6


@pytest.mark.parametrize(
    ("value", "waited"), [("7", 7.0), ("Sat, 03 Jan 2026 10:00:09 GMT", 9.0), ("0", None), ("soon", None)]
)
def test_retry_after_is_honoured_by_canvas_own_clock(client, server, slept, value, waited):
    server.on("x", Reply(b"", 503, {"Retry-After": value}), Reply({}))
    client.get_json("x")
    assert slept == [waited] if waited else slept[0] <= 0.5


def test_a_very_long_retry_after_is_left_to_the_caller(client, server, slept):
    server.on("x", Reply(b"", 503, {"Retry-After": "7200"}))
    with pytest.raises(Unavailable) as caught:
        client.get_json("x")
    assert (caught.value.retry_after, slept, len(server.seen)) == (7200.0, [], 1)


def test_no_slot_is_held_while_waiting(make, server):
    held = []
    throttle = Throttle(sleep=lambda _: held.append(throttle.in_flight))
    server.on("x", Reply(b"", 503), Reply({}))
    make(throttle=throttle).get_json("x")
    assert held == [0]


def test_redirects_are_not_followed(client, server):
    with scripted_canvas() as other:
        server.on("x", Reply(b"", 302, {"Location": f"{other.url}/api/v1/x"}))
        with pytest.raises(WrongAddress, match=r"redirects to 127\.0\.0\.1"):
            client.get_json("x")
        assert other.seen == []


def drip_body(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"[")
        handler.wfile.flush()
        time.sleep(0.05)


def drip_headers(handler):
    for _ in range(200):
        handler.wfile.write(b"X")
        handler.wfile.flush()
        time.sleep(0.05)


@pytest.mark.parametrize("drip", [drip_body, drip_headers])
def test_a_slow_drip_ends(make, server, drip):
    server.on("x", Reply(act=drip))
    began = time.monotonic()
    with pytest.raises(Unavailable, match="in time"):
        make(read_timeout=0.1, max_tries=1).get_json("x")
    assert time.monotonic() - began < 8


def test_silence_ends(make, server, records):
    server.on("x", Reply(act=lambda _: time.sleep(1)))
    with pytest.raises(Unavailable, match="in time"):
        make(read_timeout=0.05, max_tries=2).get_json("x")
    assert [(record.status, record.bytes) for record in records] == [(None, 0)] * 2


@pytest.mark.parametrize("compress", [False, True])
def test_a_body_beyond_the_limit_is_not_held(client, server, monkeypatch, compress):
    monkeypatch.setattr(answers, "MAX_BODY_BYTES", 2**20)
    monkeypatch.setattr(client_module, "CHUNK_BYTES", 2**16)
    server.on("x", Reply(b" " * 2**21, compress=compress))
    with pytest.raises(BrokenListing, match="larger than 1 MB"):
        client.get_json("x")


def test_nothing_listens(make, slept):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unavailable, match="ConnectionRefusedError"):
        make(f"http://127.0.0.1:{port}").get_json("x")
    assert len(slept) == 5


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://canvas.example.edu", "Plain http"),
        ("https://10.0.0.7", "private network"),
        ("https://169.254.169.254", "private network"),
        ("https://[fd00::1]", "private network"),
        ("https://[::ffff:10.0.0.7]", "private network"),
        ("canvas.example.edu", "as https://"),
        ("https://user:pw@canvas.example.edu", "as https://"),
        ("https://canvas.example.edu/api/v1", "only scheme and host"),
        ("https://canvas.example.edu?x=1", "only scheme and host"),
    ],
)
def test_an_address_the_token_must_not_go_to_is_refused_at_once(make, url, hint):
    with pytest.raises(WrongAddress, match=hint):
        make(url)


@pytest.mark.parametrize(
    "url", ["http://canvas.internal", "http://canvas.internal:8080", "https://10.0.0.7", "http://10.0.0.7:1"]
)
def test_listed_hosts_are_allowed(make, url):
    assert make(url, allow_insecure_hosts=["Canvas.internal", "10.0.0.7"]).origin == url


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "http://127.0.0.1", "http://[::1]:80", "https://127.0.0.1"]
)
def test_loopback_is_allowed(make, url):
    make(url)


def resolve_to(monkeypatch, answer):
    def getaddrinfo(host, port, *args, **kwargs):
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_public_name_that_leads_into_a_private_network_is_refused(make, server, monkeypatch):
    resolve_to(monkeypatch, "127.0.0.1")
    with pytest.raises(WrongAddress, match="private network"):
        make(f"https://canvas.example.edu:{server.port}").get_json("x")
    assert server.seen == []


def test_a_name_that_does_not_exist_is_a_wrong_address(make, slept, monkeypatch):
    resolve_to(monkeypatch, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    with pytest.raises(WrongAddress, match="no host of the name"):
        make("https://canvas.example.edu").get_json("x")
    assert slept == []


def test_a_resolver_out_of_order_is_an_outage(make, slept, monkeypatch):
    resolve_to(monkeypatch, socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"))
    with pytest.raises(Unavailable):
        make("https://canvas.example.edu").get_json("x")
    assert len(slept) == 5


def test_https_to_a_port_without_tls_is_a_wrong_address(make, server):
    with pytest.raises(WrongAddress, match="TLS"):
        make(server.url.replace("http:", "https:")).get_json("x")


def test_a_certificate_nobody_trusts_is_a_wrong_address(make, self_signed):
    with scripted_canvas(self_signed) as secure, pytest.raises(WrongAddress, match="certificate"):
        make(secure.url).get_json("x")


def test_tls_works_with_a_ca_bundle_of_the_environment(make, self_signed, monkeypatch):
    with scripted_canvas(self_signed) as secure:
        secure.on("x", Reply({"id": 1}))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", self_signed[0])
        assert make(secure.url).get_json("x").body == {"id": 1}


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory):
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "scripted canvas")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(paths[0]), str(paths[1])


# --- secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        Reply(says(f"Invalid access token {TOKEN}"), 401, CHALLENGE),
        Reply(says(f"user {TOKEN} not authorized\n\x1b[31m" + "x" * 500), 403),
        Reply(TOKEN.encode(), 503, HTML),
        Reply(TOKEN.encode(), 200, PLAIN),
        Reply(f"<p>{TOKEN}".encode(), 200, HTML),
        Reply(b"", 302, {"Location": f"https://login.example.edu/?access_token={TOKEN}"}),
        Reply(act=reset),
        RATE_LIMIT,
        Reply({"no": TOKEN}),
    ],
)
def test_the_token_is_in_no_error_in_no_form(make, server, records, reply):
    server.on("x?per_page=100", reply)
    client = make(max_tries=2, throttle=Throttle(sleep=lambda _: None, clock=iter(range(10_000)).__next__))
    with pytest.raises(CanvasError) as caught:
        client.get_page(client.url("x"))
    error = caught.value
    told = f"{error} {error!r} {''.join(traceback.format_exception(error))} {client!r} {records}"
    assert TOKEN not in told
    assert error.__context__ is None
    assert len(str(error)) < 500
    assert str(error).isprintable()


@pytest.mark.parametrize("token", ["", "  ", "abc\ndef", "abc\r\nX-Evil: 1", "tökén", "a\0b"])
def test_a_token_no_header_can_carry_is_refused_without_being_shown(server, token):
    with pytest.raises(TokenRejected) as caught:
        CanvasClient(server.url, token, throttle=Throttle())
    assert not token.strip() or token not in str(caught.value)


def test_a_token_copied_with_blanks_around_works(server):
    server.on("x", Reply({}))
    CanvasClient(server.url, f" {TOKEN}\n", throttle=Throttle()).get_json("x")
    assert server.seen[0][1]["Authorization"] == f"Bearer {TOKEN}"


# --- stopping and counting ------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["headers", "body", "back-off", "queue"])
def test_interrupt_ends_everything_at_once(server, where):
    throttle = Throttle(1)
    client = CanvasClient(server.url, TOKEN, throttle=throttle)
    ended, reached = [], threading.Event()

    def stall(handler):
        if where == "body":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b"[")
            handler.wfile.flush()
        reached.set()
        time.sleep(5)

    outage = Reply(b"", 503, {"Retry-After": "60"})
    server.on("x", outage if where == "back-off" else Reply(act=stall))

    def read():
        try:
            client.get_json("x")
        except Interrupted:
            ended.append(True)

    threads = [threading.Thread(target=read) for _ in range(3 if where == "queue" else 1)]
    for thread in threads:
        thread.start()
    reached.wait(0.3)
    began = time.monotonic()
    client.interrupt()
    for thread in threads:
        thread.join(4)
    assert ended == [True] * len(threads)
    assert time.monotonic() - began < 4
    with pytest.raises(Interrupted):
        client.get_json("x")


def test_every_attempt_is_recorded_without_its_query(client, server, records):
    body = json.dumps(ROWS).encode()
    server.on("courses/42/users?search_term=jane&per_page=100", Reply(b"", 500), Reply(body))
    client.get_page(client.url("courses/42/users", (("search_term", "jane"),)))
    assert [(record.method, record.path, record.status, record.bytes) for record in records] == [
        ("GET", "/api/v1/courses/42/users", 500, 0),
        ("GET", "/api/v1/courses/42/users", 200, len(body)),
    ]
    assert all(record.duration_ms > 0 for record in records)


def test_the_throttle_hears_what_remains(make, server):
    throttle = Throttle()
    server.on("x", Reply({}, headers={"X-Rate-Limit-Remaining": "551.5", "X-Request-Cost": "0.1"}))
    answer = make(throttle=throttle).get_json("x")
    assert throttle.remaining == 551.5
    assert answer.headers["X-Request-Cost"] == "0.1"
