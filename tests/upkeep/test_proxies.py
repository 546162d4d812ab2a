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
    ("seen", "state", "told"),
    [
        (Seen(PUBLIC, PUBLIC, [MADE_UP], 0), State.OK, f"takes us for {PUBLIC}"),
        (Seen(PUBLIC, PEER, [PUBLIC], 1), State.OK, ""),
        (Seen(PUBLIC, PEER, [MADE_UP, PUBLIC], 1), State.OK, ""),
        (Seen(PUBLIC, PEER, [MADE_UP, PUBLIC, INNER], 2), State.OK, ""),
        (Seen(PEER, PEER, [PUBLIC], 0), State.FAULT, "Set PROXY_COUNT=1"),
        (Seen(PEER, PEER, [MADE_UP, PUBLIC], 0), State.FAULT, "Set PROXY_COUNT=1"),
        (Seen(INNER, PEER, [MADE_UP, PUBLIC, INNER], 1), State.FAULT, "Set PROXY_COUNT=2"),
        (Seen(MADE_UP, PUBLIC, [MADE_UP], 1), State.FAULT, "Set PROXY_COUNT=0"),
        (Seen(MADE_UP, PEER, [MADE_UP, PUBLIC], 2), State.FAULT, "make up its address"),
        (Seen(PEER, PEER, [PUBLIC], 2), State.FAULT, "Set PROXY_COUNT=1"),
        (Seen(PEER, PEER, [], 0), State.FAULT, "takes X-Forwarded-For away"),
        (Seen(INNER, PEER, [INNER], 1), State.WARNING, "an address of an inner network"),
        (Seen(PUBLIC, PEER, [MADE_UP, f"{PUBLIC}:40001"], 1), State.OK, ""),
        (Seen(PEER, PEER, [MADE_UP, "_hidden"], 1), State.FAULT, "'_hidden' for us"),
        (Seen(PEER, PEER, [MADE_UP, ""], 1), State.FAULT, "is no IP address"),
        (Seen(INNER, PEER, [MADE_UP, "_hidden", INNER], 2), State.FAULT, "'_hidden' for us"),
    ],
)
def test_what_the_proxies_have_made_of_us_is_judged(seen, state, told):
    finding = judge(seen, MADE_UP, SERVER)
    assert finding.state is state
    assert told in f"{finding.told} {finding.advice}"


def test_an_inner_address_is_right_on_the_way_to_one():
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
def test_an_answer_that_tells_nothing_is_told(body, state):
    assert _read(404, body, MADE_UP, SERVER).state is state


class Elsewhere(BaseHTTPRequestHandler):
    """Sends all who come to another server, and notes what they brought."""

    def do_GET(self):  # as http.server calls it
        self.server.came.append((self.path, self.headers["X-Forwarded-For"]))
        self.send_response(307)
        self.send_header("Location", f"https://127.0.0.1:{self.server.server_port}/elsewhere")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def elsewhere(tmp_path):
    """A server with TLS that redirects: its URL, its authority, and what has come there."""
    authority = Authority(tmp_path)
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        server.came = []
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority.issue())
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", authority, server.came
        server.shutdown()
        thread.join()


def test_the_pass_goes_to_no_other_server(elsewhere, monkeypatch):
    url, authority, came = elsewhere
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    [finding] = client(url, "secret")
    assert (finding.state, "answers 307" in finding.told) == (State.UNKNOWN, True)
    [(path, address), (metadata, _)] = came
    assert (path, metadata) == ("/health/client", "/.well-known/oauth-authorization-server")
    assert address.startswith("192.0.2.")


def test_a_server_that_cannot_be_trusted_gets_no_pass(elsewhere):
    url, _, came = elsewhere
    [finding] = client(url, "secret")
    assert (finding.state, "its certificate is not trusted" in finding.told) == (State.UNKNOWN, True)
    assert came == []


@pytest.mark.parametrize(
    ("body", "url", "findings"),
    [
        (b'{"jwks_uri": "https://a.example.com:8443/jwks"}', "https://a.example.com:8443", 0),
        (b'{"jwks_uri": "https://a.example.com/jwks"}', "https://a.example.com:8443", 1),
        (b'{"jwks_uri": "http://a.example.com:8443/jwks"}', "https://a.example.com:8443/", 1),
        *((body, "https://a.example.com", 0) for body in (b"", b"[]", b"{}", b"\xff")),
    ],
)
def test_metadata_that_leads_elsewhere_is_reported(body, url, findings):
    assert [finding.state for finding in _judge_metadata(body, url)] == [State.WARNING] * findings


def test_without_a_service_there_is_nothing_to_tell():
    [finding] = client(f"http://127.0.0.1:{free_port()}", "secret")
    assert finding.state is State.UNKNOWN
    [finding] = client(None, "secret")
    assert (finding.state, finding.advice) == (State.UNKNOWN, "Give --url, or set PUBLIC_URL.")
