import socket
import struct
import time

import pytest
from flask import request

from pixora.web.middleware import HEADERS, caller
from tests.timeouts import LONG

PATHS = [
    "/",
    "/openapi.json",
    "/docs",
    "/health",
    "/health/live",
    "/nowhere",
    "/api/users/me",
    "/docs/swagger-ui/swagger-ui.css",
]


@pytest.mark.parametrize("given", ["a", "Z.0_-", "x" * 64, "6f1c8b1e-5b0c-4f6e-9f58-2d0b8a3c1d2e"])
def test_a_well_formed_request_id_is_kept(client, given):
    assert client.get("/", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "<script>", "é", 'a"b', "a;b", "{}"])
def test_any_other_request_id_is_replaced(client, given):
    made = client.get("/", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert made != given
    assert len(made) == 32


def test_every_request_gets_its_own_id(client):
    assert client.get("/").headers["X-Request-ID"] != client.get("/").headers["X-Request-ID"]


@pytest.mark.parametrize("path", PATHS)
def test_every_response_carries_the_security_headers(client, path):
    with client.get(path) as response:
        headers = response.headers
    assert headers["X-Request-ID"]
    for name, value in HEADERS.items():
        assert headers.getlist(name) == [value]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/api/users/me", "/api/nowhere", "/api/auth/login"])
def test_answers_under_api_are_not_cached(client, path):
    assert client.get(path).headers["Cache-Control"] == "no-store"


@pytest.fixture
def remote_address(make_app):
    """The client address, scheme and host that an application behind `proxies` proxies sees."""

    def look(proxies, headers):
        with make_app(PROXY_COUNT=proxies).test_client() as client:
            client.get("/", headers=headers, environ_overrides={"REMOTE_ADDR": "10.0.0.9"})
            return request.remote_addr, request.scheme, request.host

    return look


SPOOFED = {
    "X-Forwarded-For": "1.1.1.1, 2.2.2.2",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Prefix": "/evil",
    "X-Real-IP": "3.3.3.3",
    "Forwarded": "for=4.4.4.4;host=evil.example",
}


def test_forwarding_headers_are_ignored_without_a_proxy(remote_address):
    assert remote_address(0, SPOOFED) == ("10.0.0.9", "http", "localhost")


def test_only_the_last_entry_counts_behind_one_proxy(remote_address):
    assert remote_address(1, SPOOFED) == ("2.2.2.2", "https", "localhost")


def test_the_last_but_one_entry_counts_behind_two_proxies(remote_address):
    assert remote_address(2, SPOOFED | {"X-Forwarded-Proto": "https, http"}) == ("1.1.1.1", "https", "localhost")


@pytest.mark.parametrize(
    "path", ["//health", "/api//users/me?x=1", "///docs", "//evil.example//x", "/\\\\evil.example//"]
)
def test_redirects_do_not_repeat_the_host_header(client, path):
    response = client.get(path, headers={"Host": "evil.example:99"})
    location = response.headers.get("Location", "/")
    assert not location.startswith(("//", "/\\"))
    assert location.startswith("/")
    assert "evil.example:99" not in response.text


def test_a_double_slash_redirects_to_the_path_with_one(client):
    response = client.get("/api//users/me?x=1")
    assert (response.status_code, response.headers["Location"]) == (308, "/api/users/me?x=1")


def test_head_answers_without_a_body(client, account):
    response = client.head("/api/users/me", headers=account.bearer)
    assert response.status_code == 200
    assert response.data == b""


@pytest.fixture
def connection():
    """Our end and the client's of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    with ours, theirs:
        yield ours, theirs


def leave(connection):
    connection.close()


def close_sending_side(connection):
    connection.shutdown(socket.SHUT_WR)


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def send_another_request(connection):
    connection.send(b"GET / HTTP/1.1")


@pytest.mark.parametrize(
    ("what", "proxies", "headers", "is_waiting"),
    [
        (send_another_request, 0, {}, True),
        (send_another_request, 1, {"X-Forwarded-For": "203.0.113.7"}, True),
        (close_sending_side, 0, {}, True),
        (close_sending_side, 0, {"X-Forwarded-For": "203.0.113.7"}, True),  # a claim of the client's
        (close_sending_side, 1, {}, True),  # past the proxy
        (reset, 0, {}, False),
        (reset, 1, {"X-Forwarded-For": "203.0.113.7"}, False),
        (leave, 1, {"X-Forwarded-For": "203.0.113.7"}, False),  # as a proxy does when its client has left
    ],
)
def test_a_caller_waits_until_it_can_no_longer_read_the_answer(
    make_app, connection, what, proxies, headers, is_waiting
):
    ours, theirs = connection
    environ = {"gunicorn.socket": ours}
    with make_app(PROXY_COUNT=proxies).test_request_context(headers=headers, environ_overrides=environ):
        ask = caller()
    assert ask()
    what(theirs)
    deadline = time.monotonic() + LONG
    while ask() != is_waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)  # what has been sent has arrived
    assert ask() == is_waiting
    ours.close()
    assert not ask()


def test_a_caller_without_a_known_connection_counts_as_waiting(app):
    with app.test_request_context():
        assert caller()()
