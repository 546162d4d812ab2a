import re

import pytest

from pixora.web.cors import ALLOWED_HEADERS, EXPOSED_HEADERS, MAX_AGE

ORIGIN = "https://app.example.com"


@pytest.fixture
def client_of(make_app):
    """A client of an application with these in CORS_ORIGINS."""

    def client(*origins, **settings):
        return make_app(CORS_ORIGINS=list(origins), **settings).test_client()

    return client


def preflight(client, header, method="GET", origin=ORIGIN, path="/api/users/me", **options):
    names = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": header}
    return client.options(path, headers={"Origin": origin, **names}, **options)


def allowed(client, origin):
    return client.get("/", headers={"Origin": origin}).headers.get("Access-Control-Allow-Origin")


def test_without_origins_no_cors_header_is_sent(client):
    response = client.get("/", headers={"Origin": ORIGIN})
    assert not [name for name, _ in response.headers if name.startswith("Access-Control") or name == "Vary"]


@pytest.mark.parametrize("path", ["/", "/api/users/me", "/nowhere"])
def test_a_configured_origin_can_read_answers_and_errors(client_of, path):
    headers = client_of(ORIGIN).get(path, headers={"Origin": ORIGIN}).headers
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert headers["Access-Control-Expose-Headers"].split(", ") == sorted(EXPOSED_HEADERS)
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
def test_a_configured_origin_can_send_a_token(client_of, method):
    response = preflight(client_of(ORIGIN), "authorization", method)
    assert response.status_code == 200
    assert "Authorization" in response.headers["Access-Control-Allow-Headers"].split(", ")
    assert method in response.headers["Access-Control-Allow-Methods"].split(", ")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", "/nowhere", 404), ("GET", "/api/users/me/", 404), ("PUT", "/api/users/me", 405)),
        ("GET", "/api//users/me", 308),
    ],
)
def test_a_page_is_allowed_to_send_a_request_that_fails_so_that_it_can_read_why(client_of, method, path, status):
    client = client_of(ORIGIN)
    response = preflight(client, "authorization", method, path=path)
    assert response.status_code == 200
    assert method in response.headers["Access-Control-Allow-Methods"].split(", ")
    response = client.open(path, method=method, headers={"Origin": ORIGIN})
    assert response.status_code == status
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_a_page_can_read_that_its_host_is_not_trusted(client_of):
    client = client_of(ORIGIN, TRUSTED_HOSTS=["auth.example.com"])
    assert preflight(client, "authorization", base_url="http://other.example.com").status_code == 200
    response = client.get("/api/users/me", headers={"Origin": ORIGIN}, base_url="http://other.example.com")
    assert response.json["code"] == "untrusted_host"
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize("headers", [{"Origin": ORIGIN}, {"Origin": "https://evil.example"}, {}])
def test_what_is_no_preflight_of_an_allowed_origin_gets_the_404_of_its_url(client_of, headers):
    if headers != {"Origin": ORIGIN}:
        headers = headers | {"Access-Control-Request-Method": "GET"}
    assert client_of(ORIGIN).options("/nowhere", headers=headers).status_code == 404


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://app.example.com.evil.example", "http://app.example.com", "null"]
)
def test_other_origins_are_not_allowed(client_of, origin):
    assert allowed(client_of(ORIGIN), origin) is None


@pytest.mark.parametrize(
    ("entry", "origin", "may"),
    [
        ("https://*.example.com", "https://app.example.com", True),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://.example.com", False),
        ("https://*.example.com", "https://xexample.com", False),
        ("https://*.example.com", "https://xexample.com.evil.net", False),
        ("https://*.example.com", "https://app.example.com.evil.net", False),
        ("https://*.example.com", "https://app.example.com:8443", False),
        ("https://*.example.com", "https://app.exampleXcom", False),
        ("https://*.example.com", "http://app.example.com", False),
        ("https://*.example.com", "https://evil.net/.example.com", False),
        ("https://*.example.com", "https://evil.net?a.example.com", False),
        ("https://*.example.com", "https://a..example.com", False),
        ("https://*.example.com:8443", "https://app.example.com:8443", True),
        ("https://*.example.com:8443", "https://app.example.com", False),
        ("http://[::1]:3000", "http://[::1]:3000", True),
        ("http://[::1]:3000", "http://:3000", False),
        ("http://[::1]:3000", "http://[::1]", False),
        ("http://localhost:3000", "http://localhost:30000", False),
    ],
)
def test_an_entry_matches_whole_origins_only(client_of, entry, origin, may):
    assert allowed(client_of(entry), origin) == (origin if may else None)


@pytest.mark.parametrize("header", [*ALLOWED_HEADERS, "x-client-version"])
def test_pages_can_send_the_usual_and_the_configured_headers(client_of, header):
    response = preflight(client_of(ORIGIN, CORS_ALLOW_HEADERS=["X-Client-Version"]), header.lower())
    assert header.lower() in response.headers["Access-Control-Allow-Headers"].lower().split(", ")


def test_pages_cannot_send_other_headers(client_of):
    response = preflight(client_of(ORIGIN), "x-client-version")
    assert set(response.headers["Access-Control-Allow-Headers"].split(", ")) == set(ALLOWED_HEADERS)


def test_a_browser_may_remember_a_preflight(client_of):
    assert preflight(client_of(ORIGIN), "authorization").headers["Access-Control-Max-Age"] == str(MAX_AGE)


def test_the_preflight_of_another_origin_allows_nothing(client_of):
    response = preflight(client_of(ORIGIN), "authorization", origin="https://evil.example")
    assert not [name for name, _ in response.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("path", ["/", "/api/users/me", "/nowhere", "/.well-known/jwks.json", "/openapi.json"])
@pytest.mark.parametrize("headers", [{}, {"Origin": ORIGIN}, {"Origin": "https://evil.example"}])
@pytest.mark.parametrize("origins", [[ORIGIN], [ORIGIN, "https://*.example.org"]])
def test_every_answer_varies_by_origin(client_of, path, headers, origins):
    assert "Origin" in client_of(*origins).get(path, headers=headers).vary


def test_pages_can_read_the_name_of_an_exported_file(client_of):
    exposed = client_of(ORIGIN).get("/", headers={"Origin": ORIGIN}).headers["Access-Control-Expose-Headers"]
    assert re.search(r"\bContent-Disposition\b", exposed)
