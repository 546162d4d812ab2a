"""`POST /api/auth/token`: the token endpoint of RFC 6749."""

import jwt
import pytest

from pixora.errors import DatabaseUnavailable
from tests.factories import PASSWORD, SERVICE, SERVICE_KEY
from tests.oauth.conftest import assert_error, basic


def claims(response):
    return jwt.decode(response.json["access_token"], options={"verify_signature": False})


def test_a_password_gets_tokens(account, password_grant, get_me):
    response = password_grant()
    assert response.status_code == 200
    assert set(response.json) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert response.json["token_type"] == "bearer"
    assert response.headers["Cache-Control"] == "no-store"
    assert get_me(response.json["access_token"]) == 200


def test_a_refresh_token_gets_tokens(account, refresh_grant, get_me):
    response = refresh_grant(account.refresh_token)
    assert response.status_code == 200
    assert response.json["refresh_token"] != account.refresh_token
    assert get_me(response.json["access_token"]) == 200


def test_tokens_of_both_ways_are_of_one_kind(client, account, password_grant, refresh_grant):
    form = {"grant_type": "refresh_token", "refresh_token": password_grant().json["refresh_token"]}
    assert client.post("/api/auth/refresh", data=form).status_code == 200
    assert refresh_grant(account.refresh_token).status_code == 200


def test_a_multipart_form_is_accepted(client, account):
    form = {"grant_type": "password", "username": account.email, "password": PASSWORD}
    assert client.post("/api/auth/token", data=form, content_type="multipart/form-data").status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"refresh_token": "not read", "scope": "openid offline_access"},
        {"scope": "", "client_id": "", "client_secret": ""},
        {"allow_redirects": "True", "resource": ["https://api.example.com", "https://files.example.com"]},
    ],
    ids=["fields of the other grant", "empty", "unknown"],
)
def test_parameters_that_the_grant_does_not_need_are_ignored(account, password_grant, fields):
    assert password_grant(**fields).status_code == 200


def test_a_refresh_ignores_the_fields_of_a_password(account, refresh_grant):
    assert refresh_grant(account.refresh_token, username="x", password="y").status_code == 200


@pytest.mark.parametrize("field", ["grant_type", "username", "password"])
@pytest.mark.parametrize("value", [None, "", ["a", "b"]], ids=["missing", "empty", "repeated"])
def test_a_field_that_is_missing_empty_or_repeated_is_an_invalid_request(account, password_grant, field, value):
    response = password_grant(**{field: value})
    assert_error(response, "invalid_request")
    assert response.json["error_description"].startswith(f"{field}: ")


@pytest.mark.parametrize("value", [None, "", ["a", "b"]], ids=["missing", "empty", "repeated"])
def test_a_refresh_token_that_is_missing_empty_or_repeated_is_an_invalid_request(refresh_grant, value):
    assert_error(refresh_grant(value), "invalid_request")


@pytest.mark.parametrize("field", ["client_id", "client_secret", "scope"])
def test_a_repeated_parameter_is_an_invalid_request_also_if_it_is_not_needed(account, password_grant, field):
    assert_error(password_grant(**{field: ["a", "a"]}), "invalid_request")


@pytest.mark.parametrize(
    "grant_type", ["client_credentials", "authorization_code", "PASSWORD", " password", "€", "x" * 9000]
)
def test_another_grant_type_is_unsupported(account, password_grant, grant_type):
    assert_error(password_grant(grant_type=grant_type), "unsupported_grant_type")


@pytest.mark.parametrize("changes", [{"password": "wrong-password-1"}, {"username": "nobody@example.com"}])
def test_wrong_credentials_are_an_invalid_grant(account, password_grant, changes):
    response = password_grant(**changes)
    assert_error(response, "invalid_grant")
    assert response.json["error_description"] == "Incorrect email or password"


def test_an_access_token_in_the_place_of_a_refresh_token_is_an_invalid_grant(account, refresh_grant):
    assert_error(refresh_grant(account.token), "invalid_grant")


def test_a_refresh_token_in_the_place_of_an_access_token_is_an_invalid_token(client, account):
    response = client.get("/api/users/me", headers={"Authorization": f"Bearer {account.refresh_token}"})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_a_stolen_refresh_token_ends_the_session_here_as_well(account, refresh_grant, move_clock, get_me):
    successor = refresh_grant(account.refresh_token).json
    move_clock(seconds=11)
    assert_error(refresh_grant(account.refresh_token), "invalid_grant")
    assert_error(refresh_grant(successor["refresh_token"]), "invalid_grant")
    assert get_me(successor["access_token"]) == 401


