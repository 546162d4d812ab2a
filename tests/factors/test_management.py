"""Setting up, showing and removing one's own second factor."""

import base64
import re
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import pytest

from tests.conftest import make_account
from tests.factories import PASSWORD, log_in, refusal
from tests.factors.conftest import code_of, wrong

BASE = "/api/users/me/factors"


NOTHING = 409, "nothing_to_confirm"
WRONG = 403, "wrong_code"
NOT_FOUND = 404, "factor_not_found"


@pytest.fixture
def ask(client):
    """Send a request to a route of one's own factors."""

    def ask(method, account, path="", **kwargs):
        return client.open(BASE + path, method=method, headers=account.bearer, **kwargs)

    return ask


def test_without_a_second_factor_there_is_nothing_to_show(account, ask):
    assert ask("GET", account).json == {"totp": None, "recovery_codes": None}


def test_the_overview_has_times_and_numbers_and_no_secret(owner, ask):
    shown = ask("GET", owner.account)
    assert shown.json["totp"].keys() == {"created_at", "last_used_at"}
    assert shown.json["recovery_codes"].keys() == {"created_at", "left"}
    assert shown.json["recovery_codes"]["left"] == 10
    assert owner.secret not in shown.text


def test_a_new_secret_comes_as_text_as_uri_and_as_qr_code(account, start):
    answer = start(account)
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json
    assert body.keys() == {"secret", "uri", "qr_svg", "expires_in"}
    assert len(base64.b32decode(body["secret"])) == 20
    uri = urlsplit(body["uri"])
    assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", "/Pixora:ada@example.com")
    assert parse_qs(uri.query) == {"secret": [body["secret"]], "issuer": ["Pixora"]}
    assert ElementTree.fromstring(body["qr_svg"]).tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search("script|style|href|on[a-z]+=", body["qr_svg"])
    assert body["expires_in"] == 600


def test_a_secret_is_no_factor_until_it_is_confirmed(account, start, ask, client):
    start(account)
    assert log_in(client).status_code == 200
    assert ask("GET", account).json["totp"] is None


def test_the_first_code_confirms_it_and_brings_ten_recovery_codes(still_clock, account, start, confirm, client):
    secret = start(account).json["secret"]
    answer = confirm(account, code_of(secret))
    assert answer.status_code == 200
    codes = answer.json["recovery_codes"]
    assert len(set(codes)) == 10
    assert all(re.fullmatch("([0-9a-hjkmnp-tv-z]{4}-){3}[0-9a-hjkmnp-tv-z]{4}", code) for code in codes)
    assert log_in(client).status_code == 403


def test_confirming_ends_the_other_sessions_and_lifts_this_one(client, account, enrol, users):
    other = {"Authorization": f"Bearer {log_in(client).json['access_token']}"}
    enrol(account)
    assert client.get("/api/users/me", headers=other).status_code == 401
    assert client.get("/api/users/me", headers=account.bearer).status_code == 200
    [session] = users.find_one({"_id": account.id})["sessions"]
    assert session["acr"] == "aal2"
    assert {"otp", "mfa"} <= set(session["amr"])


def test_a_wrong_code_confirms_nothing_and_the_secret_goes_on_waiting(still_clock, account, start, confirm, ask):
    code = code_of(start(account).json["secret"])
    assert refusal(confirm(account, wrong(code))) == WRONG
    assert ask("GET", account).json["totp"] is None
    assert confirm(account, code).status_code == 200


def test_after_ten_minutes_there_is_nothing_to_confirm(still_clock, account, start, confirm, client):
    secret = start(account).json["secret"]
    still_clock.move(seconds=601)
    body = {"password": PASSWORD}
    recent = client.post("/api/auth/reauthenticate", json=body, headers=account.bearer).json["access_token"]
    assert refusal(confirm(account._replace(token=recent), code_of(secret))) == NOTHING


def test_without_a_secret_there_is_nothing_to_confirm(account, confirm):
    assert refusal(confirm(account, "123456")) == NOTHING


def test_a_new_secret_replaces_the_one_that_waits(still_clock, account, start, confirm):
    first = start(account).json["secret"]
    second = start(account).json["secret"]
    assert refusal(confirm(account, code_of(first))) == WRONG
    assert confirm(account, code_of(second)).status_code == 200


def test_of_two_secrets_at_once_the_one_stored_last_waits(still_clock, account, ask, confirm, before_a_write):
    first = []
    before_a_write("users", lambda: first.append(ask("POST", account, "/totp").json["secret"]))
    second = ask("POST", account, "/totp").json["secret"]
    assert refusal(confirm(account, code_of(first[0]))) == WRONG
    assert confirm(account, code_of(second)).status_code == 200


