"""A disabled user cannot use the service in any way, and no answer reveals why."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore

import pytest

from pixora import clock
from pixora.accounts.outbox import Claimed, StaleLink
from pixora.accounts.sessions import SessionStore
from pixora.accounts.users import UserStore
from pixora.auth import credentials
from tests.auth.conftest import NEW_PASSWORD, is_refused
from tests.conftest import make_account
from tests.factories import HASH_2B, PASSWORD, fastapi_user, log_in, sign_up
from tests.timeouts import LONG

ME = "/api/users/me"
RESET = "/api/auth/password-reset"


def refresh(client, token):
    return client.post("/api/auth/refresh", data={"grant_type": "refresh_token", "refresh_token": token})


def visible(response):
    """Everything a client can compare of two responses."""
    body = {name: value for name, value in (response.json or {}).items() if name != "request_id"}
    headers = [(name, value) for name, value in response.headers if name not in ("Date", "X-Request-ID")]
    return response.status_code, body, headers


def summary(commands):
    """The name, collection and write concern of each command."""
    return [
        (one.command_name, one.command[one.command_name], one.command.get("writeConcern"))
        for one in commands
        if one.command_name not in ("listIndexes", "hello")
    ]


@pytest.fixture
def disable(ask, account):
    """Disable a user, by default Ada."""

    def disable(user_id=account.id):
        assert ask("POST", f"/{user_id}/disable").status_code == 204

    return disable


@pytest.fixture
def enable(ask, account):
    def enable():
        assert ask("POST", f"/{account.id}/enable").status_code == 204

    return enable


@pytest.fixture
def once(monkeypatch):
    """Call `event` right before the next call of a method, as a concurrent request would."""

    def once(kind, name, event):
        method = getattr(kind, name)

        def late(*args, **kwargs):
            monkeypatch.setattr(kind, name, method)
            event()
            return method(*args, **kwargs)

        monkeypatch.setattr(kind, name, late)

    return once


def test_a_disabled_user_is_stopped_at_the_next_request(client, account, disable):
    disable()
    for path in (ME, f"/api/users/{account.id}", f"{ME}/sessions", f"{ME}/export"):
        response = client.get(path, headers=account.bearer)
        assert (response.status_code, response.json["code"]) == (401, "invalid_token")
    assert client.patch(ME, json={"first_name": "Eve"}, headers=account.bearer).status_code == 401


def test_a_disabled_user_is_stopped_by_every_instance_of_the_service(other_app, account, disable):
    other = other_app.test_client()
    assert other.get(ME, headers=account.bearer).status_code == 200
    disable()
    assert other.get(ME, headers=account.bearer).status_code == 401


def test_a_user_disabled_by_hand_in_the_database_is_stopped(client, account, users):
    users.update_one({"_id": account.id}, {"$set": {"disabled": True}})
    assert client.get(ME, headers=account.bearer).status_code == 401
    assert refresh(client, account.refresh_token).status_code == 401
    assert log_in(client, account.email).status_code == 401
    assert users.find_one({"_id": account.id})["sessions"]


def test_reading_the_profile_takes_one_operation(client, account, watch_commands):
    client.get(ME, headers=account.bearer)
    with watch_commands() as commands:
        assert client.get(ME, headers=account.bearer).status_code == 200
    assert [command.command_name for command in commands] == ["find"]


def test_disabling_ends_sessions_and_one_time_tokens(client, account, users, disable):
    client.post(RESET, json={"email": account.email})
    client.post(f"{ME}/email", json={"email": "new@example.com", "password": PASSWORD}, headers=account.bearer)
    assert set(users.find_one({"_id": account.id})["tokens"]) == {"verify_email", "reset_password", "change_email"}
    disable()
    stored = users.find_one({"_id": account.id})
    assert (stored["sessions"], stored["tokens"], stored["disabled"]) == ([], {}, True)


def test_a_user_of_the_fastapi_service_is_disabled_and_enabled_without_a_trace(ask, users):
    user = fastapi_user()
    users.insert_one(user)
    ask("POST", f"/{user['_id']}/disable")
    ask("POST", f"/{user['_id']}/enable")
    stored = users.find_one({"_id": user["_id"]})
    assert stored.pop("sessions") == []
    assert stored.pop("tokens", {}) == {}
    assert [letter["template"] for letter in stored.pop("letters")] == ["account_changed"] * 2
    assert stored.pop("updated_at") > user.pop("updated_at")
    assert stored == user


@pytest.mark.parametrize("action", ["disable", "enable"])
def test_repeating_an_action_changes_nothing_and_is_not_logged(ask, users, account, capture_logs, action):
    ask("POST", f"/{account.id}/disable")
    with capture_logs() as lines:
        assert [ask("POST", f"/{account.id}/{action}").status_code for _ in range(2)] == [204, 204]
        before = users.find_one({"_id": account.id})
        assert ask("POST", f"/{account.id}/{action}").status_code == 204
    assert users.find_one({"_id": account.id}) == before
    assert len([line for line in lines if line.get("event", "").startswith("user_")]) == (action == "enable")


def test_disabling_and_enabling_change_the_etag(ask, users, account):
    seen = [users.find_one({"_id": account.id})["updated_at"]]
    for action in ("disable", "enable", "disable"):
        ask("POST", f"/{account.id}/{action}")
        seen.append(users.find_one({"_id": account.id})["updated_at"])
    assert seen == sorted(set(seen))


def test_disabling_many_times_at_once_is_logged_once(app, admin, account, capture_logs):
    def one(_):
        return app.test_client().post(f"/api/admin/users/{account.id}/disable", headers=admin.bearer).status_code

    with capture_logs() as lines, ThreadPoolExecutor(10) as pool:
        assert list(pool.map(one, range(10))) == [204] * 10
    assert len([line for line in lines if line.get("event") == "user_disabled"]) == 1


@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_a_disabled_users_login_looks_like_a_wrong_password(client, account, other_account, disable, password):
    disable()
    assert visible(log_in(client, account.email, password)) == visible(log_in(client, other_account.email, "wrong"))
    assert visible(log_in(client, account.email, password)) == visible(log_in(client, "nobody@example.com", "wrong"))
    assert log_in(client, account.email, password).json["detail"] == "Incorrect email or password"


def test_a_disabled_users_login_costs_the_operations_of_a_wrong_password(
    client, account, other_account, disable, watch_commands
):
    disable()
    seen = []
    for email, password in ((account.email, PASSWORD), (account.email, "wrong"), (other_account.email, "wrong")):
        log_in(client, email, password)  # a count that is there is gone on with
        with watch_commands() as commands:
            log_in(client, email, password)
        seen.append(summary(commands))
    assert seen[0] == seen[1] == seen[2]


def test_a_disabled_users_login_costs_the_hash_of_a_wrong_password(client, users, account, disable, monkeypatch):
    verified = []
    verify = credentials.verify.verify_password

    def note(password, stored, cost, is_enabled):
        verified.append((stored, cost))
        return verify(password, stored, cost, is_enabled)

    monkeypatch.setattr(credentials.verify, "verify_password", note)
    disable()
    assert log_in(client, account.email).status_code == 401
    assert [stored for stored, _ in verified] == [users.find_one({"_id": account.id})["password"]]


def test_a_right_password_of_a_disabled_user_counts_as_a_failed_attempt(make_app, account, disable, counts):
    client = make_app(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="3 per hour").test_client()
    disable()
    assert [log_in(client, account.email).status_code for _ in range(5)] == [401] * 3 + [429] * 2


def test_a_disabled_users_login_looks_like_a_wrong_password_where_verification_is_required(make_app, account, disable):
    client = make_app(REQUIRE_VERIFIED_EMAIL=True).test_client()
    assert log_in(client, account.email).json["code"] == "email_not_verified"
    disable()
    assert log_in(client, account.email).json["code"] == "invalid_credentials"


def test_a_refresh_token_from_before_stays_refused_after_enabling(client, account, disable, enable):
    disable()
    refused = refresh(client, account.refresh_token)
    assert (refused.status_code, refused.json["code"]) == (401, "invalid_grant")
    assert visible(refused) == visible(refresh(client, "A" * 80))
    enable()
    assert refresh(client, account.refresh_token).status_code == 401
    assert client.get(ME, headers=account.bearer).status_code == 401


def test_an_enabled_user_logs_in_again(client, account, disable, enable):
    disable()
    enable()
    grant = log_in(client, account.email)
    assert grant.status_code == 200
    bearer = {"Authorization": f"Bearer {grant.json['access_token']}"}
    assert client.get(ME, headers=bearer).status_code == 200


def test_a_concurrent_login_opens_no_session(client, account, users, disable, once):
    once(SessionStore, "open", disable)
    response = log_in(client, account.email)
    assert (response.status_code, response.json["code"]) == (401, "invalid_credentials")
    assert users.find_one({"_id": account.id})["sessions"] == []


def test_a_concurrent_login_that_rehashes_opens_no_session(make_app, account, users, disable, once):
    client = make_app(BCRYPT_ROUNDS=5).test_client()
    once(UserStore, "replace_password_hash", disable)
    assert log_in(client, account.email).status_code == 401
    assert users.find_one({"_id": account.id})["sessions"] == []


def test_a_concurrent_refresh_is_refused(client, account, users, disable, once):
    once(SessionStore, "advance", disable)
    assert refresh(client, account.refresh_token).json["code"] == "invalid_grant"
    assert users.find_one({"_id": account.id})["sessions"] == []


def test_no_concurrent_login_or_refresh_leaves_a_session(app, other_app, ask, users, account):
    first_grants, stop = Semaphore(0), Event()

    def come_in(number):
        client = (app, other_app)[number % 2].test_client()
        grants = []
        while not stop.is_set():
            last = grants[-1] if grants and number % 4 else None
            response = refresh(client, last["refresh_token"]) if last else log_in(client, account.email)
            if response.status_code != 200:
                return grants
            grants.append(response.json)
            if len(grants) == 1:
                first_grants.release()
        return grants

    with ThreadPoolExecutor(8) as pool:
        coming_in = [pool.submit(come_in, number) for number in range(8)]
        for _ in coming_in:
            assert first_grants.acquire(timeout=LONG)
        assert ask("POST", f"/{account.id}/disable").status_code == 204
        assert users.find_one({"_id": account.id})["sessions"] == []
        stop.set()
        grants = [grant for one in coming_in for grant in one.result()]
    assert len(grants) >= 8
    assert users.find_one({"_id": account.id})["sessions"] == []
    for grant in grants:
        bearer = {"Authorization": f"Bearer {grant['access_token']}"}
        assert app.test_client().get(ME, headers=bearer).status_code == 401


@pytest.mark.parametrize("change", [("update_user", "password"), ("delete_user", ""), ("update_profile", "")])
def test_a_concurrent_change_is_not_made(client, account, users, disable, once, change):
    method, _ = change
    once(UserStore, method, disable)
    headers = account.bearer
    match method:
        case "update_user":
            body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
            response = client.post(f"{ME}/password", json=body, headers=headers)
        case "delete_user":
            response = client.delete(ME, json={"password": PASSWORD}, headers=headers)
        case _:
            response = client.patch(ME, json={"first_name": "Eve"}, headers=headers)
    assert (response.status_code, response.json["code"]) == (401, "invalid_token")
    stored = users.find_one({"_id": account.id})
    assert (stored["first_name"], stored["sessions"], stored["disabled"]) == ("Ada", [], True)


def test_a_concurrent_change_of_email_sends_nothing(client, account, users, emails_to, disable, once):
    once(UserStore, "update_user", disable)
    body = {"email": "new@example.com", "password": PASSWORD}
    assert client.post(f"{ME}/email", json=body, headers=account.bearer).status_code == 401
    assert emails_to("new@example.com") == []
    assert users.find_one({"_id": account.id})["tokens"] == {}


def test_a_password_reset_request_looks_the_same_and_sends_nothing(client, account, emails_to, disable, watch_commands):
    disable()
    answers, seen, before = [], [], emails_to(account.email)
    for email in (account.email, "nobody@example.com"):
        client.post(RESET, json={"email": email})
        with watch_commands() as commands:
            answers.append(visible(client.post(RESET, json={"email": email})))
        seen.append(summary(commands))
    assert answers[0] == answers[1]
    assert seen[0] == seen[1]
    assert emails_to(account.email) == before


def test_a_reset_link_from_before_is_refused(client, account, users, token_sent, disable, enable):
    client.post(RESET, json={"email": account.email})
    body = {"token": token_sent(account.email, "reset_password"), "new_password": NEW_PASSWORD}
    disable()
    assert is_refused(client.post(f"{RESET}/confirm", json=body))
    assert client.get(f"/reset-password?token={body['token']}").status_code == 400
    enable()
    assert is_refused(client.post(f"{RESET}/confirm", json=body))


def test_a_concurrently_opened_reset_link_does_nothing(client, account, users, token_sent, disable, once):
    client.post(RESET, json={"email": account.email})
    body = {"token": token_sent(account.email, "reset_password"), "new_password": NEW_PASSWORD}
    stored = users.find_one({"_id": account.id})["password"]
    once(UserStore, "update_user", disable)
    assert is_refused(client.post(f"{RESET}/confirm", json=body))
    assert users.find_one({"_id": account.id})["password"] == stored


def test_a_stored_token_of_a_disabled_user_is_refused(client, account, users, token_sent):
    client.post(RESET, json={"email": account.email})
    body = {"token": token_sent(account.email, "reset_password"), "new_password": NEW_PASSWORD}
    users.update_one({"_id": account.id}, {"$set": {"disabled": True}})  # by hand
    assert is_refused(client.post(f"{RESET}/confirm", json=body))


def test_a_verification_link_is_refused(client, account, users, token_sent, disable):
    body = {"token": token_sent(account.email, "verify_email"), "password": PASSWORD}
    disable()
    assert is_refused(client.post("/api/auth/verify-email/confirm", json=body))
    assert users.find_one({"_id": account.id})["email_verified"] is False


def test_a_concurrently_opened_verification_link_does_nothing(client, account, users, token_sent, disable, once):
    body = {"token": token_sent(account.email, "verify_email"), "password": PASSWORD}
    once(UserStore, "find_credentials", disable)
    response = client.post("/api/auth/verify-email/confirm", json=body)
    assert (response.status_code, response.json["code"]) == (403, "wrong_password")
    assert users.find_one({"_id": account.id})["email_verified"] is False


def test_a_link_for_a_new_email_is_refused(client, account, users, token_sent, disable):
    body = {"email": "new@example.com", "password": PASSWORD}
    client.post(f"{ME}/email", json=body, headers=account.bearer)
    token = {"token": token_sent("new@example.com", "change_email")}
    disable()
    assert is_refused(client.post("/api/auth/change-email/confirm", json=token))
    assert users.find_one({"_id": account.id})["email"] == account.email


def test_emails_with_such_links_are_not_sent(app, users, account, emails_to, disable):
    disable()
    [email, notice] = emails_to(account.email)
    assert notice["template"] == "account_changed"
    tokens = users.find_one({"_id": account.id})["tokens"]
    with pytest.raises(StaleLink):
        app.extensions["services"].outbox.link_token(Claimed(account.id, email, tokens), clock.utcnow())


def test_the_email_of_a_disabled_user_stays_taken(client, account, other_account, disable):
    disable()
    assert sign_up(client, email="ADA@example.com").json["code"] == "email_taken"
    body = {"email": account.email, "password": PASSWORD}
    assert client.post(f"{ME}/email", json=body, headers=other_account.bearer).json["code"] == "email_taken"


def test_with_enumeration_safe_a_sign_up_reveals_and_sends_nothing(
    make_app, account, disable, emails_to, watch_commands
):
    client = make_app(ENUMERATION_SAFE=True).test_client()
    disable()
    answers, seen, before = [], [], emails_to(account.email)
    for email in ("new@example.com", account.email):
        client.post(RESET, json={"email": email})  # a count that is there is gone on with
        with watch_commands() as commands:
            answers.append(visible(sign_up(client, email=email)))
        seen.append(summary(commands))
    assert answers[0] == answers[1]
    assert answers[0][0] == 202
    assert emails_to(account.email) == before
    assert [seen[0][:-2], seen[0][-1]] == [seen[1][:-2], seen[1][-1]]
    assert seen[0][-2] == ("insert", "users", {"w": "majority"})
    assert seen[1][-2] == ("update", "decoys", {"w": "majority"})


def test_with_enumeration_safe_a_change_of_email_reveals_and_sends_nothing(
    make_app, client, account, other_account, disable, emails_to, watch_commands
):
    safe = make_app(ENUMERATION_SAFE=True).test_client()
    disable()
    answers, seen, before = [], [], emails_to(account.email)
    for email in ("new@example.com", account.email):
        client.post(RESET, json={"email": email})
        with watch_commands() as commands:
            body = {"email": email, "password": PASSWORD}
            answers.append(visible(safe.post(f"{ME}/email", json=body, headers=other_account.bearer)))
        seen.append(summary(commands))
    assert answers[0] == answers[1]
    assert answers[0][0] == 202
    assert seen[0][1:] == seen[1][1:]  # the first one looks for the indexes
    assert emails_to(account.email) == before


@pytest.mark.parametrize("value", [False, None, 0, "yes", 1])
def test_only_the_value_true_disables(ask, client, users, value):
    users.insert_one(fastapi_user(_id="1" * 24, email="odd@example.com", disabled=value, password=HASH_2B))
    grant = log_in(client, "odd@example.com")
    assert grant.status_code == 200
    bearer = {"Authorization": f"Bearer {grant.json['access_token']}"}
    assert client.get(ME, headers=bearer).status_code == 200
    assert ask("GET", f"/{'1' * 24}").json["disabled"] is False


def test_ending_the_sessions_of_a_user_leaves_the_account(ask, client, account, users, capture_logs):
    log_in(client, account.email)
    with capture_logs() as lines:
        assert [ask("DELETE", f"/{account.id}/sessions").status_code for _ in range(2)] == [204, 204]
    assert len([line for line in lines if line.get("event") == "sessions_ended"]) == 1
    assert users.find_one({"_id": account.id})["sessions"] == []
    assert client.get(ME, headers=account.bearer).status_code == 401
    assert refresh(client, account.refresh_token).status_code == 401
    assert log_in(client, account.email).status_code == 200


def test_an_administrator_can_end_all_own_sessions(ask, client, admin):
    assert ask("DELETE", f"/{admin.id}/sessions").status_code == 204
    assert ask("GET").status_code == 401
    assert log_in(client, admin.email).status_code == 200


def test_other_users_are_not_affected(ask, client, users, account, disable):
    other = make_account(client, email="grace@example.com")
    before = users.find_one({"_id": other.id})
    disable()
    ask("DELETE", f"/{account.id}/sessions")
    assert users.find_one({"_id": other.id}) == before
    assert client.get(ME, headers=other.bearer).status_code == 200
