"""`POST /api/auth/revoke` (RFC 7009)."""

import base64

import pytest

from pixora.tokens.refresh import make
from tests.oauth.conftest import assert_error, basic


@pytest.mark.parametrize("kind", ["token", "refresh_token"])
@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "made_up", ""])
def test_either_token_ends_the_session(post, account, refresh_grant, get_me, trail, kind, hint):
    response = post("revoke", token=getattr(account, kind), token_type_hint=hint)
    assert (response.status_code, response.json) == (200, {})
    assert response.headers["Cache-Control"] == "no-store"
    assert get_me(account.token) == 401
    assert_error(refresh_grant(account.refresh_token), "invalid_grant")
    assert trail.count_documents({"event": "session_ended", "user_id": account.id}) == 1


def test_other_sessions_go_on(post, account, password_grant, get_me):
    other = password_grant().json["access_token"]
    post("revoke", token=account.refresh_token)
    assert get_me(other) == 200


def test_revoking_again_succeeds_and_is_recorded_once(post, account, trail):
    for _ in range(2):
        assert post("revoke", token=account.refresh_token).status_code == 200
    assert trail.count_documents({"event": "session_ended"}) == 1


def test_a_refresh_token_that_was_exchanged_ends_the_session_as_well(post, account, refresh_grant, get_me):
    successor = refresh_grant(account.refresh_token).json
    assert post("revoke", token=account.refresh_token).status_code == 200
    assert get_me(successor["access_token"]) == 401


def flipped(token):
    data = bytearray(base64.urlsafe_b64decode(token))
    data[-1] ^= 1
    return base64.urlsafe_b64encode(data).decode()


@pytest.mark.parametrize(
    "forge",
    [
        lambda account, _: flipped(account.refresh_token),
        lambda account, other: base64.urlsafe_b64encode(
            bytes.fromhex(other.id) + base64.urlsafe_b64decode(account.refresh_token)[12:]
        ).decode(),
        lambda account, _: account.token[:-2] + ("AA" if account.token[-2:] != "AA" else "BB"),
        lambda account, _: make(account.id, "0" * 24, 0, "x" * 32, b"x" * 16),
        lambda *_: "garbage",
        lambda *_: "A" * 80,
        lambda *_: "€" * 100,
        lambda *_: "x" * 16000,
        lambda *_: f"{base64.urlsafe_b64encode(b'[' * 10000).decode()}.e30.e30",
        lambda *_: f"{base64.urlsafe_b64encode(b'1' * 10000).decode()}.e30.e30",
    ],
    ids=["forged", "of another user", "forged JWT", "unknown session", *"abcdef"],
)
def test_a_token_that_is_none_gets_200_and_changes_nothing(post, account, other_account, users, watch_commands, forge):
    before = list(users.find())
    with watch_commands() as commands:
        assert post("revoke", token=forge(account, other_account)).status_code == 200
    assert {command.command_name for command in commands} <= {"find"}
    assert list(users.find()) == before


def test_an_expired_access_token_changes_nothing(post, account, refresh_grant, move_clock):
    move_clock(minutes=16)
    assert post("revoke", token=account.token).status_code == 200
    assert refresh_grant(account.refresh_token).status_code == 200


@pytest.mark.parametrize("token", [None, "", ["a", "b"], "\0"], ids=["missing", "empty", "repeated", "NUL"])
def test_without_one_token_the_request_is_invalid(post, token):
    assert_error(post("revoke", token=token, client_id="web"), "invalid_request")


def test_a_client_with_a_secret_is_refused_and_the_session_goes_on(post, account, get_me):
    assert_error(post("revoke", basic("web", "secret"), token=account.token), "invalid_client", 401)
    assert get_me(account.token) == 200
    assert post("revoke", basic("web"), token=account.token).status_code == 200
