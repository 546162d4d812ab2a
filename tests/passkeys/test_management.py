"""One's own passkeys: added, listed, renamed, removed, and every kind of wrong."""

import copy
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fido2 import cbor
from fido2.cose import ES256, ES384, RS256

from pixora.accounts.passkeys import MAX_CHALLENGES
from pixora.passkeys.fields import encode
from tests.factories import PASSWORD, log_in, refusal
from tests.passkeys.authenticator import AT, UP, UV, Authenticator, decode
from tests.passkeys.conftest import OWN
from tests.passkeys.test_login import CBOR_BOMBS

INVALID = 422, "invalid_new_passkey"


@pytest.fixture
def add(client, account):
    def add(credential, **body):
        return client.post(OWN, json={"credential": credential} | body, headers=account.bearer)

    return add


def test_the_options_ask_for_a_verified_user_and_a_discoverable_credential(creation_options, account):
    options = creation_options(account)
    assert len(decode(options.pop("challenge"))) == 56
    assert decode(options["user"].pop("id")).decode() == account.id
    assert options == {
        "rp": {"id": "example.com", "name": "Pixora"},
        "user": {"name": "ada@example.com", "displayName": "Ada Lovelace"},
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in (-7, -8, -257)],
        "timeout": 300000,
        "excludeCredentials": [],
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
        "extensions": {"credProps": True},
    }


def test_the_options_exclude_what_the_user_has(creation_options, by_passkey, passkey):
    [excluded] = creation_options(by_passkey)["excludeCredentials"]
    assert excluded == {"type": "public-key", "id": passkey.id, "transports": ["internal"]}


def test_a_new_passkey_is_listed(client, account, register):
    authenticator, response = register(account, name="  Tele\u0301phone ")
    assert response.status_code == 201
    shown = response.json
    assert client.get(OWN, headers=account.bearer).json == [shown]
    assert shown | {"id": 0, "created_at": 0} == {
        "id": 0,
        "name": "Tel\u00e9phone",
        "credential_id": authenticator.id,
        "transports": ["internal"],
        "aaguid": "00000000-0000-0000-0000-000000000000",
        "backed_up": False,
        "created_at": 0,
        "last_used_at": None,
    }


def test_a_login_is_seen_in_the_list(client, account, passkey, log_in_by):
    assert log_in_by(passkey).status_code == 200
    [shown] = client.get(OWN, headers=account.bearer).json
    assert shown["last_used_at"] > shown["created_at"]


def test_a_passkey_has_a_name_by_default_and_can_be_renamed(client, account, register):
    _, response = register(account)
    assert response.json["name"] == "Passkey"
    path = f"{OWN}/{response.json['id']}"
    renamed = client.patch(path, json={"name": "Key ring"}, headers=account.bearer)
    assert (renamed.status_code, renamed.json) == (200, response.json | {"name": "Key ring"})
    assert client.get(OWN, headers=account.bearer).json == [renamed.json]


@pytest.mark.parametrize(
    "name", ["", " ", "\u200b", "\u2800", "x" * 101, "a\nb", "\u202e", "\0", 7, None, [], "a" * 5000]
)
def test_a_bad_name_is_refused(client, account, register, name):
    _, added = register(account)
    response = client.patch(f"{OWN}/{added.json['id']}", json={"name": name}, headers=account.bearer)
    assert refusal(response) == (422, "validation_failed")


def test_of_two_passkeys_one_is_removed(client, by_passkey, passkey, register, log_in_by, trail):
    other, added = register(by_passkey)
    assert added.status_code == 201
    response = client.delete(f"{OWN}/{added.json['id']}", headers=by_passkey.bearer)
    assert response.status_code == 204
    assert log_in_by(other).json["code"] == "unknown_passkey"
    assert log_in_by(passkey).status_code == 200
    assert refusal(client.delete(f"{OWN}/{added.json['id']}", headers=by_passkey.bearer)) == (404, "passkey_not_found")
    assert {row["event"] for row in trail.find()} >= {"passkey_added", "passkey_removed"}


