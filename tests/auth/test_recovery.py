import pytest

from pixora.accounts.one_time_tokens import DECOYS, OneTimeTokenStore
from pixora.auth import recovery
from pixora.errors import DatabaseUnavailable, InvalidOneTimeToken, Overloaded
from pixora.passwords import strength
from pixora.passwords import verify as passwords
from pixora.passwords.queue import HashingQueue
from pixora.tokens.one_time import OneTimeToken
from tests.auth.conftest import NEW_PASSWORD, is_refused
from tests.factories import PASSWORD, fastapi_user, log_in

REQUEST = "/api/auth/password-reset"
CONFIRM = "/api/auth/password-reset/confirm"


@pytest.fixture
def decoys(mongo):
    collection = mongo.get_default_database()["decoys"]
    collection.delete_many({})
    return collection


@pytest.fixture
def token(client, account, token_sent):
    """The token of a letter that Ada has asked for."""
    assert client.post(REQUEST, json={"email": account.email}).status_code == 202
    return token_sent(account.email, "reset_password")


def confirm(client, token, new_password=NEW_PASSWORD):
    return client.post(CONFIRM, json={"token": token, "new_password": new_password})


def test_the_link_goes_to_the_email_of_the_account(client, account, emails_to):
    client.post(REQUEST, json={"email": f" {account.email.upper()}\n"})
    assert [letter["template"] for letter in emails_to(account.email)] == ["verify_email", "reset_password"]


def test_neither_the_token_nor_its_secret_is_stored(token, users):
    stored = repr(users.find_one())
    assert token not in stored
    assert OneTimeToken.parse(token).secret.hex() not in stored
    assert repr(OneTimeToken.parse(token).secret) not in stored


def test_a_reset_sets_the_new_password(client, account, token):
    assert confirm(client, token).status_code == 204
    assert log_in(client, password=PASSWORD).status_code == 401
    assert log_in(client, password=NEW_PASSWORD).status_code == 200


def test_a_reset_ends_every_session(client, account, token):
    other = log_in(client).json
    confirm(client, token)
    assert client.get("/api/users/me", headers=account.bearer).status_code == 401
    for refresh_token in (account.refresh_token, other["refresh_token"]):
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        assert client.post("/api/auth/refresh", data=form).status_code == 401


def test_a_reset_verifies_the_address_and_ends_all_tokens(client, account, token, users):
    before = users.find_one()["updated_at"]
    confirm(client, token)
    user = users.find_one()
    assert user["email_verified"] is True
    assert user["tokens"] == {}
    assert user["updated_at"] > before


def test_the_owner_gets_a_notice_after_a_reset(client, account, token, emails_to):
    confirm(client, token)
    assert emails_to(account.email)[-1]["template"] == "password_changed"


def test_a_used_token_is_refused(client, token):
    assert confirm(client, token).status_code == 204
    assert is_refused(confirm(client, token, "another-engine-no-3"))


def test_of_fifty_parallel_uses_one_succeeds(token, post_at_once):
    assert post_at_once(50, CONFIRM, {"token": token, "new_password": NEW_PASSWORD}) == {204: 1, 400: 49}


@pytest.mark.parametrize(("minutes", "status"), [(29.9, 204), (30, 400)])
def test_a_token_expires(client, token, move_clock, minutes, status):
    move_clock(minutes=minutes)
    assert confirm(client, token).status_code == status


def test_a_newer_token_replaces_the_older_one(client, account, token, token_sent):
    client.post(REQUEST, json={"email": account.email})
    assert is_refused(confirm(client, token))
    assert confirm(client, token_sent(account.email, "reset_password")).status_code == 204


def test_a_token_of_another_purpose_is_refused(client, account, token, token_sent):
    assert is_refused(confirm(client, token_sent(account.email, "verify_email")))


