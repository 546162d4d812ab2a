"""How and when a user was authenticated: `auth_time`, `acr`, `amr`, the guard that asks for them, reauthentication."""

from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest

from pixora.auth.guards import require_recent_login
from tests.factories import PASSWORD, log_in

OURS = ("auth_time", "acr", "amr")


def claims(token):
    return jwt.decode(token, options={"verify_signature": False})


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def assurance(token):
    return {name: value for name, value in claims(token).items() if name in OURS}


@pytest.fixture
def refresh(client):
    def refresh(token):
        return client.post("/api/auth/refresh", data={"grant_type": "refresh_token", "refresh_token": token})

    return refresh


@pytest.fixture
def reauthenticate(client, account):
    def reauthenticate(password=PASSWORD, token=None):
        body = {"password": password}
        return client.post("/api/auth/reauthenticate", json=body, headers=bearer(token or account.token))

    return reauthenticate


@pytest.fixture
def forget(users, account):
    """Make the session one of an earlier version."""

    def forget():
        users.update_one({"_id": account.id}, {"$unset": {f"sessions.0.{name}": True for name in OURS}})

    return forget


@pytest.fixture
def older(account, settings):
    """A token of an earlier version, for the session of the account."""
    content = {name: value for name, value in claims(account.token).items() if name not in OURS}
    return jwt.encode(
        content, settings.jwt_secret_key, headers={"kid": jwt.get_unverified_header(account.token)["kid"]}
    )


class TestLogin:
    def test_a_login_with_a_password_is_aal1_now(self, account):
        issued_at = claims(account.token)["iat"]
        found = assurance(account.token)
        assert found["auth_time"] == pytest.approx(issued_at, abs=1)
        assert (found["acr"], found["amr"]) == ("aal1", ["pwd"])

    def test_a_hundred_refreshes_never_move_it(self, account, refresh, move_clock):
        token, expected = account.refresh_token, assurance(account.token)
        for _ in range(100):
            move_clock(minutes=5)
            grant = refresh(token).json
            token = grant["refresh_token"]
            assert assurance(grant["access_token"]) == expected

    def test_a_session_of_an_earlier_version_began_with_a_password(self, account, refresh, forget, move_clock):
        forget()
        move_clock(hours=1)
        assert assurance(refresh(account.refresh_token).json["access_token"]) == assurance(account.token)

    def test_the_list_of_sessions_has_it_also_for_a_session_of_an_earlier_version(self, client, account, forget):
        [session] = client.get("/api/users/me/sessions", headers=account.bearer).json
        assert session["auth_time"] == session["created_at"]
        assert (session["acr"], session["amr"]) == ("aal1", ["pwd"])
        forget()
        assert client.get("/api/users/me/sessions", headers=account.bearer).json == [session]


class TestReauthentication:
    def test_it_answers_with_tokens_of_the_same_session_authenticated_now(
        self, client, account, reauthenticate, move_clock, users
    ):
        move_clock(minutes=10)
        response = reauthenticate()
        assert response.status_code == 200
        assert set(response.json) == {"access_token", "token_type", "expires_in", "refresh_token"}
        before, after = claims(account.token), claims(response.json["access_token"])
        assert after["sid"] == before["sid"]
        assert after["auth_time"] == pytest.approx(before["auth_time"] + 600, abs=2)
        assert (after["acr"], after["amr"]) == ("aal1", ["pwd"])
        assert client.get("/api/users/me", headers=bearer(response.json["access_token"])).status_code == 200
        assert len(users.find_one({"_id": account.id})["sessions"]) == 1

    def test_a_refresh_keeps_the_new_time(self, reauthenticate, refresh, move_clock):
        move_clock(minutes=10)
        grant = reauthenticate().json
        move_clock(minutes=10)
        assert assurance(refresh(grant["refresh_token"]).json["access_token"]) == assurance(grant["access_token"])

    def test_the_tokens_from_before_stay_valid_so_a_lost_answer_loses_nothing(
        self, client, account, reauthenticate, refresh
    ):
        assert reauthenticate().json["refresh_token"] == account.refresh_token
        assert client.get("/api/users/me", headers=account.bearer).status_code == 200
        assert refresh(account.refresh_token).status_code == 200

    def test_after_a_lost_refresh_it_hands_out_the_successor_and_the_grace_begins(
        self, account, reauthenticate, refresh, users, move_clock
    ):
        lost = refresh(account.refresh_token).json
        users.update_one({"_id": account.id}, {"$unset": {"sessions.0.answered": True}})
        assert reauthenticate(token=lost["access_token"]).json["refresh_token"] == lost["refresh_token"]
        move_clock(seconds=11)
        assert refresh(account.refresh_token).status_code == 401

    def test_the_client_stays_the_same(self, client, account):
        form = {"username": account.email, "password": PASSWORD, "client_id": "web"}
        token = client.post("/api/auth/login", data=form).json["access_token"]
        answer = client.post("/api/auth/reauthenticate", json={"password": PASSWORD}, headers=bearer(token))
        assert claims(answer.json["access_token"])["client_id"] == "web"

    @pytest.mark.parametrize("password", ["wrong-password-1", "", " ", PASSWORD + " ", "x" * 5000])
    def test_a_wrong_password_is_refused_and_changes_nothing(self, account, reauthenticate, users, trail, password):
        before = users.find_one({"_id": account.id})
        response = reauthenticate(password)
        assert (response.status_code, response.json["code"]) == (403, "wrong_password")
        assert users.find_one({"_id": account.id}) == before
        assert [row["event"] for row in trail.find()] == ["wrong_password"]

    @pytest.mark.parametrize("body", [{}, {"password": None}, {"password": 7}, {"password": PASSWORD, "code": "1"}, []])
    def test_a_body_at_fault_is_refused(self, client, account, body):
        assert client.post("/api/auth/reauthenticate", json=body, headers=account.bearer).status_code == 422

    def test_it_shares_the_limits_of_logins(self, make_app, account, counts):
        client = make_app(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="2 per hour").test_client()
        body = {"password": "wrong-password-1"}
        statuses = [
            client.post("/api/auth/reauthenticate", json=body, headers=account.bearer).status_code for _ in range(3)
        ]
        assert statuses == [403, 403, 429]
        assert log_in(client).status_code == 429

    def test_it_is_recorded(self, account, reauthenticate, trail):
        reauthenticate()
        [row] = trail.find()
        assert row["event"] == "reauthenticated"
        assert row["details"] == {"session_id": claims(account.token)["sid"]}

    def test_a_password_alone_is_not_enough_for_an_account_with_a_second_factor(self, account, reauthenticate, users):
        users.update_one({"_id": account.id}, {"$set": {"factors": {"totp": {}}}})
        response = reauthenticate()
        assert (response.status_code, response.json["code"]) == (401, "insufficient_user_authentication")
        assert 'acr_values="aal2"' in response.headers["WWW-Authenticate"]

    def test_twenty_at_once_all_succeed_and_none_loses_the_session(self, app, account, refresh):
        def one(_):
            body = {"password": PASSWORD}
            return app.test_client().post("/api/auth/reauthenticate", json=body, headers=account.bearer).status_code

        with ThreadPoolExecutor(20) as pool:
            assert set(pool.map(one, range(20))) == {200}
        assert refresh(account.refresh_token).status_code == 200


