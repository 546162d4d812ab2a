import base64
import hmac
import json
import string
import time
from datetime import timedelta

import jwt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pixora import clock
from pixora.errors import InvalidToken
from pixora.services import services
from pixora.tokens import access

CHARACTERS = st.characters(min_codepoint=33, max_codepoint=126)

OTHER_KEY = "another-key-of-more-than-32-bytes-length"


def get_me(client, authorization):
    return client.get("/api/users/me", headers={"Authorization": authorization})


def assert_refused(response):
    assert response.status_code == 401
    assert response.json["code"] == "invalid_token"
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.fixture
def parts(account):
    """The header and the claims of a good token."""
    return jwt.get_unverified_header(account.token), jwt.decode(account.token, options={"verify_signature": False})


@pytest.fixture
def sign(settings, parts):
    """Sign the good token's claims anew, with changes; None takes a claim away."""

    def sign(header=None, key=None, algorithm="HS256", **claims):
        changed = {name: value for name, value in (parts[1] | claims).items() if value is not None}
        # By PyJWT's inner layer: the outer one refuses to sign some of what is tried here.
        return jwt.PyJWS().encode(
            json.dumps(changed).encode(), key or settings.jwt_secret_key, algorithm, parts[0] | (header or {})
        )

    return sign


@pytest.fixture(scope="module")
def issued(session_app):
    """A token of a user, without an account."""
    claims = {"sid": "9f3c51a07be24d68c0a1f2e3", "client_id": "first-party"}
    with session_app.app_context():
        token, _ = services.tokens.issue("6924a1e0c3f1a2b4d5e6f708", claims, clock.utcnow() + timedelta(days=1))
        assert services.tokens.verify(token).user_id == "6924a1e0c3f1a2b4d5e6f708"
    return token


def test_a_token_carries_the_claims_that_other_services_check(account, parts):
    header, claims = parts
    assert header["typ"] == "at+jwt"
    assert header["alg"] == "HS256"
    assert header["kid"]
    assert claims["sub"] == account.id
    assert claims["iss"] == claims["aud"] == "pixora"
    assert claims["type"] == "access"
    assert claims["exp"] - claims["iat"] == 900
    assert claims["jti"]
    assert claims["sid"]
    assert claims["client_id"] == "first-party"
    assert claims["roles"] == ["user"]


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt"])
def test_the_types_of_rfc_9068_and_of_earlier_versions_are_accepted(client, sign, typ):
    assert get_me(client, f"Bearer {sign({'typ': typ})}").status_code == 200


def test_a_token_of_an_earlier_version_is_accepted(client, sign):
    assert get_me(client, f"Bearer {sign({'typ': 'JWT'}, client_id=None, roles=None)}").status_code == 200


@pytest.mark.parametrize("typ", ["dpop+jwt", "logout+jwt", "secevent+jwt", 7, ["at+jwt"]])
def test_a_token_of_another_type_is_refused(client, sign, typ):
    assert_refused(get_me(client, f"Bearer {sign({'typ': typ})}"))


def test_a_token_signed_anew_unchanged_is_accepted(client, sign):
    assert get_me(client, f"Bearer {sign()}").status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_the_scheme_is_case_insensitive(client, account, scheme):
    assert get_me(client, f"{scheme} {account.token}").status_code == 200


@pytest.mark.parametrize("authorization", ["", "Basic YWRhOng=", "Token abc", "JWT", "bearertoken"])
def test_without_a_bearer_token_the_challenge_names_no_error(client, authorization):
    response = get_me(client, authorization)
    assert response.status_code == 401
    assert response.json["code"] == "missing_token"
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "token", ["", " ", "x", "a.b.c", "..", "null", "é.é.é", "a" * 7000, "e30.e30.e30", "W10.W10.W10", "a b", "a,b"]
)
def test_garbage_is_refused(client, token):
    assert_refused(get_me(client, f"Bearer {token}"))


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "sid", "exp", "iat", "jti", "type"])
def test_a_token_without_a_claim_is_refused(client, sign, claim):
    assert_refused(get_me(client, f"Bearer {sign(**{claim: None})}"))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "someone-else"},
        {"iss": ["pixora"]},
        {"aud": "someone-else"},
        {"aud": ["pixora"]},
        {"aud": []},
        {"sub": "6924a1e0c3f1a2b4d5e6f708"},
        {"sub": ""},
        {"sub": {"$ne": ""}},
        {"sub": ["x"]},
        {"sub": 7},
        {"jti": 7},
        {"sid": "9f3c51a07be24d68c0a1f2e3"},
        {"sid": {"$ne": ""}},
        {"type": "refresh"},
        {"type": "ACCESS"},
        {"type": ["access"]},
        {"exp": 1},
        {"exp": -1},
        {"exp": 0},
        {"exp": "9999999999"},
        {"exp": 9999999999.5},
        {"exp": True},
        {"exp": 10**30},
        {"iat": 9999999999},
        {"iat": "now"},
        {"nbf": 9999999999},
    ],
    ids=repr,
)
def test_a_token_with_a_wrong_claim_is_refused(client, sign, claims):
    assert_refused(get_me(client, f"Bearer {sign(**claims)}"))


