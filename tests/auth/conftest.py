"""What the tests of the account's life share."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.factories import PASSWORD

NEW_PASSWORD = "analytical-engine-no-1"


@pytest.fixture
def log_in(client):
    def log_in(email="ada@example.com", password=PASSWORD):
        return client.post("/api/auth/login", data={"username": email, "password": password})

    return log_in


@pytest.fixture
def post_at_once(app):
    """Post the same many times at once; count the answers by status."""

    def post(times, path, body):
        def one(_):
            return app.test_client().post(path, json=body).status_code

        with ThreadPoolExecutor(times) as pool:
            return Counter(pool.map(one, range(times)))

    return post


def is_refused(response, reason=None):
    """Tell whether a one-time token was refused, as all are."""
    return (response.status_code, response.json["code"]) == (400, "invalid_one_time_token")