def test_a_token_of_another_user_is_refused(client, token, other_account, users):
    client.post(REQUEST, json={"email": other_account.email})
    theirs = OneTimeToken(other_account.id, OneTimeToken.parse(token).secret).text
    assert is_refused(confirm(client, theirs))


@pytest.mark.parametrize("garbage", ["", "x", "x" * 59, "A" * 59, "$ne", "../..", "\n", "é" * 59, "x" * 10_000])
def test_a_malformed_token_is_refused(client, account, garbage):
    assert is_refused(confirm(client, garbage))


@pytest.mark.parametrize("value", [None, 1, [], {"$ne": None}])
def test_a_token_of_another_type_is_refused(client, token, value):
    response = confirm(client, value)
    assert response.status_code == 422
    assert list(response.json["errors"]) == ["token"]


@pytest.mark.parametrize("weak", ["short", "adalovelace1990", "password12345", "x" * 73, "é" * 37, "ada@example.com"])
def test_a_weak_password_is_refused_with_advice_and_keeps_the_token_valid(client, token, weak):
    response = confirm(client, token, weak)
    assert response.status_code == 422
    assert list(response.json["errors"]) == ["new_password"]
    assert confirm(client, token).status_code == 204


def test_a_new_password_is_scored_only_with_a_valid_token(client, monkeypatch):
    monkeypatch.setattr(strength, "zxcvbn", None)
    assert is_refused(confirm(client, OneTimeToken.make("6924a1e0c3f1a2b4d5e6f708").text, "adalovelace1990"))


def test_an_overload_keeps_the_token_valid(client, app, token, monkeypatch):
    def refuse(*args, **kwargs):
        raise Overloaded

    with monkeypatch.context() as patch:
        patch.setattr(HashingQueue, "run", refuse)
        assert confirm(client, token).status_code == 503
    assert confirm(client, token).status_code == 204


def test_a_database_failure_keeps_the_token_valid(client, token, monkeypatch):
    def fail(*args):
        raise DatabaseUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(OneTimeTokenStore, "redeem", fail)
        assert confirm(client, token).status_code == 503
    assert confirm(client, token).status_code == 204


def test_an_invalid_token_costs_no_hash(client, account, monkeypatch):
    monkeypatch.setattr(passwords, "hash_password", None)
    assert is_refused(confirm(client, OneTimeToken.make(account.id).text))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda token, move: "x", "malformed"),
        (lambda token, move: OneTimeToken.make("0" * 24).text, "used"),
        (lambda token, move: (move(minutes=31), token)[1], "expired"),
    ],
)
def test_the_pages_learn_why_a_token_is_refused(app, token, move_clock, spoil, reason):
    with app.test_request_context(), pytest.raises(InvalidOneTimeToken) as caught:
        recovery.reset_password(spoil(token, move_clock), NEW_PASSWORD)
    assert caught.value.reason == reason


@pytest.mark.parametrize("typed", ["ADA@example.com", "Ada@EXAMPLE.com"])
def test_the_address_may_be_typed_in_any_case(client, account, emails_to, typed):
    client.post(REQUEST, json={"email": typed})
    assert emails_to(account.email)[-1]["template"] == "reset_password"


def test_a_user_of_the_fastapi_service_recovers_an_account(client, users, token_sent):
    user = fastapi_user()
    users.insert_one(user)
    client.post(REQUEST, json={"email": user["email"]})
    assert confirm(client, token_sent(user["email"], "reset_password")).status_code == 204
    assert log_in(client, user["email"], NEW_PASSWORD).status_code == 200
    assert users.find_one()["email_verified"] is True


@pytest.mark.parametrize(
    "email", ["nobody@example.com", "no address", "", "x" * 5000, '{"$ne": null}', "a\r\nBcc: b@c.d"]
)
def test_the_answer_is_the_same_for_an_address_without_an_account(client, account, emails_to, email):
    known = client.post(REQUEST, json={"email": account.email})
    unknown = client.post(REQUEST, json={"email": email})
    assert (unknown.status_code, unknown.json) == (known.status_code, known.json)
    assert set(unknown.headers.keys()) == set(known.headers.keys())