def test_a_secret_is_confirmed_once(owner, still_clock, confirm):
    still_clock.move(seconds=-60)
    assert refusal(confirm(owner.account, owner.code())) == NOTHING


def test_of_two_who_confirm_at_once_one_gets_the_codes(
    still_clock, account, start, confirm, before_a_write, challenge, send_code
):
    code = code_of(start(account).json["secret"])
    winner = []
    before_a_write("users", lambda: winner.append(confirm(account, code)))
    assert refusal(confirm(account, code)) == NOTHING
    [recovery_code, *_] = winner[0].json["recovery_codes"]
    assert send_code(challenge(), recovery_code=recovery_code).status_code == 200


def test_a_secret_replaced_while_its_code_is_checked_is_not_confirmed(
    still_clock, account, start, confirm, before_a_write, ask
):
    code = code_of(start(account).json["secret"])
    before_a_write("users", lambda: start(account))
    assert refusal(confirm(account, code)) == NOTHING
    assert ask("GET", account).json["totp"] is None


def test_a_session_that_ends_meanwhile_confirms_nothing(still_clock, account, start, confirm, before_a_write, users):
    code = code_of(start(account).json["secret"])
    before_a_write("users", lambda: users.update_one({"_id": account.id}, {"$set": {"sessions": []}}))
    assert refusal(confirm(account, code)) == (401, "invalid_token")
    assert "totp" not in users.find_one({"_id": account.id})["factors"]


def test_another_app_replaces_the_first_one(owner, start, confirm, still_clock, challenge, send_code):
    secret = start(owner.account).json["secret"]
    assert send_code(challenge(), code=owner.code()).status_code == 200
    answer = confirm(owner.account, code_of(secret))
    assert answer.status_code == 200
    still_clock.move(seconds=30)
    assert refusal(send_code(challenge(), code=owner.code())) == (401, "invalid_code")
    assert refusal(send_code(challenge(), recovery_code=owner.recovery_codes[0])) == (401, "invalid_code")
    assert send_code(challenge(), code=code_of(secret)).status_code == 200
    assert send_code(challenge(), recovery_code=answer.json["recovery_codes"][0]).status_code == 200


def test_where_e_mails_are_sent_the_address_must_be_verified(make_app, account, users):
    client = make_app(SMTP_URL="smtp://127.0.0.1:25").test_client()
    assert refusal(client.post(f"{BASE}/totp", headers=account.bearer)) == (403, "email_not_verified")
    users.update_one({"_id": account.id}, {"$set": {"email_verified": True}})
    assert client.post(f"{BASE}/totp", headers=account.bearer).status_code == 201


def test_where_no_e_mails_are_sent_no_address_needs_to_be_verified(client, account):
    assert client.post(f"{BASE}/totp", headers=account.bearer).status_code == 201


def test_removing_it_needs_no_code_at_the_next_login(owner, ask, factors_of, client):
    assert ask("DELETE", owner.account, "/totp").status_code == 204
    assert factors_of(owner.account) == {}
    assert log_in(client).status_code == 200
    assert refusal(ask("DELETE", owner.account, "/totp")) == NOT_FOUND


def test_of_a_factor_replaced_meanwhile_nothing_is_removed(owner, ask, users, before_a_write, factors_of):
    other = {"$set": {"factors.totp.id": "another enrolment"}}
    before_a_write("users", lambda: users.update_one({"_id": owner.account.id}, other))
    assert refusal(ask("DELETE", owner.account, "/totp")) == NOT_FOUND
    assert factors_of(owner.account)["totp"]


def test_new_recovery_codes_replace_the_old_ones(owner, ask, challenge, send_code):
    answer = ask("POST", owner.account, "/recovery-codes")
    assert answer.status_code == 200
    assert not set(answer.json["recovery_codes"]) & set(owner.recovery_codes)
    assert refusal(send_code(challenge(), recovery_code=owner.recovery_codes[0])) == (401, "invalid_code")
    assert send_code(challenge(), recovery_code=answer.json["recovery_codes"][9]).status_code == 200


def test_without_a_second_factor_there_are_no_recovery_codes(account, ask):
    assert refusal(ask("POST", account, "/recovery-codes")) == NOT_FOUND


def test_the_owner_gets_an_e_mail_about_each_change(owner, ask, emails_to):
    ask("POST", owner.account, "/recovery-codes")
    ask("DELETE", owner.account, "/totp")
    told = [email["template"] for email in emails_to("ada@example.com")]
    assert [one for one in told if one != "verify_email"] == [
        "factor_added",
        "recovery_codes_renewed",
        "factor_removed",
    ]


