"""The limit of sign-ups from one network."""

from pixora.passwords import strength, verify
from tests.factories import PASSWORD, sign_up, signup_body
from tests.throttling.conftest import attempt_login


def test_sign_ups_from_many_networks_of_one_customer_are_limited(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()
    answers = [
        client.post(
            "/api/auth/signup", json=signup_body(), environ_overrides={"REMOTE_ADDR": f"2001:db8:1:{number}::1"}
        ).status_code
        for number in range(6)
    ]
    assert answers == [201] + [409] * 4 + [429]


def test_sign_ups_from_one_network_are_refused_when_the_limit_is_reached(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="3 per hour").test_client()
    answers = [sign_up(client) for _ in range(4)]
    assert [response.status_code for response in answers] == [201, 409, 409, 429]
    assert answers[-1].json["code"] == "rate_limited"
    assert 3590 <= int(answers[-1].headers["Retry-After"]) <= 3600


def test_an_invalid_sign_up_is_not_counted(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()
    for _ in range(3):
        assert sign_up(client, password="short").status_code == 422
    assert sign_up(client).status_code == 201


def test_a_sign_up_with_a_password_that_is_easy_to_guess_is_counted(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="2 per hour").test_client()
    answers = [sign_up(client, password="adalovelace1990") for _ in range(3)]
    assert [response.status_code for response in answers] == [422, 422, 429]


def test_a_refused_sign_up_costs_no_hash_and_no_score(throttled, monkeypatch):
    client = throttled(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()
    sign_up(client)
    monkeypatch.setattr(verify, "hash_password", None)
    monkeypatch.setattr(strength, "zxcvbn", None)
    assert sign_up(client, email="new@example.com").status_code == 429


def test_sign_ups_do_not_count_as_login_attempts(throttled):
    client = throttled(THROTTLE_SIGNUP_PER_IP="1 per hour").test_client()
    for _ in range(12):
        client.post("/api/auth/signup", json=signup_body(), environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
    assert attempt_login(client, PASSWORD).status_code == 200
