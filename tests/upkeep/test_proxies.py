import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mongod import free_port

from pixora.upkeep.findings import State
from pixora.upkeep.proxies import Seen, _judge_metadata, _read, client, judge
from tests.authority import Authority

MADE_UP, US, PEER, INNER, SERVER = "192.0.2.7", "198.51.100.9", "127.0.0.1", "10.0.0.5", "93.184.216.34"
PUBLIC = "8.8.8.8"


@pytest.mark.parametrize(
    ("seen", "state", "text"),
    [
        (Seen(PUBLIC, PUBLIC, [MADE_UP], 0), State.OK, f"sees the doctor as {PUBLIC}"),
        (Seen(PUBLIC, PEER, [PUBLIC], 1), State.OK, ""),
        (Seen(PUBLIC, PEER, [MADE_UP, PUBLIC], 1), State.OK, ""),
        (Seen(PUBLIC, PEER, [MADE_UP, PUBLIC, INNER], 2), State.OK, ""),
        (Seen(PEER, PEER, [PUBLIC], 0), State.FAULT, "Set PROXY_COUNT=1"),
        (Seen(PEER, PEER, [MADE_UP, PUBLIC], 0), State.FAULT, "Set PROXY_COUNT=1"),
        (Seen(INNER, PEER, [MADE_UP, PUBLIC, INNER], 1), State.FAULT, "Set PROXY_COUNT=2"),
        (Seen(MADE_UP, PUBLIC, [MADE_UP], 1), State.FAULT, "Set PROXY_COUNT=0"),
        (Seen(MADE_UP, PEER, [MADE_UP, PUBLIC], 2), State.FAULT, "can forge its IP"),
        (Seen(PEER, PEER, [PUBLIC], 2), State.FAULT, "Set PROXY_COUNT=1"),
        (Seen(PUBLIC, PUBLIC, [MADE_UP], 2), State.FAULT, "Set PROXY_COUNT=0"),
        (Seen(PEER, PEER, [], 2), State.FAULT, "removes X-Forwarded-For"),
        (Seen(PEER, PEER, [], 0), State.FAULT, "removes X-Forwarded-For"),
        (Seen(INNER, PEER, [INNER], 1), State.WARNING, "an IP of a private network"),
        (Seen(PUBLIC, PEER, [MADE_UP, f"{PUBLIC}:40001"], 1), State.OK, ""),
        (Seen(PEER, PEER, [MADE_UP, "_hidden"], 1), State.FAULT, "adds '_hidden'"),
        (Seen(PEER, PEER, [MADE_UP, ""], 1), State.FAULT, "is not an IP address"),
        (Seen(INNER, PEER, [MADE_UP, "_hidden", INNER], 2), State.FAULT, "adds '_hidden'"),
    ],
)
def test_what_the_service_saw_through_its_proxies_is_judged(seen, state, text):
    finding = judge(seen, MADE_UP, SERVER)
    assert finding.state is state
    assert text in f"{finding.message} {finding.advice}"


def test_a_private_client_of_a_private_server_is_fine():
    assert judge(Seen(PEER, PEER, [PEER], 1), MADE_UP, "127.0.0.1").state is State.OK


@pytest.mark.parametrize(
    ("body", "state"),
    [
        *((b'{"code": "not_found"}', State.FAULT), (b'{"code": "untrusted_host"}', State.FAULT)),
        *((b"<html>", State.UNKNOWN), (b"[]", State.UNKNOWN), (b'{"detail": "Not Found"}', State.UNKNOWN)),
        (b'{"client": 7, "peer": "", "forwarded": [], "proxy_count": "0"}', State.UNKNOWN),
        (b"\xff", State.UNKNOWN),
    ],
)
def test_an_unexpected_answer_is_reported(body, state):
    assert _read(404, body, MADE_UP, SERVER).state is state


class Elsewhere(BaseHTTPRequestHandler):
    """Redirects every request to another server, and keeps its path and X-Forwarded-For."""

    def do_GET(self):  # as http.server calls it
        self.server.received.append((self.path, self.headers["X-Forwarded-For"]))
        self.send_response(307)
        self.send_header("Location", f"https://127.0.0.1:{self.server.server_port}/elsewhere")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def elsewhere(tmp_path):
    """A TLS server that redirects: its URL, its authority and the requests it received."""
    authority = Authority(tmp_path)
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        server.received = []
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority.issue())
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", authority, server.received
        server.shutdown()
        thread.join()


def test_the_doctors_pass_is_not_sent_to_another_server(elsewhere, monkeypatch):
    url, authority, received = elsewhere
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    [finding] = client(url, "secret")
    assert (finding.state, "answers with status 307" in finding.message) == (State.UNKNOWN, True)
    [(path, forwarded), (metadata, _)] = received
    assert (path, metadata) == ("/health/client", "/.well-known/oauth-authorization-server")
    assert forwarded.startswith("192.0.2.")


def test_an_untrusted_server_does_not_receive_the_pass(elsewhere):
    url, _, received = elsewhere
    [finding] = client(url, "secret")
    assert (finding.state, "its certificate is not trusted" in finding.message) == (State.UNKNOWN, True)
    assert received == []


@pytest.mark.parametrize(
    ("body", "url", "findings"),
    [
        (b'{"jwks_uri": "https://a.example.com:8443/jwks"}', "https://a.example.com:8443", 0),
        (b'{"jwks_uri": "https://a.example.com/jwks"}', "https://a.example.com:8443", 1),
        (b'{"jwks_uri": "http://a.example.com:8443/jwks"}', "https://a.example.com:8443/", 1),
        *((body, "https://a.example.com", 0) for body in (b"", b"[]", b"{}", b"\xff")),
    ],
)
def test_metadata_that_points_elsewhere_is_reported(body, url, findings):
    assert [finding.state for finding in _judge_metadata(body, url)] == [State.WARNING] * findings


def test_an_unreachable_service_is_reported():
    [finding] = client(f"http://127.0.0.1:{free_port()}", "secret")
    assert finding.state is State.UNKNOWN
    [finding] = client(None, "secret")
    assert (finding.state, finding.advice) == (State.UNKNOWN, "Pass --url, or set PUBLIC_URL.")
