"""Every route declares who can call it and documents its errors."""

import json
import re

import pytest

from pixora.web.middleware import HEADERS
from tests.conftest import promote
from tests.factories import SERVICE as SERVICE_NAME
from tests.factories import SERVICE_KEY, operations_of
from tests.oauth.conftest import basic

PUBLIC = {
    *("GET /", "GET /openapi.json", "GET /docs", "GET /health", "GET /health/live", "GET /health/client"),
    "GET /metrics",
    *("POST /api/auth/signup", "POST /api/auth/login", "POST /api/auth/refresh"),
    *("POST /api/auth/token", "POST /api/auth/revoke", "POST /api/auth/mfa"),
    *("POST /api/auth/passkeys/options", "POST /api/auth/passkeys/login"),
    "POST /api/auth/change-email/confirm",
    *("POST /api/auth/password-reset", "POST /api/auth/password-reset/confirm", "POST /api/auth/invitation/confirm"),
    *("GET /.well-known/jwks.json", "GET /.well-known/oauth-authorization-server", "GET /.well-known/webauthn"),
    *("GET /.well-known/assetlinks.json", "GET /.well-known/apple-app-site-association"),
    "GET /.well-known/passkey-endpoints",
}
USER = {
    *("GET /api/users/me", "GET /api/users/{user_id}", "POST /api/auth/logout", "GET /api/users/me/sessions"),
    *("DELETE /api/users/me/sessions", "DELETE /api/users/me/sessions/{session_id}"),
    *("PATCH /api/users/me", "DELETE /api/users/me", "GET /api/users/me/export"),
    *("GET /api/users/me/events", "GET /api/users/me/factors", "POST /api/users/me/factors/totp"),
    *("POST /api/users/me/factors/totp/confirm", "DELETE /api/users/me/factors/totp"),
    "POST /api/users/me/factors/recovery-codes",
    "DELETE /api/users/me/password",
    *("POST /api/users/me/password", "POST /api/users/me/email", "POST /api/auth/verify-email"),
    *("POST /api/auth/reauthenticate", "POST /api/auth/reauthenticate/options"),
    *("POST /api/users/me/passkeys/options", "POST /api/users/me/passkeys", "GET /api/users/me/passkeys"),
    *("PATCH /api/users/me/passkeys/{passkey_id}", "DELETE /api/users/me/passkeys/{passkey_id}"),
}
ADMIN = {
    *("GET /api/admin/users", "GET /api/admin/users/{user_id}", "PUT /api/admin/users/{user_id}/roles"),
    *("POST /api/admin/users/{user_id}/disable", "POST /api/admin/users/{user_id}/enable"),
    *("DELETE /api/admin/users/{user_id}/sessions", "DELETE /api/admin/users/{user_id}/factors"),
    *("GET /api/admin/users/{user_id}/events", "GET /api/admin/users/{user_id}/sessions"),
    *("POST /api/admin/users", "PATCH /api/admin/users/{user_id}", "DELETE /api/admin/users/{user_id}"),
    *("POST /api/admin/users/{user_id}/invitation", "DELETE /api/admin/users/{user_id}/invitation"),
    *("POST /api/admin/users/{user_id}/verify", "POST /api/admin/users/{user_id}/password-reset"),
}
SERVICE = {"POST /api/auth/introspect"}
OPTIONAL = {"POST /api/auth/verify-email/confirm"}
"""These take an access token in the place of the password."""
OAUTH = {"POST /api/auth/token", "POST /api/auth/revoke", *SERVICE}
"""Routes whose errors have the format of RFC 6749."""
STATIC = {"/static/{filename}", "/docs/swagger-ui/{filename}"}
PAGES = {
    "/verify-email",
    "/verify-email/again",
    "/reset-password",
    "/forgot-password",
    "/accept-invitation",
    "/confirm-email",
    "/brand.css",
}
"""HTML pages, which are not part of the API."""


@pytest.fixture(scope="module")
def document(session_app):
    return session_app.test_client().get("/openapi.json").json


@pytest.fixture(scope="module")
def operations(document):
    return operations_of(document)


def is_protected(operation):
    """Tell whether a route wants credentials in a header, always."""
    return bool(operation["security"]) and {} not in operation["security"]


