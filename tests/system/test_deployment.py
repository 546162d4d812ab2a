"""Real gunicorn behind real nginx, both with the configuration that is shipped."""

import http.client
import json
import re
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from mongod import free_port

from tests.factories import log_in, sign_up, signup_body
from tests.system.client import Client
from tests.system.conftest import running_nginx
from tests.timeouts import LONG, SOON, wait_until


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
def client(nginx):
    """Asks through nginx."""
    return Client(f"http://127.0.0.1:{nginx}")


def assert_problem(answer, status, code):
    assert answer.status_code == status
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


def test_the_four_calls_work(client):
    created = sign_up(client, email="four@example.com")
    assert created.status_code == 201
    login = log_in(client, "Four@Example.com")
    assert login.status_code == 200
    bearer = {"Authorization": f"Bearer {login.json['access_token']}"}
    me = client.get("/api/users/me", headers=bearer)
    assert me.status_code == 200
    assert me.json["id"] == created.json["id"]
    assert client.get(created.headers["Location"], headers=bearer).json == me.json


def test_a_body_over_the_limit_is_refused_by_nginx_in_our_shape(client):
    answer = client.post("/api/auth/signup", data=b"x" * 20_000, content_type="application/json")
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


def test_a_body_of_just_the_limit_passes(client):
    body = json.dumps(signup_body(email="limit@example.com")).encode().ljust(16384)
    assert client.post("/api/auth/signup", data=body, content_type="application/json").status_code == 201


def test_headers_over_the_limit_are_refused_in_our_shape(client):
    answer = client.get("/", headers={"X-Large": "x" * 20_000})
    assert answer.status_code in (400, 431)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_client_that_sends_its_headers_slowly_is_cut_off_and_holds_up_nobody(nginx, client):
    started = time.monotonic()
    slow = socket.create_connection(("127.0.0.1", nginx), 30)
    slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    for _ in range(5):
        asked = time.monotonic()
        assert client.get("/health/live").status_code == 200
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
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        assert answer.headers["Connection"] != "close"
        assert connection.sock is not None
    connection.close()


def test_nginx_keeps_its_connections_to_gunicorn(nginx, api, client):
    for _ in range(30):
        client.get("/health/live")
    established = subprocess.run(
        ["ss", "-Htn", "state", "established", f"( dport = :{api} )"], capture_output=True, text=True
    )
    if established.returncode == 0:
        assert 1 <= len(established.stdout.splitlines()) <= 10


def test_a_request_id_passes_and_is_made_where_none_came(client):
    assert client.get("/", headers={"X-Request-ID": "follow-me"}).headers["X-Request-ID"] == "follow-me"
    assert len(client.get("/").headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/metrics/x"])
def test_metrics_are_closed(client, path):
    assert_problem(client.get(path), 404, "not_found")


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO", "Script-Name", "SCRIPT-NAME"])
@pytest.mark.parametrize("which", ["nginx", "api"])
def test_a_header_does_not_move_the_application(which, name, request):
    port = request.getfixturevalue(which)
    answer = exchange(
        port, f"GET /health/live HTTP/1.1\r\nHost: x\r\n{name}: /health\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
    assert b"not_found" not in answer


def test_metadata_leads_to_the_port_where_clients_come_in(client, nginx):
    metadata = client.get("/.well-known/oauth-authorization-server").json
    assert metadata["jwks_uri"] == f"http://127.0.0.1:{nginx}/.well-known/jwks.json"


def test_a_redirect_stays_where_the_client_is(client):
    answer = client.get("/api//users/me?x=1")
    assert (answer.status_code, answer.headers["Location"]) == (308, "/api/users/me?x=1")


def test_an_error_of_the_application_passes_nginx_untouched(client):
    answer = client.get("/api/users/me")
    assert_problem(answer, 401, "missing_token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_nginx_says_that_the_application_is_away_in_our_shape(tmp_path):
    with running_nginx(tmp_path, free_port()) as port:
        answer = Client(f"http://127.0.0.1:{port}").get("/api/users/me")
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
    one, other = (Client(f"http://127.0.0.1:{nginx}", ip) for ip in ("127.0.0.2", "127.0.0.3"))
    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(lambda _: log_in(one, "nobody@example.com"), range(120)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 40
    assert_problem(refused[0], 429, "rate_limited")
    assert refused[0].headers["Retry-After"] == "5"
    assert log_in(other, "nobody@example.com").status_code == 401


def test_a_service_introspects_many_tokens_but_not_any_number(tmp_path):
    request = b"POST /api/auth/introspect HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n%b\r\n"
    with running_nginx(tmp_path, free_port()) as port:  # the application is away, so this takes no time
        answers = exchange(port, request % b"" * 399 + request % b"Connection: close\r\n")
    assert answers.count(b"HTTP/1.1 502 ") > 200
    assert answers.count(b"HTTP/1.1 429 ") > 0
    assert answers.count(b"HTTP/1.1 ") == 400


def storm(port, method, path, ip):
    """Send 70 requests from a client of this address; return their status codes."""
    client = Client(f"http://127.0.0.1:{port}", ip)
    with ThreadPoolExecutor(35) as pool:
        return [answer.status_code for answer in pool.map(lambda _: client.open(path, method=method), range(70))]


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
        client = Client(f"http://127.0.0.1:{port}")
        waiting = pool.submit(sign_up, client)
        # It has the only slot by now, and a hash of cost 15 takes some seconds.
        wait_until(lambda: "\npixora_hashing_queue 1.0\n" in Client(url).get("/metrics").text)
        began = time.monotonic()
        refused = log_in(client, "nobody@example.com")
        slowly = time.monotonic() - began
        assert (refused.status_code, refused.json["code"]) == (503, "overloaded")
        assert "X-Accel-Limit-Rate" not in refused.headers
        assert slowly > 1
        assert client.get("/health").status_code == 200
        assert waiting.result().status_code == 201
