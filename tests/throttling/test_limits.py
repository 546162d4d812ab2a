"""Limits of wrong passwords, by account and by network."""

import pytest

from pixora.throttling import limits
from tests.factories import PASSWORD, fastapi_user
from tests.throttling.conftest import attempt_login, state, statuses


def test_every_attempt_is_refused_after_the_limit_of_wrong_ones(client):
    assert statuses(client, 11) == [401] * 10 + [429]
    assert attempt_login(client, PASSWORD).status_code == 429


def test_a_refusal_is_a_problem_with_retry_after(client):
    statuses(client, 10)
    response = attempt_login(client)
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == "rate_limited"
    assert response.json["status"] == 429
    assert 890 <= int(response.headers["Retry-After"]) <= 900


@pytest.mark.parametrize(
    "spelling", ["GRACE.HOPPER@EXAMPLE.COM", "grace.hopper@example.com", "Grace.Hopper@Example.com"]
)
def test_every_spelling_of_an_address_is_counted_together(client, spelling):
    statuses(client, 10, email=spelling)
    assert attempt_login(client, PASSWORD).status_code == 429


def test_an_unknown_account_is_throttled_like_a_known_one(client):
    known, unknown = [], []
    for _ in range(11):
        known.append(attempt_login(client))
        unknown.append(attempt_login(client, email="nobody@example.com"))
    answers = [
        [(response.status_code, response.json["code"]) for response in responses] for responses in (known, unknown)
    ]
    assert answers[0] == answers[1]
    assert answers[0][-1] == (429, "rate_limited")


def test_the_owner_logs_in_from_another_network_while_an_attacker_is_refused(client):
    statuses(client, 200)
    assert attempt_login(client).status_code == 429
    assert attempt_login(client, PASSWORD, client_ip="198.51.100.7").status_code == 200


def test_another_account_logs_in_from_the_same_network(client, users):
    users.insert_one(fastapi_user(email="ada@example.com"))
    statuses(client, 11)
    assert attempt_login(client, PASSWORD, "ada@example.com").status_code == 200


def test_attempts_on_one_account_from_many_networks_are_limited(throttled):
    client = throttled(THROTTLE_LOGIN_PER_ACCOUNT="5 per hour").test_client()
    answers = [attempt_login(client, client_ip=f"192.0.2.{number}") for number in range(6)]
    assert [response.status_code for response in answers] == [401] * 5 + [429]
    assert 3590 <= int(answers[-1].headers["Retry-After"]) <= 3600


def test_attempts_of_one_network_on_many_accounts_are_limited(throttled, counts):
    client = throttled(THROTTLE_LOGIN_PER_IP="5 per hour").test_client()
    answers = [attempt_login(client, email=f"{number}@example.com").status_code for number in range(5)]
    stored = counts.count_documents({})
    answers += [attempt_login(client, email=f"{number}@example.com").status_code for number in range(5, 8)]
    assert answers == [401] * 5 + [429] * 3
    assert counts.count_documents({}) == stored


def test_an_attempt_that_one_limit_refuses_is_not_counted_by_another(throttled, counts):
    client = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="2 per hour").test_client()
    statuses(client, 20)
    assert state(counts) == {(2, 0)}


def test_an_attempt_that_a_later_limit_refuses_is_not_counted_by_earlier_ones(throttled, counts):
    client = throttled(THROTTLE_LOGIN_PER_ACCOUNT="2 per hour").test_client()
    assert [attempt_login(client, client_ip=f"192.0.2.{number}").status_code for number in range(4)] == [
        401,
        401,
        429,
        429,
    ]
    networks = counts.find({"_id": {"$regex": "PER_IP/"}})
    assert sorted((one["count"], len(one["leases"])) for one in networks) == [(0, 0), (1, 0), (1, 0)]


def test_a_window_ends_after_retry_after(throttled, counts, monkeypatch):
    monkeypatch.setattr(limits, "REMEMBERED_SECONDS", 0)
    client = throttled(THROTTLE_LOGIN_PER_ACCOUNT_AND_IP="2 per 15 minute").test_client()
    statuses(client, 2)
    refused = attempt_login(client)
    assert refused.status_code == 429
    passed = int(refused.headers["Retry-After"]) * 1000
    assert 600_000 < passed <= 900_000
    counts.update_many({}, [{"$set": {"expireAt": {"$subtract": ["$expireAt", passed]}}}])
    assert statuses(client, 3) == [401, 401, 429]
