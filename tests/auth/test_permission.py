"""What a password or a session has allowed is not done when it is no longer in force by the time of the write."""

import pytest

from tests.auth.conftest import NEW_PASSWORD, is_refused
from tests.conftest import promote
from tests.factories import PASSWORD, log_in
from tests.factors.conftest import code_of
from tests.passkeys.authenticator import Authenticator

ME = "/api/users/me"
THIEF_S = "thief@example.com"
CHANGE_OF_ADDRESS = ("POST", f"{ME}/email", {"email": THIEF_S, "password": PASSWORD})
CHANGE_OF_PASSWORD = (
    "POST",
    f"{ME}/password",
    {"current_password": PASSWORD, "new_password": "another-engine-no-3"},
)
REMOVAL_OF_PASSWORD = ("DELETE", f"{ME}/password", {"password": PASSWORD})
DELETION = ("DELETE", ME, {"password": PASSWORD})
REAUTHENTICATION = ("POST", "/api/auth/reauthenticate", {"password": PASSWORD})
CHANGE_OF_PROFILE = ("PATCH", ME, {"first_name": "Eve"})
VERIFICATION = ("POST", "/api/auth/verify-email", None)
END_OF_ALL_OTHERS = ("DELETE", f"{ME}/sessions", None)
END_OF_ALL = ("DELETE", f"{ME}/sessions?current=true", None)
BY_PASSWORD = [CHANGE_OF_ADDRESS, CHANGE_OF_PASSWORD, DELETION, REAUTHENTICATION]
FACTOR_WRITES = [
    ("POST", f"{ME}/factors/totp", None),
    ("POST", f"{ME}/factors/totp/confirm", "code"),
    ("POST", f"{ME}/factors/recovery-codes", None),
    ("DELETE", f"{ME}/factors/totp", None),
    ("POST", f"{ME}/passkeys", "new passkey"),
    ("PATCH", "passkey", "name"),
    ("DELETE", "passkey", None),
    ("DELETE", f"{ME}/password", "password"),
    ("POST", "/api/auth/reauthenticate", "proof"),
]
"""Method, path and body; what the fixture `factor_owner` has is named."""
WRITES = [*BY_PASSWORD, REMOVAL_OF_PASSWORD, CHANGE_OF_PROFILE, VERIFICATION, END_OF_ALL_OTHERS, END_OF_ALL]


@pytest.fixture
def owner(app, account, token_sent):
    """What the owner of the account does to be rid of somebody who has its password and a session."""

    class Owner:
        client = app.test_client()

        def __init__(self):
            form = {"username": account.email, "password": PASSWORD}
            self.bearer = {
                "Authorization": f"Bearer {self.client.post('/api/auth/login', data=form).json['access_token']}"
            }
            self.client.post("/api/auth/password-reset", json={"email": account.email})
            self.token = token_sent(account.email, "reset_password")

        def reset(self):
            body = {"token": self.token, "new_password": NEW_PASSWORD}
            assert self.client.post("/api/auth/password-reset/confirm", json=body).status_code == 204

        def change(self):
            body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
            assert self.client.post(f"{ME}/password", json=body, headers=self.bearer).status_code == 204

        def end_sessions(self):
            assert self.client.delete(f"{ME}/sessions", headers=self.bearer).status_code == 204

    return Owner()


def names(cases):
    return [" ".join(case[:2]) for case in cases]


@pytest.mark.parametrize("write", WRITES, ids=names(WRITES))
@pytest.mark.parametrize("defence", ["reset", "change", "end_sessions"])
def test_a_write_in_flight_changes_nothing_when_the_owner_was_faster(
    client, account, owner, users, before_a_write, write, defence
):
    method, path, body = write
    after = []

    def defend():
        getattr(owner, defence)()
        after.append(users.find_one())

    before_a_write("users", defend)
    response = client.open(path, method=method, json=body, headers=account.bearer)
    assert (response.status_code, response.json["code"]) == (401, "invalid_token")
    assert [users.find_one()] == after


