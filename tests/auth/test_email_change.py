import pytest

from pixora.tokens.one_time import OneTimeToken
from tests.auth.conftest import NEW_PASSWORD, is_refused
from tests.factories import PASSWORD, fastapi_user, log_in, sign_up

REQUEST = "/api/users/me/email"
CONFIRM = "/api/auth/change-email/confirm"
NEW = "ada.lovelace@example.com"


@pytest.fixture
def ask(client, account):
    def ask(email=NEW, password=PASSWORD, client=client):
        return client.post(REQUEST, json={"email": email, "password": password}, headers=account.bearer)

    return ask


@pytest.fixture
def token(ask, token_sent):
    """The token of the letter to the new address."""
    assert ask().status_code == 202
    return token_sent(NEW, "change_email")


def confirm(client, token):
    return client.post(CONFIRM, json={"token": token})


@pytest.mark.parametrize(("verified", "told"), [(True, {"new_email": NEW}), (False, {})])
def test_the_new_email_gets_a_link_and_the_old_one_a_notice(ask, account, users, emails_to, verified, told):
    """An old address that is not verified may be a stranger's, who is told nothing that the user has typed."""
    users.update_one({}, {"$set": {"email_verified": verified}})
    response = ask()
    assert response.status_code == 202
    assert set(response.json) == {"message"}
    assert [letter["template"] for letter in emails_to(NEW)] == ["change_email"]
    warning = emails_to(account.email)[-1]
    assert (warning["template"], warning["context"]) == ("email_changing", told)
    assert "token" not in warning


def test_nothing_changes_before_the_link_is_opened(client, account, token):
    assert client.get("/api/users/me", headers=account.bearer).json["email"] == account.email
    assert log_in(client, NEW).status_code == 401
    assert log_in(client, account.email).status_code == 200


def test_the_link_changes_and_verifies_the_email(client, account, token, users):
    before = users.find_one()["updated_at"]
    assert confirm(client, token).status_code == 204
    profile = client.get("/api/users/me", headers=account.bearer).json
    assert (profile["email"], profile["email_verified"]) == (NEW, True)
    assert users.find_one()["updated_at"] > before
    assert log_in(client, NEW).status_code == 200
    assert log_in(client, account.email).status_code == 401


@pytest.mark.parametrize(("verified", "told"), [(True, {"new_email": NEW}), (False, {})])
def test_the_old_email_gets_a_notice_after_the_change(client, account, token, users, emails_to, verified, told):
    users.update_one({}, {"$set": {"email_verified": verified}})
    confirm(client, token)
    letter = emails_to(account.email)[-1]
    assert (letter["template"], letter["context"]) == ("email_changed", told)


def test_the_new_email_is_stored_in_canonical_form(ask, emails_to):
    ask("Ada.LOVELACE@Example.com")
    assert len(emails_to(NEW)) == 1


def test_links_sent_to_the_old_email_stop_working(client, account, token, token_sent):
    client.post("/api/auth/password-reset", json={"email": account.email})
    assert confirm(client, token).status_code == 204
    reset = {"token": token_sent(account.email, "reset_password"), "new_password": NEW_PASSWORD}
    assert is_refused(client.post("/api/auth/password-reset/confirm", json=reset))
    verify = {"token": token_sent(account.email, "verify_email"), "password": PASSWORD}
    assert is_refused(client.post("/api/auth/verify-email/confirm", json=verify))


def test_a_used_token_is_refused(client, token):
    assert confirm(client, token).status_code == 204
    assert is_refused(confirm(client, token))


def test_of_fifty_parallel_uses_one_succeeds(token, post_at_once):
    assert post_at_once(50, CONFIRM, {"token": token}) == {204: 1, 400: 49}


@pytest.mark.parametrize(("hours", "status"), [(23.99, 204), (24, 400)])
def test_a_token_expires(client, token, move_clock, hours, status):
    move_clock(hours=hours)
    assert confirm(client, token).status_code == status


