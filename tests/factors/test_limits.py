"""Limits of wrong codes: nobody guesses one, and nobody is locked out by somebody else."""

import pytest

from pixora.factors import totp
from pixora.throttling import limits
from tests.factories import PASSWORD
from tests.factors.conftest import wrong

DEFAULTS = {
    "THROTTLE_SECOND_FACTOR_PER_ACCOUNT_AND_IP": "5 per 15 minute",
    "THROTTLE_SECOND_FACTOR_PER_ACCOUNT": "30 per day",
}
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def limited(make_app, owner, counts):
    return make_app(**DEFAULTS).test_client()


@pytest.fixture
def try_codes(limited, owner):
    """Log in once with the password, and send a code so many times from an address; return the statuses."""

    def try_codes(times=1, client_ip=HERE, **code):
        code = code or {"code": wrong(owner.code())}
        origin = {"environ_overrides": {"REMOTE_ADDR": client_ip}}
        fields = {"username": "ada@example.com", "password": PASSWORD}
        token = limited.post("/api/auth/login", data=fields, **origin).json["mfa_token"]
        fields = {"mfa_token": token, **code}
        return [limited.post("/api/auth/mfa", data=fields, **origin).status_code for _ in range(times)]

    return try_codes


def test_after_five_wrong_codes_a_network_is_refused_also_with_the_right_one(owner, try_codes):
    assert try_codes(6) == [401] * 5 + [429]
    assert try_codes(code=owner.code()) == [429]
    assert try_codes(recovery_code=owner.recovery_codes[0]) == [429]


def test_the_owner_logs_in_from_another_network_and_has_one_e_mail(owner, try_codes, emails_to, trail):
    try_codes(6)
    assert try_codes(client_ip=ELSEWHERE, code=owner.code()) == [200]
    assert [email["template"] for email in emails_to("ada@example.com")].count("wrong_codes") == 1
    assert [row["details"] for row in trail.find({"event": "locked_out"})] == [
        {"limits": ["THROTTLE_SECOND_FACTOR_PER_ACCOUNT_AND_IP"]}
    ]


def test_the_third_wrong_code_is_told_once_a_day(owner, try_codes, emails_to):
    def told():
        return [email["template"] for email in emails_to("ada@example.com")].count("wrong_codes")

    try_codes(2)
    assert told() == 0
    try_codes(1, ELSEWHERE)
    assert told() == 1
    try_codes(3)
    assert told() == 1


@pytest.fixture
def hours_later(counts, monkeypatch):
    """Let hours pass for the counters, which go by MongoDB's clock."""
    monkeypatch.setattr(limits, "REMEMBERED_SECONDS", 0)

    def pass_(hours):
        def earlier(time):
            return {"$subtract": [time, hours * 3_600_000]}

        wrong = {"$map": {"input": "$wrong", "in": earlier("$$this")}}
        passing = {"expireAt": earlier("$expireAt"), "wrong": {"$cond": ["$wrong", wrong, "$$REMOVE"]}}
        counts.update_many({}, [{"$set": passing}])

    return pass_


def test_a_day_of_attempts_finds_a_code_in_fewer_than_one_of_10_000_cases():
    attempts, right_at_a_time = int(DEFAULTS["THROTTLE_SECOND_FACTOR_PER_ACCOUNT"].split()[0]), 2 * totp.WINDOW + 1
    assert attempts * right_at_a_time / 10**totp.DIGITS < 1 / 10_000


def test_thirty_a_day_holds_for_any_24_hours(owner, try_codes, hours_later):
    assert try_codes() == [401]
    hours_later(23)
    for number in range(5):
        assert try_codes(5, f"203.0.113.{number}") == [401] * 5
    assert try_codes(4, "203.0.113.5") == [401] * 4
    hours_later(1.1)  # a day after the first one
    assert try_codes(2, ELSEWHERE) == [401, 429]
    assert try_codes(code=owner.code()) == [429]
    hours_later(23)  # a day after the others
    assert try_codes(code=owner.code()) == [200]


def test_a_refusal_of_the_account_lasts_until_the_first_attempt_is_a_day_old(limited, owner, try_codes, hours_later):
    try_codes()
    hours_later(20)
    for number in range(6):
        try_codes(5, f"203.0.113.{number}")
    fields = {"username": "ada@example.com", "password": PASSWORD, "otp": owner.code()}
    answer = limited.post("/api/auth/login", data=fields)
    assert answer.status_code == 429
    assert 4 * 3600 - 60 < int(answer.headers["Retry-After"]) <= 4 * 3600


def test_one_network_does_not_use_all_that_the_account_has_by_waiting_for_a_new_day(owner, try_codes, hours_later):
    try_codes(1, ELSEWHERE)
    for hours, times in (1, 1), (23.1, 5), (0.3, 5), (0.3, 4), (0.4, 5), (0.3, 5), (0.3, 5):
        hours_later(hours)
        try_codes(times)
    assert try_codes(1, ELSEWHERE) == [401]
    assert try_codes(1, ELSEWHERE, code=owner.code()) == [200]


@pytest.mark.parametrize("network", ["192.0.2.1", "2001:db8:7::{}"])
def test_one_network_never_uses_all_that_the_account_has(owner, make_app, try_codes, counts, network):
    for number in range(12):
        try_codes(5, network.format(number))
        counts.delete_many({"_id": {"$regex": "_AND_IP"}})  # a quarter of an hour later
    assert try_codes(1, network.format(1), code=owner.code()) == [429]
    assert try_codes(1, ELSEWHERE, code=owner.code()) == [200]


def test_the_networks_of_one_customer_count_as_one(owner, try_codes, counts):
    statuses = [try_codes(1, f"2001:db8:7:{number:x}::1")[0] for number in range(20)]
    assert statuses == [401] * 15 + [429] * 5


def test_thirty_wrong_codes_a_day_are_checked_from_all_networks(owner, try_codes):
    statuses = [try_codes(5, f"203.0.113.{number}") for number in range(7)]
    assert statuses == [[401] * 5] * 6 + [[429] * 5]
    assert try_codes(1, ELSEWHERE, code=owner.code()) == [429]


def test_when_strangers_have_used_the_day_a_recovery_code_lets_the_owner_in(owner, try_codes):
    for number in range(7):
        try_codes(5, f"203.0.113.{number}")
    assert try_codes(1, ELSEWHERE, recovery_code=owner.recovery_codes[0]) == [200]


def test_a_right_code_is_not_counted(owner, try_codes, still_clock, counts):
    for _ in range(8):
        still_clock.move(seconds=30)
        assert try_codes(code=owner.code()) == [200]
    assert {document["count"] for document in counts.find({"_id": {"$regex": "SECOND_FACTOR"}})} == {0}


def test_a_password_reset_does_not_clear_the_limits(owner, limited, try_codes, token_sent):
    try_codes(6)
    limited.post("/api/auth/password-reset", json={"email": "ada@example.com"})
    body = {"token": token_sent("ada@example.com", "reset_password"), "new_password": PASSWORD}
    assert limited.post("/api/auth/password-reset/confirm", json=body).status_code == 204
    assert try_codes(code=owner.code()) == [429]


def test_a_refusal_says_when_to_try_again(owner, limited, try_codes):
    try_codes(5)
    fields = {"username": "ada@example.com", "password": PASSWORD, "otp": owner.code()}
    answer = limited.post("/api/auth/login", data=fields, environ_overrides={"REMOTE_ADDR": HERE})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 900