@pytest.mark.parametrize("defence", ["reset", "change"])
def test_no_address_is_changed_by_a_link_that_was_asked_for_in_the_meantime(
    client, account, owner, emails_to, before_a_write, defence
):
    method, path, body = CHANGE_OF_ADDRESS
    before_a_write("users", getattr(owner, defence))
    client.open(path, method=method, json=body, headers=account.bearer)
    assert emails_to(THIEF_S) == []
    assert log_in(client, account.email, NEW_PASSWORD).status_code == 200


@pytest.fixture
def factor_owner(client, account, users):
    """Values for the routes of somebody with an authenticator app, another one to confirm, and a passkey."""
    users.update_one({"_id": account.id}, {"$set": {"email_verified": True}})
    secret = client.post(f"{ME}/factors/totp", headers=account.bearer).json["secret"]
    body = {"code": code_of(secret)}
    assert client.post(f"{ME}/factors/totp/confirm", json=body, headers=account.bearer).status_code == 200
    form = {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
    bearer = {"Authorization": f"Bearer {client.post('/api/auth/refresh', data=form).json['access_token']}"}

    def post(path, **body):
        return client.post(path, json=body or None, headers=bearer).json

    authenticator = Authenticator()
    options = [post(f"{ME}/passkeys/options") for _ in range(2)]
    passkey = post(f"{ME}/passkeys", credential=authenticator.create(options[0]))
    return {
        "bearer": bearer,
        "passkey": f"{ME}/passkeys/{passkey['id']}",
        "code": {"code": code_of(post(f"{ME}/factors/totp")["secret"])},
        "new passkey": {"credential": Authenticator().create(options[1])},
        "proof": {"credential": authenticator.get(post("/api/auth/reauthenticate/options"))},
        "name": {"name": "Telephone"},
        "password": {"password": PASSWORD},
    }


@pytest.mark.parametrize("write", FACTOR_WRITES, ids=names(FACTOR_WRITES))
def test_no_factor_is_changed_for_a_session_that_has_ended_meanwhile(
    client, account, factor_owner, users, before_a_write, write
):
    method, path, body = write
    after = []

    def end_sessions():
        users.update_one({"_id": account.id}, {"$set": {"sessions": []}})
        after.append(users.find_one())

    before_a_write("users", end_sessions)
    path, body = factor_owner.get(path, path), factor_owner.get(body)
    response = client.open(path, method=method, json=body, headers=factor_owner["bearer"])
    assert (response.status_code, response.json["code"]) == (401, "invalid_token")
    assert [users.find_one()] == after


def test_every_write_of_a_session_is_among_these(client):
    paths = client.get("/openapi.json").json["paths"]
    found = {
        f"{method.upper()} {path}"
        for path, item in paths.items()
        for method, operation in item.items()
        if method in ("post", "put", "patch", "delete")
        if operation["security"] and path.startswith(("/api/auth/", "/api/users/"))
    }
    tried = {f"{method} {path.partition('?')[0]}" for method, path, _ in [*WRITES, *FACTOR_WRITES]}
    tried -= {"PATCH passkey", "DELETE passkey"}
    assert found - tried == {
        *("PATCH /api/users/me/passkeys/{passkey_id}", "DELETE /api/users/me/passkeys/{passkey_id}"),
        "DELETE /api/users/me/sessions/{session_id}",  # test_a_session_ends_no_other_one_when_it_has_ended_itself
        "POST /api/auth/verify-email/confirm",  # tests/passkeys/test_without_password.py
        "POST /api/auth/logout",  # ends the session that has ended
        *("POST /api/users/me/passkeys/options", "POST /api/auth/reauthenticate/options"),  # write nothing
        "POST /api/auth/introspect",  # by a service
    }


def test_a_session_ends_no_other_one_when_it_has_ended_itself(client, account, owner, users, before_a_write):
    target = client.get(f"{ME}/sessions", headers=owner.bearer).json[0]["id"]
    before_a_write("users", owner.end_sessions)
    response = client.delete(f"{ME}/sessions/{target}", headers=account.bearer)
    assert (response.status_code, response.json["code"]) == (401, "invalid_token")
    assert [session["id"] for session in users.find_one()["sessions"]] == [target]


@pytest.mark.parametrize("if_match", [{}, {"If-Match": "*"}])
def test_a_profile_is_not_changed_by_a_session_that_has_ended(client, account, owner, before_a_write, if_match):
    before_a_write("users", owner.end_sessions)
    response = client.patch(ME, json={"first_name": "Eve"}, headers=account.bearer | if_match)
    assert response.status_code == 401
    assert client.get(ME, headers=owner.bearer).json["first_name"] == "Ada"


def test_an_address_is_not_verified_by_a_password_that_was_changed_meanwhile(
    client, account, owner, token_sent, users, before_a_write
):
    body = {"token": token_sent(account.email, "verify_email"), "password": PASSWORD}
    before_a_write("users", owner.change)
    response = client.post("/api/auth/verify-email/confirm", json=body)
    assert (response.status_code, response.json["code"]) == (403, "wrong_password")
    assert users.find_one()["email_verified"] is False
    body["password"] = NEW_PASSWORD
    assert client.post("/api/auth/verify-email/confirm", json=body).status_code == 204


def test_a_verification_that_a_reset_has_made_pointless_is_refused(client, account, owner, token_sent, before_a_write):
    body = {"token": token_sent(account.email, "verify_email"), "password": PASSWORD}
    before_a_write("users", owner.reset)
    assert is_refused(client.post("/api/auth/verify-email/confirm", json=body))


@pytest.mark.parametrize("write", BY_PASSWORD, ids=names(BY_PASSWORD))
def test_a_hash_that_changes_at_every_check_causes_no_endless_loop(client, account, users, before_a_write, write):
    method, path, body = write

    def move():
        """Store the hash of the same password in another spelling, as a login in between stores another hash."""
        stored = users.find_one()["password"]
        after = {"$2a$": "$2b$", "$2b$": "$2y$", "$2y$": "$2a$"}[stored[:4]]
        users.update_one({}, {"$set": {"password": after + stored[4:]}})
        before_a_write("users", move)

    before_a_write("users", move)
    response = client.open(path, method=method, json=body, headers=account.bearer)
    assert response.status_code == 401
    assert users.count_documents({"tokens.change_email": {"$exists": True}}) == 0
    assert users.count_documents({}) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "disable", None),
        ("POST", "enable", None),
        ("DELETE", "sessions", None),
        ("PUT", "roles", {"roles": ["user", "admin"]}),
    ],
)
@pytest.mark.parametrize(("standing", "status"), [({"roles": ["user"]}, 403), ({"sessions": []}, 401)])
def test_a_former_administrator_changes_nobody(
    client, account, other_account, users, before_a_write, method, path, body, standing, status
):
    """The standing is lost after the guard has looked, and before the user whom it is about is read or written."""
    promote(users, account)
    if path == "enable":
        users.update_one({"_id": other_account.id}, {"$set": {"disabled": True}})
    before = users.find_one({"_id": other_account.id})
    url = f"/api/admin/users/{other_account.id}/{path}"
    before_a_write("users", lambda: users.update_one({"_id": account.id}, {"$set": standing}), reads=1)
    response = client.open(url, method=method, json=body, headers=account.bearer)
    assert response.status_code == status
    assert users.find_one({"_id": other_account.id}) == before


def test_a_demoted_administrator_cannot_promote_himself_again(client, account, other_account, users, before_a_write):
    """What is about oneself takes the role and the session in the same operation as the change."""
    administrator = {"$set": {"roles": ["user", "admin"]}}
    users.update_many({}, administrator)
    demotion = {"$set": {"roles": ["user"]}}
    before_a_write("users", lambda: users.update_one({"_id": account.id}, demotion))
    url = f"/api/admin/users/{account.id}/roles"
    response = client.put(url, json={"roles": ["admin"]}, headers=account.bearer)
    assert response.status_code == 403
    assert users.find_one({"_id": account.id})["roles"] == ["user"]


def test_what_reads_everything_reads_it_for_a_session_that_exists(client, account, users, before_a_write):
    for path in ("export", "sessions"):
        before = users.find_one()
        before_a_write("users", lambda: users.update_one({}, {"$set": {"sessions": []}}), reads=1)
        assert client.get(f"{ME}/{path}", headers=account.bearer).status_code == 401
        users.replace_one({}, before)
