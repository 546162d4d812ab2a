"""Users who have removed their password: what they do without one, and that they never lock themselves out."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.auth.conftest import NEW_PASSWORD
from tests.conftest import make_account, promote
from tests.factories import PASSWORD, log_in, refusal, signup_body
from tests.passkeys.conftest import OWN

ME = "/api/users/me"
PASSWORD_PATH = f"{ME}/password"
NEW_EMAIL = "new@example.com"
NEEDED = 401, "insufficient_user_authentication"
INSTEAD = {
    "deletion": ("DELETE", ME, "password", {}, 204),
    "change of address": ("POST", f"{ME}/email", "password", {"email": NEW_EMAIL}, 202),
    "new password": ("POST", PASSWORD_PATH, "current_password", {"new_password": NEW_PASSWORD}, 204),
}
"""What takes a recent login in the place of the password: the route, the field, the rest of the body, the status."""


def remove_by(client, account, password=PASSWORD):
    return client.delete(PASSWORD_PATH, json={"password": password}, headers=account.bearer)


def delete(client, path, account):
    """Remove the password or a passkey."""
    body = {"password": PASSWORD} if path == PASSWORD_PATH else None
    return client.delete(path, json=body, headers=account.bearer)


@pytest.fixture
def remove(client):
    """Remove the password of an account; return the answer."""
    return lambda account, password=PASSWORD: remove_by(client, account, password)


@pytest.fixture
def ada(by_passkey, remove):
    """Ada, logged in with her passkey, without a password."""
    assert remove(by_passkey).status_code == 204
    return by_passkey


@pytest.fixture
def call(client):
    def call(what, account, password=None):
        method, path, field, body, _ = INSTEAD[what]
        body = body if password is None else body | {field: password}
        return client.open(path, method=method, json=body, headers=account.bearer)

    return call


@pytest.fixture
def reset_token(client, token_sent):
    """Ask for a link to reset the password, and return its token."""

    def ask(account):
        client.post("/api/auth/password-reset", json={"email": account.email})
        return token_sent(account.email, "reset_password")

    return ask


class TestRemoval:
    def test_only_the_passkey_logs_in_afterwards(self, client, ada, passkey, log_in_by, users):
        assert log_in(client).status_code == 401
        assert log_in_by(passkey).status_code == 200
        assert "password" not in users.find_one()

    def test_the_profile_says_it_in_another_state(self, client, by_passkey, remove):
        before = client.get(ME, headers=by_passkey.bearer)
        assert "has_password" not in before.json
        remove(by_passkey)
        after = client.get(ME, headers=by_passkey.bearer | {"If-None-Match": before.headers["ETag"]})
        assert (after.status_code, after.json["has_password"]) == (200, False)

    def test_it_ends_the_other_sessions_and_a_change_of_address_and_no_link_to_reset(
        self, client, account, by_passkey, remove, reset_token, users
    ):
        reset_token(account)
        client.post(f"{ME}/email", json={"email": NEW_EMAIL, "password": PASSWORD}, headers=by_passkey.bearer)
        assert set(users.find_one()["tokens"]) == {"verify_email", "reset_password", "change_email"}
        assert remove(by_passkey).status_code == 204
        assert set(users.find_one()["tokens"]) == {"verify_email", "reset_password"}
        assert client.get(ME, headers=account.bearer).status_code == 401
        assert client.get(ME, headers=by_passkey.bearer).status_code == 200

    def test_it_is_recorded_and_told_once_however_often_it_is_sent(self, by_passkey, remove, trail, emails_to):
        trail.delete_many({})
        assert [remove(by_passkey).status_code for _ in range(3)] == [204] * 3
        assert [row["event"] for row in trail.find()] == ["password_removed"]
        templates = [letter["template"] for letter in emails_to(by_passkey.email)]
        assert templates.count("password_removed") == 1

    def test_of_two_at_once_one_is_recorded(self, app, by_passkey, remove, before_a_write, trail):
        other = app.test_client()
        before_a_write("users", lambda: remove_by(other, by_passkey))
        assert remove(by_passkey).status_code == 204
        assert trail.count_documents({"event": "password_removed"}) == 1

    def test_without_a_passkey_it_is_refused(self, account, remove, users):
        before = users.find_one()
        assert refusal(remove(account)) == (409, "last_credential")
        assert users.find_one() == before

    def test_with_a_passkey_for_another_domain_it_is_refused(self, by_passkey, remove, users):
        users.update_one({}, {"$set": {"passkeys.0.rp_id": "former.example.com"}})
        assert refusal(remove(by_passkey)) == (409, "last_credential")

    def test_it_needs_a_recent_login_with_the_passkey(self, account, by_passkey, remove, move_clock):
        assert refusal(remove(account)) == NEEDED  # who has only given the password
        move_clock(minutes=6)
        assert refusal(remove(by_passkey)) == NEEDED

    @pytest.mark.parametrize("password", ["wrong", "", "x" * 10_000])
    def test_a_wrong_password_removes_nothing(self, by_passkey, remove, users, password):
        before = users.find_one()
        assert refusal(remove(by_passkey, password)) == (403, "wrong_password")
        assert users.find_one() == before

    def test_the_password_is_required(self, client, by_passkey):
        answer = client.delete(PASSWORD_PATH, json={}, headers=by_passkey.bearer)
        assert answer.json["errors"] == {"password": ["Missing data for required field."]}

    def test_a_password_that_was_changed_meanwhile_stays(self, by_passkey, remove, users, before_a_write):
        stored = users.find_one()["password"]
        other = stored[:-9] + ("b" if stored[-9] == "a" else "a") + stored[-8:]
        before_a_write("users", lambda: users.update_one({}, {"$set": {"password": other}}))
        assert refusal(remove(by_passkey)) == (403, "wrong_password")
        assert users.find_one()["password"] == other

    def test_it_is_limited_as_changes_of_the_password_are(self, make_app, by_passkey, counts, users):
        client = make_app(THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT="1 per hour").test_client()
        before = users.find_one()
        assert remove_by(client, by_passkey).status_code == 204
        users.replace_one({}, before)
        assert refusal(remove_by(client, by_passkey)) == (429, "rate_limited")

    def test_a_session_that_has_ended_meanwhile_removes_nothing(self, by_passkey, remove, users, before_a_write):
        before_a_write("users", lambda: users.update_one({}, {"$set": {"sessions": []}}))
        assert refusal(remove(by_passkey)) == (401, "invalid_token")
        assert "password" in users.find_one()

    def test_where_passkeys_are_turned_off_the_route_does_not_exist(self, make_app, account):
        client = make_app(WEBAUTHN_ORIGINS=[]).test_client()
        assert remove_by(client, account).status_code == 405


def test_a_stolen_token_with_a_passkey_of_the_thief_does_not_remove_the_password(
    client, account, register, remove, call, users, reauthentication_options
):
    """Who has the token alone, minutes after the login, can add a passkey and log in with it."""
    thief_s, added = register(account)
    assert added.status_code == 201
    options = reauthentication_options(account)
    answer = client.post("/api/auth/reauthenticate", json={"credential": thief_s.get(options)}, headers=account.bearer)
    thief = account._replace(token=answer.json["access_token"])
    before = users.find_one()
    assert refusal(remove(thief, "a guess of the thief")) == (403, "wrong_password")
    for what in INSTEAD:
        assert call(what, thief).status_code == 422
    assert users.find_one() == before


class TestLastPasskey:
    def test_it_stays_although_there_is_one_for_another_domain(self, client, ada, register, users):
        register(ada)
        [newer, older] = client.get(OWN, headers=ada.bearer).json
        users.update_one({}, {"$set": {"passkeys.1.rp_id": "former.example.com"}})
        refused = client.delete(f"{OWN}/{older['id']}", headers=ada.bearer)
        assert refusal(refused) == (409, "last_credential")
        assert client.delete(f"{OWN}/{newer['id']}", headers=ada.bearer).status_code == 204

    def test_it_can_be_removed_once_there_is_a_password_again(self, client, ada, call):
        [shown] = client.get(OWN, headers=ada.bearer).json
        assert refusal(client.delete(f"{OWN}/{shown['id']}", headers=ada.bearer)) == (409, "last_credential")
        assert call("new password", ada).status_code == 204
        assert client.delete(f"{OWN}/{shown['id']}", headers=ada.bearer).status_code == 204
        assert log_in(client, password=NEW_PASSWORD).status_code == 200


class TestNewPassword:
    @pytest.mark.parametrize("way", ["reset", "step-up"])
    def test_a_password_is_set_again(self, client, ada, call, reset_token, users, way):
        if way == "reset":
            body = {"token": reset_token(ada), "new_password": NEW_PASSWORD}
            assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 204
        else:
            assert call("new password", ada).status_code == 204
        bearer = {"Authorization": f"Bearer {log_in(client, password=NEW_PASSWORD).json['access_token']}"}
        assert "has_password" not in client.get(ME, headers=bearer).json
        assert "password_removed_at" not in users.find_one()

    @pytest.mark.parametrize("new", ["short", "adalovelace1990"])
    def test_a_weak_one_is_refused(self, client, ada, new):
        answer = client.post(PASSWORD_PATH, json={"new_password": new}, headers=ada.bearer)
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["new_password"])


@pytest.mark.parametrize("what", INSTEAD)
class TestInsteadOfThePassword:
    def test_a_recent_login_is_enough(self, ada, call, what):
        assert call(what, ada).status_code == INSTEAD[what][-1]

    def test_one_of_six_minutes_ago_is_refused(self, ada, call, move_clock, users, what):
        move_clock(minutes=6)
        before = users.find_one()
        assert refusal(call(what, ada)) == NEEDED
        assert users.find_one() == before

    def test_every_password_is_wrong(self, ada, call, users, what):
        before = users.find_one()
        assert refusal(call(what, ada, password=PASSWORD)) == (403, "wrong_password")
        assert users.find_one() == before

    def test_a_user_with_a_password_has_to_send_it(self, by_passkey, call, users, what):
        before = users.find_one()
        answer = call(what, by_passkey)
        missing = {INSTEAD[what][2]: ["Missing data for required field."]}
        assert (answer.status_code, answer.json["errors"]) == (422, missing)
        assert users.find_one() == before

    def test_a_password_that_is_set_meanwhile_is_wanted(self, ada, call, users, before_a_write, what):
        reset = {"$set": {"password": "x"}, "$unset": {"password_removed_at": True}}
        before_a_write("users", lambda: users.update_one({}, reset))
        answer = call(what, ada)
        missing = {INSTEAD[what][2]: ["Missing data for required field."]}
        assert (answer.status_code, answer.json["errors"]) == (422, missing)
        assert users.find_one()["password"] == "x"

    def test_a_session_that_has_ended_meanwhile_changes_nothing(self, ada, call, users, before_a_write, what):
        before_a_write("users", lambda: users.update_one({}, {"$set": {"sessions": []}}))
        assert refusal(call(what, ada)) == (401, "invalid_token")
        assert "change_email" not in users.find_one()["tokens"]


def test_a_role_that_is_given_meanwhile_does_not_make_the_password_wanted(
    ada, other_account, users, before_a_write, call
):
    """The condition of the deletion names the role, so it is tried again."""
    admin = {"$set": {"roles": ["user", "admin"]}}
    users.update_one({"_id": other_account.id}, admin)
    # After the reads of the user and of the role, when the deletion itself is about to be sent.
    before_a_write("users", lambda: users.update_one({"_id": ada.id}, admin), reads=2)
    assert call("deletion", ada).status_code == 204
    assert users.count_documents({"_id": ada.id}) == 0


def test_an_address_that_has_changed_meanwhile_does_not_make_the_password_wanted(ada, users, before_a_write, call):
    def change():
        users.update_one({}, {"$set": {"email": "other@example.com"}})

    before_a_write("users", change)
    assert refusal(call("change of address", ada)) == (401, "invalid_token")
    assert "change_email" not in users.find_one()["tokens"]


def test_where_passkeys_are_turned_off_a_recent_login_is_still_wanted(make_app, ada, move_clock):
    client = make_app(WEBAUTHN_ORIGINS=[]).test_client()
    move_clock(minutes=6)
    assert refusal(client.delete(ME, json={}, headers=ada.bearer)) == NEEDED
    move_clock(minutes=-6)
    assert client.delete(ME, json={}, headers=ada.bearer).status_code == 204


class TestVerification:
    @pytest.fixture
    def verify(self, client, token_sent):
        def verify(account=None, *, of="ada@example.com", **password):
            body = {"token": token_sent(of, "verify_email"), **password}
            headers = account.bearer if account else {}
            return client.post("/api/auth/verify-email/confirm", json=body, headers=headers)

        return verify

    def test_a_recent_login_takes_the_place_of_the_password(self, ada, verify, users, trail):
        assert verify(ada).status_code == 204
        assert users.find_one()["email_verified"] is True
        assert trail.count_documents({"event": "email_verified", "user_id": ada.id}) == 1

    def test_without_a_login_or_with_an_old_one_the_link_does_nothing(self, ada, verify, users, move_clock):
        assert verify().json["errors"] == {"password": ["Missing data for required field."]}
        assert refusal(verify(password=PASSWORD)) == (403, "wrong_password")
        assert refusal(verify(ada._replace(token="x"))) == (401, "invalid_token")
        move_clock(minutes=6)
        assert refusal(verify(ada)) == NEEDED
        assert users.find_one()["email_verified"] is False

    def test_a_user_with_a_password_has_to_send_it(self, by_passkey, verify):
        assert verify(by_passkey).json["errors"] == {"password": ["Missing data for required field."]}
        assert verify(by_passkey._replace(token="x"), password=PASSWORD).status_code == 204

    def test_the_link_of_another_user_does_nothing(self, ada, other_account, verify, users):
        assert refusal(verify(ada, of=other_account.email)) == (400, "invalid_one_time_token")
        assert users.count_documents({"email_verified": True}) == 0

    def test_a_session_that_has_ended_meanwhile_verifies_nothing(self, ada, verify, users, before_a_write):
        before_a_write("users", lambda: users.update_one({}, {"$set": {"sessions": []}}))
        assert refusal(verify(ada)) == (401, "invalid_token")


class TestLogin:
    """An absent password is like an unknown user."""

    def test_words_limits_and_log_are_those_of_an_unknown_user(self, make_app, ada, counts, capture_logs):
        client = make_app(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="2 per hour").test_client()
        answers = {}
        with capture_logs() as lines:
            for email in (ada.email, "nobody@example.com"):
                responses = [log_in(client, email) for _ in range(3)]
                assert [response.status_code for response in responses] == [401, 401, 429]
                answers[email] = [
                    {name: value for name, value in response.json.items() if name != "request_id"}
                    for response in responses
                ]
        assert answers[ada.email] == answers["nobody@example.com"]
        assert "corrupt_hash" not in {line.get("event") for line in lines}
        assert not [line for line in lines if line["level"] == "ERROR"]

    def test_so_it_is_at_the_token_endpoint_and_within_a_session(self, client, ada):
        form = {"grant_type": "password", "username": ada.email, "password": PASSWORD}
        answer = client.post("/api/auth/token", data=form)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
        answer = client.post("/api/auth/reauthenticate", json={"password": PASSWORD}, headers=ada.bearer)
        assert refusal(answer) == (403, "wrong_password")

    def test_the_second_step_of_a_login_is_refused_once_the_password_is_removed(
        self, client, by_passkey, remove, users
    ):
        factor = {"id": "x", "secret": b"y", "key": "z", "last_step": 0}
        users.update_one({}, {"$set": {"factors.totp": factor}})
        token = log_in(client).json["mfa_token"]
        assert remove(by_passkey).status_code == 204
        answer = client.post("/api/auth/mfa", data={"mfa_token": token, "code": "123456"})
        assert refusal(answer) == (401, "invalid_mfa_token")


class TestRaces:
    def test_a_login_under_way_opens_no_session(self, client, by_passkey, remove, users, before_a_write):
        before_a_write("users", lambda: remove(by_passkey))
        assert refusal(log_in(client)) == (401, "invalid_credentials")
        assert len(users.find_one()["sessions"]) == 1

    def test_of_logins_beside_the_removal_none_leaves_a_session(self, app, by_passkey, users):
        def removal():
            return remove_by(app.test_client(), by_passkey).status_code

        with ThreadPoolExecutor(8) as pool:
            logins = [pool.submit(lambda: log_in(app.test_client()).status_code) for _ in range(7)]
            assert pool.submit(removal).result() == 204
            assert {login.result() for login in logins} <= {200, 401}
        assert len(users.find_one()["sessions"]) == 1

    @pytest.mark.parametrize("first", ["password", "passkey"])
    def test_whichever_is_first_the_other_one_stays(self, app, client, by_passkey, users, before_a_write, first):
        [shown] = client.get(OWN, headers=by_passkey.bearer).json
        paths = [PASSWORD_PATH, f"{OWN}/{shown['id']}"]
        faster, slower = paths if first == "password" else paths[::-1]
        before_a_write("users", lambda: delete(app.test_client(), faster, by_passkey))
        assert refusal(delete(client, slower, by_passkey)) == (409, "last_credential")
        assert ("password" in users.find_one()) is (first == "passkey")

    def test_a_reset_under_way_wins_over_the_removal(self, client, by_passkey, remove, reset_token, before_a_write):
        body = {"token": reset_token(by_passkey), "new_password": NEW_PASSWORD}
        before_a_write("users", lambda: remove(by_passkey))
        assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 204
        assert log_in(client, password=NEW_PASSWORD).status_code == 200

    def test_a_reset_that_is_faster_ends_the_removal(
        self, client, by_passkey, remove, reset_token, users, before_a_write
    ):
        body = {"token": reset_token(by_passkey), "new_password": NEW_PASSWORD}
        other = client.application.test_client()
        before_a_write("users", lambda: other.post("/api/auth/password-reset/confirm", json=body))
        assert refusal(remove(by_passkey)) == (401, "invalid_token")
        assert "password_removed_at" not in users.find_one()
        assert log_in(client, password=NEW_PASSWORD).status_code == 200


class TestElsewhere:
    def test_the_export_has_it(self, client, ada):
        export = client.get(f"{ME}/export", headers=ada.bearer).json
        assert export["profile"]["has_password"] is False
        assert export["password_removed_at"] == export["profile"]["updated_at"]

    def test_administrators_tell_it_from_an_invitation(self, app, client, ada, users):
        admin = make_account(client, email="admin@example.com")
        promote(users, admin)
        invitation = signup_body(email="guest@example.com", invite=True)
        del invitation["password"]
        client.post("/api/admin/users", json=invitation, headers=admin.bearer)
        shown = client.get("/api/admin/users", headers=admin.bearer).json["items"]
        states = {user["email"]: (user.get("has_password", True), "invited_at" in user) for user in shown}
        assert states == {
            "admin@example.com": (True, False),
            "guest@example.com": (False, True),
            "ada@example.com": (False, False),
        }
        path = f"/api/admin/users/{ada.id}"
        assert client.get(path, headers=admin.bearer).json["has_password"] is False
        assert refusal(client.post(f"{path}/invitation", headers=admin.bearer)) == (409, "not_invited")
        assert refusal(client.delete(f"{path}/invitation", headers=admin.bearer)) == (409, "not_invited")
        run = app.test_cli_runner().invoke
        assert "has_password: False" in run(args=["users", "show", "ada@example.com"]).stdout
        lines = run(args=["users", "list"]).stdout.splitlines()
        assert [line.split("  ", 1)[1] for line in lines] == [
            "ada@example.com  user, no password",
            "admin@example.com  user, admin",
            "guest@example.com  user, invited",
        ]

    def test_an_administrator_without_a_password_counts_as_one(self, client, ada, users, other_account):
        users.update_many({}, {"$set": {"roles": ["user", "admin"]}})
        path = f"/api/admin/users/{other_account.id}/roles"
        assert client.put(path, json={"roles": ["user"]}, headers=ada.bearer).status_code == 200
        answer = client.delete(ME, json={}, headers=ada.bearer)
        assert refusal(answer) == (409, "last_admin")
