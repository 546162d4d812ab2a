import pytest

from pixora.tokens.one_time import OneTimeToken
from tests.auth.conftest import is_refused
from tests.conftest import make_account
from tests.factories import PASSWORD, fastapi_user, log_in, sign_up

SEND = "/api/auth/verify-email"
CONFIRM = "/api/auth/verify-email/confirm"


@pytest.fixture
def token(account, token_sent):
    """The token of the letter that came with the sign-up."""
    return token_sent(account.email, "verify_email")


@pytest.fixture
def is_verified(client, account):
    return lambda: client.get("/api/users/me", headers=account.bearer).json["email_verified"]


def confirm(client, token, password=PASSWORD):
    return client.post(CONFIRM, json={"token": token, "password": password})


def test_signup_queues_the_email_in_the_same_operation(client, emails_to, watch_commands):
    with watch_commands() as commands:
        sign_up(client)
    assert [command.command_name for command in commands if "users" in command.command.values()] == ["insert"]
    assert [letter["template"] for letter in emails_to("ada@example.com")] == ["verify_email"]


def test_token_and_password_verify_the_address(client, token, is_verified, users):
    before = users.find_one()["updated_at"]
    assert is_verified() is False
    response = confirm(client, token)
    assert response.status_code == 204
    assert response.data == b""
    assert is_verified() is True
    assert users.find_one()["updated_at"] > before


def test_sessions_go_on_when_the_address_is_verified(client, account, token):
    confirm(client, token)
    assert client.get("/api/users/me", headers=account.bearer).status_code == 200


def test_a_wrong_password_verifies_nothing_and_keeps_the_token_valid(client, token, is_verified):
    response = confirm(client, token, "wrong-password-1")
    assert (response.status_code, response.json["code"]) == (403, "wrong_password")
    assert is_verified() is False
    assert confirm(client, token).status_code == 204


def test_wrong_passwords_count_as_attempts_on_the_account(make_app, account, token, counts):
    client = make_app(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="3 per hour").test_client()
    assert [confirm(client, token, "wrong").status_code for _ in range(4)] == [403, 403, 403, 429]
    assert log_in(client, account.email).status_code == 429


def test_an_invalid_token_is_no_attempt(make_app, account, counts):
    client = make_app().test_client()
    assert is_refused(confirm(client, OneTimeToken.make(account.id).text))
    assert counts.count_documents({}) == 0


def test_a_used_token_is_refused(client, token):
    assert confirm(client, token).status_code == 204
    assert is_refused(confirm(client, token))


def test_of_fifty_parallel_uses_one_succeeds(token, post_at_once):
    assert post_at_once(50, CONFIRM, {"token": token, "password": PASSWORD}) == {204: 1, 400: 49}


@pytest.mark.parametrize(("hours", "status"), [(23.99, 204), (24, 400)])
def test_a_token_expires(client, token, move_clock, hours, status):
    move_clock(hours=hours)
    assert confirm(client, token).status_code == status


@pytest.mark.parametrize("garbage", ["", "x", "A" * 59, "\r\n", "x" * 5000])
def test_a_malformed_token_is_refused(client, account, garbage):
    assert is_refused(confirm(client, garbage))


def test_a_token_of_another_purpose_is_refused(client, account, token_sent, token):
    client.post("/api/auth/password-reset", json={"email": account.email})
    assert is_refused(confirm(client, token_sent(account.email, "reset_password")))


def test_a_token_of_another_user_is_refused(client, token, other_account):
    theirs = OneTimeToken(other_account.id, OneTimeToken.parse(token).secret).text
    assert is_refused(confirm(client, theirs))


def test_a_new_link_can_be_requested_and_replaces_the_first_one(client, account, token, token_sent, emails_to):
    response = client.post(SEND, headers=account.bearer)
    assert response.status_code == 202
    assert set(response.json) == {"message"}
    assert [letter["template"] for letter in emails_to(account.email)] == ["verify_email"] * 2
    assert is_refused(confirm(client, token))
    assert confirm(client, token_sent(account.email, "verify_email")).status_code == 204


def test_none_is_sent_to_an_address_that_is_verified(client, account, token, emails_to):
    confirm(client, token)
    assert client.post(SEND, headers=account.bearer).status_code == 202
    assert len(emails_to(account.email)) == 1


