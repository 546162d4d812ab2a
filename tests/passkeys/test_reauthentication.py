"""A passkey in the place of the password within a session: what is right, and every kind of wrong."""

import secrets

import jwt
import pytest

from tests.factories import PASSWORD, refusal
from tests.passkeys.authenticator import BE, UP, UV, Authenticator
from tests.passkeys.conftest import LOGIN, OWN, REAUTHENTICATE

INVALID = 401, "invalid_passkey"


def claims(token):
    return jwt.decode(token, options={"verify_signature": False})


@pytest.fixture
def confirm(client, account):
    """Send a credential; return the answer."""

    def confirm(credential, **more):
        return client.post(REAUTHENTICATE, json={"credential": credential, **more}, headers=account.bearer)

    return confirm


def test_the_options_are_for_ones_own_passkeys_and_are_not_stored(reauthentication_options, account, passkey, users):
    before = users.find_one()
    asked = reauthentication_options(account)
    assert {name: value for name, value in asked.items() if name != "challenge"} == {
        "timeout": 300000,
        "rpId": "example.com",
        "allowCredentials": [{"type": "public-key", "id": passkey.id, "transports": ["internal"]}],
        "userVerification": "required",
    }
    assert users.find_one() == before


@pytest.mark.parametrize(("flags", "key"), [(UP | UV, "hwk"), (UP | UV | BE, "swk")])
def test_it_renews_the_same_session_at_two_factors(
    client, account, register, reauthentication_options, confirm, move_clock, users, trail, flags, key
):
    authenticator, _ = register(account, Authenticator(flags=flags))
    trail.delete_many({})
    move_clock(minutes=10)
    answer = confirm(authenticator.get(reauthentication_options(account)))
    assert answer.status_code == 200
    before, after = claims(account.token), claims(answer.json["access_token"])
    assert after["sid"] == before["sid"]
    assert after["auth_time"] == pytest.approx(before["auth_time"] + 600, abs=5)
    assert (after["acr"], after["amr"]) == ("aal2", [key, "user", "mfa"])
    bearer = {"Authorization": f"Bearer {answer.json['access_token']}"}
    assert client.post(f"{OWN}/options", headers=bearer).status_code == 200  # wants a recent login at the best level
    [stored] = users.find_one()["sessions"]
    assert (stored["id"], stored["acr"], stored["generation"]) == (after["sid"], "aal2", 0)
    form = {"grant_type": "refresh_token", "refresh_token": answer.json["refresh_token"]}
    assert claims(client.post("/api/auth/refresh", data=form).json["access_token"])["amr"] == [key, "user", "mfa"]
    [row] = trail.find()
    assert (row["event"], row["details"]) == ("reauthenticated", {"session_id": after["sid"]})


def test_it_takes_four_operations_on_the_database(reauthentication_options, account, passkey, confirm, watch_commands):
    credential = passkey.get(reauthentication_options(account))
    with watch_commands() as commands:
        assert confirm(credential).status_code == 200
    names = [command.command_name for command in commands]
    assert names == ["find", "find", "findAndModify", "update", "update"]  # with the event, and the answer noted


@pytest.mark.parametrize("handle", ["absent", "own"])
def test_the_user_handle_may_be_missing_as_the_user_is_known(
    reauthentication_options, account, passkey, confirm, handle
):
    if handle == "absent":
        passkey.handle = None
    assert confirm(passkey.get(reauthentication_options(account))).status_code == 200


def test_an_assertion_renews_once(reauthentication_options, account, passkey, confirm, users, move_clock):
    credential = passkey.get(reauthentication_options(account))
    assert confirm(credential).status_code == 200
    after = users.find_one()
    assert refusal(confirm(credential)) == INVALID
    move_clock(minutes=6)
    assert refusal(confirm(credential)) == INVALID
    assert users.find_one() == after


def test_of_two_at_once_with_one_assertion_one_renews(
    app, reauthentication_options, account, passkey, confirm, before_a_write
):
    credential = passkey.get(reauthentication_options(account))
    first = []

    def send():
        body = {"credential": credential}
        first.append(app.test_client().post(REAUTHENTICATE, json=body, headers=account.bearer).status_code)

    before_a_write("users", send)
    assert refusal(confirm(credential)) == INVALID
    assert first == [200]


def test_a_challenge_for_something_else_or_somebody_else_is_refused(
    client,
    reauthentication_options,
    creation_options,
    request_options,
    account,
    other_account,
    passkey,
    register,
    confirm,
):
    register(other_account)
    own = reauthentication_options(account)
    for other in (request_options(), reauthentication_options(other_account)):
        assert refusal(confirm(passkey.get(other))) == INVALID
    assert refusal(client.post(f"{LOGIN}/login", json={"credential": passkey.get(own)})) == INVALID
    assert confirm(passkey.get(own)).status_code == 200


