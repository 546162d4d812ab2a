"""Logins with a passkey: what is right, and every kind of wrong."""

import copy
import secrets

import pytest

from pixora.passkeys.fields import encode
from tests.conftest import make_account
from tests.factories import log_in
from tests.passkeys.authenticator import BE, BS, ORIGIN, UP, UV, Authenticator, client_data, decode
from tests.passkeys.conftest import LOGIN, OWN


def is_invalid(response):
    assert (response.status_code, response.json["code"]) == (401, "invalid_passkey"), response.text
    assert response.headers["WWW-Authenticate"] == "Bearer"
    return True


@pytest.fixture
def post(client):
    def post(credential):
        return client.post(f"{LOGIN}/login", json={"credential": credential})

    return post


def claims_of(app, response):
    with app.test_request_context():
        return app.extensions["services"].tokens.verify(response.json["access_token"]).claims


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_a_passkey_logs_in_with_each_algorithm(app, client, account, register, log_in_by, algorithm):
    authenticator, added = register(account, Authenticator(algorithm))
    assert added.status_code == 201
    response = log_in_by(authenticator)
    assert response.status_code == 200
    bearer = {"Authorization": f"Bearer {response.json['access_token']}"}
    assert client.get("/api/users/me", headers=bearer).json["id"] == account.id
    refreshed = client.post(
        "/api/auth/refresh", data={"grant_type": "refresh_token", "refresh_token": response.json["refresh_token"]}
    )
    assert claims_of(app, refreshed)["acr"] == "aal2"


@pytest.mark.parametrize(("flags", "key"), [(UP | UV, "hwk"), (UP | UV | BE, "swk"), (UP | UV | BE | BS, "swk")])
def test_the_session_has_two_factors_and_says_whether_the_key_is_on_one_device(
    app, account, register, log_in_by, flags, key
):
    authenticator, _ = register(account, Authenticator(flags=flags))
    claims = claims_of(app, log_in_by(authenticator))
    assert (claims["acr"], claims["amr"]) == ("aal2", [key, "user", "mfa"])


def test_a_login_takes_three_operations_on_the_database(log_in_by, passkey, watch_commands):
    with watch_commands() as commands:
        assert log_in_by(passkey).status_code == 200
    assert [command.command_name for command in commands] == ["find", "update", "update"]  # with the event


def test_options_are_for_any_passkey_and_are_not_stored(client, mongo, request_options, watch_commands):
    with watch_commands() as commands:
        options = [request_options() for _ in range(100)]
    assert commands == []
    assert len({one["challenge"] for one in options}) == 100
    assert {name: value for name, value in options[0].items() if name != "challenge"} == {
        "timeout": 300000,
        "rpId": "example.com",
        "allowCredentials": [],
        "userVerification": "required",
    }


@pytest.mark.parametrize(
    "origin",
    [
        *("https://example.com", "https://evil.app.example.com", "https://app.example.com:444"),
        *("http://app.example.com", "null", "", "https://app.example.com.evil.com", "https://app.exаmple.com"),
        *("https://app.example.com/", "HTTPS://APP.EXAMPLE.COM", "https://app.example.com@evil.com"),
        *(None, 7, ["https://app.example.com"], {"https://app.example.com": 1}),
    ],
)
def test_the_origin_must_be_exactly_one_of_the_settings(log_in_by, passkey, origin):
    assert is_invalid(log_in_by(passkey, origin=origin))
    assert log_in_by(passkey, origin="http://localhost:3000").status_code == 200


@pytest.mark.parametrize(
    "bent",
    [
        {"rp_id": "app.example.com"},
        {"rp_id": "com"},
        {"flags": UP},
        {"flags": UV},
        {"flags": 0},
        {"flags": UP | UV | BE},
        {"flags": UP | UV | BS},
        {"crossOrigin": True},
        {"crossOrigin": "false"},
        {"crossOrigin": 0},
        {"topOrigin": ORIGIN},
        {"type": "webauthn.create"},
        {"type": "payment.get"},
        {"type": None},
        {"challenge": ""},
        {"challenge": "A" * 75},
        {"challenge": None},
        {"challenge": 7},
        *({name: ...} for name in ("type", "challenge", "origin")),
    ],
    ids=str,
)
def test_what_a_browser_or_an_authenticator_must_not_say_is_refused(log_in_by, passkey, bent):
    assert is_invalid(log_in_by(passkey, **bent))