def test_json_is_the_wrong_media_type_and_the_answer_names_the_right_one(client, account):
    body = {"grant_type": "password", "username": account.email, "password": PASSWORD}
    response = client.post("/api/auth/token", json=body)
    assert_error(response, "invalid_request", 415)
    assert "application/x-www-form-urlencoded" in response.json["error_description"]


@pytest.mark.parametrize("endpoint", ["token", "revoke", "introspect"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_not_allowed(client, account, endpoint, method):
    query = {"grant_type": "refresh_token", "refresh_token": account.refresh_token, "token": account.refresh_token}
    response = client.open(f"/api/auth/{endpoint}", method=method, query_string=query)
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
    assert client.post("/api/auth/token", data=query).status_code == 200


def test_parameters_in_the_query_are_an_invalid_request(client, account):
    query = {"grant_type": "password", "username": account.email, "password": PASSWORD}
    form = "application/x-www-form-urlencoded"
    assert_error(client.post("/api/auth/token", query_string=query, content_type=form), "invalid_request")
    response = client.post("/api/auth/token", query_string={"password": PASSWORD}, data=query)
    assert_error(response, "invalid_request")
    assert response.json["error_description"] == "password: Is not a parameter of this route."


def test_a_body_over_the_limit_is_an_invalid_request(client):
    assert_error(client.post("/api/auth/token", data={"grant_type": "x" * 17000}), "invalid_request", 413)


def test_a_malformed_body_is_an_invalid_request(client):
    form = "application/x-www-form-urlencoded"
    assert_error(client.post("/api/auth/token", data=b"grant_type=%ff", content_type=form), "invalid_request")


def test_the_description_has_only_characters_that_the_standard_allows_and_bounded_length(client):
    form = {"grant_type": "password", "username": "ada@example.com", "password": PASSWORD}
    response = client.post("/api/auth/token", query_string={'"\\\n€' + "x" * 5000: ""}, data=form)
    assert_error(response, "invalid_request")
    assert response.json["error_description"].startswith("'???xxx")
    assert len(response.json["error_description"]) <= 400


def test_over_the_limit_of_wrong_passwords_the_answer_is_429_with_retry_after(make_app, account, counts):
    client = make_app(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="1 per hour").test_client()
    form = {"grant_type": "password", "username": account.email, "password": "wrong-password-1"}
    assert_error(client.post("/api/auth/token", data=form), "invalid_grant")
    response = client.post("/api/auth/token", data=form)
    assert_error(response, "rate_limited", 429)
    assert 3000 < int(response.headers["Retry-After"]) <= 3600
    login = client.post("/api/auth/login", data=form)  # one limit for both ways
    assert (login.status_code, login.json["error"]) == (429, "rate_limited")


@pytest.mark.parametrize(("endpoint", "header"), [("revoke", {}), ("introspect", basic(SERVICE, SERVICE_KEY))])
def test_a_token_in_the_query_is_an_invalid_request_and_not_read(client, account, get_me, endpoint, header):
    form = "application/x-www-form-urlencoded"
    for data in (None, {"token": account.token}):
        response = client.post(
            f"/api/auth/{endpoint}", query_string={"token": account.token}, data=data, content_type=form, headers=header
        )
        assert_error(response, "invalid_request")
    assert get_me(account.token) == 200


@pytest.mark.parametrize("endpoint", ["token", "revoke"])
def test_without_the_database_the_answer_is_503_with_retry_after(make_app, account, endpoint):
    client = make_app(MONGO_URI="mongodb://127.0.0.1:1/none", DATABASE_TIMEOUT_MS=100).test_client()
    token = account.refresh_token
    form = {"grant_type": "refresh_token", "refresh_token": token, "token": token}
    response = client.post(f"/api/auth/{endpoint}", data=form)
    assert_error(response, "temporarily_unavailable", 503)
    assert response.headers["Retry-After"] == DatabaseUnavailable.headers["Retry-After"]


def test_an_unexpected_error_has_the_format_of_the_standard(app, account, monkeypatch):
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    monkeypatch.delattr(type(app.extensions["services"].sessions), "find_session")
    form = {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
    assert_error(app.test_client().post("/api/auth/token", data=form), "server_error", 500)


def test_an_unverified_address_has_an_error_of_its_own(make_app, account):
    client = make_app(REQUIRE_VERIFIED_EMAIL=True).test_client()
    form = {"grant_type": "password", "username": account.email, "password": PASSWORD}
    assert_error(client.post("/api/auth/token", data=form), "email_not_verified")
    login = client.post("/api/auth/login", data=form)
    assert (login.status_code, login.json["code"]) == (403, "email_not_verified")


class TestClientAuthentication:
    def test_a_public_client_names_itself_in_the_form(self, account, password_grant):
        assert claims(password_grant(client_id="web"))["client_id"] == "web"

    def test_a_public_client_names_itself_in_a_basic_header_with_an_empty_secret(self, account, password_grant):
        assert claims(password_grant(basic("web%3Aapp+1")))["client_id"] == "web:app 1"

    def test_the_same_name_in_both_places_is_accepted(self, account, password_grant):
        assert password_grant(basic("web"), client_id="web").status_code == 200

    def test_an_empty_basic_header_is_no_client_authentication(self, account, password_grant):
        assert claims(password_grant(basic("")))["client_id"] == "first-party"

    def test_a_bearer_header_is_no_client_authentication(self, account, password_grant):
        assert password_grant(account.bearer).status_code == 200

    @pytest.mark.parametrize(
        "header",
        [
            basic("web", "secret"),
            basic("", "secret"),
            basic("other"),
            basic("wéb"),
            basic("%FF"),
            basic("x" * 256),
            {"Authorization": "Basic"},
            {"Authorization": "Basic !"},
            {"Authorization": "Basic d2Vi"},  # without a colon
            {"Authorization": "Basic /w=="},  # no UTF-8
        ],
        ids=lambda header: header["Authorization"][:24],
    )
    def test_wrong_client_authentication_is_refused_before_the_grant_is_looked_at(
        self, account, password_grant, watch_commands, header
    ):
        with watch_commands() as commands:
            response = password_grant(header, client_id="web")
        assert_error(response, "invalid_client", 401)
        assert response.headers["WWW-Authenticate"] == 'Basic realm="pixora"'
        assert commands == []

    @pytest.mark.parametrize("endpoint", ["token", "revoke"])
    def test_a_secret_in_the_form_is_refused(self, post, account, endpoint):
        form = {"grant_type": "refresh_token", "refresh_token": account.refresh_token, "token": account.refresh_token}
        assert_error(post(endpoint, **form, client_secret="secret"), "invalid_client", 401)
        assert post("token", **form).status_code == 200

    @pytest.mark.parametrize("client_id", ["é", "a\tb", "x" * 256])
    def test_a_name_that_no_token_should_carry_is_an_invalid_request(self, account, password_grant, client_id):
        assert_error(password_grant(client_id=client_id), "invalid_request")


class TestClientId:
    def test_a_client_that_sends_none_is_first_party(self, account, refresh_grant):
        assert claims(refresh_grant(account.refresh_token))["client_id"] == "first-party"

    def test_a_refresh_that_sends_none_keeps_that_of_the_login(self, account, password_grant, refresh_grant):
        token = password_grant(client_id="web").json["refresh_token"]
        assert claims(refresh_grant(token))["client_id"] == "web"

    def test_a_refresh_may_send_another_one(self, account, password_grant, refresh_grant):
        token = password_grant(client_id="web").json["refresh_token"]
        assert claims(refresh_grant(token, client_id="web-2"))["client_id"] == "web-2"

    def test_the_login_takes_it_as_well(self, client, account):
        form = {"username": account.email, "password": PASSWORD, "client_id": "web"}
        assert claims(client.post("/api/auth/login", data=form))["client_id"] == "web"

    def test_the_export_has_it(self, client, account, password_grant):
        password_grant(client_id="web")
        sessions = client.get("/api/users/me/export", headers=account.bearer).json["sessions"]
        assert sorted(session.get("client_id", "none") for session in sessions) == ["none", "web"]


def test_the_metadata_names_the_endpoints_and_how_to_call_them(client):
    metadata = client.get("/.well-known/oauth-authorization-server").json
    assert metadata["token_endpoint"] == "http://localhost/api/auth/token"
    assert metadata["revocation_endpoint"] == "http://localhost/api/auth/revoke"
    assert metadata["grant_types_supported"] == ["password", "refresh_token"]
    assert metadata["token_endpoint_auth_methods_supported"] == ["none"]
    assert metadata["revocation_endpoint_auth_methods_supported"] == ["none"]
    assert "response_types_supported" not in metadata  # there is no authorization endpoint


def test_a_login_here_costs_the_database_what_a_login_costs(client, account, password_grant, watch_commands):
    form = {"username": account.email, "password": PASSWORD}
    with watch_commands() as expected:
        client.post("/api/auth/login", data=form)
    with watch_commands() as commands:
        password_grant()
    assert [each.command_name for each in commands] == [each.command_name for each in expected]
