"""The table of who may do what, the first one in `tests/authorization.md`, tried cell by cell."""

import time
from pathlib import Path

import pytest

from pixora.passkeys.schemas import LOGIN_EXAMPLE, REGISTRATION_EXAMPLE
from tests.auth.conftest import NEW_PASSWORD
from tests.conftest import make_account, promote
from tests.factories import PASSWORD, signup_body

TABLES = Path(__file__).with_name("authorization.md")
RECENT_SECONDS = 200
CALLERS = "anonymous", "user", "other user", "admin"


def read_table(*columns):
    """Read the table with these columns: the cells of each row by column, by its first cell."""
    for section in TABLES.read_text().split("\n## "):
        lines = [line for line in section.splitlines() if line.startswith("|")]
        head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        if head[1:] == [*columns]:
            return {first: dict(zip(columns, cells, strict=True)) for first, *cells in rows}
    raise LookupError(columns)


EXPECTED = read_table(*CALLERS)

# What makes a request right but for the caller; {…} is the user's.
BODIES = {
    "POST /api/auth/signup": {"json": signup_body(email="new@example.com")},
    "POST /api/auth/login": {"data": {"username": "xanthippe@example.com", "password": PASSWORD}},
    "POST /api/auth/refresh": {"data": {"grant_type": "refresh_token", "refresh_token": "{refresh_token}"}},
    "POST /api/auth/token": {"data": {"grant_type": "refresh_token", "refresh_token": "{refresh_token}"}},
    "POST /api/auth/revoke": {"data": {"token": "{refresh_token}"}},
    "POST /api/auth/reauthenticate": {"json": {"password": PASSWORD}},
    "POST /api/auth/mfa": {"data": {"mfa_token": "{refresh_token}", "code": "123456"}},
    "POST /api/users/me/factors/totp/confirm": {"json": {"code": "123456"}},
    "POST /api/auth/verify-email/confirm": {"json": {"token": "{verify_email}", "password": PASSWORD}},
    "POST /api/auth/password-reset": {"json": {"email": "xanthippe@example.com"}},
    "POST /api/auth/password-reset/confirm": {"json": {"token": "{reset_password}", "new_password": NEW_PASSWORD}},
    "POST /api/auth/change-email/confirm": {"json": {"token": "{change_email}"}},
    "POST /api/auth/passkeys/login": {"json": LOGIN_EXAMPLE},
    "POST /api/users/me/passkeys": {"json": REGISTRATION_EXAMPLE},
    "PATCH /api/users/me/passkeys/{passkey_id}": {"json": {"name": "Telephone"}},
    "PATCH /api/users/me": {"json": {"last_name": "King"}},
    "DELETE /api/users/me": {"json": {"password": PASSWORD}},
    "DELETE /api/users/me/password": {"json": {"password": PASSWORD}},
    "POST /api/users/me/password": {"json": {"current_password": PASSWORD, "new_password": NEW_PASSWORD}},
    "POST /api/users/me/email": {"json": {"email": "new@example.com", "password": PASSWORD}},
    "PUT /api/admin/users/{user_id}/roles": {"json": {"roles": ["user", "admin"]}},
    "POST /api/admin/users": {"json": signup_body(email="new@example.com")},
    "PATCH /api/admin/users/{user_id}": {"json": {"last_name": "King"}},
    "GET /verify-email": {"query_string": {"token": "{verify_email}"}},
    "POST /verify-email": {"data": {"token": "{verify_email}", "password": PASSWORD}},
    "POST /verify-email/again": {"data": {"email": "xanthippe@example.com", "password": PASSWORD}},
    "GET /reset-password": {"query_string": {"token": "{reset_password}"}},
    "POST /reset-password": {"data": {"token": "{reset_password}", "new_password": NEW_PASSWORD}},
    "POST /forgot-password": {"data": {"email": "xanthippe@example.com"}},
    "POST /api/auth/invitation/confirm": {"json": {"token": "{invitation}", "new_password": NEW_PASSWORD}},
    "GET /accept-invitation": {"query_string": {"token": "{invitation}"}},
    "POST /accept-invitation": {"data": {"token": "{invitation}", "new_password": NEW_PASSWORD}},
    "GET /confirm-email": {"query_string": {"token": "{change_email}"}},
    "POST /confirm-email": {"data": {"token": "{change_email}"}},
}
FILES = {"/static/{filename}": "pages.css", "/docs/swagger-ui/{filename}": "swagger-ui.css"}


