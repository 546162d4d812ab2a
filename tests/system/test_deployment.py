"""Real gunicorn behind real nginx, both with the configuration that is shipped."""

import http.client
import json
import re
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mongod import free_port

from tests.factories import PASSWORD, signup_body
from tests.system.conftest import running_nginx
from tests.timeouts import LONG, SOON

ROOT = Path(__file__).resolve().parents[2]


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    @property
    def json(self):
        return json.loads(self.text)


@pytest.fixture(scope="module")
def api(gunicorn):
    """The port of gunicorn, two workers, as it runs behind one proxy."""
    with gunicorn(WEB_CONCURRENCY="2", PROXY_COUNT="1") as url:
        yield int(url.rsplit(":", 1)[1])


@pytest.fixture(scope="module")
def nginx(api, tmp_path_factory):
    """The port of nginx in front of it."""
    with running_nginx(tmp_path_factory.mktemp("nginx"), api) as port:
        yield port


@pytest.fixture
def call(nginx):
    """Make a request through nginx, on a connection of its own."""

    def call(method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", nginx, timeout=LONG)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    return call


def assert_problem(answer, status, code):
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(answer.json) == {"type", "title", "status", "detail", "code", "request_id"}
    assert answer.json["status"] == status
    assert answer.json["code"] == code
    assert answer.headers["X-Request-ID"] == answer.json["request_id"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def exchange(port, *parts, pause=0.0):
    """Send raw bytes and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        received = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            while chunk := connection.recv(65536):
                received += chunk
        except (BrokenPipeError, ConnectionResetError):
            pass
        return received


def test_the_four_calls_work(call):
    created = call(
        "POST", "/api/auth/signup", json.dumps(signup_body(email="four@example.com")), Content_Type="application/json"
    )
    assert created.status == 201
    form = f"username=Four%40Example.com&password={PASSWORD}"
    login = call("POST", "/api/auth/login", form, Content_Type="application/x-www-form-urlencoded")
    assert login.status == 200
    bearer = f"Bearer {login.json['access_token']}"
    me = call("GET", "/api/users/me", Authorization=bearer)
    assert me.status == 200
    assert me.json["id"] == created.json["id"]
    assert call("GET", created.headers["Location"], Authorization=bearer).json == me.json


def test_a_body_over_the_limit_is_refused_by_nginx_in_our_shape(call):
    answer = call("POST", "/api/auth/signup", b"x" * 20_000, Content_Type="application/json")
    assert_problem(answer, 413, "payload_too_large")


@pytest.mark.parametrize("which", ["nginx", "api"])
def test_a_chunked_body_over_the_limit_is_refused(which, request):
    port = request.getfixturevalue(which)
    head = (
        b"POST /api/auth/signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    answer = exchange(port, head, *[b"1000\r\n" + b" " * 4096 + b"\r\n"] * 5, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"payload_too_large"' in answer


def test_a_body_of_just_the_limit_passes(call):
    body = json.dumps(signup_body(email="limit@example.com")).encode().ljust(16384)
    assert call("POST", "/api/auth/signup", body, Content_Type="application/json").status == 201


def test_headers_over_the_limit_are_refused_in_our_shape(call):
    answer = call("GET", "/", X_Large="x" * 20_000)
    assert answer.status in (400, 431)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_client_that_sends_its_headers_slowly_is_cut_off_and_holds_up_nobody(nginx, call):
    started = time.monotonic()
    slow = socket.create_connection(("127.0.0.1", nginx), 30)
    slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    for _ in range(5):
        asked = time.monotonic()
        assert call("GET", "/health/live").status == 200
        assert time.monotonic() - asked < SOON
    slow.settimeout(30)
    try:
        while slow.recv(65536):
            pass
    except ConnectionResetError:
        pass
    slow.close()
    assert 5 < time.monotonic() - started < LONG


@pytest.mark.parametrize(
    "header",
    [
        *("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Forwarded-Port"),
        *("traceparent", "tracestate", "baggage"),
    ],
)
def test_a_spoofed_forwarding_header_never_reaches_the_application(nginx, header, tmp_path):
    """A listener in the application's place sees what nginx sends on."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        running_nginx(tmp_path, listener.getsockname()[1]) as port,
        socket.create_connection(("127.0.0.1", port), 10) as client,
    ):
        head = f"GET /spoof HTTP/1.1\r\nHost: API.example.com:8443\r\n{header}: 6.6.6.6\r\nX-Request-ID: mine\r\n\r\n"
        client.sendall(head.encode())
        upstream, _ = listener.accept()
        received = upstream.recv(65536).decode()
        upstream.close()
    assert "6.6.6.6" not in received
    assert re.search(r"^x-forwarded-for: 127\.0\.0\.1\r$", received, re.MULTILINE | re.IGNORECASE)
    assert re.search(r"^x-forwarded-proto: http\r$", received, re.MULTILINE | re.IGNORECASE)
    assert re.search(r"^host: api\.example\.com:8443\r$", received, re.MULTILINE | re.IGNORECASE)
    assert re.search(r"^x-request-id: mine\r$", received, re.MULTILINE | re.IGNORECASE)


def test_many_requests_share_a_connection(nginx):
    connection = http.client.HTTPConnection("127.0.0.1", nginx, timeout=LONG)
    for _ in range(20):
        connection.request("GET", "/health/live")
        answer = Answer(connection.getresponse())
        assert answer.status == 200
        assert answer.headers["Connection"] != "close"
        assert connection.sock is not None
    connection.close()


def test_nginx_keeps_its_connections_to_gunicorn(nginx, api, call):
    for _ in range(30):
        call("GET", "/health/live")
    established = subprocess.run(
        ["ss", "-Htn", "state", "established", f"( dport = :{api} )"], capture_output=True, text=True
    )
    if established.returncode == 0:
        assert 1 <= len(established.stdout.splitlines()) <= 10


def test_a_request_id_passes_and_is_made_where_none_came(call):
    assert call("GET", "/", X_Request_ID="follow-me").headers["X-Request-ID"] == "follow-me"
    assert len(call("GET", "/").headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/metrics/x"])
def test_metrics_are_closed(call, path):
    assert_problem(call("GET", path), 404, "not_found")


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO", "Script-Name", "SCRIPT-NAME"])
@pytest.mark.parametrize("which", ["nginx", "api"])
def test_a_header_does_not_move_the_application(which, name, request):
    port = request.getfixturevalue(which)
    answer = exchange(
        port, f"GET /health/live HTTP/1.1\r\nHost: x\r\n{name}: /health\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
    assert b"not_found" not in answer


def test_metadata_leads_to_the_port_where_clients_come_in(call, nginx):
    metadata = call("GET", "/.well-known/oauth-authorization-server").json
    assert metadata["jwks_uri"] == f"http://127.0.0.1:{nginx}/.well-known/jwks.json"


def test_a_redirect_stays_where_the_client_is(call):
    answer = call("GET", "/api//users/me?x=1")
    assert (answer.status, answer.headers["Location"]) == (308, "/api/users/me?x=1")


def test_an_error_of_the_application_passes_nginx_untouched(call):
    answer = call("GET", "/api/users/me")
    assert_problem(answer, 401, "missing_token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_nginx_says_that_the_application_is_away_in_our_shape(tmp_path):
    with running_nginx(tmp_path, free_port()) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
        connection.request("GET", "/api/users/me")
        answer = Answer(connection.getresponse())
        connection.close()
    assert_problem(answer, 502, "bad_gateway")
    assert answer.headers["Retry-After"]


def test_chunks_that_are_not_well_formed_are_a_bad_request(api):
    head = (
        b"POST /api/auth/signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    answer = exchange(api, head, b"not a size\r\n{}\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"malformed_body"' in answer


def test_one_client_s_storm_of_logins_stops_at_nginx_and_not_the_others(nginx):
    form = f"username=nobody%40example.com&password={PASSWORD}"

    def log_in(address):
        connection = http.client.HTTPConnection("127.0.0.1", nginx, timeout=LONG, source_address=(address, 0))
        connection.request("POST", "/api/auth/login", form, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(log_in, ["127.0.0.2"] * 120))
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) >= 40
    assert_problem(refused[0], 429, "rate_limited")
    assert refused[0].headers["Retry-After"] == "5"
    assert log_in("127.0.0.3").status == 401


def storm(port, method, path, address):
    """Send 70 requests from a client of this address; return their status codes."""

    def call(_):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG, source_address=(address, 0))
        connection.request(method, path)
        answer = Answer(connection.getresponse())
        connection.close()
        return answer.status

    with ThreadPoolExecutor(35) as pool:
        return list(pool.map(call, range(70)))


def test_one_client_s_storm_of_deletions_stops_at_nginx(nginx):
    assert set(storm(nginx, "DELETE", "/api/users/me", "127.0.0.4")) == {401, 429}


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/users/me"), ("OPTIONS", "/api/auth/login")])
def test_nginx_counts_neither_reads_nor_preflights(nginx, method, path):
    assert 429 not in storm(nginx, method, path, "127.0.0.5")


def test_who_finds_the_waiting_room_full_gets_the_refusal_slowly_and_holds_up_nobody(gunicorn, tmp_path):
    with (
        gunicorn(GUNICORN_THREADS="5", BCRYPT_ROUNDS="15", PROXY_COUNT="1") as url,
        running_nginx(tmp_path, int(url.rsplit(":", 1)[1])) as port,
        ThreadPoolExecutor(1) as pool,
    ):

        def ask(method, path, body=None, media_type="text/plain"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=40)
            connection.request(method, path, body, {"Content-Type": media_type})
            answer = Answer(connection.getresponse())
            connection.close()
            return answer

        waiting = pool.submit(ask, "POST", "/api/auth/signup", json.dumps(signup_body()), "application/json")
        time.sleep(0.5)  # it has the only seat by now, and a hash of cost 15 takes some seconds
        began = time.monotonic()
        form = f"username=nobody%40example.com&password={PASSWORD}"
        refused = ask("POST", "/api/auth/login", form, "application/x-www-form-urlencoded")
        slowly = time.monotonic() - began
        assert (refused.status, refused.json["code"]) == (503, "overloaded")
        assert "X-Accel-Limit-Rate" not in refused.headers
        assert slowly > 1
        assert ask("GET", "/health").status == 200
        assert waiting.result().status == 201