def test_unknown_members_of_client_data_are_ignored(log_in_by, passkey):
    assert log_in_by(passkey, other_keys_can_be_added_here="do not compare clientDataJSON").status_code == 200


@pytest.mark.parametrize("position", [0, 7, 8, 23, 24, 55])
def test_an_altered_challenge_is_refused(post, passkey, request_options, position):
    challenge = bytearray(decode(request_options()["challenge"]))
    challenge[position] ^= 1
    assert is_invalid(post(passkey.get({"challenge": encode(bytes(challenge))})))


def test_a_challenge_expires_after_five_minutes(post, passkey, request_options, move_clock):
    options = request_options()
    move_clock(minutes=4, seconds=59)
    assert post(passkey.get(options)).status_code == 200
    options = request_options()
    move_clock(minutes=5)
    assert is_invalid(post(passkey.get(options)))


def test_a_challenge_for_a_registration_is_refused(post, register, creation_options, account):
    options = creation_options(account)
    authenticator, _ = register(account)
    assert is_invalid(post(authenticator.get(options)))


def test_an_assertion_opens_one_session_and_is_refused_later(post, passkey, request_options, users, move_clock):
    credential = passkey.get(request_options())
    assert post(credential).status_code == 200
    assert is_invalid(post(credential))
    move_clock(minutes=4)
    assert is_invalid(post(credential))
    move_clock(minutes=2)
    assert is_invalid(post(credential))
    assert len(users.find_one()["sessions"]) == 2  # with the one by password


def test_used_challenges_are_dropped_once_they_have_expired(log_in_by, passkey, users, move_clock):
    for _ in range(3):
        assert log_in_by(passkey).status_code == 200
    assert len(users.find_one()["passkey_challenges"]) == 4  # with that of the registration
    move_clock(minutes=6)
    assert log_in_by(passkey).status_code == 200
    assert len(users.find_one()["passkey_challenges"]) == 1


def test_a_user_can_use_100_challenges_in_five_minutes(log_in_by, passkey, use_challenges, move_clock):
    use_challenges(100)
    response = log_in_by(passkey)
    assert (response.status_code, response.json["code"]) == (429, "rate_limited")
    assert 1 <= int(response.headers["Retry-After"]) <= 300
    move_clock(minutes=6)
    assert log_in_by(passkey).status_code == 200


def test_an_altered_signature_is_refused(post, passkey, request_options):
    credential = passkey.get(request_options())
    for altered in (b"", b"\x30\x00", decode(credential["response"]["signature"])[:-1] + b"\0", bytes(1024)):
        bent = copy.deepcopy(credential)
        bent["response"]["signature"] = encode(altered)
        assert is_invalid(post(bent))
    assert post(credential).status_code == 200


def test_a_signature_by_another_key_is_refused(post, passkey, request_options):
    other = Authenticator(credential_id=passkey.credential_id, handle=passkey.handle)
    assert is_invalid(post(other.get(request_options())))


@pytest.mark.parametrize("handle", [None, "", encode(b"0" * 24), encode(b"0" * 64)])
def test_the_user_handle_must_be_that_of_the_owner(log_in_by, passkey, handle):
    passkey.handle = handle
    assert is_invalid(log_in_by(passkey))


def test_the_user_handle_of_another_user_is_refused(log_in_by, passkey, other_account):
    passkey.handle = encode(other_account.id.encode())
    assert is_invalid(log_in_by(passkey))


def test_a_counter_must_rise(log_in_by, account, register, users):
    authenticator, _ = register(account, Authenticator(counter=5))
    for counter, status in ((6, 200), (9, 200), (9, 401), (8, 401), (0, 401), (10, 200), (2**32 - 1, 200)):
        authenticator.counter = counter
        assert log_in_by(authenticator).status_code == status, counter