@pytest.fixture(scope="module")
def made():
    """The people, and when they were made."""
    return {}


@pytest.fixture
def people(session_app, users, made):
    """Four callers by name, and the documents of those who have one, as they are before every request.

    They are made anew before their logins are too old for the routes that want a recent one.
    """
    if time.monotonic() - made.get("at", -RECENT_SECONDS) >= RECENT_SECONDS:
        made.update(at=time.monotonic(), people=make_people(session_app, users))
        users.delete_many({})
    return made["people"]


def make_people(session_app, users):
    client = session_app.test_client()
    accounts = {
        "user": make_account(client, email="xanthippe@example.com", first_name="Xanthippe"),
        "other user": make_account(client, email="grace@example.com"),
        "admin": make_account(client, email="admin@example.com"),
    }
    promote(users, accounts["admin"])
    owner = accounts["user"]
    client.post("/api/auth/password-reset", json={"email": owner.email})
    body = {"email": "xanthippe.two@example.com", "password": PASSWORD}
    client.post("/api/users/me/email", json=body, headers=owner.bearer)
    invitation = signup_body(email="guest@example.com", invite=True)
    del invitation["password"]
    client.post("/api/admin/users", json=invitation, headers=accounts["admin"].bearer)
    documents = list(users.find())
    guest = next(one for one in documents if one["email"] == "guest@example.com")
    stored = next(one for one in documents if one["_id"] == owner.id)
    outbox = session_app.extensions["services"].outbox
    tokens = {letter["template"]: outbox.decrypt_token(letter) for letter in stored["letters"] if "token" in letter}
    tokens["invitation"] = outbox.decrypt_token(guest["letters"][0])
    names = {"user_id": owner.id, "session_id": stored["sessions"][0]["id"], "refresh_token": owner.refresh_token}
    names["passkey_id"] = "6924a1e0c3f1a2b4d5e6f70a"
    return accounts, documents, names | tokens


def filled_in(what, names):
    """Return a text, or all texts in a body, with the names in braces replaced."""
    if isinstance(what, dict):
        return {key: filled_in(value, names) for key, value in what.items()}
    return what.format(**names) if isinstance(what, str) and what.startswith(("{", "/")) else what


def test_every_route_of_the_service_is_in_the_table_and_no_other(session_app):
    routes = set()
    for rule in session_app.url_map.iter_rules():
        path = rule.rule.replace("<path:", "{").replace("<", "{").replace(">", "}")
        routes |= {f"{method} {path}" for method in rule.methods - {"HEAD", "OPTIONS"}}
    assert routes == set(EXPECTED)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", EXPECTED)
def test_each_route_answers_each_caller_as_the_table_has_it(app, users, people, route, caller):
    accounts, documents, names = people
    before = next(one for one in documents if one["_id"] == names["user_id"])
    users.insert_many(documents)
    method, path = route.split()
    path = filled_in(path, names | {"filename": FILES.get(path)})
    body = filled_in(BODIES.get(route, {}), names)
    headers = accounts[caller].bearer if caller in accounts else {}
    client = app.test_client()
    response = client.open(path, method=method, headers=headers, buffered=True, **body)
    if method == "GET":
        assert client.head(path, headers=headers, buffered=True, **body).status_code == response.status_code
    code = f" {response.json.get('code') or response.json['error']}" if response.status_code >= 400 else ""
    assert f"{response.status_code}{code}" == EXPECTED[route][caller]
    is_public = EXPECTED[route]["anonymous"].startswith("2")
    if not is_public and caller in ("anonymous", "other user"):
        assert "anthippe" not in response.text
    if not is_public and caller != "user" and not (caller == "admin" and path.startswith("/api/admin")):
        assert users.find_one({"_id": names["user_id"]}) == before