def test_the_last_passkey_of_a_user_with_a_password_can_be_removed(client, by_passkey, users, register):
    [shown] = client.get(OWN, headers=by_passkey.bearer).json
    assert client.delete(f"{OWN}/{shown['id']}", headers=by_passkey.bearer).status_code == 204
    assert "passkeys" not in users.find_one()
    assert register(by_passkey)[1].status_code == 201


def test_the_last_passkey_of_a_user_without_a_password_stays(client, by_passkey, users, register):
    users.update_one({}, {"$unset": {"password": 1}})
    [shown] = client.get(OWN, headers=by_passkey.bearer).json
    assert refusal(client.delete(f"{OWN}/{shown['id']}", headers=by_passkey.bearer)) == (409, "last_credential")
    register(by_passkey)
    assert client.delete(f"{OWN}/{shown['id']}", headers=by_passkey.bearer).status_code == 204


def test_of_two_last_passkeys_removed_at_once_one_stays(client, by_passkey, users, register, before_a_write):
    users.update_one({}, {"$unset": {"password": 1}})
    register(by_passkey)
    path = f"{OWN}/{client.get(OWN, headers=by_passkey.bearer).json[1]['id']}"
    before_a_write("users", lambda: users.update_one({}, {"$pop": {"passkeys": 1}}))
    assert refusal(client.delete(path, headers=by_passkey.bearer)) == (409, "last_credential")
    assert len(client.get(OWN, headers=by_passkey.bearer).json) == 1


def test_a_registration_that_others_overtake_to_the_limit_of_challenges_stores_nothing(
    add, account, creation_options, users, use_challenges, before_a_write
):
    credential = Authenticator().create(creation_options(account))
    before_a_write("users", lambda: use_challenges(MAX_CHALLENGES))
    assert refusal(add(credential)) == (429, "rate_limited")
    assert "passkeys" not in users.find_one()


@pytest.mark.parametrize("passkey_id", ["x", "0" * 24, "$where", "%00"])
def test_a_passkey_that_is_not_there_is_not_found(client, account, passkey, by_passkey, passkey_id):
    path = f"{OWN}/{passkey_id}"
    assert client.delete(path, headers=by_passkey.bearer).status_code == 404
    assert client.patch(path, json={"name": "x"}, headers=account.bearer).status_code == 404


def test_nobody_reaches_the_passkeys_of_others(client, account, passkey, other_account):
    [shown] = client.get(OWN, headers=account.bearer).json
    assert client.get(OWN, headers=other_account.bearer).json == []
    path = f"{OWN}/{shown['id']}"
    assert refusal(client.delete(path, headers=other_account.bearer)) == (404, "passkey_not_found")
    response = client.patch(path, json={"name": "x"}, headers=other_account.bearer)
    assert refusal(response) == (404, "passkey_not_found")


def test_changes_need_a_login_of_the_last_minutes_at_two_factors(client, account, passkey, move_clock, log_in_by):
    [shown] = client.get(OWN, headers=account.bearer).json
    requests = [("POST", f"{OWN}/options"), ("POST", OWN), ("DELETE", f"{OWN}/{shown['id']}")]
    for method, path in requests:  # Ada has logged in with her password only
        response = client.open(path, method=method, json={}, headers=account.bearer)
        assert refusal(response) == (401, "insufficient_user_authentication")
        assert 'acr_values="aal2"' in response.headers["WWW-Authenticate"]
    bearer = {"Authorization": f"Bearer {log_in_by(passkey).json['access_token']}"}
    assert client.post(f"{OWN}/options", headers=bearer).status_code == 200
    move_clock(minutes=6)
    assert refusal(client.post(f"{OWN}/options", headers=bearer)) == (401, "insufficient_user_authentication")


def test_where_passkeys_are_turned_off_they_count_for_nothing(make_app, account, passkey):
    app = make_app(WEBAUTHN_ORIGINS=[])
    body = {"password": "difference-engine-no-2"}
    response = app.test_client().post("/api/auth/reauthenticate", json=body, headers=account.bearer)
    assert response.status_code == 200


