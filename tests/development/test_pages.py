"""The landing page and the outbox of development."""

import html
import re

import pytest

from tests.factories import sign_up

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}


@pytest.fixture
def development(make_app):
    return make_app(PIXORA_ENV="development").test_client()


def test_a_browser_gets_a_landing_page_whose_links_work(development):
    page = development.get("/", headers=BROWSER)
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Vary"] == "Accept"
    paths = set(re.findall(r'href="(/[^"]*)"', page.text))
    assert {"/docs", "/outbox", "/metrics", "/health", "/openapi.json", "/.well-known/jwks.json"} <= paths
    for path in paths:
        with development.get(path, headers=BROWSER) as response:
            assert response.status_code == 200, path


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "application/json, text/html;q=0.9"])
def test_programs_get_json(development, accept):
    response = development.get("/", headers={"Accept": accept} if accept else {})
    assert response.json["name"] == "Pixora"


def test_other_methods_are_refused_as_before(development):
    assert development.post("/", headers=BROWSER).status_code == 405


def test_elsewhere_there_is_neither(client):
    assert client.get("/", headers=BROWSER).json["name"] == "Pixora"
    assert client.get("/outbox").status_code == 404


def test_the_outbox_shows_each_email_with_its_link(development):
    assert "The outbox is empty." in development.get("/outbox").text
    sign_up(development)
    sign_up(development, email="grace@example.com", locale="de")
    page = development.get("/outbox")
    assert page.headers["Cache-Control"] == "no-store"
    assert page.text.index("E-Mail-Adresse bestätigen") < page.text.index("Verify your e-mail address")
    frames = re.findall(r'<iframe [^>]*srcdoc="([^"]*)"', page.text)
    assert [html.unescape(frame)[:15] for frame in frames] == ["<!doctype html>"] * 2
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text
    link = html.unescape(re.findall('href="([^"]*token=[^"]*)"', page.text)[0]).removeprefix("http://127.0.0.1:8000")
    assert "Passwort" in development.get(link).text


def test_what_people_typed_is_escaped(development, users):
    sign_up(development)
    users.update_one({}, {"$set": {"letters.0.to": '"><script>alert(1)</script>@example.com'}})
    assert "<script>" not in development.get("/outbox").text


@pytest.mark.parametrize(
    ("host", "client_ip", "status"),
    [
        ("localhost:8000", "127.0.0.1", 200),
        ("127.0.0.1:8000", "127.0.0.1", 200),
        ("[::1]:8000", "::1", 200),
        ("192.168.1.5:8000", "192.168.1.9", 200),
        ("rebound.example.com", "127.0.0.1", 404),
        ("localhost.example.com", "127.0.0.1", 404),
        ("localhost", "198.41.0.4", 404),
        ("198.41.0.5", "127.0.0.1", 404),
        ("", "127.0.0.1", 404),
    ],
)
def test_only_this_machine_and_its_network_see_the_outbox(development, host, client_ip, status):
    environ = {"REMOTE_ADDR": client_ip, "HTTP_HOST": host}
    assert development.get("/outbox", environ_overrides=environ).status_code == status


def test_a_configured_host_is_one_of_the_own_names(make_app):
    client = make_app(PIXORA_ENV="development", TRUSTED_HOSTS=["pixora.test"]).test_client()
    assert client.get("/outbox", environ_overrides={"HTTP_HOST": "pixora.test:8000"}).status_code == 200
