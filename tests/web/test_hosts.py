import pytest

from pixora.web.hosts import is_trusted


def ask(make_app, trusted, host, path="/"):
    return make_app(TRUSTED_HOSTS=trusted).test_client().get(path, headers={"Host": host})


@pytest.mark.parametrize(
    ("entry", "host", "expected"),
    [
        ("api.example.com", "api.example.com", True),
        ("api.example.com", "API.Example.COM", True),
        ("api.example.com", "api.example.com:8443", True),
        ("api.example.com", "api.example.com.", True),
        ("api.example.com", "evil.example", False),
        ("api.example.com", "api.example.com.evil.example", False),
        ("api.example.com", "evil.example/api.example.com", False),
        ("api.example.com", "evil.example:80@api.example.com", False),
        ("api.example.com", "api.example.com, evil.example", False),
        ("api.example.com", "xapi.example.com", False),
        ("api.example.com", "", False),
        (".example.com", "example.com", True),
        (".example.com", "a.b.example.com", True),
        (".example.com", "badexample.com", False),
        ("*.example.com", "a.example.com:80", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", 'a".example.com', False),
        ("[2001:db8::1]", "[2001:DB8::1]:8443", True),
        ("[2001:db8::1]", "[2001:db8::2]", False),
        ("192.0.2.1", "192.0.2.1:8000", True),
        ("my_service", "my_service:8000", True),
    ],
)
def test_hosts_are_compared_without_port_and_case(entry, host, expected):
    assert is_trusted(host, [entry]) is expected
    assert is_trusted(host, ["elsewhere.example", entry]) is expected


def test_a_trusted_host_gets_an_answer(make_app):
    assert ask(make_app, ["api.example.com"], "API.example.com").status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/users/me", "/nowhere", "/health/client", "//health"])
def test_any_other_host_gets_a_helpful_error(make_app, path):
    response = ask(make_app, ["api.example.com"], "evil.example", path)
    assert (response.status_code, response.json["code"]) == (400, "untrusted_host")
    assert "public name" in response.json["detail"]
    assert "evil" not in response.text


@pytest.mark.parametrize("path", ["/health", "/health/live", "/metrics"])
@pytest.mark.parametrize("host", ["10.0.0.5:8000", "evil.example", "", "[::1]"])
def test_probes_are_answered_on_any_host(make_app, path, host):
    assert ask(make_app, ["api.example.com"], host, path).status_code == 200


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("auth.example.com:8443", "http://auth.example.com:8443"),
        ("my_service:8000", "http://my_service:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("auth.example.com:80", "http://auth.example.com"),
        ("not a host", "http://localhost"),
    ],
)
def test_metadata_has_the_urls_of_the_requested_host(client, host, base):
    metadata = client.get("/.well-known/oauth-authorization-server", headers={"Host": host}).json
    assert metadata["jwks_uri"] == f"{base}/.well-known/jwks.json"


def test_metadata_has_the_public_url_if_configured(make_app):
    client = make_app(PUBLIC_URL="https://auth.example.com").test_client()
    metadata = client.get("/.well-known/oauth-authorization-server", headers={"Host": "evil.example:99"})
    assert metadata.json["jwks_uri"] == "https://auth.example.com/.well-known/jwks.json"
    assert "evil" not in metadata.text


def test_any_host_gets_an_answer_without_trusted_hosts(client):
    assert client.get("/", headers={"Host": "whatever.example"}).status_code == 200
