"""The endpoints of the OAuth standards, as a client of theirs calls them."""

import base64

import pytest

from tests.factories import PASSWORD


def basic(name, secret=""):
    """The header of HTTP Basic authentication."""
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}


@pytest.fixture
def post(client):
    """Post a form to an endpoint; fields that are None are left out."""

    def post(endpoint, headers=None, **form):
        form = {name: value for name, value in form.items() if value is not None}
        return client.post(f"/api/auth/{endpoint}", data=form, headers=headers)

    return post


@pytest.fixture
def password_grant(post):
    def password_grant(headers=None, **changes):
        form = {"grant_type": "password", "username": "ada@example.com", "password": PASSWORD}
        return post("token", headers, **form | changes)

    return password_grant


@pytest.fixture
def refresh_grant(post):
    def refresh_grant(token, headers=None, **changes):
        return post("token", headers, **{"grant_type": "refresh_token", "refresh_token": token} | changes)

    return refresh_grant


@pytest.fixture
def get_me(client):
    """The status of a request with an access token."""

    def get_me(token):
        return client.get("/api/users/me", headers={"Authorization": f"Bearer {token}"}).status_code

    return get_me


def assert_error(response, error, status=400):
    """Check an answer by RFC 6749, section 5.2."""
    assert (response.status_code, response.json["error"]) == (status, error)
    assert response.mimetype == "application/json"
    assert set(response.json) == {"error", "error_description"}
    assert response.json["error_description"].isascii()
    assert response.headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in response.headers) == (status == 401)