def test_asking_too_often_is_refused(make_app, account, counts):
    client = make_app(THROTTLE_MAIL_PER_ACCOUNT="2 per hour").test_client()
    answers = [client.post(SEND, headers=account.bearer) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[-1].json["code"] == "rate_limited"
    assert 3590 <= int(answers[-1].headers["Retry-After"]) <= 3600


def test_emails_to_others_are_counted_apart(make_app, account, other_account, counts):
    client = make_app(THROTTLE_MAIL_PER_ACCOUNT="1 per hour").test_client()
    assert client.post(SEND, headers=account.bearer).status_code == 202
    assert client.post(SEND, headers=other_account.bearer).status_code == 202


def test_all_kinds_of_emails_are_counted_together(make_app, account, counts, emails_to):
    client = make_app(THROTTLE_MAIL_PER_ACCOUNT="1 per hour").test_client()
    client.post("/api/auth/password-reset", json={"email": account.email})
    assert client.post(SEND, headers=account.bearer).status_code == 429


def test_a_user_of_the_fastapi_service_verifies_an_address(client, users, token_sent):
    user = fastapi_user()
    users.insert_one(user)
    bearer = {"Authorization": f"Bearer {log_in(client, user['email']).json['access_token']}"}
    assert client.post(SEND, headers=bearer).status_code == 202
    assert confirm(client, token_sent(user["email"], "verify_email")).status_code == 204
    assert users.find_one()["email_verified"] is True


def test_required_verification_refuses_a_login_before_it(make_app, account, token):
    client = make_app(REQUIRE_VERIFIED_EMAIL=True).test_client()
    response = log_in(client, account.email)
    assert (response.status_code, response.json["code"]) == (403, "email_not_verified")
    assert confirm(client, token).status_code == 204
    assert log_in(client, account.email).status_code == 200


def test_required_verification_answers_a_wrong_password_as_usual(make_app, account):
    client = make_app(REQUIRE_VERIFIED_EMAIL=True).test_client()
    response = log_in(client, account.email, "wrong")
    assert (response.status_code, response.json["code"]) == (401, "invalid_credentials")


def test_required_verification_does_not_count_a_right_password(make_app, account, counts):
    client = make_app(REQUIRE_VERIFIED_EMAIL=True).test_client()
    for _ in range(3):
        log_in(client, account.email)
    assert {document["count"] for document in counts.find()} == {0}


class TestALoginBeforeVerification:
    @pytest.fixture
    def strict(self, make_app, counts):
        return make_app(REQUIRE_VERIFIED_EMAIL=True, THROTTLE_MAIL_PER_ACCOUNT="3 per hour").test_client()

    def test_sends_a_new_link_once_the_last_one_has_expired(self, strict, account, move_clock, emails_to, token_sent):
        move_clock(hours=24)
        response = log_in(strict, account.email)
        assert (response.status_code, response.json["code"]) == (403, "email_not_verified")
        assert "log in again to get a new one" in response.json["detail"]
        assert [letter["template"] for letter in emails_to(account.email)] == ["verify_email"] * 2
        assert confirm(strict, token_sent(account.email, "verify_email")).status_code == 204
        assert log_in(strict, account.email).status_code == 200

    def test_sends_none_while_the_last_one_works(self, strict, account, emails_to, token):
        log_in(strict, account.email)
        assert len(emails_to(account.email)) == 1
        assert confirm(strict, token).status_code == 204

    def test_sends_none_when_the_password_is_wrong(self, strict, account, move_clock, emails_to):
        move_clock(hours=24)
        assert log_in(strict, account.email, "wrong-password-1").status_code == 401
        assert len(emails_to(account.email)) == 1

    def test_sends_only_so_many(self, strict, account, move_clock, emails_to, users):
        for _ in range(5):
            users.update_one({}, {"$unset": {"tokens": True}})
            assert log_in(strict, account.email).status_code == 403
        assert len(emails_to(account.email)) == 4  # with that of the sign-up, which another application has counted

    def test_sends_one_to_a_user_of_the_fastapi_service(self, strict, users, emails_to):
        users.insert_one(user := fastapi_user())
        assert log_in(strict, user["email"]).status_code == 403
        assert len(emails_to(user["email"])) == 1


def test_a_reset_meets_the_required_verification(make_app, users, token_sent):
    client = make_app(REQUIRE_VERIFIED_EMAIL=True).test_client()
    user = fastapi_user()
    users.insert_one(user)
    client.post("/api/auth/password-reset", json={"email": user["email"]})
    body = {"token": token_sent(user["email"], "reset_password"), "new_password": "analytical-engine-no-1"}
    assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 204
    assert log_in(client, user["email"], body["new_password"]).status_code == 200


def test_a_stranger_whose_address_was_signed_up_with_takes_the_account_by_a_reset(client, token_sent, users):
    squatter = make_account(client)
    client.post("/api/auth/password-reset", json={"email": squatter.email})
    body = {"token": token_sent(squatter.email, "reset_password"), "new_password": "analytical-engine-no-1"}
    assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 204
    assert client.get("/api/users/me", headers=squatter.bearer).status_code == 401