@pytest.mark.parametrize("garbage", ["", "x", "A" * 59, "\r\n", "x" * 5000])
def test_a_malformed_token_is_refused(client, account, garbage):
    assert is_refused(confirm(client, garbage))


def test_a_token_of_another_purpose_is_refused(client, account, token, token_sent):
    assert is_refused(confirm(client, token_sent(account.email, "verify_email")))


def test_a_token_of_another_user_is_refused(client, token, other_account):
    assert is_refused(confirm(client, OneTimeToken(other_account.id, OneTimeToken.parse(token).secret).text))


def test_a_newer_request_replaces_the_older_one(client, ask, token, token_sent, account):
    ask("countess@example.com")
    assert is_refused(confirm(client, token))
    assert confirm(client, token_sent("countess@example.com", "change_email")).status_code == 204
    assert client.get("/api/users/me", headers=account.bearer).json["email"] == "countess@example.com"


def test_a_wrong_password_changes_nothing(ask, users):
    before = users.find_one()
    response = ask(password="wrong-password-1")
    assert (response.status_code, response.json["code"]) == (403, "wrong_password")
    assert users.find_one() == before


@pytest.mark.parametrize("same", ["ada@example.com", "ADA@example.com", "Ada@EXAMPLE.COM"])
def test_the_current_email_is_refused_in_any_case(ask, users, same):
    before = users.find_one()
    response = ask(same)
    assert response.status_code == 422
    assert response.json["errors"] == {"email": ["This is your current e-mail address."]}
    assert users.find_one() == before


@pytest.mark.parametrize(
    "malformed",
    [
        *("", "x", "ada", "ada@", "@example.com", "ada@example", "ada@@example.com", "ada @example.com"),
        *("ada@example.com\r\nBcc: eve@example.com", "ada@example.com\n", "ada\r@example.com", "\r\nada@example.com"),
        *('"ada\r\n"@example.com', "ada@exa\r\nmple.com", "ada@example.com\0", "Ada <ada@example.com>"),
        *("ada@example.com, eve@example.com", "x" * 250 + "@example.com", None, 1, [], {"$ne": None}),
    ],
    ids=repr,
)
def test_a_malformed_address_is_refused(ask, users, malformed):
    before = users.find_one()
    response = ask(malformed)
    assert response.status_code == 422
    assert list(response.json["errors"]) == ["email"]
    assert users.find_one() == before


@pytest.mark.parametrize("taken", ["grace@example.com", "GRACE@Example.com"])
def test_a_taken_email_is_a_conflict(ask, account, other_account, emails_to, taken):
    response = ask(taken)
    assert (response.status_code, response.json["code"]) == (409, "email_taken")
    assert len(emails_to(other_account.email)) == 1  # that of the sign-up
    assert len(emails_to(account.email)) == 1


def test_an_email_taken_since_the_request_is_a_conflict_and_keeps_the_token_valid(client, account, token, users):
    other = sign_up(client, email=NEW).json["id"]
    response = confirm(client, token)
    assert (response.status_code, response.json["code"]) == (409, "email_taken")
    assert client.get("/api/users/me", headers=account.bearer).json["email"] == account.email
    users.delete_one({"_id": other})
    assert confirm(client, token).status_code == 204


def test_of_two_requests_for_one_email_the_first_to_confirm_gets_it(client, ask, token, other_account, token_sent):
    body = {"email": NEW, "password": PASSWORD}
    assert client.post(REQUEST, json=body, headers=other_account.bearer).status_code == 202
    second = token_sent(NEW, "change_email")
    assert second != token
    assert confirm(client, token).status_code == 204
    assert confirm(client, second).status_code == 409


def test_emails_are_counted_by_recipient(make_app, ask, counts):
    client = make_app(THROTTLE_MAIL_PER_ACCOUNT="1 per hour").test_client()
    client.post("/api/auth/password-reset", json={"email": NEW})
    response = ask(client=client)
    assert (response.status_code, response.json["code"]) == (429, "rate_limited")