def rules(app):
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<path:", "{").replace("<", "{").replace(">", "}")
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            yield f"{method} {path}", path


def test_every_route_is_documented(session_app, operations):
    assert {name for name, path in rules(session_app) if path not in STATIC | PAGES} == set(operations)


def test_every_route_documents_who_can_call_it(operations):
    assert {name for name, operation in operations.items() if operation["security"] == []} == PUBLIC
    assert {name for name, operation in operations.items() if {} in operation["security"]} == OPTIONAL
    assert {name for name, operation in operations.items() if is_protected(operation)} == USER | ADMIN | SERVICE


def test_every_admin_route_documents_that_it_is_for_administrators_only(operations):
    for name in ADMIN:
        [example] = operations[name]["responses"]["403"]["content"]["application/problem+json"]["examples"].values()
        assert example["value"]["detail"] == "Only administrators can do this.", name


def test_every_protected_route_rejects_requests_without_a_token(session_app, operations):
    client = session_app.test_client()
    for name, operation in operations.items():
        method, path = name.split()
        status = client.open(path.replace("{user_id}", "x").replace("{session_id}", "x"), method=method).status_code
        assert (status == 401) == is_protected(operation), name


def test_every_protected_route_documents_401(operations):
    for name in USER | ADMIN:
        examples = set(operations[name]["responses"]["401"]["content"]["application/problem+json"]["examples"])
        more = {"invalid_passkey", "unknown_passkey"} if name == "POST /api/auth/reauthenticate" else set()
        assert examples - {"insufficient_user_authentication"} == {"missing_token", "invalid_token"} | more, name


def test_every_route_with_a_body_documents_its_errors(operations):
    for name, operation in operations.items():
        if "requestBody" in operation:
            assert {"400", "413", "415", *([] if name in OAUTH else ["422"])} <= set(operation["responses"]), name


def test_every_api_route_documents_that_the_database_can_be_unavailable(operations):
    for name, operation in operations.items():
        if "/api/" in name and name != "POST /api/auth/passkeys/options":  # which needs no database
            [content] = operation["responses"]["503"]["content"].values()
            assert "database_unavailable" in content["examples"], name


@pytest.fixture
def call(client, operations):
    """Call a route with a query, and with the example of its body."""

    def call(name, query, **headers):
        method, path = name.split()
        content = operations[name].get("requestBody", {}).get("content", {})
        body = {
            encoding: content[media_type]["example"]
            for media_type, encoding in (("application/json", "json"), ("application/x-www-form-urlencoded", "data"))
            if media_type in content
        }
        path = path.replace("{user_id}", "x").replace("{session_id}", "x")
        return client.open(f"{path}?{query}", method=method, headers=headers, **body)

    return call


@pytest.mark.parametrize("query", ["colour=red", "colour=", "colour", "rank=admin&colour=red", "access_token=x"])
def test_every_api_route_rejects_unknown_query_parameters(call, users, account, operations, query):
    promote(users, account)
    for name in operations:
        if name in OAUTH:
            headers = basic(SERVICE_NAME, SERVICE_KEY) if name in SERVICE else account.bearer
            response = call(name, query, **headers)
            assert response.status_code == 400, name
            assert response.json["error"] == "invalid_request"
        elif "/api/" in name:
            response = call(name, query, **account.bearer)
            assert response.status_code == 422, name
            assert response.json["code"] == "validation_failed"
            names = [part.partition("=")[0] for part in query.split("&")]
            assert response.json["errors"] == {name: ["Is not a parameter of this route."] for name in names}


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("GET /api/admin/users", "limit=2&limit=3"),
        ("GET /api/admin/users", "email=ada&email=ada"),
        ("GET /api/users/me/events", "limit=2&limit=2"),
        ("DELETE /api/users/me/sessions", "current=false&current=true"),
    ],
)
def test_a_repeated_query_parameter_is_rejected(call, users, account, name, query):
    promote(users, account)
    response = call(name, query, **account.bearer)
    assert response.status_code == 422
    assert response.json["errors"] == {query.partition("=")[0]: ["Was sent more than once."]}


def test_authorization_is_checked_before_the_query_parameters(call, account, operations):
    for name, operation in operations.items():
        if is_protected(operation):
            response = call(name, f"access_token={account.token}")
            assert response.status_code == 401, name
            assert response.headers["WWW-Authenticate"] == ('Basic realm="pixora"' if name in SERVICE else "Bearer")
    for name in ADMIN:
        assert call(name, "colour=red", **account.bearer).status_code == 403


@pytest.mark.parametrize("path", ["/", "/docs", "/health", "/health/live", "/metrics", "/.well-known/jwks.json"])
def test_outside_the_api_unknown_parameters_are_ignored(client, path):
    assert client.get(f"{path}?colour=red&colour=blue").status_code == 200


def test_every_api_route_documents_422(operations):
    for name, operation in operations.items():
        if "/api/" in name and name not in OAUTH:
            content = operation["responses"]["422"]["content"]["application/problem+json"]
            assert "validation_failed" in content["examples"], name


