"""`ENUMERATION_SAFE`: no answer tells who has an account, and none takes longer to do."""

import pytest

from pixora.accounts.users import UserStore
from tests.auth.conftest import NEW_PASSWORD, is_refused
from tests.factories import PASSWORD, log_in, sign_up

CHANGE = "/api/users/me/email"


@pytest.fixture
def safe(make_app, counts):
    """Make a client of a service that tells nothing. The accounts are made by another, which answers with tokens."""
    return lambda **settings: make_app(ENUMERATION_SAFE=True, **settings).test_client()


def told(response):
    return response.status_code, response.json, set(response.headers.keys())


def written(commands):
    """What was done, to which collection, and who had to acknowledge it."""
    return [
        (one.command_name, one.command[one.command_name], one.command.get("writeConcern"))
        for one in commands
        if one.command_name not in ("listIndexes", "hello")
    ]


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@Example.com"])
def test_signup_responds_alike_for_a_taken_and_a_free_email(safe, account, email):
    client = safe()
    new, taken = (sign_up(client, email=one, password=NEW_PASSWORD) for one in ("new@example.com", email))
    assert told(new) == told(taken)
    assert new.status_code == 202
    assert set(new.json) == {"message"}
    assert "Location" not in new.headers


def test_a_new_account_gets_a_verification_email(safe, users, emails_to):
    client = safe()
    sign_up(client, email="new@example.com", password=NEW_PASSWORD)
    assert [letter["template"] for letter in emails_to("new@example.com")] == ["verify_email"]
    assert log_in(client, "new@example.com", NEW_PASSWORD).status_code == 200


def test_the_owner_of_a_taken_email_gets_a_notice_and_nothing_else_changes(safe, account, users, emails_to):
    before = users.find_one()
    sign_up(safe(), email=account.email, password=NEW_PASSWORD)
    after = users.find_one()
    assert [letter["template"] for letter in emails_to(account.email)] == ["verify_email", "address_taken"]
    assert "token" not in emails_to(account.email)[-1]
    assert after | {"letters": before["letters"]} == before


def test_the_database_does_the_same_for_a_taken_and_a_free_email(safe, account, watch_commands):
    client = safe(THROTTLE_MAIL_PER_ACCOUNT="1 per hour")
    client.get("/health")
    seen = {}
    for case, email in {"new": "new@example.com", "taken": account.email, "throttled": account.email}.items():
        with watch_commands() as commands:
            sign_up(client, email=email, password=NEW_PASSWORD)
        seen[case] = written(commands)
    majority = {"w": "majority"}
    count = ("update", "throttles", {"w": 1})
    before = [count, ("find", "users", None), count]
    after = ("update", "audit", majority)
    assert seen["new"] == [*before, ("insert", "users", majority), after]
    assert seen["taken"] == [*before, ("update", "users", majority), after]
    assert seen["throttled"] == [*before, ("update", "decoys", majority), after]


def test_the_owner_is_not_flooded_with_emails(safe, account, emails_to):
    client = safe(THROTTLE_MAIL_PER_ACCOUNT="2 per hour")
    answers = [told(sign_up(client, email=account.email, password=NEW_PASSWORD)) for _ in range(5)]
    assert all(answer == answers[0] for answer in answers)
    assert [letter["template"] for letter in emails_to(account.email)].count("address_taken") == 2


def test_losing_a_race_for_an_email_reveals_nothing(safe, users, emails_to, monkeypatch):
    client = safe()
    create = UserStore.create_user

    def create_late(self, user):
        monkeypatch.setattr(UserStore, "create_user", create)
        create(self, user | {"_id": "0" * 24})
        create(self, user)

    monkeypatch.setattr(UserStore, "create_user", create_late)
    assert sign_up(client, email="new@example.com", password=NEW_PASSWORD).status_code == 202
    assert [letter["template"] for letter in emails_to("new@example.com")] == ["verify_email", "address_taken"]


def test_signup_still_reports_invalid_fields(safe, account):
    client = safe()
    for email in ("new@example.com", account.email):
        assert sign_up(client, email=email, password="short").status_code == 422


@pytest.fixture
def ask(safe, account):
    client = safe()

    def ask(email):
        return client.post(CHANGE, json={"email": email, "password": PASSWORD}, headers=account.bearer)

    return ask


def test_change_of_email_responds_alike_for_a_taken_and_a_free_email(ask, other_account):
    free, taken = ask("new@example.com"), ask(other_account.email)
    assert told(free) == told(taken)
    assert free.status_code == 202


def test_the_owner_of_the_email_gets_a_notice_and_nobody_a_token(client, ask, account, other_account, emails_to):
    ask(other_account.email)
    posted = emails_to(other_account.email)[-1]
    assert posted["template"] == "address_taken"
    assert "token" not in posted
    assert emails_to(account.email)[-1]["template"] == "email_changing"


def test_the_database_does_the_same_for_a_taken_and_a_free_new_email(ask, other_account, watch_commands):
    ask("warm.up@example.com")
    seen = []
    for email in ("new@example.com", other_account.email):
        with watch_commands() as commands:
            ask(email)
        seen.append(written(commands))
    assert seen[0] == seen[1]
    assert seen[0][-2:] == [("update", "users", {"w": "majority"}), ("update", "audit", {"w": "majority"})]


def test_the_export_does_not_reveal_it_either(client, ask, account, other_account, users):
    users.update_one({"_id": account.id}, {"$set": {"email_verified": True}})
    seen = []
    for email in ("new@example.com", other_account.email):
        ask(email)
        exported = client.get("/api/users/me/export", headers=account.bearer).json
        letter = exported["letters"][-1]
        [pending] = [one for one in exported["pending"] if one["purpose"] == "change_email"]
        seen.append((len(exported["pending"]), letter["template"], letter["context"]["new_email"] == pending["email"]))
    assert seen[0] == seen[1] == (2, "email_changing", True)


def test_a_free_email_can_still_be_changed_to(client, ask, account, token_sent):
    ask("new@example.com")
    body = {"token": token_sent("new@example.com", "change_email")}
    assert client.post("/api/auth/change-email/confirm", json=body).status_code == 204
    assert is_refused(client.post("/api/auth/change-email/confirm", json=body))
    assert client.get("/api/users/me", headers=account.bearer).json["email"] == "new@example.com"


@pytest.mark.parametrize("counted", ["ada", "nobody"])
def test_the_email_limit_is_the_same_with_and_without_an_account(safe, account, other_account, users, counted):
    client = safe(THROTTLE_MAIL_PER_ACCOUNT="2 per hour")
    target = other_account.email if counted == "ada" else "nobody@example.com"
    for _ in range(2):
        client.post("/api/auth/password-reset", json={"email": target})
    response = client.post(CHANGE, json={"email": target, "password": PASSWORD}, headers=account.bearer)
    assert response.status_code == 202
    assert [one["template"] for one in users.find_one({"_id": account.id})["letters"]] == [
        "verify_email",
        "email_changing",
    ]
