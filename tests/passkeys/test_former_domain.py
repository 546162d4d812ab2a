"""Passkeys that the service accepts no more, after `WEBAUTHN_RP_ID` has changed or `WEBAUTHN_ORIGINS` was removed.

Nobody can use such a passkey, so no route may demand or offer one.
"""

import pyotp
import pytest

from pixora import clock
from tests.auth.conftest import NEW_PASSWORD
from tests.factories import PASSWORD, log_in, refusal
from tests.passkeys.authenticator import Authenticator
from tests.passkeys.conftest import LOGIN, OWN, REAUTHENTICATE

ME = "/api/users/me"
NOW = {"rp_id": "other.example.org", "origin": "https://app.other.example.org"}
MOVED = {"WEBAUTHN_RP_ID": NOW["rp_id"], "WEBAUTHN_ORIGINS": [NOW["origin"]]}
OFF = {"WEBAUTHN_ORIGINS": []}
BY_PASSWORD = {
    "new password": ("POST", f"{ME}/password", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}, 204),
    "change of address": ("POST", f"{ME}/email", {"email": "new@example.com", "password": PASSWORD}, 202),
    "deletion": ("DELETE", ME, {"password": PASSWORD}, 204),
    "reauthentication": ("POST", REAUTHENTICATE, {"password": PASSWORD}, 200),
    "authenticator app": ("POST", f"{ME}/factors/totp", None, 201),
}
"""What the password is enough for, as of users without a passkey."""


def again(client):
    """Log in with the password; return the header of the new session."""
    return {"Authorization": f"Bearer {log_in(client).json['access_token']}"}


@pytest.fixture
def moved(make_app, passkey):
    """A client of the service at its new domain; Ada has a passkey for the former one."""
    return make_app(**MOVED).test_client()


def add_new(client, bearer):
    """Add a passkey for the new domain; return the authenticator."""
    authenticator = Authenticator()
    options = client.post(f"{OWN}/options", headers=bearer)
    assert options.status_code == 200, options.text
    assert options.json["excludeCredentials"] == []
    credential = authenticator.create(options.json, **NOW)
    assert client.post(OWN, json={"credential": credential}, headers=bearer).status_code == 201
    return authenticator


@pytest.mark.parametrize("what", BY_PASSWORD)
@pytest.mark.parametrize("settings_now", [MOVED, OFF], ids=["moved", "off"])
def test_the_password_is_enough_again(make_app, passkey, what, settings_now):
    client = make_app(**settings_now).test_client()
    method, path, body, status = BY_PASSWORD[what]
    assert client.open(path, method=method, json=body, headers=again(client)).status_code == status


def test_it_can_be_removed(moved):
    bearer = again(moved)
    [shown] = moved.get(OWN, headers=bearer).json
    assert moved.delete(f"{OWN}/{shown['id']}", headers=bearer).status_code == 204
    assert moved.get(OWN, headers=bearer).json == []


def test_it_is_not_offered_for_a_confirmation(moved):
    assert refusal(moved.post(f"{REAUTHENTICATE}/options", headers=again(moved))) == (404, "passkey_not_found")


def test_a_new_one_is_offered_alone_and_raises_the_best_level(moved):
    bearer = again(moved)
    authenticator = add_new(moved, bearer)
    [offered] = moved.post(f"{REAUTHENTICATE}/options", headers=bearer).json["allowCredentials"]
    assert offered["id"] == authenticator.id
    method, path, body, _ = BY_PASSWORD["deletion"]
    refused = moved.open(path, method=method, json=body, headers=bearer)
    assert refusal(refused) == (401, "insufficient_user_authentication")


def test_an_authenticator_app_is_still_asked_for(client, by_passkey, make_app):
    secret = client.post(f"{ME}/factors/totp", headers=by_passkey.bearer).json["secret"]
    code = pyotp.TOTP(secret).at(clock.utcnow())
    assert client.post(f"{ME}/factors/totp/confirm", json={"code": code}, headers=by_passkey.bearer).status_code == 200
    moved = make_app(**MOVED).test_client()
    answer = moved.post(REAUTHENTICATE, json={"password": PASSWORD}, headers=by_passkey.bearer)
    assert refusal(answer) == (401, "insufficient_user_authentication")


def test_its_key_does_not_log_in_at_the_new_domain(moved, passkey, users):
    """No authenticator signs this, but somebody with a copy of the key can."""
    before = users.find_one()
    credential = passkey.get(moved.post(f"{LOGIN}/options").json, **NOW)
    answer = moved.post(f"{LOGIN}/login", json={"credential": credential})
    assert refusal(answer) == (401, "invalid_passkey")
    assert users.find_one() == before


def test_it_logs_in_again_once_the_setting_is_back(moved, passkey, log_in_by):
    add_new(moved, again(moved))
    assert log_in_by(passkey).status_code == 200
