"""The second step of a login, and logins with the code in the first."""

import base64

import pytest

from pixora.factors import mfa_token
from tests.conftest import make_account
from tests.factories import PASSWORD, log_in, refusal
from tests.factors.conftest import code_of, wrong

NEW_PASSWORD = "analytical-engine-no-1"


INVALID_CODE = 401, "invalid_code"
INVALID_TOKEN = 401, "invalid_mfa_token"


@pytest.fixture
def log_in_with(client):
    """Log in with password and code in one request."""

    def log_in_with(code, password=PASSWORD):
        fields = {"username": "ada@example.com", "password": password, "otp": code}
        return client.post("/api/auth/login", data=fields)

    return log_in_with


@pytest.fixture
def sessions(users):
    """Count the sessions of Ada."""

    def sessions():
        return len(users.find_one({"email": "ada@example.com"})["sessions"])

    return sessions


def test_a_right_password_alone_opens_no_session(owner, sessions, client):
    before = sessions()
    answer = log_in(client)
    assert refusal(answer) == (403, "mfa_required")
    assert answer.json["expires_in"] == 300
    assert answer.json["methods"] == ["totp", "recovery_code"]
    assert answer.json["detail"] == "Enter the code from your authenticator app to log in."
    assert "access_token" not in answer.json
    assert sessions() == before


def test_a_wrong_password_does_not_reveal_the_second_factor(owner, log_in_with, client):
    assert refusal(log_in(client, password="wrong")) == (401, "invalid_credentials")
    assert refusal(log_in_with(owner.code(), "wrong")) == (401, "invalid_credentials")


def test_a_code_completes_the_login(owner, challenge, send_code, client, users, sessions):
    before = sessions()
    answer = send_code(challenge(), code=owner.code())
    assert answer.status_code == 200
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    bearer = {"Authorization": f"Bearer {answer.json['access_token']}"}
    assert client.get("/api/users/me", headers=bearer).status_code == 200
    assert sessions() == before + 1


def test_a_code_can_come_with_the_password(owner, log_in_with):
    assert log_in_with(owner.code()).status_code == 200
    assert refusal(log_in_with(wrong(owner.code(1)))) == INVALID_CODE


def test_of_a_user_without_a_second_factor_the_code_is_ignored(account, log_in_with):
    assert log_in_with("123456").status_code == 200


def test_the_code_of_the_enrolment_is_used(still_clock, account, enrol, challenge, send_code):
    owner = enrol(account)
    assert refusal(send_code(challenge(), code=owner.code())) == INVALID_CODE
    assert send_code(challenge(), code=owner.code(1)).status_code == 200


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_code_of_one_step_before_or_after_is_accepted_once(
    owner, still_clock, challenge, send_code, log_in_with, steps
):
    still_clock.move(seconds=60)
    code = owner.code(steps)
    assert send_code(challenge(), code=code).status_code == 200
    assert refusal(send_code(challenge(), code=code)) == INVALID_CODE
    assert refusal(log_in_with(code)) == INVALID_CODE


@pytest.mark.parametrize("seconds", [0, 29, 30, 59, 60, 89])
def test_a_used_code_stays_used_while_its_window_lasts(owner, still_clock, challenge, send_code, seconds):
    code = owner.code(1)
    assert send_code(challenge(), code=code).status_code == 200
    still_clock.move(seconds=seconds)
    assert refusal(send_code(challenge(), code=code)) == INVALID_CODE


@pytest.mark.parametrize("steps", [-3, -2, 2, 3])
def test_a_code_of_two_steps_before_or_after_is_refused(owner, still_clock, challenge, send_code, steps):
    still_clock.move(seconds=300)
    assert refusal(send_code(challenge(), code=owner.code(steps))) == INVALID_CODE


def test_after_a_code_no_earlier_one_is_accepted(owner, challenge, send_code):
    assert send_code(challenge(), code=owner.code(1)).status_code == 200
    assert refusal(send_code(challenge(), code=owner.code())) == INVALID_CODE


def test_the_code_of_somebody_else_is_refused(owner, still_clock, client, enrol, challenge, send_code):
    other = enrol(make_account(client, email="grace@example.com"))
    still_clock.move(seconds=60)
    assert refusal(send_code(challenge(), code=other.code())) == INVALID_CODE
    assert send_code(challenge("grace@example.com"), code=other.code()).status_code == 200


@pytest.mark.parametrize(
    "spelling",
    ["{0}{1}", " {0} {1} ", "{0}\u00a0{1}", "{0}\n{1}"],
)
def test_spaces_in_a_code_are_ignored(owner, challenge, send_code, spelling):
    code = owner.code()
    assert send_code(challenge(), code=spelling.format(code[:3], code[3:])).status_code == 200