class TestGuard:
    """A route of its own, guarded as those that change what one can log in with."""

    @pytest.fixture
    def client(self, make_app):
        app = make_app()
        view = require_recent_login(lambda user: {"id": user["_id"]})
        app.add_url_rule("/api/sensitive", "sensitive", view, methods=["POST"])
        return app.test_client()

    @pytest.fixture
    def ask(self, client):
        return lambda token: client.post("/api/sensitive", headers=bearer(token))

    def assert_step_up(self, response, level="aal1"):
        assert response.status_code == 401
        assert response.json["code"] == "insufficient_user_authentication"
        challenge = f'Bearer error="insufficient_user_authentication", acr_values="{level}", max_age="300"'
        assert response.headers["WWW-Authenticate"] == challenge

    def test_it_lets_a_recent_login_through(self, ask, account, move_clock):
        assert ask(account.token).json == {"id": account.id}
        move_clock(minutes=4, seconds=58)
        assert ask(account.token).status_code == 200

    def test_it_refuses_a_login_of_six_minutes_ago_until_the_user_authenticates_again(
        self, ask, account, move_clock, reauthenticate
    ):
        move_clock(minutes=6)
        self.assert_step_up(ask(account.token))
        assert ask(reauthenticate().json["access_token"]).status_code == 200
        self.assert_step_up(ask(account.token))

    def test_a_refresh_is_no_authentication(self, ask, account, move_clock, refresh):
        move_clock(minutes=6)
        self.assert_step_up(ask(refresh(account.refresh_token).json["access_token"]))

    def test_without_a_token_it_asks_for_one(self, client):
        assert client.post("/api/sensitive").json["code"] == "missing_token"

    def test_it_refuses_a_session_that_has_ended(self, client, ask, account):
        client.post("/api/auth/logout", headers=account.bearer)
        assert ask(account.token).json["code"] == "invalid_token"

    def test_it_reads_the_database_once(self, ask, account, watch_commands):
        with watch_commands() as commands:
            ask(account.token)
        assert [command.command_name for command in commands] == ["find"]

    def test_a_token_of_an_earlier_version_is_as_old_as_its_session(self, ask, older, move_clock):
        assert ask(older).status_code == 200
        move_clock(minutes=6)
        self.assert_step_up(ask(older))

    def test_token_and_session_of_an_earlier_version_are_as_old_as_the_session(self, ask, older, forget, move_clock):
        forget()
        assert ask(older).status_code == 200
        move_clock(minutes=6)
        self.assert_step_up(ask(older))

    def test_an_account_with_a_second_factor_needs_it(self, ask, account, users, refresh):
        users.update_one({"_id": account.id}, {"$set": {"factors": {"totp": {}}}})
        self.assert_step_up(ask(account.token), "aal2")
        users.update_one({"_id": account.id}, {"$set": {"sessions.0.acr": "aal2", "sessions.0.amr": ["pwd", "otp"]}})
        token = refresh(account.refresh_token).json["access_token"]
        assert assurance(token)["amr"] == ["pwd", "otp"]
        assert ask(token).status_code == 200

    def test_a_second_factor_from_six_minutes_ago_is_too_old(self, ask, account, users, refresh, move_clock):
        change = {"factors": {"totp": {}}, "sessions.0.acr": "aal2"}
        users.update_one({"_id": account.id}, {"$set": change})
        move_clock(minutes=6)
        self.assert_step_up(ask(refresh(account.refresh_token).json["access_token"]), "aal2")
