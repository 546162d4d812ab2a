import re

import pytest

import pixora


def test_the_root_names_the_service(client):
    response = client.get("/")
    assert response.status_code == 200
    assert response.json == {"name": "Pixora", "version": pixora.__version__, "docs": "/docs"}


def test_the_document_is_openapi_3_1(client):
    response = client.get("/openapi.json")
    assert response.content_type == "application/json"
    assert response.json["openapi"] == "3.1.0"
    assert response.json["info"]["version"] == pixora.__version__


def test_the_document_describes_the_password_flow(client):
    schemes = client.get("/openapi.json").json["components"]["securitySchemes"]
    assert schemes["OAuth2PasswordBearer"]["flows"]["password"]["tokenUrl"] == "/api/auth/token"


def test_the_document_names_its_server_licence_and_contact(client):
    document = client.get("/openapi.json").json
    assert document["servers"][0]["url"] == "/"
    assert document["info"]["license"]["identifier"] == "MIT"
    assert document["info"]["contact"]["name"]


def test_every_field_of_a_form_has_an_example(client):
    schemas = client.get("/openapi.json").json["components"]["schemas"]
    for name in ("Login", "Refresh"):
        assert all("examples" in field for field in schemas[name]["properties"].values())
    assert schemas["Login"]["properties"]["username"]["examples"] == ["ada@example.com"]
    assert schemas["Login"]["properties"]["client_secret"]["examples"] == [""]


def test_the_document_has_the_configured_length_of_a_password(make_app):
    schemas = make_app(PASSWORD_MIN_LENGTH=15).test_client().get("/openapi.json").json["components"]["schemas"]
    assert schemas["Signup"]["properties"]["password"]["minLength"] == 15
    for name in ("ChangePassword", "ConfirmReset"):
        assert schemas[name]["properties"]["new_password"]["minLength"] == 15


def test_the_document_says_that_a_change_of_the_profile_has_at_least_one_field(client):
    schemas = client.get("/openapi.json").json["components"]["schemas"]
    assert schemas["ProfileChanges"]["minProperties"] == 1


def test_the_document_describes_conditional_requests(client):
    paths = client.get("/openapi.json").json["paths"]
    for path in ("/api/users/me", "/api/users/{user_id}"):
        assert "If-None-Match" in {parameter["name"] for parameter in paths[path]["get"]["parameters"]}
        assert "ETag" in paths[path]["get"]["responses"]["200"]["headers"]
        assert "content" not in paths[path]["get"]["responses"]["304"]
    assert "If-Match" in {parameter["name"] for parameter in paths["/api/users/me"]["patch"]["parameters"]}
    assert "412" in paths["/api/users/me"]["patch"]["responses"]


def test_the_page_has_no_inline_script_and_loads_nothing_from_elsewhere(client):
    page = client.get("/docs")
    assert page.content_type.startswith("text/html")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*\ssrc=)", page.text)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page.text)


@pytest.mark.parametrize("name", ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"])
def test_the_files_of_the_page_are_served(client, name):
    assert f"/docs/swagger-ui/{name}" in client.get("/docs").text
    with client.get(f"/docs/swagger-ui/{name}") as response:
        assert response.status_code == 200
        assert len(response.data) > 500


@pytest.mark.parametrize("path", ["../__init__.py", "%2e%2e/__init__.py", "..%2f..%2fflask/app.py", "etc/passwd"])
def test_no_other_files_are_served(client, path):
    assert client.get(f"/docs/swagger-ui/{path}").status_code == 404