def test_each_change_is_audited(owner, ask, trail):
    ask("POST", owner.account, "/recovery-codes")
    ask("DELETE", owner.account, "/totp")
    assert [row["event"] for row in trail.find()] == ["recovery_codes_renewed", "second_factor_removed"]
    assert all(row["user_id"] == owner.account.id for row in trail.find())


def test_the_number_of_changes_is_limited(make_app, client, account, counts, users, refresh):
    users.update_one({"_id": account.id}, {"$set": {"email_verified": True}})
    limited = make_app(THROTTLE_PASSWORD_CHANGE_PER_ACCOUNT="2 per day").test_client()

    secret = limited.post(f"{BASE}/totp", headers=account.bearer).json["secret"]
    limited.post(f"{BASE}/totp/confirm", json={"code": code_of(secret)}, headers=account.bearer)
    bearer = {"Authorization": f"Bearer {refresh(account).json['access_token']}"}
    renewals = [limited.post(f"{BASE}/recovery-codes", headers=bearer).status_code for _ in range(3)]
    assert renewals == [200, 429, 429]
    assert limited.delete(f"{BASE}/totp", headers=bearer).status_code == 429
    other = make_account(client, email="grace@example.com")
    assert limited.post(f"{BASE}/totp", headers=other.bearer).status_code == 201


def test_without_data_keys_there_are_no_such_routes(make_app, account):
    client = make_app(DATA_KEYS=[]).test_client()
    assert client.get(BASE, headers=account.bearer).status_code == 404
    assert client.post(f"{BASE}/totp", headers=account.bearer).status_code == 404


def test_the_export_has_the_factors_without_secrets(owner, client):
    exported = client.get("/api/users/me/export", headers=owner.account.bearer)
    assert exported.json["factors"]["recovery_codes"]["left"] == 10
    assert exported.json["factors"]["totp"]["created_at"]
    for secret in (owner.secret, *owner.recovery_codes, "$2b$", "gAAAA"):
        assert secret not in exported.text


def test_deleting_the_account_deletes_the_factors_and_the_counters_of_wrong_codes(
    owner, client, users, counts, challenge, send_code
):
    send_code(challenge(), code=wrong(owner.code()))
    assert counts.count_documents({"_id": {"$regex": "SECOND_FACTOR"}}) > 0
    body = {"password": "difference-engine-no-2"}
    assert client.delete("/api/users/me", json=body, headers=owner.account.bearer).status_code == 204
    assert users.count_documents({}) == 0
    assert counts.count_documents({"_id": {"$regex": "SECOND_FACTOR"}}) == 0


def test_a_password_reset_keeps_the_factor_and_opens_no_session(owner, client, token_sent, users):
    client.post("/api/auth/password-reset", json={"email": "ada@example.com"})
    body = {"token": token_sent("ada@example.com", "reset_password"), "new_password": "analytical-engine-no-1"}
    assert client.post("/api/auth/password-reset/confirm", json=body).status_code == 204
    assert users.find_one({"_id": owner.account.id})["sessions"] == []
    assert refusal(log_in(client, password="analytical-engine-no-1")) == (403, "mfa_required")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/totp/confirm"), ("POST", "/recovery-codes"), ("DELETE", "/totp")]
)
def test_a_change_of_factors_ends_a_pending_change_of_email(owner, start, ask, client, token_sent, method, path):
    change = {"email": "new@example.com", "password": PASSWORD}
    secret = start(owner.account).json["secret"]
    assert client.post("/api/users/me/email", json=change, headers=owner.account.bearer).status_code == 202
    body = {"code": code_of(secret)} if path.endswith("confirm") else None
    assert ask(method, owner.account, path, json=body).status_code in (200, 204)
    link = {"token": token_sent("new@example.com", "change_email")}
    assert refusal(client.post("/api/auth/change-email/confirm", json=link)) == (400, "invalid_one_time_token")


def test_a_reset_of_factors_ends_a_pending_change_of_email(owner, client, token_sent, reset_factors):
    change = {"email": "new@example.com", "password": PASSWORD}
    assert client.post("/api/users/me/email", json=change, headers=owner.account.bearer).status_code == 202
    assert reset_factors(owner.account.id).status_code == 204
    link = {"token": token_sent("new@example.com", "change_email")}
    assert refusal(client.post("/api/auth/change-email/confirm", json=link)) == (400, "invalid_one_time_token")
