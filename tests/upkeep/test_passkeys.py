"""The doctor's checks of passkeys: the domain they belong to, and the documents that clients look for."""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mongod import free_port

from pixora.upkeep.passkeys import domain, published
from tests.authority import Authority
from tests.factories import fastapi_user

WEBAUTHN = {"origins": ["https://app.example.com"]}
WELL_KNOWN = {
    "WEBAUTHN_ORIGINS": ["https://app.example.com"],
    "WEBAUTHN_ANDROID_APPS": [],
    "LINK_MANAGE_PASSKEYS": "https://app.example.com/passkeys",
}
ENDPOINTS = json.dumps({"manage": "https://app.example.com/passkeys"}).encode()


@pytest.fixture
def store(users):
    """Store users with passkeys for these domains, None for one that was stored without."""

    def store(*domains):
        for number, rp_ids in enumerate(domains):
            passkeys = [
                {"credential_id": f"{number}.{place}".encode()} | ({"rp_id": rp_id} if rp_id else {})
                for place, rp_id in enumerate(rp_ids)
            ]
            users.insert_one(fastapi_user(email=f"user{number}@example.com", passkeys=passkeys))
        users.insert_one(fastapi_user(email="nobody@example.com"))

    return store


@pytest.fixture
def domains(make_app):
    """Return what the doctor finds of the stored passkeys: the states and the messages."""

    def domains(**settings):
        services = make_app(**settings).extensions["services"]
        return [(found.state.value, found.message) for found in domain(services.passkeys, services.settings)]

    return domains


def test_passkeys_of_our_domain_are_fine(store, domains):
    store(["example.com", "example.com"], ["example.com"])
    assert domains() == [("ok", "All 3 passkeys were made for WEBAUTHN_RP_ID, example.com.")]


def test_passkeys_of_another_domain_are_found(store, domains):
    store(["old.example.com", "example.com"], ["example.com", "old.example.com"], ["example.net"])
    [(state, message)] = domains()
    assert state == "fault"
    assert message == (
        "3 of 5 passkeys do not work: they were made for another domain than WEBAUTHN_RP_ID, example.com "
        "(example.net: 1, old.example.com: 2)."
    )


def test_passkeys_without_a_domain_are_reported_as_unknown(store, domains):
    store([None, "example.com"])
    assert domains() == [("unknown", "1 of 2 passkeys do not say for which domain they were made.")]


def test_passkeys_that_are_turned_off_are_reported(store, domains):
    store(["example.com"])
    [(state, message)] = domains(WEBAUTHN_ORIGINS=[])
    assert (state, "users have 1 passkeys that they cannot use" in message) == ("warning", True)


def test_without_passkeys_all_is_fine(store, domains):
    store()
    assert domains() == [("ok", "All 0 passkeys were made for WEBAUTHN_RP_ID, example.com.")]
    assert domains(WEBAUTHN_ORIGINS=[]) == [("ok", "WEBAUTHN_ORIGINS is not set: nobody can have a passkey.")]


class Website(BaseHTTPRequestHandler):
    """Answers with what the test has put in its place."""

    def do_GET(self):  # as http.server calls it
        status, media_type, body = self.server.answers.get(self.path, (404, "text/html", b""))
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def website(tmp_path, monkeypatch):
    """A web server with TLS."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    with HTTPServer(("127.0.0.1", 0), Website) as server:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority.issue())
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def documents(make_app):
    """Return what the doctor finds of the documents at a URL: the findings."""

    def documents(url, **settings):
        return list(published(url, make_app(**WELL_KNOWN | settings).extensions["services"].settings))

    return documents


@pytest.mark.parametrize(
    ("answer", "state", "text"),
    [
        ((200, "application/json", json.dumps(WEBAUTHN).encode()), "ok", "has the documents about passkeys"),
        ((200, "application/json; charset=utf-8", json.dumps(WEBAUTHN | {"new": 1}).encode()), "ok", ""),
        ((200, "application/json", b'{"origins": ["https://b.com", "https://app.example.com"]}'), "ok", ""),
        ((301, "text/html", b""), "fault", "redirects (301), and clients do not follow"),
        ((404, "text/html", b""), "fault", "answers with status 404"),
        ((200, "text/html", json.dumps(WEBAUTHN).encode()), "fault", "has the type text/html"),
        ((200, "application/json", b'{"origins": []}'), "fault", "does not have all that the settings say"),
        ((200, "application/json", b'{"origins": {"https://app.example.com": 1}}'), "fault", "does not have all"),
        ((200, "application/json", b"[]"), "fault", "does not have all"),
        ((200, "application/json", b"<html>"), "fault", "does not have all"),
        ((200, "application/json", b"[" * 60_000), "fault", "does not have all"),
        ((200, "application/json", b"\xff"), "fault", "does not have all"),
    ],
    ids=str,
)
def test_each_fault_of_a_document_is_named(website, documents, answer, state, text):
    rp_id = f"127.0.0.1:{website.server_port}"  # so that the domain is that of the URL
    endpoints = (200, "application/json", ENDPOINTS)
    website.answers = {"/.well-known/webauthn": answer, "/.well-known/passkey-endpoints": endpoints}
    [finding] = documents(f"https://{rp_id}", WEBAUTHN_RP_ID=rp_id)
    assert (finding.state, text in finding.message) == (state, True), finding
    assert bool(finding.advice) == (state == "fault")


def test_the_domain_is_asked_beside_the_url_of_the_service(website, documents):
    rp_id = f"127.0.0.1:{free_port()}"
    website.answers = {}
    first, second, third = documents(f"https://127.0.0.1:{website.server_port}", WEBAUTHN_RP_ID=rp_id)
    assert "/.well-known/webauthn answers with status 404" in first.message
    assert "/.well-known/passkey-endpoints answers with status 404" in second.message
    assert (third.state, f"https://{rp_id} cannot be reached" in third.message) == ("unknown", True)


def test_without_a_url_or_documents_nothing_is_asked(documents):
    [finding] = documents(None)
    assert (finding.state, finding.advice) == ("unknown", "Pass --url, or set PUBLIC_URL.")
    [finding] = documents("https://auth.example.com", WEBAUTHN_ORIGINS=[])
    assert finding.state == "ok"