def test_a_session_that_has_ended_meanwhile_changes_nothing(add, account, creation_options, users, before_a_write):
    credential = Authenticator().create(creation_options(account))
    before_a_write("users", lambda: users.update_one({}, {"$set": {"sessions": []}}))
    assert refusal(add(credential)) == (401, "invalid_token")
    assert "passkeys" not in users.find_one()


def test_the_same_registration_is_stored_once(add, account, creation_options, users):
    credential = Authenticator().create(creation_options(account))
    assert add(credential).status_code == 201
    assert add(credential).status_code == 401  # the account has two factors now
    assert len(users.find_one()["passkeys"]) == 1


def test_a_registration_cannot_be_repeated_after_the_passkey_was_removed(client, add, account, creation_options, users):
    credential = Authenticator().create(creation_options(account))
    assert add(credential).status_code == 201
    users.update_one({}, {"$unset": {"passkeys": 1}})
    assert refusal(add(credential)) == INVALID


def test_of_a_credential_registered_at_once_by_one_user_one_is_stored(app, account, creation_options, users):
    authenticator = Authenticator()
    credentials = [authenticator.create(creation_options(account)) for _ in range(8)]

    def post(credential):
        client = app.test_client()
        return client.post(OWN, json={"credential": credential}, headers=account.bearer).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(post, credentials))
    assert statuses.count(201) == 1
    assert set(statuses) <= {201, 409, 401}
    assert len(users.find_one()["passkeys"]) == 1


def test_a_credential_of_another_user_is_refused(passkey, register, other_account):
    twin = Authenticator(credential_id=passkey.credential_id)
    assert refusal(register(other_account, twin)[1]) == (409, "passkey_exists")


def test_a_21st_passkey_is_refused(client, account, by_passkey, passkey, register, users, add, creation_options):
    credential = Authenticator().create(creation_options(by_passkey))
    stored = users.find_one()["passkeys"][0]
    more = [stored | {"id": f"{number:024x}", "credential_id": secrets.token_bytes(16)} for number in range(19)]
    users.update_one({}, {"$push": {"passkeys": {"$each": more}}})
    response = client.post(OWN, json={"credential": credential}, headers=by_passkey.bearer)
    assert refusal(response) == (409, "too_many_passkeys")
    assert refusal(client.post(f"{OWN}/options", headers=by_passkey.bearer)) == (409, "too_many_passkeys")


def test_of_the_20th_passkey_added_twice_at_once_one_is_stored(
    client, by_passkey, users, creation_options, before_a_write
):
    stored = users.find_one()["passkeys"][0]
    more = [stored | {"id": f"{number:024x}", "credential_id": secrets.token_bytes(16)} for number in range(18)]
    users.update_one({}, {"$push": {"passkeys": {"$each": more}}})
    first, second = (Authenticator().create(creation_options(by_passkey)) for _ in range(2))

    def add_first():
        client.application.test_client().post(OWN, json={"credential": first}, headers=by_passkey.bearer)

    before_a_write("users", add_first)
    response = client.post(OWN, json={"credential": second}, headers=by_passkey.bearer)
    assert refusal(response) == (409, "too_many_passkeys")
    assert len(users.find_one()["passkeys"]) == 20


@pytest.mark.parametrize(
    "bent",
    [
        {"origin": "https://evil.example.com"},
        {"origin": "https://example.com"},
        {"crossOrigin": True},
        {"type": "webauthn.get"},
        {"challenge": "AAAA"},
        *({name: ...} for name in ("type", "challenge", "origin")),
        {"rp_id": "com"},
        {"flags": UP},
        {"flags": UV},
    ],
    ids=str,
)
def test_a_registration_that_breaks_a_rule_is_refused(add, account, creation_options, bent):
    assert refusal(add(Authenticator().create(creation_options(account), **bent))) == INVALID


