"""Authenticating again for the routes that want it (RFC 9470); who is refused is for `test_matrix`."""

import jwt
import pytest

from tests.factories import PASSWORD, log_in, refusal
from tests.factors.conftest import wrong

NEEDED = 401, "insufficient_user_authentication"
NEW_PASSWORD = "analytical-engine-no-1"
ME = "/api/users/me"
SENSITIVE = {
    f"POST {ME}/factors/totp": {},
    f"POST {ME}/factors/totp/confirm": {"json": {"code": "123456"}},
    f"POST {ME}/factors/recovery-codes": {},
    f"DELETE {ME}/factors/totp": {},
    f"POST {ME}/passkeys/options": {},
    f"POST {ME}/password": {"json": {"current_password": PASSWORD, "new_password": NEW_PASSWORD}},
    f"DELETE {ME}/password": {"json": {"password": PASSWORD}},
    f"POST {ME}/email": {"json": {"email": "new@example.com", "password": PASSWORD}},
    f"DELETE {ME}": {"json": {"password": PASSWORD}},
}
"""Routes that change what one can log in with, with bodies."""


def claims(token):
    return jwt.decode(token, options={"verify_signature": False})


@pytest.fixture
def call(client):
    def call(route, token):
        method, path = route.split()
        headers = {"Authorization": f"Bearer {token}"}
        return client.open(path, method=method, headers=headers, **SENSITIVE[route])

    return call


@pytest.fixture
def reauthenticate(client):
    def reauthenticate(token, **body):
        headers = {"Authorization": f"Bearer {token}"}
        return client.post("/api/auth/reauthenticate", json={"password": PASSWORD, **body}, headers=headers)

    return reauthenticate


@pytest.mark.parametrize("route", SENSITIVE)
def test_after_six_minutes_authenticating_again_lets_it_through_and_a_refresh_does_not(
    owner, still_clock, call, refresh, reauthenticate, route
):
    still_clock.move(minutes=6)
    for token in owner.account.token, refresh(owner.account).json["access_token"]:
        answer = call(route, token)
        assert refusal(answer) == NEEDED
        challenge = 'Bearer error="insufficient_user_authentication", acr_values="aal2", max_age="300"'
        assert answer.headers["WWW-Authenticate"] == challenge
    token = reauthenticate(owner.account.token, code=owner.code()).json["access_token"]
    answer = call(route, token)
    assert answer.status_code < 300 or answer.json["code"] in ("nothing_to_confirm", "last_credential")


class TestReauthentication:
    def test_password_and_code_renew_time_and_level(self, owner, still_clock, reauthenticate):
        still_clock.move(minutes=6)
        before = claims(owner.account.token)
        answer = reauthenticate(owner.account.token, code=owner.code())
        assert answer.status_code == 200
        after = claims(answer.json["access_token"])
        assert after["sid"] == before["sid"]
        assert after["auth_time"] > before["auth_time"]
        assert (after["acr"], after["amr"]) == ("aal2", ["pwd", "otp", "mfa"])

    def test_the_code_is_used(self, owner, still_clock, reauthenticate, challenge, client):
        still_clock.move(minutes=6)
        code = owner.code()
        assert reauthenticate(owner.account.token, code=code).status_code == 200
        assert refusal(reauthenticate(owner.account.token, code=code)) == (403, "wrong_code")
        fields = {"mfa_token": challenge(), "code": code}
        assert client.post("/api/auth/mfa", data=fields).status_code == 401

    def test_a_wrong_code_or_password_is_refused(self, owner, reauthenticate):
        assert refusal(reauthenticate(owner.account.token, code=wrong(owner.code()))) == (403, "wrong_code")
        answer = reauthenticate(owner.account.token, code=owner.code(), password="wrong")
        assert refusal(answer) == (403, "wrong_password")

    def test_without_the_code_it_asks_for_it(self, owner, reauthenticate):
        assert refusal(reauthenticate(owner.account.token)) == NEEDED

    def test_of_a_user_without_a_factor_the_code_is_ignored(self, account, reauthenticate):
        answer = reauthenticate(account.token, code="123456")
        assert claims(answer.json["access_token"])["acr"] == "aal1"

    def test_a_factor_added_meanwhile_is_required(self, account, still_clock, users, reauthenticate, before_a_write):
        def add():
            factor = {"id": "x", "secret": b"y", "key": "z", "last_step": 0}
            users.update_one({"_id": account.id}, {"$set": {"factors.totp": factor}})

        before_a_write("users", add)
        assert refusal(reauthenticate(account.token)) == NEEDED

    def test_a_code_used_meanwhile_renews_nothing(
        self, owner, still_clock, reauthenticate, challenge, send_code, before_a_write
    ):
        still_clock.move(minutes=6)
        code, token = owner.code(), challenge()
        before_a_write("users", lambda: send_code(token, code=code))
        assert refusal(reauthenticate(owner.account.token, code=code)) == (403, "wrong_code")


