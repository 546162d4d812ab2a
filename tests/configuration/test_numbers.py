"""Settings that are numbers: what makes no sense, and what works at its highest."""

import secrets
from dataclasses import asdict

import pytest

from tests.configuration.conftest import GOOD
from tests.conftest import NO_THROTTLES
from tests.factories import log_in, signup_body

NUMBERS = {
    "DATABASE_TIMEOUT_MS": 60_000,
    "JWT_ACCESS_TOKEN_EXPIRES": 31 * 24 * 3600,
    "REFRESH_GRACE_SECONDS": 60,
    "REFRESH_IDLE_DAYS": 3650,
    "REFRESH_ABSOLUTE_DAYS": 3650,
    "MAX_SESSIONS_PER_USER": 1000,
    "BCRYPT_ROUNDS": 16,
    "HASH_QUEUE_SECONDS": 20,
    "PASSWORD_MIN_LENGTH": 72,
    "PROXY_COUNT": 10,
    "MAX_CONTENT_LENGTH": 2**20,
    "AUDIT_DAYS": 3650,
    "WEB_CONCURRENCY": 1024,
    "GUNICORN_THREADS": 4096,
}
"""Every setting that is a number, and the highest that is accepted."""


def test_every_number_has_a_bound_here(load):
    # A port or a fraction: whatever is a number and no flag.
    numbers = {name.upper() for name, value in asdict(load(**GOOD)).items() if type(value) in (int, float)}
    assert numbers == set(NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["", "-1", "nan", "inf", "1e400", "0x10", "999999999", "9" * 25, "9" * 5000, "ten"])
def test_a_number_that_makes_no_sense_is_refused_with_a_sentence(faults, name, value):
    told = faults(**GOOD | {name: value})
    assert set(told) == {name}
    assert all(sentence.endswith(".") for sentence in told[name])


@pytest.mark.parametrize(("name", "highest"), NUMBERS.items())
def test_the_highest_number_is_accepted_and_no_higher_one(load, faults, name, highest):
    assert getattr(load(**GOOD | {name: str(highest)}), name.lower()) == highest
    assert set(faults(**GOOD | {name: str(highest + 1)})) == {name}


def test_with_every_number_at_its_highest_people_sign_up_log_in_and_stay_signed_in(make_app):
    # Except for the cost of a hash: at its highest, each takes seconds.
    numbers = {name: value for name, value in NUMBERS.items() if name != "BCRYPT_ROUNDS"}
    app = make_app(**numbers, **dict.fromkeys(NO_THROTTLES, "1000000 per 366 day"))
    client, password = app.test_client(), secrets.token_urlsafe(54)
    assert len(password) == 72
    body = signup_body(password=password)
    assert client.post("/api/auth/signup", json=body).status_code == 201
    tokens = log_in(client, body["email"], password)
    assert tokens.status_code == 200
    form = {"grant_type": "refresh_token", "refresh_token": tokens.json["refresh_token"]}
    tokens = client.post("/api/auth/refresh", data=form)
    assert tokens.status_code == 200
    bearer = {"Authorization": f"Bearer {tokens.json['access_token']}"}
    assert client.get("/api/users/me", headers=bearer).status_code == 200