@pytest.mark.parametrize("zero", ["０", "٠", "०"])
def test_digits_of_other_scripts_are_digits(owner, challenge, send_code, zero):
    code = "".join(chr(ord(zero) + int(digit)) for digit in owner.code())
    assert send_code(challenge(), code=code).status_code == 200


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "abcdef", "½23456", "²23456", "-12345", "1" * 16_000])
def test_what_is_no_code_is_refused_before_it_is_counted(owner, challenge, send_code, counts, code):
    token = challenge()
    counts.delete_many({})
    answer = send_code(token, code=code)
    assert refusal(answer) == (422, "validation_failed")
    assert answer.json["errors"] == {"code": ["Must have 6 digits."]}
    assert counts.count_documents({}) == 0


@pytest.mark.parametrize(
    "fields",
    [{}, {"code": "123456", "recovery_code": "k3v8-9w2m-x0tq-7hbn"}, {"code": ""}, {"code": "", "recovery_code": ""}],
)
def test_the_second_step_needs_exactly_one_kind_of_code(owner, challenge, send_code, fields):
    assert refusal(send_code(challenge(), **fields)) == (422, "validation_failed")


def test_an_empty_field_counts_as_absent(owner, challenge, send_code):
    assert send_code(challenge(), code=owner.code(), recovery_code="").status_code == 200


# The token of the first step


def altered(token, at):
    data = bytearray(base64.urlsafe_b64decode(token))
    data[at] ^= 1
    return base64.urlsafe_b64encode(data).decode()


@pytest.mark.parametrize("at", [0, 11, 12, 15, 16, 47])
def test_an_altered_token_is_refused(owner, challenge, send_code, at):
    assert refusal(send_code(altered(challenge(), at), code=owner.code())) == INVALID_TOKEN


@pytest.mark.parametrize("token", ["x", "x" * 63, "x" * 64, "x" * 65, "é" * 64, "+" * 64, "x" * 16_000])
def test_a_malformed_token_is_refused(owner, send_code, token):
    assert refusal(send_code(token, code=owner.code())) == INVALID_TOKEN


def test_a_token_expires_after_five_minutes(owner, still_clock, challenge, send_code):
    token = challenge()
    still_clock.move(seconds=299)
    assert refusal(send_code(token, code=wrong(owner.code()))) == INVALID_CODE
    still_clock.move(seconds=2)
    assert refusal(send_code(token, code=owner.code())) == INVALID_TOKEN


def test_a_token_dies_with_a_change_of_password(owner, client, challenge, send_code):
    token = challenge()
    passwords = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    grant = send_code(token, code=owner.code()).json
    bearer = {"Authorization": f"Bearer {grant['access_token']}"}
    assert client.post("/api/users/me/password", json=passwords, headers=bearer).status_code == 204
    assert refusal(send_code(token, code=owner.code(1))) == INVALID_TOKEN


def test_a_password_changed_while_the_code_is_checked_opens_no_session(
    owner, users, challenge, send_code, before_a_write, sessions
):
    token, before = challenge(), sessions()
    changed = {"$set": {"password": "$2b$04$" + "x" * 53}}
    before_a_write("users", lambda: users.update_one({"_id": owner.account.id}, changed))
    assert refusal(send_code(token, code=owner.code())) == INVALID_TOKEN
    assert sessions() == before


def test_a_token_of_another_user_does_not_open_one_s_own_session(owner, client, challenge, users, send_code):
    grace = make_account(client, email="grace@example.com")
    token = mfa_token.MfaToken.parse(challenge())
    forged = base64.urlsafe_b64encode(bytes.fromhex(grace.id) + token.expires.to_bytes(4) + token.mac).decode()
    assert refusal(send_code(forged, code=owner.code())) == INVALID_TOKEN


def test_a_token_is_of_no_use_without_the_factor(owner, client, challenge, users, send_code):
    token = challenge()
    users.update_one({"_id": owner.account.id}, {"$unset": {"factors": True}})
    assert refusal(send_code(token, code=owner.code())) == INVALID_TOKEN


def test_a_token_of_a_deleted_user_is_refused(owner, challenge, users, send_code):
    token = challenge()
    users.delete_one({"_id": owner.account.id})
    assert refusal(send_code(token, code=owner.code())) == INVALID_TOKEN


def test_a_token_of_a_user_without_a_password_is_refused(owner, challenge, users, send_code):
    token = challenge()
    users.update_one({"_id": owner.account.id}, {"$unset": {"password": True}})
    assert refusal(send_code(token, code=owner.code())) == INVALID_TOKEN


def test_a_token_of_a_disabled_user_is_refused(owner, challenge, users, send_code):
    token = challenge()
    users.update_one({"_id": owner.account.id}, {"$set": {"disabled": True}})
    assert refusal(send_code(token, code=owner.code())) == INVALID_TOKEN