class TestWaysIn:
    """Each way to get tokens, of a user with a second factor."""

    def test_login_and_token_endpoint_want_the_code(self, owner, client):
        assert refusal(log_in(client)) == (403, "mfa_required")
        form = {"grant_type": "password", "username": "ada@example.com", "password": PASSWORD}
        answer = client.post("/api/auth/token", data=form)
        assert (answer.status_code, answer.json["error"]) == (400, "mfa_required")
        assert answer.json.keys() == {"error", "error_description", "mfa_token", "expires_in", "methods"}
        refused = client.post("/api/auth/token", data=form | {"otp": wrong(owner.code())})
        assert (refused.status_code, refused.json["error"]) == (400, "invalid_grant")
        grant = client.post("/api/auth/token", data=form | {"otp": owner.code()}).json
        assert claims(grant["access_token"])["acr"] == "aal2"

    def test_the_problem_of_a_login_has_the_members_of_oauth(self, owner, client):
        problem = log_in(client).json
        assert problem["error"] == problem["code"] == "mfa_required"

    def test_a_token_of_the_token_endpoint_completes_the_login_as_the_same_client(self, owner, client):
        form = {"grant_type": "password", "username": "ada@example.com", "password": PASSWORD, "client_id": "web"}
        token = client.post("/api/auth/token", data=form).json["mfa_token"]
        fields = {"mfa_token": token, "code": owner.code(), "client_id": "web"}
        grant = client.post("/api/auth/mfa", data=fields).json
        assert claims(grant["access_token"])["client_id"] == "web"

    def test_a_refresh_keeps_time_and_level(self, owner, still_clock, refresh):
        before = claims(owner.account.token)
        account = owner.account
        for _ in range(100):
            still_clock.move(minutes=14)
            grant = refresh(account).json
            account = account._replace(refresh_token=grant["refresh_token"])
        after = claims(grant["access_token"])
        assert [after[name] for name in ("auth_time", "acr", "amr")] == [
            before[name] for name in ("auth_time", "acr", "amr")
        ]


class TestAdministrators:
    @pytest.fixture
    def strict(self, make_app):
        return make_app(ADMIN_SECOND_FACTOR=True).test_client()

    def test_with_the_setting_a_session_of_one_factor_is_refused(self, admin, strict, client):
        answer = strict.get("/api/admin/users", headers=admin.bearer)
        assert refusal(answer) == NEEDED
        assert 'acr_values="aal2"' in answer.headers["WWW-Authenticate"]
        assert client.get("/api/admin/users", headers=admin.bearer).status_code == 200

    def test_with_a_second_factor_it_is_let_through_whatever_its_age(self, admin, strict, still_clock, enrol):
        owner = enrol(admin)
        assert strict.get("/api/admin/users", headers=owner.account.bearer).status_code == 200
        still_clock.move(minutes=10)
        assert strict.get("/api/admin/users", headers=owner.account.bearer).status_code == 200

    def test_others_are_told_nothing_new(self, account, strict):
        assert refusal(strict.get("/api/admin/users", headers=account.bearer)) == (403, "forbidden")
