"""Applications with the default limits, and wrong passwords for one account."""

import pytest

from tests.factories import fastapi_user, log_in

LIMITS = {
    "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": "10 per 15 minute",
    "THROTTLE_LOGIN_PER_ACCOUNT": "100 per hour",
    "THROTTLE_LOGIN_PER_IP": "60 per 15 minute",
    "THROTTLE_SIGNUP_PER_IP": "20 per hour",
}
EMAIL = "Grace.Hopper@example.com"


@pytest.fixture
def throttled(make_app, users, counts):
    """An application with the default limits and some changed; Grace has an account."""
    users.insert_one(fastapi_user())
    return lambda **changes: make_app(**LIMITS | changes)


@pytest.fixture
def client(throttled):
    return throttled().test_client()


def attempt_login(client, password="wrong", email=EMAIL, client_ip="192.0.2.1", **headers):
    return log_in(
        client,
        email,
        password,
        environ_overrides={"REMOTE_ADDR": client_ip},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def statuses(client, times, **options):
    return [attempt_login(client, **options).status_code for _ in range(times)]


def state(counts):
    """Return how much the counters count, and how much is in flight."""
    return {(document["count"], len(document["leases"])) for document in counts.find()}
