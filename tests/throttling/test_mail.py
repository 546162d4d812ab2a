"""Limits of e-mails: strangers can neither flood a mailbox nor exhaust what its owner needs."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from pixora.errors import RateLimited
from pixora.services import services
from pixora.throttling.mail import RESET_LINK_LIMIT
from pixora.tokens.one_time import LIFETIMES, Purpose
from tests.factories import PASSWORD, fastapi_user, log_in, sign_up

OWNER, STRANGER = "192.0.2.1", "198.51.100.7"
NEW_PASSWORD = "analytical-engine-no-1"
RESET = "/api/auth/password-reset"
VERIFY = "/api/auth/verify-email"
CHANGE = "/api/users/me/email"
PASSWORD_CHANGE = "/api/users/me/password"


@pytest.fixture
def service(make_app, counts):
    """Return a client of a service with the default limits of e-mails."""

    def service(**settings):
        limits = {"THROTTLE_MAIL_PER_ACCOUNT": "5 per hour", "THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT": "5 per hour"}
        return make_app(**limits | settings).test_client()

    return service


@pytest.fixture
def sent(emails_to):
    """Count the e-mails of a kind to an address, or all of them."""

    def sent(email, template=None):
        return sum(template in (None, one["template"]) for one in emails_to(email))

    return sent


def reset(client, email, client_ip=OWNER):
    return client.post(RESET, json={"email": email}, environ_overrides={"REMOTE_ADDR": client_ip}).status_code


def open_session(client, email="ada@example.com"):
    """Sign up and log in; return the header of the session."""
    sign_up(client, email=email)
    login = log_in(client, email)
    return {"Authorization": f"Bearer {login.json['access_token']}"}


def change_password(client, bearer, old, new):
    body = {"current_password": old, "new_password": new}
    return client.post("/api/users/me/password", json=body, headers=bearer).status_code


def change_to_and_fro(client, bearer, times):
    passwords = [PASSWORD, NEW_PASSWORD]
    answers = []
    for number in range(times):
        body = {"current_password": passwords[number % 2], "new_password": passwords[1 - number % 2]}
        answers.append(client.post(PASSWORD_CHANGE, json=body, headers=bearer).status_code)
    return answers


def by_a_change_of_address(client, safe, email):
    bearer = open_session(client, "mallory@example.com")
    for _ in range(5):
        client.post(CHANGE, json={"email": email, "password": PASSWORD}, headers=bearer)


def by_sign_ups(client, safe, email):
    for _ in range(5):
        sign_up(client, email=email)


def by_safe_sign_ups(client, safe, email):
    by_sign_ups(safe, safe, email)


def by_safe_changes_of_address(client, safe, email):
    by_a_change_of_address(safe, safe, email)


def by_resets(client, safe, email):
    for _ in range(5):
        assert reset(client, email, STRANGER) == 202


@pytest.mark.parametrize(
    "attack", [by_a_change_of_address, by_sign_ups, by_safe_sign_ups, by_safe_changes_of_address, by_resets]
)
@pytest.mark.parametrize("need", ["reset", "verification", "change of address"])
def test_requests_of_strangers_leave_the_owner_enough_emails(service, sent, attack, need):
    client, safe = service(), service(ENUMERATION_SAFE=True)
    bearer = open_session(client)
    attack(client, safe, "ada@example.com")
    before = sent("ada@example.com")
    assert before <= 4
    if need == "reset":
        assert reset(client, "ada@example.com") == 202
        assert sent("ada@example.com") == before + 1
    elif need == "verification":
        assert client.post(VERIFY, headers=bearer).status_code == 202
        assert sent("ada@example.com", "verify_email") == 2
    else:
        body = {"email": "new@example.com", "password": PASSWORD}
        assert client.post(CHANGE, json=body, headers=bearer).status_code == 202
        assert sent("new@example.com") == 1


def by_accounts(client, email):
    for name in ("mallory", "eve"):
        bearer = open_session(client, f"{name}@example.com")
        for _ in range(3):
            client.post(CHANGE, json={"email": email, "password": PASSWORD}, headers=bearer)


def by_networks(client, email):
    for number in range(5):
        reset(client, email, f"198.51.100.{number}")


@pytest.mark.parametrize("safe", [False, True])
def test_one_email_is_kept_for_the_user_whatever_strangers_request(service, sent, safe):
    client = service(ENUMERATION_SAFE=safe)
    by_networks(client, "ada@example.com")
    by_accounts(client, "ada@example.com")
    bearer = open_session(client)
    by_sign_ups(client, client, "ada@example.com")
    by_networks(client, "ada@example.com")
    by_accounts(client, "ada@example.com")
    before = sent("ada@example.com", "verify_email")
    assert client.post(VERIFY, headers=bearer).status_code == 202
    assert sent("ada@example.com", "verify_email") == before + 1
    assert sent("ada@example.com") <= 5


def test_one_stranger_leaves_a_new_user_the_email_of_the_sign_up_and_one_more(service, sent):
    client = service()
    by_a_change_of_address(client, client, "ada@example.com")
    bearer = open_session(client)
    assert sent("ada@example.com", "verify_email") == 1
    assert client.post(VERIFY, headers=bearer).status_code == 202
    assert sent("ada@example.com") <= 5


def test_one_stranger_leaves_a_change_to_an_address(service, sent):
    client = service()
    bearer = open_session(client)
    by_a_change_of_address(client, client, "new@example.com")
    assert sent("new@example.com", "change_email") == 2
    body = {"email": "new@example.com", "password": PASSWORD}
    assert client.post(CHANGE, json=body, headers=bearer).status_code == 202
    assert sent("new@example.com", "change_email") == 3


def test_a_refused_change_of_address_says_when_to_try_again(service, counts):
    client = service()
    bearer = open_session(client)
    body = {"email": "new@example.com", "password": PASSWORD}
    answers = [client.post(CHANGE, json=body, headers=bearer) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert 3500 < int(answers[-1].headers["Retry-After"]) <= 3600


def test_strangers_of_many_networks_cannot_flood_a_mailbox_or_invalidate_its_link(service, sent, counts, token_sent):
    client = service()
    open_session(client)
    for number in range(10):
        reset(client, "ada@example.com", f"198.51.100.{number}")
    assert sent("ada@example.com", "reset_password") == 2
    counts.update_one({"_id": {"$regex": "RESET_LINK"}}, {"$set": {"expireAt": datetime(2024, 1, 1, tzinfo=UTC)}})
    for _ in range(3):  # half an hour later
        reset(client, "ada@example.com")
    assert sent("ada@example.com", "reset_password") == 3
    assert sent("ada@example.com") == 4  # the fifth is for a verification that the user requests
    body = {"token": token_sent("ada@example.com", "reset_password"), "new_password": NEW_PASSWORD}
    assert client.post(f"{RESET}/confirm", json=body).status_code == 204


def test_the_last_email_is_reserved_for_a_link_if_none_is_valid(service, sent):
    """Somebody signs up with a stranger's address and requests every kind of e-mail."""
    client = service()
    bearer = open_session(client)
    for _ in range(8):
        client.post(VERIFY, headers=bearer)
    by_safe_sign_ups(client, service(ENUMERATION_SAFE=True), "ada@example.com")
    for _ in range(5):
        reset(client, "ada@example.com", STRANGER)
    assert sent("ada@example.com", "reset_password") == 1
    assert sent("ada@example.com") <= 5


