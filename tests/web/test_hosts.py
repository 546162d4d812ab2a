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
def test_a_host_is_compared_without_its_port_and_without_regard_to_case(entry, host, expected):
    assert is_trusted(host, [entry]) is expected
    assert is_trusted(host, ["elsewhere.example", entry]) is expected


def test_a_trusted_host_is_answered(make_app):
    assert ask(make_app, ["api.example.com"], "API.example.com").status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/users/me", "/nowhere", "/health/client", "//health"])
def test_any_other_gets_a_sentence_that_helps(make_app, path):
    response = ask(make_app, ["api.example.com"], "evil.example", path)
    assert (response.status_code, response.json["code"]) == (400, "untrusted_host")
    assert "public name" in response.json["detail"]
    assert "evil" not in response.text


@pytest.mark.parametrize("path", ["/health", "/health/live", "/metrics"])
@pytest.mark.parametrize("host", ["10.0.0.5:8000", "evil.example", "", "[::1]"])
def test_probes_come_by_address(make_app, path, host):
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
def test_metadata_leads_to_where_it_was_asked_for(client, host, base):
    metadata = client.get("/.well-known/oauth-authorization-server", headers={"Host": host}).json
    assert metadata["jwks_uri"] == f"{base}/.well-known/jwks.json"


def test_metadata_leads_to_the_public_url_where_there_is_one(make_app):
    client = make_app(PUBLIC_URL="https://auth.example.com").test_client()
    metadata = client.get("/.well-known/oauth-authorization-server", headers={"Host": "evil.example:99"})
    assert metadata.json["jwks_uri"] == "https://auth.example.com/.well-known/jwks.json"
    assert "evil" not in metadata.text


def test_without_a_list_any_host_is_answered(client):
    assert client.get("/", headers={"Host": "whatever.example"}).status_code == 200