def test_every_documented_error_has_the_one_shape_or_that_of_oauth(operations, document):
    assert set(document["components"]["schemas"]["Problem"]["required"]) == {
        "type",
        "title",
        "status",
        "detail",
        "code",
        "request_id",
    }
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")) and name != "GET /health":
                [(media_type, content)] = response["content"].items()
                if name in OAUTH:
                    assert media_type == "application/json"
                    assert content["schema"] == {"$ref": "#/components/schemas/OAuthError"}
                    continue
                assert media_type == "application/problem+json"
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
                assert all(example["value"]["status"] == int(status) for example in content["examples"].values())


def test_every_route_has_a_summary_and_an_example(operations):
    for name, operation in operations.items():
        assert operation["summary"].endswith("."), name
        if name not in ("GET /openapi.json", "GET /docs"):
            successes = [response for status, response in operation["responses"].items() if status.startswith("2")]
            assert successes, name
            for success in successes:
                assert "204" in operation["responses"] or all("example" in it for it in success["content"].values()), (
                    name
                )


def test_every_route_has_a_name_for_generated_clients(operations):
    names = [operation["operationId"] for operation in operations.values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name) for name in names)


def test_every_route_is_as_linters_want_it(operations):
    for name, operation in operations.items():
        assert operation["description"], name
        assert any(status.startswith("4") for status in operation["responses"]), name
        assert "`" not in operation["summary"], name  # Swagger UI shows it as it is


def test_every_body_has_one_media_type(operations):
    for name, operation in operations.items():
        assert len(operation.get("requestBody", {}).get("content", {"none": {}})) == 1, name


def test_requests_are_closed_and_responses_may_grow(document, operations):
    schemas = document["components"]["schemas"]
    sent = schemas_in([operation.get("requestBody") for operation in operations.values()], schemas)
    for name, schema in schemas.items():
        assert name in sent or "additionalProperties" not in schema, name
        for field, described in schema["properties"].items():
            assert name in sent or "enum" not in described, (name, field)
    assert schemas["Signup"]["additionalProperties"] is False


def schemas_in(part, schemas):
    """Return the names of the schemas that a part of the document refers to, and those that these refer to."""
    named = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(part)))
    return named.union(*(schemas_in(schemas[name], schemas) for name in named))


def test_no_schema_has_the_name_of_a_class_of_generators_or_languages(document):
    taken = {"Client", "Message", "Service", "Event", "Session", "Error", "Response", "Request", "File", "Field"}
    assert not taken & document["components"]["schemas"].keys()


def test_routes_of_operators_have_a_tag_of_their_own(document, operations):
    tagged = {name for name, operation in operations.items() if operation["tags"] == ["operators"]}
    assert tagged == {"GET /health", "GET /health/live", "GET /health/client", "GET /metrics"}
    described = [tag["name"] for tag in document["tags"]]
    assert len(set(described)) == len(described)
    assert set(described) == {tag for operation in operations.values() for tag in operation["tags"]}


def test_the_examples_of_bodies_are_accepted(client, document):
    for path in ("/api/auth/signup", "/api/auth/login"):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        for media_type, body in content.items():
            encoding = (
                {"json": body["example"]}
                if media_type == "application/json"
                else {"data": body["example"], "content_type": media_type}
            )
            assert client.post(path, **encoding).status_code in (200, 201), (path, media_type)


def test_the_examples_of_bodies_of_protected_routes_are_valid(client, account, operations, users):
    promote(users, account)
    for name, operation in operations.items():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content and name != "DELETE /api/users/me":
            method, path = name.split()
            path = path.replace("{user_id}", account.id)
            response = client.open(path, method=method, json=content["example"], headers=account.bearer)
            assert response.status_code < 300 or response.json["code"] in (
                *(
                    "email_taken",
                    "invalid_one_time_token",
                    "invalid_passkey",
                    "invalid_new_passkey",
                    "passkey_not_found",
                    "nothing_to_confirm",
                ),
                "wrong_password",  # the example of a change of password has changed it
            ), name


def test_every_answer_has_the_security_headers(session_app, operations):
    client = session_app.test_client()
    for name in operations:
        method, path = name.split()
        response = client.open(path.replace("{user_id}", "x").replace("{session_id}", "x"), method=method)
        assert response.headers["X-Request-ID"], name
        assert set(HEADERS) <= set(response.headers.keys()), name
        assert ("no-store" in response.headers.get("Cache-Control", "")) == path.startswith("/api/"), name