def test_a_counter_that_went_back_is_recorded_and_told_once_a_day(
    post, log_in_by, account, register, request_options, users, trail, emails_to, move_clock
):
    users.update_one({"_id": account.id}, {"$set": {"email_verified": True}})
    authenticator, added = register(account, Authenticator(counter=5))
    credential = authenticator.get(request_options())
    assert is_invalid(post(credential))
    assert is_invalid(post(credential))  # the same again reports nothing
    rows = list(trail.find({"event": "passkey_counter_went_back"}))
    assert [row["details"] for row in rows] == [{"passkey_id": added.json["id"]}]
    assert is_invalid(log_in_by(authenticator))
    told = [one for one in emails_to(account.email) if one["template"] == "passkey_counter_went_back"]
    assert len(told) == 1
    move_clock(days=1)
    assert is_invalid(log_in_by(authenticator))
    told = [one for one in emails_to(account.email) if one["template"] == "passkey_counter_went_back"]
    assert len(told) == 2


def test_a_counter_that_never_rises_fills_neither_the_document_nor_the_audit_trail(
    log_in_by, account, register, use_challenges, users, trail
):
    authenticator, _ = register(account, Authenticator(counter=5))
    use_challenges(98)
    assert [log_in_by(authenticator).status_code for _ in range(4)] == [401, 401, 429, 429]
    assert len(users.find_one()["passkey_challenges"]) == 100
    assert trail.count_documents({"event": "passkey_counter_went_back"}) == 2


def test_an_authenticator_that_does_not_count_stays_at_zero(log_in_by, passkey):
    assert [log_in_by(passkey).status_code for _ in range(3)] == [200] * 3


def test_an_unknown_credential_has_a_code_of_its_own(log_in_by, account):
    response = log_in_by(Authenticator(handle=encode(account.id.encode())))
    assert (response.status_code, response.json["code"]) == (401, "unknown_passkey")


def test_the_passkey_of_a_deleted_user_is_unknown(log_in_by, passkey, users):
    users.delete_many({})
    assert log_in_by(passkey).json["code"] == "unknown_passkey"


def test_a_disabled_user_is_refused(log_in_by, passkey, users):
    users.update_many({}, {"$set": {"disabled": True}})
    assert is_invalid(log_in_by(passkey))


@pytest.mark.parametrize("change", [{"$set": {"disabled": True}}, {"$unset": {"passkeys": 1}}])
def test_a_user_who_is_disabled_or_removes_the_passkey_meanwhile_gets_no_session(
    log_in_by, passkey, users, before_a_write, change
):
    before_a_write("users", lambda: users.update_many({}, change))
    assert log_in_by(passkey).status_code == 401
    assert len(users.find_one()["sessions"]) == 1


def test_an_address_that_must_be_verified_is_refused_after_a_right_passkey(
    app, log_in_by, passkey, users, change_settings
):
    change_settings(app, REQUIRE_VERIFIED_EMAIL=True)
    response = log_in_by(passkey)
    assert (response.status_code, response.json["code"]) == (403, "email_not_verified")
    users.update_many({}, {"$set": {"email_verified": True}})
    assert log_in_by(passkey).status_code == 200


def test_a_login_is_recorded_with_its_session(log_in_by, passkey, trail, users):
    trail.delete_many({})
    assert log_in_by(passkey).status_code == 200
    [row] = trail.find()
    assert (row["event"], row["details"]) == ("login", {"session_id": users.find_one()["sessions"][0]["id"]})


def test_no_log_line_has_the_credential(log_in_by, passkey, capture_logs):
    with capture_logs() as lines:
        log_in_by(passkey)
        log_in_by(passkey, flags=0)
    text = repr(lines)
    assert passkey.id not in text
    assert passkey.credential_id.hex() not in text