def test_a_token_of_another_key_is_refused(client, sign):
    assert_refused(get_me(client, f"Bearer {sign(key=OTHER_KEY)}"))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_token_of_another_algorithm_is_refused_even_by_our_key(client, sign, algorithm):
    token = sign(key=OTHER_KEY * 2, algorithm=algorithm)
    assert_refused(get_me(client, f"Bearer {token}"))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 7, "HS384", "RS256", "ES256"])
def test_the_algorithm_a_token_claims_is_not_believed(client, account, algorithm):
    header, claims, signature = account.token.split(".")
    forged = json.loads(base64.urlsafe_b64decode(header + "==")) | {"alg": algorithm}
    forged_header = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    for tail in (signature, ""):
        assert_refused(get_me(client, f"Bearer {forged_header}.{claims}.{tail}"))


@pytest.mark.parametrize("kid", ["", "x", "../../../dev/null", "' OR 1=1 --", "é", "x" * 5000])
def test_a_token_that_names_another_key_is_refused(client, sign, kid):
    assert_refused(get_me(client, f"Bearer {sign(header={'kid': kid})}"))


def test_a_token_that_names_no_key_is_refused(client, settings, parts):
    assert_refused(get_me(client, f"Bearer {jwt.encode(parts[1], settings.jwt_secret_key)}"))


@pytest.mark.parametrize("position", range(3))
def test_one_changed_character_in_any_part_is_refused(client, account, position):
    parts = account.token.split(".")
    middle = len(parts[position]) // 2
    changed = "A" if parts[position][middle] != "A" else "B"
    parts[position] = parts[position][:middle] + changed + parts[position][middle + 1 :]
    assert_refused(get_me(client, f"Bearer {'.'.join(parts)}"))


@pytest.mark.parametrize("seconds", [1, clock.LEEWAY_SECONDS - 1, 10])
def test_an_expired_token_is_refused(client, sign, seconds):
    now = int(time.time())
    assert_refused(get_me(client, f"Bearer {sign(iat=now - 20, exp=now - seconds)}"))


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_token_may_come_from_a_clock_that_is_a_little_ahead_and_no_more(client, sign, claim):
    now = int(time.time())
    assert get_me(client, f"Bearer {sign(**{claim: now + clock.LEEWAY_SECONDS - 1})}").status_code == 200
    assert_refused(get_me(client, f"Bearer {sign(**{claim: now + clock.LEEWAY_SECONDS + 60})}"))


