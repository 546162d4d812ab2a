"""No way in and no route lets one factor through where two are due: the tables in `tests/authorization.md`."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import jwt
import pytest

from pixora import clock
from pixora.factors import mfa_token
from pixora.web.blueprint import SECURITY_SCHEME
from tests.conftest import promote
from tests.factories import PASSWORD, operations_of
from tests.factors.conftest import wrong
from tests.passkeys.authenticator import Authenticator
from tests.test_authorization import read_table

NEEDED = 401, "insufficient_user_authentication"
OLD = timedelta(minutes=6)

# Which login a route wants

LOGINS = read_table("login")
ADMIN = "/api/admin"
PASSKEY_ID = "6924a1e0c3f1a2b4d5e6f70a"


class Login(NamedTuple):
    """An account with a second factor or without, and how and when its user has logged in."""

    factor: str
    acr: str
    is_recent: bool


KINDS = [
    Login(factor, acr, is_recent)
    for factor in ("none", "totp", "passkey")
    for acr in ("aal1", "aal2")
    for is_recent in (True, False)
    if factor != "none" or acr == "aal1"
]


LONG_AGO = datetime(2026, 11, 1, tzinfo=UTC)
STORED = {
    "none": {},
    "totp": {"factors": {"totp": {"id": "1", "secret": b"2", "key": "3", "last_step": 0, "created_at": LONG_AGO}}},
    "passkey": {
        "passkeys": [
            {
                "id": PASSKEY_ID,
                "credential_id": b"1",
                "public_key": b"2",
                "sign_count": 0,
                "name": "Telephone",
                "transports": [],
                "aaguid": "",
                "rp_id": "example.com",
                "backup_eligible": False,
                "backed_up": False,
                "created_at": LONG_AGO,
                "last_used_at": None,
            }
        ]
    },
}
"""What an account has by the name of its factor."""


def refuses(route, login):
    """Return whether a route must refuse a login."""
    wanted = LOGINS.get(f"all of {ADMIN}" if f" {ADMIN}" in route else route, {"login": "any"})["login"]
    if wanted == "two factors":
        return login.acr != "aal2"
    # All accounts here have a password.
    if wanted in ("any", "recent without a password") or (wanted == "recent second factor" and login.factor == "none"):
        return False
    best = "aal1" if login.factor == "none" else "aal2"
    return login.acr != best or not login.is_recent


def wants_a_token(operation):
    return any(SECURITY_SCHEME in scheme for scheme in operation["security"])


def test_the_table_has_each_route_whose_documentation_says_so(client):
    documented = {
        route
        for route, operation in operations_of(client.get("/openapi.json").json).items()
        if NEEDED[1] in str(operation["responses"]) and f" {ADMIN}" not in route
    }
    assert documented - {"POST /api/auth/reauthenticate"} == LOGINS.keys() - {f"all of {ADMIN}"}


@pytest.fixture
def strict(make_app):
    return make_app(ADMIN_SECOND_FACTOR=True).test_client()


@pytest.fixture
def token_of(client, users, account):
    """Return an access token of the account by a kind of login, and leave the account as one of that kind."""

    def token_of(login):
        auth_time = clock.utcnow() - (timedelta(0) if login.is_recent else OLD)
        session = {"sessions.0.acr": login.acr, "sessions.0.auth_time": auth_time}
        users.update_one({"_id": account.id}, {"$set": STORED[login.factor] | session})
        fields = {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
        return client.post("/api/auth/refresh", data=fields).json["access_token"]

    return token_of


@pytest.mark.parametrize("login", KINDS, ids=str)
def test_each_route_lets_each_login_through_or_refuses_it(
    strict, client, users, account, other_account, token_of, login
):
    promote(users, account)
    bearer = {"Authorization": f"Bearer {token_of(login)}"}
    documents = list(users.find())
    routes = [route for route, one in operations_of(client.get("/openapi.json").json).items() if wants_a_token(one)]
    assert set(routes) > LOGINS.keys() - {f"all of {ADMIN}"}
    refused = set()
    for route in routes:
        method, path = route.split()
        user_id = other_account.id if path.startswith(ADMIN) else account.id
        path = path.format(user_id=user_id, session_id="0" * 24, passkey_id=PASSKEY_ID)
        answer = strict.open(path, method=method, headers=bearer)
        if answer.status_code in (401, 403):
            assert (answer.status_code, answer.json["code"]) == NEEDED, (route, answer.text)
            assert 'error="insufficient_user_authentication"' in answer.headers["WWW-Authenticate"]
            refused.add(route)
        elif method != "GET":
            users.delete_many({})
            users.insert_many(documents)
    assert refused == {route for route in routes if refuses(route, login)}


# Ways to get tokens

ACCOUNTS = "password", "authenticator app", "passkey"
WAYS = read_table(*ACCOUNTS)


class Ada(NamedTuple):
    """What Ada can log in with."""

    account: object
    code: str
    recovery_code: str
    authenticator: Authenticator


@pytest.fixture
def ada(request, client, account, still_clock):
    """Ada, with what the account has by the name of a column."""

    def ada(kind):
        code, recovery_code, authenticator = "123456", "k3v8-9w2m-x0tq-7hbn", Authenticator(handle="eA")
        if kind == "authenticator app":
            owner = request.getfixturevalue("enrol")(account)
            still_clock.move(seconds=60)
            return Ada(owner.account, owner.code(), owner.recovery_codes[0], authenticator)
        if kind == "passkey":
            options = client.post("/api/users/me/passkeys/options", headers=account.bearer).json
            body = {"credential": authenticator.create(options)}
            assert client.post("/api/users/me/passkeys", json=body, headers=account.bearer).status_code == 201
        return Ada(account, code, recovery_code, authenticator)

    return ada


@pytest.fixture
def go(client, users, app, ada):
    """Go a way; return the answer."""

    def go(way, ada):
        route, _, how = way.partition(" with ")
        path = route.removeprefix("POST ")
        code = {"code": ada.code, "wrong code": wrong(ada.code)}.get(how)
        password = {"username": "ada@example.com", "password": PASSWORD} | ({"otp": code} if code else {})
        match path.rpartition("/")[2]:
            case "token":
                return client.post(path, data={"grant_type": "password"} | password)
            case "mfa":
                stored = users.find_one({"_id": ada.account.id})["password"]
                key = app.extensions["services"].settings.secret_key
                token = mfa_token.make(key, ada.account.id, stored, clock.utcnow())
                return client.post(path, data={"mfa_token": token, how.replace(" ", "_"): code or ada.recovery_code})
            case "reauthenticate":
                body = {"password": PASSWORD} | ({"code": code} if code else {})
                if how == "passkey":
                    options = client.post(f"{path}/options", headers=ada.account.bearer).json
                    body = {"credential": ada.authenticator.get({"challenge": options.get("challenge", "")})}
                return client.post(path, json=body, headers=ada.account.bearer)
            case "refresh":
                fields = {"grant_type": "refresh_token", "refresh_token": ada.account.refresh_token}
                return client.post(path, data=fields)
        if path.endswith("passkeys/login"):
            options = client.post("/api/auth/passkeys/options").json
            return client.post(path, json={"credential": ada.authenticator.get(options)})
        return client.post(path, data=password)

    return go


@pytest.mark.parametrize("kind", ACCOUNTS)
@pytest.mark.parametrize("way", WAYS)
def test_each_way_opens_a_session_of_its_level_or_is_refused(go, ada, way, kind):
    answer = go(way, ada(kind))
    if answer.status_code == 200:
        outcome = jwt.decode(answer.json["access_token"], options={"verify_signature": False})["acr"]
    else:
        outcome = f"{answer.status_code} {answer.json.get('code') or answer.json['error']}"
        assert "access_token" not in answer.text
    assert outcome == WAYS[way][kind]


def test_each_route_of_the_document_that_answers_with_tokens_is_in_the_table(client):
    with_tokens = {
        route
        for route, operation in operations_of(client.get("/openapi.json").json).items()
        if "#/components/schemas/Token'" in str(operation["responses"])
    }
    assert {" ".join(way.split()[:2]) for way in WAYS} == with_tokens


def test_where_there_is_an_authenticator_app_no_way_ends_at_one_factor():
    assert {cells["authenticator app"] for cells in WAYS.values()} & {"aal1", "aal2"} == {"aal2"}