CBOR_BOMBS = [
    b"\x81" * 4000,  # arrays in arrays
    b"\xa1\x00" * 2000,  # maps in maps
    b"\x9b" + b"\xff" * 8,  # an array of 2**64 - 1
    b"\xbb" + b"\xff" * 8 + b"\x00" * 4000,
    b"\x98\xff" + b"\x00" * 100,
    b"\x5b" + b"\xff" * 8,  # a text of 2**64 - 1
    b"\x99\x0f\xff" + b"\x00" * 4000,  # an array of 4095
    b"\x80" * 4000,
    b"\xf9\x7e\x00",
    b"\xc0" * 4000,
    b"\xff",
    b"",
]


@pytest.mark.parametrize("bomb", CBOR_BOMBS, ids=lambda bomb: f"{bomb[:4].hex()}x{len(bomb)}")
def test_cbor_bombs_in_extensions_are_refused(post, passkey, request_options, bomb):
    credential = passkey.get(request_options())
    data = passkey.authenticator_data(flags=UP | UV | 0x80) + bomb
    credential["response"]["authenticatorData"] = encode(data)
    assert is_invalid(post(credential))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("id", value) for value in ("", "AA==", "A A", "A", "A+/A", 7, None, "é", "A" * 1365)),
        *(("rawId", value) for value in ("", "AA==", "A A", "A", "A+/A", 7, None, "é", "A" * 1365)),
        *(("type", value) for value in ("", "password", None, 7)),
        *(("response", value) for value in (None, [], "", {}, {"clientDataJSON": {}})),
    ],
)  # fmt: skip
def test_a_malformed_credential_is_refused(post, passkey, request_options, name, value):
    credential = passkey.get(request_options()) | {name: value}
    response = post(credential)
    assert response.status_code in (401, 422), response.text
    assert response.json["code"] in ("validation_failed", "unknown_passkey")


@pytest.mark.parametrize("name", ["clientDataJSON", "authenticatorData", "signature", "userHandle"])
@pytest.mark.parametrize("value", ["", "AA==", " AA", "AA\n", "A", "A+", 7, [], {}, "\0", "A" * 6000, encode(b"\xff")])
def test_a_malformed_response_is_refused(post, passkey, request_options, name, value):
    credential = passkey.get(request_options())
    credential["response"][name] = value
    assert post(credential).json["code"] in ("validation_failed", "invalid_passkey")


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"[]", b"null", b"7", b'"x"', b"{}", b'{"type":7}', b"\xff\xfe"),
        *(b"[" * 4000, b'{"a":' * 800, b"1" * 4096),
    ],
    ids=lambda data: data[:8].hex(),
)  # fmt: skip
def test_malformed_client_data_is_refused(post, passkey, request_options, data):
    credential = passkey.get(request_options())
    credential["response"]["clientDataJSON"] = encode(data)
    assert is_invalid(post(credential))


@pytest.mark.parametrize("body", [{}, {"credential": None}, {"credential": []}, {"credential": {}, "remember": True}])
def test_a_body_without_a_credential_is_refused(client, body):
    response = client.post(f"{LOGIN}/login", json=body)
    assert (response.status_code, response.json["code"]) == (422, "validation_failed")


def test_unknown_members_are_ignored_as_the_standard_may_get_more(post, passkey, request_options):
    credential = passkey.get(request_options())
    credential["response"]["new"] = credential["new"] = {"a": [{"b": "x" * 7000}]}
    assert post(credential).status_code == 200


def test_without_origins_there_are_no_routes(make_app):
    client = make_app(WEBAUTHN_ORIGINS=[]).test_client()
    assert client.post(f"{LOGIN}/options").status_code == 404
    assert client.get(OWN).status_code == 404


def test_the_same_credential_of_two_users_is_found_once(client, register, account, passkey):
    other = make_account(client, email=f"{secrets.token_hex(4)}@example.com")
    twin = Authenticator(credential_id=passkey.credential_id)
    assert register(other, twin)[1].json["code"] == "passkey_exists"
    assert log_in(client, other.email).status_code == 200


def test_client_data_of_the_test_is_what_browsers_send():
    assert decode(client_data("webauthn.get", "AA")).startswith(b'{"type": "webauthn.get", "challenge": "AA"')