def test_the_challenge_of_another_user_or_of_a_login_is_refused(
    add, account, other_account, creation_options, request_options
):
    options = creation_options(account)
    for challenge in (creation_options(other_account)["challenge"], request_options()["challenge"]):
        assert refusal(add(Authenticator().create(options | {"challenge": challenge}))) == INVALID


def test_a_challenge_of_a_registration_expires(client, account, creation_options, move_clock):
    credential = Authenticator().create(creation_options(account))
    move_clock(minutes=5)
    bearer = {"Authorization": f"Bearer {log_in(client, account.email).json['access_token']}"}
    assert refusal(client.post(OWN, json={"credential": credential}, headers=bearer)) == INVALID


def p256(**changes):
    return dict(ES256.from_cryptography_key(ec.generate_private_key(ec.SECP256R1()).public_key())) | changes


def rsa_key(bits):
    return dict(RS256.from_cryptography_key(rsa.generate_private_key(65537, bits).public_key()))


BAD_KEYS = {
    "none": {},
    "another algorithm": dict(ES384.from_cryptography_key(ec.generate_private_key(ec.SECP384R1()).public_key())),
    "RS1": {1: 3, 3: -65535, -1: b"\xff" * 256, -2: b"\x01\x00\x01"},
    "unknown algorithm": {1: 2, 3: 9999},
    "text as algorithm": {1: 2, 3: "ES256"},
    "not on the curve": {1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(31) + b"\x01"},
    "short coordinate": {1: 2, 3: -7, -1: 1, -2: bytes(31), -3: bytes(32)},
    "another curve": {1: 2, 3: -7, -1: 2, -2: bytes(32), -3: bytes(32)},
    "numbers as coordinates": {1: 2, 3: -7, -1: 1, -2: 7, -3: 7},
    "no coordinates": {1: 2, 3: -7, -1: 1},
    "short Ed25519": {1: 1, 3: -8, -1: 6, -2: bytes(31)},
    "X25519": {1: 1, 3: -8, -1: 4, -2: bytes(32)},
    "short RSA": rsa_key(1024),
    "long RSA": {1: 3, 3: -257, -1: b"\xff" * 1024, -2: b"\x01\x00\x01"},
    "RSA with a large exponent": rsa_key(2048) | {-2: b"\xff" * 256},
    "RSA with the exponent 1": rsa_key(2048) | {-2: b"\x01"},
    "an array": [1, 2, 3],
    "a number": 7,
}


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_key_that_is_weak_expensive_or_of_another_kind_is_refused(add, account, creation_options, users, key):
    assert refusal(add(Authenticator().create(creation_options(account), cose=key))) == INVALID
    assert "passkeys" not in users.find_one()


def test_only_the_parameters_of_a_key_are_stored(account, register, users, add, creation_options):
    authenticator = Authenticator()
    key = authenticator.cose()
    added = add(authenticator.create(creation_options(account), cose=key | {-70: b"x" * 1000, 4: [1]}))
    assert added.status_code == 201
    assert cbor.decode(users.find_one()["passkeys"][0]["public_key"]) == key


@pytest.mark.parametrize("bomb", CBOR_BOMBS, ids=lambda bomb: f"{bomb[:4].hex()}x{len(bomb)}")
@pytest.mark.parametrize("place", ["object", "data", "key", "extensions"])
def test_cbor_bombs_are_refused(add, account, creation_options, bomb, place):
    authenticator, options = Authenticator(), creation_options(account)
    credential = authenticator.create(options)
    head = bytes(16) + b"\0\x10" + authenticator.credential_id
    data = {
        "data": bomb,
        "key": authenticator.authenticator_data(credential=head + bomb),
        "extensions": authenticator.authenticator_data(flags=UP | UV | AT | 0x80)
        + head
        + cbor.encode(authenticator.cose())
        + bomb,
    }.get(place)
    attestation = bomb if data is None else cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})
    credential["response"]["attestationObject"] = encode(attestation)
    assert add(credential).json["code"] in ("invalid_new_passkey", "validation_failed")