def test_requests_are_counted_by_account(make_app, ask, counts):
    client = make_app(THROTTLE_MAIL_PER_ACCOUNT="1 per hour").test_client()
    assert [ask(email, client=client).status_code for email in (NEW, "another@example.com")] == [202, 429]


def test_a_wrong_password_sends_no_email(make_app, ask, counts):
    client = make_app(THROTTLE_MAIL_PER_ACCOUNT="1 per hour").test_client()
    assert [ask(client=client, password=text).status_code for text in ("wrong", PASSWORD, PASSWORD)] == [403, 202, 429]


@pytest.mark.parametrize("same", ["grace.hopper@example.com", "Grace.Hopper@example.com"])
def test_a_user_of_the_fastapi_service_changes_the_email_but_not_to_the_same_one(client, users, token_sent, same):
    user = fastapi_user()
    users.insert_one(user)
    bearer = {"Authorization": f"Bearer {log_in(client, user['email']).json['access_token']}"}
    body = {"email": same, "password": PASSWORD}
    assert client.post(REQUEST, json=body, headers=bearer).status_code == 422
    assert client.post(REQUEST, json=body | {"email": NEW}, headers=bearer).status_code == 202
    assert confirm(client, token_sent(NEW, "change_email")).status_code == 204
    assert users.find_one()["email"] == NEW


def end_others(client, account, admin):
    return client.delete("/api/users/me/sessions", headers=account.bearer)


def end_one(client, account, admin):
    sessions = client.get("/api/users/me/sessions", headers=account.bearer).json
    [other] = [session["id"] for session in sessions if not session["current"]]
    return client.delete(f"/api/users/me/sessions/{other}", headers=account.bearer)


def end_as_administrator(client, account, admin):
    return client.delete(f"/api/admin/users/{account.id}/sessions", headers=admin.bearer)


@pytest.mark.parametrize("end", [end_others, end_one, end_as_administrator])
def test_ending_sessions_ends_a_pending_change(client, account, admin, token_sent, end):
    client.post("/api/auth/password-reset", json={"email": account.email})
    thief = {"Authorization": f"Bearer {log_in(client, account.email).json['access_token']}"}
    assert client.post(REQUEST, json={"email": NEW, "password": PASSWORD}, headers=thief).status_code == 202
    assert end(client, account, admin).status_code == 204
    assert client.get("/api/users/me", headers=thief).status_code == 401
    assert is_refused(confirm(client, token_sent(NEW, "change_email")))
    reset = {"token": token_sent(account.email, "reset_password"), "new_password": NEW_PASSWORD}
    assert client.post("/api/auth/password-reset/confirm", json=reset).status_code == 204


def test_ending_sessions_ends_a_pending_change_also_where_its_session_has_ended(client, account, token):
    assert client.post("/api/auth/logout", headers=account.bearer).status_code == 204
    bearer = {"Authorization": f"Bearer {log_in(client, account.email).json['access_token']}"}
    assert client.delete("/api/users/me/sessions", headers=bearer).status_code == 204
    assert is_refused(confirm(client, token))


def test_a_stolen_refresh_token_that_is_noticed_ends_a_pending_change(client, account, token, move_clock):
    form = {"grant_type": "refresh_token", "refresh_token": account.refresh_token}
    assert client.post("/api/auth/refresh", data=form).status_code == 200
    move_clock(minutes=2)
    assert client.post("/api/auth/refresh", data=form).status_code == 401
    assert is_refused(confirm(client, token))


@pytest.mark.parametrize("path", ["/api/auth/logout", "/api/auth/revoke"])
def test_logging_out_keeps_a_pending_change(client, account, token, path):
    form = {"token": account.refresh_token} if path.endswith("revoke") else None
    response = client.post(path, data=form, headers={} if form else account.bearer)
    assert response.status_code in (200, 204)
    assert client.get("/api/users/me", headers=account.bearer).status_code == 401
    assert confirm(client, token).status_code == 204