def test_a_token_that_a_machine_with_a_faster_clock_has_just_issued_is_accepted(client, account, move_clock):
    move_clock(seconds=clock.LEEWAY_SECONDS - 1)
    form = {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
    token = client.post("/api/auth/refresh", data=form).json["access_token"]
    move_clock(seconds=1 - clock.LEEWAY_SECONDS)
    assert get_me(client, f"Bearer {token}").status_code == 200


def test_a_token_that_was_verified_before_is_refused_once_expired(client, account, monkeypatch):
    assert get_me(client, f"Bearer {account.token}").status_code == 200
    later = clock.utcnow() + timedelta(seconds=901)
    monkeypatch.setattr(clock, "utcnow", lambda: later)
    assert_refused(get_me(client, f"Bearer {account.token}"))


def test_a_token_is_verified_once_and_remembered(app, account):
    remembered = app.extensions["services"].tokens._verified
    before = remembered.cache_info()
    with app.app_context():
        for _ in range(3):
            services.tokens.verify(account.token)
    after = remembered.cache_info()
    assert after.misses - before.misses <= 1
    assert after.hits - before.hits >= 2


def test_a_refused_token_is_not_remembered(app):
    remembered = app.extensions["services"].tokens._verified
    before = remembered.cache_info().currsize
    with app.app_context():
        for number in range(20):
            with pytest.raises(InvalidToken):
                services.tokens.verify(f"garbage-{number}")
    assert remembered.cache_info().currsize == before


def test_no_more_than_a_bounded_number_of_tokens_is_remembered(app):
    assert app.extensions["services"].tokens._verified.cache_info().maxsize == access.MAX_CACHED


@given(st.data())
def test_a_token_with_any_change_to_its_text_is_refused(session_app, issued, data):
    start = data.draw(st.integers(0, len(issued)))
    end = data.draw(st.integers(start, min(start + 3, len(issued))))
    inserted = data.draw(st.text(CHARACTERS, max_size=3))
    changed = issued[:start] + inserted + issued[end:]
    assume(changed != issued)
    with session_app.app_context(), pytest.raises(InvalidToken):
        services.tokens.verify(changed)


@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_signature_with_other_unused_bits_is_refused(session_app, issued, last):
    """The last of 43 characters has two bits that the 32 bytes do not need."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    changed = issued[:-1] + alphabet[alphabet.index(issued[-1]) ^ last]
    with session_app.app_context(), pytest.raises(InvalidToken):
        services.tokens.verify(changed)


@pytest.mark.parametrize("header", [{"crit": ["b64"], "b64": True}, {"crit": ["exp"]}, {"crit": []}, {"b64": True}])
def test_a_token_with_an_extension_is_refused(session_app, issued, settings, header):
    _, claims, _ = issued.split(".")
    full = base64.urlsafe_b64encode(json.dumps(jwt.get_unverified_header(issued) | header).encode()).rstrip(b"=")
    signed = full + b"." + claims.encode()
    signature = hmac.digest(settings.jwt_secret_key.encode(), signed, "sha256")
    token = f"{signed.decode()}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    with session_app.app_context(), pytest.raises(InvalidToken):
        services.tokens.verify(token)


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b'"text"', b"{", b"\xff", b"[" * 2000, b'{"a":' * 2000])
def test_a_signed_token_without_an_object_is_refused(session_app, issued, settings, payload):
    header = jwt.get_unverified_header(issued)
    token = jwt.PyJWS().encode(payload, settings.jwt_secret_key, "HS256", header)
    with session_app.app_context(), pytest.raises(InvalidToken):
        services.tokens.verify(token)


@pytest.mark.parametrize("header", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 2000, b'{"kid":' * 1000])
def test_a_token_with_any_other_header_is_refused(session_app, header):
    token = f"{base64.urlsafe_b64encode(header).decode().rstrip('=')}.e30.e30"
    with session_app.app_context(), pytest.raises(InvalidToken):
        services.tokens.verify(token)


@pytest.mark.parametrize("nbf", ["1", [1], float("nan"), float("inf")])
def test_a_token_whose_begin_is_no_time_is_refused(client, sign, nbf):
    assert_refused(get_me(client, f"Bearer {sign(nbf=nbf)}"))


def test_the_token_of_one_application_is_refused_by_another_with_other_secrets(make_app, account):
    other = make_app(JWT_SECRET_KEY=OTHER_KEY).test_client()
    assert_refused(get_me(other, f"Bearer {account.token}"))


@given(st.text(CHARACTERS))
def test_no_text_makes_verification_fail_in_any_other_way(session_app, text):
    with session_app.app_context(), pytest.raises(InvalidToken):
        services.tokens.verify(text)


@pytest.mark.parametrize("place", ["query", "cookie", "form"])
def test_a_token_anywhere_but_in_the_header_is_not_seen(client, account, place):
    if place == "cookie":
        client.set_cookie("access_token_cookie", account.token)
    query = {"access_token": account.token, "jwt": account.token} if place == "query" else None
    form = {"access_token": account.token} if place == "form" else None
    response = client.get("/api/users/me", query_string=query, data=form)
    assert response.status_code == 401
    assert response.json["code"] == "missing_token"