def test_a_link_counts_while_it_is_valid():
    assert RESET_LINK_LIMIT.get_expiry() == LIFETIMES[Purpose.RESET_PASSWORD].total_seconds()


def test_a_used_link_no_longer_counts(service, sent, token_sent):
    client = service()
    open_session(client)
    for number in range(5):
        reset(client, "ada@example.com", f"198.51.100.{number}")
    body = {"token": token_sent("ada@example.com", "reset_password"), "new_password": NEW_PASSWORD}
    client.post(f"{RESET}/confirm", json=body)
    before = sent("ada@example.com", "reset_password")
    reset(client, "ada@example.com")
    assert sent("ada@example.com", "reset_password") == before + 1


def test_an_unverified_address_gets_five_emails_an_hour_in_all(service, sent):
    client = service(THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT="1000 per hour")
    bearer = open_session(client)
    change_to_and_fro(client, bearer, 8)
    for number in range(8):
        client.post(VERIFY, headers=bearer)
        reset(client, "ada@example.com", f"198.51.100.{number}")
    assert sent("ada@example.com") <= 5


def test_an_account_that_is_created_repeatedly_gets_five_emails_in_all(service, sent):
    client = service()
    total = 0
    for _ in range(4):
        bearer = open_session(client)
        for _ in range(5):
            client.post(VERIFY, headers=bearer)
        total += sent("ada@example.com")
        assert client.delete("/api/users/me", json={"password": PASSWORD}, headers=bearer).status_code == 204
    assert total == 4  # the fifth is for a reset


def test_a_sign_up_over_the_limit_of_emails_creates_the_account_without_a_link(service, users, sent):
    client = service()
    for _ in range(4):
        users.delete_many({})
        open_session(client)
    assert sent("ada@example.com") == 0
    assert users.find_one()["tokens"] == {}