def test_the_database_does_the_same_with_and_without_an_account(make_app, account, watch_commands, decoys, counts):
    client = make_app(THROTTLE_MAIL_PER_ACCOUNT="1 per hour").test_client()
    assert client.get("/health").status_code == 200  # the indexes are there
    seen = []
    for email in ("nobody@example.com", account.email) * 2:  # the last two throttled
        with watch_commands() as commands:
            assert client.post(REQUEST, json={"email": email}).status_code == 202
        seen.append([(one.command_name, one.command.get("writeConcern")) for one in commands])
    assert seen[0] == seen[1]
    assert seen[2] == seen[3]
    assert [name for name, _ in seen[0]] == ["update", "find", "update", "update", "update"]
    assert [concern for _, concern in seen[0][-2:]] == [{"w": "majority"}] * 2


def test_a_decoy_looks_like_the_record_of_an_account_and_reveals_nothing(client, users, account, decoys):
    client.post(REQUEST, json={"email": "nobody@example.org"})
    client.post(REQUEST, json={"email": account.email})
    decoy, user = decoys.find_one(), users.find_one()
    assert set(decoy["tokens"]["reset_password"]) == set(user["tokens"]["reset_password"])
    assert set(decoy["letters"][-1]) == set(user["letters"][-1])
    assert "example.org" not in repr(decoy)


def test_the_decoys_are_few_and_do_not_grow(client, decoys):
    for number in range(300):
        client.post(REQUEST, json={"email": f"{number}@example.com"})
    assert decoys.count_documents({}) <= DECOYS
    assert max(len(decoy["letters"]) for decoy in decoys.find()) <= 20


def test_the_emails_waiting_for_a_user_are_bounded(client, account, emails_to):
    for _ in range(30):
        client.post(REQUEST, json={"email": account.email})
    assert len(emails_to(account.email)) <= 20


def test_a_refused_email_keeps_the_token_valid(make_app, account, token_sent, counts):
    client = make_app(THROTTLE_MAIL_PER_ACCOUNT="1 per hour").test_client()
    for _ in range(2):
        client.post(REQUEST, json={"email": account.email})
    assert confirm(client, token_sent(account.email, "reset_password")).status_code == 204


def test_no_link_goes_to_an_email_that_was_just_changed(app, client, account, users, monkeypatch, emails_to):
    issue = OneTimeTokenStore.issue

    def issue_late(self, user, *args):
        users.update_one({"_id": account.id}, {"$set": {"email": "left@example.com"}})
        return issue(self, user, *args)

    monkeypatch.setattr(OneTimeTokenStore, "issue", issue_late)
    assert client.post(REQUEST, json={"email": account.email}).status_code == 202
    assert "reset_password" not in users.find_one()["tokens"]


def test_a_login_that_was_under_way_opens_no_session_after_a_reset(client, token, users, monkeypatch):
    """The password was right when it was checked, and was reset before the session was opened."""
    cost = passwords.cost

    def reset_meanwhile(stored):
        monkeypatch.setattr(passwords, "cost", cost)
        assert confirm(client, token).status_code == 204
        return cost(stored)

    verify = passwords.verify_password

    def verify_and_arm(*arguments):
        monkeypatch.setattr(passwords, "verify_password", verify)
        monkeypatch.setattr(passwords, "cost", reset_meanwhile)
        return verify(*arguments)

    monkeypatch.setattr(passwords, "verify_password", verify_and_arm)
    assert log_in(client, password=PASSWORD).status_code == 401
    assert users.find_one()["sessions"] == []


def test_an_email_that_is_too_long_belongs_to_nobody(client, account):
    response = client.post(REQUEST, json={"email": "a" + "\u0301\u0316" * 1000 + "@example.com"})
    assert response.status_code == 202
    assert response.json == client.post(REQUEST, json={"email": account.email}).json
