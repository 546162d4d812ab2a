"""An administrator or an operator removes the passkeys of a user who has lost them."""

from pixora.passkeys.fields import encode
from tests.factories import log_in
from tests.passkeys.authenticator import Authenticator
from tests.passkeys.conftest import LOGIN, OWN

NEW_PASSWORD = "analytical-engine-no-3"


def test_a_reset_removes_all_passkeys_and_is_audited_and_told_to_the_owner(
    account, admin, register, reset_factors, log_in_by, users, trail, emails_to
):
    users.update_one({"_id": account.id}, {"$set": {"email_verified": True}})
    authenticator, _ = register(account)
    for _ in range(2):  # the second finds nothing to remove
        assert reset_factors(account.id).status_code == 204
    assert log_in_by(authenticator).json["code"] == "unknown_passkey"
    [row] = trail.find({"event": "second_factor_reset"})
    assert (row["user_id"], row["by"]) == (account.id, admin.id)
    assert [letter["template"] for letter in emails_to(account.email)].count("factor_reset") == 1


def bearer_of(login):
    return {"Authorization": f"Bearer {login.json['access_token']}"}


def test_after_a_reset_the_password_is_enough_again(client, account, passkey, reset_factors, users):
    assert client.post(f"{OWN}/options", headers=account.bearer).status_code == 401
    assert reset_factors(account.id).status_code == 204
    assert "passkeys" not in users.find_one({"_id": account.id})  # an empty array would be in the unique index
    assert client.post(f"{OWN}/options", headers=bearer_of(log_in(client))).status_code == 200


def test_it_ends_all_sessions_if_there_was_a_passkey(
    client, account, other_account, passkey, reset_factors, log_in_by, users
):
    bearer = bearer_of(log_in_by(passkey))
    for _ in range(2):  # a user with nothing to remove keeps the sessions
        assert reset_factors(account.id).status_code == reset_factors(other_account.id).status_code == 204
    assert users.find_one({"_id": account.id})["sessions"] == []
    assert client.get("/api/users/me", headers=bearer).status_code == 401
    assert client.get("/api/users/me", headers=other_account.bearer).status_code == 200


def test_a_write_in_flight_of_a_session_with_the_passkey_changes_nothing(
    app, client, account, passkey, log_in_by, users, before_a_write
):
    bearer = bearer_of(log_in_by(passkey))
    command = ["users", "reset-factors", account.email]
    before_a_write("users", lambda: app.test_cli_runner().invoke(args=command))
    answer = client.patch("/api/users/me", json={"first_name": "Eve"}, headers=bearer)
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_token")
    assert users.find_one({"_id": account.id})["first_name"] == "Ada"


def test_a_passkey_of_a_thief_is_removed_after_a_reset_of_the_password_and_by_an_administrator(
    client, account, register, reset_factors, log_in_by, token_sent
):
    """The thief had the token of a recent login, and the owner has a password only."""
    thief_s, added = register(account)
    client.post("/api/auth/password-reset", json={"email": account.email})
    body = {"token": token_sent(account.email, "reset_password"), "new_password": NEW_PASSWORD}
    assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 204
    owner = bearer_of(log_in(client, account.email, NEW_PASSWORD))
    answer = client.delete(f"{OWN}/{added.json['id']}", headers=owner)
    assert (answer.status_code, answer.json["code"]) == (401, "insufficient_user_authentication")
    thief = bearer_of(log_in_by(thief_s))
    assert reset_factors(account.id).status_code == 204
    assert client.get("/api/users/me", headers=thief).status_code == 401
    assert log_in_by(thief_s).json["code"] == "unknown_passkey"
    assert log_in(client, account.email, NEW_PASSWORD).status_code == 200


def test_a_user_without_a_password_gets_in_by_a_reset_of_it(client, account, passkey, reset_factors, users, token_sent):
    users.update_one({"_id": account.id}, {"$unset": {"password": 1}})
    assert reset_factors(account.id).status_code == 204
    assert client.post("/api/auth/password-reset", json={"email": account.email}).status_code == 202
    body = {"token": token_sent(account.email, "reset_password"), "new_password": NEW_PASSWORD}
    assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 204
    assert log_in(client, account.email, NEW_PASSWORD).status_code == 200


def test_a_captured_registration_stays_worthless_after_a_reset(client, account, creation_options, reset_factors, users):
    body = {"credential": Authenticator().create(creation_options(account))}
    assert client.post(OWN, json=body, headers=account.bearer).status_code == 201
    assert reset_factors(account.id).status_code == 204
    response = client.post(OWN, json=body, headers=bearer_of(log_in(client)))
    assert (response.status_code, response.json["code"]) == (422, "invalid_new_passkey")


def test_a_login_that_is_overtaken_by_a_reset_opens_no_session(
    app, client, account, passkey, request_options, users, before_a_write
):
    body = {"credential": passkey.get(request_options())}
    command = ["users", "reset-factors", account.email]
    before_a_write("users", lambda: app.test_cli_runner().invoke(args=command))
    assert client.post(f"{LOGIN}/login", json=body).json["code"] == "unknown_passkey"
    assert users.find_one({"_id": account.id})["sessions"] == []


def test_an_operator_resets_by_command_also_without_data_keys(make_app, account, passkey, log_in_by, trail, users):
    app = make_app(DATA_KEYS=[])
    assert "/api/admin/users/<user_id>/factors" in {rule.rule for rule in app.url_map.iter_rules()}
    result = app.test_cli_runner().invoke(args=["users", "reset-factors", account.email])
    assert (result.exit_code, result.stdout) == (0, f"{account.email} is now without a second factor.\n")
    assert log_in_by(passkey).json["code"] == "unknown_passkey"
    assert trail.find_one({"event": "second_factor_reset"})["by"] == "command"


def test_the_passkey_can_be_added_again(client, account, passkey, register, reset_factors, log_in_by):
    assert reset_factors(account.id).status_code == 204
    passkey.handle = encode(account.id.encode())
    account = account._replace(token=log_in(client).json["access_token"])
    assert register(account, passkey)[1].status_code == 201
    assert log_in_by(passkey).status_code == 200