def test_another_id_than_that_of_the_authenticator_is_refused(add, account, creation_options):
    credential = Authenticator().create(creation_options(account))
    other = Authenticator().id
    assert refusal(add(credential | {"id": other, "rawId": other})) == INVALID
    assert refusal(add(credential | {"id": other})) == (422, "validation_failed")


@pytest.mark.parametrize("name", ["clientDataJSON", "attestationObject"])
@pytest.mark.parametrize("value", ["", "AA==", " AA", "A", "A+/A", 7, None, [], "A" * 6000, ...], ids=str)
def test_a_malformed_response_is_refused(add, account, creation_options, users, name, value):
    credential = copy.deepcopy(Authenticator().create(creation_options(account)))
    credential["response"][name] = value
    if value is ...:
        del credential["response"][name]
    assert add(credential).json["code"] in ("validation_failed", "invalid_new_passkey")
    assert "passkeys" not in users.find_one()


@pytest.mark.parametrize("transports", [None, "usb", [7], ["x" * 33], ["usb"] * 11, [None]])
def test_malformed_transports_are_refused(add, account, creation_options, transports):
    credential = copy.deepcopy(Authenticator().create(creation_options(account)))
    credential["response"]["transports"] = transports
    assert refusal(add(credential)) == (422, "validation_failed")


def test_transports_of_the_future_and_none_are_accepted(add, account, creation_options, client):
    credential = Authenticator().create(creation_options(account))
    credential["response"]["transports"] = ["telepathy", "usb", "usb"]
    assert add(credential).json["transports"] == ["telepathy", "usb"]


def test_the_owner_gets_an_email_about_each_change(client, account, register, users, emails_to, log_in_by):
    users.update_one({"_id": account.id}, {"$set": {"email_verified": True}})
    authenticator, added = register(account)
    bearer = {"Authorization": f"Bearer {log_in_by(authenticator).json['access_token']}"}
    assert client.delete(f"{OWN}/{added.json['id']}", headers=bearer).status_code == 204
    templates = [letter["template"] for letter in emails_to(account.email)]
    assert templates[-2:] == ["passkey_added", "passkey_removed"]


def test_where_emails_are_sent_a_passkey_needs_a_verified_address(make_app, account, users):
    client = make_app(SMTP_URL="smtp://127.0.0.1:1").test_client()
    response = client.post(f"{OWN}/options", headers=account.bearer)
    assert refusal(response) == (403, "email_not_verified")
    users.update_one({}, {"$set": {"email_verified": True}})
    assert client.post(f"{OWN}/options", headers=account.bearer).status_code == 200


def test_changes_are_limited(make_app, by_passkey, creation_options, counts):
    client = make_app(THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT="1 per hour").test_client()
    first, second = (Authenticator().create(creation_options(by_passkey)) for _ in range(2))
    assert client.post(OWN, json={"credential": first}, headers=by_passkey.bearer).status_code == 201
    response = client.post(OWN, json={"credential": second}, headers=by_passkey.bearer)
    assert refusal(response) == (429, "rate_limited")


def test_a_profile_has_nothing_of_passkeys(client, account, passkey):
    assert "passkey" not in client.get("/api/users/me", headers=account.bearer).text


@pytest.mark.parametrize("change", ["added", "removed"])
def test_a_change_of_passkeys_ends_a_pending_change_of_email(client, by_passkey, register, token_sent, change):
    body = {"email": "new@example.com", "password": PASSWORD}
    assert client.post("/api/users/me/email", json=body, headers=by_passkey.bearer).status_code == 202
    if change == "added":
        assert register(by_passkey)[1].status_code == 201
    else:
        [shown] = client.get(OWN, headers=by_passkey.bearer).json
        assert client.delete(f"{OWN}/{shown['id']}", headers=by_passkey.bearer).status_code == 204
    link = {"token": token_sent("new@example.com", "change_email")}
    assert refusal(client.post("/api/auth/change-email/confirm", json=link)) == (400, "invalid_one_time_token")