def test_a_token_can_be_used_again_with_a_new_code_only(owner, still_clock, challenge, send_code):
    token = challenge()
    assert send_code(token, code=owner.code()).status_code == 200
    assert refusal(send_code(token, code=owner.code())) == INVALID_CODE
    still_clock.move(seconds=30)
    assert send_code(token, code=owner.code()).status_code == 200


def test_the_token_is_not_stored(owner, challenge, mongo):
    token = challenge()
    database = mongo.get_default_database()
    assert not any(
        token in str(document) for name in database.list_collection_names() for document in database[name].find()
    )


# Between the check and the write


def test_a_factor_added_while_a_login_is_under_way_is_required(
    still_clock, account, start, confirm, before_a_write, sessions, client
):
    secret = start(account).json["secret"]
    before_a_write("users", lambda: confirm(account, code_of(secret)))
    assert refusal(log_in(client)) == (403, "mfa_required")
    assert sessions() == 1  # the one that has enrolled


def test_a_factor_removed_while_the_code_is_checked_ends_the_second_step(
    owner, users, challenge, send_code, before_a_write, sessions
):
    token, before = challenge(), sessions()
    gone = {"$unset": {"factors": True}}
    before_a_write("users", lambda: users.update_one({"_id": owner.account.id}, gone))
    assert refusal(send_code(token, code=owner.code())) == INVALID_TOKEN
    assert sessions() == before


def test_a_rotated_key_does_not_refuse_a_code_that_is_being_checked(owner, users, challenge, send_code, before_a_write):
    rotated = {"$set": {"factors.totp.secret": b"another ciphertext", "factors.totp.key": "12345678"}}
    before_a_write("users", lambda: users.update_one({"_id": owner.account.id}, rotated))
    assert send_code(challenge(), code=owner.code()).status_code == 200


def test_a_code_used_while_it_is_checked_opens_no_second_session(
    owner, challenge, send_code, log_in_with, before_a_write, sessions
):
    before, code = sessions(), owner.code()
    token = challenge()
    before_a_write("users", lambda: log_in_with(code))
    assert refusal(send_code(token, code=code)) == INVALID_CODE
    assert sessions() == before + 1


# Keys


def test_a_secret_that_cannot_be_decrypted_lets_nobody_in_without_a_recovery_code(
    owner, users, challenge, send_code, capture_logs, sessions
):
    users.update_one({"_id": owner.account.id}, {"$set": {"factors.totp.secret": b"of another key"}})
    before = sessions()
    with capture_logs() as lines:
        answer = send_code(challenge(), code=owner.code())
    assert refusal(answer) == (503, "second_factor_unavailable")
    assert answer.headers["Retry-After"]
    assert [line["key"] for line in lines if line.get("event") == "second_factor_unreadable"]
    assert sessions() == before
    assert send_code(challenge(), recovery_code=owner.recovery_codes[0]).status_code == 200


def test_a_secret_copied_from_another_user_is_not_accepted(
    owner, still_clock, client, enrol, users, send_code, challenge
):
    other = enrol(make_account(client, email="grace@example.com"))
    still_clock.move(seconds=60)
    theirs = users.find_one({"_id": other.account.id})["factors"]["totp"]["secret"]
    users.update_one({"_id": owner.account.id}, {"$set": {"factors.totp.secret": theirs}})
    assert refusal(send_code(challenge(), code=other.code())) == (503, "second_factor_unavailable")


def test_without_data_keys_nobody_with_a_factor_gets_in(owner, make_app):
    client = make_app(DATA_KEYS=[]).test_client()
    fields = {"username": "ada@example.com", "password": PASSWORD}
    assert client.post("/api/auth/login", data=fields).json["code"] == "mfa_required"
    answer = client.post("/api/auth/login", data={**fields, "otp": owner.code()})
    assert refusal(answer) == (503, "second_factor_unavailable")
    assert client.post("/api/auth/mfa", data={}).status_code == 404


def test_a_new_secret_key_costs_nobody_the_factor(owner, make_app):
    client = make_app(SECRET_KEY="another secret of the service, long enough").test_client()
    fields = {"username": "ada@example.com", "password": PASSWORD, "otp": owner.code()}
    assert client.post("/api/auth/login", data=fields).status_code == 200
    assert (
        client.post("/api/auth/refresh", data={"grant_type": "refresh_token", "refresh_token": "x"}).status_code == 401
    )


# Costs


def test_a_login_without_a_factor_costs_what_it_cost_before(account, watch_commands, client):
    with watch_commands() as commands:
        assert log_in(client).status_code == 200
    collections = [event.command[event.command_name] for event in commands]
    assert collections.count("users") == 2  # the read, and the session
    assert sorted(set(collections)) == ["audit", "throttles", "users"]
    assert len(collections) == 5
