"""Recovery codes: one login each."""

import base64

import bson
import pytest

from pixora.accounts.audit import EVENTS
from tests.factories import log_in
from tests.factors.conftest import code_of
from tests.factors.test_login import INVALID_CODE, refusal


@pytest.fixture
def use(challenge, send_code):
    """Log in with a recovery code; return the answer."""

    def use(code):
        return send_code(challenge(), recovery_code=code)

    return use


def test_each_code_opens_one_session(owner, use, factors_of):
    for number, code in enumerate(owner.recovery_codes, 1):
        assert use(code).status_code == 200
        assert refusal(use(code)) == INVALID_CODE
        assert len(factors_of(owner.account)["recovery_codes"]["hashes"]) == 10 - number


def test_when_no_code_is_left_none_is_offered_and_none_accepted(owner, use, users, challenge, send_code, client):
    users.update_one({"_id": owner.account.id}, {"$set": {"factors.recovery_codes.hashes": []}})
    assert log_in(client).json["methods"] == ["totp"]
    assert refusal(use(owner.recovery_codes[0])) == INVALID_CODE
    assert send_code(challenge(), code=owner.code()).status_code == 200


@pytest.mark.parametrize("spell", [str.upper, str.title, lambda code: code.replace("-", ""), lambda code: f" {code} "])
def test_case_hyphens_and_spaces_make_no_difference(owner, use, spell):
    assert use(spell(owner.recovery_codes[0])).status_code == 200


@pytest.mark.parametrize("code", ["k3v8-9w2m-x0tq-7hb", "k3v8-9w2m-x0tq-7hbnn", "u" * 16, "é" * 16, "0" * 16_000])
def test_what_is_no_recovery_code_is_refused(owner, use, code):
    assert refusal(use(code)) == (422, "validation_failed")


def test_an_unknown_code_is_refused_and_all_stay(owner, use, factors_of):
    assert refusal(use("0000-0000-0000-0000")) == INVALID_CODE
    assert len(factors_of(owner.account)["recovery_codes"]["hashes"]) == 10


def test_a_code_used_while_it_is_checked_opens_no_second_session(
    owner, use, challenge, send_code, before_a_write, users
):
    code, token = owner.recovery_codes[0], challenge()
    before = len(users.find_one({"_id": owner.account.id})["sessions"])
    before_a_write("users", lambda: use(code))
    assert refusal(send_code(token, recovery_code=code)) == INVALID_CODE
    assert len(users.find_one({"_id": owner.account.id})["sessions"]) == before + 1


def test_another_code_used_meanwhile_does_not_refuse_this_one(
    owner, use, challenge, send_code, before_a_write, factors_of
):
    first, second, *_ = owner.recovery_codes
    token = challenge()
    before_a_write("users", lambda: use(first))
    assert send_code(token, recovery_code=second).status_code == 200
    assert len(factors_of(owner.account)["recovery_codes"]["hashes"]) == 8


def test_each_use_is_told_by_e_mail_and_from_three_left_on_new_ones_are_advised(owner, use, emails_to):
    for code in owner.recovery_codes[:8]:
        use(code)
    told = [email["context"] for email in emails_to("ada@example.com") if email["template"] == "recovery_code_used"]
    assert [context["codes_left"] for context in told] == ["9", "8", "7", "6", "5", "4", "3", "2"]
    assert [bool(context["few_codes_left"]) for context in told] == [False] * 6 + [True] * 2


def test_each_use_is_audited(owner, use, trail):
    use(owner.recovery_codes[0])
    row = trail.find_one({"event": "recovery_code_used"})
    assert (row["user_id"], row["details"]) == (owner.account.id, {"left": 9})
    assert "recovery_code_used" in EVENTS


def test_a_database_dump_has_neither_the_codes_nor_the_secret(owner, start, use, mongo):
    waiting = start(owner.account).json["secret"]
    assert use(owner.recovery_codes[0]).status_code == 200
    database = mongo.get_default_database()
    dump = b"".join(
        bson.encode(document) for name in database.list_collection_names() for document in database[name].find()
    )
    assert b"gAAAA" in dump  # the secrets, encrypted
    for secret in owner.secret, waiting:
        raw = base64.b32decode(secret)
        for spelling in secret.encode(), raw, raw.hex().encode(), base64.b64encode(raw), base64.urlsafe_b64encode(raw):
            assert spelling not in dump
    for code in owner.recovery_codes:
        assert code.encode() not in dump
        assert code.replace("-", "").encode() not in dump


# A lost telephone


@pytest.fixture
def on_a_new_phone(owner, still_clock, use, client):
    """A session that a recovery code has opened, a day later, and its requests."""
    still_clock.move(days=1)
    bearer = {"Authorization": f"Bearer {use(owner.recovery_codes[0]).json['access_token']}"}
    return lambda method, path, **body: client.open(
        f"/api/users/me/factors/totp{path}", method=method, headers=bearer, **body
    )


def test_a_recovery_code_lets_the_owner_set_up_another_app_at_once(owner, on_a_new_phone, challenge, send_code):
    secret = on_a_new_phone("POST", "").json["secret"]
    confirmed = on_a_new_phone("POST", "/confirm", json={"code": code_of(secret)})
    assert len(confirmed.json["recovery_codes"]) == 10
    assert refusal(send_code(challenge(), code=owner.code())) == INVALID_CODE
    assert send_code(challenge(), code=code_of(secret, 1)).status_code == 200


def test_a_recovery_code_lets_the_owner_remove_the_app_in_the_next_five_minutes(owner, on_a_new_phone, client):
    assert on_a_new_phone("DELETE", "").status_code == 204
    assert log_in(client).status_code == 200


def test_later_another_recovery_code_is_needed(owner, on_a_new_phone, still_clock, factors_of):
    still_clock.move(minutes=6)
    assert refusal(on_a_new_phone("DELETE", "")) == (401, "insufficient_user_authentication")
    assert factors_of(owner.account)["totp"]