def test_the_challenge_of_a_registration_is_refused(creation_options, account, register, confirm):
    challenge = creation_options(account)
    authenticator, _ = register(account)
    assert refusal(confirm(authenticator.get(challenge))) == INVALID


def test_the_passkey_of_another_user_is_refused_and_an_unknown_one_has_its_code(
    reauthentication_options, account, other_account, passkey, register, confirm, users
):
    theirs, _ = register(other_account)
    before = list(users.find())
    for handle in (None, theirs.handle, passkey.handle):
        theirs.handle = handle
        assert refusal(confirm(theirs.get(reauthentication_options(account)))) == INVALID
    assert refusal(confirm(Authenticator().get(reauthentication_options(account)))) == (401, "unknown_passkey")
    assert list(users.find()) == before


@pytest.mark.parametrize(
    "bent",
    [{"origin": "https://evil.example.com"}, {"flags": UP}, {"rp_id": "com"}, {"type": "webauthn.create"}],
    ids=str,
)
def test_what_a_login_refuses_is_refused(reauthentication_options, account, passkey, confirm, bent):
    assert refusal(confirm(passkey.get(reauthentication_options(account), **bent))) == INVALID


def test_a_counter_that_went_back_is_recorded(reauthentication_options, account, register, confirm, trail):
    authenticator, _ = register(account, Authenticator(counter=5))
    assert refusal(confirm(authenticator.get(reauthentication_options(account)))) == INVALID
    assert trail.count_documents({"event": "passkey_counter_went_back"}) == 1
    authenticator.counter = 6
    assert confirm(authenticator.get(reauthentication_options(account))).status_code == 200


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"$set": {"sessions": []}}, (401, "invalid_token")),
        ({"$set": {"disabled": True}}, (401, "invalid_token")),
        ({"$unset": {"passkeys": True}}, (401, "unknown_passkey")),
    ],
    ids=["session ended", "disabled", "passkey removed"],
)
def test_what_happens_meanwhile_counts(
    reauthentication_options, account, passkey, confirm, users, before_a_write, change, expected
):
    credential = passkey.get(reauthentication_options(account))
    before_a_write("users", lambda: users.update_one({}, change))
    assert refusal(confirm(credential)) == expected


def test_without_a_passkey_there_are_no_options(client, account):
    assert refusal(client.post(f"{REAUTHENTICATE}/options", headers=account.bearer)) == (404, "passkey_not_found")


def test_exactly_one_of_password_and_credential_is_wanted(client, reauthentication_options, account, passkey, confirm):
    credential = passkey.get(reauthentication_options(account))
    missing = {"password": ["Missing data for required field."]}
    for body in ({}, {"code": "123456"}):
        response = client.post(REAUTHENTICATE, json=body, headers=account.bearer)
        assert (response.status_code, response.json["errors"]) == (422, missing)
    for more in ({"password": PASSWORD}, {"code": "123456"}):
        response = confirm(credential, **more)
        assert (response.status_code, list(response.json["errors"])) == (422, ["credential"])
    assert confirm(credential).status_code == 200


@pytest.mark.parametrize("credential", [None, [], {}, "x", {"id": "AA", "type": "public-key", "response": {}}])
def test_a_malformed_credential_is_refused(confirm, account, credential):
    assert refusal(confirm(credential)) == (422, "validation_failed")


def test_where_passkeys_are_turned_off_the_field_is_unknown(make_app, reauthentication_options, account, passkey):
    client = make_app(WEBAUTHN_ORIGINS=[]).test_client()
    credential = passkey.get(reauthentication_options(account))
    response = client.post(REAUTHENTICATE, json={"credential": credential}, headers=account.bearer)
    assert (response.status_code, response.json["errors"]) == (422, {"credential": ["Unknown field."]})
    assert client.post(f"{REAUTHENTICATE}/options", headers=account.bearer).status_code == 404
    schemas = client.get("/openapi.json").json["components"]["schemas"]
    assert set(schemas["Reauthenticate"]["properties"]) == {"password", "code"}
    assert "AssertionCredential" not in schemas


def test_the_document_has_the_field(client):
    schemas = client.get("/openapi.json").json["components"]["schemas"]
    assert set(schemas["Reauthenticate"]["properties"]) == {"password", "code", "credential"}
    assert "AssertionCredential" in schemas


def test_the_passkey_of_an_account_with_an_app_takes_the_place_of_its_code(
    client, account, passkey, reauthentication_options, confirm, users
):
    users.update_one({}, {"$set": {"factors": {"totp": {"id": secrets.token_hex(12), "last_step": 0}}}})
    assert client.post(REAUTHENTICATE, json={"password": PASSWORD}, headers=account.bearer).status_code == 401
    assert confirm(passkey.get(reauthentication_options(account))).status_code == 200