def test_a_notice_to_a_verified_address_is_never_suppressed(service, users, sent):
    client = service()
    bearer = open_session(client)
    users.update_one({}, {"$set": {"email_verified": True}})
    by_resets(client, None, "ada@example.com")
    assert change_to_and_fro(client, bearer, 6) == [204] * 5 + [429]
    assert sent("ada@example.com", "password_changed") == 5


def test_a_change_that_fails_is_not_counted(service):
    client = service(THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT="1 per hour")
    bearer = open_session(client)
    weak = {"current_password": PASSWORD, "new_password": "password12345"}
    assert client.post(PASSWORD_CHANGE, json=weak, headers=bearer).status_code == 422
    assert change_to_and_fro(client, bearer, 2) == [204, 429]


def test_the_requests_for_emails_of_a_network_are_limited(service, users, sent):
    client = service(THROTTLE_MAIL_PER_IP="3 per hour")
    users.insert_many([fastapi_user(email=f"{number}@example.com") for number in range(5)])
    told = [reset(client, f"{number}@example.com", STRANGER) for number in range(5)]
    assert told == [202] * 3 + [429] * 2
    assert [sent(f"{number}@example.com") for number in range(5)] == [1, 1, 1, 0, 0]
    assert reset(client, "4@example.com") == 202


@pytest.mark.parametrize("path", [VERIFY, CHANGE])
def test_requests_of_a_session_count_for_its_network_too(service, path):
    client = service(THROTTLE_MAIL_PER_IP="1 per hour")
    bearer = open_session(client)
    body = {"email": "new@example.com", "password": PASSWORD} if path == CHANGE else None
    assert [client.post(path, json=body, headers=bearer).status_code for _ in range(2)] == [202, 429]


def test_a_reset_ends_a_lockout(service, token_sent):
    client = service(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="2 per hour", THROTTLE_LOGIN_PER_ACCOUNT="3 per hour")
    open_session(client)

    def status(password, client_ip):
        return log_in(client, password=password, environ_overrides={"REMOTE_ADDR": client_ip}).status_code

    assert [status("wrong", OWNER), status("wrong", OWNER), status("wrong", STRANGER)] == [401] * 3
    assert status(PASSWORD, OWNER) == status(PASSWORD, STRANGER) == 429
    reset(client, "ada@example.com")
    body = {"token": token_sent("ada@example.com", "reset_password"), "new_password": NEW_PASSWORD}
    assert client.post(f"{RESET}/confirm", json=body).status_code == 204
    assert status(NEW_PASSWORD, OWNER) == status(NEW_PASSWORD, STRANGER) == 200


def test_a_proof_of_the_mailbox_clears_what_a_thief_has_used_up(service, users, token_sent):
    client = service()
    thief, password = open_session(client), PASSWORD
    users.update_one({}, {"$set": {"email_verified": True}})
    asked = [
        client.post(CHANGE, json={"email": f"{number}@example.org", "password": PASSWORD}, headers=thief).status_code
        for number in range(6)
    ]
    assert asked == [202] * 5 + [429]
    for number in range(5):
        password, old = f"thief-engine-no-{number}-zz", password
        assert change_password(client, thief, old, password) == 204
    assert change_password(client, thief, password, NEW_PASSWORD) == 429
    reset(client, "ada@example.com")
    body = {"token": token_sent("ada@example.com", "reset_password"), "new_password": NEW_PASSWORD}
    assert client.post(f"{RESET}/confirm", json=body).status_code == 204
    owner = {"Authorization": f"Bearer {log_in(client, password=NEW_PASSWORD).json['access_token']}"}
    body = {"email": "ada@example.org", "password": NEW_PASSWORD}
    assert client.post(CHANGE, json=body, headers=owner).status_code == 202
    assert change_password(client, owner, NEW_PASSWORD, "owner-engine-no-556") == 204


@pytest.mark.parametrize("kind", ["second factor", "passkey"])
def test_a_proof_of_the_mailbox_clears_the_changes_of_other_credentials(make_app, counts, kind):
    with make_app(THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT="1 per hour").app_context():
        with services.throttles.change("ada@example.com", kind):
            pass
        with pytest.raises(RateLimited), services.throttles.change("ada@example.com", kind):
            pass
        services.mail_throttles.clear_limits("ada@example.com")
        with services.throttles.change("ada@example.com", kind):
            pass


def test_parallel_resets_for_unknown_addresses_all_succeed(app, mongo):
    """Parallel upserts of one document: one of them fails with a duplicate key and is repeated."""
    decoys = mongo.get_default_database()["decoys"]

    def pretend(_):
        with app.app_context():
            services.one_time_tokens.issue_decoy("reset_password", {})

    with ThreadPoolExecutor(16) as pool:
        for _ in range(20):
            decoys.delete_many({})
            list(pool.map(pretend, range(64)))
    assert decoys.count_documents({}) > 0
